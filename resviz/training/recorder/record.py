"""`TrainingRecord`: what a training run showed, step by step."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from resviz import storage
from resviz.arguments import public
from resviz.storage import Provenance
from resviz.training.recorder import file as training_file

STEP_COLUMNS = (
    *("step", "epoch", "loss", "learning_rate", "grad_norm", "grad_norm_used", "clip_factor"),
    *("clipped", "scale", "scale_divided", "skipped", "updated", "micro_batches"),
    *("backward_passes", "optimizer_steps", "images"),
    *("batch_stats", "autocast", "rank", "world_size", "seconds", "time"),
)
_BESIDE = ("scale", "scale_divided", "clip_factor", "skipped", "rank", "world_size")
_COUNTS = {"step", "micro_batches", "images", "rank", "world_size"}
_FLAGS = {"clipped", "scale_divided", "skipped", "updated", "batch_stats"}


@dataclass(frozen=True, eq=False)
class TrainingStep:
    """One recorded step, in the form that `plot_depth_profile` takes.

    Attributes:
        layers: the step's rows of :attr:`TrainingRecord.blocks`.
        residuals: its residual additions.
        parameters: its parameters; the weight's norm is ``norm``, as in a Recording.
        provenance: how it was recorded, the step's number among it.
    """

    layers: pd.DataFrame
    residuals: pd.DataFrame
    parameters: pd.DataFrame
    provenance: Provenance


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """The recorded steps of a training run. Made by :func:`load_training_record`.

    Gradients are those of the loop's own loss, with the reduction it has, summed over the
    micro-batches of the step; where a gradient scaler was in use its scale is divided out, and the
    columns ``scale`` and ``scale_divided`` say so. Parameter gradients are read twice:
    ``grad_norm`` when their last backward pass had ended, ``grad_norm_used`` when the optimiser was
    about to use them, after clipping; what the loop does after that changes neither. Under
    DistributedDataParallel they are averaged over the processes; activations are those of the
    process that wrote the file, and of the first micro-batch.

    Attributes:
        steps: a row per recorded step. ``loss`` is what the loop handed to ``step.loss`` for the
            gradient that was used, each value weighed by the gradient that it got (where it handed
            over none for that one, as of SAM's second, the latest); ``grad_norm`` and
            ``grad_norm_used`` are over all parameters, ``clip_factor`` is their quotient over those
            that an optimiser used; ``skipped`` where the scaler left the step of an optimiser
            out for gradients that are not finite; ``updated`` whether an optimiser made its step
            (None where that is not known), of several perhaps another; ``micro_batches`` counts the
            backward passes whose sum the gradient is, ``backward_passes`` all that went through the
            network or began at a loss that was handed over, ``optimizer_steps`` the steps of its
            optimisers, an inner one's among them (both NaN in files of before);
            ``seconds`` is the duration of the step, with the time that recording took, ``time`` its
            end in seconds since 1970.
        parameters: a row per step and parameter: ``grad_norm``, ``grad_norm_used``, ``weight_norm``
            before the update, ``learning_rate``, ``depth``, ``stage``, ``weighted``, ``shard`` (the
            part of the parameter that the process holds).
        blocks: a row per step and block output (per layer in a network without blocks): statistics
            of the activation in the mode that the loop trains in, and ``grad_rms``, which is NaN
            where the gradient came in several backward passes through one forward pass.
        residuals: a row per step and residual addition, columns as in :class:`Recording`.
        provenance: network, weights, device, dtype, optimiser, versions.
    """

    steps: pd.DataFrame
    parameters: pd.DataFrame
    blocks: pd.DataFrame
    residuals: pd.DataFrame
    provenance: Provenance = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table in (self.steps, *(getattr(self, name) for name in training_file.TABLES)):
            table.attrs.update(self.provenance)

    def at(self, step: int) -> TrainingStep:
        """One step, for ``plot_depth_profile(record.at(100), y="grad_norm")``.

        Raises:
            ValueError: that step was not recorded.
        """
        numbers = self.steps["step"].to_numpy()
        if step not in numbers:
            near = sorted(numbers, key=lambda n: abs(n - step))[:2]
            raise ValueError(
                f"TrainingRecord.at: step {step!r} was not recorded; closest: "
                f"{', '.join(map(str, near)) or 'none'}. See the column step of record.steps."
            )
        row = self.steps[self.steps["step"] == step].iloc[0]
        about = dict(self.provenance) | {"step": int(step), "images": int(row["images"])}
        about |= {"batch_stats": row["batch_stats"], "autocast": row["autocast"]}
        parts = {}
        for name in training_file.TABLES:
            table = getattr(self, name)
            parts[name] = table[table["step"] == step].reset_index(drop=True)
            parts[name].attrs = dict(about)
        return TrainingStep(
            layers=parts["blocks"],
            residuals=parts["residuals"],
            parameters=parts["parameters"].rename(columns={"weight_norm": "norm"}),
            provenance=about,
        )

    def __repr__(self) -> str:
        steps, about = self.steps["step"], self.provenance
        span = f"{steps.iloc[0]} to {steps.iloc[-1]}" if len(steps) else "none"
        notes = [
            f"{int(self.steps[flag].eq(True).sum())} {flag}" for flag in ("clipped", "skipped")
        ]
        return (
            f"TrainingRecord of {about.get('network', 'network')} "
            f"({about.get('weights', 'own')}), {len(steps)} steps, {span}; {', '.join(notes)}\n"
            + "\n".join(
                f"  {name:<11} {len(getattr(self, name))} rows" for name in training_file.TABLES
            )
        )


@public
def load_training_record(path: str | os.PathLike[str]) -> TrainingRecord:
    """A :class:`TrainingRecord` from the file that a :class:`TrainingRecorder` wrote.

    The file may be that of a run that goes on, or of one that was killed: every completed step is
    there. Runs no code from the file.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged before its last record, or no training record.

    Warns:
        ResvizWarning: the last record was not written to its end, and is left out.

    Example:
        >>> import tempfile, torch
        >>> from resviz.networks.cifar import cifar_resnet
        >>> from resviz.training.recorder.recorder import TrainingRecorder
        >>> net, folder = cifar_resnet(8, seed=0), tempfile.TemporaryDirectory()
        >>> path = folder.name + "/run.resviz-log"
        >>> with TrainingRecorder(net, path) as recorder, recorder.step():
        ...     net(torch.ones(2, 3, 32, 32)).sum().backward()
        >>> load_training_record(path).steps["step"].tolist()
        [0]
        >>> folder.cleanup()
    """
    content = training_file.read(path)
    training_file.warn_of_broken(path, content)
    about = {k: v for k, v in content.header.items() if k != "format"}
    try:
        rows = [step["row"] for step in content.steps]
        steps = pd.DataFrame({c: _typed(c, [row.get(c) for row in rows]) for c in STEP_COLUMNS})
        tables = {name: _table(content, name, steps) for name in training_file.TABLES}
    except (ValueError, *storage.WRONG_CONTENT) as error:
        raise storage.damaged(path) from error
    if len(steps):
        about["batch_stats"] = steps["batch_stats"].iloc[0]
        about["images"] = int(steps["images"].iloc[0])
    return TrainingRecord(steps=steps, **tables, provenance=about)


def _typed(name: str, values: list[Any]) -> pd.Series[Any]:
    if name in _COUNTS:
        return pd.Series(values, dtype="int64")
    if name in _FLAGS or name == "autocast":
        return pd.Series(values, dtype="object")
    return pd.Series([training_file.number(v) for v in values], dtype="float64")


def _table(content: training_file.Content, name: str, steps: pd.DataFrame) -> pd.DataFrame:
    """All steps of one table below one another, with the step and what stands beside it."""
    parts = []
    for number, run in groupby(content.steps, key=lambda step: int(step["layout"])):
        taken = list(run)
        fixed = pd.DataFrame(
            {column: _fixed(values) for column, values in content.layouts[number][name].items()}
        )
        part = fixed.iloc[np.tile(np.arange(len(fixed)), len(taken))].reset_index(drop=True)
        for column in taken[0][name]:
            values = [training_file.number(v) for step in taken for v in step[name][column]]
            part[column] = pd.Series(values, dtype="float64")
        part.insert(0, "step", np.repeat([step["row"]["step"] for step in taken], len(fixed)))
        parts.append(part)
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"step": []}, dtype=int)
    beside = steps.set_index("step")
    for column in _BESIDE:
        table[column] = beside[column].reindex(table["step"]).to_numpy()
    return table


def _fixed(values: list[Any]) -> list[Any]:
    """A column of a layout: shapes are tuples again, a depth that is not known is NaN."""
    known = [math.nan if value is None else value for value in values]
    return [tuple(value) if isinstance(value, list) else value for value in known]
