"""The network and the pictures that a command names."""

from __future__ import annotations

import argparse
import os
import pathlib
from typing import TYPE_CHECKING

from resviz.cli.console import Console, Stop

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn


def load(options: argparse.Namespace, console: Console) -> tuple[nn.Module, Tensor]:
    """The network of ``--model`` and the pictures as it wants them."""
    from resviz.images import load_images

    net = load_net(options, console)
    return net, load_images(options.images, net)


def load_net(options: argparse.Namespace, console: Console) -> nn.Module:
    """The network of ``--model``."""
    from resviz.networks.zoo.load import load_model

    console.say(f"loading {options.model}")
    try:
        with console.loading():
            return load_model(
                options.model,
                options.weights,
                device=options.device,
                seed=options.seed,
                progress=console.progress,
            )
    except ValueError as err:
        if os.path.isfile(options.weights):
            raise  # a damaged file, or one of another network
        raise Stop(str(err), code=2) from err


def with_files(table: pd.DataFrame, images: list[pathlib.Path]) -> pd.DataFrame:
    """A table with the file of each row's image in front."""
    files = [os.fsencode(images[i]).decode("utf-8", "replace") for i in table["image"]]
    named = table.copy()
    named.insert(0, "file", files)
    return named
