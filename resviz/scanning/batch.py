"""What the pass over one batch of images left for the measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Peaks:
    """The strongest images of a batch in those channels where one may be among the top images.

    Attributes:
        channels: (M,) which channels.
        rows: (m, M) images of the batch, strongest first.
        values: (m, M) their maxima.
        places: (m, M) where those are, counted row by row.
        width: of the maps.
    """

    channels: Ints
    rows: Ints
    values: Floats
    places: Ints
    width: int


@dataclass(frozen=True, eq=False)
class SiteBatch:
    """Of one layer; (N, C) each, in float64.

    Attributes:
        positions: of each map.
        mean: of each map.
        spread: sums of squares about that mean.
        high, low: maximum and minimum.
        zeros: exact zeros.
        peaks: the strongest images.
        gradient: (N,) norm of each image's gradient at this layer; None where not asked for.
    """

    positions: int
    mean: Floats
    spread: Floats
    high: Floats
    low: Floats
    zeros: Floats
    peaks: Peaks
    gradient: Floats | None = None


@dataclass(frozen=True, eq=False)
class AdditionBatch:
    """Of one residual addition; (N,) each, or (1,) over all images.

    Attributes:
        branch: mean squares of the branch.
        shortcut: of the shortcut.
        product: means of the product of both.
        by_image: False where no axis of the sum counts the images.
    """

    branch: Floats
    shortcut: Floats
    product: Floats
    by_image: bool = True


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch, measured.

    Attributes:
        images: (N,) positions in the data set, ascending.
        labels: (N,); -1 where there is none.
        predictions: (N,) what the network says; -1 where the output has no classes.
        probabilities: (N,) of that; NaN likewise.
        sites: a row per layer of the plan.
        additions: by name, where they were asked for.
        pictures: gives (n, H, W, 3) uint8 of some rows; None where there are no pictures.
    """

    images: Ints
    labels: Ints
    predictions: Ints
    probabilities: Floats
    sites: list[SiteBatch]
    additions: dict[str, AdditionBatch] = field(default_factory=dict)
    pictures: Callable[[Ints], NDArray[np.uint8]] | None = None
