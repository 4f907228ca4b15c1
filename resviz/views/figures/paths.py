"""`plot_paths`: gradient by path length, with the number of paths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.curves import as_table
from resviz.views.figures.old_panels import add_panel, depth_axis, legend_width
from resviz.views.figures.quantities import escaped_conditions as conditions

_HEIGHT, _TOP, _BOTTOM, _LEFT = 560, 110, 60, 92


def plot_paths(table: pd.DataFrame, *, title: str | None = None) -> Figure:
    """A figure of gradient by path length: per path, and all paths of a length together.

    As Fig. 6 of Veit et al. 2016 (https://arxiv.org/abs/1605.06431): above the gradient that
    arrives over one path, below the binomial number of paths and number times gradient, both as
    shares.

    Args:
        table: of :func:`resviz.path_study`.
        title: replaces the first line of the title.

    Raises:
        TypeError: no table.
        ValueError: a table of something else.

    Example:
        >>> import torch
        >>> from resviz.analysis.paths import path_study
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = path_study(cifar_resnet(8, seed=0), torch.randn(2, 3, 32, 32), samples=2)
        >>> len(plot_paths(table).data) > 3
        True
    """
    frame = as_table(table, "plot_paths")
    if not isinstance(frame, pd.DataFrame) or "share_of_paths" not in frame:
        raise ValueError("plot_paths: no path study; rv.path_study makes one.")
    known = {str(key): value for key, value in frame.attrs.items()}
    margin = {"l": _LEFT, "t": _TOP, "b": _BOTTOM}
    fig = Figure(layout={"template": style.template(), "height": _HEIGHT, "margin": margin})
    pixels = _HEIGHT - _TOP - _BOTTOM
    spread = np.append(
        frame[["low", "high", "typical"]].to_numpy(dtype=float), known.get("whole", np.nan)
    )
    upper = add_panel(
        fig, (0.46, 1), spread, title="gradient over one path (log)", log=True, pixels=pixels
    )
    shares = np.append(frame["share"].to_numpy(dtype=float), _share_of_listed(frame))
    top = float(np.nanmax(shares)) * 1.08
    lower = add_panel(
        fig, (0, 0.38), shares, title="share", log=False, pixels=pixels, limits=(0, top)
    )
    lengths = frame["length"].to_numpy(dtype=float)
    title_x = "path length (branches on the way)"
    depth_axis(fig, lower, float(lengths.min()), float(lengths.max()), title_x)
    _add_per_path(fig, upper, frame, known)
    _add_shares(fig, lower, frame)
    fig.update_layout(margin_r=legend_width(fig))
    network = style.escape(known.get("network") or "")
    heading = style.escape(title) if title else f"Gradient by path length: {network}".rstrip(": ")
    fig.update_layout(title={"text": style.heading(heading, *_words(known))})
    return fig


def _words(known: dict[str, Any]) -> list[str]:
    lines = ["norm at the input of the summed losses' gradient, per image"]
    lines.append(" · ".join(conditions(known).values()))
    if "per_branch" in known:
        words = [f"× {known['per_branch']:.2f} for each branch on the path"]
        if known.get("central"):
            low, high = known["central"]
            words.append(f"90 % of number times gradient in lengths {low} to {high}")
        words.append(f"mean length {known['mean_length']:g} of {known['additions']}")
        lines.append(" · ".join(words))
    return lines


def _add_per_path(fig: Figure, panel: Any, frame: pd.DataFrame, known: dict[str, Any]) -> None:
    colour, x = style.colour(0), frame["length"].to_numpy(dtype=float)
    low, high = (frame[c].where(frame[c] > 0).to_numpy() for c in ("low", "high"))
    fig.add_scatter(
        x=[v for a in x for v in (a, a, None)],
        y=[v for a, b in zip(low, high, strict=True) for v in (a, b, None)],
        yaxis=panel.y,
        mode="lines",
        name="smallest to largest drawn path",
        line={"color": style.translucent(colour, 0.45), "width": 1.5},
        hoverinfo="skip",
    )
    zero = frame["typical"].to_numpy() == 0
    fig.add_scatter(
        x=x,
        y=np.where(zero, np.nan, frame["typical"]),
        yaxis=panel.y,
        mode="markers",
        name="typical path (geometric mean)",
        customdata=frame[["samples"]].to_numpy(),
        hovertemplate="length %{x}<br>%{y:.3g}, %{customdata[0]} paths drawn<extra></extra>",
        marker={"color": colour, "size": 7},
    )
    if zero.any() and panel.zero:
        fig.add_scatter(
            x=x[zero],
            y=np.zeros(int(zero.sum())),
            yaxis=panel.zero,
            mode="markers",
            name="exactly 0",
            showlegend=False,
            marker={"color": colour, "size": 7},
        )
    if np.isfinite(known.get("whole", np.nan)):
        fig.add_scatter(
            x=[x.min(), x.max()],
            y=[known["whole"]] * 2,
            yaxis=panel.y,
            mode="lines",
            name="all paths at once",
            hovertemplate="all paths at once: %{y:.3g}<extra></extra>",
            line={"color": style.INK, "width": 1.5, "dash": "dash"},
        )


def _share_of_listed(frame: pd.DataFrame) -> Any:
    """Of the paths of all listed lengths, as `share` is of their totals."""
    paths = frame["share_of_paths"].to_numpy(dtype=float)
    return paths / paths.sum()


def _add_shares(fig: Figure, panel: Any, frame: pd.DataFrame) -> None:
    x, paths = frame["length"].to_numpy(dtype=float), _share_of_listed(frame)
    fig.add_scatter(
        x=[x[0], *x, x[-1]],
        y=[0.0, *paths, 0.0],
        yaxis=panel.y,
        mode="lines",
        fill="toself",
        fillcolor=style.translucent(style.FAINT, 0.18),
        line={"width": 0, "color": style.FAINT},
        showlegend=False,
        hoverinfo="skip",
    )
    for values, words, colour in (
        (paths, "paths of this length (binomial)", style.FAINT),
        (frame["share"].to_numpy(), "number of paths × mean gradient", style.colour(1)),
    ):
        fig.add_scatter(
            x=x,
            y=values,
            yaxis=panel.y,
            mode="lines",
            name=words,
            hovertemplate=f"length %{{x}}<br>{words}: %{{y:.3g}}<extra></extra>",
            line={"color": colour, "width": 2},
        )
