"""Colours, fonts and the plotly template that every figure shares.

The eight line colours are Okabe and Ito's (2008), which people with colour-blindness can tell
apart. Magnitudes use viridis or cividis; signed values a blue-red map centred on 0. The background
is white, in a dark notebook too: what JupyterLab shows there is data and a picture, which know of
no theme. A saved page follows its reader's.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
import plotly.colors
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C7B00")
DASHES = ("solid", "dash", "dot", "dashdot")
INK = "#222222"
FAINT = "#5f6670"
GRID = "#e3e6ea"
BACKGROUND = "#ffffff"
_DARK = "#14181d"
SHADES = ("#eef2f7", "#ffffff")
PALE, OUTLINE = "#e9ebee", "#8a929c"
MAGNITUDE = "Viridis"
MAGNITUDES = ("Viridis", "Cividis")
SIGNED = "RdBu_r"
FONT = 13
SMALL = 11
FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def colour(index: int) -> str:
    """The line colour of the n-th network or quantity; repeats after eight."""
    return COLOURS[index % len(COLOURS)]


_NETWORKS: dict[str, int] = {}  # number of its colour by name, in the order of first use


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """The line colour of each network: its own in all figures of a session.

    Networks get colours in the order in which figures name them first. From the ninth name of a
    session on a colour is given again; where its first owner is in the figure, the later one takes
    the first that is free.

    Example:
        >>> first = colours_of(["ResNet-56", "plain-56"])
        >>> colours_of(["plain-56"])["plain-56"] == first["plain-56"]
        True
    """
    return {name: colour(number) for name, number in colour_numbers_of(names).items()}


def colour_numbers_of(names: Iterable[str]) -> dict[str, int]:
    """:func:`colours_of` as numbers, for browsers, which have the colours in the same order."""
    numbers = {name: _number_of(name) for name in names}
    chosen: dict[str, int] = {}
    for name in sorted(numbers, key=lambda name: numbers[name] >= len(COLOURS)):  # owners first
        own = numbers[name] % len(COLOURS)
        free = [number for number in range(len(COLOURS)) if number not in chosen.values()]
        chosen[name] = own if own in free or not free else free[0]
    return {name: chosen[name] for name in numbers}


def dashes_of(colours: Iterable[str]) -> list[str]:
    """For each line of a figure how it is drawn: those of one colour differ."""
    seen = list(colours)
    return [DASHES[seen[:number].count(each) % len(DASHES)] for number, each in enumerate(seen)]


def share_colour(name: str, network: str) -> None:
    """`name` is drawn in the colour of `network`: it is the same one, at another moment."""
    _NETWORKS.setdefault(name, _number_of(network))


def _number_of(name: str) -> int:
    return _NETWORKS.setdefault(name, 1 + max(_NETWORKS.values(), default=-1))


def translucent(colour_code: str, opacity: float) -> str:
    """``"#0072B2"`` as a CSS ``rgba(...)``."""
    red, green, blue = (int(colour_code[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def tint(colour_code: str, paper: str = BACKGROUND, share: float = 0.3) -> str:
    """A colour over paper of another: a light one on white, for what words stand on."""
    pairs = ((int(code[i : i + 2], 16) for code in (colour_code, paper)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(below + share * (above - below)):02x}" for above, below in pairs)


def in_the_dark() -> dict[str, str]:
    """What takes the place of a figure's neutral colours and tints on a dark page."""
    neutral = {BACKGROUND: _DARK, INK: "#e6e9ed", "#000000": "#ffffff", FAINT: "#a7b0ba"}
    neutral |= {GRID: "#2a323b", SHADES[0]: "#1c232b", PALE: "#2a323b"}
    return neutral | {tint(each): tint(each, _DARK, 0.4) for each in COLOURS[:6]}


@functools.cache
def colour_table(name: str) -> NDArray[np.uint8]:
    """A named plotly colour scale as 256 colours, (256, 3) uint8."""
    rgb = plotly.colors.sample_colorscale(name, np.linspace(0, 1, 256).tolist(), colortype="tuple")
    return np.rint(np.array(rgb) * 255).astype(np.uint8)


def not_finite(*values: ArrayLike, how: str = "not drawn") -> str:
    """What a title says of values that have no place on a scale; "" where there are none."""
    count = sum(int((~np.isfinite(np.asarray(each, dtype=float))).sum()) for each in values)
    return f" · {count} value{'' if count == 1 else 's'} not finite, {how}" if count else ""


def _axis() -> dict[str, object]:
    return {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": FAINT,
        "showline": True,
        "ticks": "outside",
        "tickcolor": FAINT,
        "ticklen": 4,
        "title": {"font": {"size": FONT}, "standoff": 8},
        "tickfont": {"size": SMALL},
        "automargin": True,
    }


def template() -> go.layout.Template:
    """The template of every figure: white card, dark ink, one font."""
    return go.layout.Template(
        layout={
            "font": {"family": FAMILY, "size": FONT, "color": INK},
            "paper_bgcolor": BACKGROUND,
            "plot_bgcolor": BACKGROUND,
            "colorway": list(COLOURS),
            "title": {
                "x": 0.0,
                "xref": "container",
                "xanchor": "left",
                "pad": {
                    "l": 16,
                    "t": 16,
                },  # a widget draws titles of several lines 15 pixels too high
                "yref": "container",
                "y": 1.0,
                "yanchor": "top",
                "font": {"size": 16},
            },
            "margin": {"l": 72, "r": 24, "t": 96, "b": 56},
            "hoverlabel": {"font": {"size": SMALL + 1}, "align": "left", "namelength": -1},
            "hovermode": "closest",
            "legend": {"font": {"size": SMALL + 1}},
            "xaxis": _axis(),
            "yaxis": _axis(),
        }
    )
