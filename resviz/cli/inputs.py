"""The network and the pictures that a command names."""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from resviz.cli.console import Console, Stop

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn


def load(
    options: argparse.Namespace, console: Console
) -> tuple[nn.Module, Tensor, list[pathlib.Path]]:
    """The network of ``--model``, the pictures as it wants them, and what to call each."""
    from resviz.images import load_images

    net = load_net(options, console)
    return net, load_images(options.images, net), each_picture(options.images)


def each_picture(files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Files as they are; of a stack of arrays "stack.npy[0]" and so on, one for each."""
    from resviz.images.loading import each_in

    return [picture for file in files for picture in each_in(file)]


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
