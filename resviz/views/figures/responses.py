"""`plot_response_std`: standard deviations of layer responses, in order and sorted by size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.old_panels import Panel, add_panel, depth_axis, shade_stages
from resviz.views.figures.study import BOTTOM, TOP, empty_figure, legend_names, say, study_tables

_HEIGHT = 640
_NEEDED = ("layer", "response", "position", "stage", "std")
_AT_FOOT = {"size": 7, "symbol": "triangle-down"}
_HOVER = "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>std %{customdata[2]}<extra></extra>"


def plot_response_std(tables: Any, *, log: bool = True, title: str | None = None) -> Figure:
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
    fig, pixels = empty_figure(_HEIGHT), _HEIGHT - TOP - BOTTOM
    every = np.concatenate([each.ravel() for each in found.values()])
    limits = None if log else (0.0, 1.06 * float(np.nanmax(every, initial=0.0) or 1.0))
    foot = 0.01 * float(np.nanmedian(every)) if log else 0.0
    inside = np.where((every > 0) & (every < foot), np.nan, every)
    words = "std of the response" + (" (log)" if log else "")
    panels = [
        add_panel(
            fig, where, inside, title=f"{words}<br>{how}", log=log, pixels=pixels, limits=limits
        )
        for where, how in (((0.56, 1.0), "in order"), ((0.0, 0.44), "sorted"))
    ]
    longest = max(map(len, found.values()))
    depth_axis(fig, panels[1], 1.0, float(longest), _X)
    common, names = legend_names(lists)
    for number, (name, values) in enumerate(found.items()):
        table, colour = lists[name][0], style.colour(number)
        legend = names[name] + _middle(values)
        _draw(fig, panels[0], values, table, legend, colour, first=True)
        order = np.sort(values, axis=0)[::-1]
        _draw(fig, panels[1], order, _by_size(table, values), legend, colour, first=False)
    _shade(fig, panels[0], lists)
    say(
        fig,
        style.escape(title) if title else _title(lists),
        _what(lists),
        common + _below(every, panels[0]),
    )
    return fig


_X = "layer: above from the input on, below from the largest response on"


def _title(lists: dict[str, list[pd.DataFrame]]) -> str:
    name = f": {style.escape(next(iter(lists)))}" if len(lists) == 1 else ""
    return f"Standard deviation of layer responses{name}"


def _what(lists: dict[str, list[pd.DataFrame]]) -> str:
    tables = [table for several in lists.values() for table in several]
    kinds = dict.fromkeys(str(t) for table in tables if "type" in table for t in table["type"])
    of = f"outputs of {style.escape(', '.join(kinds))}, " if kinds else ""
    return f"{of}before activation and addition · over images, channels and positions"


def _below(every: NDArray[np.float64], panel: Panel) -> str:
    """How many are drawn at the foot of a log axis: dead layers would stretch it to nothing."""
    few = int(((every > 0) & (every < panel.low)).sum()) if panel.log else 0
    return f" · {few} below {panel.low:.1g}: triangles at the foot" if few else ""


def _values(name: str, several: list[pd.DataFrame]) -> NDArray[np.float64]:
    """(layers, tables)."""
    layers = several[0]["layer"].tolist()
    if any(table["layer"].tolist() != layers for table in several[1:]):
        raise ValueError(
            f"plot_response_std: the tables of {name!r} have different layers; a list holds one "
            "network under several seeds. Give other networks a name of their own."
        )
    return np.column_stack([table["std"].to_numpy(float) for table in several])


def _middle(values: NDArray[np.float64]) -> str:
    return f"<br>median {np.nanmedian(values):.3g}, mean {np.nanmean(values):.3g}"


def _by_size(table: pd.DataFrame, values: NDArray[np.float64]) -> pd.DataFrame | None:
    """The rows in the order of the sorted curve; of several networks no layer has one place."""
    if values.shape[1] > 1:
        return None
    return table.iloc[np.argsort(-values[:, 0], kind="stable")]


def _draw(
    fig: Figure,
    panel: Panel,
    values: NDArray[np.float64],
    rows: pd.DataFrame | None,
    name: str,
    colour: str,
    *,
    first: bool,
) -> None:
    xs, middle = np.arange(1, len(values) + 1), np.median(values, axis=1)
    zero = (middle == 0) & panel.log
    low = (middle > 0) & (middle < panel.low) & panel.log
    if values.shape[1] > 1:
        _draw_band(fig, panel, xs, values, colour, name)
    place = [f"layer {x}" if rows is None else style.escape(rows["layer"].iloc[x - 1]) for x in xs]
    where = [
        ""
        if rows is None
        else f"{style.escape(rows['response'].iloc[x - 1])}, layer "
        f"{rows['position'].iloc[x - 1]}, {style.escape(rows['stage'].iloc[x - 1])}"
        for x in xs
    ]
    hover = np.array(
        [[a, b, f"{v:.4g}"] for a, b, v in zip(place, where, middle, strict=True)], dtype=object
    )
    look = {"color": colour, "width": 2}
    for chosen, axis, y, mode in (
        (np.ones(len(xs), bool), panel.y, np.where(zero | low, np.nan, middle), "lines+markers"),
        (low, panel.y, np.full(len(xs), panel.low * 1.08), "markers"),
        (zero, panel.zero, np.zeros(len(xs)), "markers"),
    ):
        if axis is not None and chosen.any():
            fig.add_scatter(
                x=xs[chosen],
                y=y[chosen],
                yaxis=axis,
                mode=mode,
                name=name,
                legendgroup=name,
                showlegend=first and mode != "markers",
                customdata=hover[chosen],
                hovertemplate=_HOVER,
                line=look,
                marker={"size": 4, "color": colour} | ({} if chosen is not low else _AT_FOOT),
            )


def _draw_band(
    fig: Figure, panel: Panel, xs: Any, values: NDArray[np.float64], colour: str, name: str
) -> None:
    low, high = values.min(axis=1), values.max(axis=1)
    low, high = (np.maximum(each, panel.low) if panel.log else each for each in (low, high))
    fig.add_scatter(
        x=[*xs, *xs[::-1]],
        y=[*low, *high[::-1]],
        yaxis=panel.y,
        mode="lines",
        fill="toself",
        fillcolor=style.translucent(colour, 0.18),
        line={"width": 0, "color": colour},
        legendgroup=name,
        name=f"{name}, range",
        showlegend=False,
        hoverinfo="skip",
    )


def _shade(fig: Figure, panel: Panel, lists: dict[str, list[pd.DataFrame]]) -> None:
    """The stages, where all networks have the same."""
    bounds = []
    for several in lists.values():
        runs = (several[0]["stage"] != several[0]["stage"].shift()).cumsum()
        bounds.append(
            [
                (
                    str(part["stage"].iloc[0]),
                    part["position"].min() - 0.5,
                    part["position"].max() + 0.5,
                )
                for _, part in several[0].groupby(runs)
            ]
        )
    if all(each == bounds[0] for each in bounds):
        shade_stages(fig, [panel], bounds[0])
