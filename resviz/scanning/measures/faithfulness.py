"""Whether a method's maps can be believed, on a sample of the images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from torch import Tensor, nn

from resviz.attribution.explain import explain
from resviz.attribution.trust.faithfulness import faithfulness
from resviz.errors import quiet
from resviz.preset import Preset
from resviz.scanning.batch import Batch
from resviz.scanning.measures.measure import Accumulator
from resviz.scanning.plan import Plan

COLUMNS = ("score", "deletion", "deletion_random", "insertion", "insertion_random", "p_random")


class Faithfulness(Accumulator):
    """Deletion and insertion of ``plan.method``'s map of each image in ``plan.sampled``.

    As :func:`resviz.faithfulness` has them (Petsiuk et al. 2018), for the predicted class.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.arrays = {name: np.empty(0) for name in COLUMNS}
        self.arrays["image"] = np.empty(0, np.int64)

    def update(self, batch: Batch) -> None:
        """Nothing by itself: :meth:`judge` needs the network."""

    def judge(self, net: nn.Module, image: int, inputs: Tensor, preset: Preset | None) -> None:
        """Measure one image of the sample, (1, ...) as the network takes it."""
        with quiet():
            exp = explain(net, inputs, methods=[self.plan.method], preset=preset)
            table = faithfulness(
                net, inputs, exp, checks=["deletion", "insertion"], progress=False, preset=preset
            )
        for name in COLUMNS:
            value = float(table[name].iloc[0])
            self.arrays[name] = np.append(self.arrays[name], value)
        self.arrays["image"] = np.append(self.arrays["image"], image)

    def merge(self, other: Faithfulness) -> None:
        """Take what another one took."""
        for name, array in other.arrays.items():
            self.arrays[name] = np.concatenate([self.arrays[name], array])

    def table(self) -> pd.DataFrame:
        """A row per image of the sample, in the order of the data set."""
        table = pd.DataFrame({"image": self.arrays["image"]} | self.arrays)
        return table.sort_values("image", ignore_index=True)
