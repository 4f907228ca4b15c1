"""Class indices, from what data sets give as labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from resviz.scanning.batch import Ints


def classes_of(labels: Any, count: int, floats: int = 2**31) -> Ints:
    """(count,) class indices; -1 where a label is none.

    Whole numbers are classes, 2.0 as well: binary cross-entropy wants 0.0 and 1.0, and a table
    with gaps has nothing but floats. Any shape will do that holds one for each image. Other
    numbers are measurements.

    Args:
        labels: of so many images, however a data set gives them.
        count: of images.
        floats: from this one on are measurements, too.

    Example:
        >>> import torch
        >>> classes_of(torch.tensor([[0.0], [2.0], [0.3]]), 3).tolist()
        [0, 2, -1]
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu()
        labels = labels.double() if labels.is_floating_point() else labels
    found = np.asarray(labels)
    if found.size != count or found.dtype.kind not in "biuf":
        return np.full(count, -1)
    found = found.reshape(-1)
    if found.dtype.kind == "f":
        classes = (found >= 0) & (found < floats) & (found == np.floor(found))
        found = np.where(classes, found, -1)
    return found.astype(np.int64)
