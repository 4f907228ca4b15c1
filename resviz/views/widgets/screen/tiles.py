"""Small pictures of a place: its strongest channels, and what its branch adds to its shortcut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from resviz.views.channels import pictures_of
from resviz.views.payload import Packing
from resviz.views.pictures import Floats
from resviz.views.widgets.screen.places import Place

CHANNELS = 24  # of a place
ADDED = 6  # channels of an addition
_FEW = 3  # of each addition of a network with very many
_MANY = 100
PARTS = ("shortcut", "branch", "sum")


def channel_tiles(
    packing: Packing,
    rec: Any,
    place: Place,
    weights: Floats | None = None,
    count: int = CHANNELS,
    most: int | None = None,
) -> dict[str, Any] | None:
    """The strongest channels of a place, one byte a value.

    Args:
        packing: gets the pictures.
        rec: the recording.
        place: of the network.
        weights: (C,) what each channel contributes to the class; None orders by the largest value.
        count: how many.
        most: positions a side; larger pictures are made smaller by means.
    """
    found = pictures_of(rec, place.key)
    if found is None or not found.maps.size:
        return None
    maps = found.maps[0]
    flat = maps.reshape(len(maps), -1)
    with np.errstate(invalid="ignore", over="ignore"):
        peak, mean = flat.max(axis=1), flat.mean(axis=1)
    keys = peak if weights is None else weights
    order = np.argsort(-np.nan_to_num(keys, nan=-np.inf), kind="stable")
    chosen = order[:count]
    told: dict[str, Any] = {
        "channels": [int(channel) for channel in chosen],
        "total": len(maps),
        "dead": int((flat == 0).all(axis=1).sum()),
        "mean": _listed(mean[chosen]),
        "max": _listed(peak[chosen]),
        "zeros": _listed((flat[chosen] == 0).mean(axis=1)),
        **packing.add_pixels(_smaller(maps[chosen], most), groups=1),
    }
    if weights is not None:
        told["weights"] = _listed(weights[chosen])
    return told


def addition_tiles(
    packing: Packing, rec: Any, addition: str, count: int, most: int | None = None
) -> dict[str, Any] | None:
    """Shortcut, branch and sum of the channels to which the branch adds most, (3, K, h, w).

    Where it adds nothing, as where it was cut, of the channels with the largest shortcut.
    """
    parts = [pictures_of(rec, f"{addition}:{part}") for part in PARTS]
    whole = [part.maps[0] for part in parts if part is not None]
    if len(whole) < len(PARTS) or len({part.shape for part in whole}) > 1:
        return None
    by = whole[1] if whole[1].any() else whole[0]
    flat = by.reshape(len(by), -1).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        rms = np.sqrt((flat**2).mean(axis=1))
    chosen = np.argsort(-np.nan_to_num(rms, nan=-np.inf), kind="stable")[:count]
    stacked = np.stack([_smaller(part[chosen], most) for part in whole])
    finite = stacked[np.isfinite(stacked)]
    return {
        "channels": [int(channel) for channel in chosen],
        "total": len(rms),
        "rms": _listed(rms[chosen]),
        "low": float(finite.min()) if finite.size else 0.0,
        "high": float(finite.max()) if finite.size else 0.0,
        **packing.add_pixels(stacked, groups=2),
    }


def _smaller(maps: Floats, most: int | None) -> Floats:
    """Maps (..., h, w) with at most so many positions a side: means of squares of positions."""
    height, width = maps.shape[-2:]
    by = 1 if most is None else -(-max(height, width) // most)
    if by == 1 or height % by or width % by:
        return maps
    squares = maps.reshape(*maps.shape[:-2], height // by, by, width // by, by)
    return squares.mean(axis=(-3, -1), dtype=np.float32)


def how_many(places: Sequence[Place]) -> int:
    """Channels of each addition: fewer, where there are very many additions."""
    return _FEW if sum(len(place.additions) for place in places) > _MANY else ADDED


def _listed(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
