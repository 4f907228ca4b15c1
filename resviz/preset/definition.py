"""How a network wants its images, and what its outputs are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resviz.arguments import caller, choice, name, public, whole
from resviz.preset import fields

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
OUTPUTS = ("classes", "labels", "logit", "values", "map", "none")


@dataclass(frozen=True)
class Preset:
    """How a network wants its images, and what its outputs are called.

    Args:
        name: of the network: "resnet50", "cifar10-resnet56", or your own.
        weights: "IMAGENET1K_V2", "random", "cifar10", a file name, or your own words.
        mean: of pixels in 0..1, a number per channel (red, green, blue), or one for every channel.
        std: likewise. Left out, both, where nobody knows: names of the outputs need no scale, but
            `load_images` does, and there are no pictures.
        resize: the short side in pixels, or exactly (height, width), or None.
        crop: (height, width) cut from the centre, or None. A number stands for a square.
        interpolation: "nearest", "bilinear" or "bicubic".
        antialias: smooth when shrinking. Pictures of 8 bits are always smoothed, as in torchvision.
        classes: the name of each output, in order; empty where nobody knows. Of one logit, also of
            one per pixel, two: the side that a negative one speaks for, and the other.
        output: what the network's output means: "classes" (softmax over them), "labels"
            (independent sigmoids), "logit" (one output, two classes), "values" (regression), "map"
            (a class or one logit per pixel), "none" (features). None: read off its shape where that
            is safe: (N, C) with C from 2 is "classes", (N, C, H, W) a "map", and one output with
            two names a "logit".
        units: of "values": "years".
        logits: which part of what the network returns is the output: a position in a tuple, or a
            name. None: the tensor it returns, or its field "logits" or "out".
        channels: how many the network takes. None: as many as there are means. A single number as
            mean and std is one channel where `channels` does not say more.
        display: which bands (from 0) a picture shows: one, in grey, or three as red, green and
            blue. None: the three of three, the one of one; of two the first, of more the first
            three, and the records say so.
        window: (low, high), the values of pixels that become 0 and 1; what lies beyond is cut off.
            For pixels without a range of their own: (-1000, 400) for a CT in Hounsfield units,
            (0, 10000) for reflectances. None: 0..255, 0..65535, or floats in 0..1.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a length, a mean, a std or a size that cannot be right.

    Example:
        >>> half = (0.5, 0.5, 0.5)
        >>> Preset("mine", "own", mean=half, std=half, resize=64, crop=64).crop
        (64, 64)
        >>> Preset(output="logit", classes=("well", "ill")).output
        'logit'
        >>> Preset("ct", "own", 0.5, 0.25, resize=256, crop=224, window=(-1000, 400)).channels
        1
    """

    name: str = "network"
    weights: str = "own"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    antialias: bool = True
    classes: tuple[str, ...] = ()
    output: str | None = None
    units: str = ""
    logits: str | int | None = None
    channels: int = None  # type: ignore[assignment]  # filled in
    display: tuple[int, ...] = None  # type: ignore[assignment]  # filled in
    window: tuple[float, float] | None = None

    @public
    def __post_init__(self) -> None:
        for field in ("name", "weights", "units"):
            name(field, getattr(self, field))
        channels: Any = self.channels
        if channels is not None:
            channels = whole("channels", channels, least=1)
        mean, std = fields.per_channel(self.mean, self.std, channels)
        crop: Any = self.crop
        pair = (crop, crop) if isinstance(crop, int) and not isinstance(crop, bool) else crop
        choice("interpolation", self.interpolation, INTERPOLATIONS)
        for field, value in {
            "mean": mean,
            "std": std,
            "channels": len(mean) or channels,
            "display": fields.bands(self.display, len(mean)),
            "window": fields.limits(self.window),
            "resize": fields.short_side_or_both(self.resize),
            "crop": crop if crop is None else fields.two_sizes("crop", pair),
            "classes": fields.names(self.classes),
        }.items():
            object.__setattr__(self, field, value)
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

    def __setstate__(self, state: dict[str, Any]) -> None:
        # what was pickled before presets had channels was of three
        self.__dict__.update({"channels": 3, "display": fields.RGB} | state)
