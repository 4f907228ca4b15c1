"""What moves axes about: views, slices, indices, flips, rolls, joins; rules for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from resviz.networks.anatomy.axes.axis import (
    CHANNELS,
    IMAGES,
    ONE,
    Axis,
    Layout,
    beside,
    ended,
    flipped,
    fresh,
    narrowed,
    overlaid,
    picked,
    reshaped,
    resized,
    rolled,
    shuffled,
    unknown,
)
from resviz.networks.anatomy.axes.call import Call


def viewed(call: Call, out: Tensor, _: int) -> Layout | None:
    """view, flatten and their like: the same elements in another shape."""
    same = isinstance(call.tensor, Tensor) and call.tensor.numel() == out.numel()
    return reshaped(call.layout, out.shape) if same else None


_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


def permuted(call: Call, out: Tensor, _: int) -> Layout | None:
    """The same function on a small tensor whose axes differ in size tells where each goes."""
    ndim = len(call.layout)
    if ndim > len(_PRIMES):
        return None
    small = torch.empty(_PRIMES[:ndim], device="meta")
    args = [small if arg is call.tensor else arg for arg in call.args]
    kwargs = {k: small if arg is call.tensor else arg for k, arg in call.kwargs.items()}
    order = [_PRIMES.index(size) for size in call.func(*args, **kwargs).shape]
    return tuple(call.layout[axis] for axis in order)


def attribute(call: Call, out: Tensor, number: int) -> Layout | None:
    """x.T and its like; x.data, x.real."""
    name = getattr(getattr(call.func, "__self__", None), "__name__", "")
    if name in ("T", "mT", "H", "mH"):
        return permuted(call, out, number)
    return call.layout if name in ("data", "real") else None


def item(call: Call, out: Tensor, _: int) -> Layout | None:
    """Of x[...]: slices, numbers, None and Ellipsis; an axis picked by a tensor is not known."""
    index = call.args[1]
    index = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(each, Tensor | list | bool) for each in index):
        return _picked(call, out, index)
    left = list(call.layout)
    named = sum(each is not None and each is not Ellipsis for each in index)
    if Ellipsis not in index:
        index.append(Ellipsis)
    result: list[Axis] = []
    for each in index:
        if each is None:
            result.append(ONE)
        elif each is Ellipsis:
            count = len(left) - named
            result, left = [*result, *left[:count]], left[count:]
        else:
            axis, named = left.pop(0), named - 1
            result += [_sliced(axis, each)] if isinstance(each, slice) else []
    return tuple(result)


def _picked(call: Call, out: Tensor, index: Sequence[Any]) -> Layout | None:
    """x[:, order] along one axis, by a list or a tensor with one axis; the others stay."""
    at = next((number for number, each in enumerate(index) if each is Ellipsis), None)
    if at is not None:
        every = [slice(None)] * (len(call.layout) - len(index) + 1)
        index = [*index[:at], *every, *index[at + 1 :]]
    found = [number for number, each in enumerate(index) if not isinstance(each, slice)]
    if out.ndim != len(call.layout) or len(found) != 1:
        return None
    (number,) = found
    axis = _chosen(call.layout[number], index[number], out.shape[number])
    return (*call.layout[:number], axis, *call.layout[number + 1 :])


def selected(call: Call, out: Tensor, _: int) -> Layout | None:
    """index_select; gather and its like put positions into an order that is not looked at."""
    if out.ndim != len(call.layout):
        return None
    along = call.given(1, "dim", "axis") if call.name != "take_along_dim" else call.given(2, "dim")
    if not isinstance(along, int):
        return None
    number = along % out.ndim
    index = call.given(2, "index") if call.name == "index_select" else None
    axis = _chosen(call.layout[number], index, out.shape[number])
    return (*call.layout[:number], axis, *call.layout[number + 1 :])


def _chosen(axis: Axis, index: Any, size: int) -> Axis:
    """An axis of what an index picks: a list, or a tensor with one axis; None for any order."""
    if axis.whole in (CHANNELS, IMAGES):
        return fresh(axis.whole, size)
    if not axis.positions:
        return unknown(size)
    if isinstance(index, Tensor) and (index.is_meta or index.dtype is torch.bool):
        index = None
    places = index.tolist() if isinstance(index, Tensor) else index
    if not isinstance(places, list) or not all(type(each) is int for each in places):
        return shuffled(axis, size)
    return picked(axis, [each % axis.size for each in places])


def _sliced(axis: Axis, part: slice) -> Axis:
    start, stop, step = part.indices(axis.size)
    length = len(range(start, stop, step))
    return narrowed(axis, start, length) if step == 1 else resized(axis, length)


def _along(call: Call, place: int, default: int = 0) -> int:
    return int(call.given(place, "dim", "axis", default=default)) % len(call.layout)


def parts(call: Call, out: Tensor, number: int) -> Layout | None:
    """split, chunk, narrow: a part along one axis; parts are of one size but for the last."""
    if call.name == "narrow":
        axis = _along(call, 1)
        start = call.given(2, "start")
        start = int(start) % max(1, call.layout[axis].size)
    else:
        axis = _along(call, 2)
        sizes = call.given(1, "split_size_or_sections", "split_size", "chunks")
        each = -(-call.layout[axis].size // sizes) if call.name == "chunk" else sizes
        start = sum(each[:number]) if isinstance(each, list | tuple) else number * each
    part = narrowed(call.layout[axis], start, out.shape[axis])
    return (*call.layout[:axis], part, *call.layout[axis + 1 :])


def unbound(call: Call, _: Tensor, __: int) -> Layout:
    """unbind, select: an axis less."""
    axis = _along(call, 1)
    return (*call.layout[:axis], *call.layout[axis + 1 :])


def concatenated(call: Call, out: Tensor, _: int) -> Layout | None:
    """cat: parts one behind the other along an axis."""
    axis = int(call.given(1, "dim", "axis", default=0)) % out.ndim
    layouts = [call.of(part) for part in call.tensor if part.ndim == out.ndim]
    shape = [1 if number == axis else size for number, size in enumerate(out.shape)]
    others = [(*one[:axis], ONE, *one[axis + 1 :]) for one in layouts]
    result = list(overlaid(others, shape))
    result[axis] = beside([one[axis] for one in layouts])
    return tuple(result)


def stacked(call: Call, out: Tensor, _: int) -> Layout:
    """stack: a new axis."""
    axis = int(call.given(1, "dim", "axis", default=0)) % out.ndim
    shape = [size for number, size in enumerate(out.shape) if number != axis]
    rest = overlaid([call.of(part) for part in call.tensor], shape)
    return (*rest[:axis], unknown(out.shape[axis]), *rest[axis:])


def expanded(call: Call, out: Tensor, _: int) -> Layout:
    """expand: what had one element has several."""
    return overlaid([call.layout], out.shape)


def repeated(call: Call, out: Tensor, _: int) -> Layout | None:
    """repeat, tile: an axis of which there is more is another one."""
    if out.ndim != len(call.layout):
        return None
    sizes = zip(call.layout, out.shape, strict=True)
    return tuple(axis if axis.size == size else unknown(size) for axis, size in sizes)


def reduced(call: Call, out: Tensor, _: int) -> Layout | None:
    """sum, mean, max along some axes, which are left out or of size 1."""
    layout = call.layout
    dims = call.given(2 if "norm" in call.name else 1, "dim", "axis")
    if not isinstance(dims, int | list | tuple) or isinstance(dims, bool):
        return None
    gone = {int(d) % len(layout) for d in ([dims] if isinstance(dims, int) else dims)}
    if out.ndim == len(layout):
        return tuple(ONE if number in gone else axis for number, axis in enumerate(layout))
    return tuple(axis for number, axis in enumerate(layout) if number not in gone)


def flip(call: Call, out: Tensor, _: int) -> Layout:
    """flip, fliplr, flipud: positions run backwards."""
    dims = {"fliplr": 1, "flipud": 0}.get(call.name)
    given = call.given(1, "dims") if dims is None else dims
    several = given if isinstance(given, list | tuple) else [given, *call.args[2:]]
    turned = {int(axis) % len(call.layout) for axis in several}
    return tuple(
        flipped(axis) if number in turned and axis.positions else axis
        for number, axis in enumerate(call.layout)
    )


def roll(call: Call, out: Tensor, _: int) -> Layout | None:
    """roll: positions go round; without axes named, over all of them as one."""
    shifts, dims = call.given(1, "shifts"), call.given(2, "dims", default=())
    shifts, dims = (list(v) if isinstance(v, list | tuple) else [v] for v in (shifts, dims))
    result = list(call.layout)
    if not dims:
        return tuple(shuffled(axis, axis.size) if axis.size > 1 else axis for axis in result)
    for shift, axis in zip(shifts, dims, strict=True):
        if result[axis].positions:
            result[axis] = rolled(result[axis], int(shift))
    return tuple(result)


def turned(call: Call, out: Tensor, _: int) -> Layout:
    """rot90: axes change places, one of them backwards; twice, both are backwards."""
    turns = int(call.given(1, "k", default=1)) % 4
    one, other = (int(d) for d in call.given(2, "dims", default=(0, 1)))
    result = list(call.layout)
    for axis in {0: (), 1: (other,), 2: (one, other), 3: (one,)}[turns]:
        if result[axis].positions:
            result[axis] = flipped(result[axis])
    if turns % 2:
        result[one], result[other] = result[other], result[one]
    return tuple(result)


def sorted_along(call: Call, out: Tensor, _: int) -> Layout:
    """sort: positions by what lies there."""
    number = _along(call, 1, -1)
    axis = call.layout[number]
    axis = shuffled(axis, axis.size) if axis.positions else axis
    return (*call.layout[:number], axis, *call.layout[number + 1 :])


def warped(call: Call, out: Tensor, _: int) -> Layout | None:
    """grid_sample: each position is read from somewhere in the picture."""
    if out.ndim != len(call.layout):
        return None
    places = zip(call.layout[2:], out.shape[2:], strict=True)
    return (*call.layout[:2], *(shuffled(axis, size) for axis, size in places))


def rescaled(call: Call, out: Tensor, _: int) -> Layout | None:
    """interpolate, pad: the order stays, sizes may change."""
    if out.ndim != len(call.layout):
        return None
    sizes = list(zip(call.layout, out.shape, strict=True))
    if call.name == "pad" and not any(call.given(1, "pad")[::2]):
        return tuple(ended(axis, size) for axis, size in sizes)
    return tuple(resized(axis, size) for axis, size in sizes)
