"""What an atlas says of each channel, as arrays for the browser."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.scanning import tables
from resviz.views.payload import Packing

BINS = 24
_NUMBERS = {
    **{"mean": "mean", "std": "std", "min": "min", "max": "max", "zeros": "zero_fraction"},
    **{"active": "active_images", "bound": "active_bound", "median": "median"},
    **{"selectivity": "selectivity"},
}
_NEAREST = 8
_CLASSES = 10  # of a channel
_FOUND = 60  # channels of a class
_WHOLE = 2**31 - 1


def packed_layer(packing: Packing, scan: Any, number: int) -> dict[str, Any]:
    """Append what is known of the channels of a layer; what the browser reads."""
    site = scan.plan.sites[number]
    about = {
        **{"key": site.key, "type": site.type, "depth": site.depth, "stage": site.stage},
        **{"channels": site.channels, "positions": list(site.positions)},
        "field": None if site.field is None else _field(site.field),
    }
    table = scan.channels[scan.channels["layer"] == site.key]
    there = {own: name for own, name in _NUMBERS.items() if name in table}
    numbers = {own: packing.add(table[n].to_numpy(np.float32)) for own, n in there.items()}
    parts = {"numbers": numbers, "top": _top(packing, scan, number)}
    measures = scan.seen.measures
    if "quantiles" in measures:
        parts["histogram"] = _histogram(packing, scan, number)
    if "classes" in measures and scan.plan.classes:
        parts["preferred"] = _preferred(packing, scan, site.key)
    if "correlation" in measures:
        parts["nearest"] = _nearest(packing, scan, number)
    return about | parts


def packed_found(packing: Packing, scan: Any) -> dict[str, Any] | None:
    """Append, for each class, the channels of all layers that stand out for it most."""
    if "classes" not in scan.seen.measures or not scan.plan.classes:
        return None
    counts = [site.channels for site in scan.plan.sites]
    count = min(_FOUND, sum(counts))
    layers = np.repeat(np.arange(len(counts)), counts)
    channels = np.concatenate([np.arange(each) for each in counts])
    effects = [tables.effects(scan.seen, number) for number in range(len(counts))]
    shape = (len(scan.plan.classes), count)
    layer, channel = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    effect = np.full(shape, np.nan, np.float32)
    for row in range(len(scan.plan.classes)):
        values = np.concatenate([each[row] for each in effects])
        clean = np.where(values > 0, values, 0)
        order = np.argsort(-clean, kind="stable")[:count]
        order = order[clean[order] > 0]
        at = slice(0, len(order))
        layer[row, at], channel[row, at] = layers[order], channels[order]
        effect[row, at] = values[order]
    named = {"layer": layer, "channel": channel, "effect": effect}
    return {name: packing.add(array) for name, array in named.items()}


def _field(field: Any) -> dict[str, list[int]]:
    return {name: list(getattr(field, name)) for name in ("size", "step", "start")}


def _top(packing: Packing, scan: Any, number: int) -> dict[str, Any]:
    """(top, channels): value, image, row, column; image -1 where there is none."""
    arrays = scan.measured("top").arrays
    value, image, row, column = (
        arrays[f"{number}/{name}"] for name in ("value", "image", "row", "column")
    )
    return {
        "value": packing.add(value.astype(np.float32)),
        "image": packing.add(np.minimum(image, _WHOLE).astype(np.int32)),
        "row": packing.add(row.astype(np.int32)),
        "column": packing.add(column.astype(np.int32)),
    }


def _histogram(packing: Packing, scan: Any, number: int) -> dict[str, Any]:
    """Ends, and (channels, BINS) shares of the images in 65535ths."""
    low, high, shares = scan.measured("quantiles").histograms(number, BINS)
    coded = np.rint(shares * 65535).astype(np.uint16)
    ends = {"low": low, "high": high}
    return {name: packing.add(end.astype(np.float32)) for name, end in ends.items()} | {
        "shares": packing.add(coded)
    }


def _preferred(packing: Packing, scan: Any, layer: str) -> dict[str, Any]:
    """(channels, classes of each): those with the largest mean activation, and that mean."""
    means = scan.class_means(layer).to_numpy()
    index, value = _largest(means, _CLASSES)
    return {"class": packing.add(index), "mean": packing.add(value)}


def _nearest(packing: Packing, scan: Any, number: int) -> dict[str, Any]:
    """(channels, others): the channels that vary most with it, and the correlation."""
    matrix = scan.measured("correlation").matrix(number)
    np.fill_diagonal(matrix, np.nan)
    index, value = _largest(matrix, _NEAREST)
    return {"channel": packing.add(index), "correlation": packing.add(value)}


def _largest(
    values: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(rows, count): columns of the largest values, and those; -1 and NaN where there are none."""
    clean = np.where(np.isfinite(values), values, -np.inf)
    order = np.argsort(-clean, axis=1, kind="stable")[:, : min(count, values.shape[1])]
    found = np.take_along_axis(clean, order, 1)
    there = np.isfinite(found)
    index = np.where(there, order, -1).astype(np.int32)
    return index, np.where(there, found, np.nan).astype(np.float32)
