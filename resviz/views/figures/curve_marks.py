"""One network's curve as marks: band, line, projections beside it, exact zeros in the strip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.views.charts.marks import Hover, Mark, Series, shared
from resviz.views.figures.curves import Curve
from resviz.views.figures.panels import Floats, Panel, band, picked

_MANY = 130  # points, beyond which a line has none
_HOVER = "\n%{customdata[1]}\nshape %{customdata[2]}\n%{customdata[3]}"


def curve_marks(
    panel: Panel, each: Curve, colour: str, *, name: str, dash: str = "solid", **fields: Any
) -> list[Mark]:
    """What draws one network on a panel.

    Args:
        panel: where.
        each: the network's values.
        colour: of all marks.
        name: in the legend.
        dash: of the line.
        fields: of every mark, as ``xaxis`` or ``legend``.
    """
    low, middle, high = _over_seeds(each.values)
    x = each.rows["x"].to_numpy()
    y = np.where(middle > 0, middle, np.nan) if panel.log else middle
    hover = Hover(_HOVER, "%{customdata[0]}", _hover(each, low, middle, high))
    look = shared(colour=colour, hover=hover, group=name) | fields
    whole = Series(x=x, y=y, yaxis=panel.y, name=name, size=5, **look)
    order = np.argsort(x, kind="stable")
    line = order[~each.aside[order]]
    marks: list[Mark] = []
    if each.seeds > 1:
        own = shared(group=name) | fields | shared(name=f"{name}, range", legend=False)
        marks.append(band(panel, x[line], low[line], high[line], colour, **own))
    size = 5 if len(line) <= _MANY else 0
    marks.append(picked(whole, line, width=2, dash=dash, size=size))
    if each.aside.any():
        kinds = sorted(set(each.rows["kind"][each.aside]), reverse=True)
        words = f"{each.name}, {' and '.join(f'{kind}s' for kind in kinds)}"
        marks.append(picked(whole, each.aside, size=9, symbol="diamond-open", name=words))
    if panel.zero:
        marks += _zeros(replace(whole, yaxis=panel.zero, legend=False), low == 0, middle == 0)
    return marks


def _over_seeds(values: Floats) -> tuple[Floats, Floats, Floats]:
    """(least, median, most) of each row's finite values; NaN where there are none."""
    finite = np.where(np.isfinite(values), values, np.nan)
    seen = ~np.isnan(finite).all(axis=1)
    out = np.full((3, len(values)), np.nan)
    for number, share in enumerate((0, 0.5, 1)):
        out[number, seen] = np.nanquantile(finite[seen], share, axis=1)
    return out[0], out[1], out[2]


def _hover(each: Curve, low: Floats, middle: Floats, high: Floats) -> NDArray[np.object_]:
    """(R, 4) text: layer, network and x, shape, value."""
    texts = []
    rows: list[Any] = list(each.rows.itertuples())
    for i, row in enumerate(rows):
        value = f"{middle[i]:.4g}"
        if each.seeds > 1:
            value = f"median {value}, from {low[i]:.4g} to {high[i]:.4g} ({each.seeds} seeds)"
        place = f"{each.name}, {each.x} {row.x:g}" + (f", {row.stage}" if row.stage else "")
        note = f" ({row.kind})" if row.kind else ""
        texts.append([row.layer + note, place, row.shape, value])
    return np.array(texts, dtype=object)


def _zeros(whole: Series, some: NDArray[np.bool_], middle: NDArray[np.bool_]) -> list[Series]:
    """Markers in the strip: filled where the (median) value is 0, open where some seeds are."""
    found = []
    for chosen, symbol, what in (
        (middle, "circle", "exactly 0"),
        (some & ~middle, "circle-open", "0 in some seeds"),
    ):
        if chosen.any():
            y, words = np.zeros(int(chosen.sum())), f"{whole.name}, {what}"
            found.append(picked(whole, chosen, y=y, size=6, symbol=symbol, name=words))
    return found
