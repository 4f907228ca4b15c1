"""Maps in the coordinates of the photographs that the images were cut from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from resviz.arguments import caller
from resviz.images.origin import Origin


def origins_of(about: Mapping[str, Any], count: int, sources: object = None) -> list[Origin]:
    """Where each of `count` images was in its photograph: as given, or as the record says.

    Raises:
        TypeError: sources that are no sequence of :class:`Origin`.
        ValueError: nobody knows, or sources of other images.
    """
    if sources is None:
        found = [Origin.from_json(each) for each in about.get("sources", ())]
        if not found:
            raise ValueError(
                f"{caller()}: images of which nobody knows where they were in their photographs; "
                "those of rv.load_images as it gave them, not a part of them, and not written to. "
                "Pass sources=rv.sources_of(images), or a part of it for a part of the images."
            )
    else:
        listed = isinstance(sources, Sequence) and not isinstance(sources, str)
        found = list(sources) if listed else []  # type: ignore[call-overload]
        if not listed or not all(isinstance(each, Origin) for each in found):
            raise TypeError(
                f"{caller()}: sources of type {type(sources).__name__}; one Origin per image, as "
                "rv.sources_of(images) gives them."
            )
    size = tuple(about.get("input_shape", ()))[-2:]
    if len(found) != count or any(each.crop != size for each in found):
        raise ValueError(
            f"{caller()}: the places of {len(found)} images of {sorted({e.crop for e in found})} "
            f"pixels, and an explanation of {count} of {size}; one for each. Pass "
            "sources=rv.sources_of(images), or the part of it that belongs to these images."
        )
    return found


def placed(maps: Sequence[Tensor], origins: Sequence[Origin]) -> Tensor | list[Tensor]:
    """Each image's maps (T, h, w) in its photograph, as one tensor where all have one size."""
    found = [
        torch.from_numpy(origin.placed(values.numpy(force=True))).to(values.dtype)
        for values, origin in zip(maps, origins, strict=True)
    ]
    same = len({tuple(each.shape) for each in found}) == 1
    return torch.stack(found) if same else found
