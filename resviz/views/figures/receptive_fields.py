"""`plot_receptive_fields`: theoretical and effective receptive fields along depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.charts.marks import Hover, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.panels import add_panel, depth_axis, shade_stages, shared_bounds
from resviz.views.figures.study import (
    finished,
    legend_names,
    named_title,
    only_tables,
    study_draft,
    study_tables,
)

if TYPE_CHECKING:
    from resviz.views.figures.panels import Bounds
    from resviz.views.records import Tables

_NEEDED = ("layer", "position", "stage", "field", "effective", "share")
_HEIGHT = 520


def plot_receptive_fields(tables: Tables, *, title: str | None = None) -> Figure:
    """A figure of how large receptive fields are along depth, in theory and in effect.

    After Luo et al. 2016 (https://arxiv.org/abs/1701.04128): the side of the theoretical field as a
    dotted line, that of the effective one as points and a line, both in pixels, log; below, the one
    as a share of the other. Where every position sees the whole image there is no theoretical
    field.

    Args:
        tables: a table of :func:`resviz.receptive_field_study`, or ``{"ResNet-56": table, ...}``.
        title: replaces the first line of the title.

    Raises:
        TypeError: something else than tables.
        ValueError: tables of something else, empty ones, or several under one name.

    Example:
        >>> table = pd.DataFrame({"layer": ["a", "b"], "position": [1, 2], "stage": "layer1",
        ...     "field": [3.0, 7.0], "effective": [3.0, 4.0], "share": [1.0, 0.57]})
        >>> plot_receptive_fields(table).layout.yaxis.title.text
        'side in pixels (log)'
    """
    lists = study_tables("plot_receptive_fields", tables, _NEEDED, "receptive_field_study")
    tables = only_tables("plot_receptive_fields", lists)
    frames = {name: table.reset_index(drop=True) for name, table in tables.items()}
    draft = study_draft(_HEIGHT)
    common, names = legend_names(lists)
    both = ["field", "effective"]
    sides = np.concatenate([f[both].to_numpy(float).ravel() for f in frames.values()])
    shares = np.concatenate([[0.0, 1.0], *(f["share"].to_numpy(float) for f in frames.values())])
    upper = add_panel(draft, (0.42, 1.0), sides, title="side in pixels (log)", log=True)
    lower = add_panel(draft, (0.0, 0.32), shares, title="effective\n/ theoretical", log=False)
    colours = style.colours_of(frames)
    for name, frame in frames.items():
        look = shared(x=frame["position"].to_numpy(float), colour=colours[name], group=names[name])
        texts = [_told(row) for row in frame.to_dict("records")]
        told = Hover("\n%{text}", name, texts=texts)
        draft.add(
            Series(y=frame["field"].to_numpy(float), yaxis=upper.y, dash="dot", width=1.3,
                   legend=False, hover=None, **look),
            Series(y=frame["effective"].to_numpy(float), yaxis=upper.y, symbol="circle", size=5,
                   name=names[name], hover=told, **look),
            Series(y=frame["share"].to_numpy(float), yaxis=lower.y, symbol="circle", size=5,
                   legend=False, hover=told, **look),
        )  # fmt: skip
    faint = shared(x=(), y=(), yaxis=upper.y, colour=style.FAINT)
    draft.add(Series(name="in theory", dash="dot", width=1.3, **faint))
    longest = max(map(len, frames.values()))
    depth_axis(draft, lower, 1.0, float(longest), "stem and blocks, from the input")
    shade_stages(draft, [upper, lower], shared_bounds(map(_stages, frames.values())))
    meaning = "effective: pixels above 4.6 % of the strongest gradient, as the side of a square"
    return finished(
        draft,
        title or named_title("Receptive fields along depth", frames),
        meaning,
        common + style.not_finite(*(f[["effective"]] for f in frames.values())),
    )


def _told(row: dict[object, object]) -> str:
    return f"{row['layer']}\nfield {row['field']:g}, effective {row['effective']:.1f} pixels"


def _stages(frame: pd.DataFrame) -> Bounds:
    positions = frame.groupby("stage", sort=False)["position"]
    return [(str(s), float(p.min()) - 0.5, float(p.max()) + 0.5) for s, p in positions]
