"""The CIFAR-10 networks by name, and the trained ones among them that come with resviz."""

from __future__ import annotations

import csv
import math
import os
import pathlib
import re
from collections.abc import Sequence

import pandas as pd
import torch
from safetensors import safe_open
from torch import Tensor

from resviz.arguments import caller, public
from resviz.errors import WeightsUnavailable
from resviz.networks.zoo.checkpoints import fill, read_state
from resviz.networks.zoo.cifar import CifarResNet, cifar_resnet
from resviz.preset import Preset

PACKAGED = pathlib.Path(__file__).parent / "weights"
NAME = re.compile(r"cifar10-(resnet|plain)(\d+)(?:-([ABC]))?")
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def packaged_networks() -> pd.DataFrame:
    """The trained CIFAR-10 networks that come with resviz and need no download.

    One more, "signals-resnet8", is for signals: :mod:`resviz.networks.signals`.

    Returns:
        A row per network: network (for `load_model`), depth, shortcut ("A" or "none"), parameters,
        epochs and accuracy (percent, on the test images of its training log; NaN without a log).

    Example:
        >>> list(packaged_networks().columns)
        ['network', 'depth', 'shortcut', 'parameters', 'epochs', 'accuracy']
    """
    rows = [_row(file) for file in packaged_files()]
    columns = ["network", "depth", "shortcut", "parameters", "epochs", "accuracy"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(["depth", "network"], ignore_index=True)


@public
def training_log(network: str) -> pd.DataFrame:
    """How a packaged network was trained: a row per epoch.

    Args:
        network: "cifar10-resnet20" and so on; see :func:`packaged_networks`.

    Returns:
        epoch, train_loss and train_error (means over the epoch, on augmented images, errors in
        percent), test_loss and test_error (after it), seconds.

    Raises:
        ValueError: no such network in the package.

    Example:
        >>> list(training_log("cifar10-resnet20").columns)[:3]  # doctest: +SKIP
        ['epoch', 'train_loss', 'train_error']
    """
    file = PACKAGED / f"{network}.csv"
    if not file.is_file():
        known = [path.stem for path in sorted(PACKAGED.glob("*.csv"))]
        raise ValueError(f"{caller()}: no log of {network!r}; one of {', '.join(known)}.")
    return pd.read_csv(file)


def packaged_files() -> list[pathlib.Path]:
    """The weights files in the package."""
    return [file for file in sorted(PACKAGED.glob("*.safetensors")) if NAME.fullmatch(file.stem)]


def _row(file: pathlib.Path) -> dict[str, object]:
    _, depth, shortcut = parsed(file.stem)
    with safe_open(file, framework="pt") as tensors:
        keys = [key for key in tensors.keys() if not key.endswith(STATISTICS)]  # noqa: SIM118
        parameters = sum(math.prod(tensors.get_slice(key).get_shape()) for key in keys)
    log = file.with_suffix(".csv")
    rows = list(csv.DictReader(log.read_text().splitlines())) if log.is_file() else []
    return {
        "network": file.stem,
        "depth": depth,
        "shortcut": shortcut,
        "parameters": parameters,
        "epochs": int(rows[-1]["epoch"]) if rows else math.nan,
        "accuracy": 100 - float(rows[-1]["test_error"]) if rows else math.nan,
    }


def parsed(name: str, role: str = "") -> tuple[str, int, str]:
    """("resnet" or "plain", depth, shortcut) of a name like "cifar10-resnet56-B".

    Raises:
        ValueError: there is no network of this depth, or none with this shortcut.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{caller()}: {role}{name!r}; a name like 'cifar10-resnet56'.")
    kind, depth = match[1], int(match[2])
    if depth < 8 or (depth - 2) % 6:
        nearest = max(8, 6 * round((depth - 2) / 6) + 2)
        raise ValueError(
            f"{caller()}: {role}{name!r} has depth {depth}; depths are 6n+2. "
            f"The nearest is 'cifar10-{kind}{nearest}'."
        )
    if kind == "plain" and match[3]:
        raise ValueError(
            f"{caller()}: {role}{name!r}; a plain network has no shortcut. "
            f"Use 'cifar10-plain{depth}' or 'cifar10-resnet{depth}-{match[3]}'."
        )
    return kind, depth, "none" if kind == "plain" else match[3] or "A"


def cifar_network(
    name: str,
    weights: str | os.PathLike[str],
    kind: str,
    seed: int | None,
    classes: Sequence[str] | None,
) -> tuple[CifarResNet, Preset]:
    """A network of the family and its preset, with packaged or random weights or those of a file.

    Args:
        name: as :func:`parsed` reads it.
        weights: "default", "random" or a path.
        kind: of `weights`: "name", "random" or "file".
        seed: for random weights; None starts from the global random state, which stays as it was.
        classes: names of the outputs, for a file or random weights.

    Raises:
        WeightsUnavailable: no such network was trained for the package.
        ValueError: the weights are unknown, damaged or do not fit.
    """
    _, depth, shortcut = parsed(name)
    names = CLASSES if classes is None else tuple(classes)
    source, state = _weights(name, weights, kind)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        net = cifar_resnet(depth, shortcut=shortcut, classes=len(names))
    if state:
        fill(net, state, source)
    preset = Preset(
        name,
        source,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        resize=32,
        crop=(32, 32),
        classes=names,
    )
    return net, preset


def _weights(
    name: str, weights: str | os.PathLike[str], kind: str
) -> tuple[str, dict[str, Tensor]]:
    """(whose they are, the weights; none for random ones)."""
    if kind == "random":
        return "random", {}
    if kind == "file":
        return pathlib.Path(weights).name, read_state(weights)
    if weights not in ("default", "cifar10"):
        raise ValueError(
            f"{caller()}: weights {weights!r} for {name!r}; 'default', 'random' or a file."
        )
    return "cifar10", read_state(_packaged_file(name))


def _packaged_file(name: str) -> pathlib.Path:
    file = PACKAGED / f"{name}.safetensors"
    if not file.is_file():
        there = ", ".join(repr(file.stem) for file in packaged_files()) or "none"
        raise WeightsUnavailable(
            f"{caller()}: no trained weights for {name!r} in the package; offline work: {there}. "
            "Or pass weights='random' or a file."
        )
    return file
