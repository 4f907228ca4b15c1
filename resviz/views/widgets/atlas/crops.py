"""What channels saw of their top images, as pictures of one size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from resviz.views.figures.top_images import seen_part
from resviz.views.pictures import Pixels
from resviz.views.widgets.atlas.sheets import fitted

_OUTSIDE = 236  # grey, where there is no picture


def crops_of(
    scan: Any, number: int, channels: Iterable[int], ranks: int, side: int
) -> list[Pixels]:
    """Of each channel so many crops, the strongest first, of `side` pixels at most.

    Args:
        scan: with pictures; each is decoded once.
        number: of the layer.
        channels: of it.
        ranks: how many of each.
        side: of the longer side; a field that reaches over the edge has grey there.
    """
    chosen, field = np.asarray(list(channels), np.int64), scan.plan.sites[number].field
    arrays = scan.measured("top").arrays
    image, row, column = (
        arrays[f"{number}/{name}"][:ranks, chosen].T.reshape(-1)
        for name in ("image", "row", "column")
    )
    found = [np.full((side, side, 3), _OUTSIDE, np.uint8)] * len(image)
    for which in np.unique(image[image >= 0]).tolist():
        picture = scan.picture(which)
        if picture is None:
            continue
        for place in np.flatnonzero(image == which).tolist():
            part = picture
            if field is not None:
                box = field.box(int(row[place]), int(column[place]))
                part = seen_part(picture, tuple(float(end) for end in box))
            found[place] = fitted(part, side)
    return found
