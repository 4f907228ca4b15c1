"""Positions: of signals and tokens along one axis, of pictures two, of video three.

Maps (N, T, *positions) and activations (N, C, *positions) have theirs from axis 2 on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from resviz.given import Inputs

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def is_tokens(given: Tensor | Inputs) -> bool:
    """Whether an input is ids (N, T): whole numbers, which no gradient reaches."""
    one = given if isinstance(given, Tensor) else given[given.main]
    return len(given.shape) == 2 and not one.is_floating_point() and not one.is_complex()


def size_of(given: Tensor | Inputs) -> tuple[int, ...]:
    """Positions of an input: (T,) of tokens, (L,) of signals, (H, W), or (T, H, W) of video.

    Of a table or a waveform without channels, (N, K), they are the K numbers.
    """
    return size_in(given.shape)


def size_in(shape: Sequence[int], last: bool = False) -> tuple[int, ...]:
    """The same in a shape, whose channels may come last."""
    if len(shape) == 2:
        return tuple(shape[1:])
    return tuple(shape[1:-1] if last else shape[2:])


def axes_of(maps: Tensor) -> tuple[int, ...]:
    """The axes of the positions."""
    return tuple(range(2, maps.ndim))


def resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, *size) from (N, C, *positions): linear between centres (align_corners=False).

    Example:
        >>> import torch
        >>> resized(torch.tensor([[[0.0, 1.0]]]), (4,))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    return F.interpolate(maps, tuple(size), mode=_MODES[maps.ndim - 2], align_corners=False)
