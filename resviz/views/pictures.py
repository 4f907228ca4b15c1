"""Arrays as pictures: colour maps, mosaics, overlays, PNG. No torch, no plotly figure."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.views import style

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_MISSING = np.array([255, 0, 255], dtype=np.uint8)  # values that are not finite


def as_array(tensor: Any) -> Floats:
    """A tensor of any device and float type, or an array, as float32 numpy."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().float().numpy()
    return np.asarray(tensor, dtype=np.float32)


def as_pixels(tensor: Any) -> Pixels:
    """A uint8 picture tensor (..., H, W, 3) as numpy."""
    return np.asarray(tensor.cpu().numpy() if hasattr(tensor, "cpu") else tensor, dtype=np.uint8)


def limits(values: Floats) -> tuple[float, float, str]:
    """(low, high, colour scale): signed values centred on 0, magnitudes from their least."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0, style.MAGNITUDE
    low, high = float(finite.min()), float(finite.max())
    if low < 0:
        reach = max(-low, high)
        return -reach, reach, style.SIGNED
    return (low, high, style.MAGNITUDE) if high > low else (0.0, high or 1.0, style.MAGNITUDE)


def coloured(values: Floats, low: float, high: float, scale: str) -> Pixels:
    """Values (H, W) as colours (H, W, 3); what is not finite is magenta."""
    span = high - low or 1.0
    with np.errstate(invalid="ignore"):
        index = np.nan_to_num((values - low) / span * 255)
    picture = style.colour_table(scale)[np.clip(np.rint(index), 0, 255).astype(np.uint8)]
    picture[~np.isfinite(values)] = _MISSING
    return picture


def grey(picture: Pixels) -> Pixels:
    """A photograph (H, W, 3) without its colours, so that the overlay's can be read."""
    shade = np.rint(picture.astype(np.float32) @ _LUMA).astype(np.uint8)
    return np.repeat(shade[..., None], 3, axis=2)


def blended(below: Pixels, above: Pixels, opacity: float) -> Pixels:
    """`above` over `below`, both (H, W, 3)."""
    mixed = below.astype(np.float32) * (1 - opacity) + above.astype(np.float32) * opacity
    return np.rint(mixed).astype(np.uint8)


def resized(values: Floats, size: tuple[int, ...]) -> Floats:
    """Values (h, w) brought to (H, W), bilinear, pixel centres aligned (align_corners=False).

    Also (l,) to (L,) and (t, h, w) to (T, H, W).
    """
    out = values
    for axis, (old, new) in enumerate(zip(values.shape, size, strict=True)):
        if old != new:
            out = np.moveaxis(np.tensordot(_weights(old, new), out, (1, axis)), 0, axis)
    return out.astype(np.float32)


def _weights(old: int, new: int) -> Floats:
    """(new, old) matrix of linear interpolation between pixel centres."""
    place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    left = np.minimum(place.astype(int), max(old - 2, 0))
    share = (place - left).astype(np.float32)
    weights = np.zeros((new, old), dtype=np.float32)
    weights[np.arange(new), left] += 1 - share
    weights[np.arange(new), np.minimum(left + 1, old - 1)] += share
    return weights


def enlarged(picture: Pixels, least: int) -> Pixels:
    """Each pixel repeated until the longer side has at least `least` pixels."""
    times = max(1, -(-least // max(picture.shape[:2])))
    return np.repeat(np.repeat(picture, times, axis=0), times, axis=1)


def shrunk(picture: Pixels, most: int) -> Pixels:
    """A photograph whose longer side has at most `most` pixels."""
    from PIL import Image

    if max(picture.shape[:2]) <= most:
        return picture
    share = most / max(picture.shape[:2])
    height, width = (max(1, round(side * share)) for side in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def png(picture: Pixels) -> bytes:
    """A picture (H, W, 3) as PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="PNG")
    return out.getvalue()


def fitting(picture: bytes, most: int) -> bytes:
    """A PNG, made smaller until it has at most `most` bytes; never under 64 pixels wide."""
    from PIL import Image

    full = Image.open(io.BytesIO(picture)).convert("RGB")
    share, found = 1.0, picture
    while len(found) > most and full.width * share > 64:
        share *= min(0.9, 0.95 * (most / len(found)) ** 0.5)
        size = (max(1, round(full.width * share)), max(1, round(full.height * share)))
        found = png(np.asarray(full.resize(size, Image.Resampling.LANCZOS)))
    return found


def data_uri(picture: Pixels) -> str:
    """A picture as a ``data:`` address, for plotly and HTML."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")


def mosaic(tiles: Pixels, columns: int, gap: int = 1) -> Pixels:
    """Tiles (K, H, W, 3) side by side on white, `columns` in a row."""
    count, height, width = tiles.shape[:3]
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet
