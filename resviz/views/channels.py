"""`Channels`: the feature maps of one layer and one image, whatever the axes of its tensor are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.attribution.positions import read
from resviz.errors import closest
from resviz.recording.axes import Order, order_of
from resviz.views.pictures import Floats, as_array
from resviz.views.records import is_recording

SORTS = ("index", "mean", "max")
_WHOLE = {3: "NCL", 4: "NCHW", 5: "NCDHW"}  # by the number of axes


@dataclass(frozen=True)
class Channels:
    """One layer's output for one image.

    Attributes:
        layer: the key of the kept tensor.
        maps: (C, H, W), or (C, L) where positions have one axis; of video one frame's (C, H, W).
        axes: the order of axes the tensor was read in: "NCHW", "NHWC", "NCL", "NLC" or "NCDHW".
        shape: of the whole tensor.
        said: the layers said so, or the caller; False where the shape alone decided.
        frame: which, and of how many; None where there are no frames.
    """

    layer: str
    maps: Floats
    axes: str
    shape: tuple[int, ...]
    said: bool = True
    frame: tuple[int, int] | None = None

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
    frame: int | None = None,
    caller: str = "plot_feature_maps",
) -> Channels:
    """The feature maps of a kept tensor.

    Args:
        rec: a Recording.
        layer: a key of ``rec.keys()``, or (layer, call).
        image: which image of the batch.
        axes: the tensor's axes where they are not what they seem; see :class:`Channels`.
        frame: of video; None: the middle one.
        caller: the public function that speaks in an error.

    Raises:
        TypeError: no Recording.
        ValueError: the layer was not kept, there is no such image or frame, or no pictures to show.
    """
    if not is_recording(rec):
        raise TypeError(
            f"{caller}: a {type(rec).__name__}; a Recording, as rv.record gives it, is right."
        )
    name = layer if isinstance(layer, str) else f"{layer[0]}#{layer[1]}"
    try:
        tensor = rec[layer]
    except KeyError as error:
        calls = sum(key.partition("#")[0] == name for key in rec.tensors)
        if calls:
            raise ValueError(
                f"{caller}: {name!r} ran {calls} times; one of its calls would be right: "
                f"({name!r}, 0)."
            ) from error
        near = f" closest: {closest(name, rec.keys())}." if rec.keys() else ""
        raise ValueError(
            f"{caller}: {name!r} was not kept;{near or ' nothing was.'}"
            f" Keep it: rv.record(net, images, keep=[{name!r}])."
        ) from error
    shape = tuple(int(size) for size in tensor.shape)
    if axes is not None and sorted(axes) not in map(sorted, _WHOLE.values()):
        raise ValueError(
            f"{caller}: axes={axes!r}; the letters of NCHW, NCL or NCDHW, in some order."
        )
    order = order_of(rec, layer) if axes is None else Order(axes, True)
    if order is None or len(order.axes) != len(shape) or len(shape) not in _WHOLE:
        raise ValueError(
            f"{caller}: {name!r} has shape {shape}: no pictures to show; (N, C, H, W), (N, C, L),"
            " (N, T, C) or (N, C, T, H, W) can be. Its statistics are in rec.layers."
        )
    count = shape[order.axes.index("N")]
    if not 0 <= image < count:
        raise ValueError(f"{caller}: image {image} of {count}; counted from 0.")
    maps = tensor.permute(*_places(order.axes))[image]
    shown = _frame(frame, maps.shape[1] if maps.ndim == 4 else 0, name, caller)
    values = as_array(maps if shown is None else maps[:, shown[0]])
    return Channels(name, values, order.axes, shape, order.said, shown)


def _frame(frame: int | None, count: int, name: str, caller: str) -> tuple[int, int] | None:
    """Which frame of how many: the middle one where nobody says."""
    if frame is None:
        return (count // 2, count) if count else None
    if not count:
        raise ValueError(f"{caller}: frame={frame}, and {name!r} has none; leave frame out.")
    if not 0 <= frame < count:
        raise ValueError(f"{caller}: frame {frame} of {count}; counted from 0.")
    return frame, count


def has_maps(rec: Any, key: str) -> bool:
    """True for a kept tensor that :func:`maps_of` can show."""
    order = order_of(rec, key)
    return order is not None and len(order.axes) in (3, 4)


def maps_of(rec: Any, key: str) -> tuple[str, Floats]:
    """(order of axes, all of a kept tensor as (N, C, H, W) or (N, C, L))."""
    order = order_of(rec, key)
    if order is None:
        raise ValueError(f"{key!r} has no maps; ask has_maps first.")
    return order.axes, as_array(rec.tensors[key].permute(*_places(order.axes)))


@dataclass(frozen=True)
class Pictures:
    """A kept tensor as pictures.

    Attributes:
        maps: (N, C, h, w); one row where positions have one axis.
        axes: the order of axes the tensor was read in.
        position: what a position is: "positions", "patches" or "tokens".
        left_out: tokens that have no place in the picture, such as a class token.
    """

    maps: Floats
    axes: str
    position: str
    left_out: int = 0


def pictures_of(rec: Any, key: str) -> Pictures | None:
    """A kept tensor as pictures; None for what has no maps.

    Tokens stand where their patches were; a class token has no place, and is left out. What has
    one axis of positions, or tokens of no known grid, is one row.
    """
    if key not in rec.tensors or not has_maps(rec, key):
        return None
    axes, maps = maps_of(rec, key)
    if maps.ndim == 4:
        return Pictures(maps, axes, "positions")
    size = rec.provenance.get("input_shape") or ()
    if axes == "NLC" and len(size) == 4:
        tokens = np.moveaxis(maps, 1, 2)
        found = read(tokens.shape, [int(side) for side in size[-2:]], ())
        if found is not None:
            kept = maps[:, :, found.leading :].reshape(*maps.shape[:2], *found.grid)
            return Pictures(np.ascontiguousarray(kept), axes, "patches", found.leading)
    return Pictures(maps[:, :, None, :], axes, "tokens" if axes == "NLC" else "positions")


def _places(axes: str) -> list[int]:
    return [axes.index(letter) for letter in _WHOLE[len(axes)]]


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
