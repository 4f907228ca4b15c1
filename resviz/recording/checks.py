"""What a recording refuses, and how it says so."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from resviz.errors import NonFinite, NotTraceable, ResvizWarning, closest
from resviz.hooks import batch_norms
from resviz.preset import check_network
from resviz.recording.kept import Kept

if TYPE_CHECKING:
    from resviz.recording.recorder import Pass

_FEW = 8


def check_hookable(net: object) -> None:
    """Raise where hooks would not fire: scripted and compiled networks."""
    check_network("record", net)
    for path, module in net.named_modules():  # type: ignore[attr-defined]
        where = f"{path!r} in the network" if path else "the network"
        if isinstance(module, torch.jit.ScriptModule):
            raise NotTraceable(
                f"record: {where} is a TorchScript module, which hides what it computes; the "
                "Python module it was made from would be right."
            )
        compiled = type(module).__name__ == "OptimizedModule"
        if compiled or getattr(module, "_compiled_call_impl", None) is not None:
            raise NotTraceable(
                f"record: {where} is compiled, and hooks do not fire in compiled code; the network "
                "as it was before torch.compile would be right. "
                + ("Pass net._orig_mod." if compiled else "Load it again without .compile().")
            )


def check_images(net: nn.Module, images: object) -> tuple[Tensor, ...]:
    """The inputs as a tuple, on the device of the network.

    Raises:
        TypeError: no tensors.
        ValueError: no images.
    """
    inputs = tuple(images) if isinstance(images, tuple | list) else (images,)
    for tensor in inputs:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"record: images are a {type(tensor).__name__}; a tensor (N, 3, H, W). "
                "rv.load_images makes one from pictures."
            )
        if tensor.ndim == 0 or len(tensor) == 0:
            raise ValueError(f"record: images of shape {tuple(tensor.shape)}; at least one.")
    if not inputs:
        raise ValueError("record: no images; a tensor (N, 3, H, W).")
    device = next((p.device for p in net.parameters()), inputs[0].device)
    return tuple(tensor.to(device) for tensor in inputs)


def check_first_call(module: nn.Module, args: tuple[Any, ...], inputs: Sequence[Tensor]) -> None:
    """Raise ValueError where the first convolution gets images that it cannot take."""
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or not args:
        return
    if any(args[0] is images for images in inputs):
        _check_convolution(module, args[0])


def _check_convolution(first: nn.Conv1d | nn.Conv2d | nn.Conv3d, images: Tensor) -> None:
    dimensions = len(first.kernel_size) + 2
    names = "NCDHW" if dimensions == 5 else "NCHW" if dimensions == 4 else "NCL"
    shape = f"({', '.join([names[0], str(first.in_channels), *names[2:]])})"
    if images.ndim == dimensions - 1:
        raise ValueError(
            f"record: images of shape {tuple(images.shape)}; {shape} would be right. For a single "
            "image: images[None]."
        )
    if images.ndim != dimensions or images.shape[1] != first.in_channels:
        raise ValueError(
            f"record: images of shape {tuple(images.shape)}; {shape} would be right. "
            "rv.load_images(..., net) makes them."
        )


def check_batch_stats(net: nn.Module, inputs: Sequence[Tensor], batch_stats: bool) -> None:
    """Warn where batch statistics come from a few images, or where nothing uses them."""
    if not batch_stats:
        return
    if not batch_norms(net):
        message = "record: batch_stats=True in a network without BatchNorm changes nothing."
    elif len(inputs[0]) < _FEW:
        message = (
            f"record: batch statistics of {len(inputs[0])} images; {_FEW} or more would be right: "
            "means and variances of so few are noise."
        )
    else:
        return
    warnings.warn(message, ResvizWarning, stacklevel=3)


def check_finite(layers: pd.DataFrame) -> None:
    """Raise NonFinite, naming the first layer whose output holds NaN or infinity."""
    finite = np.isfinite(layers[["mean", "min", "max"]].to_numpy(dtype=float)).all(axis=1)
    wrong = layers[~finite & (layers["shape"].map(np.prod) > 0)]
    if len(wrong):
        first = wrong.iloc[0]
        raise NonFinite(
            f"record: {len(wrong)} of {len(layers)} rows hold NaN or infinity, first the output of "
            f"{first['layer']!r} (call {first['call']}); finite activations would be right. "
            "allow_nonfinite=True records them all the same."
        )


def check_kept(kept: Kept, layers: pd.DataFrame, seen: Pass) -> None:
    """Raise ValueError where a tensor asked for never was."""
    additions: list[Any] = [row["addition"].name for row in seen.additions]
    for key in sorted(kept.wanted - set(kept.found)):
        path, _, part = key.partition(":")
        if part and part != "grad" and path not in additions:
            raise ValueError(
                f"record: no residual addition {path!r}; there are {len(additions)}, closest: "
                f"{closest(path, additions) or 'none'}. See Recording.residuals."
            )
        if part.startswith("grad"):
            raise ValueError(
                f"record: the loss sends no gradient to {path!r}; a layer that reaches the "
                "output would be right."
            )
        raise ValueError(
            f"record: layer {path!r} never ran on these images; closest of those that did: "
            f"{closest(path, layers['layer'])}. See rv.list_layers(net)."
        )
