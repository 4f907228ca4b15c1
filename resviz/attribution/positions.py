"""How a layer's output is read as feature maps (N, C, h, w), whatever the order of its axes.

Convolutional networks give (N, C, H, W), Swin (N, H, W, C), vision transformers tokens (N, T, C)
with a class token before those of the patches. The reading is found from shapes alone and stands in
the record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

_LEADING = 8  # class, distillation and register tokens at the most

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
    shape: Sequence[int], image: Sequence[int], grids: Sequence[tuple[int, int]]
) -> Reading | None:
    """The reading of a tensor of this shape, None where it has no positions.

    Args:
        shape: of the layer's output.
        image: (height, width) of the input.
        grids: (h, w) of the convolutions that ran before: where tokens come from.
    """
    if len(shape) == 4:
        first, last = tuple(shape[2:]), tuple(shape[1:3])
        channels_last = _uneven(last, image) < _uneven(first, image)
        grid, axes = (last, "NHWC") if channels_last else (first, "NCHW")
        enough = min(grid) > 1
        return Reading(axes, (grid[0], grid[1]), 0, 3 if channels_last else 1) if enough else None
    if len(shape) == 3:
        for h, w in reversed(grids):
            if min(h, w) > 1 and 0 <= shape[1] - h * w <= _LEADING:
                return Reading("NTC", (h, w), shape[1] - h * w, 2)
    return None


def read_by(reshape: Reshape, output: Tensor) -> Reading:
    """The reading of a function of the caller's own.

    Raises:
        ValueError: it does not give (N, C, h, w).
    """
    maps = reshape(output)
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != len(output):
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(
            f"explain: reshape gives {got} for {tuple(output.shape)}; (N, C, h, w) would be right."
        )
    channel = next((a for a in range(1, output.ndim) if output.shape[a] == maps.shape[1]), 1)
    return Reading("own", (maps.shape[2], maps.shape[3]), 0, channel, reshape)


def _uneven(grid: Sequence[int], image: Sequence[int]) -> float:
    """How far a grid is from having the picture's own proportions; 0 is exact."""
    tall, wide = image[0] / grid[0], image[1] / grid[1]
    # sizes are rounded at every stride: one position more or less is no difference
    slack = 1 / min(grid)
    return max(0.0, max(tall, wide) / min(tall, wide) - 1 - slack)


def grid_of(module: nn.Conv2d, tensor: Tensor) -> tuple[int, int] | None:
    """(h, w) of what this convolution makes of `tensor`; None where its padding is a word."""
    if isinstance(module.padding, str) or tensor.ndim != 4:
        return None
    sizes = [
        (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for size, pad, dilation, kernel, stride in zip(
            tensor.shape[2:],
            module.padding,
            module.dilation,
            module.kernel_size,
            module.stride,
            strict=True,
        )
    ]
    return sizes[0], sizes[1]
