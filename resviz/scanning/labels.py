"""Class indices, from what data sets give as labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from resviz.scanning.batch import Ints


def classes_of(labels: Any, count: int) -> Ints:
    """(count,) class indices; -1 where a label is none.

    Whole numbers are classes; 0.0 and 1.0 are, too, as binary cross-entropy wants them, in any
    shape that holds one for each image. Other numbers are measurements.

    Args:
        labels: of so many images, however a data set gives them.
        count: of images.

    Example:
        >>> import torch
        >>> classes_of(torch.tensor([[0.0], [1.0], [0.3]]), 3).tolist()
        [0, 1, -1]
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu()
        labels = labels.double() if labels.is_floating_point() else labels
    found = np.asarray(labels)
    if found.size != count or found.dtype.kind not in "biuf":
        return np.full(count, -1)
    found = found.reshape(-1)
    if found.dtype.kind == "f":
        found = np.where((found == 0) | (found == 1), found, -1)
    return found.astype(np.int64)
