"""Whether a network is still the one that was measured: its weights, modules, hooks, settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resviz.hooks import hung_on
from resviz.torch_private import modules_of, versions_of

_SAMPLE = 64  # values of each tensor
_PLAIN = {bool, int, float, str, type(None)}


def state_of(net: Any) -> tuple[object, ...]:
    """Changes when a weight does: where each tensor lies, how often it was written to, a sample.

    torch does not count what is written by way of ``.data``, or to a tensor that was made under
    ``inference_mode``: hence the sample, which an average of weights or a sign changes.
    It changes, too, with what the modules are, what is hung on them and how they are set.
    """
    tensors = [*net.parameters(), *net.buffers()]
    versions = versions_of(tensors)
    modules = tuple(_state_of_module(path, each) for path, each in modules_of(net).items())
    return tuple((t.data_ptr(), versions[id(t)]) for t in tensors), _sampled(tensors), modules


def _state_of_module(path: str, module: nn.Module) -> tuple[object, ...]:
    """Modes are left out: every pass sets them."""
    settings = [
        (name, value)
        for name, value in vars(module).items()
        if name != "training" and name[0] != "_" and _is_setting(value)
    ]
    return path, id(module), type(module), hung_on(module), repr(settings)


def _is_setting(value: object) -> bool:
    """True for a number, a switch or a name, and a tuple of those: a stride."""
    return type(value) in _PLAIN or (isinstance(value, tuple) and set(map(type, value)) <= _PLAIN)


def _sampled(tensors: Sequence[Tensor]) -> bytes:
    """Some values of each tensor, equally far apart in memory."""
    found: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    with torch.no_grad():
        for tensor in tensors:
            plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided
            if plain and tensor.numel() and not (tensor.is_meta or tensor.is_quantized):
                flat = _flat(tensor.detach())
                step = max(1, flat.numel() // _SAMPLE)
                found.setdefault((flat.device, flat.dtype), []).append(flat[::step])
        samples = [torch.cat(each).cpu().view(torch.uint8) for each in found.values()]
        return b"".join(each.numpy().tobytes() for each in samples)


def _flat(tensor: Tensor) -> Tensor:
    """(numel,), in the order of its memory: no copy where it fills it, channels last or not."""
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    return tensor.permute(order).reshape(-1)
