"""`plot_training`: training and test error against epochs, several networks on one axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.old_panels import Panel, add_panel, depth_axis

_HEIGHT, _TOP, _BOTTOM = 460, 84, 56
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
    longest = max(map(len, named)) + 16
    fig = Figure(
        layout={
            "template": style.template(),
            "height": _HEIGHT,
            "margin": {"l": 84, "r": min(60 + 8 * longest, 330), "t": _TOP, "b": _BOTTOM},
        }
    )
    errors = [t[c].to_numpy(float) for t in named.values() for c in _ERRORS if c in t]
    values = np.concatenate(errors)
    top = 1.05 * (np.nanmax(values, initial=0.0) or 1.0)
    panel = add_panel(
        fig,
        (0, 1),
        values,
        title="error (%)",
        log=log,
        pixels=_HEIGHT - _TOP - _BOTTOM,
        limits=(0.0, float(top)),
    )
    epochs = np.concatenate([table["epoch"].to_numpy(float) for table in named.values()])
    depth_axis(fig, panel, float(epochs.min()), float(epochs.max()), "epoch")
    for number, (name, table) in enumerate(named.items()):
        for column, what in _ERRORS.items():
            if column in table:
                _add_line(fig, panel, name, table, column, what, style.colour(number))
    fig.update_layout(
        title={
            "text": style.heading(
                style.escape(title) if title else "Error against epoch",
                "training error dashed, test error bold",
            )
        }
    )
    return fig


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


def _add_line(
    fig: Figure,
    panel: Panel,
    name: str,
    table: pd.DataFrame,
    column: str,
    what: str,
    colour: str,
) -> None:
    bold = column == "test_error"
    hover = f"{style.escape(name)}<br>epoch %{{x}}<br>{what} %{{y:.2f}} %<extra></extra>"
    values = table[column].to_numpy(dtype=np.float64)
    zero = (values == 0) & (panel.zero is not None)
    if zero.any():
        fig.add_scatter(
            x=table["epoch"][zero],
            y=np.zeros(int(zero.sum())),
            yaxis=panel.zero,
            mode="markers",
            name=f"{style.escape(name)}, {what}, exactly 0",
            legendgroup=name,
            showlegend=False,
            marker={"symbol": "circle" if bold else "circle-open", "size": 5, "color": colour},
            hovertemplate=hover,
        )
    fig.add_scatter(
        x=table["epoch"],
        y=np.where(zero, np.nan, values),
        yaxis=panel.y,
        mode="lines",
        name=f"{style.escape(name)}, {what}",
        legendgroup=name,
        line={"color": colour, "width": 3 if bold else 1.4, "dash": "solid" if bold else "dash"},
        hovertemplate=hover,
    )
