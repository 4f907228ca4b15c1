"""Whether two pictures show the same, but for how letters fall."""

from __future__ import annotations

from typing import Any

import numpy as np

SQUARE = 20  # pixels


def squares(picture: Any) -> np.ndarray[Any, Any]:
    """Mean colours of squares; what is left at the right and at the foot is white."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    room = [(0, -size % SQUARE) for size in pixels.shape[:2]]
    whole = np.pad(pixels, [*room, (0, 0)], constant_values=1.0)
    rows, columns = (size // SQUARE for size in whole.shape[:2])
    return whole.reshape(rows, SQUARE, columns, SQUARE, 3).mean(axis=(1, 3))


def difference(one: Any, other: Any) -> float:
    """Share of the squares whose mean colours differ by more than 8 %; 1 where the sizes differ."""
    if one.size != other.size:
        return 1.0
    return float((np.abs(squares(one) - squares(other)).max(axis=2) > 0.08).mean())
