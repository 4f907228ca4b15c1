"""How matplotlib draws each mark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from resviz.views import style
from resviz.views.charts.marks import Area, Heat, Mark, Picture, Raster, Series, Stops, Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINT = 0.72  # matplotlib points per pixel, at 100 dots per inch
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_SYMBOLS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "x": "x",
}


def draw(ax: Axes, mark: Mark) -> Any:
    """Draw a mark; what stands for it in the legend, or None."""
    pens: dict[type, Callable[[Axes, Any], Any]] = {
        Series: _draw_series,
        Area: _draw_area,
        Words: _draw_words,
        Heat: _draw_heat,
        Picture: _draw_picture,
    }
    return pens[type(mark)](ax, mark)


def colour_of(code: str) -> Any:
    """A CSS colour as matplotlib takes it."""
    if not code.startswith("rgb"):
        return code
    parts = [float(v) for v in re.findall(r"[\d.]+", code)]
    return tuple(v / 255 for v in parts[:3]) + tuple(parts[3:])


def colour_map(scale: Stops) -> Any:
    """A colour scale as matplotlib takes it."""
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    if isinstance(scale, str):
        return ListedColormap(style.colour_table(scale) / 255)
    return LinearSegmentedColormap.from_list("scale", [(at, colour_of(c)) for at, c in scale])


def line_look(colour: str, width: float, dash: str) -> dict[str, Any]:
    """A line's look."""
    return {
        "color": colour_of(colour),
        "linewidth": width * POINT,
        "linestyle": _DASHES[dash] if width else "",
    }


def _point_look(mark: Series) -> dict[str, Any]:
    if not mark.size:
        return {}
    symbol, _, hollow = mark.symbol.partition("-")
    if hollow not in ("", "open"):  # "triangle-down", "triangle-up-open"
        symbol, hollow = mark.symbol.removesuffix("-open"), mark.symbol[-4:]
    is_open, colour = hollow == "open", colour_of(mark.colour)
    return {
        "marker": _SYMBOLS[symbol],
        "markersize": mark.size * POINT,
        "markeredgecolor": colour,
        "markerfacecolor": style.BACKGROUND if is_open else colour,
        "markeredgewidth": 1.1 if is_open or symbol == "x" else 0.5,
    }


def _numbers(values: Any) -> np.ndarray[Any, Any]:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _draw_series(ax: Axes, mark: Series) -> Any:
    if mark.unseen:
        return None
    look = line_look(mark.colour, mark.width, mark.dash) | _point_look(mark)
    x, y = _numbers(mark.x), _numbers(mark.y)
    return ax.plot(x, y, clip_on=not mark.size, zorder=3, **look)[0]


def _draw_area(ax: Axes, mark: Area) -> None:
    x, y = _numbers(mark.x), _numbers(mark.y)
    cuts = np.flatnonzero(np.isnan(x) | np.isnan(y))
    for xs, ys in zip(np.split(x, cuts), np.split(y, cuts), strict=True):
        kept = ~(np.isnan(xs) | np.isnan(ys))
        ax.fill(xs[kept], ys[kept], color=colour_of(mark.fill), linewidth=0, zorder=2)


def _draw_words(ax: Axes, mark: Words) -> None:
    up, across = mark.place.split()
    # "bottom right" is below and to the right of the point
    look = {
        "va": {"bottom": "top", "top": "bottom", "middle": "center"}[up],
        "ha": {"right": "left", "left": "right", "center": "center"}[across],
        "color": colour_of(mark.colour),
        "fontsize": mark.size * POINT,
        "parse_math": False,
    }
    for x, y, text in zip(mark.x, mark.y, mark.texts, strict=True):
        ax.text(x, y, text, zorder=4, **look)


def _draw_heat(ax: Axes, mark: Heat) -> None:
    if mark.low is None or mark.colours is None:
        return
    how = {"cmap": colour_map(mark.colours), "vmin": mark.low, "vmax": mark.high}
    smooth = "bilinear" if mark.smooth else "nearest"
    _show(ax, mark, np.asarray(mark.z, dtype=float), interpolation=smooth, **how)


def _draw_picture(ax: Axes, mark: Picture) -> None:
    _show(ax, mark, mark.pixels, interpolation="nearest")


def _show(ax: Axes, mark: Raster, pixels: np.ndarray[Any, Any], **how: Any) -> None:
    rows, columns = pixels.shape[:2]
    left, top = mark.x0 - mark.dx / 2, mark.y0 - mark.dy / 2
    extent = (left, left + mark.dx * columns, top + mark.dy * rows, top)
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(pixels, extent=extent, aspect="auto", zorder=2, **how)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
