"""All measures of a scan together: what has been seen so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from resviz.scanning.batch import Batch
from resviz.scanning.measures.images import SeenImages
from resviz.scanning.measures.measure import Accumulator, Array
from resviz.scanning.measures.pictures import Pictures
from resviz.scanning.measures.registry import MEASURES
from resviz.scanning.measures.top import TopImages
from resviz.scanning.plan import Plan


class Accumulated:
    """The measures of a plan, and the images that went into them.

    Two of them, of different images, merge into what one would have become: engines run parts
    anywhere and merge what comes back. :meth:`state` and :meth:`load` carry one between processes.

    Attributes:
        plan: of the scan.
        images: what was seen.
        measures: by name.
        pictures: of the top images.
        skipped: why an image was left out, by its position.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.images = SeenImages(plan)
        self.measures = {name: MEASURES[name].make(plan) for name in plan.measures}
        self.pictures = Pictures(plan)
        self.skipped: dict[int, str] = {}

    @property
    def top(self) -> TopImages | None:
        """The top images, where they are measured."""
        found = self.measures.get("top")
        return found if isinstance(found, TopImages) else None

    def floors(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What an image must exceed in each channel to be of interest; see `TopImages.floors`."""
        if self.top is not None:
            return self.top.floors(number)
        return np.full(1, np.inf), np.full(1, -1)

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        if not len(batch.images):
            return
        self.images.update(batch)
        for measure in self.measures.values():
            measure.update(batch)
        if self.top is not None:
            self.pictures.take(batch, self.top)

    def skip(self, image: int, reason: str) -> None:
        """Note that an image was left out."""
        self.skipped[int(image)] = reason

    def merge(self, other: Accumulated) -> None:
        """Take what another one of the same plan took, of other images."""
        self.images.merge(other.images)
        for name, measure in self.measures.items():
            measure.merge(other.measures[name])
        self.skipped |= other.skipped
        self.pictures.merge(other.pictures)
        if self.top is not None:
            self.pictures.prune(self.top)

    def done(self) -> NDArray[np.int64]:
        """Positions of the images that were seen or left out, ascending."""
        left = np.array(list(self.skipped), np.int64)
        return np.sort(np.concatenate([self.images.state()["image"], left]))

    def state(self) -> dict[str, Array]:
        """Everything but the plan and the reasons in :attr:`skipped`, as arrays by name."""
        if self.top is not None:
            self.pictures.prune(self.top)
        parts = self._parts().items()
        return {f"{n}/{key}": array for n, part in parts for key, array in part.state().items()}

    def load(self, state: Mapping[str, Array], skipped: Mapping[int, str]) -> None:
        """Become what :meth:`state` was taken of."""
        found: dict[str, dict[str, Array]] = defaultdict(dict)
        for name, array in state.items():
            part, _, key = name.partition("/")
            found[part][key] = array
        for name, measure in self._parts().items():
            measure.load(found[name])
        self.skipped = {int(image): str(reason) for image, reason in skipped.items()}

    def _parts(self) -> dict[str, Accumulator]:
        return {"images": self.images, "pictures": self.pictures, **self.measures}
