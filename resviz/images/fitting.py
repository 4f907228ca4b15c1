"""Planes of pixels, resized, cropped and normalised as a preset says, and where they came from."""

from __future__ import annotations

from types import ModuleType
from typing import cast

import torch
from PIL import Image
from torch import Tensor

from resviz.images.origin import Origin
from resviz.images.reading import Planes
from resviz.preset import Preset


def fitted(planes: Planes, preset: Preset, name: str) -> tuple[Tensor, Origin]:
    """(C, H, W) float32 on the CPU: the steps of torchvision's ImageClassification transforms."""
    given = [planes] if isinstance(planes, Tensor) else planes
    size = _size_of(given[0])
    parts = [_resized(part, preset) for part in given]
    height, width = _size_of(parts[0])
    crop = preset.crop or (height, width)
    pixels = torch.cat([_cropped(part, preset) for part in parts])
    pixels = pixels.clamp(0, 1)  # bicubic overshoots in floats
    normalize = _transforms().normalize
    image = cast(Tensor, normalize(pixels, mean=list(preset.mean), std=list(preset.std)))
    top, left = (_start(*sizes) for sizes in zip((height, width), crop, strict=True))
    return image, Origin(name, size, (height, width), top, left, crop)


def _resized(part: Image.Image | Tensor, preset: Preset) -> Image.Image | Tensor:
    if preset.resize is None:
        return part
    size = [preset.resize] if isinstance(preset.resize, int) else list(preset.resize)
    steps = _transforms()
    mode = steps.InterpolationMode(preset.interpolation)
    resized = steps.resize(part, size, interpolation=mode, antialias=preset.antialias)
    return cast("Image.Image | Tensor", resized)


def _cropped(part: Image.Image | Tensor, preset: Preset) -> Tensor:
    steps = _transforms()
    if preset.crop is not None:
        part = steps.center_crop(part, list(preset.crop))
    if isinstance(part, Image.Image):
        part = steps.convert_image_dtype(steps.pil_to_tensor(part), torch.float)
    return cast(Tensor, part)


def _transforms() -> ModuleType:
    """Imported where a picture is read: torchvision brings torch's compiler, over a second."""
    from torchvision.transforms import functional

    return cast(ModuleType, functional)


def _size_of(part: Image.Image | Tensor) -> tuple[int, int]:
    """(height, width)."""
    if isinstance(part, Image.Image):
        return part.height, part.width
    return part.shape[1], part.shape[2]


def _start(full: int, crop: int) -> int:
    """Where torchvision's centre crop begins; negative where it puts black around a picture."""
    return -((crop - full) // 2) if crop > full else int(round((full - crop) / 2.0))
