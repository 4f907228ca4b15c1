"""The tables of a recording, from what a pass left on the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from torch import nn

from resviz.networks.anatomy import structure
from resviz.recording.seen import Seen
from resviz.recording.split import NAMES as SPLIT_NAMES
from resviz.recording.split import reason_of, split_columns
from resviz.recording.statistics import NAMES, Number, read
from resviz.torch_private import modules_of

LAYER_COLUMNS = (
    *("layer", "call", "type", "kind", "depth", "stage", "block", "projection", "gate"),
    *("shape", "axes"),
    *NAMES,
    *("grad_rms", "grad_norm"),
)
RESIDUAL_COLUMNS = (
    *("addition", "block", "call", "kind", "residual", "depth", "stage", "shape"),
    *("branch_rms", "shortcut_rms", "sum_rms", "ratio", "cosine"),
    *("grad_sum_rms", "grad_branch_rms", "grad_shortcut_rms", "grad_cosine", "grad_branch_share"),
    "grad_reason",
)
PARAMETER_COLUMNS = (
    *("parameter", "layer", "type", "depth", "stage", "weighted", "projection", "gate", "shape"),
    *("norm", "grad_norm"),
)


def block_paths(seen: Seen) -> list[str]:
    """The blocks of the network that ran."""
    candidates = [row.layer for row in seen.layers if row.kind == "block"]
    return structure.blocks(candidates, [row.block for row in seen.additions if row.residual])


def layers(seen: Seen) -> pd.DataFrame:
    """A row per leaf-module call and per block output, in order of execution."""
    paths = block_paths(seen)
    chosen = set(paths)
    rows = [row for row in seen.layers if row.kind == "leaf" or row.layer in chosen]
    numbers = read([v for row in rows for v in (*row.measured.values, row.grad_ms)])
    width = len(numbers) // len(rows) if rows else 0
    shapes, axes = [row.shape for row in rows], [row.axes for row in rows]
    owners = {row.block for row in seen.additions if row.residual}
    stages = structure.stages([row.layer for row in rows], shapes, axes, owners)
    table = []
    for i, (row, stage) in enumerate(zip(rows, stages, strict=True)):
        *statistics, grad_ms = numbers[i * width : (i + 1) * width]
        measured = row.measured.columns(statistics)
        block = structure.block_of(row.layer, chosen)
        beside = row.layer in seen.projections, row.layer in seen.gates
        place = (row.layer, row.call, row.type, row.kind, row.depth, stage, block, *beside)
        gradient = _gradient(grad_ms, row.shape)
        table.append((*place, row.shape, row.axes, *measured, *gradient))
    return _table(LAYER_COLUMNS, table)


def _gradient(grad_ms: float, shape: Sequence[int]) -> tuple[float, float]:
    grad_rms = math.sqrt(grad_ms) if grad_ms >= 0 else math.nan
    return grad_rms, grad_rms * math.sqrt(math.prod(shape))


def residuals(seen: Seen, layer_table: pd.DataFrame) -> pd.DataFrame:
    """A row per residual addition."""
    stage_of = _column_of(layer_table, "stage")
    values: list[Number] = []
    for row in seen.additions:
        values += [row.branch.values[2], row.shortcut.values[2], row.product]
        values += [row.sum_ms, row.grad_sum_ms]
        values += [row.split.get(name, math.nan) for name in SPLIT_NAMES]
    numbers = read(values)
    table = []
    for i, row in enumerate(seen.additions):
        branch, shortcut, product, total, grad_sum, *split = numbers[i * 8 : (i + 1) * 8]
        known: dict[str, Any] = {"addition": row.addition, "block": row.block}
        known |= {"call": row.call, "kind": row.kind, "residual": row.residual}
        known |= {"depth": row.depth}
        known |= {"stage": _stage(row.block, stage_of), "shape": row.shape}
        known |= _sizes(branch, shortcut, product, total)
        known |= {"grad_sum_rms": math.sqrt(grad_sum) if grad_sum >= 0 else math.nan}
        known |= split_columns(dict(zip(SPLIT_NAMES, split, strict=True)))
        reason = row.reason() if row.reason is not None else None  # None: not asked for
        known |= {"grad_reason": reason_of(known["grad_branch_share"], reason)}
        table.append(known)
    return _table(RESIDUAL_COLUMNS, [[row[name] for name in RESIDUAL_COLUMNS] for row in table])


def _sizes(branch: float, shortcut: float, product: float, total: float) -> dict[str, float]:
    scale = math.sqrt(branch * shortcut)
    return {
        "branch_rms": math.sqrt(branch),
        "shortcut_rms": math.sqrt(shortcut),
        "sum_rms": math.sqrt(total),
        "ratio": math.sqrt(branch / shortcut) if shortcut > 0 else math.nan,
        "cosine": product / scale if scale > 0 else math.nan,
    }


def _column_of(layer_table: pd.DataFrame, name: str) -> dict[str, Any]:
    """By layer. As lists: to go through a column of strings itself takes ten times as long."""
    return dict(zip(layer_table["layer"].tolist(), layer_table[name].tolist(), strict=True))


def _stage(path: str, stage_of: dict[str, str]) -> str:
    """The stage of a path, or of what is nearest to it."""
    if path in stage_of:
        return stage_of[path]
    while path:
        for layer, stage in stage_of.items():
            if structure.inside(layer, path):
                return stage
        path = path.rpartition(".")[0]
    return ""


def parameters(
    net: nn.Module,
    seen: Seen,
    layer_table: pd.DataFrame,
    norms: Callable[[], Sequence[Number]] | None = None,
    grad_norms: Sequence[Number] | None = None,
    named: Sequence[tuple[str, nn.Parameter]] | None = None,
) -> pd.DataFrame:
    """A row per parameter; norms of all, and of the mean loss's gradients, NaN where not given.

    `norms` are asked for last of all. `named` are the parameters; None: all of the network.
    """
    named = list(net.named_parameters()) if named is None else named
    unsaid = [math.nan] * len(named)
    types = {path: type(module).__name__ for path, module in modules_of(net).items()}
    stage_of, depth_of = (_column_of(layer_table, name) for name in ("stage", "depth"))
    places = []
    for name, parameter in named:
        owner = structure.owner_of(name)
        depth = seen.parameter_depths.get(id(parameter), depth_of.get(owner, math.nan))
        place = (name, owner, types[owner], depth, _stage(owner, stage_of))
        weighted = id(parameter) in seen.weights
        beside = owner in seen.projections, owner in seen.gates
        places.append((*place, weighted, *beside, tuple(parameter.shape)))
    numbers = read([*(norms() if norms is not None else unsaid), *(grad_norms or unsaid)])
    both = zip(numbers[: len(named)], numbers[len(named) :], strict=True)
    table = [(*place, *each) for place, each in zip(places, both, strict=True)]
    return _table(PARAMETER_COLUMNS, table)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Handed over by columns: of rows pandas makes them in several times as long."""
    if not rows:
        return pd.DataFrame([], columns=list(names))
    columns = (list(column) for column in zip(*rows, strict=True))
    return pd.DataFrame(dict(zip(names, columns, strict=True)))
