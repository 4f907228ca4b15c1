"""`load_images`: pictures as a network wants them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from resviz.arguments import caller, choice, public, public_as
from resviz.errors import UnreadableImage, warn
from resviz.images.fitting import fitted
from resviz.images.origin import Origin, remember
from resviz.images.reading import Source, planes
from resviz.preset import (
    Preset,
    check_channels,
    check_network,
    check_preset,
    check_scale,
    preset_of,
)

SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif", ".jp2"),
    *(".tif", ".tiff", ".ppm", ".pgm"),
)
ARRAYS = ".npy"

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
    and gives the same numbers. One of 16 bits or of floats keeps its precision; but of colours of
    16 bits in a file, 8 are read (in a TIFF all, with ``pip install 'resviz[tiff]'``). Transparency
    is laid on white; the rotation stored by a camera is applied.

    Images have the channels of the preset. For three, grey becomes red = green = blue; for one,
    grey stays grey and colours become their luminance (ITU-R BT.601); for any other number K, a
    picture has just those bands.

    :func:`resviz.sources_of` tells where each was in its photograph.

    Args:
        sources: a file (of K bands: a TIFF or an array in a ``.npy``), a folder (its pictures in
            the order of their names; its ``.npy`` where it has none), a PIL image, an array (H, W),
            (H, W, K) or (N, H, W, K), a tensor (H, W), (K, H, W) or (N, K, H, W), or a list of
            these. Arrays and tensors are uint8, uint16, bool, or floats in 0..1; of any numbers
            with the `window` of the preset, which int16 needs.
        net: gives the preset, the device and the dtype.
        preset: instead of the network's own.
        device: instead of the network's own; "cpu" without a network.
        on_error: "raise", or "skip": leave unreadable pictures out, with a warning naming them.

    Returns:
        (N, C, H, W), normalised, in the floating dtype of the network (float32 without one).

    Raises:
        TypeError: a source of another type.
        UnreadableImage: a file that is missing, damaged or no picture, by name.
        ValueError: no preset, one with other channels than the network takes, values outside their
            range, a wrong shape, an empty folder, or pictures of several sizes where the preset
            does not make them equal.

    Example:
        >>> mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
        >>> preset = Preset("mine", "random", mean, std, resize=64, crop=64)
        >>> load_images(np.zeros((80, 120), np.uint8), preset=preset).shape
        torch.Size([1, 3, 64, 64])
    """
    choice("on_error", on_error, ("raise", "skip"))
    preset, device, dtype = _wanted(net, preset, device)
    found = _readable(sources, preset, skip=on_error == "skip")
    if not found:
        raise ValueError(f"{caller()}: no sources; a file, folder, PIL image, array or a list.")
    sizes = sorted({tuple(image.shape[1:]) for image, _ in found})
    if len(sizes) > 1:
        raise ValueError(
            f"{caller()}: pictures of {len(sizes)} sizes, among them {sizes[0]} and {sizes[-1]}, "
            f"and preset {preset.name!r} does not make them equal. Set its resize and crop, or "
            "load them one by one."
        )
    images = torch.stack([image for image, _ in found]).to(device=device, dtype=dtype)
    remember(images, [origin for _, origin in found])
    return images


def _readable(sources: Sources, preset: Preset, *, skip: bool) -> list[tuple[Tensor, Origin]]:
    """The pictures as the preset wants them; with `skip` those that can be read, and a warning."""
    found: list[tuple[Tensor, Origin]] = []
    left_out: list[str] = []
    for source in _each(sources):
        try:
            found += [
                fitted(planes(each, preset), preset, _name_of(source)) for each in _inside(source)
            ]
        except UnreadableImage as err:
            if not skip:
                raise
            left_out.append(str(err).removeprefix(f"{caller()}: ").split("; ")[0])
    if left_out:
        names = "\n  ".join(left_out)
        if not found:
            raise UnreadableImage(f"{caller()}: not one readable picture:\n  {names}")
        warn(
            f"{caller()}: {len(left_out)} of {len(left_out) + len(found)} pictures left out:"
            f"\n  {names}"
        )
    return found


@public_as("load_images")
def each_in(file: str | os.PathLike[str]) -> list[pathlib.Path]:
    """What to call each picture of a file: the file; of a stack "stack.npy[0]" and so on."""
    path, count = pathlib.Path(file), len(_inside(file))
    several = [path.with_name(f"{path.name}[{number}]") for number in range(count)]
    return several if count > 1 else [path]


def _inside(source: Source) -> Sequence[Source]:
    """The source itself; the arrays of a file of them."""
    if not isinstance(source, str | os.PathLike) or pathlib.Path(source).suffix.lower() != ARRAYS:
        return [source]
    try:
        array = np.load(source, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as err:  # a damaged file can raise anything
        raise UnreadableImage(
            f"{caller()}: {os.fspath(source)!r} is not readable ({err}); an array of numbers, "
            "saved by numpy.save. on_error='skip' loads the others."
        ) from err
    return list(array) if array.ndim == 4 else [array]


def _name_of(source: Source) -> str:
    """Of the file, without its folders; "" for pixels."""
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "filename", "")
    return os.path.basename(os.fspath(path)) if isinstance(path, str | os.PathLike) else ""


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
    elif net is not None:
        check_preset(preset)
        check_channels(net, preset)
    check_preset(preset)
    check_scale(preset)
    return preset, torch.device("cpu" if device is None else device), dtype


def _each(sources: Any) -> Iterator[Source]:
    """The single pictures, folders opened and stacks taken apart."""
    if isinstance(sources, str | os.PathLike):
        path = pathlib.Path(sources).expanduser()
        if not path.is_dir():
            yield path
            return
        yield from _in_folder(path)
    elif isinstance(sources, np.ndarray | Tensor) and sources.ndim == 4:
        yield from cast("Iterable[Source]", sources)
    elif isinstance(sources, Image.Image | np.ndarray | Tensor):
        yield sources
    elif isinstance(sources, Iterable) and not (
        isinstance(sources, bytes | dict) or hasattr(sources, "read")
    ):
        for source in sources:
            yield from _each(source)
    else:
        raise TypeError(
            f"{caller()}: a source of type {type(sources).__name__}; a file, folder, PIL image, "
            "numpy array, tensor, or a list of these. PIL.Image.open reads an open file."
        )


def _in_folder(path: pathlib.Path) -> list[pathlib.Path]:
    """Its pictures; where it has none, its arrays."""
    files = sorted(f for f in path.iterdir() if not f.name.startswith(".") and f.is_file())
    pictures = [file for file in files if file.suffix.lower() in SUFFIXES]
    found = pictures or [file for file in files if file.suffix.lower() == ARRAYS]
    if not found:
        inner = sorted(f.name for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))
        further = f" Folders in it: {len(inner)}; name one, as {inner[0]!r}." if inner else ""
        raise ValueError(
            f"{caller()}: no picture in folder {os.fspath(path)!r}; files that end in "
            f"{', '.join(SUFFIXES)}, or {ARRAYS}.{further}"
        )
    return found
