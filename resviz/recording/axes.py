"""Which axis of a kept tensor is which: as the record has it, else as its shape suggests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Order(NamedTuple):
    """The order of a tensor's axes.

    Attributes:
        axes: "NCHW", "NHWC", "NCL", "NLC" (tokens), "NC", or another order of those letters.
        said: the layers that made it said so; False where its shape alone decided.
    """

    axes: str
    said: bool


def order_of(rec: Any, layer: str | tuple[str, int]) -> Order | None:
    """The order of the axes of a kept tensor; None where it has no maps.

    Rows and columns of attention, (N, heads, tokens, tokens), count as H and W.

    Args:
        rec: a Recording.
        layer: of the tensor, as ``rec[layer]`` takes it.
    """
    key = key_of(rec, layer)
    shape = tuple(rec.tensors[key].shape)
    axes = _with_places(rec.axes.get(key, ""))
    if len(axes) == len(shape) > 0:
        return Order(axes, True)
    known = rec.layers["layer"] == key.partition("#")[0].partition(":")[0]
    guess = _guessed(shape, [str(kind) for kind in rec.layers.loc[known, "type"]], rec)
    return Order(guess, False) if guess else None


def key_of(rec: Any, layer: str | tuple[str, int]) -> str:
    """The key of a kept tensor: the first call of a module may go without its number."""
    name, call = layer if isinstance(layer, tuple) else (layer, 0)
    return name if name in rec.tensors and call == 0 else f"{name}#{call}"


def call_of(key: str) -> tuple[str, int]:
    """Layer and call of a kept tensor's key: "relu#1" is the second call of "relu"."""
    path, _, number = key.partition("#")
    return path, int(number or 0)


def image_axis(axes: str) -> int:
    """The axis of the images, by the letters of a record; the first where those do not say."""
    return max(axes.find("N"), 0)


def images_first(tensor: Tensor, axes: str, images: int) -> Tensor | None:
    """A kept tensor with its images along the first axis.

    None where no axis is that of the images: windows of several images, (images x windows, L, C),
    or one row for all.
    """
    axis = image_axis(axes)
    if tensor.ndim <= axis or tensor.shape[axis] != images:
        return None
    return tensor.movedim(axis, 0)


def shape_of_all(shape: Sequence[int], axes: str, images: int) -> tuple[int, ...]:
    """The shape over all images, from that of one."""
    axis = image_axis(axes)
    return tuple(size * images if at == axis else size for at, size in enumerate(shape))


def channel_axis(shape: Sequence[int], axes: str = "") -> int:
    """The axis of the channels, by the letters of a record.

    Where those do not say: 1 for maps (N, C, H, W), the last for tokens (N, T, C) and for maps
    (N, H, W, C), which are taken for square: sizes equal in pairs are height and width.
    """
    if len(axes) == len(shape) and "C" in _with_places(axes):
        return axes.index("C")
    last = len(shape) - 1
    if len(shape) == 3 or (len(shape) == 4 and shape[1] == shape[2] != shape[3]):
        return last
    return min(1, last)


def _with_places(axes: str) -> str:
    """The letters with each place named once; "" where channels or images are not known."""
    if axes.count("N") != 1 or axes.count("C") != 1 or "?" in axes:
        return ""
    places = {2: "", 3: "L", 4: "HW", 5: "DHW"}.get(len(axes), "")
    found = [letter for letter in axes if letter not in "NC"]
    if len(found) != len(places) or sorted(found) == sorted(places):
        return axes if len(found) == len(places) else ""
    named = iter(places)
    return "".join(letter if letter in "NC" else next(named) for letter in axes)


def _guessed(shape: Sequence[int], types: Sequence[str], rec: Any) -> str:
    """By shape, and by the kinds of layers around; as for records of before axes were kept."""
    everywhere = {str(kind) for kind in rec.layers["type"]}
    if len(shape) == 4:  # BatchNorm2d wants NCHW, also where C = H, as of a wide photograph
        last = shape[1] == shape[2] != shape[3] and "BatchNorm2d" not in everywhere
        return "NHWC" if last else "NCHW"
    if len(shape) != 3:
        return ""
    along = any("1d" in kind for kind in types)
    return "NCL" if along or any("Conv1d" in kind for kind in everywhere) else "NLC"
