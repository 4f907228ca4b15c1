"""`plot_refinement`: each block's output against the last one of its stage."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.old_panels import Panel, add_panel, depth_axis, shade_stages
from resviz.views.figures.study import (
    BOTTOM,
    TOP,
    empty_figure,
    legend_names,
    reference_line,
    say,
    study_tables,
)


class _Shown(NamedTuple):
    column: str
    control: str
    axis: str
    log: bool
    domain: tuple[float, float]


_PANELS = (
    _Shown("correlation", "shuffled_correlation", "correlation<br>by channel", False, (0.78, 1.0)),
    _Shown("cosine", "shuffled_cosine", "cosine", False, (0.52, 0.74)),
    _Shown("mean_error", "", "mean error<br>/ rms of the end", False, (0.26, 0.48)),
    _Shown("error_std", "", "std of the error<br>/ rms (log)", True, (0.0, 0.22)),
)
_HEIGHT = 860
_NEEDED = (
    *("block", "stage", "position", "blocks", "correlation", "shuffled_correlation", "cosine"),
    *("shuffled_cosine", "mean_error", "error_std", "end_rms"),
)
_HOVER = "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>%{customdata[2]}<extra></extra>"


def plot_refinement(tables: Any, *, title: str | None = None) -> Figure:
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
    frames = {name: _only(name, several) for name, several in lists.items()}
    fig = empty_figure(_HEIGHT)
    common, names = legend_names(lists, without=["seeds"])
    panels = [_add_panel(fig, shown, list(frames.values())) for shown in _PANELS]
    for number, (name, frame) in enumerate(frames.items()):
        for shown, panel in zip(_PANELS, panels, strict=True):
            look = style.colour(number)
            first = shown is _PANELS[0]
            _draw(fig, panel, shown, frame, names[name], look, first=first)
    _add_control(fig, panels[0])
    longest = max(frames.values(), key=len)
    depth_axis(fig, panels[-1], 1.0, float(len(longest)), "block, from the input")
    bounds = [_stages(frame) for frame in frames.values()]
    if all(each == bounds[0] for each in bounds):
        shade_stages(fig, panels, bounds[0])
    name = f": {style.escape(next(iter(frames)))}" if len(frames) == 1 else ""
    say(
        fig,
        style.escape(title) if title else f"Each block's output against its stage's end{name}",
        "error: output minus that of the stage's last block" + _shuffled(frames),
        common + _not_finite(frames),
    )
    return fig


def _only(name: str, several: list[pd.DataFrame]) -> pd.DataFrame:
    if len(several) > 1:
        raise ValueError(
            f"plot_refinement: {len(several)} tables under {name!r}; one table for each name is "
            "right. Give each a name of its own."
        )
    return several[0].reset_index(drop=True)


def _series(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    values = frame[column].to_numpy(float)
    if column not in ("mean_error", "error_std"):
        return values
    end = frame["end_rms"].to_numpy(float)
    known = (end > 0) & ~_is_end(frame)
    return np.where(known, values / np.where(known, end, 1.0), np.nan)


def _is_end(frame: pd.DataFrame) -> NDArray[np.bool_]:
    return (frame["position"] == frame["blocks"]).to_numpy(bool)


def _add_panel(fig: Figure, shown: _Shown, frames: list[pd.DataFrame]) -> Panel:
    columns = [shown.column, *filter(None, [shown.control])]
    values = np.concatenate([_series(frame, column) for frame in frames for column in columns])
    if not shown.log:
        values = np.append(values, 0.0)
    limits = (
        (float(np.nanmin(values)) - 0.08, 1.2) if shown.control else None
    )  # stages' names on top
    panel = add_panel(
        fig,
        shown.domain,
        values,
        title=shown.axis,
        log=shown.log,
        pixels=_HEIGHT - TOP - BOTTOM,
        limits=limits,
    )
    if not shown.log:
        reference_line(fig, panel, 0.0)
    return panel


def _draw(
    fig: Figure,
    panel: Panel,
    shown: _Shown,
    frame: pd.DataFrame,
    name: str,
    colour: str,
    *,
    first: bool,
) -> None:
    values, end = _series(frame, shown.column), _is_end(frame)
    hover = _hover(frame, shown, name)
    x, y = _broken(frame, values)
    zero = (values == 0) & panel.log
    fig.add_scatter(
        x=x,
        y=np.where((y == 0) & panel.log, np.nan, y),
        yaxis=panel.y,
        mode="lines",
        name=name,
        legendgroup=name,
        showlegend=first,
        hoverinfo="skip",
        line={"color": colour, "width": 2},
    )
    if shown.control:
        x, control = _broken(frame, _series(frame, shown.control))
        fig.add_scatter(
            x=x,
            y=control,
            yaxis=panel.y,
            mode="lines",
            name=f"{name}, channels shuffled",
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
            line={"color": colour, "width": 1.3, "dash": "dot"},
        )
    at = np.arange(1, len(frame) + 1)
    for chosen, axis, heights, symbol in (
        (~end & ~zero, panel.y, values, "circle"),
        (end & ~zero, panel.y, values, "circle-open"),
        (zero & ~end, panel.zero, np.zeros(len(values)), "circle"),
    ):
        chosen = chosen & np.isfinite(values)
        if axis is not None and chosen.any():
            fig.add_scatter(
                x=at[chosen],
                y=heights[chosen],
                yaxis=axis,
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=False,
                customdata=hover[chosen],
                hovertemplate=_HOVER,
                marker={"symbol": symbol, "size": 6, "color": colour},
            )


def _broken(
    frame: pd.DataFrame, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points of a line with a gap after each stage's end."""
    gaps = np.flatnonzero(_is_end(frame)) + 1
    at = np.arange(1.0, len(frame) + 1)
    return np.insert(at, gaps, np.nan), np.insert(values, gaps, np.nan)


def _hover(frame: pd.DataFrame, shown: _Shown, name: str) -> NDArray[np.object_]:
    texts = []
    rows: list[Any] = list(frame.itertuples())
    for row, value in zip(rows, _series(frame, shown.column), strict=True):
        place = f"{name}<br>{style.escape(row.stage)}, block {row.position} of {row.blocks}"
        if "channels" in frame:
            place += f", {row.channels} channels vary"
        what = f"{shown.axis.replace('<br>', ' ').removesuffix(' (log)')}: {value:.4g}"
        if shown.control:
            what += f"<br>channels shuffled: {getattr(row, shown.control):.4g}"
        texts.append([style.escape(row.block), place, what])
    return np.array(texts, dtype=object)


def _add_control(fig: Figure, panel: Panel) -> None:
    """Legend entries for the two looks that all networks share."""
    for words, look in (
        ("the end's channels shuffled", {"mode": "lines", "line": {"dash": "dot", "width": 1.3}}),
        ("the stage's end itself", {"mode": "markers", "marker": {"symbol": "circle-open"}}),
    ):
        kind = "line" if "line" in look else "marker"
        coloured = {**look, kind: {**look[kind], "color": style.FAINT}}  # type: ignore[dict-item]
        fig.add_scatter(x=[None], y=[None], yaxis=panel.y, name=words, hoverinfo="skip", **coloured)


def _stages(frame: pd.DataFrame) -> list[tuple[str, float, float]]:
    bounds: list[tuple[str, float, float]] = []
    start = 0.5
    for index in np.flatnonzero(_is_end(frame)).tolist():
        bounds.append((str(frame["stage"].iloc[index]), start, index + 1.5))
        start = index + 1.5
    return bounds


def _shuffled(frames: dict[str, pd.DataFrame]) -> str:
    seeds = dict.fromkeys(seed for f in frames.values() for seed in f.attrs.get("seeds", []))
    return f" · channels shuffled with seed {', '.join(map(str, seeds))}" if seeds else ""


def _not_finite(frames: dict[str, pd.DataFrame]) -> str:
    columns = ["correlation", "cosine", "mean_error", "error_std"]
    values = [frame[columns].to_numpy(float) for frame in frames.values()]
    return style.not_finite(sum(int((~np.isfinite(each)).sum()) for each in values))
