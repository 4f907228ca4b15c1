"""`plot_architecture`: networks side by side as boxes from the image down to the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.architecture_boxes import (
    GAP,
    LINE,
    PADDING,
    SHEETS,
    Box,
    Column,
    aligned,
    check_tables,
    columns_of,
)
from resviz.views.figures.architecture_shortcuts import ARC, add_shortcuts
from resviz.views.figures.architecture_words import counted, hover

_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 16, 88, 16
_HEAD = 100  # pixels above the first box: name, totals, image
_WIDTHS = {1: 390, 2: 270, 3: 224, 4: 204}
_LEAST = 560
_HOVER = 22  # pixels between the places that answer to the pointer
_GREY = "#e9ebee"


def plot_architecture(
    tables: Mapping[str, pd.DataFrame] | pd.DataFrame,
    *,
    title: str | None = None,
    collapse: bool | None = None,
) -> Figure:
    """A figure of one network or several side by side: a box per layer or block, shortcuts beside.

    Drawn like Fig. 3 of He et al. 2015 (https://arxiv.org/abs/1512.03385): coloured by output size,
    and aligned by it where the networks take the same images and only ever shrink them. A
    shortcut is a line at the right of what it leads around: solid where the shape stays, dashed
    where it changes, dotted where earlier features are concatenated instead of added. Parameters
    and multiply-adds of a block appear under the pointer, those of a network below its name.

    Args:
        tables: ``{"VGG-19": table}``, each as :func:`resviz.architecture` returns it; or one table.
        title: replaces the first line of the title.
        collapse: draw a run of equal boxes as one, with "× 36" beside it; None: where a network has
            more boxes than can be read.

    Raises:
        TypeError: something else than tables.
        ValueError: no tables, an empty one, or a column is missing.

    Example:
        >>> row = {"unit": "conv1", "kind": "layer", "label": "3×3 conv, 8", "shape": (1, 8, 4, 4)}
        >>> row |= {"depth": 1, "size": "4×4", "parameters": 216, "flops": 3456}
        >>> row |= {"shortcut": "", "shortcuts": 0, "shortcut_from": ""}
        >>> figure = plot_architecture({"toy": pd.DataFrame([row])})
        >>> [trace.name for trace in figure.data if trace.mode == "text"]
        ['toy']
    """
    named = check_tables(tables)
    width = _WIDTHS.get(len(named), 204)
    columns = columns_of(named, width - 16, collapse)
    pitch = width + ARC + 44
    fig = _canvas(columns, pitch)
    colours = _colours(columns)
    together = aligned(columns)
    if together:
        _add_sizes(fig, columns, pitch * len(columns))
    shown: set[str] = set()
    for number, column in enumerate(columns):
        left = number * pitch + 8.0
        _add_head(fig, column, left + width / 2)
        if not together:
            _add_own_sizes(fig, column, left)
        _add_flow(fig, column, left + width / 2)
        _add_boxes(fig, column, left, width, colours)
        add_shortcuts(fig, column, left, width, shown)
        _add_text(fig, column, left, width)
    networks = ", ".join(style.escape(column.name) for column in columns)
    fig.update_layout(
        title={
            "text": style.heading(
                style.escape(title) if title else f"Architecture: {networks}", _conditions(columns)
            )
        }
    )
    return fig


def _canvas(columns: Sequence[Column], pitch: float) -> Figure:
    tall = max(column.height for column in columns) + 14
    axis = {"visible": False, "fixedrange": True}
    wide = pitch * len(columns)
    return Figure(
        layout={
            "template": style.template(),
            "width": max(wide + _LEFT + _RIGHT, _LEAST),
            "height": tall + _HEAD + _TOP + _BOTTOM,
            "margin": {"l": _LEFT, "r": _RIGHT, "t": _TOP, "b": _BOTTOM},
            "xaxis": axis | {"range": [0, max(wide, _LEAST - _LEFT - _RIGHT)]},
            "yaxis": axis | {"range": [-tall, _HEAD]},
            "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        }
    )


def _colours(columns: Sequence[Column]) -> dict[str, str]:
    """A light colour for each output size, in the order they appear; grey for single positions."""
    sizes = dict.fromkeys(box.size for column in columns for box in column.boxes)
    sizes.pop("1", None)
    ordered = sorted(sizes, key=_pixels, reverse=True)
    tints = {size: _tint(style.colour(number)) for number, size in enumerate(ordered)}
    return tints | {"1": _GREY}


def _pixels(size: str) -> float:
    first = size.replace("×", " ").split()[0]
    return float(first) if first.isdigit() and "tokens" not in size else 0.0


def _tint(colour: str, share: float = 0.3) -> str:
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in parts)


def _add_sizes(fig: Figure, columns: Sequence[Column], wide: float) -> None:
    """The output size where it changes, at the left; a line across where all change together."""
    starts: dict[float, str] = {}
    for number, column in enumerate(columns):
        size = ""
        for box in column.boxes:
            if box.size != size and (number == 0 or starts.get(box.top, box.size) == box.size):
                starts.setdefault(box.top, box.size)
            size = box.size
    kept: dict[float, str] = {}
    for top, size in sorted(starts.items()):
        if not kept or top - max(kept) > 14:
            kept[top] = size
    for top, size in kept.items():
        fig.add_annotation(
            x=0,
            y=-top - (LINE + PADDING) / 2,
            text=style.escape(size),
            xanchor="right",
            yanchor="middle",
            xshift=-10,
            showarrow=False,
            font={"size": style.SMALL + 1, "color": style.FAINT},
        )
        fig.add_shape(
            type="line",
            x0=0,
            x1=wide,
            y0=-top + GAP / 2 + 3,
            y1=-top + GAP / 2 + 3,
            line={"color": style.GRID, "width": 1},
            layer="below",
        )
    fig.add_annotation(
        x=0,
        y=24,
        text="output size",
        xanchor="right",
        yanchor="top",
        xshift=-10,
        showarrow=False,
        font={"size": style.SMALL, "color": style.FAINT},
    )


def _totals(column: Column) -> tuple[int, int]:
    rows = [row for box in column.boxes for row in box.rows]
    return sum(int(r["parameters"]) for r in rows), sum(int(r["flops"]) for r in rows)


def _add_own_sizes(fig: Figure, column: Column, left: float) -> None:
    """The output sizes of one network where they change, above its boxes."""
    size = ""
    for box in column.boxes:
        if box.size != size:
            fig.add_annotation(
                x=left,
                y=-box.top + 1,
                text=style.escape(box.size),
                xanchor="left",
                yanchor="bottom",
                showarrow=False,
                font={"size": style.SMALL - 1, "color": style.FAINT},
            )
        size = box.size


def _add_head(fig: Figure, column: Column, middle: float) -> None:
    parameters, flops = _totals(column)
    depth = max(int(row["depth"]) for box in column.boxes for row in box.rows)
    aside = sum(column.about.get("not_run", {}).values())
    more = f" (+ {counted(aside)} not run)" if aside else ""
    shape = column.about.get("input_shape", [])
    image = f"image {' × '.join(map(str, shape[1:]))}" if len(shape) == 4 else "input"
    for y, text, size, colour in (
        (_HEAD - 10, f"<b>{style.escape(column.name)}</b>", style.FONT + 1, style.INK),
        (
            _HEAD - 30,
            f"depth {depth} · {counted(parameters)} parameters{more}",
            style.SMALL,
            style.FAINT,
        ),
        (_HEAD - 45, f"{counted(flops)} multiply-adds", style.SMALL, style.FAINT),
        (26, image, style.SMALL, style.INK),
    ):
        fig.add_annotation(
            x=middle,
            y=y,
            text=text,
            showarrow=False,
            yanchor="top",
            font={"size": size, "color": colour},
        )


def _add_flow(fig: Figure, column: Column, middle: float) -> None:
    """The line from the image through all boxes."""
    y: list[float | None] = []
    above = -10.0
    for box in column.boxes:
        y += [-above, -box.top, None]
        above = box.bottom
    fig.add_scatter(
        x=[middle if value is not None else None for value in y],
        y=y,
        mode="lines",
        line={"color": style.FAINT, "width": 1.2},
        hoverinfo="skip",
        showlegend=False,
        name="",
    )


def _add_boxes(
    fig: Figure, column: Column, left: float, width: float, colours: Mapping[str, str]
) -> None:
    """Filled boxes, one trace for each fill, and their outlines; a run is drawn as a stack."""
    fills: dict[str, list[Box]] = {}
    for box in column.boxes:
        fill = style.BACKGROUND if box.first["kind"] == "pool" else colours[box.size]
        fills.setdefault(fill, []).append(box)
    for fill, boxes in fills.items():
        x: list[float | None] = []
        y: list[float | None] = []
        for box in boxes:
            for edges in _edges(box, left, left + width):
                x, y = [*x, *edges[0], None], [*y, *edges[1], None]
        look: dict[str, Any] = {"hoverinfo": "skip", "showlegend": False, "mode": "lines"}
        name = boxes[0].size if fill != style.BACKGROUND else "pooling"
        fig.add_scatter(
            x=x, y=y, fill="toself", fillcolor=fill, line={"width": 0}, name=name, **look
        )
        fig.add_scatter(
            x=x, y=y, line={"width": 0.8, "color": "#8a929c"}, name=f"{name}, outline", **look
        )


def _edges(box: Box, left: float, right: float) -> list[tuple[list[float], list[float]]]:
    """The outline of a box; of a run, also what looks out of the boxes behind it."""
    top, bottom = -box.top, -box.top - box.height
    outlines = [([left, right, right, left, left], [top, top, bottom, bottom, top])]
    for out in SHEETS if len(box.rows) > 1 else ():
        inner = out - SHEETS[-1]
        x = [left + out, left + out, right + out, right + out, right + inner]
        y = [bottom - inner, bottom - out, bottom - out, top - out, top - out]
        corner = ([right + inner, left + out], [bottom - inner, bottom - inner])
        outlines.append((x + corner[0], y + corner[1]))
    return outlines


def _add_text(fig: Figure, column: Column, left: float, width: float) -> None:
    """What stands in the boxes and beside runs, and what the pointer shows."""
    x: list[float] = []
    y: list[float] = []
    text: list[str] = []
    for box in column.boxes:
        x.append(left + width / 2)
        y.append(-box.top - box.height / 2)
        text.append("<br>".join(style.escape(line) for line in box.lines))
        if len(box.rows) > 1:
            fig.add_annotation(
                x=left + width + ARC + 2 if box.first["shortcut"] else left + width + 12,
                y=-box.top - box.height / 2,
                text=f"× {len(box.rows)}",
                xanchor="left",
                showarrow=False,
                font={"size": style.FONT, "color": style.INK},
            )
    fig.add_scatter(
        x=x,
        y=y,
        text=text,
        mode="text",
        textfont={"size": style.SMALL, "color": style.INK},
        hoverinfo="skip",
        showlegend=False,
        name=style.escape(column.name),
    )
    places = np.arange(_HOVER / 2, width, _HOVER)
    fig.add_scatter(
        x=np.concatenate([left + places for _ in column.boxes]),
        y=np.repeat(y, len(places)),
        mode="markers",
        marker={"size": _HOVER, "symbol": "square"},
        opacity=0,
        customdata=np.repeat([hover(box) for box in column.boxes], len(places)),
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
        name=f"{style.escape(column.name)}, details",
    )


def _conditions(columns: Sequence[Column]) -> str:
    counts = dict.fromkeys(str(c.about["counted"]) for c in columns if c.about.get("counted"))
    changes = dict.fromkeys(str(each) for c in columns for each in c.about.get("changes") or ())
    return " · ".join(style.escape(each) for each in (*counts, *changes))
