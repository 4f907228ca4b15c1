"""Panels stacked over one depth axis: linear, or logarithmic with a strip for exact zeros.

A log axis has no place for 0. Values that are exactly 0 are drawn as markers in a strip below the
axis, labelled "0", and are never left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.views import style
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Area, Hover, Rule, Series, Stripe

Floats = NDArray[np.float64]
Bounds = Sequence[tuple[str, float, float]]  # stage, from, to

DEPTH = "depth (weighted layers from the input)"
_STRIP = 26  # pixels
_GAP = 8
_NARROW = 0.04  # of the axis: a stage this short gets no name
_NAMES = 16  # pixels above the first panel, for the names of stages


@dataclass(frozen=True)
class Panel:
    """One panel: the name of its y axis, of its zero strip's (or None), and its limits."""

    y: str
    zero: str | None
    log: bool
    low: float
    high: float


def add_panel(
    draft: Draft,
    domain: tuple[float, float],
    values: Floats,
    *,
    title: str,
    log: bool,
    limits: tuple[float, float] | None = None,
    x: str = "x",
) -> Panel:
    """Make the y axis, and the zero strip where a log panel has exact zeros.

    Args:
        draft: gets the axes; its height and margins are those that it will have.
        domain: (from, to) of the panel, as shares of the plotting area.
        values: every value that the panel will show, any shape; decides limits and strip.
        title: of the y axis.
        log: a log axis.
        limits: of a linear axis; None: from the values.
        x: the axis at its foot.
    """
    finite = values[np.isfinite(values)]
    zeros = log and bool((finite == 0).any())
    low, high = _log_limits(finite) if log else (limits or _limits(finite))
    pixels = draft.height - draft.margin.top - draft.margin.bottom
    bottom = domain[0] + ((_STRIP + _GAP) / pixels if zeros else 0)
    name = draft.axis_after("y")
    look = _log_ticks(math.log10(low), math.log10(high)) if log else {}
    place = {"domain": (bottom, domain[1]), "limits": (low, high), "anchor": x}
    draft.axis(name, title=title, log=log, **place, **look)
    strip = draft.axis_after("y") if zeros else None
    if strip:
        place = {"domain": (domain[0], domain[0] + _STRIP / pixels), "limits": (-1, 1)}
        draft.axis(strip, ticks=((0, "0"),), fixed=True, grid=False, anchor=x, **place)
    return Panel(name, strip, log, low, high)


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Decades; below two of them also 2 and 5; equal steps where fewer than two of those fit."""
    if high - low >= 2:
        return {"step": max(1, round((high - low) / 6))}
    decades = range(math.floor(low), math.ceil(high) + 1)
    values = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    inside = [v for v in values if low <= math.log10(v) <= high]
    if len(inside) < 2:
        inside = _equal_steps(10**low, 10**high)
    return {"ticks": tuple((v, f"{v:g}") for v in inside)}


def _equal_steps(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, two to six of them."""
    power = math.floor(math.log10(high - low)) - 1
    steps = (digit * 10.0**each for each in itertools.count(power) for digit in (1, 2, 5))
    step = next(s for s in steps if high / s - low / s <= 5)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_limits(values: Floats) -> tuple[float, float]:
    positive = values[values > 0]
    if not len(positive):
        return 1e-1, 1e1
    low, high = math.log10(positive.min()), math.log10(positive.max())
    room = max(0.08 * (high - low), 0.15)
    return 10 ** max(low - room, -320), 10 ** min(high + room, 308)


def _limits(values: Floats) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = 0.07 * (high - low) or 0.1 * abs(high) or 0.5
    return low - room, high + room


def shade_stages(draft: Draft, panels: Sequence[Panel], bounds: Bounds) -> None:
    """Stages as alternating stripes behind every panel; their names stand above the first one."""
    whole = max((b[2] for b in bounds), default=0) - min((b[1] for b in bounds), default=0)
    for number, (stage, low, high) in enumerate(bounds):
        room = high - low > _NARROW * whole
        for panel in panels:
            for y in filter(None, (panel.y, panel.zero)):
                text = stage if y == panels[0].y and room else ""
                draft.add(Stripe((low, high), y, style.SHADES[number % 2], text))
    if bounds:
        draft.head = max(draft.head, _NAMES)


def shared_bounds(several: Iterable[Bounds]) -> Bounds:
    """The stages of all curves, where all have the same; else none."""
    first, *others = several
    return first if all(list(each) == list(first) for each in others) else ()


def depth_axis(
    draft: Draft, foot: Panel, low: float, high: float, title: str, x: str = "x"
) -> None:
    """The x axis that all panels share, below the last one."""
    whole = low.is_integer() and high.is_integer()
    room = max(0.02 * (high - low), 0.6) if whole else 0.03 * (high - low)
    limits, anchor = (low - room, high + room), foot.zero or foot.y
    step_of = whole_step(low, high) if whole else None
    draft.axis(x, limits=limits, title=title, step=step_of, anchor=anchor, grid=False)


def whole_step(low: float, high: float) -> int:
    """Between the numbers of an axis of layers or steps, of which there are no halves.

    Example:
        >>> whole_step(1, 8), whole_step(1, 18), whole_step(0, 20_000)
        (1, 2, 2000)
    """
    steps = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    return next(step for step in steps if step * 10 >= high - low)


def reference_line(draft: Draft, panel: Panel, y: float) -> None:
    """A dotted line across a panel, behind the data."""
    draft.add(Rule((0, 1), (y, y), xref="x domain", yref=panel.y, dash="dot"))


def picked(series: Series, chosen: NDArray[Any], **fields: Any) -> Series:
    """Some of the points of a series, with what the pointer shows of them."""
    hover = series.hover
    if hover is not None:
        rows, texts = (
            None if each is None else np.asarray(each)[chosen] for each in (hover.rows, hover.texts)
        )
        hover = Hover(hover.text, hover.bold, rows, texts)
    x, y = np.asarray(series.x)[chosen], np.asarray(series.y)[chosen]
    return replace(series, **({"x": x, "y": y, "hover": hover} | fields))


def with_zeros(
    panel: Panel, series: Series, size: float = 5, symbol: str = "circle", name: str | None = None
) -> list[Series]:
    """A series on its panel; points that are exactly 0 stand in the strip, where there is one."""
    values = np.asarray(series.y, dtype=float)
    zero = (values == 0) & panel.log
    main = replace(series, y=np.where(zero, np.nan, values), yaxis=panel.y)
    if panel.zero is None or not zero.any():
        return [main]
    name = f"{series.name if name is None else name}, exactly 0"
    look = {"width": 0, "size": size, "symbol": symbol, "legend": False}
    return [main, picked(series, zero, yaxis=panel.zero, name=name, **look)]


def band(
    panel: Panel, x: Any, low: Floats, high: Floats, colour: str, share: float = 0.18, **fields: Any
) -> Area:
    """From low to high along x; on a log axis down to its foot where low is 0. Broken at NaN."""
    floor = np.maximum(low, panel.low) if panel.log else low
    ceiling = np.where(high > 0, np.maximum(high, panel.low), np.nan) if panel.log else high
    broken = np.isnan(floor) | np.isnan(ceiling)
    xs: list[float | None] = []
    ys: list[float | None] = []
    for part in np.split(np.arange(len(x)), np.flatnonzero(broken)):
        part = part[~broken[part]]
        if not len(part):
            continue
        xs += [*x[part], *x[part][::-1], None]
        ys += [*floor[part], *ceiling[part][::-1], None]
    fill = style.translucent(colour, share)
    return Area(x=xs[:-1], y=ys[:-1], fill=fill, **({"yaxis": panel.y} | fields))


def strokes(x: Any, low: Any, high: Any, colour: str, **fields: Any) -> Series:
    """A faint vertical stroke at each place, from low to high."""
    ends = [v for a, b in zip(low, high, strict=True) for v in (a, b, None)]
    faint = style.translucent(colour, 0.45)
    return Series(x=np.repeat(x, 3), y=ends, colour=faint, width=1.5, **fields)
