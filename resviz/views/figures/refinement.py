"""`plot_refinement`: each block's output against the last one of its stage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.views import style
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.panels import (
    Bounds,
    Floats,
    Panel,
    add_panel,
    depth_axis,
    picked,
    reference_line,
    shade_stages,
    shared_bounds,
)
from resviz.views.figures.study import (
    finished,
    legend_names,
    named_title,
    only_tables,
    study_draft,
    study_tables,
)

if TYPE_CHECKING:
    from resviz.views.records import Tables


class _Shown(NamedTuple):
    column: str
    control: str
    axis: str
    log: bool
    domain: tuple[float, float]


_PANELS = (
    _Shown("correlation", "shuffled_correlation", "correlation\nby channel", False, (0.78, 1.0)),
    _Shown("cosine", "shuffled_cosine", "cosine", False, (0.52, 0.74)),
    _Shown("mean_error", "", "mean error\n/ rms of the end", False, (0.26, 0.48)),
    _Shown("error_std", "", "std of the error\n/ rms (log)", True, (0.0, 0.22)),
)
_HEIGHT = 860
_MEASURED = [shown.column for shown in _PANELS]
_NEEDED = (
    *("block", "stage", "position", "blocks", "correlation", "shuffled_correlation", "cosine"),
    *("shuffled_cosine", "mean_error", "error_std", "end_rms"),
)


def plot_refinement(tables: Tables, *, title: str | None = None) -> Figure:
    """A figure of each block's output against its stage's end, of one or several networks.

    Four panels, after Greff et al. 2017 (https://arxiv.org/abs/1612.07771): the correlation of each
    channel with the same channel of the end, and the cosine, both with the end's channels shuffled
    as thin dotted lines; mean and standard deviation of the estimation error h - H, in units of the
    root mean square of H. A stage's last block is its end: an open marker at 1, and left out of the
    errors.

    Args:
        tables: a table of :func:`resviz.refinement_study`, or ``{"ResNet-56": table, ...}``.
        title: replaces the first line of the title.

    Raises:
        TypeError: something else than tables.
        ValueError: tables of something else, empty ones, or several under one name.

    Example:
        >>> table = pd.DataFrame({"block": ["layer1.0", "layer1.1"], "stage": "layer1",
        ...     "position": [1, 2], "blocks": 2, "cosine": [0.8, 1.0], "correlation": [0.7, 1.0],
        ...     "shuffled_cosine": 0.4, "shuffled_correlation": 0.0, "mean_error": [0.1, 0.0],
        ...     "error_std": [0.5, 0.0], "end_rms": 2.0})
        >>> plot_refinement(table).layout.yaxis2.title.text
        'cosine'
    """
    lists = study_tables("plot_refinement", tables, _NEEDED, "refinement_study")
    tables = only_tables("plot_refinement", lists)
    frames = {name: table.reset_index(drop=True) for name, table in tables.items()}
    draft = study_draft(_HEIGHT)
    common, names = legend_names(lists, without=["seeds"])
    panels = [_add_panel(draft, shown, list(frames.values())) for shown in _PANELS]
    colours = style.colours_of(frames)
    for name, frame in frames.items():
        for shown, panel in zip(_PANELS, panels, strict=True):
            look = shared(colour=colours[name], name=names[name], group=names[name])
            draft.add(*_marks(panel, shown, frame, legend=shown is _PANELS[0], **look))
    faint = shared(x=(), y=(), yaxis=panels[0].y, colour=style.FAINT)
    draft.add(
        Series(name="the end's channels shuffled", dash="dot", width=1.3, **faint),
        Series(name="the stage's end itself", symbol="circle-open", size=6, **faint),
    )
    longest = max(frames.values(), key=len)
    depth_axis(draft, panels[-1], 1.0, float(len(longest)), "block, from the input")
    shade_stages(draft, panels, shared_bounds(map(_stages, frames.values())))
    return finished(
        draft,
        title or named_title("Each block's output against its stage's end", frames),
        "error: output minus that of the stage's last block" + _shuffled(frames),
        common + style.not_finite(*(f[_MEASURED] for f in frames.values())),
    )


def _series(frame: pd.DataFrame, column: str) -> Floats:
    values = frame[column].to_numpy(float)
    if column not in ("mean_error", "error_std"):
        return values
    end = frame["end_rms"].to_numpy(float)
    known = (end > 0) & ~_is_end(frame)
    return np.where(known, values / np.where(known, end, 1.0), np.nan)


def _is_end(frame: pd.DataFrame) -> NDArray[np.bool_]:
    return (frame["position"] == frame["blocks"]).to_numpy(bool)


def _add_panel(draft: Draft, shown: _Shown, frames: list[pd.DataFrame]) -> Panel:
    columns = [shown.column, *filter(None, [shown.control])]
    values = np.concatenate([_series(frame, column) for frame in frames for column in columns])
    if not shown.log:
        values = np.append(values, 0.0)
    limits = (
        (float(np.nanmin(values)) - 0.08, 1.2) if shown.control else None
    )  # stages' names on top
    panel = add_panel(draft, shown.domain, values, title=shown.axis, log=shown.log, limits=limits)
    if not shown.log:
        reference_line(draft, panel, 0.0)
    return panel


def _marks(
    panel: Panel, shown: _Shown, frame: pd.DataFrame, *, legend: bool, **look: Any
) -> list[Series]:
    """The line, its control, and points: open at a stage's end, in the strip where exactly 0."""
    values, end = _series(frame, shown.column), _is_end(frame)
    zero = (values == 0) & panel.log
    x, y = _broken(frame, np.where(zero, np.nan, values))
    marks = [Series(x=x, y=y, yaxis=panel.y, width=2, legend=legend, **look)]
    own = look | shared(legend=False, yaxis=panel.y)
    if shown.control:
        x, control = _broken(frame, _series(frame, shown.control))
        name = f"{look['name']}, channels shuffled"
        marks.append(Series(x=x, y=control, width=1.3, dash="dot", **own | shared(name=name)))
    hover = Hover("\n%{customdata[1]}\n%{customdata[2]}", "%{customdata[0]}")
    hover = replace(hover, rows=_told(frame, shown, look["name"]))
    at = np.arange(1, len(frame) + 1)
    points, finite = Series(x=at, y=values, size=6, hover=hover, **own), np.isfinite(values)
    for chosen, fields in (
        (~end & ~zero & finite, shared(symbol="circle")),
        (end & ~zero & finite, shared(symbol="circle-open")),
        (zero & ~end & finite, shared(symbol="circle", yaxis=panel.zero)),
    ):
        if fields.get("yaxis", panel.y) is not None and chosen.any():
            marks.append(picked(points, chosen, **fields))
    return marks


def _broken(frame: pd.DataFrame, values: Floats) -> tuple[Floats, Floats]:
    """The points of a line with a gap after each stage's end."""
    gaps = np.flatnonzero(_is_end(frame)) + 1
    at = np.arange(1.0, len(frame) + 1)
    return np.insert(at, gaps, np.nan), np.insert(values, gaps, np.nan)


def _told(frame: pd.DataFrame, shown: _Shown, name: str) -> NDArray[np.object_]:
    texts = []
    rows: list[Any] = list(frame.itertuples())
    for row, value in zip(rows, _series(frame, shown.column), strict=True):
        place = f"{name}\n{row.stage}, block {row.position} of {row.blocks}"
        if "channels" in frame:
            place += f", {row.channels} channels vary"
        what = " ".join(shown.axis.removesuffix(" (log)").split("\n")) + f": {value:.4g}"
        if shown.control:
            what += f"\nchannels shuffled: {getattr(row, shown.control):.4g}"
        texts.append([row.block, place, what])
    return np.array(texts, dtype=object)


def _stages(frame: pd.DataFrame) -> Bounds:
    bounds: list[tuple[str, float, float]] = []
    start = 0.5
    for index in np.flatnonzero(_is_end(frame)).tolist():
        bounds.append((str(frame["stage"].iloc[index]), start, index + 1.5))
        start = index + 1.5
    return bounds


def _shuffled(frames: dict[str, pd.DataFrame]) -> str:
    seeds = dict.fromkeys(seed for f in frames.values() for seed in f.attrs.get("seeds", []))
    return f" · channels shuffled with seed {', '.join(map(str, seeds))}" if seeds else ""
