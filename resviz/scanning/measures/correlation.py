"""How the channels of a layer vary together from image to image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resviz.scanning.batch import Batch
from resviz.scanning.measures.measure import Accumulator
from resviz.scanning.plan import Plan

Floats = NDArray[np.float64]
_ROUNDED = 1e-12  # deviations below this part of the mean are those of adding up in float64


class Correlation(Accumulator):
    """Sums of products of deviations of each image's mean activation, (C, C) per layer.

    Merged as variances are (Chan, Golub & LeVeque 1983), in float64.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        for number, site in enumerate(plan.sites):
            self.arrays |= {
                f"{number}/n": np.zeros(1, np.int64),
                f"{number}/mean": np.zeros(site.channels),
                f"{number}/products": np.zeros((site.channels, site.channels)),
            }

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        for number, site in enumerate(batch.sites):
            mean = site.mean.mean(0)
            off = site.mean - mean
            self._add(number, len(off), mean, off.T @ off)

    def merge(self, other: Correlation) -> None:
        """Take what another one took."""
        for number in range(len(self.plan.sites)):
            n, mean, products = (other.arrays[f"{number}/{k}"] for k in ("n", "mean", "products"))
            self._add(number, int(n[0]), mean, products)

    def _add(self, number: int, n: int, mean: Floats, products: Floats) -> None:
        before = int(self.arrays[f"{number}/n"][0])
        if not n:
            return
        share = n / (before + n)
        off = mean - self.arrays[f"{number}/mean"]
        self.arrays[f"{number}/products"] += products
        self.arrays[f"{number}/products"] += np.outer(off, off) * (before * share)
        self.arrays[f"{number}/mean"] += off * share
        self.arrays[f"{number}/n"] += n

    def matrix(self, number: int) -> Floats:
        """(C, C) Pearson correlations of one layer; NaN beside a channel that does not vary."""
        n, mean, products = (self.arrays[f"{number}/{k}"] for k in ("n", "mean", "products"))
        length = np.sqrt(np.diag(products))
        varies = length > _ROUNDED * np.sqrt(n) * np.abs(mean)
        found = np.full(products.shape, np.nan)
        both = np.logical_and.outer(varies, varies)
        np.divide(products, np.outer(length, length), out=found, where=both)
        return np.clip(found, -1, 1)
