"""`plot_training`: training and test error against epochs, several networks on one axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.figure import Figure

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
        log: a logarithmic error axis.
        title: replaces the first line of the title.

    Raises:
        TypeError: something else than tables.
        ValueError: a column is missing.

    Example:
        >>> log = pd.DataFrame({"epoch": [1, 2], "train_error": [50.0, 40.0]})
        >>> [trace.name for trace in plot_training({"ResNet-20": log}).data]
        ['ResNet-20, training error']
    """
    named = {"network": logs} if isinstance(logs, pd.DataFrame) else dict(logs)
    for name, table in named.items():
        _check(name, table)
    longest = max(map(len, named)) + 16
    fig = Figure(
        layout={
            "template": style.template(),
            "height": 460,
            "margin": {"l": 84, "r": min(60 + 8 * longest, 330), "t": 84, "b": 56},
            "xaxis": {"title": {"text": "epoch"}},
            "yaxis": {
                "title": {"text": "error (%)"},
                "type": "log" if log else "linear",
                "rangemode": "tozero",
            },
        }
    )
    for number, (name, table) in enumerate(named.items()):
        for column, what in _ERRORS.items():
            if column in table:
                _add_line(fig, name, table, column, what, style.colour(number))
    fig.update_layout(
        title={
            "text": style.heading(
                style.escape(title) if title else "Error against epoch",
                "training error dashed, test error bold",
            )
        }
    )
    return fig


def _check(name: str, table: object) -> None:
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


def _add_line(
    fig: Figure, name: str, table: pd.DataFrame, column: str, what: str, colour: str
) -> None:
    bold = column == "test_error"
    fig.add_scatter(
        x=table["epoch"],
        y=table[column].to_numpy(dtype=np.float64),
        mode="lines",
        name=f"{style.escape(name)}, {what}",
        legendgroup=name,
        line={"color": colour, "width": 3 if bold else 1.4, "dash": "solid" if bold else "dash"},
        hovertemplate=f"{style.escape(name)}<br>epoch %{{x}}<br>{what} %{{y:.2f}} %<extra></extra>",
    )
