"""What theory says of a quantity against depth: numbers to draw beside the measured points.

Each entry is a rate and where it comes from. Nothing here is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Theory:
    """A law, with its source.

    Attributes:
        name: short, for a legend.
        law: value against a number of layers or blocks.
        of: what grows or falls: "gradient", "correlation" or "share".
        counts: what the argument of ``law`` counts: "layers" or "blocks". For a gradient they are
            those between it and the last one; else those from the input on.
        source: paper, equation, link.
        assumes: what has to hold for it.
    """

    name: str
    law: Callable[[Any], Floats]
    of: str
    counts: str
    source: str
    assumes: str

    def __call__(self, argument: Any) -> Floats:
        """The law at a number or at an array of numbers."""
        return np.asarray(self.law(np.asarray(argument, dtype=float)), dtype=float)


BATCHNORM_RATE = math.sqrt(math.pi / (math.pi - 1))  # 1.2112

BATCHNORM_EXPLOSION = Theory(
    "plain + BatchNorm: 1.2112 per layer",
    lambda layers: BATCHNORM_RATE**layers,
    "gradient",
    "layers",
    "Yang et al. 2019, A Mean Field Theory of Batch Normalization, arXiv 1902.08129",
    "untrained, ReLU, batch statistics, wide layers, large batch; no shortcuts",
)
PLAIN_SHATTERING = Theory(
    "2^-L",
    lambda depth: 0.5**depth,
    "correlation",
    "layers",
    "Balduzzi et al. 2017, The Shattered Gradients Problem, arXiv 1702.08591",
    "untrained, gates independent of the input, no BatchNorm; no shortcuts",
)
RESIDUAL_SHATTERING = Theory(
    "(3/4)^L",
    lambda depth: 0.75**depth,
    "correlation",
    "blocks",
    "Balduzzi et al. 2017, The Shattered Gradients Problem, arXiv 1702.08591",
    "untrained, gates independent of the input, no BatchNorm; identity shortcuts",
)
VARIANCE_SHARE = Theory(
    "1/l",
    lambda block: 1 / block,
    "share",
    "blocks",
    "De and Smith 2020, Batch Normalization Biases Residual Blocks, arXiv 2002.10444",
    "untrained, BatchNorm first in each branch (pre-activation), batch statistics",
)


def scaled_shortcuts(factor: float) -> Theory:
    """lambda^L: the direct part of the gradient through L shortcuts scaled by lambda.

    He et al. 2016, Identity Mappings in Deep Residual Networks, arXiv 1603.05027, Eq. 8.

    Args:
        factor: lambda.

    Example:
        >>> float(scaled_shortcuts(0.5)(3))
        0.125
    """
    return Theory(
        f"{factor:g}^L",
        lambda blocks: factor**blocks,
        "gradient",
        "blocks",
        "He et al. 2016, Identity Mappings in Deep Residual Networks, arXiv 1603.05027, Eq. 8",
        "the part of the gradient that takes no branch",
    )
