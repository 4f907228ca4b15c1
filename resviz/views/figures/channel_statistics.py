"""`plot_channel_statistics`: a number of every channel, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from resviz.arguments import choice
from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Series
from resviz.views.figure import Figure
from resviz.views.figures.panels import Panel, add_panel
from resviz.views.figures.scanned import about, check_scan

if TYPE_CHECKING:
    from resviz.scanning.scan import Scan

_WORDS = {
    "mean": "mean activation",
    "std": "standard deviation",
    "min": "minimum",
    "max": "maximum",
    "zero_fraction": "share of zeros",
    "active_share": "share of images that activate it",
    "median": "median of each image's maximum",
    "selectivity": "class selectivity index",
}
_WIDE = 0.8  # of the room between two layers


def plot_channel_statistics(
    scan: Scan,
    layers: str | Iterable[str] | None = None,
    *,
    y: str = "zero_fraction",
    log: bool = False,
    title: str | None = None,
) -> Figure:
    """A figure of one number of every channel, layer by layer, from the least to the largest.

    A point is a channel; within a layer they stand in the order of their values, so that the shape
    of each group is the distribution. The line is the median. Dead channels, which no image
    activated, are crosses.

    Args:
        scan: of :func:`resviz.scan`.
        layers: as ``scan.layers`` has them; None: all.
        y: "mean", "std", "min", "max", "zero_fraction", "active_share" (of the images), "median"
            (of each image's maximum), "selectivity".
        log: a logarithmic axis; exact zeros stand in a strip below it.
        title: replaces the first line of the title.

    Raises:
        TypeError: no scan.
        KeyError: no such layer.
        ValueError: another number, one that was not measured, or negative values on a log axis.

    Example:
        >>> import resviz as rv
        >>> import torch
        >>> scan = rv.scan(rv.load_model("cifar10-resnet20"), torch.rand(4, 3, 32, 32))
        >>> rv.plot_channel_statistics(scan, "layer3.2").data[0].name
        'channels'
    """
    check_scan("plot_channel_statistics", scan)
    choice("y", y, tuple(_WORDS))
    table = _table(scan, layers, y)
    if log and (table[y] < 0).any():
        raise ValueError(
            f"plot_channel_statistics: {y!r} has negative values, which a log axis cannot show; "
            "use log=False."
        )
    draft = Draft(520, margin=Margin(left=88, top=100, bottom=64))
    panel = add_panel(draft, (0.0, 1.0), table[y].to_numpy(float), title=_WORDS[y], log=log)
    names = list(dict.fromkeys(table["layer"]))
    ticks = tuple((n, names[n]) for n in range(0, len(names), -(-len(names) // 20)))
    ends = (-0.6, len(names) - 0.4)
    draft.axis("x", title="layer", limits=ends, ticks=ticks, grid=False, anchor=_foot(panel))
    draft.add(*_points(panel, table, y, names))
    draft.room_right(draft.legend_width())
    said = title or f"{_WORDS[y].capitalize()} of each channel"
    return Figure.of(draft.chart(said, about(scan)))


def _foot(panel: Panel) -> str:
    return panel.zero or panel.y


def _table(scan: Any, layers: Any, y: str) -> pd.DataFrame:
    """Channels of the layers, with `y`."""
    named = [layers] if isinstance(layers, str) else list(layers or scan.layers["layer"])
    for layer in named:
        scan.number(layer)
    if y == "median":
        scan.measured("quantiles")
    elif y == "selectivity":
        scan.measured("classes")
    else:
        scan.measured("channels")
    table = scan.channels[scan.channels["layer"].isin(named)].copy()
    if y == "active_share":
        table[y] = table["active_images"] / max(len(scan.images), 1)
    if y not in table:
        raise ValueError(
            f"plot_channel_statistics: y {y!r}, and a scan without classes; another number would "
            "be right, or labels: rv.scan(..., labels=...)."
        )
    return table


def _points(panel: Panel, table: pd.DataFrame, y: str, names: list[str]) -> list[Series]:
    """Channels in the order of their values, crosses for dead ones, medians."""
    place = table["layer"].map({name: n for n, name in enumerate(names)}).to_numpy()
    size = table.groupby("layer")["channel"].transform("size").to_numpy()
    rank = table.groupby("layer")[y].rank(method="first").fillna(0).to_numpy()
    x = place + _WIDE * ((rank - 0.5) / size - 0.5)
    values = table[y].to_numpy(float)
    told = table[["layer", "channel"]].astype(str)
    told["value"] = [f"{value:.4g}" for value in values]
    text = "\nchannel %{customdata[1]}\n%{customdata[2]}"
    rows = told.to_numpy(dtype=object)
    dead = table["dead"].to_numpy(bool) if "dead" in table else np.zeros(len(table), bool)
    marks: list[Series] = []
    for chosen, name, symbol, colour in (
        (~dead, "channels", "circle", style.COLOURS[0]),
        (dead, "dead channels", "x", style.COLOURS[1]),
    ):
        if chosen.any():
            zero = chosen & (values == 0) & (panel.zero is not None)
            for part, axis in ((chosen & ~zero, panel.y), (zero, panel.zero or panel.y)):
                if part.any():
                    marks.append(
                        Series(
                            x=x[part],
                            y=np.zeros(int(part.sum())) if axis == panel.zero else values[part],
                            yaxis=axis,
                            name=name,
                            group=name,
                            legend=not any(mark.name == name for mark in marks),
                            colour=colour,
                            size=4 if symbol == "circle" else 6,
                            symbol=symbol,
                            hover=Hover(text, "%{customdata[0]}", rows[part]),
                        )
                    )
    middle = table.groupby("layer")[y].median().reindex(names).to_numpy(float)
    ends = [(n - _WIDE / 2, n + _WIDE / 2, None) for n in range(len(names))]
    steps = np.repeat(np.where((middle == 0) & panel.log, np.nan, middle), 3)
    line = Series(
        x=[v for each in ends for v in each],
        y=steps,
        yaxis=panel.y,
        name="median of the layer",
        colour=style.INK,
        width=2,
    )
    return [*marks, line]
