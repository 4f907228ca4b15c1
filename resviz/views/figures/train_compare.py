"""`plot_train_compare`: error against epoch, and beside it gradient norm against depth."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.training.compare.comparison import TrainComparison
from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Area, Hover, Mark, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.curve_marks import curve_marks
from resviz.views.figures.curves import Curve, curve
from resviz.views.figures.panels import (
    DEPTH,
    Floats,
    Panel,
    add_panel,
    band,
    depth_axis,
    with_zeros,
)
from resviz.views.figures.quantities import conditions
from resviz.views.figures.study import finished

_PLOT, _BOTTOM, _LEFT, _LINE = 330, 56, 76, 16
_DOMAINS = ((0.0, 0.44), (0.56, 1.0))  # of the two x axes
_TRAINING = {
    "train_error": "training error dashed, test error bold, both after the epoch in eval mode",
    "running_error": "running training error dashed, test error after the epoch bold",
}
_WIDE = 136  # characters in a small line of the heading

_NAMES = {"train_error": "training error", "running_error": "running training error"}


def plot_train_compare(
    comparison: TrainComparison,
    *,
    training: str = "train_error",
    log: bool = False,
    title: str | None = None,
) -> Figure:
    """A figure of training and test error against epoch, and of gradient norm against depth.

    Left as Fig. 1 and 6 of He et al. 2015, "Deep Residual Learning for Image Recognition"
    (https://arxiv.org/abs/1512.03385): training error dashed, test error bold. In eval mode
    BatchNorm uses running statistics, which lag behind the weights while the learning rate is high:
    early epochs then look worse than the running error does. Right the norm of each weight's
    gradient, before training dotted and at the last measured epoch bold. With several seeds a line
    is their median and the band runs from the smallest to the largest. The heading gives the last
    errors in numbers.

    Args:
        comparison: of :func:`resviz.train_compare`, finished or not.
        training: "train_error", measured after the epoch in eval mode like the test error, or
            "running_error", the mean over the epoch's batches while the network changed.
        log: a logarithmic error axis; an error of exactly 0 stands in a strip below it.
        title: replaces the first line of the title.

    Raises:
        TypeError: no comparison.
        ValueError: nothing was measured yet, or another column.

    Example:
        >>> from resviz.training.compare.comparison import train_compare
        >>> options = {"family": "digits", "depth": 4}
        >>> comparison = train_compare({"ResNet-4": options}, subset=64, epochs=1, progress=False)
        >>> [axis.title.text for axis in plot_train_compare(comparison).select_xaxes()]
        ['epoch', 'depth (weighted layers from the input)']
    """
    _check(comparison, training)
    names = list(dict.fromkeys(comparison.curves["variant"]))
    lines = _lines(comparison, names, training)
    top = 44 + _LINE * len(lines) + 14
    draft = Draft(top + _PLOT + _BOTTOM, margin=Margin(left=_LEFT, top=top, bottom=_BOTTOM))
    columns = {training: _NAMES[training], "test_error": "test error"}
    errors = _error_panel(draft, comparison, list(columns), log)
    profiles = {name: _profiles(comparison.gradients, name) for name in names}
    norms = _norm_panel(draft, [c for each in profiles.values() for c in each])
    for name, colour in style.colours_of(names).items():
        draft.add(*_errors(errors, comparison.curves, name, columns, colour))
        draft.add(*_profile_marks(norms, profiles[name], colour))
    heading = title or "Error against epoch, gradient norm against depth"
    return finished(draft, heading, *lines)


def _check(comparison: object, training: str) -> None:
    if not isinstance(comparison, TrainComparison):
        raise TypeError(
            f"plot_train_compare: a {type(comparison).__name__}; a TrainComparison is right."
            " rv.train_compare(...) makes one; tables of errors alone: rv.plot_training."
        )
    if training not in _TRAINING:
        raise ValueError(
            f"plot_train_compare: training {training!r}; one of {', '.join(_TRAINING)}."
        )
    if comparison.curves.empty or comparison.gradients.empty:
        raise ValueError(
            "plot_train_compare: nothing was measured yet; an epoch, even the one before training,"
            " is needed."
        )


# ---- words
def _lines(comparison: TrainComparison, names: list[str], training: str) -> list[str]:
    last = _last(comparison.gradients)
    epochs = sorted({last[name] for name in names if name in last})
    when = (
        f"after epoch {'/'.join(map(str, epochs))} bold" if epochs[-1] else "no epoch trained yet"
    )
    about = {str(k): v for k, v in comparison.gradients.attrs.items()}
    how = conditions({k: v for k, v in about.items() if k not in ("data", "seeds", "dtype")})
    right = " · ".join(["gradient of the mean loss over training images", *how.values()])
    return [
        f"left: {_TRAINING[training]} · right: before training dotted, {when}",
        right + style.not_finite(comparison.gradients["grad_norm"]),
        *_errors_in_words(comparison, names, training),
        _trained(comparison),
    ]


def _trained(comparison: TrainComparison) -> str:
    about, seeds = comparison.provenance, comparison.curves["seed"].unique()
    words = [str(about["data"]), str(about["optimiser"])]
    words += [f"batch {about['batch']}", f"peak rate {about['rate']:g}"]
    words += ["shifted and mirrored"] if about["augment"] else []
    several = len(seeds) > 1
    words += [f"median and range of {len(seeds)} seeds" if several else f"seed {seeds[0]}"]
    return " · ".join(words)


def _errors_in_words(comparison: TrainComparison, names: list[str], training: str) -> list[str]:
    """Training and test error at the last epoch that every network has, as wrapped lines."""
    curves = comparison.curves
    reached = curves.groupby(["variant", "seed"])["epoch"].max()
    epoch = int(reached.min())
    rows = curves[curves["epoch"] == epoch]
    whole = f" of {comparison.provenance['epochs']}"
    words = []
    for name in names:
        part = rows[rows["variant"] == name]
        # an empty median is NaN, where pandas 2.2.1 warns of one of NaN alone
        train, test = (float(part[column].dropna().median()) for column in (training, "test_error"))
        known = f"{train:.1f}" if np.isfinite(train) else "–"
        words.append(f"{name} {known} / {test:.1f} %")
    text = f"training / test error after epoch {epoch}{whole}: " + ", ".join(words)
    return textwrap.wrap(text, _WIDE)


# ---- errors
def _error_panel(draft: Draft, comparison: TrainComparison, columns: list[str], log: bool) -> Panel:
    values = comparison.curves[columns].to_numpy(dtype=float)
    limits = (0.0, 1.05 * (float(np.nanmax(values, initial=0.0)) or 1.0))
    title = "error (%, log)" if log else "error (%)"
    panel = add_panel(draft, (0, 1), values, title=title, log=log, limits=limits)
    depth_axis(draft, panel, 0.0, float(comparison.provenance["epochs"]), "epoch")
    draft.axis("x", domain=_DOMAINS[0])
    return panel


def _errors(
    panel: Panel, curves: pd.DataFrame, name: str, columns: dict[str, str], colour: str
) -> list[Mark]:
    marks: list[Mark] = []
    for column, what in columns.items():
        wide = curves[curves["variant"] == name].pivot(index="epoch", columns="seed", values=column)
        wide = wide.dropna(how="all")  # there is no running error before training
        if wide.empty:
            continue
        epochs, values = wide.index.to_numpy(), wide.to_numpy(dtype=float)
        middle = np.nanmedian(values, axis=1)
        low, high = np.nanmin(values, axis=1), np.nanmax(values, axis=1)
        if wide.shape[1] > 1:
            own = shared(name=f"{name}, {what}, range", group=name)
            marks.append(band(panel, epochs, low, high, colour, 0.13, **own))
        marks += _line(panel, name, what, epochs, np.stack([low, middle, high]), colour)
    return marks


def _line(
    panel: Panel, name: str, what: str, epochs: NDArray[np.int64], values: Floats, colour: str
) -> list[Series]:
    bold = what == "test error"
    shown = [
        f"{m:.2f} %" if h == lo else f"median {m:.2f} %, from {lo:.2f} to {h:.2f} %"
        for lo, m, h in values.T
    ]
    hover = Hover(f"{name}\nepoch %{{x}}\n{what} %{{customdata}}", rows=np.array(shown, object))
    look = shared(width=2.8 if bold else 1.4, dash="solid" if bold else "dash", group=name)
    look |= shared(name=name if bold else f"{name}, {what}", legend=bold, hover=hover)
    line = Series(x=epochs, y=values[1], colour=colour, **look)
    symbol = "circle" if bold else "circle-open"
    return with_zeros(panel, line, size=6, symbol=symbol, name=f"{name}, {what}")


# ---- gradient norms
def _last(gradients: pd.DataFrame) -> dict[str, int]:
    """By variant the last measured epoch that all its seeds have reached."""
    reached = gradients.groupby(["variant", "seed"])["epoch"].max()
    return {str(name): int(part.min()) for name, part in reached.groupby(level="variant")}


def _profiles(gradients: pd.DataFrame, name: str) -> list[Curve]:
    """Before training and, if any epoch was trained, at the last one."""
    mine = gradients[gradients["variant"] == name]
    epochs = sorted({0, _last(gradients).get(name, 0)})
    found = []
    for epoch in epochs:
        rows = mine[mine["epoch"] == epoch]
        tables = [part.reset_index(drop=True) for _, part in rows.groupby("seed", sort=False)]
        if tables:
            found.append(curve(name, tables, "parameters", "depth", "grad_norm", None))
    return found


def _norm_panel(draft: Draft, curves: list[Curve]) -> Panel:
    """The right panel, over an x axis of its own."""
    values = np.concatenate([each.values.ravel() for each in curves])
    title = "L2 norm of the weight gradient (log)"
    panel = add_panel(draft, (0, 1), values, title=title, log=True, x="x2")
    deepest = max(float(each.rows["x"].max()) for each in curves)
    depth_axis(draft, panel, 1.0, max(deepest, 2.0), DEPTH, x="x2")
    draft.axis("x2", domain=_DOMAINS[1])
    return panel


def _profile_marks(panel: Panel, curves: list[Curve], colour: str) -> list[Mark]:
    """The latest bold, the one before training thin and dotted."""
    marks: list[Mark] = []
    for number, each in enumerate(curves):
        latest = number == len(curves) - 1 and len(curves) > 1
        name = f"{each.name}, {'latest' if latest else 'before training'}"
        own = shared(xaxis="x2", legend=False, group=each.name)
        drawn = curve_marks(panel, each, colour, name=name, **own)
        marks += drawn if latest else [_thin(mark, colour) for mark in drawn]
    return marks


def _thin(mark: Mark, colour: str) -> Mark:
    if isinstance(mark, Area):
        return replace(mark, fill=style.translucent(colour, 0.07))
    if isinstance(mark, Series) and mark.width:
        return replace(mark, width=1, dash="dot", size=0)
    return mark
