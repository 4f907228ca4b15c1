"""`plot_similarity`: how alike the blocks of a network, or of two, represent images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.views import style
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import ColourBar, Heat, Hover, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.quantities import shared_conditions
from resviz.views.figures.study import study_draft, study_tables

_NEEDED = ("layer", "position", "stage", "other_layer", "other_position", "other_stage", "cka")
_SIDE = 430.0  # pixels of the longer side
_TICKS = 14


def plot_similarity(
    table: pd.DataFrame,
    *,
    names: Sequence[str] = ("", ""),
    low: float | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of the similarity of every pair of layers, as Fig. 1 of Nguyen et al. 2021.

    Linear CKA (Kornblith et al. 2019, https://arxiv.org/abs/1905.00414; Nguyen et al. 2021,
    https://arxiv.org/abs/2010.15327) as colours from `low` to 1; lines where a stage ends.
    A network against itself has 1 along the diagonal. Pairs without a value stay empty and are
    counted.

    Args:
        table: of :func:`resviz.similarity_study`.
        names: of the two networks, for the axes; of one network, the first.
        low: where the colours begin; None: 0, or the least value below that.
        title: replaces the first line of the title.

    Raises:
        TypeError: no table.
        ValueError: a table of something else, or no value at all.

    Example:
        >>> rows = [("a", 1, "s", "a", 1, "s", 1.0), ("a", 1, "s", "b", 2, "s", 0.5)]
        >>> rows += [("b", 2, "s", "a", 1, "s", 0.5), ("b", 2, "s", "b", 2, "s", 1.0)]
        >>> columns = ["layer", "position", "stage"]
        >>> columns += ["other_layer", "other_position", "other_stage", "cka"]
        >>> plot_similarity(pd.DataFrame(rows, columns=columns)).data[0].type
        'heatmap'
    """
    study_tables("plot_similarity", table, _NEEDED, "similarity_study")
    grid = table.pivot(index="other_position", columns="position", values="cka")
    z = grid.to_numpy(float)
    if not np.isfinite(z).any():
        raise ValueError(
            "plot_similarity: no finite value; a table of rv.similarity_study with layers whose "
            "outputs differ between images would be right."
        )
    across, up = _layers(table, ""), _layers(table, "other_")
    start = min(0.0, float(np.nanmin(z))) if low is None else float(low)
    draft = study_draft(_SIDE + 180)
    names = (*names, "", "")[:2]
    _axis(draft, "x", across, names[0])
    _axis(draft, "y", up, names[1] or names[0])
    draft.add(_colours(z, across, up, start), *_ends(across, up))
    draft.legend = None
    draft.room_right(96)
    common, _ = shared_conditions([{str(k): v for k, v in table.attrs.items()}])
    missing = int((~np.isfinite(z)).sum())
    lines = [
        "linear CKA, without bias: 1 for equal up to rotation and scale, about 0 for unrelated"
    ]
    lines += [common, f"{missing} pairs without a value" if missing else ""]
    draft.head = 12
    return Figure.of(draft.chart(title or _title(names), *lines))


def _title(names: Sequence[str]) -> str:
    named = " and ".join(filter(None, dict.fromkeys(names)))
    return "How alike blocks represent the same images" + (f": {named}" if named else "")


def _layers(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Layer and stage by position."""
    columns = [f"{prefix}{name}" for name in ("position", "layer", "stage")]
    found = table[columns].drop_duplicates().sort_values(columns[0])
    return found.set_axis(["position", "layer", "stage"], axis=1).reset_index(drop=True)


def _axis(draft: Draft, letter: str, layers: pd.DataFrame, name: str) -> None:
    step = -(-len(layers) // _TICKS)
    shown = layers.iloc[::step]
    ticks = tuple((float(p), str(p)) for p in shown["position"])
    limits = (0.5, len(layers) + 0.5)
    words = "stem and blocks, from the input" + (f" ({name})" if name else "")
    draft.axis(letter, limits=limits, ticks=ticks, title=words, grid=False)


def _colours(z: NDArray[Any], across: pd.DataFrame, up: pd.DataFrame, low: float) -> Heat:
    told = [
        [f"{a} and {b}\nCKA {value:.3f}" for a, value in zip(across["layer"], row, strict=True)]
        for b, row in zip(up["layer"], z, strict=True)
    ]
    bar = ColourBar(low, 1.0, style.MAGNITUDE, 1.02, title="CKA")
    return Heat(
        z=z,
        x0=1.0,
        dx=1.0,
        y0=1.0,
        dy=1.0,
        low=low,
        high=1.0,
        colours=style.MAGNITUDE,
        bar=bar,
        name="CKA",
        legend=False,
        hover=Hover("\n%{text}", "CKA", texts=told),
    )


def _ends(across: pd.DataFrame, up: pd.DataFrame) -> list[Series]:
    """A line where a stage ends, over the colours."""
    look = shared(colour="#fff", width=1.0, legend=False, hover=None)
    whole = {len(side): [0.5, len(side) + 0.5] for side in (across, up)}
    standing = [Series(x=[at, at], y=whole[len(up)], **look) for at in _borders(across)]
    lying = [Series(x=whole[len(across)], y=[at, at], **look) for at in _borders(up)]
    return standing + lying


def _borders(layers: pd.DataFrame) -> list[float]:
    stages = layers["stage"].tolist()
    return [i + 0.5 for i in range(1, len(stages)) if stages[i] != stages[i - 1]]
