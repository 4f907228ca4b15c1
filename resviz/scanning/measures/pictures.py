"""Pictures of the top images, as the network saw them."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resviz.scanning.batch import Batch
from resviz.scanning.measures.measure import Accumulator, Array
from resviz.scanning.measures.top import TopImages
from resviz.scanning.plan import Plan

_RAW = 64  # pixels a side: as they are; larger ones as JPEG
_QUALITY = 90


class Pictures(Accumulator):
    """(H, W, 3) uint8 of the images that are among the top ones, up to so many bytes.

    Small ones are kept as they are, larger ones as JPEG. Where they would take more than
    ``plan.pictures`` bytes, those of the last places go first.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._kept: dict[int, NDArray[np.uint8] | bytes] = {}
        self._bytes = 0

    def update(self, batch: Batch) -> None:
        """Nothing by itself: :meth:`take` is told which images are at the top."""

    def take(self, batch: Batch, top: TopImages) -> None:
        """Keep the pictures of those images of a batch that are among the top ones now."""
        if batch.pictures is None or not self.plan.pictures:
            return
        peaks = [site.peaks.rows.reshape(-1) for site in batch.sites]
        rows = np.unique(np.concatenate(peaks)) if peaks else np.empty(0, np.int64)
        if not len(rows):
            return
        for row, picture in zip(rows, batch.pictures(rows), strict=True):
            self._put(int(batch.images[row]), _packed(picture))
        self._drop(top, self.plan.pictures)

    def merge(self, other: Pictures) -> None:
        """Take what another one has."""
        for image, packed in other._kept.items():
            self._put(image, packed)

    def _put(self, image: int, packed: NDArray[np.uint8] | bytes) -> None:
        if image not in self._kept:
            self._bytes += len(packed) if isinstance(packed, bytes) else packed.nbytes
            self._kept[image] = packed

    def _drop(self, top: TopImages, limit: int) -> None:
        if self._bytes > limit:
            self.prune(top)

    def prune(self, top: TopImages) -> None:
        """Let go of what is not at the top any more, and of what is too much."""
        kept, before = {}, self._kept
        self._bytes = 0
        for image in top.images().tolist():
            packed = before.get(image)
            if packed is None:
                continue
            size = len(packed) if isinstance(packed, bytes) else packed.nbytes
            if self._bytes + size > self.plan.pictures:
                break
            kept[image] = packed
            self._bytes += size
        self._kept = kept

    def of(self, image: int) -> NDArray[np.uint8] | None:
        """(H, W, 3), or None where it was not kept."""
        packed = self._kept.get(image)
        if isinstance(packed, bytes):
            with Image.open(io.BytesIO(packed)) as opened:
                return np.asarray(opened.convert("RGB"))
        return packed

    def images(self) -> list[int]:
        """Those that there are pictures of."""
        return sorted(self._kept)

    def state(self) -> dict[str, Array]:
        """The bytes one after the other; a height of 0 for JPEG."""
        images = self.images()
        packed = [self._kept[image] for image in images]
        parts = [p if isinstance(p, bytes) else p.tobytes() for p in packed]
        sizes = [(0, 0) if isinstance(p, bytes) else p.shape[:2] for p in packed]
        return {
            "image": np.array(images, np.int64),
            "length": np.array([len(part) for part in parts], np.int64),
            "size": np.array(sizes, np.int64).reshape(-1, 2),
            "bytes": np.frombuffer(b"".join(parts), np.uint8),
        }

    def load(self, state: Mapping[str, Array]) -> None:
        """Become what :meth:`state` was taken of."""
        self._kept, self._bytes, start = {}, 0, 0
        whole = state["bytes"].tobytes()
        for image, length, size in zip(
            *(state[name].tolist() for name in ("image", "length", "size")), strict=True
        ):
            part = whole[start : start + length]
            start += length
            raw = np.frombuffer(part, np.uint8).reshape(*size, 3) if size[0] else part
            self._put(image, raw)


def _packed(picture: NDArray[np.uint8]) -> NDArray[np.uint8] | bytes:
    if max(picture.shape[:2]) <= _RAW:
        return picture.copy()
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()
