"""Where images lie by what a layer shows for them: a sample for layouts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resviz.scanning.batch import Batch
from resviz.scanning.measures.measure import Accumulator
from resviz.scanning.plan import Plan


class Embedding(Accumulator):
    """Mean activations of a layer's channels for a sample of the images, in float16.

    The sample is those images whose number, scrambled with the seed, is smallest: the same
    whichever way the data set was divided. The layer is the last one with positions.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        wide = [n for n, site in enumerate(plan.sites) if site.positions != (1, 1)]
        self.number = wide[-1] if wide else len(plan.sites) - 1
        channels = plan.sites[self.number].channels
        self.arrays = {
            "image": np.empty(0, np.int64),
            "vector": np.empty((0, channels), np.float16),
        }

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        self._add(batch.images, batch.sites[self.number].mean)

    def merge(self, other: Embedding) -> None:
        """Take what another one took."""
        self._add(other.arrays["image"], other.arrays["vector"])

    def _add(self, images: NDArray[np.int64], vectors: NDArray[np.floating]) -> None:
        limit = np.finfo(np.float16).max
        half = np.clip(vectors, -limit, limit).astype(np.float16)
        image = np.concatenate([self.arrays["image"], images])
        vector = np.concatenate([self.arrays["vector"], half])
        if len(image) > self.plan.points:
            order = np.argsort(scrambled(image, self.plan.seed), kind="stable")
            chosen = order[: self.plan.points]
            image, vector = image[chosen], vector[chosen]
        self.arrays = {"image": image, "vector": vector}


def scrambled(images: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A number for each image that looks random: SplitMix64 (Steele et al. 2014).

    Example:
        >>> len(set(scrambled(np.arange(100), 0).tolist()))
        100
    """
    with np.errstate(over="ignore"):
        z = images.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 1) % 2**64)
        z = (z + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
