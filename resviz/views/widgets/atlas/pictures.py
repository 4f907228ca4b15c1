"""Which pictures an atlas carries, and how large: as many as its size allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.views.payload import Packing
from resviz.views.pictures import Pixels
from resviz.views.widgets.atlas.crops import crops_of
from resviz.views.widgets.atlas.sheets import bytes_of, fitted, packed_sheets

_SIDES = (96, 64, 48, 32)  # pixels of the longer side of a whole picture
_CROP = 40  # the same of what a channel saw
_SMALL = 0.75  # a field below this share of a picture gets crops of its own
_TRIED = 48  # pictures by which the size is judged

Numbers = NDArray[np.int64]


class Kept:
    """The pictures of top images that the atlas has room for.

    Attributes:
        images: their positions in the data set, those of early layers first.
        side: of the longer side, in pixels.
        wanted: how many top images there are.
        bytes: that they take, about.
        whole: pixels of the longer side of the largest picture, as the network saw it.
    """

    def __init__(self, scan: Any, most: int) -> None:
        self._scan = scan
        ranked = scan.measured("top").images().tolist()
        self.wanted = len(ranked)
        there = [image for image in ranked if scan.picture(image) is not None]
        tried = [scan.picture(n) for n in there[:: max(len(there) // _TRIED, 1)][:_TRIED]]
        self.whole = max((max(each.shape[:2]) for each in tried), default=0)
        self.side, each = _side(tried, len(there), most)
        room = int(most / each) if each else 0
        self.images: list[int] = _by_depth(scan, there[:room])
        self.bytes = each * len(self.images)

    def packed(self, packing: Packing) -> dict[str, Any]:
        """Append them; what the browser reads."""
        scan, images = self._scan, self.images
        shapes = [scan.picture(image).shape[:2] for image in images]
        table = scan.images.set_index("image").reindex(images)
        codes = {name: n for n, name in enumerate(scan.plan.classes)}
        outputs = {name: n for n, name in enumerate(scan.plan.outputs)}
        labels = [codes.get(name, -1) for name in table["label"].fillna("")]
        said = [outputs.get(name, -1) for name in table["prediction"].fillna("")]
        small = (fitted(scan.picture(image), self.side) for image in images)
        return {
            **packed_sheets(packing, small, self.side),
            "side": self.side,
            "wanted": self.wanted,
            "images": packing.add(np.array(images, np.int32)),
            "shape": packing.add(np.array(shapes, np.uint16).reshape(-1, 2)),
            "label": packing.add(np.array(labels, np.int32)),
            "prediction": packing.add(np.array(said, np.int32)),
            "names": [scan.name(image) for image in images],
        }


def needs_crops(scan: Any, number: int, kept: Kept) -> bool:
    """Whether what a layer's positions see is too small in the whole pictures.

    Not where a field is most of the picture, or pictures are kept as large as they are.
    """
    field = scan.plan.sites[number].field
    if field is None or not kept.images or kept.whole <= kept.side:
        return False
    return max(field.size) <= _SMALL * kept.whole


def packed_crops(packing: Packing, scan: Any, number: int, each: float) -> dict[str, Any] | None:
    """What the channels of a layer saw of their top images: crop ``channel * ranks + rank``.

    Args:
        packing: gets them.
        scan: with pictures.
        number: of the layer.
        each: bytes for each channel: fewer ranks where they are too much, None where one is.
    """
    site = scan.plan.sites[number]
    side = min(_CROP, max(site.field.size))
    tried = range(0, site.channels, max(site.channels // _TRIED, 1))
    size = bytes_of(crops_of(scan, number, tried, 1, side), side)
    ranks = min(scan.plan.top, 9 if site.channels <= 256 else 4, int(each / max(size, 1)))
    if not ranks:
        return None
    crops = crops_of(scan, number, range(site.channels), ranks, side)
    return packed_sheets(packing, crops, side) | {"ranks": ranks, "side": side}


def _side(tried: list[Pixels], count: int, most: int) -> tuple[int, float]:
    """The largest side with which so many pictures fit, and the bytes of one; else the smallest."""
    whole = max((max(each.shape[:2]) for each in tried), default=0)
    side, size = min(whole, _SIDES[-1]), 0.0
    for tall in dict.fromkeys(min(whole, side) for side in _SIDES):
        side, size = tall, bytes_of([fitted(each, tall) for each in tried], tall)
        if size * count <= most:
            break
    return side, size


def _by_depth(scan: Any, images: list[int]) -> list[int]:
    """In the order in which the layers show them first: those seen together lie together."""
    arrays = scan.measured("top").arrays
    order: dict[int, None] = {}
    for number in range(len(scan.plan.sites)):
        order |= dict.fromkeys(arrays[f"{number}/image"].T.reshape(-1).tolist())
    known = set(images)
    return [image for image in order if image in known]
