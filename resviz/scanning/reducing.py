"""The maps of one batch, reduced to a few numbers for each image and channel.

On a CPU in as few reads of the maps as there are: sums, norms, maxima, minima and signs along the
last axis, each about the cost of ``sum``; ``var_mean`` and ``count_nonzero`` take ten to forty
times as long there. Rows of at most 4096 keep float32 norms exact to 1e-7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resviz.recording.statistics import dense, widest

_ROW = 4096
_LEAST, _MOST = 1e-30, 1e30  # mean squares that float32 holds to its last digit
_CLOSE = 0.05  # a variance below this part of the mean square is taken about the mean


@dataclass(frozen=True, eq=False)
class Reduced:
    """What is left of the maps of N images in C channels, still on their device.

    Attributes:
        positions: how many each map has.
        width: of the maps.
        total: (N, C) sums.
        spread: (N, C) sums of squares about each map's own mean.
        high: (N, C) maxima.
        low: (N, C) minima.
        zeros: (N, C) exact zeros.
        place: (N, C) where the maximum is, counted row by row; None where only some were looked up.
    """

    positions: int
    width: int
    total: Tensor
    spread: Tensor
    high: Tensor
    low: Tensor
    zeros: Tensor
    place: Tensor | None = None


def as_maps(x: Tensor, axes: str) -> tuple[Tensor, int, int]:
    """(maps, axis of positions, width): (N, C, P) or (N, P, C), whichever needs no copy.

    Example:
        >>> maps, axis, width = as_maps(torch.zeros(2, 3, 4, 5), "NCHW")
        >>> tuple(maps.shape), axis, width
        ((2, 3, 20), 2, 5)
    """
    x = dense(x.detach())
    x = x if x.dtype in (torch.float32, torch.float64) else x.float()
    if x.ndim == 2:
        return x.unsqueeze(2), 2, 1
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    if axes[1] == "C" and last and not x.is_contiguous():
        x, axes = x.permute(0, 2, 3, 1), "NHWC"
    if axes[1] == "C":
        return x.flatten(2), 2, x.shape[-1]
    return x.flatten(1, -2), 1, x.shape[-2]


def reduce(maps: Tensor, axis: int, width: int) -> Reduced:
    """The numbers of maps that :func:`as_maps` gave. No sync on a GPU.

    Example:
        >>> found = reduce(*as_maps(torch.tensor([[[[0.0, 3.0], [1.0, 4.0]]]]), "NCHW"))
        >>> float(found.total), round(float(found.spread), 5), float(found.zeros)
        (8.0, 10.0, 1.0)
    """
    return (_on_cpu if maps.device.type == "cpu" else on_device)(maps, axis, width)


def on_device(maps: Tensor, axis: int, width: int) -> Reduced:
    """By torch's own reductions, which are fast on a GPU; every maximum with its place."""
    positions = maps.shape[axis]
    variance, mean = torch.var_mean(maps, axis, correction=0)
    high, place = maps.max(axis)
    zeros = positions - torch.count_nonzero(maps, axis)
    low, total, spread = maps.amin(axis), mean * positions, variance * positions
    return Reduced(positions, width, total, spread, high, low, zeros, place)


def _on_cpu(maps: Tensor, axis: int, width: int) -> Reduced:
    positions = maps.shape[axis]
    if positions == 1:
        one = maps.squeeze(axis)
        return Reduced(1, 1, one, torch.zeros_like(one), one, one, (one == 0).to(one.dtype))
    high, low = maps.amax(axis), maps.amin(axis)
    total, spread = _moments(maps, axis)
    return Reduced(positions, width, total, spread, high, low, _zeros(maps, axis, low))


def _moments(maps: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Sums, and sums of squares about the means; about the mean itself where that is large."""
    total, squares = maps.sum(axis).double(), _squares(maps, axis)
    spread = squares - total.square() / maps.shape[axis]
    if bool((spread.sum(0) > _CLOSE * squares.sum(0)).all()):
        return total, spread
    wide = maps.double()
    total = wide.sum(axis)
    return total, _squares(wide - (total / maps.shape[axis]).unsqueeze(axis), axis)


def _squares(maps: Tensor, axis: int) -> Tensor:
    """(N, C) sums of squares, in float64."""
    long = maps.shape[axis]
    if axis == 1 or long <= _ROW or maps.dtype == torch.float64:
        return torch.linalg.vector_norm(maps, dim=axis).double().square_()
    parts = -(-long // _ROW)
    whole = long - long % parts
    rows = maps[..., :whole].reshape(*maps.shape[:2], parts, -1)
    norms = torch.linalg.vector_norm(rows, dim=3).double().square_().sum(2)
    return norms + torch.linalg.vector_norm(maps[..., whole:], dim=2).double().square_()


def _zeros(maps: Tensor, axis: int, low: Tensor) -> Tensor:
    least = float(low.amin())
    if least > 0:
        return torch.zeros_like(low)
    sign = torch.sign(maps)
    if least < 0:
        sign.abs_()
    if axis == 1:
        return maps.shape[axis] - sign.sum(axis)
    return maps.shape[axis] - sign @ sign.new_ones(maps.shape[axis])


def places_of(
    maps: Tensor, axis: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where the maximum of some maps on a CPU is: of image rows[i, j] in channel columns[j]."""
    images = torch.from_numpy(rows)
    channels = torch.from_numpy(columns).expand(images.shape)
    chosen = maps[images, channels] if axis == 2 else maps[images, :, channels]
    return chosen.numpy().argmax(-1)


def norms_of(rows: Tensor) -> Tensor:
    """(N,) L2 norms of the rows of (N, M), in float64. No sync on a GPU.

    Example:
        >>> norms = norms_of(torch.tensor([[3.0, 4.0], [3e-30, 4e-30]]))
        >>> [f"{norm:.3g}" for norm in norms.tolist()]
        ['5', '5e-30']
    """
    wide = widest(rows)
    if rows.device.type != "cpu":
        return torch.linalg.vector_norm(rows, dim=1, dtype=wide)
    rows = rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
    norms = torch.linalg.vector_norm(rows, dim=1).to(wide)
    again = lost(norms.square() / rows.shape[1])
    norms[again] = torch.linalg.vector_norm(rows[again], dim=1, dtype=wide)
    return norms


def lost(mean_squares: Tensor) -> Tensor:
    """Which of these float32 may have made 0, or infinity. float64 at once takes 30 times as long.

    Example:
        >>> lost(torch.tensor([1.0, 0.0, torch.inf])).tolist()
        [False, True, True]
    """
    return ~((mean_squares.abs() > _LEAST) & (mean_squares.abs() < _MOST))
