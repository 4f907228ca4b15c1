"""Weights that are drawn anew, layer by layer, by one rule."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.arguments import caller, choice
from resviz.errors import warn
from resviz.networks.zoo.cifar import INITS
from resviz.torch_private import AnyConvolution, measure_spectral_norm, reset_of

_UNKNOWN_STD = 0.02
_WEIGHTED = (AnyConvolution, nn.Linear, nn.Bilinear)  # what `init` is for


def refilled(net: nn.Module, init: str | Callable[[Tensor], Tensor | None], seed: int) -> nn.Module:
    """The network with weights drawn anew by a rule, each layer's by its path and the seed.

    Warns:
        ResvizWarning: parameters that have no rule.
    """
    fill = init if callable(init) else INITS[choice("init", init, INITS, "or a function")]
    seed = arguments.seed(seed, least=None)
    unknown: list[str] = []
    gpus = sorted({p.get_device() for p in net.parameters() if p.is_cuda})
    with torch.no_grad(), torch.random.fork_rng(devices=gpus):
        for path, module in net.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if own or list(module.buffers(recurse=False)):
                _seed(gpus, f"{seed} {path}")
                for name in _fill_module(module, own, fill):
                    _seed(gpus, f"{seed} {path}.{name}")  # whatever stands beside it
                    own[name].copy_(torch.randn(own[name].shape) * _UNKNOWN_STD)
                    unknown.append(f"{path}.{name}")
                measure_spectral_norm(module, torch.default_generator)
    if unknown:
        warn(
            f"{caller()}: {len(unknown)} parameters have no rule of their own and are drawn from "
            f"N(0, {_UNKNOWN_STD}²): {', '.join(unknown[:3])}{', ...' if unknown[3:] else ''}."
        )
    return net


def _seed(gpus: list[int], words: str) -> None:
    """The generators of the processor and of these GPUs, and of no other."""
    number = zlib.crc32(words.encode())  # the processor's reads 32 bits
    torch.default_generator.manual_seed(number)
    for gpu in gpus:
        with torch.cuda.device(gpu):
            torch.cuda.manual_seed(number)


def _fill_module(
    module: nn.Module, own: dict[str, nn.Parameter], fill: Callable[[Tensor], Tensor | None] | None
) -> list[str]:
    """Fresh parameters and buffers; returns the names of those without a rule."""
    reset = reset_of(module)
    before = {name: parameter.clone() for name, parameter in own.items()}
    if reset is not None:
        for parameter in own.values():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.fill_(math.nan)  # what a reset leaves alone is seen by that
        device = next(iter(own.values()), torch.empty(0)).device
        with device:  # draws on the device that holds them
            reset()
    elif hasattr(module, "running_mean") and hasattr(module, "running_var"):  # frozen BatchNorm
        for name, buffer in module.named_buffers(recurse=False):
            buffer.fill_(1 if name in ("weight", "running_var") else 0)
    if isinstance(module, _WEIGHTED) and fill is not None and "weight" in own:
        own["weight"].copy_(_filled(module, own["weight"].shape, fill))
        if "bias" in own:
            own["bias"].zero_()
    if reset is None:
        return list(own)
    left = [name for name, parameter in own.items() if bool(parameter.isnan().any())]
    for name in left:
        own[name].copy_(before[name])
    return [
        name for name in left if not bool((before[name] == 0).all() or (before[name] == 1).all())
    ]


def _filled(
    module: nn.Module, shape: torch.Size, fill: Callable[[Tensor], Tensor | None]
) -> Tensor:
    """A weight by the rule, which reads a fan-in from axis 1.

    A transposed convolution has (in, out / groups, ...) in the place of (out, in / groups, ...).
    """
    if not getattr(module, "transposed", False):
        drawn = torch.empty(shape)
        fill(drawn)
        return drawn
    groups: int = module.groups  # type: ignore[assignment]
    inputs, outputs, *window = shape
    drawn = torch.empty(outputs * groups, inputs // groups, *window)
    fill(drawn)
    apart = drawn.reshape(groups, outputs, inputs // groups, *window)
    return apart.transpose(1, 2).flatten(0, 1)
