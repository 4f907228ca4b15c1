"""`plot_training_record`: one measured quantity against depth, over the steps of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.errors import closest
from resviz.views import style
from resviz.views.charts.chart import Legend, Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import ColourBar, Heat, Hover, Note, Series, Stripe, shared
from resviz.views.figure import Figure
from resviz.views.figures.panels import DEPTH, add_panel, whole_step
from resviz.views.figures.quantities import QUANTITIES, Quantity, conditions
from resviz.views.records import is_training_record

if TYPE_CHECKING:
    from resviz.training.recorder.record import TrainingRecord

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
    width: int  # steps from one column to the next
    values: Floats  # (rows, steps), NaN where there is none
    left_out: str  # "2 projections, 1 gates"


def plot_training_record(
    record: TrainingRecord,
    y: str = "grad_norm",
    *,
    log: bool | None = None,
    title: str | None = None,
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
    margin = Margin(_LEFT, _RIGHT, _TOP, _BOTTOM)
    draft = Draft(height + above + _TOP + _BOTTOM, margin=margin)
    if not has_loss:
        draft.legend, draft.head = Legend(0, 1.01, ("left", "bottom"), across=True), 24
    share = height / (height + above)
    _add_map(draft, shown, quantity, log, share)
    _add_stages(draft, shown)
    if has_loss:
        _add_loss(draft, record.steps, shown.steps, 1 - _LOSS / (height + above))
    heading = title or f"{quantity.title}, by depth and training step"
    return Figure.of(draft.chart(heading, *_said(record, shown, quantity)))


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
    left_out = ""
    if kind == "parameters":
        weighted = table[table["weighted"].eq(True)]
        beside = [name for name in ("projection", "gate") if name in weighted]
        table = weighted[~weighted[beside].eq(True).any(axis=1)]
        counts = {n: weighted.loc[weighted[n].eq(True), "parameter"].nunique() for n in beside}
        left_out = ", ".join(f"{count} {name}s" for name, count in counts.items() if count)
    table = table.assign(row=table[_KEYS[kind]].astype(str).agg("#".join, axis=1))
    first = table.drop_duplicates("row").sort_values("depth", kind="stable")
    steps = np.unique(table["step"].to_numpy())
    steps = steps[:: math.ceil(len(steps) / _MOST)]
    width = _step_width(steps)
    steps = steps[np.unique(_columns(steps, width), return_index=True)[1]]  # one for each column
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
    return _Map(rows.reset_index(drop=True), wide.columns.to_numpy(), width, values, left_out)


def _step_width(steps: NDArray[np.int64]) -> int:
    """Steps from one column to the next; recorded steps that are missing leave a blank one."""
    gaps, whole = np.diff(steps), int(steps[-1] - steps[0])
    width = int(np.gcd.reduce(gaps)) if len(gaps) else 1
    return width if whole / width < 2 * _MOST else math.ceil(whole / _MOST)


def _columns(steps: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    return np.rint((steps - steps[0]) / width).astype(np.int64)


def _on_grid(shown: _Map) -> Floats:
    columns = _columns(shown.steps, shown.width)
    grid = np.full((len(shown.rows), columns[-1] + 1), np.nan)
    grid[:, columns] = shown.values
    return grid


def _add_map(draft: Draft, shown: _Map, quantity: Quantity, log: bool, share: float) -> None:
    width, grid = shown.width, _on_grid(shown)
    place = shared(x0=int(shown.steps[0]), dx=width, hover=_hover(shown, grid))
    draft.add(_heat(grid, quantity, log, share, **place))
    if log and (grid == 0).any():
        zeros = np.where(grid == 0, 1.0, np.nan)
        draft.add(Heat(z=zeros, low=0, high=1, colours=((0, _ZERO), (1, _ZERO)), **place))
        draft.add(_in_legend("exactly 0", _ZERO))
    if not np.isfinite(grid).all():  # grey behind the map: white is a colour of it
        draft.add(Stripe(None, "y", _BLANK), _in_legend("no finite value", _BLANK))
    first, last = int(shown.steps[0]), int(shown.steps[0]) + width * (grid.shape[1] - 1)
    ends = (first - width / 2, last + width / 2)
    step = whole_step(first, last)
    draft.axis("x", limits=ends, title="training step", step=step, anchor="y", grid=False)
    depths = shown.rows["depth"].to_numpy()
    ticks = tuple((row, f"{depths[row]:g}") for row in _labelled(depths))
    limits = (-0.5, len(depths) - 0.5)
    draft.axis("y", limits=limits, domain=(0, share), title=DEPTH, ticks=ticks, grid=False)


def _heat(grid: Floats, quantity: Quantity, log: bool, share: float, **place: Any) -> Heat:
    finite = grid[np.isfinite(grid) & ((grid > 0) | (not log))]
    with np.errstate(all="ignore"):
        values = np.where(np.isfinite(grid) & (grid > 0), np.log10(grid), np.nan) if log else grid
    colours, low, high = _range(finite, log)
    title, ticks = quantity.axis + (" (log)" if log else ""), _log_ticks(low, high) if log else None
    bar = ColourBar(low, high, colours, 1.1, share / 2, share, title, ticks)
    z = np.where(np.isfinite(values), values, np.nan)
    return Heat(z=z, low=low, high=high, colours=colours, bar=bar, **place)


def _hover(shown: _Map, grid: Floats) -> Hover:
    rows = list(shown.rows.itertuples(index=False))
    names: Any = np.array([f"{row.name}\ndepth {row.depth:g}, step " for row in rows], dtype=object)
    steps = shown.steps[0] + shown.width * np.arange(grid.shape[1])
    steps[_columns(shown.steps, shown.width)] = shown.steps  # not where the column stands
    texts = names[:, None] + steps.astype(str).astype(object)
    return Hover("\n%{customdata:.4g}", "%{text}", rows=grid, texts=texts)


def _in_legend(name: str, colour: str) -> Series:
    return Series(x=(), y=(), name=name, symbol="square", size=10, colour=colour)


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


def _log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Numbers on the colour bar: decades, or 1, 2 and 5 below two of them."""
    digits = (1,) if high - low >= 2 else (1, 2, 5) if high - low >= 0.5 else range(1, 10)
    every = max(1, round((high - low) / 8))
    exponents = range(math.floor(low), math.ceil(high) + 1)
    found = [digit * 10.0**e for e in exponents if e % every == 0 for digit in digits]
    inside = [v for v in found if low <= math.log10(v) <= high]
    inside = inside or [10**low, 10**high]
    return tuple((math.log10(v), f"{v:.3g}") for v in inside)


def _labelled(depths: Floats) -> list[int]:
    """Rows whose depth is written at the axis: about a dozen, at round depths where there are."""
    count = len(depths)
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200) if count / s <= 14), 500)
    round_ones = [row for row in range(count) if depths[row] % step == 0]
    unique = {depths[row]: row for row in reversed(round_ones)}
    if len(unique) >= min(count, 4):
        return sorted(unique.values())
    return list(range(0, count, max(1, math.ceil(count / 14))))


def _add_stages(draft: Draft, shown: _Map) -> None:
    """Names of the stages at the right edge, and a white line where one ends."""
    stages = shown.rows["stage"].astype(str).tolist()
    starts = [row for row in range(len(stages)) if row == 0 or stages[row] != stages[row - 1]]
    ends = draft.axes["x"].limits
    for start, end in zip(starts, [*starts[1:], len(stages)], strict=True):
        if start:
            line = shared(colour=style.BACKGROUND, width=1.5)
            draft.add(Series(x=ends, y=[start - 0.5] * 2, **line))
        if stages[start]:
            place = shared(xref="paper", shift=(6, 0), anchor=("left", "middle"))
            draft.add(Note(stages[start], 1, (start + end - 1) / 2, colour=style.FAINT, **place))


def _add_loss(draft: Draft, steps: pd.DataFrame, drawn: NDArray[np.int64], foot: float) -> None:
    taken = steps[steps["step"].isin(drawn)]
    values = taken["loss"].to_numpy(float)
    finite = np.where(np.isfinite(values), values, np.nan)
    panel = add_panel(draft, (foot, 1.0), finite, title="loss", log=False)
    hover, one = Hover("step %{x}\nloss %{y:.4g}"), len(taken) < 2
    look = shared(width=0 if one else 1.6, size=6 if one else 0, hover=hover, legend=False)
    x = taken["step"].to_numpy()
    draft.add(Series(x=x, y=finite, yaxis=panel.y, name="loss", **look))
    skipped = x[taken["skipped"].eq(True)]
    if len(skipped):
        y = np.full(len(skipped), panel.low + 0.05 * (panel.high - panel.low))
        hover = Hover("step %{x}: skipped by the gradient scaler")
        look = shared(symbol="x", size=7, colour=style.COLOURS[1], name="skipped step", hover=hover)
        draft.add(Series(x=skipped, y=y, yaxis=panel.y, **look))


def _said(record: Any, shown: _Map, quantity: Quantity) -> tuple[str, str]:
    """What was measured and drawn, and how."""
    steps, notes = record.steps, []
    if "grad" in quantity.title.lower():
        notes.append("gradients of the loop's own loss" + _treatment(steps, quantity is _USED))
    if shown.left_out:
        notes.append(f"{shown.left_out} left out")
    if len(shown.steps) < len(steps):
        notes.append(f"{len(shown.steps)} of {len(steps)} recorded steps drawn")
    notes.append(_counts(steps))
    about = {k: v for k, v in record.provenance.items() if k not in ("loss", "weights")}
    words = [str(about.get("network", "network")), *conditions(about).values()]
    return " · ".join(filter(None, notes)), " · ".join(words)


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
