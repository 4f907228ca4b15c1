"""Pixels of more than 8 bits, and files with more bands than Pillow reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resviz.arguments import caller
from resviz.errors import UnreadableImage
from resviz.preset import Preset

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# tags of TIFF 6.0
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA = 258, 262, 277, 338
ORIENTATION = 274
_WHITE_IS_ZERO, _RGB, _CMYK = 0, 2, 5  # colours of a TIFF
_UNSPECIFIED, _MULTIPLIED = 0, 1  # an extra band: any; opacity, by which colours were multiplied
_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {  # by the orientation of a file
    1: lambda array: array,
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: np.rot90(array),
}
_PNG_DEPTH = 24  # where a PNG says how many bits a sample has


# ---- values
def unit_range(array: NDArray[Any], window: tuple[float, float] | None) -> NDArray[np.float32]:
    """Pixels as float32 in 0..1: of their dtype's range, or of a window, cut off beyond it.

    Raises:
        ValueError: a dtype that has no range, values outside it, or a window that the dtype cannot
            hold.
    """
    if window is not None:
        return _windowed(array, window)
    if array.dtype.kind == "f":
        limit = 1
    elif array.dtype == np.uint8:
        limit = 255
    elif array.dtype == np.uint16:
        limit = 65535
    else:
        raise ValueError(
            f"{caller()}: pixels of dtype {array.dtype}; uint8 in 0..255, uint16 in 0..65535, "
            "bool, or floats in 0..1. Say which values are black and white, "
            "rv.Preset(window=(low, high)), or convert them with astype."
        )
    _check_range(array, limit)
    return (array / limit).astype(np.float32)


def of_16_bits(array: NDArray[Any], window: tuple[float, float] | None) -> NDArray[Any]:
    """What Pillow holds as integers of 32 bits: those of files with 16, where no window says else.

    Raises:
        ValueError: values that 16 bits do not hold.
    """
    if window is not None:
        return array.astype(np.int32)
    _check_range(array, 65535)
    return array.astype(np.uint16)


def _check_range(array: NDArray[Any], limit: int) -> None:
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= limit):
        raise ValueError(
            f"{caller()}: pixels from {_shown(low)} to {_shown(high)}; {array.dtype} pixels are in "
            f"0..{limit}. Scale them, or say which values are black and white, "
            "rv.Preset(window=(low, high)); images that are normalised already need no load_images."
        )


def _shown(value: np.number[Any]) -> str:
    """In four digits; in as many as there are where it lies a hair beside 1."""
    short = f"{value:.4g}"
    return str(value) if short == "1" and value != 1 else short


def _windowed(array: NDArray[Any], window: tuple[float, float]) -> NDArray[np.float32]:
    low, high = window
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{caller()}: pixels of dtype {array.dtype}; numbers, for a window.")
    if array.dtype.kind in "iu":
        holds = np.iinfo(array.dtype)
        if low < holds.min or high > holds.max:
            raise ValueError(
                f"{caller()}: pixels of {array.dtype}, which cannot hold the window {window} of "
                "the preset; the values that the window is about, before any were scaled or "
                "shifted. Undo that, or load them with a preset without a window."
            )
    elif not np.isfinite(array).all():
        raise ValueError(
            f"{caller()}: pixels that are NaN or infinite; finite numbers. np.nan_to_num puts "
            "numbers in their place."
        )
    return ((array.astype(np.float64) - low) / (high - low)).clip(0, 1).astype(np.float32)


# ---- files
def is_tiff(source: str | os.PathLike[str]) -> bool:
    """True for what begins as a TIFF does."""
    with open(source, "rb") as file:
        return file.read(4) in _TIFF_STARTS


def wants_more_than_pillow(image: Image.Image, preset: Preset) -> bool:
    """True where Pillow leaves out bands of this TIFF, or bits that tifffile has.

    Colours of 16 bits, which Pillow cuts to 8, are taken so only where nothing depends on the
    rest: as colours, without a window, where tifffile is not installed.
    """
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    samples = int(tags.get(_SAMPLES, 1))
    if samples > len(image.getbands()):
        fourth = samples == 4 and tags.get(_EXTRA) == (_UNSPECIFIED,)
        if not (_only_colours(preset) and image.mode == "RGB" and fourth):
            return True
    deep = samples > 1 and max(tags.get(_BITS, (8,))) > 8
    return deep and not (_only_colours(preset) and find_spec("tifffile") is None)


def is_negative(image: Image.Image, preset: Preset) -> bool:
    """True for deep grey of which 0 is white: Pillow turns 1 and 8 bits round, and no others.

    A window says itself what is white.
    """
    white = image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # type: ignore[attr-defined]
    deep = image.mode == "F" or image.mode.startswith("I;16")
    return white and deep and _only_colours(preset)


def some_bits(image: Image.Image, preset: Preset) -> int:
    """Bits of the grey of a TIFF that Pillow holds in 16 and does not stretch: 12, as cameras have.

    0 for any other, and where a window says what is black and white.
    """
    bits = max(image.tag_v2.get(_BITS, (1,)))  # type: ignore[attr-defined]
    own = image.mode.startswith("I;16") and 8 < bits < 16 and _only_colours(preset)
    return int(bits) if own else 0


def of_bits(array: NDArray[Any], bits: int) -> NDArray[np.float32]:
    """In 0..1."""
    return (array / (2**bits - 1)).astype(np.float32)


def stretch_of(image: Image.Image) -> Fraction:
    """What Pillow multiplies the grey of a PNG or PGM with few bits by; not loaded yet."""
    tiles = getattr(image, "tile", ())
    if not tiles or image.mode not in ("1", "L", "I"):
        return Fraction(1)
    if image.format == "PNG":
        return Fraction({"1": 255, "L;2": 85, "L;4": 17}.get(tiles[0][3], 1))
    if image.format == "PPM" and isinstance(tiles[0][3], tuple):
        most = tiles[0][3][-1]
        return (
            Fraction(65535 if image.mode == "I" else 255, most)
            if isinstance(most, int)
            else Fraction(1)
        )
    return Fraction(1)


def as_in_file(array: NDArray[Any], stretch: Fraction) -> NDArray[np.int32]:
    """The numbers before Pillow stretched them."""
    scale = 255 if array.dtype == bool else 1
    return np.rint(array * (scale / float(stretch))).astype(np.int32)


def turned_round(array: NDArray[Any]) -> NDArray[Any]:
    """Black for white."""
    if array.dtype.kind == "f":
        return 1 - array
    return (np.iinfo(array.dtype).max - array).astype(array.dtype)


def is_wider(image: Image.Image) -> bool:
    """True for integers of more than 16 bits in a TIFF: their range is that of no picture."""
    return image.mode == "I" and max(image.tag_v2.get(_BITS, (1,))) > 16  # type: ignore[attr-defined]


def read_tiff(source: str | os.PathLike[str], preset: Preset) -> NDArray[Any]:
    """(H, W, K) of a TIFF with many bands, upright.

    Raises:
        UnreadableImage: tifffile is not installed, or the file has axes beside rows, columns and
            bands.
    """
    name = repr(os.fspath(source))
    try:
        import tifffile
    except ImportError as err:
        raise UnreadableImage(
            f"{caller()}: {name} is a TIFF with bands or bits that Pillow does not read; tifffile "
            "reads it. pip install 'resviz[tiff]', or pass the pixels as an array (H, W, K)."
        ) from err
    with tifffile.TiffFile(source) as file:
        series = file.series[0]
        axes, array = series.axes, series.asarray()
        page = series.keyframe
        turned, extra = page.tags.get(ORIENTATION), tuple(page.extrasamples)
        photometric = int(page.photometric)
    if axes.count("Y") != 1 or axes.count("X") != 1 or len(axes) > 3:
        raise UnreadableImage(
            f"{caller()}: {name} has the axes {axes}, shape {array.shape}; rows, columns and "
            f"{preset.channels} bands. Pass the pixels as an array (H, W, K)."
        )
    others = [axis for axis in axes if axis not in "YX"]
    array = np.transpose(array, [axes.index(axis) for axis in ["Y", "X", *others]])
    if _wants_colours(preset):
        array = _colours(array, photometric, extra)
    return array if turned is None else _UPRIGHT.get(turned.value, _UPRIGHT[1])(array)


def _colours(array: NDArray[Any], photometric: int, extra: tuple[int, ...]) -> NDArray[Any]:
    """Four bands as colours, where they are others than red, green, blue and opacity."""
    if array.ndim != 3 or array.shape[2] != 4:
        return array
    limit = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    first, last = array[:, :, :3].astype(np.float64), array[:, :, 3:].astype(np.float64)
    if photometric == _CMYK:  # as Pillow converts them
        return _as_it_was((limit - first) * (limit - last) / limit, array)
    if photometric == _RGB and extra == (_UNSPECIFIED,):
        return array[:, :, :3]
    if extra == (_MULTIPLIED,):
        colour = np.divide(limit * first, last, out=np.zeros_like(first), where=last > 0)
        return np.concatenate([_as_it_was(colour.clip(0, limit), array), array[:, :, 3:]], axis=2)
    return array


def _as_it_was(values: NDArray[np.float64], array: NDArray[Any]) -> NDArray[Any]:
    """The values in the dtype of an array."""
    rounded = values if array.dtype.kind == "f" else np.rint(values)
    return rounded.astype(array.dtype)


def is_stack(image: Image.Image, channels: int) -> bool:
    """True for a TIFF whose pages are the bands that the network takes."""
    pages = getattr(image, "n_frames", 1)
    return (
        image.format == "TIFF"
        and channels not in (1, 3)
        and pages == channels
        and len(image.getbands()) == 1
    )


def read_stack(image: Image.Image) -> NDArray[Any]:
    """(H, W, K) of K grey pages of one size."""
    pages = []
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        values = np.asarray(image)
        pages.append(values.astype(np.int32) if image.mode == "I" else values)
    return np.stack(pages, axis=2)


def check_png(source: str | os.PathLike[str], preset: Preset) -> None:
    """Raise UnreadableImage, where something depends on the 8 of 16 bits that Pillow cuts off."""
    if _only_colours(preset):
        return
    with open(source, "rb") as file:
        bits = file.read(_PNG_DEPTH + 1)[-1]
    if bits == 16:
        raise UnreadableImage(
            f"{caller()}: {os.fspath(source)!r} is a PNG with colours of 16 bits, of which Pillow "
            "reads 8; a TIFF, or a PNG for each band. Or pass the pixels as an array (H, W, K)."
        )


def transparent_grey(image: Image.Image) -> int | None:
    """The value of 8 bits that is transparent in a PNG of 2 or 4, not loaded yet.

    Pillow scales the pixels, and leaves that value as it is.
    """
    tiles, clear = getattr(image, "tile", ()), image.info.get("transparency")
    if image.format != "PNG" or not tiles or not isinstance(clear, int):
        return None
    scale = {"L;2": 85, "L;4": 17}.get(tiles[0][3])
    return None if scale is None else clear * scale


def _only_colours(preset: Preset) -> bool:
    """True for colours or grey in the range of their dtype: 8 bits of 16 are coarser, not wrong."""
    return _wants_colours(preset) and preset.window is None


def _wants_colours(preset: Preset) -> bool:
    """True for colours or grey, False for bands."""
    return preset.channels in (1, 3)
