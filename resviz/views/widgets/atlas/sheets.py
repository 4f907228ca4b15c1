"""Many small pictures as a few JPEG sheets, which the browser decodes when it needs them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from resviz.views.payload import Packing
from resviz.views.pictures import Pixels

_SHEET = 768  # pixels across and down, about
_UNIT = 8  # a JPEG block: no picture shares one with its neighbour
_QUALITY = 85


def packed_sheets(packing: Packing, pictures: Iterable[Pixels], side: int) -> dict[str, Any]:
    """Append pictures of at most `side` pixels, each in a cell of its own; what the browser reads.

    Returns:
        ``cell`` and ``columns``, how many cells a sheet has (``cells``), ``sheets``: a reference
        to the bytes of each.
    """
    cell, columns = _grid(side)
    sheets = [packing.add(np.frombuffer(s, np.uint8)) for s in _sheets(pictures, cell, columns)]
    return {"cell": cell, "columns": columns, "cells": columns * columns, "sheets": sheets}


def bytes_of(pictures: Sequence[Pixels], side: int) -> float:
    """Of one picture in a sheet, on average."""
    if not pictures:
        return 0.0
    return sum(len(sheet) for sheet in _sheets(pictures, *_grid(side))) / len(pictures)


def fitted(picture: Pixels, side: int) -> Pixels:
    """A picture whose longer side is at most `side` pixels."""
    height, width = picture.shape[:2]
    longer = max(height, width)
    if longer <= side:
        return picture
    size = (max(1, round(width * side / longer)), max(1, round(height * side / longer)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _grid(side: int) -> tuple[int, int]:
    """Pixels of a cell, and cells across and down a sheet."""
    cell = max(-(-side // _UNIT), 1) * _UNIT
    return cell, max(_SHEET // cell, 1)


def _sheets(pictures: Iterable[Pixels], cell: int, columns: int) -> Iterator[bytes]:
    """One JPEG after the other, each of `columns` x `columns` cells at most."""
    waiting: list[Pixels] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == columns * columns:
            yield _sheet(waiting, cell, columns)
            waiting = []
    if waiting:
        yield _sheet(waiting, cell, columns)


def _sheet(pictures: Sequence[Pixels], cell: int, columns: int) -> bytes:
    rows = -(-len(pictures) // columns)
    canvas = np.zeros((rows * cell, min(columns, len(pictures)) * cell, 3), np.uint8)
    for n, picture in enumerate(pictures):
        top, left = n // columns * cell, n % columns * cell
        missing = [(0, cell - size) for size in picture.shape[:2]]
        canvas[top : top + cell, left : left + cell] = np.pad(picture, [*missing, (0, 0)], "edge")
    written = io.BytesIO()
    Image.fromarray(canvas).save(written, "JPEG", quality=_QUALITY, subsampling=0)
    return written.getvalue()
