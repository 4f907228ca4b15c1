"""The tables of a training record in the files of TensorBoard and Weights & Biases."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from resviz.arguments import caller, name, public
from resviz.training.recorder.record import TrainingRecord, load_training_record

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_STEP = ("loss", "grad_norm", "grad_norm_used", "clip_factor", "scale", "seconds")
_PARAMETER = ("grad_norm", "grad_norm_used", "weight_norm", "learning_rate")
_BLOCK = ("rms", "zero_fraction", "grad_rms")
_RESIDUAL = ("ratio", "cosine", "grad_branch_share")


def scalars(
    record: TrainingRecord, prefix: str = "resviz"
) -> Iterator[tuple[int, dict[str, float]]]:
    """Of each recorded step: its number, and names with values; what is NaN is left out.

    Later calls of a block that runs several times have their number behind its name, "block#1".

    Example:
        >>> import pandas as pd
        >>> empty = pd.DataFrame({"step": []})
        >>> steps = pd.DataFrame({"step": [0], "loss": [2.5]})
        >>> list(scalars(TrainingRecord(steps, empty, empty, empty)))
        [(0, {'resviz/loss': 2.5})]
    """
    tables = (
        (record.parameters, "parameter", _PARAMETER),
        (record.blocks, "layer", _BLOCK),
        (record.residuals, "addition", _RESIDUAL),
    )
    for row in record.steps.to_dict("records"):
        step = int(row["step"])
        found = {f"{prefix}/{column}": row[column] for column in _STEP if column in row}
        for table, key, columns in tables:
            for part in table[table["step"] == step].to_dict("records"):
                there = (column for column in columns if column in part)
                called = f"{part[key]}#{part['call']}" if part.get("call") else part[key]
                found |= {f"{prefix}/{column}/{called}": part[column] for column in there}
        yield step, {key: float(value) for key, value in found.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


@public
def write_tensorboard(
    record: TrainingRecord | str | os.PathLike[str],
    writer: SummaryWriter | str | os.PathLike[str],
    *,
    prefix: str = "resviz",
) -> None:
    """Write a training record's tables as TensorBoard's scalars, step by step.

    Losses and norms of a step are ``resviz/grad_norm``, those of a parameter
    ``resviz/grad_norm/layer1.0.conv1.weight``. Times are those of the record.

    Args:
        record: a :class:`resviz.TrainingRecord`, or the path of its file; the run may be going on.
        writer: a ``SummaryWriter``, which stays open, or the folder for one.
        prefix: of all names.

    Raises:
        ImportError: no tensorboard; ``pip install resviz[tensorboard]``.
        TypeError, FileNotFoundError: as :func:`resviz.load_training_record`.

    Example:
        >>> write_tensorboard("run.resviz-log", "runs/one")  # doctest: +SKIP
    """
    record, prefix = _record(record), name("prefix", prefix)
    if isinstance(writer, str | os.PathLike):
        from torch.utils.tensorboard import SummaryWriter

        own = SummaryWriter(os.fspath(writer))
        try:
            _write(record, own, prefix)
        finally:
            own.close()
    else:
        _write(record, writer, prefix)
        writer.flush()


def _write(record: TrainingRecord, writer: SummaryWriter, prefix: str) -> None:
    times = dict(zip(record.steps["step"], record.steps.get("time", ()), strict=False))
    for step, values in scalars(record, prefix):
        for key, value in values.items():
            writer.add_scalar(key, value, step, walltime=times.get(step))


@public
def write_wandb(
    record: TrainingRecord | str | os.PathLike[str], run: Any, *, prefix: str = "resviz"
) -> None:
    """Log a training record's tables to a run of Weights & Biases, step by step.

    The steps have an axis of their own, ``resviz/step``, so that they may be logged at any time,
    also after the run's own counter has gone on; offline runs as well.

    Args:
        record: a :class:`resviz.TrainingRecord`, or the path of its file.
        run: of ``wandb.init``; it stays open.
        prefix: of all names.

    Raises:
        TypeError: no run.
        FileNotFoundError: as :func:`resviz.load_training_record`.

    Example:
        >>> run = wandb.init(project="mine", mode="offline")  # doctest: +SKIP
        >>> write_wandb("run.resviz-log", run)  # doctest: +SKIP
    """
    if not (hasattr(run, "log") and hasattr(run, "define_metric")):
        raise TypeError(
            f"{caller()}: run is a {type(run).__name__}; what wandb.init returns would be right."
        )
    record, prefix = _record(record), name("prefix", prefix)
    run.define_metric(f"{prefix}/step")
    run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/step")
    for step, values in scalars(record, prefix):
        run.log({f"{prefix}/step": step, **values})


def _record(given: TrainingRecord | str | os.PathLike[str]) -> TrainingRecord:
    return given if isinstance(given, TrainingRecord) else load_training_record(given)
