"""What the figures of the studies share: their tables, an empty chart, names, the last touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.figure import Figure
from resviz.views.figures.curves import as_tables
from resviz.views.figures.quantities import shared_conditions


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


def only_tables(function: str, lists: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The one table of each name, for figures that draw no band of several.

    Raises:
        ValueError: several under one name.
    """
    for name, several in lists.items():
        if len(several) > 1:
            raise ValueError(
                f"{function}: {len(several)} tables under {name!r}; one table for each name is "
                "right. Give each a name of its own."
            )
    return {name: several[0] for name, several in lists.items()}


def study_draft(height: float) -> Draft:
    """An empty chart with room for a title of three lines."""
    return Draft(height, margin=Margin(left=88, top=100))


def legend_names(
    lists: Mapping[str, Sequence[pd.DataFrame]], without: Sequence[str] = ()
) -> tuple[str, dict[str, str]]:
    """(conditions that all share, for each network its name and what is particular to it).

    Args:
        lists: the tables by name.
        without: attrs that another line of the figure tells.
    """
    abouts = [
        {str(key): value for key, value in several[0].attrs.items() if key not in without}
        for several in lists.values()
    ]
    common, own = shared_conditions(abouts)
    named = {}
    for (name, several), extra in zip(lists.items(), own, strict=True):
        many = f"median and range of {len(several)} networks" if len(several) > 1 else ""
        named[name] = "\n".join(filter(None, [name, extra, many]))
    return common, named


def named_title(title: str, lists: Mapping[str, object]) -> str:
    """The title, with the network's name where there is one alone."""
    return f"{title}: {next(iter(lists))}" if len(lists) == 1 else title


def finished(draft: Draft, title: str, *lines: str) -> Figure:
    """The figure, with room for the legend, once all marks are there."""
    draft.room_right(draft.legend_width())
    return Figure.of(draft.chart(title, *lines))
