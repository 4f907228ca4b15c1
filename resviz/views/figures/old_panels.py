"""As panels.py, of figures that are not charts yet.

Panels stacked over one depth axis: linear, or logarithmic with a strip for exact zeros.

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
from resviz.views.figures.curves import Curve
from resviz.views.static import plain

_HOVER = (
    "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>shape %{customdata[2]}"
    "<br>%{customdata[3]}<extra></extra>"
)
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


def legend_width(fig: Figure) -> int:
    """Pixels that the longest line of the legend takes, beside its line and marker."""
    named = [trace.name or "" for trace in fig.data if trace.showlegend is not False]
    lines = [line for name in named for line in plain(name).splitlines()]
    return min(84 + round(7.6 * max(map(len, lines), default=0)), 430)


def add_curve(
    fig: Figure, panel: Panel, each: Curve, colour: str, *, name: str, dash: str = "solid"
) -> None:
    """Draw one network: band, line, projections beside it, and exact zeros in the strip."""
    with np.errstate(all="ignore"):
        finite = np.where(np.isfinite(each.values), each.values, np.nan)
        seen = np.asarray(~np.isnan(finite).all(axis=1))
        low, middle, high = (_over_seeds(f, finite, seen) for f in (np.min, np.median, np.max))
    order = np.argsort(each.rows["x"].to_numpy(), kind="stable")
    line = np.array([i for i in order if not each.aside[i]], dtype=int)
    xs, hover = each.rows["x"].to_numpy(), _hover(each, low, middle, high)
    if each.seeds > 1:
        _add_band(fig, panel, xs[line], low[line], high[line], colour, name)
    drawn = np.where(middle > 0, middle, np.nan) if panel.log else middle
    mode = "lines+markers" if len(line) <= 130 else "lines"
    fig.add_scatter(
        x=xs[line],
        y=drawn[line],
        yaxis=panel.y,
        mode=mode,
        name=name,
        legendgroup=name,
        customdata=hover[line],
        hovertemplate=_HOVER,
        line={"color": colour, "width": 2, "dash": dash},
        marker={"size": 5, "color": colour},
    )
    if each.aside.any():
        fig.add_scatter(
            x=xs[each.aside],
            y=drawn[each.aside],
            yaxis=panel.y,
            mode="markers",
            name=f"{style.escape(each.name)}, projections",
            legendgroup=name,
            customdata=hover[each.aside],
            hovertemplate=_HOVER,
            marker={"symbol": "diamond-open", "size": 9, "color": colour},
        )
    if panel.zero:
        _add_zeros(fig, panel, each, low == 0, middle == 0, hover, colour, name)


def _over_seeds(
    function: Any, values: NDArray[np.float64], seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    out = np.full(len(values), np.nan)
    out[seen] = [function(row[~np.isnan(row)]) for row in values[seen]]
    return out


def _hover(each: Curve, low: Any, middle: Any, high: Any) -> NDArray[np.object_]:
    """(R, 4) text: layer, network and x, shape, value; escaped."""
    texts = []
    rows: list[Any] = list(each.rows.itertuples())
    for i, row in enumerate(rows):
        value = f"{middle[i]:.4g}"
        if each.seeds > 1:
            value = f"median {value}, from {low[i]:.4g} to {high[i]:.4g} ({each.seeds} seeds)"
        place = f"{style.escape(each.name)}, depth {row.x:g}"
        if row.stage:
            place += f", {style.escape(row.stage)}"
        note = " (projection)" if each.aside[i] else f" ({row.kind})" if row.kind else ""
        texts.append([style.escape(row.layer) + note, place, style.escape(row.shape), value])
    return np.array(texts, dtype=object)


def _add_band(
    fig: Figure, panel: Panel, xs: Any, low: Any, high: Any, colour: str, name: str
) -> None:
    """From the smallest to the largest seed; down to the axis' foot where the smallest is 0."""
    floor = np.where(low > 0, low, panel.low) if panel.log else low
    ceiling = np.where(high > 0, high, np.nan) if panel.log else high
    broken = np.isnan(floor) | np.isnan(ceiling)
    polygons_x: list[float | None] = []
    polygons_y: list[float | None] = []
    for part in np.split(np.arange(len(xs)), np.flatnonzero(broken)):
        part = part[~broken[part]]
        polygons_x += [*xs[part], *xs[part][::-1], None]
        polygons_y += [*floor[part], *ceiling[part][::-1], None]
    fig.add_scatter(
        x=polygons_x,
        y=polygons_y,
        yaxis=panel.y,
        mode="lines",
        fill="toself",
        fillcolor=style.translucent(colour, 0.18),
        line={"width": 0, "color": colour},
        legendgroup=name,
        name=f"{name}, range",
        showlegend=False,
        hoverinfo="skip",
    )


def _add_zeros(
    fig: Figure,
    panel: Panel,
    each: Curve,
    some: Any,
    middle: Any,
    hover: Any,
    colour: str,
    name: str,
) -> None:
    """Markers in the strip: filled where the (median) value is 0, open where some seeds are."""
    for chosen, symbol, what in (
        (middle, "circle", "exactly 0"),
        (some & ~middle, "circle-open", "0 in some seeds"),
    ):
        if chosen.any():
            fig.add_scatter(
                x=each.rows["x"][chosen],
                y=np.zeros(int(chosen.sum())),
                yaxis=panel.zero,
                mode="markers",
                name=f"{name}, {what}",
                legendgroup=name,
                showlegend=False,
                customdata=hover[chosen],
                hovertemplate=_HOVER,
                marker={"symbol": symbol, "size": 6, "color": colour},
            )
