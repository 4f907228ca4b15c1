"""`plot_gradient_correlation`: correlation of input gradients against depth, with the theory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Mark, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.panels import Floats, Panel, add_panel, band, reference_line
from resviz.views.figures.quantities import conditions
from resviz.views.figures.study import finished, study_draft, study_tables

if TYPE_CHECKING:
    from resviz.views.records import Tables

_HEIGHT = 500
_KINDS = {
    "plain": ("plain", "2^-L"),
    "residual": ("residual", "(3/4)^L"),
    "residual_bn": ("residual with BatchNorm", "∏ (2l+1)/(2l+2), about 1.13/√L"),
}
_WIDE = 6.0  # the largest depth over the smallest from which the depth axis is logarithmic


@dataclass(frozen=True)
class _Series:
    """One line: a row per depth, with the mean and its band."""

    name: str
    kind: str
    points: pd.DataFrame  # depth, middle, low, high
    band: str


def plot_gradient_correlation(
    tables: Tables, *, log: bool = False, theory: bool = True, title: str | None = None
) -> Figure:
    """A figure of the correlation of input gradients against depth.

    Balduzzi et al. 2017 (https://arxiv.org/abs/1702.08591). Random networks of
    :func:`resviz.shattering_study` are drawn with the laws that hold under random gates, dashed in
    the colour of their kind. A line is the mean; its band runs from the least to the most of the
    seeds, or, of a single network, one standard error of its pairs to each side.

    Args:
        tables: of :func:`resviz.shattering_study` or :func:`resviz.gradient_correlation`; or
            ``{"plain": table or list of tables}``; tables of one name are one line over depth.
        log: a logarithmic axis; means of 0 or less, which it cannot show, are counted in the title.
        theory: draw the laws.
        title: replaces the first line of the title.

    Raises:
        TypeError: something else than tables.
        ValueError: tables of something else, or empty ones.

    Example:
        >>> table = pd.DataFrame({"kind": "plain", "gates": "random", "depth": [1, 2], "seed": 0,
        ...                       "correlation": [0.5, 0.25]})
        >>> [trace.name for trace in plot_gradient_correlation(table).data]
        ['plain', '2^-L']
    """
    needed = ("depth", "seed", "correlation")
    lists = study_tables("plot_gradient_correlation", tables, needed, "shattering_study")
    every = [table for several in lists.values() for table in several]
    series = _all_series(lists)
    draft = study_draft(_HEIGHT)
    panel = _add_panel(draft, series, log)
    depths = np.unique(np.concatenate([s.points["depth"].to_numpy() for s in series]))
    _add_depth_axis(draft, depths)
    colours = style.colours_of(each.name for each in series)
    for each in series:
        draft.add(*_marks(panel, each, colours[each.name]))
    for kind in dict.fromkeys(s.kind for s in series if s.kind in _KINDS and theory):
        first = next(s.name for s in series if s.kind == kind)
        draft.add(_law(panel, kind, int(depths.max()), colours[first]))
    below = sum(int((s.points["middle"] <= 0).sum()) for s in series) if log else 0
    note = f" · {below} mean{'' if below == 1 else 's'} of 0 or less, not drawn" if below else ""
    return finished(
        draft,
        title or "Correlation of input gradients against depth",
        "cosine of the gradients at two inputs, mean over pairs · "
        + "; ".join(dict.fromkeys(s.band for s in series)),
        _conditions(every) + note,
        _assumption(every) if theory else "",
    )


def _add_panel(draft: Draft, series: list[_Series], log: bool) -> Panel:
    values = np.concatenate(
        [s.points[["middle", "low", "high"]].to_numpy().ravel() for s in series]
    )
    shown = values[values > 0] if log else np.append(values, [-0.04, 1.0])
    axis = "correlation of gradients" + (" (log)" if log else "")
    panel = add_panel(draft, (0, 1), shown, title=axis, log=log)
    if not log:
        reference_line(draft, panel, 0.0)
    return panel


def _all_series(lists: dict[str, list[pd.DataFrame]]) -> list[_Series]:
    series = []
    for name, several in lists.items():
        whole = [table for table in several if "kind" in table]
        for kind in dict.fromkeys(kind for table in whole for kind in table["kind"]):
            rows = pd.concat([table[table["kind"] == kind] for table in whole])
            words = _KINDS.get(kind, (str(kind), ""))[0]
            label = words if len(lists) == 1 else f"{name}: {words}"
            series.append(_Series(label, str(kind), *_over_seeds(rows)))
        pairs = [table for table in several if "kind" not in table]
        if pairs:
            series.append(_Series(name, "", *_over_pairs(pairs)))
    return series


def _over_seeds(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    grouped = rows.groupby("depth")["correlation"]
    points = grouped.agg(middle="mean", low="min", high="max").reset_index()
    return points, "band: least to most of the seeds"


def _over_pairs(tables: list[pd.DataFrame]) -> tuple[pd.DataFrame, str]:
    """Points from tables with a row per pair, each of one network."""
    means = pd.DataFrame(
        {
            "depth": [table["depth"].iloc[0] for table in tables],
            "correlation": [table["correlation"].mean() for table in tables],
            "error": [table["correlation"].sem() for table in tables],
        }
    )
    if means["depth"].duplicated().any():
        points, _ = _over_seeds(means)
        return points, "band: least to most of the networks of one depth"
    points = means.rename(columns={"correlation": "middle"}).sort_values("depth")
    points["low"], points["high"] = (
        points["middle"] - points["error"],
        points["middle"] + points["error"],
    )
    return points, "band: one standard error of the pairs"


def _add_depth_axis(draft: Draft, depths: Floats) -> None:
    low, high = float(depths.min()), float(depths.max())
    wide = high / low >= _WIDE
    room = 0.04 * (high - low) or 1.0
    share = (high / low) ** 0.04
    limits = (low / share, high * share) if wide else (low - room, high + room)
    ticks = tuple((float(depth), f"{depth:g}") for depth in depths)
    title = "depth (layers)" + (", log" if wide else "")
    draft.axis("x", title=title, log=wide, limits=limits, ticks=ticks, anchor="y", grid=False)


def _marks(panel: Panel, each: _Series, colour: str) -> list[Mark]:
    """The mean and its band; a band of one place is a bar."""
    points = each.points
    depth, middle = points["depth"].to_numpy(float), points["middle"].to_numpy(float)
    low, high = (points[name].fillna(points["middle"]).to_numpy(float) for name in ("low", "high"))
    marks: list[Mark] = []
    own = shared(name=f"{each.name}, range", group=each.name, legend=False)
    if (high > low).any() and len(depth) > 1:
        marks.append(band(panel, depth, low, high, colour, **own))
    elif (high > low).any():
        ends = np.maximum([*low, *high], panel.low) if panel.log else [*low, *high]
        look = shared(colour=style.translucent(colour, 0.45), width=3, yaxis=panel.y) | own
        marks.append(Series(x=[*depth, *depth], y=ends, **look))
    if panel.log:
        middle = np.where(middle > 0, middle, np.nan)
    numbers = points[["middle", "low", "high"]].to_numpy(float)
    rows = np.array([[f"{m:.3f}", f"{a:.3f} to {b:.3f}"] for m, a, b in numbers], dtype=object)
    text = "\ndepth %{x}\n%{customdata[0]}, from %{customdata[1]}"
    look = shared(colour=colour, name=each.name, group=each.name, width=2, size=6)
    hover = Hover(text, each.name, rows)
    return [*marks, Series(x=depth, y=middle, yaxis=panel.y, hover=hover, **look)]


def _law(panel: Panel, kind: str, deepest: int, colour: str) -> Series:
    depth = np.arange(1, deepest + 1)
    laws = {
        "plain": 0.5**depth,
        "residual": 0.75**depth,
        "residual_bn": np.cumprod((2 * depth + 1) / (2 * depth + 2)),
    }
    y = np.where(laws[kind] >= panel.low, laws[kind], np.nan) if panel.log else laws[kind]
    hover = Hover("law under random gates: %{y:.3g}")
    look = shared(colour=colour, width=1.6, dash="dash", name=_KINDS[kind][1], hover=hover)
    return Series(x=depth, y=y, yaxis=panel.y, **look)


def _conditions(tables: list[pd.DataFrame]) -> str:
    about = {str(key): value for key, value in tables[0].attrs.items()}
    words = conditions(about)
    for column, word in (("width", "width {}"), ("inputs", "{} normal inputs")):
        known = dict.fromkeys(table.attrs[column] for table in tables if column in table.attrs)
        if known:
            words[column] = word.format(" and ".join(map(str, known)))
    return " · ".join(words.values())


def _assumption(tables: list[pd.DataFrame]) -> str:
    """What the gates are: the laws hold for random ones alone."""
    gates = list(dict.fromkeys(g for table in tables if "gates" in table for g in table["gates"]))
    if not gates:
        return ""
    words = {"random": "random gates", "relu": "gates of rectifiers"}
    known = " and ".join(words.get(gate, str(gate)) for gate in gates)
    normed = any((table["kind"] == "residual_bn").any() for table in tables if "kind" in table)
    constant = " · BatchNorm's statistics as constants" if normed else ""
    return f"{known}{constant} · dashed: the laws under random gates"
