"""The numbers of `faithfulness` in words: better than a random map? changed with the weights?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from resviz.attribution.trust.randomisation import LIMIT

_LEVEL = 0.95  # how sure "better than a random map" is, for one row
_FAINT = 0.05  # a probability below which curves have little room


def gap_of(row: Mapping[str, Any]) -> float:
    """Insertion less deletion: large for a good map, whichever of the two was measured."""
    return float(row.get("insertion", 0.0)) - float(row.get("deletion", 0.0))


def margin_of(gaps: Sequence[Sequence[float]]) -> float:
    """By how much a map's gap must exceed the mean of the random maps' gaps.

    Student's t at 95 %, one-sided, for one new draw against the mean of `draws` others:
    t s sqrt(1 + 1 / draws), with the variance s^2 of the draws around the mean of their image and
    target, pooled over those. A random map put in by hand should exceed it once in twenty rows; on
    cifar10-resnet20 it did in 8 of 260 over 13 pictures at once, in 22 of 260 one by one.

    Args:
        gaps: of the draws, a list for each image and target.
    """
    from scipy.stats import t

    freedom = sum(len(draws) - 1 for draws in gaps)
    squares = sum(sum((gap - sum(draws) / len(draws)) ** 2 for gap in draws) for draws in gaps)
    quantile = float(t.ppf(_LEVEL, freedom))
    return quantile * math.sqrt(squares / freedom) * math.sqrt(1 + 1 / len(gaps[0]))


def beats_random(row: Mapping[str, Any], random: Sequence[float], margin: float) -> str:
    """Whether a map beats random ones: "clearly", "hardly", "no", or "" where nobody can say.

    By insertion less deletion: where the object fills the picture, removing any half of it removes
    the class, and only insertion can tell. "hardly": by less than `margin`.
    """
    mean = sum(random) / len(random)
    excess = gap_of(row) - mean
    if math.isnan(excess):
        return ""
    if excess <= 0:
        return "no"
    return "hardly" if excess <= margin else "clearly"


def changes(row: Mapping[str, Any]) -> bool | None:
    """Whether the map changes with the weights; None where that was not measured."""
    upper = row.get("randomised_upper", float("nan"))
    return None if math.isnan(upper) else bool(upper <= LIMIT)


def words_of(row: Mapping[str, Any], better: str, blank: bool, probability: bool) -> str:
    """One line on a map."""
    if blank:
        return "the map is the same everywhere and says nothing: Explanation.diagnose() says why"
    facts = _curve_words(row)
    if "road" in row:
        facts.append(f"ROAD {row['road']:.2f}")
    moved = changes(row)
    if moved is not None:
        upper = f"(correlation {row['randomised_upper']:.2f})"
        stays = f"stays much the same when the weights change {upper}"
        facts.append("changes when the weights do" if moved else stays)
    line = ", ".join(facts)
    verdict = _verdict(better, moved)
    if verdict:
        line += f": {verdict}" if line else verdict
    if probability and better and row["score"] < _FAINT:
        line += f" (with a score of {row['score']:.2g} the curves have little room)"
    return line


def _curve_words(row: Mapping[str, Any]) -> list[str]:
    facts: list[str] = []
    for name in ("deletion", "insertion"):
        if name in row:
            text = f"{name} {row[name]:.2f} against {row[f'{name}_random']:.2f}"
            facts.append(text if facts else text + " for a random map")
    return facts


def _verdict(better: str, moved: bool | None) -> str:
    if better == "no":
        return "no better than a random map"
    if better == "hardly":
        return "not clearly better than a random map"
    if moved is False:
        return "not to be trusted"
    if better == "clearly":
        return "to be trusted here" if moved else "better than a random map"
    return ""


def summaries(table: pd.DataFrame, better: Sequence[str]) -> dict[str, str]:
    """A line per method and layer over its images and targets: ``{"grad_cam at layer4": ...}``."""
    lines = {}
    judged = table.assign(_better=list(better))
    for (method, layer), rows in judged.groupby(["method", "layer"], sort=False):
        facts = [
            f"{name} {rows[name].mean():.2f} against {rows[f'{name}_random'].mean():.2f}"
            for name in ("deletion", "insertion")
            if name in rows
        ]
        known = rows["_better"] != ""
        if known.any():
            clearly = int((rows["_better"] == "clearly").sum())
            ahead = clearly + int((rows["_better"] == "hardly").sum())
            count = int(known.sum())
            facts.append(f"better than a random map on {ahead} of {count}, clearly on {clearly}")
        moved = [changes({str(k): v for k, v in row.items()}) for row in rows.to_dict("records")]
        told = [each for each in moved if each is not None]
        if told:
            facts.append(f"changes when the weights do on {sum(told)} of {len(told)}")
        lines[f"{method} at {layer}"] = ", ".join(facts)
    return lines
