"""Per channel: mean, variance, minimum, maximum, zeros, and the images that it answers to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import betaincinv  # stats takes two seconds to import

from resviz.scanning.batch import Batch, SiteBatch
from resviz.scanning.measures.measure import Accumulator, combine_moments
from resviz.scanning.plan import Plan

CONFIDENCE = 0.95


class ChannelStatistics(Accumulator):
    """Moments over all positions of all images; exact counts, minima and maxima.

    An image *activates* a channel where its map has a value other than 0.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        for number, site in enumerate(plan.sites):
            size = site.channels
            self.arrays |= {
                f"{number}/n": np.zeros(1, np.int64),
                f"{number}/images": np.zeros(1, np.int64),
                f"{number}/mean": np.zeros(size),
                f"{number}/m2": np.zeros(size),
                f"{number}/min": np.full(size, np.inf),
                f"{number}/max": np.full(size, -np.inf),
                f"{number}/zeros": np.zeros(size, np.int64),
                f"{number}/active": np.zeros(size, np.int64),
            }

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        for number, site in enumerate(batch.sites):
            self._add(number, _of_batch(site))

    def merge(self, other: ChannelStatistics) -> None:
        """Take what another one took."""
        for number in range(len(self.plan.sites)):
            names = ("n", "images", "mean", "m2", "min", "max", "zeros", "active")
            self._add(number, {name: other.arrays[f"{number}/{name}"] for name in names})

    def _add(self, number: int, more: dict[str, Any]) -> None:
        own = {n: self.arrays[f"{number}/{n}"] for n in more}
        own["n"], own["mean"], own["m2"] = combine_moments(
            own["n"], own["mean"], own["m2"], more["n"], more["mean"], more["m2"]
        )
        own["min"], own["max"] = (
            np.minimum(own["min"], more["min"]),
            np.maximum(own["max"], more["max"]),
        )
        for name in ("images", "zeros", "active"):
            own[name] = own[name] + more[name]
        self.arrays |= {f"{number}/{name}": array for name, array in own.items()}

    def table(self) -> pd.DataFrame:
        """A row per layer and channel."""
        rows = []
        for number, site in enumerate(self.plan.sites):
            get = {n: self.arrays[f"{number}/{n}"] for n in ("mean", "m2", "zeros", "active")}
            n, images = int(self.arrays[f"{number}/n"][0]), int(self.arrays[f"{number}/images"][0])
            rows.append(
                pd.DataFrame(
                    {
                        "layer": site.key,
                        "channel": np.arange(site.channels),
                        "mean": get["mean"],
                        "std": np.sqrt(get["m2"] / max(n, 1)),
                        "min": self.arrays[f"{number}/min"],
                        "max": self.arrays[f"{number}/max"],
                        "zero_fraction": get["zeros"] / max(n, 1),
                        "active_images": get["active"],
                        "active_bound": upper_bound(get["active"], images),
                        "dead": (get["active"] == 0) & (images > 0),
                    }
                )
            )
        return pd.concat(rows, ignore_index=True)


def upper_bound(count: Any, images: int, confidence: float = CONFIDENCE) -> Any:
    """Upper bound of the share of images that activate a channel which `count` of them did.

    Clopper & Pearson 1934 (https://doi.org/10.1093/biomet/26.4.404), one-sided; of none of n about
    3/n at 95 %, the rule of three.

    Example:
        >>> round(float(upper_bound(0, 300)), 4)
        0.0099
    """
    count = np.asarray(count)
    bound = betaincinv(count + 1, np.maximum(images - count, 1e-300), confidence)
    return np.where(count >= images, 1.0, bound)


def _of_batch(site: SiteBatch) -> dict[str, Any]:
    images, positions = len(site.mean), site.positions
    mean = site.mean.mean(0)
    deviations = positions * np.square(site.mean - mean).sum(0)
    return {
        "n": np.array([images * positions]),
        "images": np.array([images]),
        "mean": mean,
        "m2": site.spread.sum(0) + deviations,
        "min": site.low.min(0),
        "max": site.high.max(0),
        "zeros": site.zeros.sum(0).astype(np.int64),
        "active": ((site.high != 0) | (site.low != 0)).sum(0),
    }
