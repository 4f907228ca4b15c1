"""The positions of a dense output, (N, C, H, W), that a target is about."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from resviz.arguments import caller


def region_of(region: Any, scores: Tensor, image: int, index: int, name: str) -> Tensor | None:
    """The mask (H, W) of one image's target; None for (N, C) scores, which have no positions.

    Args:
        region: None or "predicted": where the network says this class, which is where the one
            channel of a map is above 0 (a probability over a half); "all"; or a mask.
        scores: (N, C, H, W) or (N, C).
        image: its number in the batch.
        index: of the class.
        name: of the class.

    Raises:
        TypeError: no region.
        ValueError: a region of an output without positions, of a wrong shape, or an empty one.
    """
    if scores.ndim == 2:
        if region is not None:
            raise ValueError(
                f"{caller()}: a region, and logits of shape {tuple(scores.shape)}; a "
                "network that gives a map per class, (N, C, H, W), would be right."
            )
        return None
    size = tuple(scores.shape[2:])
    if region is None or (isinstance(region, str) and region == "predicted"):
        one = scores[image]
        mask = one[0] > 0 if len(one) == 1 else one.argmax(0) == index
    elif isinstance(region, str) and region == "all":
        mask = torch.ones(size, dtype=torch.bool, device=scores.device)
    elif isinstance(region, str):
        raise ValueError(f"{caller()}: region {region!r}; 'predicted', 'all' or a mask {size}.")
    else:
        mask = _given(region, (len(scores), *size), scores.device)[image]
    if not bool(mask.any()):
        raise ValueError(
            f"{caller()}: no position of image {image} is in the region of "
            f"{name!r}; one that holds some would be right: region='all', or a mask."
        )
    return mask


def _given(region: Any, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """(N, H, W) of a mask (H, W) or (N, H, W)."""
    try:
        given = torch.as_tensor(region, device=device)
    except (TypeError, ValueError, RuntimeError) as err:
        raise TypeError(
            f"{caller()}: a region of type {type(region).__name__}; 'predicted', 'all' or "
            "a mask (H, W)."
        ) from err
    if tuple(given.shape) not in (shape[1:], shape):
        raise ValueError(
            f"{caller()}: a region of shape {tuple(given.shape)}; {shape[1:]}, as the "
            f"output, or {shape} would be right."
        )
    return (given != 0).expand(shape)
