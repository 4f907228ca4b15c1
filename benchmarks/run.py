"""What resviz costs, against the plain pass and other libraries; writes RESULTS.md.

    make bench                                   # minutes
    make bench-full                              # every size
    python benchmarks/run.py --only record --rounds 3
    python benchmarks/run.py --device cuda       # a section of its own

The ways of a case are run in turn, round after round, in one process: what else the machine does
falls on all of them alike. A section is written when its last case is done; sections of the other
device, and of parts that were not asked for, stay as they were.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from suite import explaining, processes, recording
from suite.measuring import Case, as_table, measure

RESULTS = Path(__file__).with_name("RESULTS.md")
PARTS: dict[str, Callable[[str, bool], Iterator[Case]]] = {
    "record": recording.cases,
    "explain": explaining.cases,
    "growth of record": recording.growth,
    "growth of explain": explaining.growth,
}
OTHERS = ("torchlens", "memory", "imports")
PACKAGES = ("torch", "torchvision", "captum", "torchcam", "grad-cam", "torchlens")
HEAD = """# What resviz costs

Written by `make bench` and `make bench-full` (`benchmarks/run.py`). Ratios are to the plain pass of
the same round, all ways in turn in one process: median and quartiles over the rounds; "fastest" is
the fastest round over the fastest plain one.
"""


def machine(device: str) -> str:
    """In words: processor, threads, system."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}"
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {sys.platform}"


def versions() -> str:
    """Of Python and of what is compared."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def load() -> float:
    """How many programs want a core, over the last minute."""
    return os.getloadavg()[0]


def about(device: str, rounds: int, before: float, started: float) -> list[str]:
    """Where, when and beside what else the figures were measured."""
    when = time.strftime("%Y-%m-%d", time.gmtime(started))
    busy = before > 0.5 * (os.cpu_count() or 1)
    lines = [
        f"{when}; {machine(device)}. {versions()}. {rounds} rounds, "
        f"{time.time() - started:.0f} s in all. Load before {before:.1f}, after {load():.1f}.",
    ]
    if busy:
        lines.append(
            "**The machine was busy with other programs**: of ratios trust quartiles only."
        )
    return ["\n\n".join(lines)]


def part_of(name: str, options: argparse.Namespace) -> list[str]:
    """The lines of one part."""
    if name == "torchlens":
        return processes.torchlens(min(options.rounds, 3))
    if name == "memory":
        return processes.memory(options.full, min(options.rounds, 3))
    if name == "imports":
        return processes.imports(min(options.rounds, 5))
    rows, missing = [], {}
    for case in PARTS[name](options.device, options.full):
        found = measure(case, options.rounds)
        rows += found
        missing |= case.missing
        print("\n".join(as_table(found, {})[2:]), flush=True)
    return as_table(rows, missing)


def written(text: str, title: str, lines: list[str]) -> str:
    """The page with this section in place of what stood under its title."""
    section = "\n".join([f"## {title}", "", *lines, ""])
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if pattern.search(text):
        return pattern.sub(lambda _: section + "\n", text).rstrip() + "\n"
    return f"{text.rstrip()}\n\n{section}"


def main() -> None:
    """Measure what is asked for; each part is written when it is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--full", action="store_true", help="every size")
    parser.add_argument("--only", nargs="+", choices=[*PARTS, *OTHERS], help="some of the parts")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    parts = [*PARTS, *(OTHERS if options.device == "cpu" else ())]
    before = load()  # of others: later parts would find our own
    for name in options.only or parts:
        started = time.time()
        lines = part_of(name, options)
        text = options.out.read_text() if options.out.exists() else HEAD
        told = about(options.device, options.rounds, before, started)
        title = f"{options.device.upper()}: {name}"
        options.out.write_text(written(text, title, [*told, "", *lines]))
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
