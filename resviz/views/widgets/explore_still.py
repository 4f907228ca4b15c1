"""The static picture of `explore`: photograph, map over it, channels at the cursor, profile."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from resviz.views.channels import channels_of
from resviz.views.overlays import panels_of
from resviz.views.pictures import Pixels, as_pixels, coloured, enlarged, limits, mosaic, png
from resviz.views.static import static_png
from resviz.views.widgets.explore_payload import places_of
from resviz.views.widgets.explore_scene import Scene

_WIDTH, _ROW, _GAP, _LINE = 900, 240, 12, 20
_CHANNELS = 24


def still_of(
    title: str, scene: Scene, views: Mapping[str, Any], selection: Mapping[str, Any]
) -> tuple[bytes | None, str]:
    """A PNG, and a line of text."""
    from PIL import Image, ImageDraw, ImageFont

    network = str(scene.rec.provenance["network"])
    off = f", without {', '.join(scene.moment.off)}" if scene.moment.off else ""
    pictures = _pictures(scene, views, selection)
    words = f"{network}{off}: " + ", ".join(caption for caption, _ in pictures)
    chart = None
    if "gradients" in views:
        chart = Image.open(io.BytesIO(static_png(views["gradients"].figure()))).convert("RGB")
        words += "; gradient norm against depth"
    tall = _LINE * 2 + _GAP + (_ROW + _LINE if pictures else 0) + (chart.height if chart else 0)
    sheet = Image.new("RGB", (_WIDTH, tall), "white")
    draw, left, top = ImageDraw.Draw(sheet), _GAP, _GAP
    draw.text((left, top), title + off, fill="#222222", font=ImageFont.load_default(16))
    top += _LINE * 2 - _GAP
    for caption, pixels in pictures:
        picture = Image.fromarray(pixels)
        ratio = _ROW / picture.height
        picture = picture.resize((round(picture.width * ratio), _ROW))
        sheet.paste(picture, (left, top + _LINE))
        draw.text((left, top), caption, fill="#444444", font=ImageFont.load_default(12))
        left += picture.width + _GAP
    if chart is not None:
        sheet.paste(chart, (0, tall - chart.height))
    return png(np.asarray(sheet)), f"Figure: {title}; {words}"


def _pictures(
    scene: Scene, views: Mapping[str, Any], selection: Mapping[str, Any]
) -> list[tuple[str, Pixels]]:
    found = []
    depth = selection.get("depth")
    if scene.rec.pictures is not None:
        found.append(("photograph", as_pixels(scene.rec.pictures)[0]))
    layer = _at(scene, "explanation", depth)
    if scene.exp is not None and layer is not None:
        method = next((m for m, name in scene.exp.maps if name == layer), None)
        if method is not None:
            (panel,) = panels_of(scene.exp, 0, [method], [layer], [0], "panel", "Viridis")
            photograph = None if not found else enlarged(found[0][1], 224)
            found.append((f"{method} at {layer}", panel.over(photograph, 0.6)))
    layer = _at(scene, "maps", depth)
    if "maps" in views and layer is not None:
        name, _, call = layer.partition("#")
        channels = channels_of(scene.rec, (name, int(call)) if call else name, 0, caller="explore")
        found.append((f"{_CHANNELS} of {len(channels.maps)} channels of {layer}", _tiles(channels)))
    return found


def _at(scene: Scene, part: str, depth: Any) -> str | None:
    """The layer under the cursor, as the browser chooses it."""
    places = places_of(scene)[part]
    if not places:
        return None
    return next((name for name, at in places if depth is None or at >= depth), places[-1][0])


def _tiles(channels: Any) -> Pixels:
    maps = channels.maps[channels.order("max")[:_CHANNELS]]
    maps = maps if maps.ndim == 3 else maps[:, None, :]
    low, high, colours = limits(maps)
    tiles = np.stack([coloured(each, low, high, colours) for each in maps])
    return enlarged(mosaic(tiles, 6), 240)
