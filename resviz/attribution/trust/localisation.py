"""Does a map lie on the object? Three measures against boxes or masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from resviz.arguments import caller
from resviz.attribution.trust.removal import ranks_of


def pointing(values: Tensor, mask: Tensor) -> bool:
    """Whether the maximum lies inside: Zhang et al. 2016, arXiv 1608.00507, section 4.1.

    Where several pixels share the maximum, all of them must. No tolerance around the mask is given.
    https://arxiv.org/abs/1608.00507

    Example:
        >>> pointing(torch.tensor([[0.4, 0.3], [0.2, 0.1]]), torch.tensor([[True, False]] * 2))
        True
    """
    return bool(mask[values == values.max()].all())


def energy(values: Tensor, mask: Tensor) -> float:
    """The share of the positive mass inside: Wang et al. 2019 (Score-CAM), arXiv 1910.01279, 4.3.

    sum_inside L / sum L, negative values as 0; NaN for a map without a positive value.
    https://arxiv.org/abs/1910.01279

    Example:
        >>> energy(torch.tensor([[3.0, 1.0], [-4.0, 0.0]]), torch.tensor([[True, False]] * 2))
        0.75
    """
    positive = values.double().clamp(min=0)
    total = float(positive.sum())
    return float(positive[mask].sum()) / total if total > 0 else float("nan")


def iou(values: Tensor, mask: Tensor) -> float:
    """Intersection over union of the mask with as many of the most relevant pixels as it has.

    No threshold is chosen: for a mask of n pixels the n most relevant ones are taken, equal values
    in the order of their pixels. With k of them inside that is k / (2 n - k).

    Example:
        >>> iou(torch.tensor([[4.0, 3.0], [2.0, 1.0]]), torch.tensor([[True, False]] * 2))
        0.3333333333333333
    """
    count = int(mask.sum())
    inside = int(mask[ranks_of(values) < count].sum())
    return inside / (2 * count - inside)


# ---- what the caller gives
def read_masks(boxes: Any, masks: Any, count: int, size: tuple[int, ...]) -> Tensor | None:
    """(N, H, W) bool on the CPU, from boxes or masks; None where neither is given.

    Of signals and tokens (N, L), from [start, end); of video (N, t, H, W), a box in every frame.

    Raises:
        TypeError: masks that are not bool, boxes that are no numbers.
        ValueError: both; another number or another shape than the images; a box that is empty or
            not inside the picture; a mask without a pixel.
    """
    if boxes is not None and masks is not None:
        raise ValueError(f"{caller()}: boxes and masks; one of the two would be right.")
    if masks is not None:
        return _checked_masks(masks, count, size)
    if boxes is None:
        return None
    rows = boxes.tolist() if hasattr(boxes, "tolist") else list(boxes)
    if len(rows) != count:
        raise ValueError(
            f"{caller()}: boxes for {len(rows)} images, and there are {count}; one entry per "
            "image would be right: [left, top, right, bottom], or a list of those."
        )
    return torch.stack([_of_boxes(row, image, size) for image, row in enumerate(rows)])


def _checked_masks(masks: Any, count: int, size: tuple[int, ...]) -> Tensor:
    given = torch.as_tensor(masks).cpu()
    if given.dtype != torch.bool:
        raise TypeError(
            f"{caller()}: masks of {given.dtype}; torch.bool would be right: masks > 0."
        )
    if tuple(given.shape) != (count, *size):
        raise ValueError(
            f"{caller()}: masks of shape {tuple(given.shape)}; {(count, *size)}, the images' "
            "number and size, would be right."
        )
    for image, one in enumerate(given):
        if not bool(one.any()):
            raise ValueError(
                f"{caller()}: the mask of image {image} holds no pixel; one with the object "
                "would be right. Leave pictures without it out."
            )
    return given


def _of_boxes(row: Any, image: int, size: tuple[int, ...]) -> Tensor:
    if not isinstance(row, Sequence | Tensor) or isinstance(row, str) or len(row) == 0:
        form = "[start, end]" if len(size) == 1 else "[left, top, right, bottom]"
        raise TypeError(
            f"{caller()}: boxes of image {image} are {row!r}; {form}, or a list of those, would be "
            "right."
        )
    several = [row] if isinstance(row[0], int | float) else list(row)
    mask = torch.zeros(size, dtype=torch.bool)
    for box in several:
        if len(size) == 1:
            start, end = _checked_span(box, image, size[0])
            mask[start:end] = True
        else:
            left, top, right, bottom = _checked_box(box, image, size)
            mask[..., top:bottom, left:right] = True
    return mask


def _checked_span(span: Any, image: int, length: int) -> tuple[int, int]:
    numbers = _numbers(span, image, "two")
    if len(numbers) == 2 and all(edge.is_integer() for edge in numbers):
        start, end = (int(edge) for edge in numbers)
        if 0 <= start < end <= length:
            return start, end
    raise ValueError(
        f"{caller()}: box {span!r} of image {image}; whole positions [start, end] with 0 <= start "
        f"< end <= {length} would be right."
    )


def _numbers(box: Any, image: int, count: str) -> list[float]:
    try:
        return [float(edge) for edge in box]
    except (TypeError, ValueError) as err:
        raise TypeError(f"{caller()}: box {box!r} of image {image}; {count} numbers.") from err


def _checked_box(box: Any, image: int, size: tuple[int, ...]) -> list[int]:
    numbers = _numbers(box, image, "four")
    height, width = size[-2:]
    whole = len(numbers) == 4 and all(edge.is_integer() for edge in numbers)
    if whole:
        left, top, right, bottom = (int(edge) for edge in numbers)
        if 0 <= left < right <= width and 0 <= top < bottom <= height:
            return [left, top, right, bottom]
    raise ValueError(
        f"{caller()}: box {box!r} of image {image}; whole pixels [left, top, right, bottom] with "
        f"0 <= left < right <= {width} and 0 <= top < bottom <= {height}, on the picture as the "
        "network gets it, would be right."
    )
