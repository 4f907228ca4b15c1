"""`read_runs`: everything that `explore_gradients` takes, as one list of runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from resviz.analysis.flow import GradientFlow, growth_words
from resviz.training.compare.comparison import TrainComparison
from resviz.training.recorder.record import TrainingRecord
from resviz.views.figures.curves import about, as_tables, kind_of, table_of
from resviz.views.figures.quantities import QUANTITIES, Quantity

Frames = dict[str, list[pd.DataFrame]]

CALLER = "explore_gradients"  # its public name
KINDS = {"parameters": "weights", "layers": "activations", "residuals": "residual additions"}
_MOST_STEPS = 200
OWN = {"grad_norm_used": Quantity("Weight gradients as used", "L2 norm, after clipping", True)}


@dataclass(frozen=True)
class Run:
    """One network in one BatchNorm mode at one moment: its tables by kind, one per seed.

    `dated`: the caller gave the step; a table alone stands at 0.
    """

    network: str
    mode: bool | None
    step: int
    tables: Frames
    about: Mapping[str, Any]
    dated: bool = False


def read_runs(tables: Any) -> tuple[list[Run], list[str], str]:
    """The runs, sentences to print below the chart, and what a step is called."""
    if isinstance(tables, GradientFlow):
        return _of_flow(tables), growth_words(tables.growth), "step"
    if isinstance(tables, TrainComparison):
        return _of_comparison(tables), [], "epoch"
    if isinstance(tables, TrainingRecord):
        name = str(tables.provenance.get("network", "network"))
        return list(_of_training(name, tables)), [], "step"
    if isinstance(tables, Mapping):
        runs = [run for name, each in tables.items() for run in _of_entry(str(name), each)]
        if runs:
            return runs, [], "step"
    return _of_tables(tables, 0), [], "step"


def _of_entry(name: str, each: Any) -> list[Run]:
    if isinstance(each, TrainingRecord):
        return list(_of_training(name, each))
    if not isinstance(each, Mapping):
        return _of_tables({name: each}, 0)
    wrong = [s for s in each if not isinstance(s, (int, np.integer)) or isinstance(s, bool)]
    if wrong or not each:
        raise TypeError(
            f"{CALLER}: step {wrong[0] if wrong else None!r} of {name!r}; whole numbers would be "
            "right: {0: table, 100: table}."
        )
    return [
        replace(run, dated=True)
        for step, one in each.items()
        for run in _of_tables({name: one}, int(step))
    ]


def _of_tables(tables: Any, step: int) -> list[Run]:
    """Tables of one network and BatchNorm mode are seeds of one line."""
    runs = []
    for name, several in as_tables(tables, CALLER).items():
        modes: dict[Any, list[Any]] = {}
        for table in several:
            mode = about(table).get("batch_stats")
            modes.setdefault(None if mode is None else bool(mode), []).append(table)
        for mode, same in modes.items():
            frames: Frames = {}
            for table in same:
                for kind, frame in _frames(table).items():
                    frames.setdefault(kind, []).append(frame)
            runs.append(Run(name, mode, step, frames, about(same[0])))
    return runs


def _frames(table: Any) -> dict[str, pd.DataFrame]:
    if isinstance(table, pd.DataFrame):
        return {kind_of(table, ""): table}
    found = {}
    for kind in KINDS:
        frame = table_of(table, kind)
        if len(frame):
            found[kind] = frame.copy()
            found[kind].attrs.update({str(k): v for k, v in about(table).items()})
    return found


def _of_flow(flow: GradientFlow) -> list[Run]:
    runs: dict[tuple[Any, ...], Run] = {}
    kinds = {"weights": "parameters", "blocks": "layers", "residuals": "residuals"}
    for table, kind in kinds.items():
        for keys, seeds in flow.runs(table):
            if not isinstance(keys["step"], (int, np.integer)):
                raise TypeError(
                    f"{CALLER}: step {keys['step']!r} of {keys['variant']!r}; whole numbers would "
                    "be right: {0: network, 100: network}."
                )
            key = (keys["variant"], keys["batch_stats"], int(keys["step"]))
            about_run = dict(flow.provenance) | {"batch_stats": keys["batch_stats"]}
            run = runs.setdefault(key, Run(*key, {}, about_run, dated=key[2] != 0))
            run.tables[kind] = seeds
    return list(runs.values())


def _of_comparison(comparison: TrainComparison) -> list[Run]:
    if comparison.gradients.empty:
        raise ValueError(f"{CALLER}: nothing was measured yet; one epoch, or epoch 0, is needed.")
    runs = []
    known = {str(k): v for k, v in comparison.gradients.attrs.items()}
    for _, part in comparison.gradients.groupby(["variant", "epoch"], sort=False):
        seeds = [one.reset_index(drop=True) for _, one in part.groupby("seed", sort=False)]
        for one in seeds:
            one.attrs.update(known)
        name, epoch = part[["variant", "epoch"]].iloc[0]
        runs.append(
            Run(str(name), known.get("batch_stats"), int(epoch), {"parameters": seeds}, known, True)
        )
    return runs


def _of_training(name: str, record: TrainingRecord) -> Iterator[Run]:
    steps = record.steps["step"].tolist()
    if not steps:
        raise ValueError(f"{CALLER}: no step of {name!r} was recorded; at least one is needed.")
    if len(steps) > _MOST_STEPS:  # evenly, the first and the last among them
        chosen = np.unique(np.linspace(0, len(steps) - 1, _MOST_STEPS).round().astype(int))
        steps = [steps[i] for i in chosen]
    for step in steps:
        moment = record.at(step)
        frames = {kind: [frame] for kind, frame in _frames(moment).items()}
        mode = moment.provenance.get("batch_stats")
        words = {k: v for k, v in moment.provenance.items() if k != "step"}
        yield Run(name, None if mode is None else bool(mode), int(step), frames, words, True)


# ---- quantities
def quantities_of(runs: Sequence[Run]) -> dict[str, Quantity]:
    """What some run has numbers of, by table and column: "parameters.grad_norm"."""
    found = {}
    for kind, known in QUANTITIES.items():
        listed = dict(known)
        if kind == "parameters":
            listed = {"grad_norm": known["grad_norm"], **OWN, **known}
        for column, quantity in listed.items():
            if any(has_numbers(run, kind, column) for run in runs):
                found[f"{kind}.{column}"] = quantity
    if not found:
        names = ", ".join(column for known in QUANTITIES.values() for column in known)
        raise ValueError(
            f"{CALLER}: the tables hold none of {names}; tables of rv.gradient_norms, or "
            "recordings, would be right."
        )
    return found


def has_numbers(run: Run, kind: str, column: str) -> bool:
    """Whether every table of the run has a finite number in that column."""
    frames = run.tables.get(kind, [])
    return bool(frames) and all(
        column in frame and bool(np.isfinite(frame[column].to_numpy(dtype=float)).any())
        for frame in frames
    )
