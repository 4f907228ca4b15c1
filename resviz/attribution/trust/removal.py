"""Curves of the score while pixels are taken away, or put in, in the order of a map.

Deletion and insertion: Petsiuk et al. 2018, "RISE", arXiv 1806.07421, section 4.1 and Algorithm 1,
https://arxiv.org/abs/1806.07421. Average drop and increase: Chattopadhay et al. 2017, arXiv
1710.11063, section 5.1, https://arxiv.org/abs/1710.11063.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from resviz.attribution import places
from resviz.attribution.scoring import Scorer, as_variant
from resviz.networks.outputs import in_full, widened

_SIGMA = 10 / 224  # of the blur, over the shorter side


@dataclass(frozen=True)
class Series:
    """Variants of one picture, each made when its turn comes.

    Attributes:
        count: how many there are. pictures: gives them, (C, H, W) each.
    """

    count: int
    pictures: Callable[[], Iterator[Tensor]]


def score_series(
    scorer: Scorer, image: int, series: Mapping[Any, Series], what: str
) -> dict[Any, Tensor]:
    """(count, T) scores of each series of variants of an image, float64, on the CPU.

    All series share the passes, `scorer.chunk` pictures in each.
    """
    every = (picture for each in series.values() for picture in each.pictures())

    def chunks() -> Iterator[Tensor]:
        while part := list(islice(every, scorer.chunk)):
            yield torch.stack(part)

    counts = [each.count for each in series.values()]
    scores = scorer.scores(image, chunks(), sum(counts), what, as_probability=True)
    return dict(zip(series, torch.split(scores.double().cpu(), counts), strict=True))


# ---- the order
def resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """(T, *size) from (T, *positions): as `Explanation.upsampled`."""
    return places.resized(maps[None], size)[0]


def ranks_of(values: Tensor) -> Tensor:
    """(H, W), or other positions: the place of each pixel in the order, 0 for the most relevant.

    Most relevant is the largest value with its sign, so what speaks against the target comes last.
    Equal values keep the order of their pixels, row by row from the top left.

    Example:
        >>> ranks_of(torch.tensor([[0.4, 0.3], [0.4, 0.1]]))
        tensor([[0, 2],
                [1, 3]])
    """
    order = values.flatten().argsort(descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device=order.device)
    return ranks.view(values.shape)


def averaged(values: Tensor, segments: int) -> Tensor:
    """(L,): the mean of each of so many equal segments, so that their positions stay together.

    Example:
        >>> averaged(torch.tensor([1.0, 3.0, 5.0, 0.0]), 2)
        tensor([2.0000, 2.0000, 2.5000, 2.5000])
    """
    edges = steps_of(len(values), segments)
    parts = [values[first:last] for first, last in pairwise(edges)]
    return torch.cat([part.mean().expand(len(part)) for part in parts])


def random_ranks(
    count: int,
    grid: tuple[int, ...],
    size: tuple[int, ...],
    seed: int,
    order: Callable[[Tensor], Tensor] = ranks_of,
) -> list[Tensor]:
    """Orders of random maps: uniform noise on a grid, resized as a map of that grid is.

    As coarse and as smooth as the map they stand beside, so that smoothness alone wins nothing.
    """
    random = torch.Generator().manual_seed(seed)
    drawn = resized(torch.rand(count, *grid, generator=random, dtype=torch.float32), size)
    return [order(each) for each in drawn]


def steps_of(pixels: int, steps: int) -> list[int]:
    """How many pixels are gone after each of `steps` equal steps, from 0 to all of them.

    Example:
        >>> steps_of(50, 4)
        [0, 12, 25, 38, 50]
    """
    return [round(pixels * step / steps) for step in range(steps + 1)]


# ---- what takes the place of a pixel
def filled(kind: Any, images: Tensor) -> Tensor:
    """(N, C, H, W) that lends its pixels: "mean", "blur", a number, or a tensor.

    "mean" is 0, the mean colour of pictures as a network wants them. "blur" is the picture behind
    :func:`blurred`. A tensor is one value per channel, or whatever broadcasts to the images. For
    tokens it is a number, the id of the one that takes their place.
    """
    if places.is_tokens(images) and not isinstance(kind, Tensor):
        return torch.full_like(images, int(kind))
    if isinstance(kind, str):
        return torch.zeros_like(images) if kind == "mean" else blurred(images)
    if isinstance(kind, Tensor):
        value = kind.to(images)
        value = per_channel(value, images)
        return value.expand_as(images)
    return torch.full_like(images, float(kind))


def per_channel(value: Tensor, images: Tensor) -> Tensor:
    """One value per channel in the shape of an image; anything else as it is."""
    if value.ndim != 1 or images.ndim == 2:
        return value
    return value.view(-1, *[1] * (images.ndim - 2))


def blurred(images: Tensor) -> Tensor:
    """Pictures behind a Gaussian whose standard deviation is 10/224 of the shorter side.

    Edges are mirrored. That is twice the width of RISE's, behind which a network often still sees
    the object: the curve would begin high and could not rise. A signal is smoothed along its
    length, a clip within each frame.
    """
    result = widened(images)
    axes = [axis for axis in range(1 if images.ndim == 2 else 2, images.ndim)][-2:]
    axes = [axis for axis in axes if images.shape[axis] > 1]
    sigma = _SIGMA * min((images.shape[axis] for axis in axes), default=1)
    for axis in axes:
        side = images.shape[axis]
        reach = min(math.ceil(3 * sigma), side - 1)
        at = torch.arange(-reach, reach + 1, dtype=result.dtype, device=images.device)
        weights = torch.exp(-(at**2) / (2 * sigma**2))
        moved = result.movedim(axis, -1)
        rows = F.pad(moved.flatten(0, -2)[:, None], (reach, reach), mode="reflect")
        with in_full(rows):
            smooth = F.conv1d(rows, (weights / weights.sum())[None, None])
        result = smooth[:, 0].view(moved.shape).movedim(-1, axis)
    return as_variant(result, images)


# ---- curves
def curve_series(
    picture: Tensor, ranks: Tensor, blank: Tensor | None, hidden: Tensor | None, steps: int
) -> dict[str, Series]:
    """The pictures between the ends of the deletion and the insertion curve of an order.

    Args:
        picture: (C, H, W).
        ranks: (H, W), see :func:`ranks_of`.
        blank: what deleted pixels become; None: no deletion.
        hidden: what they are put into; None: no insertion.
        steps: the curves have one point more.
    """
    counts = steps_of(ranks.numel(), steps)[1:-1]
    ranks = ranks.to(picture.device)

    def between(first: Tensor, rest: Tensor) -> Series:
        """The first `count` pixels from the one, the others from the other."""
        return Series(
            len(counts), lambda: (torch.where(ranks < count, first, rest) for count in counts)
        )

    series = {}
    if blank is not None:
        series["deletion"] = between(blank, picture)
    if hidden is not None:
        series["insertion"] = between(picture, hidden)
    return series


def area(curve: Sequence[float]) -> float:
    """Area under a curve over 0..1 by the trapezoid rule.

    Example:
        >>> area([1.0, 0.3, 0.0])
        0.4
    """
    inner = sum(curve) - (curve[0] + curve[-1]) / 2
    return inner / (len(curve) - 1)


# ---- average drop
def weighted(picture: Tensor, values: Tensor) -> Tensor:
    """The picture times the map over its maximum, negative values as 0: what drop is measured on.

    A map without a positive value leaves nothing: the picture becomes 0, the mean colour.
    """
    positive = values.clamp(min=0)
    largest = positive.max()
    share = positive / largest if bool(largest > 0) else positive
    return as_variant(picture * share.to(widened(picture)), picture)


def drop_of(score: float, left: float) -> float:
    """max(0, Y - O) / Y as a percentage; NaN for a score that is not positive.

    Example:
        >>> drop_of(0.5, 0.25)
        50.0
    """
    if math.isnan(left) or not score > 0:
        return math.nan
    return 100 * max(0.0, score - left) / score
