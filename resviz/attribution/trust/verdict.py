"""The numbers of `faithfulness` in words: better than a random map? changed with the weights?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from resviz.attribution.trust.randomisation import LIMIT
from resviz.attribution.trust.rivals import LEVEL, NULLS, REACH, together

# what is said of a map that falls short of random ones, or of most
_SHORT = {
    "still": "the score hardly moves whatever is removed, so that no map can be judged by it",
    "moot": "too little apart from a random map to matter",
    "worse": "worse than a random map",
    "no": "no better than a random map",
    "hardly": "not clearly better than a random map",
}
_CURVES = ("_curve", "_random_curve")
_FAINT = 0.05  # a probability below which curves have little room
_SLIGHT = 0.01  # of a probability: what no one would notice, however sure a rank test is of it
_DIGITS = 1e-6  # of a score without bounds: what rounding moves


def beats_random(p_random: float) -> str:
    """Whether a map beats random ones: "clearly", "hardly", "no", "worse"; "" where nobody can say.

    By insertion less deletion: where the object fills the picture, removing any half of it removes
    the class, and only insertion can tell. "clearly": one random map in twenty does as well, or
    fewer (see :func:`resviz.attribution.trust.rivals.p_value`). "no": half of them do. "worse": so
    few do worse that by the same level the map is behind random ones.
    """
    if math.isnan(p_random):
        return ""
    if p_random <= LEVEL:
        return "clearly"
    if p_random > 1 - LEVEL:
        return "worse"
    return "no" if p_random > 0.5 else "hardly"


def standing(row: Mapping[str, Any], probability: bool) -> str:
    """The same of a row; of a probability also "still" and "moot".

    A rank test is sure of any difference, however small. "still": the probability stays as it is,
    to a hundredth, whatever is removed; another score stays to the last digits. "moot": it moves,
    and the map is ahead of random ones, or behind them, by less than that.
    """
    better = beats_random(row.get("p_random", math.nan))
    if better and _swing(row) <= _DIGITS * abs(row["score"]):
        return "still"
    if not better or not probability or row["score"] < _FAINT:  # that has words of its own
        return better
    if _swing(row) < _SLIGHT:
        return "still"
    return "moot" if better != "no" and abs(_lead(row)) < _SLIGHT else better


def changes(row: Mapping[str, Any]) -> bool | None:
    """Whether the map changes with the weights; None where that was not measured."""
    upper = row.get("randomised_upper", float("nan"))
    return None if math.isnan(upper) else bool(upper <= LIMIT)


def words_of(
    row: Mapping[str, Any],
    better: str,
    blank: bool,
    probability: bool,
    rivals: int = 0,
    null: str = "noise",
) -> str:
    """One line on a map, which stood against so many `rivals` of that kind."""
    if blank:
        return "the map is the same everywhere and says nothing: Explanation.diagnose() says why"
    facts = [*_curve_words(row), *_rank_words(row, rivals, null)]
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


def _lead(row: Mapping[str, Any]) -> float:
    """How far the curves are ahead of a random map's, in units of the score; NaN without them."""
    leads = [
        sign * (row[name] - row[f"{name}_random"])
        for name, sign in (("deletion", -1), ("insertion", 1))
        if name in row
    ]
    return sum(leads) if leads else math.nan


def _swing(row: Mapping[str, Any]) -> float:
    """How far any of the curves goes; NaN without them."""
    names = [f"{name}{kind}" for name in ("deletion", "insertion") for kind in _CURVES]
    curves = [row[name] for name in names if name in row]
    return max((max(curve) - min(curve) for curve in curves), default=math.nan)


def _curve_words(row: Mapping[str, Any]) -> list[str]:
    facts: list[str] = []
    for name in ("deletion", "insertion"):
        if name in row:
            text = f"{name} {row[name]:.2f} against {row[f'{name}_random']:.2f}"
            facts.append(text if facts else text + " for a random map")
    return facts


def _rank_words(row: Mapping[str, Any], rivals: int, null: str) -> list[str]:
    """The test, its random maps and its level."""
    p_random = row.get("p_random", math.nan)
    if math.isnan(p_random):
        return []
    behind = rivals + 1 - round(p_random * (rivals + 1))
    return [
        f"ahead of {behind} of {rivals} {NULLS[null]} (rank test, one-sided, {REACH}, "
        f"p {p_random:.3f}, level {LEVEL})"
    ]


def _verdict(better: str, moved: bool | None) -> str:
    if better in _SHORT:
        return _SHORT[better]
    if moved is False:
        return "not to be trusted"
    if better == "clearly":
        return "passes both checks" if moved else "better than a random map"
    return ""


def summaries(table: pd.DataFrame, better: Sequence[str], rivals: int, null: str) -> dict[str, str]:
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
            hardly = int((rows["_better"] == "hardly").sum())
            count = int(known.sum())
            ranks = _all_words(rows[known], rivals, null)
            worse = int((rows["_better"] == "worse").sum())
            moot = int(rows["_better"].isin(["still", "moot"]).sum())
            facts.append(
                f"clearly better than a random map on {clearly} of {count}"
                f"{f', not clearly on {hardly} more' if hardly else ''}"
                f"{f', worse on {worse}' if worse else ''}"
                f"{f', on {moot} too little apart to matter' if moot else ''} {ranks}"
            )
        moved = [changes({str(k): v for k, v in row.items()}) for row in rows.to_dict("records")]
        told = [each for each in moved if each is not None]
        if told:
            facts.append(f"changes when the weights do on {sum(told)} of {len(told)}")
        lines[f"{method} at {layer}"] = ", ".join(facts)
    return lines


def _all_words(rows: pd.DataFrame, rivals: int, null: str) -> str:
    """The test, and its result over all images."""
    test = f"one-sided rank test of each, {REACH}, against"
    about = f"{test} {rivals} {NULLS[null]}, level {LEVEL}"
    groups = [each.tolist() for _, each in rows.groupby("image")["p_random"]]
    return f"(over all p {together(groups):.2g}; {about})"
