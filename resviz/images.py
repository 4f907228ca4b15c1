"""Pictures to tensors and back: how a network wants its images, and how they get there."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from resviz.arguments import caller, choice, public
from resviz.errors import UnreadableImage, warn
from resviz.preset import Preset, check_network, check_preset, preset_of, set_preset

__all__ = ["Preset", "load_images", "preset_of", "set_preset", "to_pictures"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

Source: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor"
Sources: TypeAlias = "Source | Iterable[Source]"


@public
def load_images(
    sources: Sources,
    net: nn.Module | None = None,
    *,
    preset: Preset | None = None,
    device: str | torch.device | None = None,
    on_error: Literal["raise", "skip"] = "raise",
) -> Tensor:
    """Pictures as a network wants them: resized, cropped, normalised, on its device.

    A picture of 8 bits goes through the same Pillow operations as in torchvision's own transforms,
    and gives the same numbers. One of 16 bits or of floats keeps its precision. Transparency is
    laid on white; the rotation stored by a camera is applied; grey becomes red = green = blue.

    Args:
        sources: a file, a folder (its pictures in the order of their names), a PIL image, an array
            (H, W), (H, W, 3), (H, W, 4) or (N, H, W, 3), a tensor (H, W), (3, H, W) or
            (N, 3, H, W), or a list of these. Arrays and tensors are uint8, uint16, bool, or floats
            in 0..1.
        net: gives the preset, the device and the dtype.
        preset: instead of the network's own.
        device: instead of the network's own; "cpu" without a network.
        on_error: "raise", or "skip": leave unreadable pictures out, with a warning naming them.

    Returns:
        (N, 3, H, W), normalised, in the floating dtype of the network (float32 without one).

    Raises:
        TypeError: a source of another type.
        UnreadableImage: a file that is missing, damaged or no picture, by name.
        ValueError: no preset, values outside 0..1, a wrong shape, an empty folder, or pictures of
            several sizes where the preset does not make them equal.

    Example:
        >>> mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
        >>> preset = Preset("mine", "random", mean, std, resize=64, crop=64)
        >>> load_images(np.zeros((80, 120), np.uint8), preset=preset).shape
        torch.Size([1, 3, 64, 64])
    """
    choice("on_error", on_error, ("raise", "skip"))
    preset, device, dtype = _wanted(net, preset, device)
    images = _readable(sources, preset, skip=on_error == "skip")
    if not images:
        raise ValueError(f"{caller()}: no sources; a file, folder, PIL image, array or a list.")
    sizes = sorted({tuple(image.shape[1:]) for image in images})
    if len(sizes) > 1:
        raise ValueError(
            f"{caller()}: pictures of {len(sizes)} sizes, among them {sizes[0]} and {sizes[-1]}, "
            f"and preset {preset.name!r} does not make them equal. Set its resize and crop, or "
            "load them one by one."
        )
    return torch.stack(images).to(device=device, dtype=dtype)


def _readable(sources: Sources, preset: Preset, *, skip: bool) -> list[Tensor]:
    """The pictures as the preset wants them; with `skip` those that can be read, and a warning."""
    images: list[Tensor] = []
    left_out: list[str] = []
    for source in _each(sources):
        try:
            images.append(_preprocess(_picture(source), preset))
        except UnreadableImage as err:
            if not skip:
                raise
            left_out.append(str(err).removeprefix(f"{caller()}: ").split("; ")[0])
    if left_out:
        names = "\n  ".join(left_out)
        if not images:
            raise UnreadableImage(f"{caller()}: not one readable picture:\n  {names}")
        warn(
            f"{caller()}: {len(left_out)} of {len(left_out) + len(images)} pictures left out:"
            f"\n  {names}"
        )
    return images


def _wanted(
    net: nn.Module | None, preset: Preset | None, device: str | torch.device | None
) -> tuple[Preset, torch.device, torch.dtype]:
    dtype = torch.float32
    if net is not None:
        check_network(net)
        parameter = next((p for p in net.parameters() if p.is_floating_point()), None)
        if parameter is not None:
            dtype, device = parameter.dtype, parameter.device if device is None else device
    if preset is None:
        if net is None:
            raise ValueError(
                f"{caller()}: neither a network nor a preset; one of them says how the images are "
                "wanted. Pass the network, or preset=rv.Preset(...)."
            )
        preset = preset_of(net)
    check_preset(preset)
    return preset, torch.device("cpu" if device is None else device), dtype


def _each(sources: Any) -> Iterator[Source]:
    """The single pictures, folders opened and stacks taken apart."""
    if isinstance(sources, str | os.PathLike):
        path = pathlib.Path(sources).expanduser()
        if not path.is_dir():
            yield path
            return
        files = sorted(
            file
            for file in path.iterdir()
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
        if not files:
            raise ValueError(
                f"{caller()}: no picture in folder {os.fspath(sources)!r}; files that end in "
                f"{', '.join(SUFFIXES)}."
            )
        yield from files
    elif isinstance(sources, np.ndarray | Tensor) and sources.ndim == 4:
        yield from cast("Iterable[Source]", sources)
    elif isinstance(sources, Image.Image | np.ndarray | Tensor):
        yield sources
    elif isinstance(sources, Iterable) and not isinstance(sources, bytes | dict):
        for source in sources:
            yield from _each(source)
    else:
        raise TypeError(
            f"{caller()}: a source of type {type(sources).__name__}; a file, folder, PIL image, "
            "numpy array, tensor, or a list of these."
        )


def _picture(source: Source) -> Image.Image | Tensor:
    """An RGB PIL image for 8 bits; (3, H, W) float32 in 0..1 for more."""
    if isinstance(source, Tensor):
        return _from_tensor(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _open("a PIL image", source)
    return _open(repr(os.fspath(source)), source)


def _open(name: str, source: Any) -> Image.Image | Tensor:
    try:
        if isinstance(source, Image.Image):
            return _from_pil(source)
        with Image.open(source) as image:
            return _from_pil(image)
    except MemoryError:
        raise
    except Exception as err:  # a damaged file can raise anything in Pillow's decoders
        what = str(err) or type(err).__name__
        raise UnreadableImage(
            f"{caller()}: {name} is not readable ({what}); a picture that Pillow opens. "
            "on_error='skip' loads the others."
        ) from err


def _from_pil(image: Image.Image) -> Image.Image | Tensor:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_array(np.asarray(image).astype(_DEEP_MODES.get(image.mode, "uint16")))
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


_DEEP_MODES = {"I": "int32", "F": "float32"}


def _from_tensor(tensor: Tensor) -> Image.Image | Tensor:
    if tensor.ndim == 3:
        if tensor.shape[0] not in (1, 3, 4):
            raise ValueError(
                f"{caller()}: a tensor of shape {tuple(tensor.shape)}; (3, H, W), (1, H, W), "
                "(4, H, W) or (H, W). Arrays have the channels last, tensors first: use permute."
            )
        tensor = tensor.permute(1, 2, 0)
    tensor = tensor.detach().cpu()
    return _from_array((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _from_array(array: NDArray[Any]) -> Image.Image | Tensor:
    """(H, W), (H, W, 1), (H, W, 3) or (H, W, 4) pixels."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(
            f"{caller()}: an array of shape {array.shape}; (H, W), (H, W, 3), (H, W, 4), "
            "or a stack of them."
        )
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype == np.uint8:
        pixels = np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array)
        return _from_pil(Image.fromarray(pixels))
    values = torch.from_numpy(_unit_range(array)).permute(2, 0, 1)
    if len(values) == 4:
        colour, alpha = values[:3], values[3:]
        values = colour * alpha + (1 - alpha)
    return values.expand(3, -1, -1).contiguous()


def _unit_range(array: NDArray[Any]) -> NDArray[np.float32]:
    """Pixels of more than 8 bits as float32 in 0..1."""
    if array.dtype.kind == "f":
        limit = 1
    elif array.dtype in (np.uint16, np.int32):  # int32: Pillow's name for some 16-bit files
        limit = 65535
    else:
        raise ValueError(
            f"{caller()}: pixels of dtype {array.dtype}; uint8, uint16, bool, or floats in 0..1. "
            "Convert them with astype."
        )
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= limit):
        raise ValueError(
            f"{caller()}: pixels from {low:.4g} to {high:.4g}; {array.dtype} pixels are in "
            f"0..{limit}. Scale them; images that are normalised already need no load_images."
        )
    return (array / limit).astype(np.float32)


def _preprocess(picture: Image.Image | Tensor, preset: Preset) -> Tensor:
    """(3, H, W) float32 on the CPU: the steps of torchvision's ImageClassification transforms."""
    if preset.resize is not None:
        size = [preset.resize] if isinstance(preset.resize, int) else list(preset.resize)
        mode = InterpolationMode(preset.interpolation)
        picture = F.resize(picture, size, interpolation=mode, antialias=preset.antialias)
    if preset.crop is not None:
        picture = F.center_crop(picture, list(preset.crop))
    if isinstance(picture, Image.Image):
        picture = F.convert_image_dtype(F.pil_to_tensor(picture), torch.float)
    pixels = cast(Tensor, picture).clamp(0, 1)  # bicubic overshoots in floats
    return cast(Tensor, F.normalize(pixels, mean=list(preset.mean), std=list(preset.std)))


@public
def to_pictures(images: Tensor, preset: Preset) -> Tensor:
    """The pictures behind normalised images, as a person sees them.

    Args:
        images: (N, 3, H, W), normalised with `preset`, on any device.
        preset: the one they were loaded with.

    Returns:
        (N, H, W, 3) uint8 on the CPU. What left 0..255 is cut off there.

    Raises:
        TypeError: `images` is no tensor or `preset` no preset.
        ValueError: another shape.

    Example:
        >>> preset = Preset("mine", "own", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), None, None)
        >>> to_pictures(torch.zeros(1, 3, 2, 2), preset)[0, 0, 0]
        tensor([128, 128, 128], dtype=torch.uint8)
    """
    check_preset(preset)
    if not isinstance(images, Tensor):
        raise TypeError(f"{caller()}: images of type {type(images).__name__}; a tensor.")
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"{caller()}: images of shape {tuple(images.shape)}; (N, 3, H, W).")
    pixels = images.detach().to("cpu", torch.float32)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preset.mean, preset.std))
    scaled = ((pixels * std + mean) * 255).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
