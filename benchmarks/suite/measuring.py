"""Ways that are compared, run in turn; times as ratios to the plain pass of the same round."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

Way = Callable[[], object]


@dataclass
class Case:
    """Ways over the same network and images.

    Attributes:
        title: what is measured.
        plain: the pass that the others are held against.
        ways: by name.
        bounds: what a way may cost at the most, as a ratio; of some.
        missing: ways that this machine cannot run, with the reason.
    """

    title: str
    plain: Way
    ways: dict[str, Way]
    bounds: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What a way cost.

    Attributes:
        case, way: which one.
        seconds: median.
        ratio: median of the ratios to the plain pass of the same round.
        low, high: the lower and upper quartile of those ratios.
        fastest: the fastest round over the fastest plain one: the least that others disturbed.
        bound: what it may cost; None where nothing was promised.
    """

    case: str
    way: str
    seconds: float
    ratio: float
    low: float
    high: float
    fastest: float
    bound: float | None = None


def measure(case: Case, rounds: int) -> list[Row]:
    """Every way once unmeasured, then round after round in turn."""
    ways = {"plain": case.plain, **case.ways}
    for way in ways.values():
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(seconds(way))
    return [_row(case, name, times[name], times["plain"]) for name in ways]


def seconds(way: Way) -> float:
    """Of one call."""
    gc.collect()
    _synchronise()
    start = time.perf_counter()
    way()
    _synchronise()
    return time.perf_counter() - start


def _synchronise() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _row(case: Case, name: str, taken: list[float], plain: list[float]) -> Row:
    ratios = sorted(a / b for a, b in zip(taken, plain, strict=True))
    quartiles = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else []
    low, middle, high = quartiles or ratios * 3
    fastest, bound = min(taken) / min(plain), case.bounds.get(name)
    return Row(case.title, name, statistics.median(taken), middle, low, high, fastest, bound)


def as_table(rows: list[Row], missing: dict[str, str]) -> list[str]:
    """Lines of a Markdown table."""
    lines = ["| case | way | median s | ratio to plain | quartiles | fastest | bound |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        bound = "" if row.bound is None else f"{row.bound:.2f}"
        told: list[Any] = [row.case, row.way, f"{row.seconds:.3f}", f"{row.ratio:.2f}"]
        told += [f"{row.low:.2f} to {row.high:.2f}", f"{row.fastest:.2f}", bound]
        lines.append(f"| {' | '.join(told)} |")
    return [*lines, *(f"\n{way}: {why}." for way, why in missing.items())]
