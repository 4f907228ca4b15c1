"""Landscapes on a line: loss and error against alpha, several networks on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Rule, Series, shared
from resviz.views.charts.words import room_for, short
from resviz.views.figure import Figure
from resviz.views.figures.panels import Panel, add_panel, with_zeros

_HEIGHT = 560
_DOMAINS = {"loss": (0.46, 1.0), "error": (0.0, 0.38)}
_LEGEND = 300  # pixels at most


def line_figure(
    named: Mapping[str, pd.DataFrame],
    log: bool,
    title: str | None,
    notes: Sequence[str],
    own: Sequence[str],
    captions: Sequence[Sequence[str]],
) -> Figure:
    """Loss above, error below; a curve per network.

    Args:
        named: tables by name.
        log: the axis of the loss.
        title: replaces the first line of the title.
        notes: further lines of the title.
        own: what is particular to each.
        captions: lines about each, for the legend.
    """
    names = [
        "\n".join([short(name, _LEGEND), *filter(None, [extra, *lines])])
        for (name, extra), lines in zip(zip(named, own, strict=True), captions, strict=True)
    ]
    widest = max(room_for(line) for name in names for line in name.splitlines())
    margin = Margin(84, round(min(widest, 330)) + 60)
    draft = Draft(_HEIGHT, margin=margin)
    panels = {column: _add_panel(draft, named, column, log) for column in _DOMAINS}
    ends = np.concatenate([t["alpha"].to_numpy(float) for t in named.values()])
    low, high = float(ends.min()), float(ends.max())
    room, foot = 0.03 * (high - low), panels["error"]
    draft.axis("x", limits=(low - room, high + room), title="α", anchor=foot.y, grid=False)
    for panel in panels.values():
        draft.add(Rule((0, 0), (0, 1), yref=f"{panel.y} domain", dash="dot"))
    colours = style.colours_of(named)
    for number, (key, table) in enumerate(named.items()):
        for column, panel in panels.items():
            look = shared(name=names[number], colour=colours[key])
            draft.add(*_curve(panel, table, column, key, **look))
    said = " · ".join(filter(None, notes))
    return Figure.of(draft.chart(title or "Loss and error on a line through the weights", said))


def _add_panel(draft: Draft, named: Mapping[str, pd.DataFrame], column: str, log: bool) -> Panel:
    values = np.concatenate([table[column].to_numpy(float) for table in named.values()])
    if column == "error":
        limits = (-3.0, 103.0)
        return add_panel(
            draft, _DOMAINS[column], values, title="error (%)", log=False, limits=limits
        )
    title = f"loss{' (log)' if log else ''}"
    return add_panel(draft, _DOMAINS[column], values, title=title, log=log)


def _curve(panel: Panel, table: pd.DataFrame, column: str, key: str, **look: Any) -> list[Series]:
    rows = table.sort_values("alpha")
    x, values = (rows[name].to_numpy(dtype=float) for name in ("alpha", column))
    unit = " %" if column == "error" else ""
    hover = Hover(f"\nα %{{x:.3g}}\n{column} %{{y:.4g}}{unit}", key)
    y = np.where(np.isfinite(values), values, np.nan)
    look |= shared(width=2, size=5, group=key, hover=hover, legend=column == "loss")
    return with_zeros(panel, Series(x=x, y=y, **look), name=f"{key}, {column}")
