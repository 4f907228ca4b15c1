"""What the figures of the studies share: their tables, an empty figure, names, reference lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.curves import as_tables
from resviz.views.figures.old_panels import Panel, legend_width
from resviz.views.figures.quantities import escaped_shared as shared_conditions

TOP, BOTTOM, LEFT = 100, 56, 88


def study_tables(
    function: str, tables: Any, columns: Sequence[str], source: str
) -> dict[str, list[pd.DataFrame]]:
    """``{"ResNet-56": [table, ...]}`` from a table of `source`, or a dict of (lists of) those.

    Raises:
        TypeError: something else.
        ValueError: no tables, an empty one, or a column is missing.
    """
    lists = as_tables(tables, function)
    for name, several in lists.items():
        for table in several:
            if not isinstance(table, pd.DataFrame):
                raise TypeError(
                    f"{function}: a {type(table).__name__} under {name!r}; a table is right. "
                    f"rv.{source} makes one."
                )
            missing = [column for column in columns if column not in table]
            if missing:
                raise ValueError(
                    f"{function}: the table of {name!r} has no {', '.join(missing)}; a table of "
                    f"rv.{source} is right."
                )
            if table.empty:
                raise ValueError(
                    f"{function}: the table of {name!r} is empty; a row at least is needed. "
                    f"See rv.{source}."
                )
    return lists


def empty_figure(height: int) -> Figure:
    """A figure with room for a title of three lines."""
    margin = {"l": LEFT, "t": TOP, "b": BOTTOM}
    return Figure(
        layout={
            "template": style.template(),
            "height": height,
            "showlegend": True,
            "margin": margin,
        }
    )


def legend_names(
    lists: Mapping[str, Sequence[pd.DataFrame]], without: Sequence[str] = ()
) -> tuple[str, dict[str, str]]:
    """(conditions that all share, for each network its name and what is particular to it).

    Args:
        lists: the tables by name.
        without: attrs that another line of the figure tells.
    """
    abouts = [
        {key: value for key, value in several[0].attrs.items() if key not in without}
        for several in lists.values()
    ]
    common, own = shared_conditions([{str(k): v for k, v in about.items()} for about in abouts])
    named = {}
    for (name, several), extra in zip(lists.items(), own, strict=True):
        lines = [style.escape(name), extra]
        if len(several) > 1:
            lines.append(f"median and range of {len(several)} networks")
        named[name] = "<br>".join(filter(None, lines))
    return common, named


def reference_line(fig: Figure, panel: Panel, y: float) -> None:
    """A dotted line across a panel, behind the data."""
    fig.add_shape(
        type="line",
        xref="x domain",
        yref=panel.y,
        x0=0,
        x1=1,
        y0=y,
        y1=y,
        layer="below",
        line={"color": style.FAINT, "width": 1, "dash": "dot"},
    )


def say(fig: Figure, title: str, *lines: str) -> None:
    """Write the title and make room for the legend, once all traces are there."""
    fig.update_layout(
        margin_r=legend_width(fig) if fig.layout.showlegend else 24,
        title={"text": style.heading(title, *lines)},
    )
