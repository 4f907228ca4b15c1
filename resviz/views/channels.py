"""`Channels`: the feature maps of one layer and one image, whatever the axes of its tensor are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.errors import closest
from resviz.views.pictures import Floats, as_array
from resviz.views.records import is_recording

SORTS = ("index", "mean", "max")


@dataclass(frozen=True)
class Channels:
    """One layer's output for one image.

    Attributes:
        layer: the key of the kept tensor.
        maps: (C, H, W), or (C, L) where positions have one axis.
        axes: the order of axes the tensor was read in: "NCHW", "NHWC", "NCL" or "NLC".
        shape: of the whole tensor.
    """

    layer: str
    maps: Floats
    axes: str
    shape: tuple[int, ...]

    @property
    def position(self) -> str:
        """What the second axis of (C, L) maps counts."""
        return "token" if self.axes == "NLC" else "position"

    def order(self, sort: str) -> NDArray[np.int64]:
        """Channel numbers by index, or from the largest mean or maximum down."""
        flat = self.maps.reshape(len(self.maps), -1)
        if sort == "index":
            return np.arange(len(flat))
        key = flat.mean(axis=1) if sort == "mean" else flat.max(axis=1)
        return np.argsort(-np.nan_to_num(key, nan=-np.inf), kind="stable")


def channels_of(
    rec: Any,
    layer: str | tuple[str, int],
    image: int = 0,
    *,
    axes: str | None = None,
    caller: str = "plot_feature_maps",
) -> Channels:
    """The feature maps of a kept tensor.

    Args:
        rec: a Recording.
        layer: a key of ``rec.keys()``, or (layer, call).
        image: which image of the batch.
        axes: the tensor's axes where they are not what they seem; see :class:`Channels`.
        caller: the public function that speaks in an error.

    Raises:
        TypeError: no Recording.
        ValueError: the layer was not kept, there is no such image, or no pictures to show.
    """
    if not is_recording(rec):
        raise TypeError(
            f"{caller}: a {type(rec).__name__}; a Recording, as rv.record gives it, is right."
        )
    name = layer if isinstance(layer, str) else f"{layer[0]}#{layer[1]}"
    try:
        tensor = rec[layer]
    except KeyError as error:
        near = f" closest: {closest(name, rec.keys())}." if rec.keys() else ""
        raise ValueError(
            f"{caller}: {name!r} was not kept;{near or ' nothing was.'}"
            f" Keep it: rv.record(net, images, keep=[{name!r}])."
        ) from error
    shape = tuple(int(size) for size in tensor.shape)
    if axes is not None and sorted(axes) not in (sorted("NCHW"), sorted("NCL")):
        raise ValueError(f"{caller}: axes={axes!r}; the letters of NCHW or NCL, in some order.")
    axes = axes or guess_axes(rec, name, shape)
    if (
        axes is None
        or len(axes) != len(shape)
        or sorted(axes) not in (sorted("NCHW"), sorted("NCL"))
    ):
        raise ValueError(
            f"{caller}: {name!r} has shape {shape}: no pictures to show; (N, C, H, W), (N, C, L) or"
            " (N, T, C) can be. Its statistics are in rec.layers."
        )
    if not 0 <= image < shape[axes.index("N")]:
        raise ValueError(f"{caller}: image {image} of {shape[axes.index('N')]}; counted from 0.")
    order = [axes.index(a) for a in ("NCHW" if len(axes) == 4 else "NCL")]
    return Channels(name, as_array(tensor.permute(*order)[image]), axes, shape)


def guess_axes(rec: Any, name: str, shape: Sequence[int]) -> str | None:
    """The axes of a tensor from its shape and its layer's type; None where it has no maps."""
    if len(shape) == 4:  # BatchNorm2d wants NCHW, also where C = H, as of a wide photograph
        last = shape[1] == shape[2] != shape[3] and "BatchNorm2d" not in set(rec.layers["type"])
        return "NHWC" if last else "NCHW"
    if len(shape) != 3:
        return None
    layer = name.partition("#")[0].partition(":")[0]
    types = set(rec.layers.loc[rec.layers["layer"] == layer, "type"])
    along = any("1d" in str(kind) for kind in types or ())
    return "NCL" if along or any("Conv1d" in str(kind) for kind in rec.layers["type"]) else "NLC"


def choose(
    channels: Channels, wanted: int | Sequence[int], sort: str, caller: str = "plot_feature_maps"
) -> NDArray[np.int64]:
    """Channel numbers to show: the first `wanted` in the order, or exactly those listed.

    Raises:
        ValueError: no such channel or order.
    """
    count = len(channels.maps)
    if sort not in SORTS:
        raise ValueError(f"{caller}: sort={sort!r}; one of {', '.join(SORTS)}.")
    if isinstance(wanted, (int, np.integer)):
        if wanted < 1:
            raise ValueError(f"{caller}: channels={wanted}; at least 1.")
        return channels.order(sort)[:wanted]
    listed = np.asarray(list(wanted), dtype=np.int64)
    wrong = [int(c) for c in listed if not 0 <= c < count]
    if wrong or not len(listed):
        raise ValueError(
            f"{caller}: channels {wrong or '[]'}; {channels.layer!r} has 0 to {count - 1}."
        )
    rank = {int(c): n for n, c in enumerate(channels.order(sort))}
    return listed if sort == "index" else np.array(sorted(listed, key=lambda c: rank[int(c)]))
