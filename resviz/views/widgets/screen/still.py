"""The static picture of `explore`: photograph, map over it, channels at the cursor, profile.

Drawn by Pillow alone: it is made before the view can be shown, and matplotlib takes a second more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resviz.sessions.scene import Scene
from resviz.views.channels import pictures_of
from resviz.views.overlays import panels_of
from resviz.views.pictures import Floats, Pixels, as_pixels, coloured, enlarged, limits, mosaic, png
from resviz.views.widgets.screen.places import Place, curves_of

_WIDTH, _ROW, _GAP, _LINE = 900, 240, 12, 20
_CHART, _LEFT = 200, 70  # height of the profile, room for its numbers
_INK, _FAINT, _GRID = "#222222", "#5f6670", "#dfe3e8"
_LINES = ("#0072B2", "#D55E00")
_CHANNELS = 24


def still_of(
    title: str, scene: Scene, places: Sequence[Place], depth: float | None
) -> tuple[bytes, str]:
    """A PNG, and a line of text."""
    from PIL import Image, ImageDraw, ImageFont

    network = str(scene.rec.provenance["network"])
    off = f", without {', '.join(scene.moment.off)}" if scene.moment.off else ""
    pictures = _pictures(scene, places, depth)
    runs = {network: scene.whole} | ({off.strip(", "): scene.rec} if off else {})
    top = _GAP + _LINE + (_ROW + 2 * _LINE if pictures else _LINE)
    sheet = Image.new("RGB", (_WIDTH, top + _CHART + 3 * _LINE), "white")
    draw, left = ImageDraw.Draw(sheet), _GAP
    small = ImageFont.load_default(12)
    draw.text((left, _GAP), title + off, fill=_INK, font=ImageFont.load_default(16))
    for caption, pixels in pictures:
        picture = Image.fromarray(pixels)
        picture = picture.resize((round(picture.width * _ROW / picture.height), _ROW))
        sheet.paste(picture, (left, _GAP + 2 * _LINE + 6))
        draw.text((left, _GAP + _LINE + 6), caption, fill=_FAINT, font=small)
        left += picture.width + _GAP
    lines = {name: _norms(rec, places) for name, rec in runs.items()}
    _profile(draw, top + _LINE, lines, small)
    words = ", ".join([*(caption for caption, _ in pictures), "gradients against depth"])
    return png(np.asarray(sheet)), f"Figure: {title}{off}; {words}"


def _norms(rec: Any, places: Sequence[Place]) -> Floats:
    """(2, P): depth and gradient norm of every place; NaN where there is none."""
    norms = curves_of(rec, list(places)).get("gradient", [None] * len(places))
    return np.array([[place.depth for place in places], norms], dtype=float)


def _profile(draw: Any, top: int, lines: Mapping[str, Floats], font: Any) -> None:
    """Norms against depth on a log axis; exact zeros lie on the axis below."""
    every = np.concatenate([norms for _, norms in lines.values()])
    positive = every[np.isfinite(every) & (every > 0)]
    if not positive.size:
        draw.text((_GAP, top), "every gradient is 0", fill=_FAINT, font=font)
        return
    low, high = np.log10(positive.min()), np.log10(positive.max())
    low, high = (low - 0.1, high + 0.1)
    deepest = max(depth.max() for depth, _ in lines.values())
    width, below = _WIDTH - _LEFT - _GAP, top + _CHART

    def at(depth: float, norm: float) -> tuple[float, float]:
        share = (np.log10(norm) - low) / (high - low) if norm > 0 else 0.0
        return _LEFT + width * depth / (deepest + 1), below - share * _CHART

    for level in np.linspace(low, high, 4):
        y = at(0, 10**level)[1]
        draw.line([(_LEFT, y), (_WIDTH - _GAP, y)], fill=_GRID)
        draw.text((_LEFT - 6, y), f"{10**level:.2g}", fill=_FAINT, font=font, anchor="rm")
    for depth in np.unique(np.linspace(1, deepest, 8).round()):
        draw.text((at(depth, 1)[0], below + 4), f"{depth:.0f}", fill=_FAINT, font=font, anchor="mt")
    draw.text(
        (_LEFT, top - 4),
        "L2 norm of the gradient at each block (log)",
        fill=_FAINT,
        font=font,
        anchor="lb",
    )
    draw.text((_WIDTH - _GAP, below + _LINE + 2), "depth", fill=_FAINT, font=font, anchor="rt")
    for number, (name, (depths, norms)) in enumerate(lines.items()):
        points = [at(d, n) for d, n in zip(depths, norms, strict=True) if np.isfinite(n)]
        draw.line(points, fill=_LINES[number], width=2)
        for x, y in points:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_LINES[number])
        spot = (_LEFT + 320 * number, below + _LINE + 2)
        draw.text(spot, name, fill=_LINES[number], font=font)


def _pictures(
    scene: Scene, places: Sequence[Place], depth: float | None
) -> list[tuple[str, Pixels]]:
    found = []
    if scene.rec.pictures is not None:
        found.append(("photograph", as_pixels(scene.rec.pictures)[0]))
    place = _at(places, depth)
    if place is None:
        return found
    if scene.exp is not None:
        method = next((m for m, name in scene.exp.maps if name == place.key), None)
        if method is not None:
            (panel,) = panels_of(scene.exp, 0, [method], [place.key], [0], "panel", "Viridis")
            photograph = None if not found else enlarged(found[0][1], 224)
            found.append((f"{method} at {place.name}", panel.over(photograph, 0.6)))
    pictures = pictures_of(scene.rec, place.key)
    if pictures is not None:
        maps = pictures.maps[0]
        words = f"{min(_CHANNELS, len(maps))} of {len(maps)} channels of {place.name}"
        found.append((words, _tiles(maps)))
    return found


def _at(places: Sequence[Place], depth: float | None) -> Place | None:
    """The place under the cursor."""
    behind = (place for place in places if depth is None or place.depth >= depth)
    return next(behind, places[-1] if places else None)


def _tiles(maps: Any) -> Pixels:
    """The channels with the largest values, on one scale."""
    order = np.argsort(-np.nan_to_num(maps.reshape(len(maps), -1).max(axis=1)), kind="stable")
    chosen = maps[order[:_CHANNELS]]
    low, high, colours = limits(chosen)
    tiles = np.stack([coloured(each, low, high, colours) for each in chosen])
    return enlarged(mosaic(tiles, 6), 240)
