"""`plot_architecture`: networks side by side as boxes from the image down to the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.charts.chart import Legend, Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Area, Hover, Note, Rule, Series, Words, shared
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
from resviz.views.figures.architecture_shortcuts import ARC, shortcuts
from resviz.views.figures.architecture_words import counted, told

_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 16, 88, 16
_HEAD = 100  # pixels above the first box: name, totals, image
_WIDTHS = {1: 390, 2: 270, 3: 218, 4: 204}
_LEAST = 560
_HOVER = 22  # pixels between the places that answer to the pointer


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
    draft = _draft(columns, pitch)
    colours = _colours(columns)
    together = aligned(columns)
    if together:
        _add_sizes(draft, columns, pitch * len(columns))
    shown: set[str] = set()
    for number, column in enumerate(columns):
        left = number * pitch + 8.0
        draft.add(*_head(column, left + width / 2))
        if not together:
            draft.add(*_own_sizes(column, left))
        draft.add(_flow(column, left + width / 2), *_boxes(column, left, width, colours))
        draft.add(*shortcuts(column, left, width, shown))
        _add_text(draft, column, left, width)
    networks = ", ".join(column.name for column in columns)
    return Figure.of(draft.chart(title or f"Architecture: {networks}", _conditions(columns)))


def _draft(columns: Sequence[Column], pitch: float) -> Draft:
    tall = max(column.height for column in columns) + 14
    wide, least = pitch * len(columns), _LEAST - _LEFT - _RIGHT
    size = (tall + _HEAD + _TOP + _BOTTOM, max(wide, least) + _LEFT + _RIGHT)
    legend = Legend(0, 1, ("left", "bottom"), across=True)
    draft = Draft(*size, Margin(_LEFT, _RIGHT, _TOP, _BOTTOM), legend, head=28)
    draft.axis("x", visible=False, fixed=True, limits=(0, max(wide, least)))
    draft.axis("y", visible=False, fixed=True, limits=(-tall, _HEAD))
    return draft


def _colours(columns: Sequence[Column]) -> dict[str, str]:
    """A light colour for each output size, in the order they appear; grey for single positions."""
    sizes = dict.fromkeys(box.size for column in columns for box in column.boxes)
    sizes.pop("1", None)
    ordered = sorted(sizes, key=_pixels, reverse=True)
    tints = {size: style.tint(style.colour(number)) for number, size in enumerate(ordered)}
    return tints | {"1": style.PALE}


def _pixels(size: str) -> float:
    first = size.replace("×", " ").split()[0]
    return float(first) if first.isdigit() and "tokens" not in size else 0.0


def _add_sizes(draft: Draft, columns: Sequence[Column], wide: float) -> None:
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
    beside = shared(shift=(-10, 0), colour=style.FAINT)
    for top, size in kept.items():
        middle, line = -top - (LINE + PADDING) / 2, -top + GAP / 2 + 3
        place = shared(anchor=("right", "middle"), size=style.SMALL + 1)
        draft.add(Note(size, 0, middle, **place, **beside))
        draft.add(Rule((0, wide), (line, line), colour=style.GRID))
    draft.add(Note("output size", 0, 24, anchor=("right", "top"), **beside))


def _totals(column: Column) -> tuple[int, int]:
    rows = [row for box in column.boxes for row in box.rows]
    return sum(int(r["parameters"]) for r in rows), sum(int(r["flops"]) for r in rows)


def _own_sizes(column: Column, left: float) -> list[Note]:
    """The output sizes of one network where they change, above its boxes."""
    size, notes = "", []
    look = shared(anchor=("left", "bottom"), size=style.SMALL - 1, colour=style.FAINT)
    for box in column.boxes:
        if box.size != size:
            notes.append(Note(box.size, left, -box.top + 1, **look))
        size = box.size
    return notes


def _head(column: Column, middle: float) -> list[Note]:
    parameters, flops = _totals(column)
    depth = max(int(row["depth"]) for box in column.boxes for row in box.rows)
    aside = sum(column.about.get("not_run", {}).values())
    more = f" (+ {counted(aside)} not run)" if aside else ""
    shape = column.about.get("input_shape", [])
    image = f"image {' × '.join(map(str, shape[1:]))}" if len(shape) == 4 else "input"
    size = f"depth {depth} · {counted(parameters)} parameters{more}"
    place, faint = shared(anchor=("center", "top")), shared(colour=style.FAINT)
    return [
        Note(column.name, middle, _HEAD - 10, size=style.FONT + 1, bold=True, **place),
        Note(size, middle, _HEAD - 30, **faint, **place),
        Note(f"{counted(flops)} multiply-adds", middle, _HEAD - 45, **faint, **place),
        Note(image, middle, 26, **place),
    ]


def _flow(column: Column, middle: float) -> Series:
    """The line from the image through all boxes."""
    y: list[float | None] = []
    above = -10.0
    for box in column.boxes:
        y += [-above, -box.top, None]
        above = box.bottom
    x = [middle if value is not None else None for value in y]
    return Series(x=x, y=y, colour=style.FAINT, width=1.2)


def _boxes(
    column: Column, left: float, width: float, colours: Mapping[str, str]
) -> list[Area | Series]:
    """Filled boxes, a mark for each fill, and their outlines; a run is drawn as a stack."""
    fills: dict[str, list[Box]] = {}
    for box in column.boxes:
        fill = style.BACKGROUND if box.first["kind"] == "pool" else colours[box.size]
        fills.setdefault(fill, []).append(box)
    marks: list[Area | Series] = []
    for fill, boxes in fills.items():
        x: list[float | None] = []
        y: list[float | None] = []
        for box in boxes:
            for edges in _edges(box, left, left + width):
                x, y = [*x, *edges[0], None], [*y, *edges[1], None]
        name = boxes[0].size if fill != style.BACKGROUND else "pooling"
        look = shared(width=0.8, colour=style.OUTLINE, name=f"{name}, outline", legend=False)
        marks += [Area(x=x, y=y, fill=fill, name=name), Series(x=x, y=y, **look)]
    return marks


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


def _add_text(draft: Draft, column: Column, left: float, width: float) -> None:
    """What stands in the boxes and beside runs, and what the pointer shows."""
    middles = [-box.top - box.height / 2 for box in column.boxes]
    for box, y in zip(column.boxes, middles, strict=True):
        if len(box.rows) > 1:
            at = left + width + (ARC + 2 if box.first["shortcut"] else 12)
            look = shared(anchor=("left", "middle"), size=style.FONT)
            draft.add(Note(f"× {len(box.rows)}", at, y, **look))
    texts = ["\n".join(box.lines) for box in column.boxes]
    x = [left + width / 2] * len(middles)
    draft.add(Words(x=x, y=middles, texts=texts, name=column.name))
    places = np.arange(_HOVER / 2, width, _HOVER)
    rows = np.array([told(box) for box in column.boxes], dtype=object)
    hover = Hover("\n%{customdata[1]}", "%{customdata[0]}", rows.repeat(len(places), axis=0))
    look = shared(size=_HOVER, symbol="square", unseen=True, legend=False)
    look |= shared(name=f"{column.name}, details", hover=hover)
    xs = np.concatenate([left + places for _ in column.boxes])
    draft.add(Series(x=xs, y=np.repeat(middles, len(places)), **look))


def _conditions(columns: Sequence[Column]) -> str:
    counts = dict.fromkeys(str(c.about["counted"]) for c in columns if c.about.get("counted"))
    changes = dict.fromkeys(str(each) for c in columns for each in c.about.get("changes") or ())
    return " · ".join([*counts, *changes])
