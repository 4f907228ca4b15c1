"""What a recording refuses, and how it says so."""

from __future__ import annotations

import numpy as np
import pandas as pd
from torch import nn

from resviz.arguments import caller
from resviz.errors import NonFinite, closest, warn
from resviz.given import Inputs
from resviz.hooks import batch_norms
from resviz.networks.inputs import check_differentiable, dynamic_int8
from resviz.recording.kept import Kept
from resviz.recording.seen import Seen

_FEW = 8


def check_batch_stats(net: nn.Module, inputs: Inputs, batch_stats: bool) -> None:
    """Warn where batch statistics come from a few images, or where nothing uses them.

    Raises:
        TypeError: it is neither True nor False, as where labels stand in its place.
    """
    if not isinstance(batch_stats, bool | np.bool_):
        raise TypeError(
            f"{caller()}: batch_stats is a {type(batch_stats).__name__}; True or False would be "
            "right: BatchNorm on this batch's statistics, or on its running ones."
        )
    if not batch_stats:
        return
    if not batch_norms(net):
        message = f"{caller()}: batch_stats=True in a network without BatchNorm changes nothing."
    elif inputs.count < _FEW:
        message = (
            f"{caller()}: batch statistics of {inputs.count} images; {_FEW} or more would be "
            "right: means and variances of so few are noise."
        )
    else:
        return
    warn(message)


def check_gradients(net: nn.Module) -> None:
    """Refuse parameters made under inference mode; warn where no gradient comes through int8."""
    check_differentiable(net, "record with gradients=False")
    stop = dynamic_int8(net)
    if stop is not None:
        warn(
            f"{caller()}: {stop!r} computes in int8 (dynamic quantisation), which has no "
            "derivative: gradients of what it is computed from are NaN. gradients=False records "
            "the forward pass alone."
        )


def check_finite(layers: pd.DataFrame) -> None:
    """Raise NonFinite, naming the first layer whose output holds NaN or infinity."""
    columns = [layers[name].to_numpy(dtype=float) for name in ("mean", "min", "max")]
    finite = np.isfinite(columns).all(axis=0)
    if finite.all():
        return
    wrong = layers[~finite]
    wrong = wrong[wrong["shape"].map(np.prod).astype(bool)]
    if len(wrong):
        first = wrong.iloc[0]
        raise NonFinite(
            f"{caller()}: {len(wrong)} of {len(layers)} rows hold NaN or infinity, first the "
            f"output of {first['layer']!r} (call {first['call']}); finite activations would be "
            "right. rv.record(..., allow_nonfinite=True) records them all the same."
        )


def check_kept(kept: Kept, layers: pd.DataFrame, seen: Seen) -> None:
    """Raise ValueError where a tensor asked for never was."""
    additions = [row.addition for row in seen.additions]
    for key in sorted(kept.wanted - set(kept.found)):
        path, _, part = key.partition(":")
        if part and part != "grad" and path not in additions:
            raise ValueError(
                f"{caller()}: no residual addition {path!r}; there are {len(additions)}, closest: "
                f"{closest(path, additions) or 'none'}. See Recording.residuals."
            )
        if part.startswith("grad"):
            raise ValueError(
                f"{caller()}: the loss sends no gradient to {path!r}; a layer that reaches the "
                "output would be right."
            )
        raise ValueError(
            f"{caller()}: layer {path!r} never ran on these images; closest of those that did: "
            f"{closest(path, layers['layer'])}. See rv.list_layers(net)."
        )
