"""`plot_residual_branches`: what each residual branch adds to its shortcut, along depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from resviz.errors import closest
from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.curves import about, as_table, curve, stage_bounds, table_of
from resviz.views.figures.old_panels import Panel, add_panel, depth_axis, shade_stages
from resviz.views.figures.quantities import escaped_conditions as conditions

_SYMBOLS = {"identity": "circle", "projection": "diamond-open", "padded": "triangle-up-open"}
_SIZES = {"branch_rms": "branch F(x)", "shortcut_rms": "shortcut", "sum_rms": "sum"}
_COSINES = {
    "cosine": "cosine of branch and shortcut",
    "grad_cosine": "cosine of the gradient parts",
    "grad_branch_share": "branch's share of the gradient",
}
_HEIGHT, _TOP, _BOTTOM = 720, 96, 56
_DOMAINS = ((0.62, 1.0), (0.34, 0.56), (0.0, 0.28))
_PANELS = ("size", "ratio", "cosine")
_SHOWN = {"size": _SIZES, "ratio": {"ratio": "branch / shortcut"}, "cosine": _COSINES}
_SPLIT = "gradients of the losses summed over the images, split at each block's input"


def plot_residual_branches(
    rec_or_df: Any, *, x: str = "depth", panels: tuple[str, ...] = _PANELS
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
    fig = Figure(
        layout={
            "template": style.template(),
            "height": height,
            "margin": {"l": 84, "r": 260, "t": _TOP, "b": _BOTTOM},
        }
    )
    made = _add_panels(fig, frame, panels, height - _TOP - _BOTTOM)
    xs = frame[x].to_numpy(dtype=float)
    title = "depth (weighted layers from the input)" if x == "depth" else style.escape(x)
    depth_axis(fig, list(made.values())[-1], float(xs.min()), float(xs.max()), title)
    shade_stages(
        fig, list(made.values()), stage_bounds(curve("", [frame], "residuals", x, "sum_rms", None))
    )
    for name, panel in made.items():
        _fill(fig, panel, frame, xs, name)
    _add_kinds(fig, made, frame)
    words = conditions(about(table))
    network = style.escape(about(table).get("network", ""))
    fig.update_layout(
        title={
            "text": style.heading(
                f"Residual additions{': ' + network if network else ''}",
                _SPLIT if any(c.startswith("grad") for c in _drawn(frame, panels)) else "",
                " · ".join(words.values()) + _not_finite(frame, panels),
            )
        }
    )
    return fig


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


def _not_finite(frame: pd.DataFrame, panels: tuple[str, ...]) -> str:
    values = frame[_drawn(frame, panels)].to_numpy(dtype=float)
    return style.not_finite(int((~np.isfinite(values)).sum()))


def _columns(frame: pd.DataFrame, names: dict[str, str]) -> dict[str, str]:
    return {n: t for n, t in names.items() if n in frame and frame[n].notna().any()}


def _add_panels(
    fig: Figure, frame: pd.DataFrame, names: tuple[str, ...], pixels: int
) -> dict[str, Panel]:
    domains = {1: ((0.0, 1.0),), 2: ((0.55, 1.0), (0.0, 0.45))}.get(len(names), _DOMAINS)
    made = {}
    for name, domain in zip(names, domains, strict=True):
        if name == "size":
            values = frame[list(_columns(frame, _SIZES))].to_numpy(dtype=float)
            made[name] = add_panel(fig, domain, values, title="rms (log)", log=True, pixels=pixels)
        elif name == "ratio":
            ratios = np.append(frame["ratio"].to_numpy(dtype=float), 1.0)
            made[name] = add_panel(
                fig, domain, ratios, title="branch / shortcut (log)", log=True, pixels=pixels
            )
        else:
            values = frame[list(_columns(frame, _COSINES))].to_numpy(dtype=float)
            finite = values[np.isfinite(values)]
            low, high = min(-1.0, *finite, 0.0), max(1.0, *finite, 0.0)
            made[name] = add_panel(
                fig,
                domain,
                values,
                title="cosine, share",
                log=False,
                pixels=pixels,
                limits=(low - 0.08, high + 0.08),
            )
    return made


def _fill(fig: Figure, panel: Panel, frame: pd.DataFrame, xs: Any, name: str) -> None:
    texts = _SHOWN[name]
    first = {"size": 0, "ratio": 3, "cosine": 4}[name]
    line = {"size": None, "ratio": 1.0, "cosine": 0.0}[name]
    if line is not None:
        fig.add_shape(
            type="line",
            xref="x domain",
            yref=panel.y,
            x0=0,
            x1=1,
            y0=line,
            y1=line,
            layer="below",
            line={"color": style.FAINT, "width": 1, "dash": "dot"},
        )
    for number, (column, text) in enumerate(_columns(frame, texts).items()):
        _add_series(fig, panel, frame, xs, column, text, style.colour(first + number))


def _add_series(
    fig: Figure, panel: Panel, frame: pd.DataFrame, xs: Any, column: str, text: str, colour: str
) -> None:
    values = frame[column].to_numpy(dtype=float)
    rows: list[Any] = list(frame.itertuples())
    hover: Any = np.array(
        [
            [
                style.escape(row.addition),
                style.escape(row.kind),
                style.escape(getattr(row, "stage", "")),
                " × ".join(map(str, row.shape)),
                f"{value:.4g}",
            ]
            for row, value in zip(rows, values, strict=True)
        ],
        dtype=object,
    )
    template = (
        f"<b>%{{customdata[0]}}</b><br>%{{customdata[1]}} shortcut, %{{customdata[2]}}"
        f"<br>shape %{{customdata[3]}}<br>{text}: %{{customdata[4]}}<extra></extra>"
    )
    symbols = [_SYMBOLS.get(kind, "square-open") for kind in frame["kind"]]
    zero = values == 0
    drawn = np.where(zero, np.nan, values) if panel.log else values
    fig.add_scatter(
        x=xs,
        y=drawn,
        yaxis=panel.y,
        mode="lines",
        line={"color": colour, "width": 2},
        name=text,
        legendgroup=column,
        hoverinfo="skip",
    )
    for symbol in dict.fromkeys(symbols):
        chosen = np.array([s == symbol for s in symbols])
        for part, axis, y in (
            (chosen & ~(zero & panel.log), panel.y, drawn),
            (chosen & zero & panel.log, panel.zero, np.zeros(len(xs))),
        ):
            if part.any():
                fig.add_scatter(
                    x=xs[part],
                    y=y[part],
                    yaxis=axis,
                    mode="markers",
                    name=text,
                    legendgroup=column,
                    showlegend=False,
                    customdata=hover[part],
                    hovertemplate=template,
                    marker={"symbol": symbol, "color": colour, "size": 7},
                )


def _add_kinds(fig: Figure, panels: dict[str, Panel], frame: pd.DataFrame) -> None:
    """Legend entries that say which marker is which kind of shortcut."""
    panel = next(iter(panels.values()))
    for kind in dict.fromkeys(frame["kind"]):
        fig.add_scatter(
            x=[None],
            y=[None],
            yaxis=panel.y,
            mode="markers",
            hoverinfo="skip",
            name=f"{style.escape(kind)} shortcut",
            marker={"symbol": _SYMBOLS.get(kind, "square-open"), "color": style.FAINT, "size": 8},
        )
