"""What channels saw of their top images, as pictures of one size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from resviz.views.figures.top_images import seen_part
from resviz.views.pictures import Pixels
from resviz.views.widgets.atlas.sheets import fitted

_OUTSIDE = 236  # grey, where there is no picture


def crops_of(
    scan: Any, number: int, channels: Iterable[int], ranks: int, side: int
) -> Iterator[Pixels]:
    """Of each channel so many crops, the strongest first, of `side` pixels at most.

    Args:
        scan: with pictures.
        number: of the layer.
        channels: of it.
        ranks: how many of each.
        side: of the longer side; a field that reaches over the edge has grey there.
    """
    site, arrays = scan.plan.sites[number], scan.measured("top").arrays
    image, row, column = (arrays[f"{number}/{name}"] for name in ("image", "row", "column"))
    nothing = np.full((side, side, 3), _OUTSIDE, np.uint8)
    for channel in channels:
        for rank in range(ranks):
            found = scan.picture(int(image[rank, channel])) if image[rank, channel] >= 0 else None
            if found is None:
                yield nothing
                continue
            if site.field is not None:
                box = site.field.box(int(row[rank, channel]), int(column[rank, channel]))
                found = seen_part(found, tuple(float(end) for end in box))
            yield fitted(found, side)
