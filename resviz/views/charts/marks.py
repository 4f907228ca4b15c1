"""What stands on a chart: frozen marks at values of its axes. No pen is known here.

Words are plain text of one or several lines; each pen escapes what its own language would obey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resviz.views import style

Stops = str | Sequence[tuple[float, str]]  # a colour scale by name, or (share, colour)


def shared(**fields: Any) -> dict[str, Any]:
    """What several marks have in common."""
    return fields


@dataclass(frozen=True)
class Hover:
    """What the pointer shows at a point.

    Attributes:
        text: with fields as d3 writes formats: ``%{x}``, ``%{y:.4g}``, ``%{customdata[0]}``.
        bold: what stands before it, heavier.
        rows: for each point what ``customdata`` means.
        texts: for each point what ``%{text}`` means.
    """

    text: str
    bold: str = ""
    rows: Any = None
    texts: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Mark:
    """What all marks have.

    Attributes:
        xaxis, yaxis: names of the axes whose values x and y are.
        name: in the legend.
        group: marks that the legend hides and shows together.
        legend: whether the name stands in the legend.
        hover: None: the pointer shows nothing.
    """

    xaxis: str = "x"
    yaxis: str = "y"
    name: str = ""
    group: str = ""
    legend: bool = True
    hover: Hover | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Series(Mark):
    """A line, points, or both; NaN or None breaks the line.

    Attributes:
        x, y: (P,) values.
        colour: of both.
        width: of the line, in pixels; 0: no line.
        dash: "solid", "dash", "dot", "dashdot".
        size: of the points, in pixels; 0: no points.
        symbol: "circle", "square", "diamond", "triangle-up", "triangle-down", "x", or hollow, as
            "circle-open".
        unseen: for the pointer alone.
        rank: place in the legend among others; None: as they come.
    """

    x: Any
    y: Any
    colour: str = style.INK
    width: float = 0
    dash: str = "solid"
    size: float = 0
    symbol: str = "circle"
    unseen: bool = False
    rank: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Area(Mark):
    """A filled outline; None or NaN begins another one.

    Attributes:
        x, y: (P,) values of its corners.
        fill: ``#rrggbb`` or ``rgba(...)``.
    """

    x: Any
    y: Any
    fill: str
    legend: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Words(Mark):
    """Words at points.

    Attributes:
        x, y: (P,) values.
        texts: (P,) words.
        place: where they stand from their point: "middle center", "middle right".
    """

    x: Any
    y: Any
    texts: Sequence[str]
    place: str = "middle center"
    size: float = style.SMALL
    colour: str = style.INK
    legend: bool = False


@dataclass(frozen=True)
class ColourBar:
    """What colours stand for, at a place of the plotting area (0 to 1 from its lower left corner).

    Attributes:
        low, high: values at its ends.
        colours: the scale.
        x: of its left edge.
        y: of its middle.
        length: of the plotting area's height.
        title: runs along it.
        ticks: (value, words); None: numbers.
    """

    low: float
    high: float
    colours: Stops
    x: float = 1.02
    y: float = 0.5
    length: float = 1.0
    title: str = ""
    ticks: tuple[tuple[float, str], ...] | None = None
    thickness: float = 14


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster(Mark):
    """Cells: the middle of the first is (x0, y0), the next ones dx and dy further."""

    x0: float = 0
    dx: float = 1
    y0: float = 0
    dy: float = 1
    legend: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Heat(Raster):
    """Values as colours; NaN is left out.

    Attributes:
        z: (H, W) values.
        low, high: where the colours end; None: nothing is seen, the hover alone.
        smooth: linear between the middles of the cells.
        bar: the colour bar that belongs to it.
    """

    z: Any
    low: float | None = None
    high: float | None = None
    colours: Stops | None = None
    smooth: bool = False
    bar: ColourBar | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture(Raster):
    """Pixels (H, W, 3), uint8."""

    pixels: Any


@dataclass(frozen=True)
class Rule:
    """A straight line behind the marks.

    Places are values of the axis, or shares of what it spans: "x", "y2 domain".
    """

    x: tuple[float, float]
    y: tuple[float, float]
    xref: str = "x"
    yref: str = "y"
    colour: str = style.FAINT
    width: float = 1
    dash: str = "solid"


@dataclass(frozen=True)
class Stripe:
    """A shaded rectangle behind the marks, over the height of an axis.

    Attributes:
        x: from and to, None: over the width.
        yaxis: over whose height.
        fill: colour.
        text: above its upper end.
        xaxis: whose values `x` are.
    """

    x: tuple[float, float] | None
    yaxis: str
    fill: str
    text: str = ""
    xaxis: str = "x"


@dataclass(frozen=True)
class Note:
    """Words at a place: values of the axes, or shares of the plotting area ("paper").

    Attributes:
        shift: (right, up) in pixels from there.
        anchor: which corner of the words is there: ("left" | "center" | "right", "top" | "middle" |
            "bottom").
        upright: they run upwards.
    """

    text: str
    x: float
    y: float
    xref: str = "x"
    yref: str = "y"
    shift: tuple[float, float] = (0, 0)
    anchor: tuple[str, str] = ("center", "middle")
    size: float = style.SMALL
    colour: str = style.INK
    bold: bool = False
    upright: bool = False
