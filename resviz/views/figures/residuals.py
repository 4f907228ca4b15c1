"""`plot_residual_branches`: what each residual branch adds to its shortcut, along depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from resviz.errors import closest
from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.curves import about, as_table, curve, stage_bounds, table_of
from resviz.views.figures.panels import (
    DEPTH,
    Floats,
    Panel,
    add_panel,
    depth_axis,
    picked,
    reference_line,
    shade_stages,
)
from resviz.views.figures.quantities import conditions

if TYPE_CHECKING:
    from resviz.views.records import Table

_SYMBOLS = {"identity": "circle", "projection": "diamond-open", "padded": "triangle-up-open"}
_SIZES = {"branch_rms": "branch F(x)", "shortcut_rms": "shortcut", "sum_rms": "sum"}
_COSINES = {
    "cosine": "cosine of branch and shortcut",
    "grad_cosine": "cosine of the gradient parts",
    "grad_branch_share": "branch's share of the gradient",
}
_HEIGHT = 720
_DOMAINS = {
    1: ((0.0, 1.0),),
    2: ((0.55, 1.0), (0.0, 0.45)),
    3: ((0.62, 1.0), (0.34, 0.56), (0.0, 0.28)),
}
_PANELS = ("size", "ratio", "cosine")
_LINES = {"ratio": 1.0, "cosine": 0.0}  # what divides a panel
_FIRST = {"size": 0, "ratio": 3, "cosine": 4}  # number of a panel's first colour
_SHOWN = {"size": _SIZES, "ratio": {"ratio": "branch / shortcut"}, "cosine": _COSINES}
_SPLIT = "gradients of the losses summed over the images, split at each block's input"


def plot_residual_branches(
    rec_or_df: Table, *, x: str = "depth", panels: tuple[str, ...] = _PANELS
) -> Figure:
    """A figure of branch, shortcut and sum at each residual addition, against depth.

    Three panels: the root mean square of branch, shortcut and sum (log); branch over shortcut
    (log); cosine of branch and shortcut, cosine of the two gradient parts at the block's input, and
    the branch's share <g_branch, g> / |g|^2 of the gradient. The marker tells the kind of shortcut.

    Args:
        rec_or_df: a Recording, its ``residuals``, or a table of :func:`resviz.residual_branches`.
        x: the column along the axis.
        panels: which of "size", "ratio", "cosine", from the top.

    Raises:
        TypeError: something else than a table or a recording.
        ValueError: several networks, no residual additions, an unknown panel or column.
    """
    table = as_table(rec_or_df, "plot_residual_branches")
    frame = table_of(table, "residuals").reset_index(drop=True)
    _check(frame, x, panels)
    height = {1: 420, 2: 580}.get(len(panels), _HEIGHT)
    draft = Draft(height, margin=Margin(left=84, right=260))
    made = {
        name: _add_panel(draft, frame, name, domain)
        for name, domain in zip(panels, _DOMAINS[len(panels)], strict=True)
    }
    xs = frame[x].to_numpy(dtype=float)
    title = DEPTH if x == "depth" else x
    depth_axis(draft, list(made.values())[-1], float(xs.min()), float(xs.max()), title)
    bounds = stage_bounds(curve("", [frame], "residuals", x, "sum_rms", None))
    shade_stages(draft, list(made.values()), bounds)
    for name, panel in made.items():
        if name in _LINES:
            reference_line(draft, panel, _LINES[name])
        for number, (column, words) in enumerate(_columns(frame, _SHOWN[name]).items()):
            look = shared(name=words, colour=style.colour(_FIRST[name] + number), group=column)
            draft.add(*_marks(panel, frame, xs, column, **look))
    draft.add(*_kinds(next(iter(made.values())), frame))
    network = about(table).get("network", "")
    heading = f"Residual additions{': ' + network if network else ''}"
    split = _SPLIT if any(c.startswith("grad") for c in _drawn(frame, panels)) else ""
    words = " · ".join(conditions(about(table)).values())
    words += style.not_finite(frame[_drawn(frame, panels)])
    return Figure.of(draft.chart(heading, split, words))


def _check(frame: pd.DataFrame, x: str, panels: tuple[str, ...]) -> None:
    known = [str(column) for column in frame]
    for column in ("addition", "kind", "shape", "ratio", x):
        if column not in frame:
            raise ValueError(
                f"plot_residual_branches: no column {column!r} in the table of residuals;"
                f" closest: {closest(column, known)}."
            )
    if frame.empty:
        raise ValueError("plot_residual_branches: no residual additions; a plain network has none.")
    if set(panels) - set(_PANELS) or not panels:
        raise ValueError(f"plot_residual_branches: panels {panels}; known: {', '.join(_PANELS)}.")


def _drawn(frame: pd.DataFrame, panels: tuple[str, ...]) -> list[str]:
    return [column for name in panels for column in _columns(frame, _SHOWN[name])]


def _columns(frame: pd.DataFrame, names: dict[str, str]) -> dict[str, str]:
    return {n: t for n, t in names.items() if n in frame and frame[n].notna().any()}


def _add_panel(draft: Draft, frame: pd.DataFrame, name: str, domain: tuple[float, float]) -> Panel:
    values = frame[list(_columns(frame, _SHOWN[name]))].to_numpy(dtype=float)
    if name == "size":
        return add_panel(draft, domain, values, title="rms (log)", log=True)
    if name == "ratio":
        ratios, title = np.append(values, 1.0), "branch / shortcut (log)"
        return add_panel(draft, domain, ratios, title=title, log=True)
    finite = values[np.isfinite(values)]
    low, high = min(-1.0, *finite, 0.0), max(1.0, *finite, 0.0)
    limits = (low - 0.08, high + 0.08)
    return add_panel(draft, domain, values, title="cosine, share", log=False, limits=limits)


def _marks(panel: Panel, frame: pd.DataFrame, xs: Floats, column: str, **look: Any) -> list[Series]:
    """The line, and points whose symbol is the kind of shortcut, in the strip where exactly 0."""
    values = frame[column].to_numpy(dtype=float)
    zero = (values == 0) & panel.log
    drawn = np.where(zero, np.nan, values)
    line = Series(x=xs, y=drawn, yaxis=panel.y, width=2, **look)
    text = "\n%{customdata[1]} shortcut, %{customdata[2]}\nshape %{customdata[3]}"
    text += f"\n{look['name']}: %{{customdata[4]}}"
    hover = Hover(text, "%{customdata[0]}", _told(frame, values))
    points = Series(x=xs, y=drawn, yaxis=panel.y, size=7, hover=hover, legend=False, **look)
    symbols = np.array([_SYMBOLS.get(kind, "square-open") for kind in frame["kind"]])
    marks = [line]
    for symbol in dict.fromkeys(symbols.tolist()):
        chosen = symbols == symbol
        if (chosen & ~zero).any():
            marks.append(picked(points, chosen & ~zero, symbol=symbol))
        if panel.zero is not None and (chosen & zero).any():
            y = np.zeros(int((chosen & zero).sum()))
            marks.append(picked(points, chosen & zero, symbol=symbol, y=y, yaxis=panel.zero))
    return marks


def _told(frame: pd.DataFrame, values: Floats) -> Any:
    """(additions, 5) words: addition, kind, stage, shape, value."""
    rows: list[Any] = list(frame.itertuples())
    told = [
        [
            *(row.addition, row.kind, getattr(row, "stage", "")),
            *(" × ".join(map(str, row.shape)), f"{value:.4g}"),
        ]
        for row, value in zip(rows, values, strict=True)
    ]
    return np.array(told, dtype=object)


def _kinds(panel: Panel, frame: pd.DataFrame) -> list[Series]:
    """Legend entries that say which marker is which kind of shortcut."""
    look = shared(x=(), y=(), yaxis=panel.y, colour=style.FAINT, size=8)
    return [
        Series(name=f"{kind} shortcut", symbol=_SYMBOLS.get(kind, "square-open"), **look)
        for kind in dict.fromkeys(frame["kind"])
    ]
