"""`plot_training_record`: one measured quantity against depth, over the steps of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.errors import closest
from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.old_panels import add_panel
from resviz.views.figures.quantities import QUANTITIES, Quantity
from resviz.views.figures.quantities import escaped_conditions as conditions
from resviz.views.records import is_training_record

Floats = NDArray[np.float64]

_ROW, _LEAST, _TOP, _BOTTOM, _LEFT, _RIGHT = 9, 260, 100, 56, 84, 190  # pixels
_LOSS, _GAP = 90, 18  # pixels: the panel above, and what is between
_MOST = 600  # columns
_ZERO = "#D55E00"  # not a colour of viridis
_BLANK = "#c9cdd3"
_KEYS = {"parameters": ["parameter"], "blocks": ["layer", "call"], "residuals": ["addition"]}
_NAMES = {"parameters": "parameters", "blocks": "layers", "residuals": "residuals"}
_USED = Quantity("Weight gradients as used", "L2 norm of the weight gradient, clipped", True)
_RATE = Quantity("Learning rate", "learning rate", True)


@dataclass(frozen=True)
class _Map:
    """Rows by depth, columns by step."""

    rows: pd.DataFrame  # name, depth, stage
    steps: NDArray[np.int64]
    values: Floats  # (rows, steps), NaN where there is none
    left_out: int  # projections


def plot_training_record(
    record: Any, y: str = "grad_norm", *, log: bool | None = None, title: str | None = None
) -> Figure:
    """A figure of one measured quantity as colour: depth upwards, training steps to the right.

    Above it the loss, where the loop recorded one, with the steps that the scaler skipped. Values
    that are exactly 0 have a colour of their own; grey is what was not measured, or is not finite.
    Projections run beside the main path and are left out. The title says what was measured.

    Args:
        record: a :class:`resviz.TrainingRecord`.
        y: the column to draw: "grad_norm" and "weight_norm" are of the weights of weighted layers,
            "grad_norm_used" is the gradient after clipping; other names are columns of
            ``record.blocks``, then of ``record.residuals``.
        log: logarithmic colours. Default: for sizes (norms, rms, ratios).
        title: replaces the first line of the title.

    Raises:
        TypeError: `record` is no training record.
        ValueError: no such column, no steps, no numbers, or negative values in log colours.

    Example:
        >>> import tempfile, torch
        >>> import resviz as rv
        >>> from resviz.networks.cifar import cifar_resnet
        >>> from resviz.training.recorder.recorder import TrainingRecorder
        >>> from resviz.training.recorder.record import load_training_record
        >>> net, folder = cifar_resnet(8, seed=0), tempfile.TemporaryDirectory()
        >>> path = folder.name + "/run.resviz-log"
        >>> with TrainingRecorder(net, path) as recorder, recorder.step():
        ...     net(torch.ones(2, 3, 32, 32)).sum().backward()
        >>> plot_training_record(load_training_record(path)).data[0].type
        'heatmap'
        >>> folder.cleanup()
    """
    kind = _kind(record, y)
    table = getattr(record, kind)
    quantity = _quantity(kind, y)
    log = quantity.magnitude if log is None else log
    shown = _map(table, kind, y, log)
    loss = record.steps["loss"].to_numpy(float)
    has_loss = bool(np.isfinite(loss).any())
    height = max(_ROW * len(shown.rows), _LEAST)
    above = (_LOSS + _GAP) if has_loss else 0
    fig = Figure(
        layout={
            "template": style.template(),
            "height": height + above + _TOP + _BOTTOM,
            "margin": {"l": _LEFT, "r": _RIGHT, "t": _TOP, "b": _BOTTOM},
            "legend": {"x": 1.02, "y": 1.0, "xanchor": "left", "yanchor": "top"}
            if has_loss
            else {"x": 0, "y": 1.01, "xanchor": "left", "yanchor": "bottom", "orientation": "h"},
        }
    )
    share = height / (height + above)
    _add_map(fig, shown, quantity, log, share)
    _add_stages(fig, shown, share)
    if has_loss:
        pixels = height + above
        _add_loss(fig, record.steps, shown.steps, 1 - _LOSS / pixels, pixels)
    fig.update_layout(title={"text": _heading(record, shown, kind, quantity, title)})
    return fig


def _kind(record: Any, y: str) -> str:
    """The table that `y` is in."""
    if not is_training_record(record):
        raise TypeError(
            f"plot_training_record: a {type(record).__name__}; a TrainingRecord would be right. "
            "rv.load_training_record reads one."
        )
    if record.steps.empty:
        raise ValueError("plot_training_record: no step was recorded; at least one is needed.")
    numeric = {
        name: [c for c in table.select_dtypes("number") if c not in ("step", "depth", "call")]
        for name, table in ((name, getattr(record, name)) for name in _KEYS)
    }
    for name, columns in numeric.items():
        if y in columns:
            return name
    known = [column for columns in numeric.values() for column in columns]
    raise ValueError(
        f"plot_training_record: no measured column {y!r}; closest: {closest(y, known)}."
    )


def _quantity(kind: str, y: str) -> Quantity:
    own = {"grad_norm_used": _USED, "learning_rate": _RATE}
    return own.get(y) or QUANTITIES[_NAMES[kind]].get(y) or Quantity(y, y, False)


def _map(table: pd.DataFrame, kind: str, y: str, log: bool) -> _Map:
    left_out = 0
    if kind == "parameters":
        weighted = table[table["weighted"].eq(True)]
        table = weighted[~weighted["projection"].eq(True)]
        left_out = weighted["parameter"].nunique() - table["parameter"].nunique()
    table = table.assign(row=table[_KEYS[kind]].astype(str).agg("#".join, axis=1))
    first = table.drop_duplicates("row").sort_values("depth", kind="stable")
    steps = np.unique(table["step"].to_numpy())
    steps = steps[:: math.ceil(len(steps) / _MOST)]
    chosen = table[table["step"].isin(steps)].drop_duplicates(["row", "step"])
    wide = chosen.pivot(index="row", columns="step", values=y).reindex(first["row"])
    values = wide.to_numpy(float)
    if not np.isfinite(values).any():
        raise ValueError(f"plot_training_record: {y!r} holds no numbers; was it measured?")
    if log and (values < 0).any():
        raise ValueError(
            f"plot_training_record: {y!r} has negative values, which logarithmic colours cannot "
            "show; use log=False."
        )
    name = "layer" if kind == "parameters" else _KEYS[kind][0]
    rows = pd.DataFrame({"name": first[name], "depth": first["depth"], "stage": first["stage"]})
    return _Map(rows.reset_index(drop=True), wide.columns.to_numpy(), values, left_out)


def _step_width(steps: NDArray[np.int64]) -> int:
    """Steps from one column to the next; recorded steps that are missing leave a blank one."""
    gaps = np.diff(steps)
    width = int(np.gcd.reduce(gaps)) if len(gaps) else 1
    few = (steps[-1] - steps[0]) / width < 2 * _MOST
    return width if few else int(np.median(gaps))


def _on_grid(shown: _Map, width: int) -> Floats:
    columns = np.rint((shown.steps - shown.steps[0]) / width).astype(int)
    grid = np.full((len(shown.rows), columns[-1] + 1), np.nan)
    grid[:, columns] = shown.values
    return grid


def _add_map(fig: Figure, shown: _Map, quantity: Quantity, log: bool, share: float) -> None:
    width = _step_width(shown.steps)
    grid = _on_grid(shown, width)
    finite = grid[np.isfinite(grid) & ((grid > 0) | (not log))]
    with np.errstate(all="ignore"):
        colours = np.where(np.isfinite(grid) & (grid > 0), np.log10(grid), np.nan) if log else grid
    scale, low, high = _range(finite, log)
    places = {"x0": int(shown.steps[0]), "dx": width, "y0": 0, "dy": 1}
    names = [f"<b>{style.escape(row.name)}</b><br>depth {row.depth:g}" for row in _rows(shown.rows)]
    hover = {
        "text": np.repeat(np.array(names, dtype=object)[:, None], grid.shape[1], axis=1),
        "customdata": grid,
        "hovertemplate": "%{text}, step %{x}<br>%{customdata:.4g}<extra></extra>",
    }
    ticks = _log_ticks(low, high) if log else {}
    words = {"text": style.escape(quantity.axis) + (" (log)" if log else ""), "side": "right"}
    bar: dict[str, Any] = {"len": share, "y": share / 2, "x": 1.1, "thickness": 14}
    bar["title"] = words | {"font": {"size": style.SMALL}}
    bar["tickfont"] = {"size": style.SMALL}
    fig.add_heatmap(
        z=np.where(np.isfinite(colours), colours, np.nan),
        colorscale=scale,
        zmin=low,
        zmax=high,
        colorbar=bar | ticks,
        **places,
        **hover,
    )
    zeros = grid == 0
    if log and zeros.any():
        _add_zeros(fig, zeros, places, hover)
    if not np.isfinite(grid).all():
        _add_blank(fig)
    first, last = int(shown.steps[0]), int(shown.steps[0]) + width * (grid.shape[1] - 1)
    count = len(shown.rows)
    labelled = _labelled(shown.rows["depth"].to_numpy())
    fig.update_layout(
        xaxis={
            "range": [first - width / 2, last + width / 2],
            "title": {"text": "training step"},
            "anchor": "y",
            "showgrid": False,
        },
        yaxis={
            "range": [-0.5, count - 0.5],
            "domain": [0, share],
            "title": {"text": "depth (weighted layers from the input)"},
            "tickvals": labelled,
            "ticktext": [f"{shown.rows['depth'][row]:g}" for row in labelled],
            "showgrid": False,
        },
    )


def _add_zeros(
    fig: Figure, zeros: NDArray[np.bool_], places: Mapping[str, Any], hover: Mapping[str, Any]
) -> None:
    fig.add_heatmap(
        z=np.where(zeros, 1.0, np.nan),
        colorscale=[[0, _ZERO], [1, _ZERO]],
        zmin=0,
        zmax=1,
        showscale=False,
        **places,
        **hover,
    )
    _in_legend(fig, "exactly 0", _ZERO)


def _add_blank(fig: Figure) -> None:
    """Grey behind the map: white is a colour of it."""
    fig.add_shape(
        type="rect",
        xref="x domain",
        yref="y domain",
        x0=0,
        x1=1,
        y0=0,
        y1=1,
        fillcolor=_BLANK,
        line={"width": 0},
        layer="below",
    )
    _in_legend(fig, "no finite value", _BLANK)


def _in_legend(fig: Figure, name: str, colour: str) -> None:
    fig.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        name=name,
        showlegend=True,
        marker={"symbol": "square", "size": 10, "color": colour},
    )


def _rows(rows: pd.DataFrame) -> list[Any]:
    return list(rows.itertuples(index=False))


def _range(values: Floats, log: bool) -> tuple[str, float, float]:
    """(colour scale, lowest, highest) of the colours."""
    if log:
        if not len(values):
            return style.MAGNITUDE, -1.0, 1.0
        low, high = float(np.log10(values.min())), float(np.log10(values.max()))
        return style.MAGNITUDE, low, max(high, low + 0.01)
    low, high = float(values.min()), float(values.max())
    if low < 0 < high:
        most = max(-low, high)
        return style.SIGNED, -most, most
    return style.MAGNITUDE, low, high if high > low else low + (abs(low) or 1.0) * 1e-3


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Numbers on the colour bar: decades, or 1, 2 and 5 below two of them."""
    digits = (1,) if high - low >= 2 else (1, 2, 5) if high - low >= 0.5 else range(1, 10)
    every = max(1, round((high - low) / 8))
    exponents = range(math.floor(low), math.ceil(high) + 1)
    found = [digit * 10.0**e for e in exponents if e % every == 0 for digit in digits]
    inside = [v for v in found if low <= math.log10(v) <= high]
    inside = inside or [10**low, 10**high]
    return {
        "tickvals": [math.log10(v) for v in inside],
        "ticktext": [f"{v:.3g}" for v in inside],
    }


def _labelled(depths: Floats) -> list[int]:
    """Rows whose depth is written at the axis: about a dozen, at round depths where there are."""
    count = len(depths)
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200) if count / s <= 14), 500)
    round_ones = [row for row in range(count) if depths[row] % step == 0]
    unique = {depths[row]: row for row in reversed(round_ones)}
    if len(unique) >= min(count, 4):
        return sorted(unique.values())
    return list(range(0, count, max(1, math.ceil(count / 14))))


def _add_stages(fig: Figure, shown: _Map, share: float) -> None:
    """Names of the stages at the right edge, and a white line where one ends."""
    stages = shown.rows["stage"].astype(str).tolist()
    starts = [row for row in range(len(stages)) if row == 0 or stages[row] != stages[row - 1]]
    left, right = fig.layout.xaxis.range
    for start, end in zip(starts, [*starts[1:], len(stages)], strict=True):
        if start:
            fig.add_scatter(
                x=[left, right],
                y=[start - 0.5] * 2,
                mode="lines",
                line={"color": style.BACKGROUND, "width": 1.5},
                showlegend=False,
                hoverinfo="skip",
            )
        if stages[start]:
            fig.add_annotation(
                x=1,
                xref="paper",
                y=(start + end - 1) / 2,
                yref="y",
                text=style.escape(stages[start]),
                xanchor="left",
                xshift=6,
                showarrow=False,
                font={"size": style.SMALL, "color": style.FAINT},
            )


def _add_loss(
    fig: Figure, steps: pd.DataFrame, drawn: NDArray[np.int64], foot: float, pixels: float
) -> None:
    taken = steps[steps["step"].isin(drawn)]
    values = taken["loss"].to_numpy(float)
    finite = np.where(np.isfinite(values), values, np.nan)
    panel = add_panel(fig, (foot, 1.0), finite, title="loss", log=False, pixels=pixels)
    fig.add_scatter(
        x=taken["step"],
        y=finite,
        yaxis=panel.y,
        mode="lines" if len(taken) > 1 else "markers",
        name="loss",
        showlegend=False,
        line={"color": style.INK, "width": 1.6},
        hovertemplate="step %{x}<br>loss %{y:.4g}<extra></extra>",
    )
    skipped = taken[taken["skipped"].eq(True)]
    if len(skipped):
        fig.add_scatter(
            x=skipped["step"],
            y=np.full(len(skipped), panel.low + 0.05 * (panel.high - panel.low)),
            yaxis=panel.y,
            mode="markers",
            name="skipped step",
            showlegend=True,
            marker={"symbol": "x", "size": 7, "color": style.COLOURS[1]},
            hovertemplate="step %{x}: skipped by the gradient scaler<extra></extra>",
        )


def _heading(record: Any, shown: _Map, kind: str, quantity: Quantity, title: str | None) -> str:
    steps, about = record.steps, dict(record.provenance)
    first = style.escape(title) if title else f"{quantity.title}, by depth and training step"
    notes = []
    if "grad" in quantity.title.lower():
        notes.append("gradients of the loop's own loss" + _treatment(steps, quantity is _USED))
    if shown.left_out:
        notes.append(f"{shown.left_out} projections left out")
    if len(shown.steps) < len(steps):
        notes.append(f"{len(shown.steps)} of {len(steps)} recorded steps drawn")
    notes.append(_counts(steps))
    about = {k: v for k, v in about.items() if k not in ("loss", "weights")}
    words = list(conditions(about).values())
    network = style.escape(about.get("network", "network"))
    below = " · ".join([network, *words])
    return style.heading(first, " · ".join(filter(None, notes)), below)


def _treatment(steps: pd.DataFrame, used: bool) -> str:
    words = ", scale divided out" if steps["scale_divided"].eq(True).any() else ""
    if not used and steps["clipped"].eq(True).any():
        words += ", before clipping"
    return words


def _counts(steps: pd.DataFrame) -> str:
    """How many of the recorded steps were clipped or skipped."""
    counts = [(int(steps[flag].eq(True).sum()), flag) for flag in ("clipped", "skipped")]
    said = [f"{count} {flag}" for count, flag in counts if count]
    return f"of {len(steps)} recorded steps {', '.join(said)}" if said else ""
