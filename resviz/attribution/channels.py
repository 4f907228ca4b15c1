"""What each channel of a layer speaks for: its part in a score, to first order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from resviz.attribution.engine import Captured
from resviz.attribution.layer import Layer
from resviz.attribution.positions import Reading
from resviz.networks.outputs import widened


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a layer, for N images with T targets each; on the CPU, float32 or better.

    Attributes:
        contribution: (N, T, C): the sum over all positions, those of class tokens too, of gradient
            times activation. NaN where an image has fewer targets.
        weight: (N, T, C): the mean of the gradient over the positions of a map, w_k of Grad-CAM
            (Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391, Eq. 1).
        mean: (N, C) of the activation over those positions. max: likewise the largest.
    """

    contribution: Tensor
    weight: Tensor
    mean: Tensor
    max: Tensor

    def named(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def channels_of(
    seen: Captured, layer: Layer, columns: int, blanked: Callable[[Tensor], Tensor]
) -> Channels:
    """The channels of a layer in a capture with gradients.

    Args:
        seen: the capture.
        layer: one of its layers.
        columns: how many of its gradients belong to targets.
        blanked: puts NaN into (N, T, ...) where an image lacks a target.
    """
    reading, maps = seen.readings[layer], widened(seen.activations[layer]).flatten(2)
    whole = _by_channel(reading, seen.outputs[layer])
    felt = [_by_channel(reading, gradient) for gradient in seen.felt[layer][:columns]]
    slopes = seen.gradients[layer][:columns]
    return Channels(
        blanked(torch.stack([(whole * gradient).sum(2) for gradient in felt], 1)).cpu(),
        blanked(torch.stack([widened(g).flatten(2).mean(2) for g in slopes], 1)).cpu(),
        maps.mean(2).cpu(),
        maps.amax(2).cpu(),
    )


def _by_channel(reading: Reading, tensor: Tensor) -> Tensor:
    """(N, C, all positions); of a reading of the caller's own those that it shows."""
    maps = reading.maps(tensor) if reading.own is not None else tensor.movedim(reading.channel, 1)
    return widened(maps).flatten(2)
