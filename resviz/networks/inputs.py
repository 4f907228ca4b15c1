"""What goes into a network and comes out: checks that every pass shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.errors import NotTraceable
from resviz.preset import check_network
from resviz.torch_private import (
    ORIGINAL,
    has_compiled_forward,
    is_compiled_in_place,
    is_exported,
    is_inside_vmap,
    is_static_int8,
    is_wrapped_by_compile,
)


def check_hookable(net: object) -> None:
    """Raise where hooks would not fire, or see no tensors: scripted, compiled, exported, int8."""
    check_network(net)
    for path, module in net.named_modules():  # type: ignore[attr-defined]
        where = f"{path!r} in the network" if path else "the network"
        if isinstance(module, torch.jit.ScriptModule):
            raise NotTraceable(
                f"{caller()}: {where} is a TorchScript module, which hides what it computes; the "
                "Python module it was made from would be right."
            )
        compiled = is_wrapped_by_compile(module)
        if compiled or is_compiled_in_place(module):
            raise NotTraceable(
                f"{caller()}: {where} is compiled, and hooks do not fire in compiled code; the "
                "network as it was before torch.compile would be right. "
                + (f"Pass net.{ORIGINAL}." if compiled else "Load it again without .compile().")
            )
        _check_forward(module, where)


def _check_forward(module: nn.Module, where: str) -> None:
    if has_compiled_forward(module):
        raise NotTraceable(
            f"{caller()}: the forward of {where} is compiled, and hooks do not fire in compiled "
            "code; the forward as it was before torch.compile would be right. "
            "Take it back with: del net.forward."
        )
    if is_exported(module):
        raise NotTraceable(
            f"{caller()}: {where} was made by torch.export, which leaves a graph of operators "
            "without modules; the Python module it was made from would be right."
        )
    if is_static_int8(module):
        raise NotTraceable(
            f"{caller()}: {where} is quantised to int8 ({type(module).__name__}), and its "
            "activations are no floating point tensors; the network as it was before "
            "torch.ao.quantization.convert would be right."
        )


def check_differentiable(
    net: nn.Module, instead: str = "take methods without gradients: rv.explanation_methods()"
) -> None:
    """Raise RuntimeError for parameters that were made under ``inference_mode``.

    `instead` is what else the user can do.
    """
    name = next((name for name, p in net.named_parameters() if p.is_inference()), None)
    if name is not None:
        raise RuntimeError(
            f"{caller()}: parameter {name!r} was made under torch.inference_mode and cannot be "
            "differentiated through; a network made outside of it would be right. Load it "
            f"again, or {instead}."
        )


def check_not_inside_vmap(args: tuple[Any, ...], path: str) -> None:
    """Raise NotTraceable where a module runs under ``torch.vmap``: its tensors are no tensors."""
    if args and isinstance(args[0], Tensor) and is_inside_vmap(args[0]):
        raise NotTraceable(
            f"{caller()}: {path!r} runs inside torch.vmap (or torch.func), which hands on tensors "
            "without values of their own; a forward that takes the whole batch at once would be "
            "right."
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
                f"{caller()}: images are a {type(tensor).__name__}; a tensor (N, 3, H, W). "
                "rv.load_images makes one from pictures."
            )
        if tensor.ndim == 0 or len(tensor) == 0:
            raise ValueError(f"{caller()}: images of shape {tuple(tensor.shape)}; at least one.")
    if not inputs:
        raise ValueError(f"{caller()}: no images; a tensor (N, 3, H, W).")
    device = next((p.device for p in net.parameters()), inputs[0].device)
    return tuple(tensor.to(device) for tensor in inputs)


def check_first_call(
    module: nn.Module,
    args: tuple[Any, ...],
    inputs: Sequence[Tensor],
    given: Sequence[Tensor] | None = None,
) -> None:
    """Raise ValueError or TypeError where the first convolution cannot take the images.

    `given` are those whose shape the user knows, where `inputs` are one image of each.
    """
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or not args:
        return
    for images, whole in zip(inputs, given or inputs, strict=True):
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
