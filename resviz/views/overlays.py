"""Maps of an Explanation over the photograph: which panels, which colours, which words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resviz.arguments import public_as
from resviz.attribution.original import origins_of
from resviz.errors import closest
from resviz.images.origin import Origin
from resviz.images.showing import photograph as picture_of
from resviz.views import style
from resviz.views.pictures import (
    Floats,
    Pixels,
    as_array,
    as_pixels,
    blended,
    coloured,
    grey,
    resized,
    shrunk,
)
from resviz.views.records import is_explanation

_MOST = 1024  # pixels of the longer side of a photograph
SCALES = ("shared", "method", "panel")

Key = tuple[str, str, int]  # method, layer, position of the target


@dataclass(frozen=True)
class MapPanel:
    """One map to draw.

    Attributes:
        method, layer, target: what it explains; `target` is the class name.
        position: of the target among the image's.
        raw: (h, w), as the method gave it; (l,) of a signal or tokens, (t, h, w) of a clip.
        low, high, colours: its colour scale; 0 is always the colour of "nothing".
        origin: where the image was in the photograph, for a map that is drawn over all of that.
    """

    method: str
    layer: str
    target: str
    position: int
    raw: Floats
    low: float
    high: float
    colours: str
    origin: Origin | None = None

    @property
    def scale(self) -> tuple[float, float, str]:
        """(low, high, colours)."""
        return self.low, self.high, self.colours

    def blank(self) -> str:
        """Why there is nothing to see, or ""."""
        if not np.isfinite(self.raw).all():
            return "not finite in places (magenta)"
        return "exactly 0 everywhere" if not self.raw.any() else ""

    def extremes(self) -> str:
        """The largest value, with the least where it is negative, in words."""
        if self.raw.min() < 0:
            return f"min {self.raw.min():.3g}, max {self.raw.max():.3g}"
        return f"max {self.raw.max():.3g}"

    def over(self, photograph: Pixels | None, opacity: float) -> Pixels:
        """The map, upsampled bilinearly, over the photograph in grey; alone where there is none."""
        if photograph is None:
            return coloured(self.raw, self.low, self.high, self.colours)
        size, below = (photograph.shape[0], photograph.shape[1]), grey(photograph)
        if self.origin is None:
            return self._blended(below, resized(self.raw, size), opacity)
        over = self._blended(below, as_array(self.origin.placed(self.raw, size)), opacity)
        unseen = np.isnan(self.origin.placed(np.zeros_like(self.raw), size))
        over[unseen] = below[unseen]
        return over

    def _blended(self, below: Pixels, values: Floats, opacity: float) -> Pixels:
        return blended(below, coloured(values, self.low, self.high, self.colours), opacity)

    def frame(self) -> tuple[float, float, float, float]:
        """(top, left, bottom, right) of the map, as shares of the photograph."""
        if self.origin is None:
            return 0.0, 0.0, 1.0, 1.0
        (height, width), (top, left, bottom, right) = self.origin.size, self.origin.frame
        return top / height, left / width, bottom / height, right / width


@dataclass(frozen=True)
class Whole:
    """The photograph that an image was cut from, as views show it, and where the image was."""

    origin: Origin
    pixels: Pixels

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """(top, left, bottom, right) of the image, as shares of the photograph, or beyond it."""
        (height, width), (top, left, bottom, right) = self.origin.size, self.origin.frame
        return top / height, left / width, bottom / height, right / width


def photograph(exp: Any, image: int, layer: str | None = None) -> Pixels | None:
    """(H, W, 3) under a layer's maps, or None where the network has no pictures."""
    pictures = exp.pictures if layer is None else exp.pictures_of(layer)
    return None if pictures is None else as_pixels(pictures[image])


def whole_photograph(exp: Any, image: int, original: Any, caller: str) -> Whole:
    """Where the image was in its photograph, and that, no larger than views show.

    Raises:
        UnreadableImage: no picture.
        ValueError: another picture than the image came from, or nobody knows which it was.
    """
    if isinstance(original, Whole):
        return original
    origin = public_as(caller)(origins_of)(exp.provenance, len(exp.targets))[image]
    return whole_of(origin, image, original, caller, _MOST)


def whole_of(origin: Origin, image: int, original: Any, caller: str, most: int) -> Whole:
    """The photograph, its longer side at most so many pixels; refused where it is another one."""
    pixels = public_as(caller)(picture_of)(original)
    if pixels.shape[:2] != origin.size:
        raise ValueError(
            f"{caller}: an original of {pixels.shape[0]} x {pixels.shape[1]} pixels, and image"
            f" {image} came from {origin.name or 'a picture'} of {origin.size[0]} x"
            f" {origin.size[1]}; that picture, upright and whole."
        )
    return Whole(origin, shrunk(pixels, most))


def line_of(exp: Any, image: int, layer: str) -> Floats | None:
    """(C, L) of a signal or the ids (T,) of tokens, which a layer's maps lie over.

    None for pictures and clips. What is one position wide, (N, C, H, 1), is a signal.
    """
    whole = exp.inputs_of(layer)
    if whole is None:
        return None
    given = as_array(whole[image])
    if is_tokens(exp, layer):
        return given
    if exp.provenance.get("channels_last") and given.ndim == 2:
        return given.T
    if given.ndim == 1:
        return given[None]
    if sum(size > 1 for size in given.shape[1:]) > 1:
        return None
    return given.reshape(given.shape[0], -1)


def clip_of(exp: Any, image: int, layer: str) -> Floats | None:
    """(C, T, H, W) of video, else None."""
    whole = exp.inputs_of(layer)
    return None if whole is None or whole.ndim != 5 else as_array(whole[image])


def is_tokens(exp: Any, layer: str) -> bool:
    """Whether a layer's maps lie over tokens."""
    whole = exp.inputs_of(layer)
    return whole is not None and whole.ndim == 2 and not whole.is_floating_point()


def panels_of(
    exp: Any,
    image: int,
    methods: Sequence[str] | None,
    layers: Sequence[str] | None,
    targets: Sequence[int] | None,
    scale: str,
    magnitude: str,
    clip: float = 100.0,
    caller: str = "plot_explanation",
) -> list[MapPanel]:
    """The maps to draw, by method, layer and target, with their colour scales.

    Maps on one scale have the same limits and the same colours: blue-red around 0 where any of them
    has negative values.

    Args:
        exp: an Explanation.
        image: which image of the batch.
        methods: which of its methods; None: all.
        layers: which of its layers; None: all. Pairs without a map are left out.
        targets: positions in ``exp.targets[image]``; None: all.
        scale: "shared": one scale over all; "method": one for each method; "panel": each map's own.
        magnitude: colour scale for maps without negative values.
        clip: percentile of a map's absolute values at which its colours end; of several maps on one
            scale, the one that reaches furthest decides.
        caller: the public function that speaks in an error.

    Raises:
        TypeError: not an Explanation.
        ValueError: no such image, method, layer, map, target, scale or percentile.
    """
    methods = [methods] if isinstance(methods, str) else methods
    layers = [layers] if isinstance(layers, str) else layers
    _check(exp, image, methods, layers, scale, clip, caller)
    names = exp.target_names[image]
    raw = {
        (method, layer, target): as_array(exp.maps[method, layer][image][target])
        for method, layer in _pairs(exp, methods, layers, caller)
        for target in _positions(targets, len(names), image, caller)
    }
    groups: dict[object, list[Floats]] = {}
    for key, values in raw.items():
        groups.setdefault(_group(key, scale), []).append(values)
    limits = {group: _limits(maps, magnitude, clip) for group, maps in groups.items()}
    return [
        MapPanel(key[0], key[1], str(names[key[2]]), key[2], values, *limits[_group(key, scale)])
        for key, values in raw.items()
    ]


def _group(key: Key, scale: str) -> object:
    """What maps have in common that are on one colour scale."""
    return {"shared": None, "method": key[0], "panel": key}[scale]


def _limits(maps: Iterable[Floats], magnitude: str, clip: float) -> tuple[float, float, str]:
    """(low, high, colours) of maps on one scale.

    The percentile is each map's own: over all values together a fine map would outvote a coarse
    one, and a whole map of 7 x 7 could lie beyond the end.
    """
    signed, reach = False, 0.0
    for values in maps:
        sizes = np.abs(values[np.isfinite(values)])
        if not sizes.any():
            continue
        signed |= bool((values < 0).any())
        # a map that is nearly everywhere 0 has the percentile 0: then nothing is clipped
        reach = max(reach, float(np.percentile(sizes, clip)) or float(sizes.max()))
    reach = reach or 1.0
    return (-reach, reach, style.SIGNED) if signed else (0.0, reach, magnitude)


def _pairs(
    exp: Any, methods: Sequence[str] | None, layers: Sequence[str] | None, caller: str
) -> list[tuple[str, str]]:
    chosen = [
        (method, layer)
        for method in methods or exp.methods
        for layer in layers or exp.layers
        if (method, layer) in exp.maps
    ]
    if not chosen:
        known = "; ".join(
            f"{method} at {', '.join(layer for m, layer in exp.maps if m == method)}"
            for method in methods or exp.methods
        )
        raise ValueError(
            f"{caller}: no map of {', '.join(methods or exp.methods)} at"
            f" {', '.join(layers or exp.layers)}; the explanation has {known}."
        )
    return chosen


def _positions(targets: Sequence[int] | None, count: int, image: int, caller: str) -> Sequence[int]:
    chosen = list(range(count)) if targets is None else list(targets)
    wrong = [t for t in chosen if not 0 <= t < count]
    if wrong or not chosen:
        raise ValueError(
            f"{caller}: targets {wrong} of {count}; positions in exp.targets[{image}]."
        )
    return chosen


def _check(
    exp: Any,
    image: int,
    methods: Sequence[str] | None,
    layers: Sequence[str] | None,
    scale: str,
    clip: float,
    caller: str,
) -> None:
    if not is_explanation(exp):
        raise TypeError(
            f"{caller}: a {type(exp).__name__}; an Explanation, as rv.explain gives it, is right."
        )
    if scale not in SCALES:
        raise ValueError(f"{caller}: scale={scale!r}; one of {', '.join(SCALES)}.")
    if not 0 < clip <= 100:
        raise ValueError(f"{caller}: clip={clip!r}; a percentile above 0 and up to 100.")
    if not 0 <= image < len(exp.target_names):
        raise ValueError(f"{caller}: image {image} of {len(exp.target_names)}.")
    for what, wanted, known in (("method", methods, exp.methods), ("layer", layers, exp.layers)):
        for name in wanted or ():
            if name not in known:
                raise ValueError(
                    f"{caller}: no {what} {name!r} in the explanation;"
                    f" closest: {closest(name, known)}."
                )
