"""How large the gradient of each image's loss is at each layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from resviz.scanning.batch import Batch
from resviz.scanning.measures.measure import Accumulator, combine_moments
from resviz.scanning.plan import Plan


class GradientNorms(Accumulator):
    """Moments over the images of the L2 norm of the gradient at each layer."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        for number in range(len(plan.sites)):
            self.arrays |= {
                f"{number}/n": np.zeros(1, np.int64),
                f"{number}/mean": np.zeros(1),
                f"{number}/m2": np.zeros(1),
                f"{number}/min": np.full(1, np.inf),
                f"{number}/max": np.full(1, -np.inf),
            }

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        for number, site in enumerate(batch.sites):
            norms = site.gradient
            if norms is None or not len(norms):
                continue
            mean = norms.mean(keepdims=True)
            m2 = np.square(norms - mean).sum(keepdims=True)
            self._add(number, (np.array([len(norms)]), mean, m2, norms.min(), norms.max()))

    def merge(self, other: GradientNorms) -> None:
        """Take what another one took."""
        for number in range(len(self.plan.sites)):
            names = ("n", "mean", "m2", "min", "max")
            self._add(number, tuple(other.arrays[f"{number}/{name}"] for name in names))

    def _add(self, number: int, more: tuple[Any, ...]) -> None:
        own = [self.arrays[f"{number}/{name}"] for name in ("n", "mean", "m2", "min", "max")]
        found = (
            *combine_moments(*own[:3], *more[:3]),
            np.minimum(own[3], more[3]),
            np.maximum(own[4], more[4]),
        )
        for name, array in zip(("n", "mean", "m2", "min", "max"), found, strict=True):
            self.arrays[f"{number}/{name}"] = array

    def columns(self) -> pd.DataFrame:
        """A row per layer of the plan."""
        rows = []
        for number in range(len(self.plan.sites)):
            n, mean, m2, low, high = (
                float(self.arrays[f"{number}/{name}"][0])
                for name in ("n", "mean", "m2", "min", "max")
            )
            seen = n > 0
            rows.append(
                {
                    "grad_norm": mean if seen else np.nan,
                    "grad_norm_std": np.sqrt(m2 / n) if seen else np.nan,
                    "grad_norm_min": low if seen else np.nan,
                    "grad_norm_max": high if seen else np.nan,
                }
            )
        return pd.DataFrame(rows)
