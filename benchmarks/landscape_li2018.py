"""The loss landscapes of Li et al. 2018: ResNet-56 with shortcuts and without, both as published.

    python benchmarks/landscape_li2018.py --data FOLDER   # 11 x 11 points: 1 to 2 minutes a network
    python benchmarks/landscape_li2018.py --summary       # of the committed table

FOLDER is the test data folder (RESVIZ_TESTDATA). Filter-normalised random directions (Li et al.
2018, https://arxiv.org/abs/1712.09913), 128 lossless CIFAR-10 test images, seed 0. The finished
points are kept in landscape_li2018-NETWORK.resviz; the same command goes on where it stopped, and
removes those files when the table is whole.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from resviz.analysis.landscape.convexity import nonconvexity
from resviz.analysis.landscape.loss import loss_landscape

TABLE = Path(__file__).with_suffix(".csv")
NETWORKS = {"ResNet-56": "resnet56_projection", "plain-56": "plain56"}
SETTINGS: dict[str, Any] = {"points": 11, "extent": 1.0, "directions": "filter", "seed": 0}
IMAGES = 128
COLUMNS = ["network", "alpha", "beta", "loss", "error"]


def load(weights: Any, name: str) -> tuple[Any, Any, Any]:
    """(network, images, labels); `weights` is the test data's load_weights module."""
    net, normalised = weights.cifar_net(NETWORKS[name])
    pictures, labels, _ = weights.cifar_images("test")
    return net, normalised(pictures[:IMAGES]), labels[:IMAGES]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row per network and square: how often, and how far, the loss is not convex."""
    parts = [
        nonconvexity(part).assign(network=name)
        for name, part in table.groupby("network", sort=False)
    ]
    return pd.concat(parts).pivot(index="within", columns="network").drop(columns="left_out")


def main() -> None:
    """Measure, write the table, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    folder = os.environ.get("RESVIZ_TESTDATA", "../shared/testdata")
    parser.add_argument("--data", type=Path, default=Path(folder))
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.summary:
        sys.dont_write_bytecode = True
        spec = importlib.util.spec_from_file_location("weights", options.data / "load_weights.py")
        weights = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(weights)
        parts, files = [], []
        for name in NETWORKS:
            net, images, labels = load(weights, name)
            files.append(TABLE.with_name(f"{TABLE.stem}-{name}.resviz"))
            made = loss_landscape(net, images, labels, path=files[-1], progress=True, **SETTINGS)
            parts.append(made.table.assign(network=name)[COLUMNS])
        pd.concat(parts).round(6).to_csv(TABLE, index=False)
        for file in files:
            file.unlink()
    print(summary(pd.read_csv(TABLE)).round(3).to_string())


if __name__ == "__main__":
    main()
