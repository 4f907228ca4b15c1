"""Blocks deleted and paths measured in trained CIFAR-10 networks of 56 layers, with and without
shortcuts (Veit et al. 2016, arXiv 1605.06431).

    python benchmarks/lesions_and_paths.py --data FOLDER     # about 4 minutes on two cores
    python benchmarks/lesions_and_paths.py --summary         # of the committed tables

FOLDER is the test data folder (RESVIZ_TESTDATA): ResNet-56 with option A and plain-56, both
pretrained, and the first 160 lossless test images (the first 16 for the paths). Written are
lesions.csv and paths.csv beside this file.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import torch

from resviz.analysis.lesions import lesion_study
from resviz.analysis.paths import path_study

LESIONS, PATHS = (Path(__file__).with_name(f"{name}.csv") for name in ("lesions", "paths"))
NETWORKS = {"ResNet-56": "resnet56", "plain-56": "plain56"}
IMAGES, PATH_IMAGES, SAMPLES = 160, 16, 60


def test_data(folder: Path) -> ModuleType:
    """load_weights.py of the test data; nothing is written into its folder."""
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location("load_weights", folder / "load_weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network_and_images(data: ModuleType, name: str, count: int):  # type: ignore[no-untyped-def]
    net, normalise = data.cifar_net(NETWORKS[name])
    pixels, labels, _ = data.cifar_images()
    return net, normalise(pixels[:count]), torch.from_numpy(labels[:count])


def lesions(data: ModuleType, name: str) -> pd.DataFrame:
    residual = name == "ResNet-56"
    several = dict(several=(2, 4, 8, 12), reorder=(1, 2, 4, 8)) if residual else {}
    net, images, labels = network_and_images(data, name, IMAGES)
    table = lesion_study(net, images, labels, repeats=5, **several)  # type: ignore[arg-type]
    return table.assign(network=name).drop(columns="cam_change").round(4)


def paths(data: ModuleType) -> pd.DataFrame:
    net, images, labels = network_and_images(data, "ResNet-56", PATH_IMAGES)
    table = path_study(net, images, labels, samples=SAMPLES)
    return table.assign(per_branch=table.attrs["per_branch"], whole=table.attrs["whole"])


def summary() -> None:
    table = pd.read_csv(LESIONS, keep_default_na=False)
    for name, part in table.groupby("network", sort=False):
        single = part[part["lesion"] == "single"].sort_values("accuracy")
        whole = part[part["lesion"] == "none"]["accuracy"].iloc[0]
        print(
            f"{name}: whole {whole:.1f} %, one block deleted {single['accuracy'].min():.1f} to "
            f"{single['accuracy'].max():.1f} %, median {single['accuracy'].median():.1f} %"
        )
        print(
            "  worst: "
            + ", ".join(f"{r.block} {r.accuracy:.1f}" for r in single.head(4).itertuples())
        )
        for what in ("several", "reorder"):
            for count, some in part[part["lesion"] == what].groupby("count"):
                values = some["accuracy"]
                print(f"  {what} {count}: {values.min():.1f} to {values.max():.1f} %")
    table = pd.read_csv(PATHS)
    print(
        f"paths: x {table['per_branch'].iloc[0]:.3f} per branch; 90 % of the totals in lengths "
        f"{central(table)}, mean length {table['length'].max() / 2}"
    )


def central(table: pd.DataFrame) -> str:
    share, best = table["share"].to_numpy(), (0, len(table) - 1)
    for low in range(len(share)):
        for high in range(low, len(share)):
            if share[low : high + 1].sum() >= 0.9 and high - low < best[1] - best[0]:
                best = (low, high)
    return f"{best[0]} to {best[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("RESVIZ_TESTDATA"))
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--paths-alone", action="store_true")
    arguments = parser.parse_args()
    if not arguments.summary:
        data = test_data(arguments.data)
        if not arguments.paths_alone:
            pd.concat([lesions(data, name) for name in NETWORKS]).to_csv(LESIONS, index=False)
        paths(data).to_csv(PATHS, index=False)
    summary()


if __name__ == "__main__":
    main()
