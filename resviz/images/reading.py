"""A file, a PIL image, an array or a tensor as planes of pixels: colour, grey, or bands."""

from __future__ import annotations

import io
import os
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from resviz.arguments import caller
from resviz.errors import UnreadableImage
from resviz.images import deep
from resviz.preset import Preset

Source: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor"
Planes: TypeAlias = "list[Image.Image] | Tensor"
"""8 bits: one RGB picture, or a grey one per band. More: (C, H, W) float32 in 0..1."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow has it
_BAND_MODES = ("RGBA", "RGBX", "CMYK", "LA")


def planes(source: Source, preset: Preset) -> Planes:
    """The pixels of one picture, as many channels as the preset says.

    Raises:
        UnreadableImage: a file that is missing, damaged or no picture.
        ValueError: another number of bands, or values outside their range.
    """
    if isinstance(source, Tensor):
        return _from_tensor(source, preset)
    if isinstance(source, np.ndarray):
        return _from_array(source, preset)
    if isinstance(source, Image.Image):
        return _opened("a PIL image", source, preset)
    return _opened(repr(os.fspath(source)), source, preset)


def _opened(name: str, source: Any, preset: Preset) -> Planes:
    try:
        found = _pixels(source, preset)
    except (MemoryError, UnreadableImage):
        raise
    except Exception as err:  # a damaged file can raise anything in Pillow's decoders
        what = str(err) or type(err).__name__
        raise UnreadableImage(
            f"{caller()}: {name} is not readable ({what}); a picture that Pillow opens. "
            "on_error='skip' loads the others."
        ) from err
    try:
        if isinstance(found, Image.Image):
            return _from_pil(found, preset)
        return _from_array(found, preset)
    except ValueError as err:
        reason = str(err).removeprefix(f"{caller()}: ")
        raise ValueError(f"{caller()}: {name}: {reason}") from err


def _pixels(source: Any, preset: Preset) -> Image.Image | NDArray[Any]:
    """Upright, as Pillow reads it; as an array, where that would lose bits or bands."""
    if isinstance(source, Image.Image):
        return _upright(_unmapped(source))
    try:
        with open(source, "rb") as file, Image.open(file) as image:  # of a path it may map memory
            stretch = deep.stretch_of(image)
            if image.format == "TIFF":
                if deep.is_stack(image, preset.channels):
                    return deep.read_stack(image)
                if deep.wants_more_than_pillow(image, preset):
                    return deep.read_tiff(source, preset)
                bits, negative = deep.some_bits(image, preset), deep.is_negative(image, preset)
                if bits or negative:
                    array = np.asarray(_upright(image))
                    array = deep.of_bits(array, bits) if bits else array
                    return deep.turned_round(array) if negative else array
                if deep.is_wider(image):
                    return np.asarray(_upright(image))
            elif image.format == "PNG" and "RGB" in image.mode:
                deep.check_png(source, preset)
            if stretch != 1 and preset.window is not None:
                return deep.as_in_file(np.asarray(_upright(image)), stretch)
            return _upright(image)
    except UnidentifiedImageError:
        if not deep.is_tiff(source):
            raise
        return deep.read_tiff(source, preset)


def _unmapped(image: Image.Image) -> Image.Image:
    """A TIFF from a path that lies on its side, and whose pixels are not read yet, opened anew.

    Pillow would map the file into memory with rows as long as those of the upright picture.
    """
    path = getattr(image, "filename", "")
    aside = image.format == "TIFF" and image.tag_v2.get(deep.ORIENTATION, 1) > 4  # type: ignore[attr-defined]
    if not (aside and path and getattr(image, "tile", ())) or not os.path.isfile(path):
        return image
    with open(path, "rb") as file:
        again = Image.open(io.BytesIO(file.read()))
    again.seek(image.tell())
    return again


def _upright(image: Image.Image) -> Image.Image:
    clear = deep.transparent_grey(image)
    image.load()
    upright = ImageOps.exif_transpose(image)
    if clear is not None:
        upright.info["transparency"] = clear
    return upright


def _from_pil(image: Image.Image, preset: Preset) -> Planes:
    if image.mode == "F":
        return _from_array(np.asarray(image).astype(np.float32), preset)
    if image.mode == "I" or image.mode.startswith("I;16"):
        window = preset.window if image.mode == "I" else None
        array = deep.of_16_bits(np.asarray(image), window)
        if "transparency" in image.info:
            array[array == image.info["transparency"]] = np.iinfo(array.dtype).max
        return _from_array(array, preset)
    channels = preset.channels
    if channels not in (1, 3):
        if image.mode in _BAND_MODES and len(image.getbands()) == channels:
            return _from_array(np.asarray(image), preset)
        raise _other_count(f"a picture of {len(image.getbands())} bands ({image.mode})", preset)
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    if image.mode != "L":
        image = image.convert("RGB")
    image = image.convert("RGB" if channels == 3 else "L")
    if preset.window is None:
        return [image]
    return _scaled(np.atleast_3d(np.asarray(image)), preset)


def _from_tensor(tensor: Tensor, preset: Preset) -> Planes:
    if tensor.ndim == 3:
        if tensor.shape[0] not in _counts(preset):
            raise ValueError(
                f"{caller()}: a tensor of shape {tuple(tensor.shape)}; {_shapes(preset, False)}. "
                "Arrays have the channels last, tensors first: use permute."
            )
        tensor = tensor.permute(1, 2, 0)
    tensor = tensor.detach().cpu()
    array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return _from_array(array, preset)


def _from_array(array: NDArray[Any], preset: Preset) -> Planes:
    """(H, W) or (H, W, K) pixels."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in _counts(preset) or 0 in array.shape:
        raise _other_count(f"an array of shape {array.shape}", preset)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype == np.uint8 and preset.window is None:
        return _of_8_bits(array, preset)
    return _scaled(array, preset)


def _of_8_bits(array: NDArray[np.uint8], preset: Preset) -> Planes:
    if preset.channels in (1, 3):
        pixels = np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array)
        return _from_pil(Image.fromarray(pixels), preset)
    bands = np.moveaxis(array, 2, 0)
    return [Image.fromarray(np.ascontiguousarray(band)) for band in bands]


def _scaled(array: NDArray[Any], preset: Preset) -> Tensor:
    """(C, H, W) in 0..1, alpha laid on white, colours and grey as the network wants them."""
    values = torch.from_numpy(deep.unit_range(array, preset.window)).permute(2, 0, 1)
    if preset.channels in (1, 3) and len(values) == 4:
        colour, alpha = values[:3], values[3:]
        values = colour * alpha + (1 - alpha)
    if preset.channels == 1 and len(values) == 3:
        luma = torch.tensor(_LUMA, dtype=torch.float64).view(3, 1, 1)
        values = (values.double() * luma).sum(0, keepdim=True).float()
    return values.expand(preset.channels, -1, -1).contiguous()


def _counts(preset: Preset) -> tuple[int, ...]:
    """How many bands a picture may have."""
    return (1, 3, 4) if preset.channels in (1, 3) else (preset.channels,)


def _shapes(preset: Preset, last: bool) -> str:
    """What would be right, in words."""
    if preset.channels == 3:
        if last:
            return "(H, W), (H, W, 3), (H, W, 4), or a stack of them"
        return "(3, H, W), (1, H, W), (4, H, W) or (H, W)"
    shape = f"(H, W, {preset.channels})" if last else f"({preset.channels}, H, W)"
    grey = "(H, W), " if preset.channels == 1 else ""
    stack = ", or a stack of them" if last else ""
    return f"{grey}{shape}{stack}, for the {preset.channels} of preset {preset.name!r}"


def _other_count(what: str, preset: Preset) -> ValueError:
    return ValueError(f"{caller()}: {what}; {_shapes(preset, True)}. Channels come last.")
