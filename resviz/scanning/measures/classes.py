"""What each channel shows for the images of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resviz.scanning.batch import Batch
from resviz.scanning.measures.measure import Accumulator
from resviz.scanning.plan import Plan

Floats = NDArray[np.float64]


class ClassMeans(Accumulator):
    """Sums, and sums of squares, of each image's mean activation by class."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.arrays["images"] = np.zeros(len(plan.classes), np.int64)
        for number, site in enumerate(plan.sites):
            self.arrays[f"{number}/sum"] = np.zeros((len(plan.classes), site.channels))
            self.arrays[f"{number}/squares"] = np.zeros(site.channels)

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        classes = batch.labels if self.plan.by == "label" else batch.predictions
        known = (classes >= 0) & (classes < len(self.plan.classes))
        found, inverse = np.unique(classes[known], return_inverse=True)
        if not len(found):
            return
        chosen = np.zeros((len(found), len(inverse)))
        chosen[inverse, np.arange(len(inverse))] = 1
        self.arrays["images"][found] += chosen.sum(1).astype(np.int64)
        for number, site in enumerate(batch.sites):
            mean = site.mean[known]
            self.arrays[f"{number}/sum"][found] += chosen @ mean
            self.arrays[f"{number}/squares"] += np.square(mean).sum(0)

    def merge(self, other: ClassMeans) -> None:
        """Take what another one took."""
        for name, array in other.arrays.items():
            self.arrays[name] = self.arrays[name] + array

    def means(self, number: int) -> Floats:
        """(classes, channels) of one layer; NaN for a class without images."""
        images = self.arrays["images"][:, None]
        means: Floats = np.full((len(images), self.plan.sites[number].channels), np.nan)
        np.divide(self.arrays[f"{number}/sum"], images, out=means, where=images > 0)
        return means

    def std(self, number: int) -> Floats:
        """(channels,) over all images, of their mean activation."""
        images = max(int(self.arrays["images"].sum()), 1)
        mean = self.arrays[f"{number}/sum"].sum(0) / images
        variance = self.arrays[f"{number}/squares"] / images - mean * mean
        return np.sqrt(np.maximum(variance, 0))

    def selectivity(self, number: int) -> tuple[Floats, NDArray[np.int64]]:
        """(channels,) class selectivity index, and the class with the largest mean.

        (m - r) / (m + r): m the largest class mean, r the mean of the others (Morcos et al. 2018,
        https://arxiv.org/abs/1803.06959, Eq. 1). NaN where a mean is negative, for which it is not
        defined, where all are 0, and of fewer than two classes.
        """
        there = np.flatnonzero(self.arrays["images"])
        means = self.means(number)[there]
        if len(there) < 2:
            nothing = np.full(means.shape[1], np.nan)
            return nothing, np.full(means.shape[1], -1, np.int64)
        best = means.argmax(0)
        most = means.max(0)
        rest = (means.sum(0) - most) / (len(there) - 1)
        fits = (means.min(0) >= 0) & (most > 0)
        index = np.full(len(most), np.nan)
        np.divide(most - rest, most + rest, out=index, where=fits)
        return index, np.where(means.max(0) > means.min(0), there[best], -1)
