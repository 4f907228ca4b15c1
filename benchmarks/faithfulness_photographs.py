"""Deletion and insertion over 100 ImageNet photographs with a ResNet-50, beside random maps.

    python benchmarks/faithfulness_photographs.py --data FOLDER    # all of it: about 30 minutes
    python benchmarks/faithfulness_photographs.py --summary        # of the committed table

FOLDER is the test data folder (RESVIZ_TESTDATA); TORCH_HOME must hold resnet50's IMAGENET1K_V1
weights. Each photograph is explained for its predicted class by four methods: Grad-CAM, LayerCAM
and XGrad-CAM at layer4, integrated gradients at the pixels. Every finished photograph is a few rows
of faithfulness_photographs.csv; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pandas as pd
import torch
from scipy import stats

import resviz as rv

TABLE = Path(__file__).with_suffix(".csv")
METHODS = ["grad_cam", "layer_cam", "xgrad_cam", "integrated_gradients"]
SETTINGS = {"checks": ["deletion", "insertion"], "steps": 20, "draws": 2, "seed": 0}
COLUMNS = ["file", "label", "probability", "method", "layer"]
COLUMNS += ["deletion", "deletion_random", "insertion", "insertion_random"]


def measure(net: torch.nn.Module, file: Path) -> pd.DataFrame:
    """The rows of one photograph."""
    images = rv.load_images([file], net)
    exp = rv.explain(net, images, methods=METHODS, layers="layer4", progress=False)
    table = rv.faithfulness(net, images, exp, progress=False, **SETTINGS)
    table = table.rename(columns={"target": "label", "score": "probability"})
    return table.assign(file=file.name)[COLUMNS].round(5)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row per method and curve: means, paired difference to the random map, 95 % interval."""
    rows = []
    for method, part in table.groupby("method", sort=False):
        for curve in ("deletion", "insertion"):
            apart = part[curve] - part[f"{curve}_random"]
            half = stats.t.ppf(0.975, len(apart) - 1) * apart.sem()
            better = apart < 0 if curve == "deletion" else apart > 0
            row = {"method": method, "curve": curve, "photographs": len(apart)}
            row |= {"mean": part[curve].mean(), "random": part[f"{curve}_random"].mean()}
            row |= {"difference": apart.mean(), "low": apart.mean() - half}
            rows.append(row | {"high": apart.mean() + half, "better on": int(better.sum())})
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """The summary as the README has it."""
    lines = [
        "| method | curve | mean AUC | random map | paired difference (95 % interval) | better on |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for row in summary(table).to_dict("records"):
        interval = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        lines.append(
            f"| {row['method']} | {row['curve']} | {row['mean']:.3f} | {row['random']:.3f} "
            f"| {interval} | {row['better on']} of {row['photographs']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing in the table, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    folder = os.environ.get("RESVIZ_TESTDATA", "../shared/testdata")
    parser.add_argument("--data", type=Path, default=Path(folder))
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    options = parser.parse_args()
    table = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame(columns=COLUMNS)
    if not options.summary:
        net = rv.load_model("resnet50", weights="IMAGENET1K_V1", device="cpu")
        for file in sorted((options.data / "imagenet").glob("*.jpg")):
            if file.name not in set(table["file"]):
                table = pd.concat(
                    [table, measure(net, file)] if len(table) else [measure(net, file)]
                )
                table.to_csv(TABLE, index=False)
                print(file.name, flush=True)
    print(markdown(table))


if __name__ == "__main__":
    main()
