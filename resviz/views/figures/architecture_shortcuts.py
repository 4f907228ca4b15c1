"""The shortcuts of an architecture: a curve at the right of the boxes that it leads around."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resviz.views.charts.marks import Series, shared
from resviz.views.figures.architecture_boxes import GAP, Box, Column

ARC = 34  # pixels that a shortcut bends out at most
_TAP = 3.5  # pixels between a box and where its shortcut leaves and meets the line
_DASHES = {"identity": "solid", "scaled": "solid", "concatenation": "dot"}
_WORDS = {
    "identity": "identity shortcut",
    "scaled": "scaled shortcut",
    "projection": "projection",
    "padded": "subsampled and zero-padded",
    "concatenation": "concatenation, features untouched",
}


def shortcuts(column: Column, left: float, width: float, shown: set[str]) -> list[Series]:
    """A line for each kind of shortcut and dash, with every curve of that kind in the column."""
    marks = []
    curves = _curves(column, left, width)
    for (kind, dash), lines in sorted(curves.items(), key=lambda each: _rank(each[0][0])):
        name = _legend(kind, dash)
        points = np.concatenate([np.vstack([line, [np.nan, np.nan]]) for line in lines])
        look = shared(width=1.5, dash=dash, name=name, group=name, rank=1000 + _rank(kind))
        marks.append(Series(x=points[:, 0], y=points[:, 1], legend=name not in shown, **look))
        shown.add(name)
        ends = np.array([line[-1] for line in lines])
        symbol = "circle-open" if kind == "concatenation" else "circle"
        look = shared(size=5, symbol=symbol, name=f"{name}, where it ends", group=name)
        marks.append(Series(x=ends[:, 0], y=ends[:, 1], legend=False, **look))
    return marks


def _curves(
    column: Column, left: float, width: float
) -> dict[tuple[str, str], list[NDArray[np.float64]]]:
    """By kind and dash: around the box itself, and around several boxes."""
    curves: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for number, box in enumerate(column.boxes):
        origins = [(kind, column.origin_of(number, unit)) for kind, unit in box.shortcuts]
        own = [each for each in origins if each[1] >= number - 1]
        for arc, (kind, _) in enumerate(own):
            dash = _dash(column, number, kind, own[0][1])
            curve = _around(box, arc, len(own), left, width)
            curves.setdefault((kind, dash), []).append(curve)
        for kind, origin in origins:  # those that lead around several boxes
            if origin < number - 1:
                dash = _dash(column, number, kind, origin)
                curve = _far(column, origin, number, left, width)
                curves.setdefault((kind, dash), []).append(curve)
    return curves


def _rank(kind: str) -> int:
    return [*_WORDS, kind].index(kind)


def _legend(kind: str, dash: str) -> str:
    words = _WORDS.get(kind, kind)
    if kind == "projection":
        return f"{words} shortcut, " + ("shape stays" if dash == "solid" else "shape changes")
    return words


def _dash(column: Column, number: int, kind: str, origin: int) -> str:
    """Solid where the shape stays, dashed where it changes."""
    if kind != "projection":
        return _DASHES.get(kind, "dash")
    images = column.about.get("input_shape", [])
    shape = images if origin < 0 else column.boxes[origin].first["shape"]
    return "solid" if list(shape) == list(column.boxes[number].first["shape"]) else "dash"


def _around(box: Box, arc: int, arcs: int, left: float, width: float) -> NDArray[np.float64]:
    """(points, 2): from the line above the box, out at the right, and back below it.

    Several divide the side of the box between them, in order.
    """
    part = box.height / arcs
    first, last = arc == 0, arc == arcs - 1
    top = box.top - _TAP if first else box.top + arc * part + 1
    bottom = box.bottom + _TAP if last else box.top + (arc + 1) * part - 1
    right, middle = left + width, left + width / 2
    return _bow(
        (middle if first else right, top), (middle if last else right, bottom), right, 0.62 * ARC
    )


def _far(
    column: Column, origin: int, number: int, left: float, width: float
) -> NDArray[np.float64]:
    """The same around all boxes between the one where it begins and the one where it ends."""
    top = column.boxes[origin].bottom + GAP - _TAP if origin >= 0 else -_TAP
    bottom = column.boxes[number].bottom + _TAP + 1
    reach = ARC * min(1.0, 0.75 + 0.05 * (number - origin))
    middle = left + width / 2
    return _bow((middle, top), (middle, bottom), left + width, reach)


def _bow(
    begin: tuple[float, float], end: tuple[float, float], right: float, reach: float
) -> NDArray[np.float64]:
    angle = np.linspace(0, np.pi, 25)
    x = right + reach * np.sin(angle) ** 0.6
    y = (begin[1] + end[1]) / 2 - (end[1] - begin[1]) / 2 * np.cos(angle)
    return np.column_stack([[begin[0], *x, end[0]], [-begin[1], *-y, -end[1]]])
