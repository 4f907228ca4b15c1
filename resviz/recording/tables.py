"""The tables of a recording, from what a pass left on the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.networks.anatomy import structure
from resviz.recording.seen import LayerRow, Number, Seen
from resviz.recording.split import NAMES as SPLIT_NAMES
from resviz.recording.split import reason_of, split_columns
from resviz.recording.statistics import NAMES, read, sums_of_squares, widest
from resviz.torch_private import norms

LAYER_COLUMNS = (
    *("layer", "call", "type", "kind", "depth", "stage", "block", "shape", "axes"),
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
    *("parameter", "layer", "type", "depth", "stage", "weighted", "projection", "shape"),
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
    stages = structure.stages([row.layer for row in rows], shapes, axes)
    table = []
    for i, (row, stage) in enumerate(zip(rows, stages, strict=True)):
        *statistics, grad_ms = numbers[i * width : (i + 1) * width]
        place = {"stage": stage, "block": structure.block_of(row.layer, paths)}
        table.append(_layer(row, grad_ms) | place | row.measured.named(statistics))
    return pd.DataFrame(table, columns=list(LAYER_COLUMNS))


def _layer(row: LayerRow, grad_ms: float) -> dict[str, Any]:
    grad_rms = math.sqrt(grad_ms) if grad_ms >= 0 else math.nan
    known: dict[str, Any] = {"layer": row.layer, "call": row.call, "type": row.type}
    known |= {"kind": row.kind, "depth": row.depth, "shape": row.shape}
    known["axes"] = row.axes
    return known | {
        "grad_rms": grad_rms,
        "grad_norm": grad_rms * math.sqrt(math.prod(row.shape)),
    }


def residuals(seen: Seen, layer_table: pd.DataFrame) -> pd.DataFrame:
    """A row per residual addition."""
    stage_of = dict(zip(layer_table["layer"], layer_table["stage"], strict=True))
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
    return pd.DataFrame(table, columns=list(RESIDUAL_COLUMNS))


def _sizes(branch: float, shortcut: float, product: float, total: float) -> dict[str, float]:
    scale = math.sqrt(branch * shortcut)
    return {
        "branch_rms": math.sqrt(branch),
        "shortcut_rms": math.sqrt(shortcut),
        "sum_rms": math.sqrt(total),
        "ratio": math.sqrt(branch / shortcut) if shortcut > 0 else math.nan,
        "cosine": product / scale if scale > 0 else math.nan,
    }


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
    net: nn.Module, seen: Seen, layer_table: pd.DataFrame, grads: dict[str, Tensor | None] | None
) -> pd.DataFrame:
    """A row per parameter; `grads` are those of the mean loss, None for a forward pass alone."""
    named = list(net.named_parameters())
    modules = dict(net.named_modules())
    stage_of = dict(zip(layer_table["layer"], layer_table["stage"], strict=True))
    depth_of = dict(zip(layer_table["layer"], layer_table["depth"], strict=True))
    norms = _norms([p for _, p in named])
    grad_norms = _norms([(grads or {}).get(name) for name, _ in named])
    numbers = read([*norms, *grad_norms])
    table = []
    for i, (name, parameter) in enumerate(named):
        owner = name.rpartition(".")[0]
        depth = seen.parameter_depths.get(id(parameter), depth_of.get(owner, math.nan))
        known: dict[str, Any] = {
            "parameter": name,
            "layer": owner,
            "type": type(modules[owner]).__name__,
        }
        known |= {"depth": depth, "stage": _stage(owner, stage_of)}
        known |= {"weighted": id(parameter) in seen.weights}
        known |= {"projection": owner in seen.projections, "shape": tuple(parameter.shape)}
        known |= {"norm": numbers[i], "grad_norm": numbers[len(named) + i]}
        table.append(known)
    return pd.DataFrame(table, columns=list(PARAMETER_COLUMNS))


def _norms(tensors: Sequence[Tensor | None]) -> list[Number]:
    """L2 norms of parameters or gradients, NaN for None; on a GPU one fused call per dtype."""
    result: list[Number] = [math.nan] * len(tensors)
    alone: list[int] = []
    groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for i, tensor in enumerate(tensors):
        if tensor is None or not tensor.numel() or not _has_norm(tensor):
            continue
        if tensor.device.type == "cpu" or not _is_plain(tensor):  # `norms` sums in float32 there
            alone.append(i)
        else:
            groups.setdefault((tensor.device, tensor.dtype), []).append(i)
    chosen = [t for i in alone if (t := tensors[i]) is not None]
    for i, total in zip(alone, sums_of_squares(chosen), strict=True):
        result[i] = total**0.5
    for members in groups.values():
        chosen = [t.detach() for i in members if (t := tensors[i]) is not None]
        for i, norm in zip(members, norms(chosen, widest(chosen[0])), strict=True):
            result[i] = norm
    return result


def _has_norm(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.is_floating_point()
