"""The images themselves: labels, what the network says of them, and whether that is right."""

from __future__ import annotations

import numpy as np
import pandas as pd

from resviz.scanning.batch import Batch
from resviz.scanning.measures.measure import Accumulator, Array
from resviz.scanning.plan import Plan

TYPES = {"image": np.int64, "label": np.int32, "prediction": np.int32, "probability": np.float32}


class SeenImages(Accumulator):
    """A row per image: 20 bytes. Accuracy and confusion are counted from them."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._parts: dict[str, list[Array]] = {n: [np.empty(0, t)] for n, t in TYPES.items()}

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        given = (batch.images, batch.labels, batch.predictions, batch.probabilities)
        for (name, kind), values in zip(TYPES.items(), given, strict=True):
            self._parts[name].append(values.astype(kind))

    def merge(self, other: SeenImages) -> None:
        """Take what another one took."""
        for name in TYPES:
            self._parts[name] += other._parts[name]

    def state(self) -> dict[str, Array]:
        """The columns, in the order of the data set."""
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        order = np.argsort(columns["image"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        self._parts = {name: [column] for name, column in columns.items()}
        return columns

    def load(self, state: dict[str, Array]) -> None:  # type: ignore[override]
        """Become what :meth:`state` was taken of."""
        self._parts = {name: [np.array(state[name])] for name in TYPES}

    def table(self) -> pd.DataFrame:
        """A row per image."""
        columns = self.state()
        return pd.DataFrame(columns).astype({"label": np.int64, "prediction": np.int64})

    def confusion(self) -> Array:
        """(classes, outputs) how often images of a class are said to be what; others have none."""
        label, said = (self.state()[name] for name in ("label", "prediction"))
        size = (len(self.plan.classes), max(len(self.plan.outputs), len(self.plan.classes)))
        known = (label >= 0) & (label < size[0]) & (said >= 0) & (said < size[1])
        counts = np.zeros(size, np.int64)
        np.add.at(counts, (label[known], said[known]), 1)
        return counts
