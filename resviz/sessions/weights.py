"""Whether a network is still the one that was measured: its weights, and what was done to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resviz.networks.surgery.copies import copied
from resviz.torch_private import versions_of

_SAMPLE = 64  # values of each tensor


def lasting(net: Any) -> Any:
    """The network; of one inside ``drop_blocks`` or ``scale_branches`` a copy.

    A view outlives that block, after which the network is another one.
    """
    return copied(net) if getattr(net, "resviz_changes", ()) else net


def state_of(net: Any) -> tuple[object, ...]:
    """Changes when a weight does: where each tensor lies, how often it was written to, a sample.

    torch does not count what is written by way of ``.data``, or to a tensor that was made under
    ``inference_mode``: hence the sample, which an average of weights or a sign changes.
    """
    tensors = [*net.parameters(), *net.buffers()]
    versions = versions_of(tensors)
    return tuple((t.data_ptr(), versions[id(t)]) for t in tensors), _sampled(tensors)


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
