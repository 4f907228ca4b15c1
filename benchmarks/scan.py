"""What a scan costs: images a second beside the bare loop, and peak memory against images.

    python benchmarks/scan.py FOLDER            # a folder of pictures, or of a folder per class
    python benchmarks/scan.py FOLDER --memory   # peak memory too, for 1,000 images and for all

The bare loop reads the same data set with the same loader and runs the network on it, no more. Both
are run in turn, round after round, in one process: what else the machine does falls on both alike.
Seconds of processor time are printed beside those of the clock: they are the same on a machine that
has other work.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import resviz as rv
from resviz.scanning.given import source_of
from resviz.scanning.sources import Source

MODEL, BATCH = "cifar10-resnet20", 128
DEFAULT = ("channels", "top", "quantiles", "classes", "correlation", "embedding")
WAYS = {
    "channels": {"measures": ["channels"]},
    "channels, top": {"measures": ["channels", "top"]},
    "default": {},
    "default, residuals": {"measures": [*DEFAULT, "residuals"]},
}


def in_memory(source: Source, count: int) -> TensorDataset:
    """The first images as tensors, so that reading files costs neither side anything."""
    every = max(1, source.count // count)
    items = [source.item(n) for n in range(0, source.count, every)][:count]
    return TensorDataset(
        torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])
    )


def bare(net: nn.Module, data: TensorDataset) -> None:
    """A loop that reads and runs, no more."""
    with torch.no_grad():
        for images, _ in DataLoader(data, batch_size=BATCH):
            net(images)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(seconds of the clock, seconds of all processors)."""
    before, start = os.times(), time.perf_counter()
    work()
    clock, after = time.perf_counter() - start, os.times()
    return clock, after.user + after.system - before.user - before.system


def throughput(folder: pathlib.Path, count: int, rounds: int) -> None:
    """A line per set of measures."""
    net = rv.load_model(MODEL, device="cpu")
    data = in_memory(source_of(folder, rv.preset_of(net)), count)
    bare(net, data)
    for name, options in WAYS.items():
        ratios, speeds = [], []
        rv.scan(net, data, batch_size=BATCH, progress=False, **options)
        for _ in range(rounds):
            loop = timed(lambda: bare(net, data))
            own = timed(lambda o=options: rv.scan(net, data, progress=False, **o))
            ratios.append([one / other for one, other in zip(loop, own, strict=True)])
            speeds.append((len(data) / loop[0], len(data) / own[0]))
        clock, processor = (sorted(column) for column in zip(*ratios, strict=True))
        loop_speed, speed = (statistics.median(column) for column in zip(*speeds, strict=True))
        print(
            f"{name:20} {speed:6.0f} of {loop_speed:6.0f} images/s, "
            f"{statistics.median(clock):.2f} of the loop ({clock[0]:.2f} to {clock[-1]:.2f}), "
            f"by processor time {statistics.median(processor):.2f}"
        )


def memory(folder: pathlib.Path, counts: list[int]) -> None:
    """Peak memory of a process that scans so many files."""
    for count in counts:
        command = [sys.executable, __file__, str(folder), "--scan", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"{count:6} images: {done.stdout.strip()}")


def scan_files(folder: pathlib.Path, count: int) -> None:
    """In a process of its own: peak resident memory before and after the scan."""
    net = rv.load_model(MODEL, device="cpu")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    scan = rv.scan(net, folder, only=range(count), progress=False)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{before:.0f} MiB before, peak {after:.0f} MiB, {len(scan.images) / seconds:.0f} a second"
    )


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=pathlib.Path)
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--memory", action="store_true")
    options.add_argument("--scan", type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    torch.set_num_threads(2)
    if given.scan:
        scan_files(given.folder, given.scan)
        return
    print(f"{platform.machine()}, {os.cpu_count()} processors, torch {torch.__version__}, {MODEL}")
    if given.memory:
        total = source_of(given.folder, rv.preset_of(rv.load_model(MODEL))).count
        memory(given.folder, [min(1000, total), total])
        return
    throughput(given.folder, given.count, given.rounds)


if __name__ == "__main__":
    main()
