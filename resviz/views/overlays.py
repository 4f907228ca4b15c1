"""Maps of an Explanation over the photograph: which panels, which colours, which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resviz.errors import closest
from resviz.views.pictures import (
    Floats,
    Pixels,
    as_array,
    as_pixels,
    blended,
    coloured,
    grey,
    limits,
    resized,
)

SCALES = ("shared", "panel")


@dataclass(frozen=True)
class MapPanel:
    """One map to draw.

    Attributes:
        method, layer, target: what it explains; `target` is the class name.
        raw: (h, w), as the method gave it.
        low, high, colours: its colour scale.
    """

    method: str
    layer: str
    target: str
    raw: Floats
    low: float
    high: float
    colours: str

    def blank(self) -> str:
        """Why there is nothing to see, or ""."""
        if not np.isfinite(self.raw).all():
            return "not finite in places (magenta)"
        return "exactly 0 everywhere" if not self.raw.any() else ""

    def over(self, photograph: Pixels | None, opacity: float) -> Pixels:
        """The map, upsampled bilinearly, over the photograph in grey; alone where there is none."""
        if photograph is None:
            return coloured(self.raw, self.low, self.high, self.colours)
        values = resized(self.raw, photograph.shape[:2])
        return blended(
            grey(photograph), coloured(values, self.low, self.high, self.colours), opacity
        )


def photograph(exp: Any, image: int) -> Pixels | None:
    """(H, W, 3), or None where the network has no pictures."""
    return None if exp.pictures is None else as_pixels(exp.pictures[image])


def panels_of(
    exp: Any,
    image: int,
    methods: Sequence[str] | None,
    layers: Sequence[str] | None,
    targets: Sequence[int] | None,
    scale: str,
    magnitude: str,
    caller: str = "plot_explanation",
) -> list[MapPanel]:
    """The maps to draw, by method, layer and target, with their colour scales.

    Args:
        exp: an Explanation.
        image: which image of the batch.
        methods: which of its methods; None: all.
        layers: which of its layers; None: all.
        caller: the public function that speaks in an error.
        targets: positions in ``exp.targets[image]``; None: all.
        scale: "shared": one scale over all; "panel": each map's own.
        magnitude: colour scale for maps without negative values.

    Raises:
        ValueError: no such image, method, layer, target or scale.
    """
    _check(exp, image, methods, layers, scale, caller)
    names = exp.target_names[image]
    chosen = list(range(len(names))) if targets is None else list(targets)
    wrong = [t for t in chosen if not 0 <= t < len(names)]
    if wrong:
        raise ValueError(
            f"{caller}: targets {wrong} of {len(names)}; positions in exp.targets[{image}]."
        )
    raw = {
        (m, layer, t): as_array(exp.maps[m, layer][image, t])
        for m in methods or exp.methods
        for layer in layers or exp.layers
        if (m, layer) in exp.maps
        for t in chosen
    }
    together = limits(np.concatenate([each.ravel() for each in raw.values()]))
    panels = []
    for (method, layer, target), values in raw.items():
        low, high, colours = together if scale == "shared" else limits(values)
        low = min(low, 0.0)  # 0 always has the colour of "nothing"
        colours = magnitude if low == 0 else colours
        panels.append(MapPanel(method, layer, str(names[target]), values, low, high, colours))
    return panels


def _check(
    exp: Any,
    image: int,
    methods: Sequence[str] | None,
    layers: Sequence[str] | None,
    scale: str,
    caller: str,
) -> None:
    if scale not in SCALES:
        raise ValueError(f"{caller}: scale={scale!r}; one of {', '.join(SCALES)}.")
    if not 0 <= image < len(exp.target_names):
        raise ValueError(f"{caller}: image {image} of {len(exp.target_names)}.")
    for what, wanted, known in (("method", methods, exp.methods), ("layer", layers, exp.layers)):
        for name in wanted or ():
            if name not in known:
                raise ValueError(
                    f"{caller}: no {what} {name!r} in the explanation;"
                    f" closest: {closest(name, known)}."
                )
