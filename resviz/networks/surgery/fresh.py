"""Weights that are drawn anew, layer by layer, by one rule."""

from __future__ import annotations

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
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for path, module in net.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if own or list(module.buffers(recurse=False)):
                torch.manual_seed(
                    zlib.crc32(f"{seed} {path}".encode())
                )  # its CPU generator reads 32 bits
                unknown += [f"{path}.{name}" for name in _fill_module(module, own, fill)]
                measure_spectral_norm(module, torch.default_generator)
    if unknown:
        warn(
            f"{caller()}: {len(unknown)} parameters have no rule of their own and are drawn from "
            f"N(0, {_UNKNOWN_STD}²): {', '.join(unknown[:3])}{', ...' if unknown[3:] else ''}."
        )
    return net


def _fill_module(
    module: nn.Module, own: dict[str, nn.Parameter], fill: Callable[[Tensor], Tensor | None] | None
) -> list[str]:
    """Fresh parameters and buffers; returns the names of those without a rule."""
    reset = reset_of(module)
    before = {name: parameter.clone() for name, parameter in own.items()}
    if reset is not None:
        device = next(iter(own.values()), torch.empty(0)).device
        with device:  # draws on the device that holds them
            reset()
    elif hasattr(module, "running_mean") and hasattr(module, "running_var"):  # frozen BatchNorm
        for name, buffer in module.named_buffers(recurse=False):
            buffer.fill_(1 if name in ("weight", "running_var") else 0)
    if isinstance(module, _WEIGHTED) and fill is not None and "weight" in own:
        drawn = torch.empty(own["weight"].shape)
        fill(drawn)
        own["weight"].copy_(drawn)
        if "bias" in own:
            own["bias"].zero_()
    left = [name for name, p in own.items() if reset is None or _is_old(p, before[name])]
    for name in left:
        own[name].copy_(torch.randn(own[name].shape) * _UNKNOWN_STD)
    return left


def _is_old(parameter: Tensor, before: Tensor) -> bool:
    """True for a parameter that a reset left as it was, and not at all zeros or all ones."""
    same = bool((parameter == before).all())
    return same and not bool((parameter == 0).all() or (parameter == 1).all())
