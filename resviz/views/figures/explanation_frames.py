"""Maps over video: some of the frames, and each map over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resviz.views.charts.words import short
from resviz.views.figures.tiles import LEFT, LINE, Sheet
from resviz.views.overlays import MapPanel
from resviz.views.pictures import Floats, Pixels, blended, coloured, enlarged, grey, resized

FRAMES = 6  # drawn where nobody says which
_LARGEST, _ACROSS, _GAP = 160, 860, 8


def chosen(frames: Sequence[int] | None, count: int) -> list[int]:
    """Which frames: those asked for, else six of them, evenly.

    Raises:
        ValueError: no such frame.
    """
    if frames is None:
        spread = np.linspace(0, count - 1, min(FRAMES, count))
        return [int(round(at)) for at in spread]
    wrong = [frame for frame in frames if not 0 <= frame < count]
    if wrong or not len(frames):
        raise ValueError(f"plot_explanation: frames {wrong} of {count}; 0 to {count - 1}.")
    return [int(frame) for frame in frames]


def pictures_of(clip: Floats) -> Pixels:
    """(T, H, W, 3): three channels as red, green and blue, others as the grey of their mean.

    From the clip's least to its largest value: a clip as a network wants it is no picture yet.
    """
    shades = clip if len(clip) == 3 else clip.mean(0, keepdims=True).repeat(3, 0)
    low, high = float(np.nanmin(shades)), float(np.nanmax(shades))
    scaled = (shades - low) / (high - low) if high > low else np.zeros_like(shades)
    return np.rint(np.moveaxis(scaled, 0, -1) * 255).astype(np.uint8)


def draw_clip(
    panels: Sequence[MapPanel],
    clip: Floats | None,
    frames: Sequence[int],
    opacity: float,
    least: float,
) -> Sheet:
    """A row of the frames, and below it a row for each map over them.

    Args:
        panels: the maps, (t, h, w) each.
        clip: (C, T, H, W); None draws the maps alone.
        frames: which of the clip's.
        opacity: of the maps over the frames.
        least: width that the title needs.
    """
    size = clip.shape[1:] if clip is not None else panels[0].raw.shape
    tile = _tile(size[1:], len(frames))
    across = len(frames) * (tile[1] + _GAP)
    step = tile[0] + LINE + 4 + _GAP
    rows = len(panels) + (clip is not None)
    sheet = Sheet(tile, across, step * rows, max(118, round(least) - across - LEFT))
    pictures = pictures_of(clip) if clip is not None else None
    if pictures is not None:
        _draw_frames(sheet, pictures, frames)
    for row, panel in enumerate(panels, rows - len(panels)):
        _draw_row(sheet, panel, pictures, frames, size, row * step + LINE + 4, opacity)
    return sheet


def _tile(size: Sequence[int], columns: int) -> tuple[int, int]:
    most = min(_LARGEST, _ACROSS / columns - _GAP)
    scale = most / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _draw_frames(sheet: Sheet, pictures: Pixels, frames: Sequence[int]) -> None:
    for column, frame in enumerate(frames):
        left = column * (sheet.tile[1] + _GAP)
        sheet.add_words(left, 2, f"frame {frame}", faint=True)
        picture = enlarged(pictures[frame], max(sheet.tile))
        sheet.add_picture(left, LINE + 4, picture, f"frame {frame}")


def _draw_row(
    sheet: Sheet,
    panel: MapPanel,
    pictures: Pixels | None,
    frames: Sequence[int],
    size: Sequence[int],
    top: float,
    opacity: float,
) -> None:
    words = f"{panel.method}, {panel.layer} · {panel.target} · {panel.blank() or panel.extremes()}"
    sheet.add_words(0, top - LINE - 2, short(words, sheet.across))
    whole = resized(panel.raw, tuple(size))
    own = resized(panel.raw, (size[0], *panel.raw.shape[1:]))  # the hover reads the map's own
    for column, frame in enumerate(frames):
        left = column * (sheet.tile[1] + _GAP)
        over = coloured(whole[frame], panel.low, panel.high, panel.colours)
        if pictures is not None:
            over = blended(grey(pictures[frame]), over, opacity)
        where = f"{panel.method}, {panel.layer}, frame {frame}"
        sheet.add_picture(left, top, enlarged(over, max(sheet.tile)), where)
        sheet.add_values(left, top, own[frame], (where, panel.target))
