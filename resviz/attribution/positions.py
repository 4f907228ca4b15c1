"""How a layer's output is read as feature maps (N, C, h, w), whatever the order of its axes.

Convolutional networks give (N, C, H, W), Swin (N, H, W, C), vision transformers tokens (N, T, C)
with a class token before those of the patches. The reading is found from shapes, and from the kind
of the layers around where shapes leave it open; it stands in the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resviz.arguments import caller

_LEADING = 8  # class, distillation and register tokens at the most
_FIRST = (
    *(nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)

Reshape = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Reading:
    """How a tensor is read.

    Attributes:
        axes: "NCHW", "NHWC", "NTC" (tokens), or "own": the caller's own function.
        grid: (h, w) positions.
        leading: tokens before those of the positions, left out.
        channel: axis of the channels in the tensor itself.
    """

    axes: str
    grid: tuple[int, int]
    leading: int = 0
    channel: int = 1
    own: Reshape | None = None

    def maps(self, tensor: Tensor) -> Tensor:
        """(N, C, h, w), a view where that can be."""
        if self.own is not None:
            return self.own(tensor)
        if self.axes == "NHWC":
            return tensor.permute(0, 3, 1, 2)
        if self.axes == "NTC":
            tokens = tensor[:, self.leading :].transpose(1, 2)
            return tokens.reshape(*tokens.shape[:2], *self.grid)
        return tensor

    def words(self) -> str:
        """For the record: ``"tokens 1 to 196 as 14 x 14"``."""
        h, w = self.grid
        if self.axes == "NTC":
            return f"tokens {self.leading} to {self.leading + h * w - 1} as {h} x {w}"
        return {"NCHW": "", "NHWC": "channels last", "own": "reshaped by the caller"}[self.axes]


def read(
    shape: Sequence[int],
    image: Sequence[int] | None,
    grids: Sequence[tuple[int, int]],
    channels_last: Callable[[], bool | None] = lambda: None,
) -> Reading | None:
    """The reading of a tensor of this shape, None where it has no positions.

    Args:
        shape: of the layer's output.
        image: (height, width) of the input, None where it is no picture.
        grids: (h, w) of the convolutions that ran before: where tokens come from.
        channels_last: what the layers around say, where the shape fits both orders, or none.
    """
    if len(shape) == 4:
        last = _is_last(shape, image, channels_last)
        if last is None:
            return None
        grid = (shape[1], shape[2]) if last else (shape[2], shape[3])
        reading = Reading("NHWC", grid, 0, 3) if last else Reading("NCHW", grid, 0, 1)
        return reading if min(grid) > 1 else None
    if len(shape) == 3:
        found = _grid_of_tokens(shape[1], image, grids)
        return Reading("NTC", found, shape[1] - math.prod(found), 2) if found else None
    return None


def _is_last(
    shape: Sequence[int], image: Sequence[int] | None, channels_last: Callable[[], bool | None]
) -> bool | None:
    """Whether the channels are the last axis; None for windows and the like, which are no map."""
    first, last = _uneven(shape[2:], image) == 0, _uneven(shape[1:3], image) == 0
    if first != last:
        return last
    known = channels_last()
    if first:  # both orders have the picture's proportions
        return bool(known)
    return None if known else False  # a convolution may change the proportions


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


def is_channels_last(net: nn.Module, path: str) -> bool | None:
    """What the layers in a module say of its output's order, or those before it; None: nothing.

    Linear layers and LayerNorm work on the last axis, convolutions, BatchNorm and pooling on the
    first after N.
    """
    inside = [name for name, _ in net.get_submodule(path).named_modules()]
    end = f"{path}.{inside[-1]}" if inside[-1] else path
    known: bool | None = None
    for name, module in net.named_modules():
        kind = _order(module)
        known = kind if kind is not None else known
        if name == end:
            break
    return known


def _order(module: nn.Module) -> bool | None:
    dims = getattr(module, "dims", None)  # torchvision.ops.Permute
    if type(module).__name__ == "Permute" and isinstance(dims, list | tuple) and len(dims) == 4:
        return {(0, 2, 3, 1): True, (0, 3, 1, 2): False}.get(tuple(dims))
    if type(module) in (nn.Linear, nn.LayerNorm):
        return True
    return False if isinstance(module, _FIRST) else None


def read_by(reshape: Reshape, output: Tensor, count: int) -> Reading:
    """The reading of a function of the caller's own, for `count` images.

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
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != count:
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(
            f"{caller()}: reshape gives {got} for {tuple(output.shape)}; (N, C, h, w) would be "
            "right."
        )
    return Reading(
        "own", (maps.shape[2], maps.shape[3]), 0, _channel_axis(reshape, output), reshape
    )


def _channel_axis(reshape: Reshape, output: Tensor) -> int:
    """The axis of `output` along which channels lie: where channel 1's first value stands."""
    numbers = torch.arange(output.numel(), dtype=torch.float64).reshape(output.shape)
    maps = reshape(numbers)
    if maps.shape[1] < 2:
        return 1
    here, there = (
        torch.unravel_index(maps[0, channel, 0, 0].long(), output.shape) for channel in (0, 1)
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
