"""Panels stacked over one depth axis: linear, or logarithmic with a strip for exact zeros.

A log axis has no place for 0. Values that are exactly 0 are drawn as markers in a strip below the
axis, labelled "0", and are never left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.views import style
from resviz.views.figure import Figure

_STRIP = 26  # pixels
_GAP = 8


_STEPS = (1, 2, 5, 10, 20, 50, 100, 200)  # whole layers between the numbers of the depth axis
_NARROW = 0.04  # of the axis: a stage this short gets no name


@dataclass(frozen=True)
class Panel:
    """One panel: the name of its y axis, of its zero strip's (or None), and its log limits."""

    y: str
    zero: str | None
    log: bool
    low: float
    high: float


def add_panel(
    fig: Figure,
    domain: tuple[float, float],
    values: NDArray[np.float64],
    *,
    title: str,
    log: bool,
    pixels: float,
    limits: tuple[float, float] | None = None,
) -> Panel:
    """Make the y axis, and the zero strip where a log panel has exact zeros.

    Args:
        fig: gets the axes.
        title: of the y axis.
        log: a log axis.
        domain: (from, to) of the panel in paper coordinates.
        values: every value that the panel will show, any shape; decides limits and strip.
        pixels: height of the whole plotting area.
        limits: of a linear axis; None: from the values.
    """
    finite = values[np.isfinite(values)]
    zeros = log and bool((finite == 0).any())
    names = _axis_names(fig)
    low, high = _log_limits(finite) if log else (limits or _limits(finite))
    bottom = domain[0] + ((_STRIP + _GAP) / pixels if zeros else 0)
    span = [math.log10(low), math.log10(high)] if log else [low, high]
    axis: dict[str, Any] = {
        "domain": [bottom, domain[1]],
        "range": span,
        "anchor": "x",
        "title": {"text": title},
        "type": "log" if log else "linear",
    }
    if log:
        axis |= _log_ticks(span[0], span[1])
    fig.update_layout({_layout_name(names[0]): axis})
    if zeros:
        fig.update_layout(
            {
                _layout_name(names[1]): {
                    "domain": [domain[0], domain[0] + _STRIP / pixels],
                    "range": [-1, 1],
                    "anchor": "x",
                    "tickvals": [0],
                    "ticktext": ["0"],
                    "fixedrange": True,
                    "showgrid": False,
                }
            }
        )
    return Panel(names[0], names[1] if zeros else None, log, low, high)


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Decades; below two of them also 2 and 5, so that every axis has numbers to read."""
    if high - low >= 2:
        return {"exponentformat": "power", "dtick": max(1, round((high - low) / 6))}
    decades = range(math.floor(low), math.ceil(high) + 1)
    values = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    shown = [value for value in values if low <= math.log10(value) <= high]
    return {"tickvals": shown, "ticktext": [f"{value:g}" for value in shown]}


def _axis_names(fig: Figure) -> tuple[str, str]:
    used = [key for key in fig.layout.to_plotly_json() if key.startswith("yaxis")]
    numbers = [int(key[5:] or 1) for key in used]
    first = max(numbers, default=0) + 1
    return (f"y{first}" if first > 1 else "y"), f"y{first + 1}"


def _layout_name(axis: str) -> str:
    return f"{axis[0]}axis{axis[1:]}"


def _log_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    positive = values[values > 0]
    if not len(positive):
        return 1e-1, 1e1
    low, high = math.log10(positive.min()), math.log10(positive.max())
    room = max(0.08 * (high - low), 0.15)
    return 10 ** max(low - room, -320), 10 ** min(high + room, 308)


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = 0.07 * (high - low) or 0.1 * abs(high) or 0.5
    return low - room, high + room


def shade_stages(fig: Figure, panels: list[Panel], bounds: list[tuple[str, float, float]]) -> None:
    """Stages as alternating stripes behind every panel; their names stand in the first panel."""
    whole = max((high for _, _, high in bounds), default=0) - min((b[1] for b in bounds), default=0)
    for number, (stage, low, high) in enumerate(bounds):
        room = high - low > _NARROW * whole
        for panel in panels:
            for y in filter(None, (panel.y, panel.zero)):
                fig.add_shape(
                    type="rect",
                    xref="x",
                    yref=f"{y} domain",
                    x0=low,
                    x1=high,
                    y0=0,
                    y1=1,
                    fillcolor=style.SHADES[number % 2],
                    line={"width": 0},
                    layer="below",
                    label={
                        "text": style.escape(stage) if y == panels[0].y and room else "",
                        "textposition": "top center",
                        "font": {"size": style.SMALL, "color": style.FAINT},
                    },
                )


def depth_axis(fig: Figure, foot: Panel, low: float, high: float, title: str) -> None:
    """The x axis that all panels share, below the last one."""
    whole = low.is_integer() and high.is_integer()
    room = max(0.02 * (high - low), 0.6) if whole else 0.03 * (high - low)
    step = next((s for s in _STEPS if s * 10 >= high - low), _STEPS[-1])
    fig.update_layout(
        xaxis={
            "range": [low - room, high + room],
            "title": {"text": title},
            "dtick": step if whole else None,
            "anchor": foot.zero or foot.y,
            "showgrid": False,
            "zeroline": False,
        }
    )
