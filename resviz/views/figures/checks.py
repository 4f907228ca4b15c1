"""The table of `faithfulness` as lines: which checks it holds, their curves, looks and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.errors import closest
from resviz.views import style
from resviz.views.charts.words import short

_DASHES = ("solid", "dot", "dashdot", "dash")
FEW = 5  # from so many maps on the band is the standard error, below it least to most
_GREY = "#8a8f98"


@dataclass(frozen=True)
class Check:
    """One panel: its columns in the table, and its words.

    Attributes:
        name: of the check.
        curve, value, random: columns: the curve, its one number, that of a random map ("": none).
        better: which way is better.
        x, y: titles of the axes.
        hover: what a place on the x axis is.
    """

    name: str
    curve: str
    value: str
    random: str
    better: str
    x: str
    y: str
    hover: str


_SCORE, _STAGES = "{score} of the target", "stages randomised, from the head down"
CHECKS = (
    Check(
        *("deletion", "deletion_curve", "deletion", "deletion_random", "lower is better"),
        *("share of the pixels removed", _SCORE, "of the pixels removed"),
    ),
    Check(
        *("insertion", "insertion_curve", "insertion", "insertion_random", "higher is better"),
        *("share of the pixels revealed", _SCORE, "of the pixels revealed"),
    ),
    Check(
        *("randomisation", "randomisation_curve", "randomised_upper", "", "lower is better"),
        *(_STAGES, "rank correlation with the original map", "stages randomised"),
    ),
)


@dataclass(frozen=True)
class Line:
    """A method at a layer, or random maps: name in the legend, look, and its curves by check.

    A curve's array is (maps, points).
    """

    name: str
    look: Mapping[str, Any]
    curves: Mapping[str, NDArray[np.float64]]
    random: bool = False


def rows_of(table: object, image: int | None, target: int | str | None) -> pd.DataFrame:
    """The rows to draw.

    Raises:
        TypeError: no DataFrame.
        ValueError: a column is missing, no such image or target, or no rows.
    """
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"plot_faithfulness: a {type(table).__name__}; a DataFrame is right. "
            "See rv.faithfulness(net, images, exp)."
        )
    missing = [name for name in ("method", "layer", "image", "target") if name not in table]
    if missing:
        raise ValueError(
            f"plot_faithfulness: a table without {', '.join(missing)}; a row per method, layer, "
            "image and target is right. See rv.faithfulness(net, images, exp)."
        )
    rows = table
    for column, wanted in (("image", image), ("target", target)):
        if wanted is None:
            continue
        known = list(dict.fromkeys(rows[column]))
        if wanted not in known:
            near = closest(str(wanted), [str(each) for each in known], n=3)
            where = f" of image {image}" if column == "target" and image is not None else ""
            raise ValueError(
                f"plot_faithfulness: no {column} {wanted!r}{where} in the table; closest: {near}. "
                f"See table[{column!r}].unique()."
            )
        rows = rows[rows[column] == wanted]
        if column == "target" and "index" in rows and rows["index"].nunique() > 1:
            indices = ", ".join(str(index) for index in rows["index"].unique())
            raise ValueError(
                f"plot_faithfulness: {wanted!r} is the name of several targets ({indices}); one of "
                "them would be right. Give table[table['index'] == ...]."
            )
    if rows.empty:
        raise ValueError(
            "plot_faithfulness: an empty table; a row at least is needed. "
            "See rv.faithfulness(net, images, exp)."
        )
    return rows


def targets_in(rows: pd.DataFrame) -> list[str]:
    """The columns that tell targets apart: names may be those of several."""
    return ["target", "index"] if "index" in rows else ["target"]


def has_curve(rows: pd.DataFrame, column: str) -> bool:
    """The column is there, and one of the rows has a curve in it."""
    return column in rows and any(_is_curve(value) for value in rows[column])


def _is_curve(value: object) -> bool:
    """A sequence of numbers; a check that was not made has None or NaN in its place."""
    return isinstance(value, (tuple, list, np.ndarray)) and len(value) > 0


def _curves(rows: pd.DataFrame, column: str, who: str) -> NDArray[np.float64] | None:
    """(rows, points), or None where the check was not made."""
    if not has_curve(rows, column):
        return None
    found = [np.asarray(value, dtype=float) for value in rows[column] if _is_curve(value)]
    lengths = sorted({len(curve) for curve in found})
    if len(lengths) > 1:
        raise ValueError(
            f"plot_faithfulness: {column} of {who} with {lengths[0]} and with {lengths[1]} points; "
            "curves of one length are right. Plot tables of different steps one by one."
        )
    return np.stack(found)


def lines_of(rows: pd.DataFrame, checks: list[Check]) -> list[Line]:
    """A line for each method at each layer.

    Raises:
        ValueError: curves of different lengths in one line.
    """
    groups = list(rows.groupby(["method", "layer"], sort=False))
    methods = list(dict.fromkeys(rows["method"]))
    layers = list(dict.fromkeys(rows["layer"]))
    lines = []
    for number, ((method, layer), part) in enumerate(groups):
        colour, dash = style.colour(number), "solid"
        if len(groups) > len(style.COLOURS):  # more lines than colours: methods have the colours
            colour = style.colour(methods.index(method))
            turn = layers.index(layer) + methods.index(method) // len(style.COLOURS)
            dash = _DASHES[turn % len(_DASHES)]
        who = f"{method}, {layer}"
        lines.append(
            Line(
                f"{short(who, 260, middle=True)}{_values(part, checks, 'value')}",
                {"colour": colour, "dash": dash, "width": 2.2},
                _by_check(part, {check.name: check.curve for check in checks}, who),
            )
        )
    return lines


def randoms_of(rows: pd.DataFrame, checks: list[Check]) -> list[Line]:
    """Random maps, a line for each layer: they have its resolution.

    Raises:
        ValueError: curves of different lengths in one line.
    """
    columns = {c.name: f"{c.random}_curve" for c in checks if c.random}
    lines: list[Line] = []
    layers = list(rows.groupby("layer", sort=False))
    for number, (layer, part) in enumerate(layers):
        some = [
            any(map(_is_curve, values)) for values in part.filter(list(columns.values())).to_numpy()
        ]
        part = part[some].drop_duplicates(["image", *targets_in(part)])  # alike for all methods
        curves = _by_check(part, columns, f"random maps at {layer}")
        if curves:
            what = "random map" if len(layers) == 1 else f"random map, {layer}"
            look = {"colour": _GREY, "dash": _DASHES[1:][::-1][number % 3], "width": 1.6}
            values = _values(part, checks, "random")
            lines.append(Line(short(what, 260, middle=True) + values, look, curves, random=True))
    return lines


def _by_check(
    rows: pd.DataFrame, columns: Mapping[str, str], who: str
) -> dict[str, NDArray[np.float64]]:
    found = {name: _curves(rows, column, who) for name, column in columns.items()}
    return {name: curves for name, curves in found.items() if curves is not None}


def _values(rows: pd.DataFrame, checks: list[Check], kind: str) -> str:
    """``": 0.12 / 0.61"``: the means of the checks' values, a dash where there is none."""
    shown = []
    for check in checks:
        column = getattr(check, kind)
        numbers = pd.to_numeric(rows[column], errors="coerce") if column in rows else None
        mean = np.nan if numbers is None or numbers.isna().all() else float(numbers.mean())
        shown.append("–" if np.isnan(mean) else _number(mean, small=bool(check.random)))
    return ": " + " / ".join(shown) if set(shown) != {"–"} else ""


def _number(value: float, small: bool) -> str:
    """Two decimals; where `small` values count, two digits: a probability among 1,000 classes."""
    if small and value and abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{round(value, 2) + 0.0:.2f}"  # + 0: no "-0.00"


def places(check: Check, lines: Sequence[Line]) -> NDArray[np.float64]:
    """Where a panel's curves have their points: shares of the pixels, or numbers of stages.

    A curve of the randomisation that begins at exactly 1 begins with the trained weights: stage 0.
    """
    found = [line.curves[check.name] for line in lines]
    count = max(curves.shape[1] for curves in found)
    if check.name != "randomisation":
        return np.linspace(0.0, 1.0, count)
    first = np.concatenate([curves[:, 0] for curves in found])
    trained = bool((first[np.isfinite(first)] == 1).all()) and bool(np.isfinite(first).any())
    return np.arange(count, dtype=np.float64) + (0.0 if trained else 1.0)


def middle(curves: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """(mean, lower end of the band, upper end) at each point; NaN where no map has a value."""
    known = np.isfinite(curves)
    count = known.sum(axis=0)
    some = np.where(count > 0, 1.0, np.nan)
    mean = some * np.where(known, curves, 0).sum(axis=0) / np.maximum(count, 1)
    if len(curves) < FEW:
        least = np.where(known, curves, np.inf).min(axis=0)
        most = np.where(known, curves, -np.inf).max(axis=0)
        return mean, np.where(count > 0, least, np.nan), np.where(count > 0, most, np.nan)
    square = np.where(known, (curves - mean) ** 2, 0).sum(axis=0)
    error = np.sqrt(square / np.maximum(count - 1, 1) / np.maximum(count, 1))
    return mean, mean - error, mean + error


def modules(about: Mapping[str, Any], x: NDArray[np.float64]) -> list[str]:
    """What each stage randomised, in addition to those before: its first and last module."""
    stages = about.get("stages") or []
    words = []
    for number in x.astype(int):
        paths = stages[number - 1] if 0 < number <= len(stages) else []
        ends = list(dict.fromkeys([*paths[:1], *paths[-1:]]))
        words.append(f": {' … '.join(map(str, ends))}" if ends else "")
    return words
