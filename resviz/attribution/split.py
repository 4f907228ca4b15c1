"""A residual block's Grad-CAM, divided into what came through the branch and the shortcut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.attribution.engine import Captured
from resviz.attribution.layer import Layer, key_of
from resviz.attribution.places import axes_of
from resviz.attribution.weighted_sum import weighted_sum
from resviz.given import Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy.additions import Addition
from resviz.networks.anatomy.dataflow import Dataflow, Frame
from resviz.networks.anatomy.walk import Walk
from resviz.networks.outputs import widened

_SAME = 1e-5  # of the output's rms


@dataclass(frozen=True, eq=False)
class Split:
    """Grad-CAM before its ReLU as a sum: what the branch brought, what the shortcut brought.

    With w_k the channel weights at the block's output and m = 1[sum > 0] (1 everywhere where no
    ReLU follows the addition): sum_k w_k A_k = sum_k w_k m branch_k + sum_k w_k m shortcut_k.

    Attributes:
        maps: (layer, "branch" or "shortcut") to (N, T, h, w), signed.
        table: a row per layer, image and target: layer, addition, kind (identity | projection |
            padded | scaled), image, target, branch and shortcut (sums of the two maps over the
            positions), branch_share (branch over both), branch_rms, shortcut_rms, ratio (branch
            over shortcut, of the tensors), grad_norm (L2 norm of the score's gradient at the
            block's output, class tokens too).
    """

    maps: Mapping[tuple[str, str], Tensor] = field(default_factory=dict)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass
class _Parts:
    addition: Addition
    branch: Tensor
    shortcut: Tensor
    output: Tensor


def split(
    net: nn.Module,
    inputs: Inputs,
    seen: Captured,
    columns: int,
    batch_stats: bool = False,
) -> Split:
    """The split at every layer of a capture that is the output of a residual block.

    Args:
        net: the network; run once more, without gradients.
        inputs: those of the capture.
        seen: the capture, with gradients.
        columns: how many of its gradients belong to targets.
        batch_stats: BatchNorm as it was in the capture.

    Raises:
        ValueError: none of the layers is the output of a residual block.
    """
    found = _parts(net, inputs, list(seen.activations), batch_stats)
    if not found:
        named = ", ".join(key_of(x) for x in seen.activations)
        got = f"none of {named} ends in a residual addition" if named else "no layer is explained"
        raise ValueError(
            f"{caller()}: split=True, and {got}; block outputs would be right: layers='blocks'."
        )
    maps: dict[tuple[str, str], Tensor] = {}
    rows: list[dict[str, Any]] = []
    for layer, parts in found.items():
        gradients = seen.gradients[layer][:columns]
        reading = seen.readings[layer]
        both = [widened(reading.maps(part)) for part in _masked(parts)]
        for name, part in zip(("branch", "shortcut"), both, strict=True):
            per_target = [weighted_sum(widened(g).mean(axes_of(g)), part) for g in gradients]
            maps[key_of(layer), name] = torch.stack(per_target, 1).cpu()
        own = reading.own is not None  # of which only what it shows has an axis of images
        felt = gradients if own else seen.felt[layer][:columns]
        rows += _rows(key_of(layer), parts, felt, maps)
    return Split(maps, pd.DataFrame(rows))


def _masked(parts: _Parts) -> tuple[Tensor, Tensor]:
    """M branch and m shortcut, which add up to the block's output."""
    total = parts.branch + parts.shortcut
    room = _SAME * float(total.double().pow(2).mean().sqrt())
    if float((parts.output - total).abs().max()) <= room:
        return parts.branch, parts.shortcut
    if float((parts.output - total.relu()).abs().max()) <= room:
        mask = (total > 0).to(total.dtype)
        return parts.branch * mask, parts.shortcut * mask
    raise ValueError(
        f"{caller()}: split=True, and {parts.addition.owner!r} gives neither its residual sum nor "
        "the ReLU of it; a block that ends in its addition would be right. Name other layers."
    )


def _rows(
    key: str, parts: _Parts, gradients: Sequence[Tensor], maps: Mapping[tuple[str, str], Tensor]
) -> list[dict[str, Any]]:
    rows = []
    branch_rms, shortcut_rms = (
        part.double().flatten(1).pow(2).mean(1).sqrt().tolist()
        for part in (parts.branch, parts.shortcut)
    )
    for image, (of_branch, of_shortcut) in enumerate(zip(branch_rms, shortcut_rms, strict=True)):
        for column, gradient in enumerate(gradients):
            branch, shortcut = (
                float(maps[key, name][image, column].sum()) for name in ("branch", "shortcut")
            )
            whole = branch + shortcut
            row: dict[str, Any] = {
                "layer": key,
                "addition": parts.addition.name,
                "kind": parts.addition.kind,
            }
            row |= {"image": image, "target": column, "branch": branch, "shortcut": shortcut}
            row |= {"branch_share": branch / whole if whole else float("nan")}
            row |= {"branch_rms": of_branch, "shortcut_rms": of_shortcut}
            row |= {"ratio": of_branch / of_shortcut if of_shortcut else float("inf")}
            rows.append(row | {"grad_norm": float(gradient[image].float().norm())})
    return rows


def _parts(
    net: nn.Module, inputs: Inputs, layers: Sequence[Layer], batch_stats: bool
) -> dict[Layer, _Parts]:
    """The last residual addition inside each layer that is a block, and the layer's output.

    A stage counts as its last block.
    """
    last: dict[str, tuple[Addition, Tensor, Tensor]] = {}
    found: dict[Layer, _Parts] = {}
    wanted = set(layers)

    def adding(addition: Addition, branch: Tensor, shortcut: Tensor) -> None:
        for frame in walk.running:
            last[frame.path] = (addition, branch.detach().clone(), shortcut.detach().clone())

    def left(frame: Frame, output: Any) -> None:
        layer, addition = (frame.path, frame.call), last.pop(frame.path, None)
        if layer in wanted and addition is not None and isinstance(output, Tensor):
            found[layer] = _Parts(*addition, output.detach().clone())

    flow = Dataflow(adding)
    with left_as_found(net, batch_stats=batch_stats) as hooks:
        walk = Walk(net, hooks, left=left)
        walk.run(inputs.copies(), flow)
    flow.end()
    return {layer: p for layer in layers if (p := found.get(layer)) and p.addition.residual}
