"""Quantiles over the data set, of each image's strongest answer, by KLL sketches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.scanning.batch import Batch
from resviz.scanning.measures.measure import Accumulator, Array
from resviz.scanning.plan import Plan

Floats = NDArray[np.float64]

K = 200  # rank error 1.33 % at 99 % confidence; exact up to about as many images


class Quantiles(Accumulator):
    """A sketch per channel, of the maximum that each image has there; not of single positions.

    Karnin, Lang & Liberty 2016 (https://arxiv.org/abs/1603.05346), as Apache DataSketches has it.
    A sketch draws at random which values it keeps: two scans agree to the rank error, not bit by
    bit.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        from datasketches import vector_of_kll_floats_sketches as sketches

        self.sketches: list[Any] = [sketches(K, site.channels) for site in plan.sites]

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        for sketch, site in zip(self.sketches, batch.sites, strict=True):
            sketch.update(np.ascontiguousarray(site.high, dtype=np.float32))

    def merge(self, other: Quantiles) -> None:
        """Take what another one took."""
        for own, more in zip(self.sketches, other.sketches, strict=True):
            own.merge(more)

    def state(self) -> dict[str, Array]:
        """The sketches as Apache DataSketches serialises them, one after the other."""
        found: dict[str, Array] = {}
        for number, sketch in enumerate(self.sketches):
            parts = sketch.serialize(isk=-1)
            found[f"{number}/bytes"] = np.frombuffer(b"".join(parts), np.uint8)
            found[f"{number}/lengths"] = np.array([len(part) for part in parts], np.int64)
        return found

    def load(self, state: Mapping[str, Array]) -> None:
        """Become what :meth:`state` was taken of."""
        for number, sketch in enumerate(self.sketches):
            ends = np.cumsum(state[f"{number}/lengths"])
            whole = state[f"{number}/bytes"].tobytes()
            for channel, (end, length) in enumerate(
                zip(ends.tolist(), state[f"{number}/lengths"].tolist(), strict=True)
            ):
                sketch.deserialize(whole[end - length : end], channel)

    def values(self, number: int, ranks: Sequence[float]) -> NDArray[np.float64]:
        """(channels, ranks) quantiles of one layer; the ends exactly; NaN without images."""
        sketch = self.sketches[number]
        if sketch.is_empty().any():
            return np.full((self.plan.sites[number].channels, len(ranks)), np.nan)
        found = np.asarray(sketch.get_quantiles(list(ranks), isk=-1), np.float64)
        for at, rank in enumerate(ranks):
            if rank in (0, 1):  # kept apart from the values that a sketch draws
                found[:, at] = sketch.get_max_values() if rank else sketch.get_min_values()
        return found

    def shares(self, number: int, channel: int, edges: Sequence[float]) -> NDArray[np.float64]:
        """(len(edges) + 1,) share of the images up to the first edge, between edges, and above."""
        given = np.asarray(edges)
        near = given.astype(np.float32)  # as values are; no value lies between two that are equal
        below = np.where(near > given, np.nextafter(near, np.float32(-np.inf)), near)
        apart, first = np.unique(below, return_index=True)
        found = self.sketches[number].get_pmf(apart.tolist(), isk=channel)
        shares = np.zeros(len(given) + 1)
        shares[[*first, len(given)]] = np.asarray(found, np.float64).reshape(-1)
        return shares

    def histograms(self, number: int, bins: int) -> tuple[Floats, Floats, Floats]:
        """Of every channel of a layer: least, largest, and (channels, bins) shares between them.

        All in the first bin where a channel has one value alone.
        """
        low, high = self.values(number, (0.0, 1.0)).T
        shares: Floats = np.zeros((len(low), bins))
        shares[:, 0] = 1
        for channel in np.flatnonzero(high > low).tolist():
            edges = np.linspace(low[channel], high[channel], bins + 1)
            shares[channel] = self.shares(number, channel, edges[1:-1].tolist())
        return low, high, shares
