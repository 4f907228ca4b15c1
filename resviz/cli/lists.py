"""``resviz models`` and ``resviz methods``: the names that the options take."""

from __future__ import annotations

import argparse

from resviz.cli.console import Console, columns, result


def run(options: argparse.Namespace, console: Console) -> int:
    """Names, one a line, with what they stand for."""
    result(*columns(_methods() if options.command == "methods" else _models()))
    return 0


def _models() -> list[tuple[str, ...]]:
    from resviz.networks.zoo.packaged import packaged_networks
    from resviz.networks.zoo.pretrained import torchvision_names

    table = packaged_networks()
    packaged: list[tuple[str, ...]] = [
        (str(name), f"in the package; {accuracy:.1f} % of its CIFAR-10 test images right")
        for name, accuracy in zip(table["network"], table["accuracy"], strict=True)
    ]
    return packaged + [(name, "torchvision's; downloaded once") for name in torchvision_names()]


def _methods() -> list[tuple[str, ...]]:
    from resviz.attribution.methods.registry import explanation_methods

    table = explanation_methods()[["method", "definition", "paper"]]
    return [tuple(map(str, row)) for row in table.itertuples(index=False)]
