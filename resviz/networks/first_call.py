"""What the first layer of a network says of the images: one check for all functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller


def check_first_call(
    module: nn.Module,
    args: tuple[Any, ...],
    inputs: Iterable[Tensor],
    given: Iterable[Tensor] | None = None,
) -> None:
    """Raise ValueError or TypeError where the first convolution cannot take the images.

    `given` are those whose shape the user knows, where `inputs` are one image of each.
    """
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or not args:
        return
    if isinstance(args[0], list | tuple | dict):
        kind = "dictionary" if isinstance(args[0], dict) else "list"
        raise TypeError(
            f"{caller()}: images are a {kind}, and {type(module).__name__} gets it as it is; a "
            "tensor (N, C, H, W) would be right: torch.stack(images), or the keywords of the "
            "network's forward."
        )
    for images, whole in zip(inputs, given or inputs, strict=False):  # a list is run by its first
        if args[0] is images:
            _check_convolution(module, images, tuple(whole.shape))


def _check_convolution(
    first: nn.Conv1d | nn.Conv2d | nn.Conv3d, images: Tensor, given: tuple[int, ...]
) -> None:
    dimensions = len(first.kernel_size) + 2
    names = "NCDHW" if dimensions == 5 else "NCHW" if dimensions == 4 else "NCL"
    shape = f"({', '.join([names[0], str(first.in_channels), *names[2:]])})"
    if images.ndim == dimensions - 1:
        raise ValueError(
            f"{caller()}: images of shape {given}; {shape} would be right. For a "
            "single image: images[None]."
        )
    if images.ndim != dimensions or images.shape[1] != first.in_channels:
        raise ValueError(
            f"{caller()}: images of shape {given}; {shape} would be right. "
            "rv.load_images(..., net) makes them."
        )
    dtype = first.weight.dtype
    if images.dtype != dtype and not torch.is_autocast_enabled(images.device.type):
        raise TypeError(
            f"{caller()}: images of {images.dtype} in a network of {dtype}; the same dtype would "
            "be right. rv.load_images(..., net) makes them."
        )
