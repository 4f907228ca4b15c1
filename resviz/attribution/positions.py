"""How a layer's output is read as feature maps (N, C, h, w), whatever the order of its axes.

Convolutional networks give (N, C, H, W), Swin (N, H, W, C), vision transformers tokens (N, T, C)
with a class token before those of the patches; of signals (N, C, l), of text (N, T, C), of video
(N, C, t, h, w) and tokens of it. The layers that made a tensor say which axis is
which (:mod:`resviz.networks.anatomy.axes`); shapes decide only where nothing else does, and then
the reading, the record and its diagnosis say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.networks.anatomy.axes.axis import CHANNELS, IMAGES, MIXED, Axis, Layout

_LEADING = 8  # class, distillation and register tokens at the most
_ORDER = "Dt" + "cHh" + "Ww"  # rows before columns; "c" where the input has its channels last

Reshape = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Reading:
    """How a tensor is read.

    Attributes:
        axes: "NCHW", "NHWC", "NTC" (tokens) or another order, or "own": the caller's own function;
            of signals "NCL", of video "NCDHW".
        grid: (h, w) positions; (l,) of signals and text, (t, h, w) of video.
        leading: tokens before those of the positions, left out.
        channel: axis of the channels in the tensor itself.
        own: that function.
        across: tokens run down the columns of the grid, not along its rows.
        said: the layers said so; False where the shape alone decided.
    """

    axes: str
    grid: tuple[int, ...]
    leading: int = 0
    channel: int = 1
    own: Reshape | None = None
    across: bool = False
    said: bool = True

    def maps(self, tensor: Tensor) -> Tensor:
        """(N, C, *grid), a view where that can be."""
        if self.own is not None:
            return self.own(tensor)
        if "T" not in self.axes:
            order = [letter for letter in "NCDHWL" if letter in self.axes]
            return tensor.permute([self.axes.index(letter) for letter in order])
        tokens = tensor.permute([self.axes.index(letter) for letter in "NCT"])
        tokens = tokens.narrow(2, self.leading, math.prod(self.grid))
        grid = self.grid[::-1] if self.across else self.grid
        maps = tokens.reshape(*tokens.shape[:2], *grid)
        return maps.mT if self.across else maps

    def words(self) -> str:
        """For the record: ``"tokens 1 to 196 as 14 x 14"``."""
        words = {"NHWC": "channels last", "own": "reshaped by the caller"}
        words |= dict.fromkeys(("NCHW", "NCL", "NCDHW"), "")
        said = words.get(self.axes, f"axes {self.axes}")
        if "T" in self.axes:
            said = f"tokens {self.leading} to {self.leading + math.prod(self.grid) - 1}"
            said += f" as {' x '.join(map(str, self.grid))}" if len(self.grid) > 1 else ""
            said += ", columns first" if self.across else ""
        return said if self.said else f"{said or 'channels first'}, by its shape alone"


def read(
    shape: Sequence[int],
    image: Sequence[int] | None,
    grids: Sequence[tuple[int, int]],
    layout: Layout | None = None,
) -> Reading | None:
    """The reading of a tensor of this shape, None where it has no positions.

    Args:
        shape: of the layer's output.
        image: (height, width) of the input; (length,) of a signal or text, (t, h, w) of a clip;
            None where it is none of these.
        grids: (h, w) of the convolutions that ran before: where tokens come from, if need be.
        layout: which axis is which, as the layers say; None where they say nothing.
    """
    if image is not None and len(image) != 2 and not (len(image) == 1 and len(shape) == 4):
        return _read_along(shape, image, layout)
    if len(shape) not in (3, 4):
        return None
    if layout is not None and _settled(layout):
        return _read_by_layers(layout)
    channels = [n for n, axis in enumerate(layout or ()) if CHANNELS in axis.names]
    if len(channels) > 1 or 0 in channels or (image is not None and len(image) == 1):
        return None
    return _read_by_shape(shape, image, grids, channels[0] if channels else None)


# ---- by the layers
def _settled(layout: Layout) -> bool:
    """True where the layers leave nothing open: one said where the channels are, or mixed them."""
    said = any(axis.names & {CHANNELS, MIXED} for axis in layout)
    return said and not any("?" in axis.names for axis in layout[1:])


def _read_by_layers(layout: Layout) -> Reading | None:
    """Images, channels, and rows and columns, each axis once; anything else is no map."""
    first, *rest = layout
    channels = [n for n, axis in enumerate(layout) if CHANNELS in axis.names]
    if first.names - {IMAGES, "?"} or len(channels) != 1:
        return None
    places = [axis for axis in rest if CHANNELS not in axis.names]
    if not all(axis.positions or axis.size == 1 for axis in places):
        return None
    if any(axis.reordered for axis in places):
        return None
    if any(atom.step * atom.size != atom.total for axis in places for atom in axis.atoms):
        return None  # a position inside a window
    (channel,) = channels
    return _of_tokens(places[0], channel) if len(places) == 1 else _of_grid(places, channel)


def _of_tokens(axis: Axis, channel: int) -> Reading | None:
    names = [atom.name for atom in axis.atoms]
    if not names or len(names) > 2 or any(name not in "HWhw" for name in names):
        return None
    ranks, sizes = [_ORDER.index(name) for name in names], [atom.size for atom in axis.atoms]
    if len(names) == 1:  # the other one was summed over, or went into the channels
        grid = (sizes[0], 1) if names[0] in "Hh" else (1, sizes[0])
        across = False
    else:
        across = ranks[0] > ranks[1]
        grid = (sizes[1], sizes[0]) if across else (sizes[0], sizes[1])
    order = "NCT" if channel == 1 else "NTC"
    found = Reading(order, grid, axis.before, channel, across=across)
    return found if math.prod(grid) > 1 else None


def _of_grid(places: Sequence[Axis], channel: int) -> Reading | None:
    names = [axis.atoms[0].name if axis.atoms else "" for axis in places]
    if any(len(axis.atoms) > 1 or axis.before or axis.after for axis in places):
        return None  # windows and their tokens, or attention from tokens to tokens
    if any(name and name not in _ORDER for name in names) or names[0] == names[1] != "":
        return None
    known = all(names)
    swapped = known and _ORDER.index(names[0]) > _ORDER.index(names[1])
    letters, sizes = ["WH" if swapped else "HW", [axis.size for axis in places]]
    order = ["N", *letters]
    order.insert(channel, CHANNELS)
    grid = (sizes[1], sizes[0]) if swapped else (sizes[0], sizes[1])
    return Reading("".join(order), grid, 0, channel) if math.prod(grid) > 1 else None


# ---- signals, text, video
def _read_along(shape: Sequence[int], size: Sequence[int], layout: Layout | None) -> Reading | None:
    """Of a signal or a text, whose positions are along one axis, or a clip, along three."""
    if layout is not None and _settled(layout):
        channels = [n for n, axis in enumerate(layout) if CHANNELS in axis.names]
        places = [axis for axis in layout[1:] if CHANNELS not in axis.names]
        if len(channels) != 1 or not all(axis.positions or axis.size == 1 for axis in places):
            return None
        return _of_places(places, channels[0], len(size))
    if len(shape) != len(size) + 2:
        return None
    last = tuple(shape[1:-1]) == tuple(size) != tuple(shape[2:])
    letters = "L" if len(size) == 1 else "DHW"
    order = f"N{letters}C" if last else f"NC{letters}"
    grid = tuple(shape[1:-1] if last else shape[2:])
    found = Reading(order, grid, 0, order.index("C"), said=False)
    return found if math.prod(grid) > 1 else None


def _of_places(places: Sequence[Axis], channel: int, axes: int) -> Reading | None:
    """Positions known by the layers: an axis for each, or all of a clip's along one, as tokens."""
    whole = all(atom.step * atom.size == atom.total for axis in places for atom in axis.atoms)
    whole = whole and not any(axis.reordered for axis in places)
    if not whole or channel == 0 or len(places) not in (1, axes):
        return None
    atoms = [atom for axis in places for atom in axis.atoms]
    names = [atom.name for atom in atoms if atom.size > 1]
    ranks = [("DtHhWw" if axes == 3 else "LlDtHhWwc").find(name) // 2 for name in names]
    if len(atoms) > axes or len(set(ranks)) < len(ranks) or ranks != sorted(ranks) or -1 in ranks:
        return None
    if len(places) == 1 and (axes == 3 or channel == 2):  # tokens
        grid = tuple(atom.size for atom in atoms)
        found = Reading("NCT" if channel == 1 else "NTC", grid, places[0].before, channel)
        return found if len(grid) == axes and math.prod(grid) > 1 else None
    if any(axis.before or axis.after for axis in places):
        return None
    order = list("N" + ("L" if axes == 1 else "DHW"))
    order.insert(channel, CHANNELS)
    grid = tuple(axis.size for axis in places)
    return Reading("".join(order), grid, 0, channel) if math.prod(grid) > 1 else None


# ---- by the shape
def _read_by_shape(
    shape: Sequence[int],
    image: Sequence[int] | None,
    grids: Sequence[tuple[int, int]],
    channel: int | None,
) -> Reading | None:
    """The reading that the sizes allow; `channel` is the axis of the channels where it is known."""
    if len(shape) == 3:
        axis = 1 if channel == 2 or channel is None else 2
        found = _grid_of_tokens(shape[axis], image, grids)
        if found is None:
            return None
        order, leading = ("NTC", "NCT")[axis - 1], shape[axis] - math.prod(found)
        return Reading(order, found, leading, 3 - axis, said=False)
    last = _is_last(shape, image) if channel is None else channel == 3
    if channel == 2 or (channel == 3 and _uneven(shape[1:3], image)):
        return None  # windows and the like
    grid = (shape[1], shape[2]) if last else (shape[2], shape[3])
    order = "NHWC" if last else "NCHW"
    return Reading(order, grid, 0, order.index("C"), said=False) if min(grid) > 1 else None


def _is_last(shape: Sequence[int], image: Sequence[int] | None) -> bool:
    """Whether the channels are the last axis, as the picture's proportions have it."""
    return bool(_uneven(shape[2:], image)) and not _uneven(shape[1:3], image)


def _uneven(grid: Sequence[int], image: Sequence[int] | None) -> float:
    """How far a grid is from having the picture's own proportions; 0 is exact."""
    if min(grid) < 2:
        return math.inf
    image = image or (1, 1)
    tall, wide = image[0] / grid[0], image[1] / grid[1]
    # sizes are rounded at every stride: one position more or less is no difference
    slack = 1 / min(grid)
    return max(0.0, max(tall, wide) / min(tall, wide) - 1 - slack)


def _grid_of_tokens(
    tokens: int, image: Sequence[int] | None, grids: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    """A grid that a convolution gave, else the only one with the picture's proportions."""
    for h, w in reversed(grids):
        if min(h, w) > 1 and 0 <= tokens - h * w <= _LEADING:
            return h, w
    if image is None:
        return None
    for leading in range(_LEADING + 1):
        h = round(math.sqrt(max(tokens - leading, 0) * image[0] / image[1]))
        if h > 1 and (tokens - leading) % h == 0:
            w = (tokens - leading) // h
            if w > 1 and h * image[1] == w * image[0]:
                return h, w
    return None


def read_by(reshape: Reshape, output: Tensor, count: int, axes: int = 2) -> Reading:
    """The reading of a function of the caller's own, for `count` images.

    Args:
        reshape: the function.
        output: of the layer.
        count: images.
        axes: of the input's positions: for signals it may give (N, C, l), for video
            (N, C, t, h, w) too.

    Raises:
        ValueError: it does not give (N, C, h, w).
    """
    try:
        maps = reshape(output)
    except (RuntimeError, ValueError, TypeError, LookupError) as err:
        raise ValueError(
            f"{caller()}: reshape raised {type(err).__name__}: {err}, on {tuple(output.shape)}; a "
            "function to (N, C, h, w) would be right."
        ) from err
    if not isinstance(maps, Tensor) or maps.ndim not in (4, axes + 2) or len(maps) != count:
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(
            f"{caller()}: reshape gives {got} for {tuple(output.shape)}; (N, C, h, w) would be "
            "right."
        )
    return Reading("own", tuple(maps.shape[2:]), 0, _channel_axis(reshape, output), reshape)


def _channel_axis(reshape: Reshape, output: Tensor) -> int:
    """The axis of `output` along which channels lie: where channel 1's first value stands."""
    numbers = torch.arange(output.numel(), dtype=torch.float64).reshape(output.shape)
    maps = reshape(numbers)
    if maps.shape[1] < 2:
        return 1
    here, there = (
        torch.unravel_index(maps[0, channel].flatten()[0].long(), output.shape)
        for channel in (0, 1)
    )
    return next(a for a, (i, j) in enumerate(zip(here, there, strict=True)) if int(i) != int(j))


def grid_of(module: nn.Conv2d, tensor: Tensor) -> tuple[int, int] | None:
    """(h, w) of what this convolution makes of `tensor`; None for what is no batch of pictures."""
    if tensor.ndim != 4:
        return None
    if module.padding == "same":
        return tensor.shape[2], tensor.shape[3]
    padding = (0, 0) if isinstance(module.padding, str) else module.padding
    sizes = [
        (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for size, pad, dilation, kernel, stride in zip(
            tensor.shape[2:],
            padding,
            module.dilation,
            module.kernel_size,
            module.stride,
            strict=True,
        )
    ]
    return sizes[0], sizes[1]
