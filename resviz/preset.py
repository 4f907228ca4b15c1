"""How a network wants its images, and what its outputs are called."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from resviz.arguments import caller, choice, name, public, whole

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
OUTPUTS = ("classes", "labels", "logit", "values", "map", "none")


@dataclass(frozen=True)
class Preset:
    """How a network wants its images, and what its outputs are called.

    Args:
        name: of the network: "resnet50", "cifar10-resnet56", or your own.
        weights: "IMAGENET1K_V2", "random", "cifar10", a file name, or your own words.
        mean: per channel (red, green, blue), of pixels in 0..1.
        std: per channel, of pixels in 0..1.
        resize: the short side in pixels, or exactly (height, width), or None.
        crop: (height, width) cut from the centre, or None. A number stands for a square.
        interpolation: "nearest", "bilinear" or "bicubic".
        antialias: smooth when shrinking. Pictures of 8 bits are always smoothed, as in torchvision.
        classes: the name of each output, in order; empty where nobody knows. Of one logit two: the
            side that a negative one speaks for, and the other.
        output: what the network's output means: "classes" (softmax over them), "labels"
            (independent sigmoids), "logit" (one output, two classes), "values" (regression), "map"
            (a class or one logit per pixel), "none" (features). None: read off its shape where that
            is safe: (N, C) with C from 2 is "classes", (N, C, H, W) a "map", and one output with
            two names a "logit".
        units: of "values": "years".
        logits: which part of what the network returns is the output: a position in a tuple, or a
            name. None: the tensor it returns, or its field "logits" or "out".

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a length, a mean, a std or a size that cannot be right.

    Example:
        >>> half = (0.5, 0.5, 0.5)
        >>> Preset("mine", "own", mean=half, std=half, resize=64, crop=64).crop
        (64, 64)
    """

    name: str
    weights: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: int | tuple[int, int] | None
    crop: tuple[int, int] | None
    interpolation: str = "bilinear"
    antialias: bool = True
    classes: tuple[str, ...] = ()
    output: str | None = None
    units: str = ""
    logits: str | int | None = None

    @public
    def __post_init__(self) -> None:
        for field in ("name", "weights", "units"):
            name(field, getattr(self, field))
        self._check_scale()
        self._check_sizes()
        choice("interpolation", self.interpolation, INTERPOLATIONS)
        classes: Any = self.classes
        listed = isinstance(classes, Collection) and not isinstance(classes, str)
        if not listed or not all(isinstance(each, str) for each in classes):
            raise TypeError(
                f"{caller()}: classes {classes!r}; a sequence of strings, one per output."
            )
        self._set("classes", tuple(classes))
        self._check_output()

    def _check_output(self) -> None:
        if self.output is not None:
            choice("output", self.output, OUTPUTS, "or None")
        if self.output == "logit" and len(self.classes) not in (0, 2):
            raise ValueError(
                f"{caller()}: output 'logit' with {len(self.classes)} names; two, of the side "
                "that a negative logit speaks for and of the other: ('healthy', 'ill')."
            )
        if self.units and self.output != "values":
            raise ValueError(f"{caller()}: units {self.units!r} of no values; output='values'.")
        if self.logits is not None and not isinstance(self.logits, str):
            whole("logits", self.logits)

    def _check_scale(self) -> None:
        self._set("mean", _three_numbers("mean", self.mean))
        self._set("std", _three_numbers("std", self.std))
        if not all(0 <= v <= 1 for v in self.mean):
            raise ValueError(
                f"{caller()}: mean {self.mean}; three numbers in 0..1, as pixels are scaled to "
                "0..1. Divide means of pixels in 0..255 by 255, and their std too."
            )
        if not all(v > 0 for v in self.std):
            raise ValueError(
                f"{caller()}: std {self.std}; three numbers above 0. Use 1 for no scale."
            )

    def _check_sizes(self) -> None:
        if isinstance(self.resize, bool) or not isinstance(self.resize, int | None):
            self._set("resize", _two_sizes("resize", self.resize))
        elif self.resize is not None and self.resize < 1:
            raise ValueError(f"{caller()}: resize {self.resize}; at least 1 pixel, or None.")
        if self.crop is not None:
            crop: Any = self.crop
            square = isinstance(crop, int) and not isinstance(crop, bool)
            self._set("crop", _two_sizes("crop", (crop, crop) if square else crop))

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)


def _three_numbers(field: str, values: Any) -> tuple[float, ...]:
    try:
        numbers = tuple(float(v) for v in values)
    except (TypeError, ValueError) as err:
        raise TypeError(f"{caller()}: {field} {values!r}; three numbers, one per channel.") from err
    if len(numbers) != 3 or not all(math.isfinite(v) for v in numbers):
        raise ValueError(f"{caller()}: {field} {numbers}; three finite numbers: red, green, blue.")
    return numbers


def _two_sizes(field: str, values: Any) -> tuple[int, ...]:
    pair = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else None
    if pair is None or not all(isinstance(v, int) and not isinstance(v, bool) for v in pair):
        raise TypeError(
            f"{caller()}: {field} {values!r}; pixels as whole numbers: (height, width)."
        )
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{caller()}: {field} {pair}; (height, width) of at least 1 pixel each.")
    return pair


@public
def preset_of(net: nn.Module) -> Preset:
    """How this network wants its images, as `load_model` or `set_preset` stored it.

    Args:
        net: any network; one wrapped by DataParallel is asked inside.

    Raises:
        TypeError: `net` is no network.
        ValueError: the network has no preset.

    Example:
        >>> net = nn.Conv2d(3, 8, 3)
        >>> mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
        >>> set_preset(net, Preset("mine", "random", mean, std, resize=64, crop=64))
        >>> preset_of(net).name
        'mine'
    """
    check_network(net)
    preset = getattr(net, "resviz_preset", None)
    if preset is None and isinstance(getattr(net, "module", None), nn.Module):
        preset = getattr(net.module, "resviz_preset", None)
    if not isinstance(preset, Preset):
        raise ValueError(
            f"{caller()}: {type(net).__name__} has no preset; resviz does not guess how a network "
            "wants its images. Pass preset=rv.Preset(...), or store one once with "
            "rv.set_preset(net, rv.Preset(...))."
        )
    return preset


@public
def set_preset(net: nn.Module, preset: Preset) -> None:
    """Store on a network of your own how it wants its images, where every function finds it.

    It is kept as the attribute `resviz_preset`, which copies of the network carry along.

    Args:
        net: any network.
        preset: see :class:`Preset`.

    Raises:
        TypeError: `net` is no network or `preset` no preset.

    Example:
        >>> mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        >>> set_preset(nn.Conv2d(3, 8, 3), Preset("mine", "random", mean, std, resize=64, crop=64))
    """
    check_network(net)
    check_preset(preset)
    net.resviz_preset = preset  # type: ignore[assignment]


def check_network(net: object) -> None:
    """Raise TypeError, where `net` is no network."""
    if not isinstance(net, nn.Module):
        raise TypeError(
            f"{caller()}: a network of type {type(net).__name__}; an nn.Module. "
            "rv.load_model(name) makes one from a name."
        )


def check_preset(preset: object) -> None:
    """Raise TypeError, where `preset` is no preset."""
    if not isinstance(preset, Preset):
        raise TypeError(f"{caller()}: a preset of type {type(preset).__name__}; an rv.Preset.")
