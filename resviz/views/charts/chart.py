"""`Chart`: marks on axes under a title, whole and frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from resviz.views.charts.marks import ColourBar, Mark, Note, Rule, Stripe


@dataclass(frozen=True)
class Axis:
    """An axis: "x", "y", "x2" ... by its name in the chart.

    Attributes:
        title: beside it.
        limits: values at its ends, the larger one first for one that runs backwards; None: of what
            stands on it.
        log: logarithmic.
        domain: from and to, as shares of the plotting area.
        anchor: the axis at whose foot it stands; None: of the same number.
        ticks: (value, words); None: numbers.
        step: between numbers; on a logarithmic axis, in decades.
        grid: lines across.
        visible: False: no numbers, no line.
        square: a unit is as long as on "x".
        fixed: no zooming.
    """

    title: str = ""
    limits: tuple[float, float] | None = None
    log: bool = False
    domain: tuple[float, float] = (0.0, 1.0)
    anchor: str | None = None
    ticks: tuple[tuple[float, str], ...] | None = None
    step: float | None = None
    grid: bool = True
    visible: bool = True
    square: bool = False
    fixed: bool = False


@dataclass(frozen=True)
class Legend:
    """Where the legend stands: a place of the plotting area, and which corner of it is there."""

    x: float = 1.02
    y: float = 1.0
    anchor: tuple[str, str] = ("left", "top")
    across: bool = False
    gap: float | None = None  # pixels between groups


@dataclass(frozen=True)
class Margin:
    """Pixels around the plotting area."""

    left: float = 72
    right: float = 24
    top: float = 96
    bottom: float = 56


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart, whole and frozen.

    Attributes:
        title: the first line.
        lines: smaller ones below it.
        height, width: in pixels; the width None: as wide as there is room.
        margin: around the plotting area.
        axes: by name.
        marks: what was measured, from back to front.
        below: rules and stripes behind the marks.
        notes: words beside them.
        legend: None: no legend.
        about: what else a reader of the chart as data wants to know.
    """

    title: str
    lines: tuple[str, ...]
    height: float
    width: float | None
    margin: Margin
    axes: dict[str, Axis]
    marks: tuple[Mark | ColourBar, ...]
    below: tuple[Rule | Stripe, ...] = ()
    notes: tuple[Note, ...] = ()
    legend: Legend | None = None
    about: dict[str, Any] = field(default_factory=dict)
