"""`plot_response_std`: standard deviations of layer responses, in order and sorted by size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.views import style
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Mark, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.panels import (
    Bounds,
    Floats,
    Panel,
    add_panel,
    band,
    depth_axis,
    picked,
    shade_stages,
    shared_bounds,
)
from resviz.views.figures.study import (
    finished,
    legend_names,
    named_title,
    study_draft,
    study_tables,
)

if TYPE_CHECKING:
    from resviz.views.records import Tables

_HEIGHT = 640
_NEEDED = ("layer", "response", "position", "stage", "std")
_X = "layer: above from the input on, below from the largest response on"


def plot_response_std(tables: Tables, *, log: bool = True, title: str | None = None) -> Figure:
    """A figure of the standard deviation of each layer's response: in order, and sorted by size.

    As Fig. 7 of He et al. 2015 (https://arxiv.org/abs/1512.03385). The legend has each network's
    median and mean: a few large responses set them apart, and the sorted curve shows them.

    Args:
        tables: a table of :func:`resviz.response_std`, or ``{"ResNet-56": table or list}``; of
            a list (one network per seed) the median is drawn, and a band from least to most.
        log: a logarithmic axis; an exact 0 stands in a strip below it, and what is below a
            hundredth of the median at its foot, as triangles. The paper's axis is linear.
        title: replaces the first line of the title.

    Raises:
        TypeError: something else than tables.
        ValueError: tables of something else, empty ones, or lists of different networks.

    Example:
        >>> table = pd.DataFrame({"layer": ["a", "b"], "response": ["bn1", "bn2"], "stage": "stem",
        ...                       "position": [1, 2], "std": [0.5, 2.0]})
        >>> [trace.y.tolist() for trace in plot_response_std(table).data]
        [[0.5, 2.0], [2.0, 0.5]]
    """
    lists = study_tables("plot_response_std", tables, _NEEDED, "response_std")
    found = {name: _values(name, several) for name, several in lists.items()}
    draft = study_draft(_HEIGHT)
    every = np.concatenate([each.ravel() for each in found.values()])
    panels = _add_panels(draft, every, log)
    depth_axis(draft, panels[1], 1.0, float(max(map(len, found.values()))), _X)
    common, names = legend_names(lists)
    colours = style.colours_of(found)
    for name, values in found.items():
        rows, look = lists[name][0], shared(colour=colours[name])
        look["name"] = look["group"] = names[name] + _middle(values)
        draft.add(*_marks(panels[0], values, rows, **look))
        order, look["legend"] = np.argsort(-values, axis=0, kind="stable"), False  # NaN last
        largest_first = np.take_along_axis(values, order, axis=0)
        told = rows.iloc[order[:, 0]] if values.shape[1] == 1 else None  # else no layer has a place
        draft.add(*_marks(panels[1], largest_first, told, **look))
    bounds = shared_bounds(_stages(several[0]) for several in lists.values())
    shade_stages(draft, panels[:1], bounds)
    said = named_title("Standard deviation of layer responses", lists)
    unsaid = style.not_finite(*(t[["std"]] for several in lists.values() for t in several))
    return finished(draft, title or said, _what(lists), common + _below(every, panels[0]) + unsaid)


def _add_panels(draft: Draft, every: Floats, log: bool) -> list[Panel]:
    """In order, and sorted; far below the median a value does not stretch a log axis."""
    limits = None if log else (0.0, 1.06 * float(np.nanmax(every, initial=0.0) or 1.0))
    foot = 0.01 * float(np.nanmedian(every)) if log else 0.0
    inside = np.where((every > 0) & (every < foot), np.nan, every)
    words = "std of the response" + (" (log)" if log else "")
    return [
        add_panel(draft, where, inside, title=f"{words}\n{how}", log=log, limits=limits)
        for where, how in (((0.56, 1.0), "in order"), ((0.0, 0.44), "sorted"))
    ]


def _what(lists: dict[str, list[pd.DataFrame]]) -> str:
    tables = [table for several in lists.values() for table in several]
    kinds = dict.fromkeys(str(t) for table in tables if "type" in table for t in table["type"])
    of = f"outputs of {', '.join(kinds)}, " if kinds else ""
    return f"{of}before activation and addition · over images, channels and positions"


def _below(every: Floats, panel: Panel) -> str:
    """How many are drawn at the foot of a log axis: dead layers would stretch it to nothing."""
    few = int(((every > 0) & (every < panel.low)).sum()) if panel.log else 0
    return f" · {few} below {panel.low:.1g}: triangles at the foot" if few else ""


def _values(name: str, several: list[pd.DataFrame]) -> Floats:
    """(layers, tables)."""
    layers = several[0]["layer"].tolist()
    if any(table["layer"].tolist() != layers for table in several[1:]):
        raise ValueError(
            f"plot_response_std: the tables of {name!r} have different layers; a list holds one "
            "network under several seeds. Give other networks a name of their own."
        )
    return np.column_stack([table["std"].to_numpy(float) for table in several])


def _middle(values: Floats) -> str:
    return f"\nmedian {np.nanmedian(values):.3g}, mean {np.nanmean(values):.3g}"


def _marks(panel: Panel, values: Floats, rows: pd.DataFrame | None, **look: Any) -> list[Mark]:
    """Band and line; triangles at the foot for what lies below it, and exact zeros."""
    xs, middle = np.arange(1, len(values) + 1), np.median(values, axis=1)
    zero = (middle == 0) & panel.log
    low = (middle > 0) & (middle < panel.low) & panel.log
    hover = Hover(
        "\n%{customdata[1]}\nstd %{customdata[2]}", "%{customdata[0]}", _told(rows, middle)
    )
    y = np.where(zero | low, np.nan, middle)
    line = Series(x=xs, y=y, yaxis=panel.y, width=2, size=4, hover=hover, **look)
    marks: list[Mark] = [line]
    if values.shape[1] > 1:
        own = {key: value for key, value in look.items() if key not in ("name", "colour")}
        least, most = values.min(axis=1), values.max(axis=1)
        words = shared(name=f"{look['name']}, range") | own | shared(legend=False)
        marks.insert(0, band(panel, xs, least, most, look["colour"], **words))
    alone = shared(width=0, legend=False)
    if low.any():
        at = np.full(int(low.sum()), panel.low * 1.08)
        marks.append(picked(line, low, y=at, size=7, symbol="triangle-down", **alone))
    if panel.zero is not None and zero.any():
        at = np.zeros(int(zero.sum()))
        marks.append(picked(line, zero, y=at, yaxis=panel.zero, **alone))
    return marks


def _told(rows: pd.DataFrame | None, middle: Floats) -> NDArray[np.object_]:
    """(layers, 3) words: which layer, where, its value."""
    found = []
    for number, value in enumerate(middle):
        which, where = f"layer {number + 1}", ""
        if rows is not None:
            row: Any = rows.iloc[number]
            which = row["layer"]
            where = f"{row['response']}, layer {row['position']}, {row['stage']}"
        found.append([which, where, f"{value:.4g}"])
    return np.array(found, dtype=object)


def _stages(table: pd.DataFrame) -> Bounds:
    """Runs of one stage, along the positions."""
    runs = (table["stage"] != table["stage"].shift()).cumsum()
    return [
        (str(part["stage"].iloc[0]), part["position"].min() - 0.5, part["position"].max() + 0.5)
        for _, part in table.groupby(runs)
    ]
