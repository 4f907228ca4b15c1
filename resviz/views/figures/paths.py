"""`plot_paths`: gradient by path length, with the number of paths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Mark, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.curves import as_table
from resviz.views.figures.panels import (
    Floats,
    Panel,
    add_panel,
    band,
    depth_axis,
    strokes,
    with_zeros,
)
from resviz.views.figures.quantities import conditions
from resviz.views.figures.study import finished


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
    draft = Draft(560, margin=Margin(left=92, top=110, bottom=60))
    spread = np.append(
        frame[["low", "high", "typical"]].to_numpy(dtype=float), known.get("whole", np.nan)
    )
    title_y = "gradient over one path (log)"
    upper = add_panel(draft, (0.46, 1), spread, title=title_y, log=True)
    shares = np.append(frame["share"].to_numpy(dtype=float), _share_of_listed(frame))
    limits = (0, float(np.nanmax(shares)) * 1.08)
    lower = add_panel(draft, (0, 0.38), shares, title="share", log=False, limits=limits)
    lengths = frame["length"].to_numpy(dtype=float)
    low, high = float(lengths.min()), float(lengths.max())
    depth_axis(draft, lower, low, high, "path length (branches on the way)")
    draft.add(*_per_path(upper, frame, known), *_shares(lower, frame))
    heading = title or f"Gradient by path length: {known.get('network') or ''}".rstrip(": ")
    return finished(draft, heading, *_words(known))


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


def _per_path(panel: Panel, frame: pd.DataFrame, known: dict[str, Any]) -> list[Series]:
    """The typical path of each length, the range of those drawn, and all at once."""
    colour, x = style.colour(0), frame["length"].to_numpy(dtype=float)
    high = frame["high"].where(frame["high"] > 0).to_numpy(dtype=float)
    low = np.maximum(frame["low"].to_numpy(dtype=float), panel.low)  # of some path it may be 0
    text = "length %{x}\n%{y:.3g}, %{customdata[0]} paths drawn"
    look = shared(colour=colour, size=7, hover=Hover(text, rows=frame[["samples"]].to_numpy()))
    typical = Series(x=x, y=frame["typical"], name="typical path (geometric mean)", **look)
    marks = [
        strokes(x, low, high, colour, yaxis=panel.y, name="smallest to largest drawn path"),
        *with_zeros(panel, typical, size=7),
    ]
    if np.isfinite(known.get("whole", np.nan)):
        look = shared(colour=style.INK, width=1.5, dash="dash", yaxis=panel.y)
        look |= shared(name="all paths at once", hover=Hover("all paths at once: %{y:.3g}"))
        marks.append(Series(x=[x.min(), x.max()], y=[known["whole"]] * 2, **look))
    return marks


def _share_of_listed(frame: pd.DataFrame) -> Floats:
    """Of the paths of all listed lengths, as `share` is of their totals."""
    paths = frame["share_of_paths"].to_numpy(dtype=float)
    return paths / paths.sum()


def _shares(panel: Panel, frame: pd.DataFrame) -> list[Mark]:
    x, paths = frame["length"].to_numpy(dtype=float), _share_of_listed(frame)
    marks: list[Mark] = [band(panel, x, np.zeros(len(x)), paths, style.FAINT)]
    for values, words, colour in (
        (paths, "paths of this length (binomial)", style.FAINT),
        (frame["share"].to_numpy(), "number of paths × mean gradient", style.colour(1)),
    ):
        look = shared(colour=colour, width=2, name=words, yaxis=panel.y)
        hover = Hover(f"length %{{x}}\n{words}: %{{y:.3g}}")
        marks.append(Series(x=x, y=values, hover=hover, **look))
    return marks
