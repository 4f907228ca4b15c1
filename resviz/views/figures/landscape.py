"""`plot_landscape`: the loss around the weights of one or several networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from resviz.analysis.landscape.bends import bends_of
from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Note, shared
from resviz.views.charts.words import short
from resviz.views.figure import Figure
from resviz.views.figures.landscape_lines import line_figure
from resviz.views.figures.landscape_planes import Box, Plane, Scale
from resviz.views.figures.quantities import shared_conditions
from resviz.views.records import is_landscape

if TYPE_CHECKING:
    from resviz.views.records import Landscapes

_SIDE, _ACROSS, _DOWN = 300, 64, 128  # pixels: a panel, and the room beside and between them
_LEFT, _RIGHT, _FOOT, _HEAD = 68, 110, 56, 72  # _HEAD: name and small lines above a panel
_LEAST = 760  # pixels of width, for the title
_MOST = 2  # panels in a row: three are wider than a small screen
_DIRECTIONS = {
    "filter": "random directions, each filter as long as the weights' filter",
    "layer": "random directions, each layer as long as the layer's weights",
    "none": "random directions, not normalised",
}


def plot_landscape(landscapes: Landscapes, *, log: bool = True, title: str | None = None) -> Figure:
    """A figure of the loss on a plane or a line through the weights, one panel per network.

    Planes: colours on one scale for all networks, and contour lines at the ticks of the colour bar;
    both are linear between the measured points, in the logarithm where the scale is logarithmic.
    The dot is the network itself. Lines: loss above, error below. Points that are missing or not
    finite are left out, marked and counted. Below each name stands how often the middle of two
    points lies higher than the mean of the two: see
    :func:`resviz.analysis.landscape.convexity.nonconvexity`, a measure of ours.

    Drawn after Fig. 1 and 5 of Li et al. 2018 (https://arxiv.org/abs/1712.09913).

    Args:
        landscapes: a :class:`resviz.LossLandscape`, its table, or ``{"ResNet-56": either, ...}``.
        log: colours, or the axis of the loss, on a log scale; where a loss is below 0 it is linear.
            An exact 0 has no logarithm: on a plane it gets the colour of the least loss above 0.
        title: replaces the first line of the title.

    Raises:
        TypeError: something else than landscapes.
        ValueError: none, planes together with lines, no finite loss, or a table without alpha,
            beta, loss and error.

    Example:
        >>> points = [(a, b) for a in (-1.0, 0.0, 1.0) for b in (-1.0, 0.0, 1.0)]
        >>> table = pd.DataFrame(points, columns=["alpha", "beta"])
        >>> table["loss"] = 0.1 + table["alpha"] ** 2 + table["beta"] ** 2
        >>> figure = plot_landscape({"bowl": table.assign(error=0.0)})
        >>> figure.data[0].type
        'heatmap'
    """
    named = _named(landscapes)
    planes = {name: bool(table["beta"].nunique() > 1) for name, table in named.items()}
    if len(set(planes.values())) > 1:
        flat = next(name for name, plane in planes.items() if not plane)
        raise ValueError(
            f"plot_landscape: {flat!r} is a line and others are planes; landscapes of one kind "
            "would be right. Plot them one by one."
        )
    log = log and not any((table["loss"] < 0).any() for table in named.values())
    abouts = [_about(table) for table in named.values()]
    common, own = shared_conditions(abouts)
    made = "; ".join(dict.fromkeys(map(_made, abouts)))
    meaning = "pairs not convex: the loss at the middle is above the mean of the two ends"
    notes = [made, common, meaning, _counted(named)]
    if not any(planes.values()):
        captions = [_caption(table) for table in named.values()]
        return line_figure(named, log, title, notes, own, captions)
    return _plane_figure(named, log, title, notes, own)


def _named(landscapes: object) -> dict[str, pd.DataFrame]:
    several = landscapes if isinstance(landscapes, Mapping) else {None: landscapes}
    if not several:
        raise ValueError("plot_landscape: no landscapes; at least one is needed.")
    named = {}
    for key, each in several.items():
        table = each.table if not isinstance(each, pd.DataFrame) and is_landscape(each) else each
        if not isinstance(table, pd.DataFrame):
            raise TypeError(
                f"plot_landscape: a {type(table).__name__}; a LossLandscape, its table, or a dict "
                'of them is right: {"ResNet-56": landscape}. See rv.loss_landscape.'
            )
        name = str(table.attrs.get("network", "network")) if key is None else str(key)
        missing = [c for c in ("alpha", "beta", "loss", "error") if c not in table]
        if missing:
            raise ValueError(
                f"plot_landscape: the table of {name!r} lacks {', '.join(missing)}; alpha, beta, "
                "loss and error are needed. See rv.loss_landscape."
            )
        if not np.isfinite(table["loss"].to_numpy(dtype=float)).any():
            raise ValueError(
                f"plot_landscape: {name!r} has no finite loss; a measured point is needed."
            )
        named[name] = table
    return named


def _about(table: pd.DataFrame) -> dict[str, Any]:
    return {str(key): value for key, value in table.attrs.items()}


def _made(about: Mapping[str, Any]) -> str:
    kind = about.get("directions")
    return _DIRECTIONS.get(str(kind), "") + ("; biases and norm layers fixed" if kind else "")


def _counted(named: Mapping[str, pd.DataFrame]) -> str:
    """How many points are not drawn, of all networks."""
    odd = sum(int((~np.isfinite(t["loss"].to_numpy(dtype=float))).sum()) for t in named.values())
    zero = sum(int((t["loss"] == 0).sum()) for t in named.values())
    missing = sum(_whole(table) - len(table) for table in named.values())
    words = [f"{odd} point{'s' * (odd != 1)} not finite, not drawn"] if odd else []
    words += [f"{missing} point{'s' * (missing != 1)} not measured"] if missing else []
    words += [f"{zero} point{'s' * (zero != 1)} with a loss of exactly 0"] if zero else []
    return " · ".join(words)


def _whole(table: pd.DataFrame) -> int:
    """How many points the landscape has when it is finished."""
    about = table.attrs
    if "points" in about and "dimensions" in about:
        return int(about["points"]) ** int(about["dimensions"])
    return int(table["alpha"].nunique() * table["beta"].nunique())


def _caption(table: pd.DataFrame) -> list[str]:
    """What the middle point is, and how often the landscape bends the wrong way."""
    middle = table[(table["alpha"] == 0) & (table["beta"] == 0)]
    words = []
    if len(middle):
        loss, error = (float(middle[name].iloc[0]) for name in ("loss", "error"))
        words.append(f"centre: loss {loss:.3g}, error {error:.3g} %")
    bends = bends_of(table).dropna()
    if len(bends):
        last = bends.iloc[-1]
        near = bends[bends["within"] >= last["within"] / 2 - 1e-9].iloc[0]
        both = [near, last] if near["within"] < last["within"] else [last]
        shares = [f"{100 * row['violations']:.2g} % within {row['within']:.3g}" for row in both]
        words.append(f"pairs not convex: {', '.join(shares)}")
    return words


def _plane_figure(
    named: Mapping[str, pd.DataFrame],
    log: bool,
    title: str | None,
    notes: Sequence[str],
    own: Sequence[str],
) -> Figure:
    scale = Scale.of(np.concatenate([t["loss"].to_numpy(float) for t in named.values()]), log)
    columns = min(len(named), _MOST)
    rows = -(-len(named) // columns)
    across = columns * (_SIDE + _ACROSS) - _ACROSS
    down = rows * (_SIDE + _DOWN) - _DOWN
    width = max(across + _LEFT + _RIGHT, _LEAST)
    margin = Margin(_LEFT, width - across - _LEFT, _HEAD, _FOOT)
    draft = Draft(down + _HEAD + _FOOT, width, margin, legend=None, head=_HEAD)
    for number, (name, table) in enumerate(named.items()):
        row, column = divmod(number, columns)
        left = column * (_SIDE + _ACROSS)
        foot = (rows - 1 - row) * (_SIDE + _DOWN)
        box = (left / across, (left + _SIDE) / across, foot / down, (foot + _SIDE) / down)
        bar = scale.bar(1 + 18 / across) if number == 0 else None
        Plane(table, str(number + 1) if number else "", scale).draw(draft, name, box, bar)
        draft.add(*_over(box, name, [own[number], *_caption(table)]))
    said = [*filter(None, notes), "contour lines at the ticks of the colour bar"]
    return Figure.of(draft.chart(title or "Loss on a plane through the weights", " · ".join(said)))


def _over(box: Box, name: str, lines: Sequence[str]) -> list[Note]:
    """The name of a network, and small lines below it, over its panel."""
    shown = [line for line in lines if line]
    place = shared(xref="paper", yref="paper", anchor=("left", "bottom"))
    words = short(name, _SIDE, style.FONT)
    notes = [Note(words, box[0], box[3], shift=(0, 8 + 15 * len(shown)), size=style.FONT, **place)]
    for n, line in enumerate(reversed(shown)):
        look = shared(shift=(0, 8 + 15 * n), colour=style.FAINT, **place)
        notes.insert(1, Note(short(line, _SIDE + _ACROSS - 8), box[0], box[3], **look))
    return notes
