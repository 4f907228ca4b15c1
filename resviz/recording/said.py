"""What a network said of its inputs, as a record holds it, for views to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from resviz.networks.outputs import Output, of_record

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Said:
    """A number for each target of each input.

    Attributes:
        kind: what the output means, see :class:`resviz.Preset`.
        word: what the numbers are: "probability", "share" (of the positions of a map), "value".
        names: of the targets.
        numbers: (N, T); NaN where the network gave no number.
        scores: (N, T), what a gradient is of; None for a map.
        ranked: (N, T) targets, best first; where numbers are equal by rounding alone, too.
        units: of values.
    """

    kind: str
    word: str
    names: list[str]
    numbers: Floats
    scores: Floats | None
    ranked: npt.NDArray[np.int64]
    units: str = ""

    def words(self, number: float) -> str:
        """A number of it: "0.93", "< 0.01", "4.2 years"."""
        if self.word == "value":
            return f"{number:.3g} {self.units}".rstrip()
        return "< 0.01" if 0 < number < 0.005 else f"{number:.2f}"


def said_by(record: Any) -> Said | None:
    """What the network said; None where no part of what it returned is known to be its output."""
    return said_of(of_record(record.provenance, record.logits), record.logits)


def said_of(output: Output, logits: Any) -> Said | None:
    """The same of logits at hand; see :func:`said_by`."""
    if logits is None or output.kind == "none" or logits.ndim not in (1, 2, 4):
        return None
    scores = _numbers(output.scores(logits))
    word, values = output.numbers(logits)
    ranked = output.ranked(logits, values).cpu().numpy()
    names = [output.name(index) for index in range(scores.shape[1])]
    if scores.ndim == 4:
        shares = _numbers(values)
        shares[np.isnan(scores.reshape(len(scores), -1)).any(axis=1)] = np.nan
        return Said(output.kind, "share", names, shares, None, ranked)
    return Said(output.kind, word, names, _numbers(values), scores, ranked, output.units)


def _numbers(tensor: Tensor) -> Floats:
    """As float64, of any device and dtype."""
    return tensor.detach().cpu().double().numpy()
