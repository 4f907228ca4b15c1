"""What a measure is: an accumulator that takes batches, merges, and is a few arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.scanning.batch import Batch
from resviz.scanning.plan import Plan

Array = NDArray[Any]


class Accumulator:
    """Takes batches one after the other; two of them merge into what one would have become.

    Its whole state is :attr:`arrays`, named "0/mean": those of each layer of the plan under its
    number. A subclass that holds more says so in :meth:`state` and :meth:`load`.

    Args:
        plan: of the scan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.arrays: dict[str, Array] = {}

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        raise NotImplementedError

    def merge(self, other: Any) -> None:
        """Take what another one of the same plan took, of other images."""
        raise NotImplementedError

    def state(self) -> dict[str, Array]:
        """All of it, as arrays."""
        return dict(self.arrays)

    def load(self, state: Mapping[str, Array]) -> None:
        """Become what :meth:`state` was taken of."""
        self.arrays = {name: np.array(array) for name, array in state.items()}


@dataclass(frozen=True)
class Measure:
    """A row of the registry.

    Attributes:
        name: what `measures=` takes.
        make: its accumulator.
        what: it measures.
        default: measured unless the caller says otherwise.
        paper: where its formula stands.
    """

    name: str
    make: Callable[[Plan], Accumulator]
    what: str
    default: bool = False
    paper: str = ""


def combine_moments(
    n: Any, mean: Array, m2: Array, other_n: Any, other_mean: Array, other_m2: Array
) -> tuple[Any, Array, Array]:
    """Count, mean and sum of squared deviations of both together, in float64.

    Chan, Golub & LeVeque 1983 (https://doi.org/10.1080/00031305.1983.10483115), Eq. 2.1.

    Example:
        >>> n, mean, m2 = combine_moments(2, np.array([1.0]), np.array([2.0]), 0, *np.zeros((2, 1)))
        >>> int(n), float(mean[0]), float(m2[0])
        (2, 1.0, 2.0)
    """
    total = n + other_n
    share = np.divide(other_n, total, out=np.zeros(np.shape(total)), where=np.asarray(total) > 0)
    delta = other_mean - mean
    return total, mean + delta * share, m2 + other_m2 + delta * delta * n * share
