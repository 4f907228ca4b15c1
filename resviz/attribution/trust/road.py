"""ROAD: removal by imputation, so that the hole itself gives nothing away.

Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution Methods", arXiv
2202.00449, section 4 and Appendix C, https://arxiv.org/abs/2202.00449.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resviz.attribution.scoring import as_variant
from resviz.attribution.trust.removal import Series

_NOISE = 0.01

Array = np.ndarray[Any, np.dtype[Any]]


def road_series(
    picture: Tensor, ranks: Tensor, percentages: Sequence[float], seed: int
) -> dict[str, Series]:
    """Pictures without their most and without their least relevant pixels: "morf" and "lerf".

    Args:
        picture: (C, H, W).
        ranks: (H, W), 0 for the most relevant pixel.
        percentages: of the pixels, each strictly between 0 and 100.
        seed: of the noise, which is the same in all of them.
    """
    total = ranks.numel()
    counts = [round(total * share / 100) for share in percentages]
    random = torch.Generator().manual_seed(seed)
    noise = _NOISE * torch.randn(picture.shape, generator=random, dtype=torch.float64)

    def without(most: bool) -> Iterator[Tensor]:
        for count in counts:
            gone = ranks < count if most else ranks >= total - count
            yield imputed(picture, gone, noise)

    return {
        "morf": Series(len(counts), lambda: without(True)),
        "lerf": Series(len(counts), lambda: without(False)),
    }


def road_score(morf: Tensor, lerf: Tensor) -> Tensor:
    """Mean over the percentages of the score without the least less that without the most relevant.

    0 is what a random order gives on average, larger is better.
    """
    return (lerf - morf).mean(0)


def imputed(picture: Tensor, gone: Tensor, noise: Tensor | float = 0.0) -> Tensor:
    """Noisy linear imputation: each missing pixel is the weighted mean of its eight neighbours.

    x_ij = sum_n w_n x_n, w = 1/6 for direct and 1/12 for diagonal neighbours, some of which are
    missing themselves: one sparse linear system (section 4.2), solved directly and for all
    colours at once. At the edge the mean is over the neighbours that there are. A sample of a
    signal has two neighbours; a pixel of a clip those of its own frame, and of the frames before
    and after it the same pixel and, as diagonal ones, the four next to that.

    Args:
        picture: (C, H, W); (C, L) of a signal, (K,) of a waveform, (C, t, H, W) of a clip.
        gone: (H, W), True for pixels to replace; not all of them.
        noise: what is added to the replaced pixels, so that they can not be told by smoothness.

    Example:
        >>> hole = torch.zeros(3, 3, dtype=torch.bool)
        >>> hole[1, 1] = True
        >>> imputed(torch.arange(9.0).view(1, 3, 3), hole)[0, 1, 1]
        tensor(4.)
    """
    if not bool(gone.any()):
        return picture.clone()
    if picture.ndim == gone.ndim:
        return imputed(picture[None], gone, noise)[0]
    values = picture.detach().double().cpu().flatten(1)
    holes = gone.cpu().numpy()
    solved = torch.from_numpy(_solve(holes, values.numpy()))
    missing = torch.from_numpy(holes.ravel())
    spread = torch.as_tensor(noise, dtype=torch.float64).expand(picture.shape).flatten(1)
    values = values.clone()
    values[:, missing] = solved + spread[:, missing]
    return as_variant(values.view(picture.shape), picture)


def _solve(holes: Array, values: Array) -> Array:
    """(C, missing) of (C, H W)."""
    from scipy.sparse.linalg import splu

    matrix, right = _equations(holes, values)
    # the matrix is symmetric and diagonally dominant: no pivoting, an order made for symmetry
    factors = splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return factors.solve(right).T


def _neighbours(axes: int) -> dict[tuple[int, ...], float]:
    """Steps to the neighbours along one axis, and along two of half their weight; 1 in all."""
    steps = [s for s in product((-1, 0, 1), repeat=axes) if 1 <= np.count_nonzero(s) <= 2]
    weights = {step: 2.0 if np.count_nonzero(step) == 1 else 1.0 for step in steps}
    return {step: weight / sum(weights.values()) for step, weight in weights.items()}


def _equations(holes: Array, values: Array) -> tuple[Any, Array]:
    """The sparse matrix (missing, missing), and the right side (missing, C)."""
    from scipy.sparse import csc_matrix

    missing = np.flatnonzero(holes)
    number = np.full(holes.size, -1)
    number[missing] = np.arange(len(missing))
    place = np.stack(np.unravel_index(missing, holes.shape))
    total, right = np.zeros(len(missing)), np.zeros((len(missing), len(values)))
    rows, columns, entries = [], [], []
    size = np.array(holes.shape)[:, None]
    for step, weight in _neighbours(holes.ndim).items():
        moved = place + np.array(step)[:, None]
        there = ((moved >= 0) & (moved < size)).all(0)
        total += weight * there
        at = np.ravel_multi_index(tuple(np.where(there, moved, place)), holes.shape)
        unknown = there & holes.ravel()[at]
        given = there & ~unknown
        rows.append(np.flatnonzero(unknown))
        columns.append(number[at[unknown]])
        entries.append(np.full(int(unknown.sum()), -weight))
        right[given] += weight * values[:, at[given]].T
    diagonal = np.arange(len(missing))
    indices = np.concatenate([*rows, diagonal]), np.concatenate([*columns, diagonal])
    matrix = csc_matrix((np.concatenate([*entries, total]), indices), shape=(len(missing),) * 2)
    return matrix, right
