"""Landscapes on a line: loss and error against alpha, several networks on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.old_panels import Panel, add_panel
from resviz.views.figures.tiles import room_for, short

_WIDTH, _HEIGHT, _BOTTOM = 900, 560, 56
_DOMAINS = {"loss": (0.46, 1.0), "error": (0.0, 0.38)}
_LEGEND = 300  # pixels at most


def line_figure(
    named: Mapping[str, pd.DataFrame],
    log: bool,
    title: str | None,
    notes: Sequence[str],
    own: Sequence[str],
    captions: Sequence[Sequence[str]],
) -> Figure:
    """Loss above, error below; a curve per network.

    Args:
        named: tables by name.
        log: the axis of the loss.
        title: replaces the first line of the title.
        notes: further lines of the title, escaped.
        own: what is particular to each, escaped.
        captions: lines about each, for the legend.
    """
    names = [
        "<br>".join([style.escape(short(name, _LEGEND)), *filter(None, [extra, *lines])])
        for (name, extra), lines in zip(zip(named, own, strict=True), captions, strict=True)
    ]
    widest = max(room_for(line) for name in names for line in name.split("<br>"))
    heading = [style.escape(title) if title else "Loss and error on a line through the weights"]
    heading += wrapped(notes, _WIDTH - 32)
    top = 36 + 16 * len(heading)
    fig = Figure(
        layout={
            "template": style.template(),
            "height": _HEIGHT,
            "showlegend": True,
            "margin": {"l": 84, "r": round(min(widest, 330)) + 60, "t": top, "b": _BOTTOM},
            "title": {"text": style.heading(*heading)},
        }
    )
    panels = {n: _add_axis(fig, named, n, log, _HEIGHT - top - _BOTTOM) for n in _DOMAINS}
    ends = [t["alpha"].to_numpy(float) for t in named.values()]
    low, high = (float(f(np.concatenate(ends))) for f in (np.min, np.max))
    room = 0.03 * (high - low)
    foot = panels["error"]
    fig.update_layout(
        xaxis={
            "range": [low - room, high + room],
            "title": {"text": "α"},
            "anchor": foot.y,
            "showgrid": False,
        }
    )
    for panel in panels.values():
        fig.add_shape(
            type="line",
            xref="x",
            yref=f"{panel.y} domain",
            x0=0,
            x1=0,
            y0=0,
            y1=1,
            layer="below",
            line={"color": style.FAINT, "width": 1, "dash": "dot"},
        )
    for number, (key, table) in enumerate(named.items()):
        for column, panel in panels.items():
            _add_curve(fig, panel, table, column, (key, names[number]), style.colour(number))
    return fig


def wrapped(notes: Sequence[str], room: float) -> list[str]:
    """Notes one after the other, divided by dots, in as many lines as `room` pixels demand."""
    lines: list[str] = []
    for word in [each for note in notes for each in note.split(" · ") if each]:
        if lines and room_for(f"{lines[-1]} · {word}") <= room:
            lines[-1] += f" · {word}"
        else:
            lines.append(word)
    return lines


def _add_axis(
    fig: Figure, named: Mapping[str, pd.DataFrame], column: str, log: bool, pixels: int
) -> Panel:
    values = np.concatenate([table[column].to_numpy(float) for table in named.values()])
    is_loss = column == "loss"
    title = f"loss{' (log)' if log else ''}" if is_loss else "error (%)"
    limits = None if is_loss else (-3.0, 103.0)
    return add_panel(
        fig,
        _DOMAINS[column],
        values,
        title=title,
        log=log and is_loss,
        pixels=pixels,
        limits=limits,
    )


def _add_curve(
    fig: Figure,
    panel: Panel,
    table: pd.DataFrame,
    column: str,
    names: tuple[str, str],
    colour: str,
) -> None:
    rows = table.sort_values("alpha")
    x, values = (rows[name].to_numpy(dtype=float) for name in ("alpha", column))
    key, name = style.escape(names[0]), names[1]
    unit = " %" if column == "error" else ""
    hover = f"<b>{key}</b><br>α %{{x:.3g}}<br>{column} %{{y:.4g}}{unit}<extra></extra>"
    zero = (values == 0) & (panel.zero is not None)
    if zero.any():
        fig.add_scatter(
            x=x[zero],
            y=np.zeros(int(zero.sum())),
            yaxis=panel.zero,
            mode="markers",
            name=f"{key}, {column}, exactly 0",
            legendgroup=key,
            showlegend=False,
            marker={"size": 5, "color": colour},
            hovertemplate=f"<b>{key}</b><br>α %{{x:.3g}}<br>{column} exactly 0<extra></extra>",
        )
    shown = np.isfinite(values) & ~zero
    fig.add_scatter(
        x=x,
        y=np.where(shown, values, np.nan),
        yaxis=panel.y,
        mode="lines+markers",
        name=name,
        legendgroup=key,
        showlegend=column == "loss",
        line={"color": colour, "width": 2},
        marker={"size": 5, "color": colour},
        hovertemplate=hover,
    )
