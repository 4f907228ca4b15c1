"""Images as a network has them, back to pictures that a person can see."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resviz.arguments import caller, public
from resviz.images.reading import Source, planes
from resviz.preset import Preset, check_preset, check_scale


@public
def to_pictures(images: Tensor, preset: Preset) -> Tensor:
    """The pictures behind normalised images, as a person sees them.

    Args:
        images: (N, C, H, W), normalised with `preset`, on any device.
        preset: the one they were loaded with; its `display` says which bands are shown.

    Returns:
        (N, H, W, 3) uint8 on the CPU; a single band in grey. What left 0..255 is cut off there.

    Raises:
        TypeError: `images` is no tensor or `preset` no preset.
        ValueError: another shape, or a preset without mean and std.

    Example:
        >>> preset = Preset("mine", "own", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), None, None)
        >>> to_pictures(torch.zeros(1, 3, 2, 2), preset)[0, 0, 0]
        tensor([128, 128, 128], dtype=torch.uint8)
    """
    check_preset(preset)
    if not isinstance(images, Tensor):
        raise TypeError(f"{caller()}: images of type {type(images).__name__}; a tensor.")
    check_scale(preset)
    channels = preset.channels
    if images.ndim != 4 or images.shape[1] != channels:
        raise ValueError(
            f"{caller()}: images of shape {tuple(images.shape)}; (N, {channels}, H, W), as preset "
            f"{preset.name!r} says."
        )
    shown = images[:, list(preset.display)]
    pixels = shown.detach().to("cpu", torch.float32)
    mean, std = (
        torch.tensor([values[band] for band in preset.display]).view(1, -1, 1, 1)
        for values in (preset.mean, preset.std)
    )
    scaled = (pixels * std).add_(mean).mul_(255).round_().clamp_(0, 255)
    pictures = scaled.to(torch.uint8).permute(0, 2, 3, 1)
    return pictures.expand(-1, -1, -1, 3).contiguous()


def photograph(source: Source) -> NDArray[np.uint8]:
    """(H, W, 3): the whole of a picture, upright, in colour, as `load_images` reads it.

    Raises:
        UnreadableImage: a file that is missing, damaged or no picture.
        ValueError: another number of bands, or values outside their range.
    """
    found = planes(source, Preset("photograph", "", 0, 1, channels=3))  # type: ignore[arg-type]
    if isinstance(found, Tensor):
        return (found * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return np.asarray(found[0])
