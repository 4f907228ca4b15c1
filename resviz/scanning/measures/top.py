"""The images that each channel answers to most, and where in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resviz.scanning.batch import Batch
from resviz.scanning.measures.measure import Accumulator
from resviz.scanning.plan import Plan

NAMES = ("value", "image", "row", "column")


class TopImages(Accumulator):
    """For each channel the images with the largest maxima, strongest first.

    Of equal maxima the image that comes first in the data set is kept, so that the order in which
    images were seen changes nothing. Places that nothing fills have image -1.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        for number, site in enumerate(plan.sites):
            shape = (plan.top, site.channels)
            self.arrays |= {
                f"{number}/value": np.full(shape, -np.inf),
                f"{number}/image": np.full(shape, -1, np.int64),
                f"{number}/row": np.zeros(shape, np.int32),
                f"{number}/column": np.zeros(shape, np.int32),
            }

    def floors(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Value and image of the weakest top image of each channel of a layer."""
        return self.arrays[f"{number}/value"][-1], self.arrays[f"{number}/image"][-1]

    def images(self) -> NDArray[np.int64]:
        """(T,) all top images, those of the first places first."""
        places = [self.arrays[f"{n}/image"] for n in range(len(self.plan.sites))]
        ranked = np.concatenate(places, axis=1).reshape(-1)
        kept, first = np.unique(ranked, return_index=True)
        order = kept[np.argsort(first // max(ranked.size // self.plan.top, 1), kind="stable")]
        return order[order >= 0]

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        for number, site in enumerate(batch.sites):
            peaks = site.peaks
            if len(peaks.channels):
                row, column = np.divmod(peaks.places, peaks.width)
                more = (peaks.values, batch.images[peaks.rows], row, column)
                self._add(number, peaks.channels, more)

    def merge(self, other: TopImages) -> None:
        """Take what another one took."""
        for number, site in enumerate(self.plan.sites):
            more = tuple(other.arrays[f"{number}/{name}"] for name in NAMES)
            self._add(number, np.arange(site.channels), more)

    def _add(
        self, number: int, channels: NDArray[np.int64], more: tuple[NDArray[np.generic], ...]
    ) -> None:
        arrays = [self.arrays[f"{number}/{name}"] for name in NAMES]
        joined = [
            np.concatenate([array[:, channels], new.astype(array.dtype)])
            for array, new in zip(arrays, more, strict=True)
        ]
        empty = joined[1] < 0
        order = np.lexsort((joined[1], -joined[0], empty), axis=0)[: self.plan.top]
        for array, all_of_them in zip(arrays, joined, strict=True):
            array[:, channels] = np.take_along_axis(all_of_them, order, 0)
