"""`plot_training`: training and test error against epochs, several networks on one axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.panels import Panel, add_panel, depth_axis, with_zeros
from resviz.views.figures.study import finished

_ERRORS = {"train_error": "training error", "test_error": "test error"}


def plot_training(
    logs: Mapping[str, pd.DataFrame] | pd.DataFrame, *, log: bool = False, title: str | None = None
) -> Figure:
    """A figure of error against epoch: thin dashed lines training, bold lines test error.

    Drawn like Fig. 1 and Fig. 6 of He et al. 2015, "Deep Residual Learning for Image Recognition"
    (https://arxiv.org/abs/1512.03385): deep plain networks are judged there by their *training*
    error.

    Args:
        logs: ``{"ResNet-20": table}`` with columns ``epoch``, ``train_error`` and/or
            ``test_error``, in percent; or one such table.
        log: a logarithmic error axis; an error of exactly 0 stands in a strip below it.
        title: replaces the first line of the title.

    Raises:
        TypeError: something else than tables.
        ValueError: no tables, an empty one, or a column is missing.

    Example:
        >>> log = pd.DataFrame({"epoch": [1, 2], "train_error": [50.0, 40.0]})
        >>> [trace.name for trace in plot_training({"ResNet-20": log}).data]
        ['ResNet-20, training error']
    """
    named = _named(logs)
    draft = Draft(460, margin=Margin(left=84, top=84))
    errors = [t[c].to_numpy(float) for t in named.values() for c in _ERRORS if c in t]
    values = np.concatenate(errors)
    limits = (0.0, 1.05 * float(np.nanmax(values, initial=0.0) or 1.0))
    panel = add_panel(draft, (0, 1), values, title="error (%)", log=log, limits=limits)
    epochs = np.concatenate([table["epoch"].to_numpy(float) for table in named.values()])
    depth_axis(draft, panel, float(epochs.min()), float(epochs.max()), "epoch")
    colours = style.colours_of(named)
    for name, table in named.items():
        for column in _ERRORS:
            if column in table:
                draft.add(*_line(panel, name, table, column, colours[name]))
    said = "training error dashed, test error bold"
    return finished(draft, title or "Error against epoch", said)


def _named(logs: object) -> dict[str, pd.DataFrame]:
    if not isinstance(logs, (pd.DataFrame, Mapping)):
        raise TypeError(
            f"plot_training: a {type(logs).__name__};"
            ' a DataFrame or a dict of them is right: {"ResNet-20": table}.'
        )
    named = {"network": logs} if isinstance(logs, pd.DataFrame) else dict(logs)
    if not named:
        raise ValueError("plot_training: no tables; at least one is needed.")
    for name, table in named.items():
        _check(name, table)
    return {str(name): table for name, table in named.items()}


def _check(name: object, table: object) -> None:
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"plot_training: a {type(table).__name__} under {name!r};"
            ' a DataFrame is right: {"ResNet-20": table}.'
        )
    if "epoch" not in table or not set(_ERRORS) & set(table):
        raise ValueError(
            f"plot_training: the table of {name!r} has columns {', '.join(map(str, table))};"
            f" needed: epoch and one of {', '.join(_ERRORS)}."
        )
    if table.empty:
        raise ValueError(f"plot_training: the table of {name!r} is empty; an epoch is needed.")


def _line(panel: Panel, name: str, table: pd.DataFrame, column: str, colour: str) -> list[Series]:
    bold, what = column == "test_error", _ERRORS[column]
    hover = Hover(f"{name}\nepoch %{{x}}\n{what} %{{y:.2f}} %")
    look = shared(width=3 if bold else 1.4, dash="solid" if bold else "dash")
    x, y = table["epoch"].to_numpy(), table[column].to_numpy(dtype=np.float64)
    look |= shared(colour=colour, name=f"{name}, {what}", group=name, hover=hover)
    return with_zeros(panel, Series(x=x, y=y, **look), symbol="circle" if bold else "circle-open")
