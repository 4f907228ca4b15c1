"""What building and recording cost against depth, up to the 1202 layers of He et al. 2015.

    python benchmarks/depth_cost.py            # about 5 minutes; writes depth_cost.csv
    python benchmarks/depth_cost.py --summary  # of the committed table

Each depth runs in a process of its own, so that the peak of its memory is its own: CIFAR ResNet of
that depth (option A, seed 0), `record` of 8 images, forward and backward, median of 3.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

TABLE = Path(__file__).with_suffix(".csv")
DEPTHS = (20, 56, 110, 302, 602, 1202)
IMAGES, ROUNDS = 8, 3


def measure(depth: int) -> dict[str, float]:
    import torch

    from resviz.networks.cifar import cifar_resnet
    from resviz.recording.recorder import record

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    net = cifar_resnet(depth, seed=0)
    built = time.perf_counter() - start
    images = torch.randn(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    plain, recorded = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        torch.autograd.grad(net(images).sum(), list(net.parameters()))
        plain.append(time.perf_counter() - start)
        start = time.perf_counter()
        rec = record(net, images, batch_stats=True)
        recorded.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "depth": depth,
        "additions": len(rec.residuals),
        "build_s": round(built, 3),
        "plain_s": round(statistics.median(plain), 3),
        "record_s": round(statistics.median(recorded), 3),
        "peak_GiB": round(peak, 2),
        "before_GiB": round(before, 2),
    }


def summary(table: pd.DataFrame) -> None:
    table = table.assign(
        ratio=(table["record_s"] / table["plain_s"]).round(2),
        ms_per_layer=(1000 * table["record_s"] / table["depth"]).round(2),
    )
    print(table.to_string(index=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--depth", type=int)
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if arguments.depth:
        print(json.dumps(measure(arguments.depth)))
        return
    if not arguments.summary:
        rows = []
        for depth in DEPTHS:
            command = [sys.executable, __file__, "--depth", str(depth)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
        pd.DataFrame(rows).to_csv(TABLE, index=False)
    summary(pd.read_csv(TABLE))
    print(f"{platform.machine()}, a shared machine of two cores")


if __name__ == "__main__":
    main()
