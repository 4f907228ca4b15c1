"""Maps over signals and tokens: shaded under the curve, and behind the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from resviz.views.charts.marks import Hover, Series, Words
from resviz.views.charts.words import room_for, short
from resviz.views.figures.tiles import LEFT, LINE, Sheet
from resviz.views.overlays import MapPanel
from resviz.views.pictures import Floats, Pixels, blended, coloured, resized

UNSIGNED = "Reds"  # 0 is nearly white, as in the blue-red scale: curves and words must be read
CHANNELS = 8  # drawn at the most
_ACROSS = 720
_CHANNEL, _LONE = 44, 96  # a channel's height among several, and alone
_GAP = 10
_PAD, _ROW = 8, 24  # around a word; a row of words


def on_white(panels: Sequence[MapPanel]) -> list[MapPanel]:
    """The panels in colours that leave what lies over them legible."""
    return [p if p.low < 0 else replace(p, colours=UNSIGNED) for p in panels]


# ---- signals
def draw_signal(panels: Sequence[MapPanel], signal: Floats, opacity: float, least: float) -> Sheet:
    """A row for each map: its colours behind the signal's channels, one below the other.

    Args:
        panels: the maps, (l,) each.
        signal: (C, L); each channel is drawn on its own scale.
        opacity: of the colours, over white.
        least: width that the title needs.
    """
    shown = signal[:CHANNELS]
    height = _LONE if len(shown) == 1 else _CHANNEL * len(shown)
    step = height + LINE + 4 + _GAP
    sheet = _sheet((height, _ACROSS), step * len(panels) + LINE, least)
    _draw_places(sheet, signal.shape[1], step * len(panels) - _GAP)
    for number, panel in enumerate(panels):
        top = number * step + LINE + 4
        raw = panel.raw.reshape(1, -1)
        spread = resized(raw, (1, signal.shape[1]))
        _draw_shades(sheet, panel, spread, top, opacity)
        for channel, values in enumerate(shown):
            _draw_curve(sheet, values, top + channel * height / len(shown), height / len(shown))
        where = f"{panel.method}, {panel.layer}"
        sheet.add_values(0, top, raw, (where, panel.target))
        _draw_words_above(sheet, panel, top)
    return sheet


def _sheet(tile: tuple[int, int], down: int, least: float) -> Sheet:
    """With room for the bar and the title beside it."""
    right = max(118, round(least) - _ACROSS - LEFT)
    return Sheet(tile, _ACROSS, down, right)


def _draw_shades(sheet: Sheet, panel: MapPanel, spread: Floats, top: float, opacity: float) -> None:
    colours = coloured(spread, panel.low, panel.high, panel.colours)
    white = np.full_like(colours, 255)
    where = f"{panel.method}, {panel.layer}"
    sheet.add_picture(0, top, blended(white, colours, opacity), where)


def _draw_curve(sheet: Sheet, values: Floats, top: float, room: float) -> None:
    """One channel, from its least to its largest value in the room that it has."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    share = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    x = (np.arange(len(values)) + 0.5) * sheet.tile[1] / len(values)
    y = top + 3 + (1 - share) * (room - 6)
    sheet.draft.add(Series(x=x, y=y, width=1, name="signal", legend=False))


def _draw_places(sheet: Sheet, length: int, top: float) -> None:
    """The numbers of some samples, below the last row."""
    step = max(1, round(length / 8 / 10) * 10 if length >= 80 else length // 4)
    for place in range(0, length, step):
        sheet.add_words((place + 0.5) * _ACROSS / length - 3, top, str(place), faint=True)


def _draw_words_above(sheet: Sheet, panel: MapPanel, top: float) -> None:
    words = f"{panel.method}, {panel.layer} · {panel.target} · {panel.blank() or panel.extremes()}"
    sheet.add_words(0, top - LINE - 2, short(words, _ACROSS))


# ---- words
@dataclass(frozen=True)
class _Word:
    left: int
    top: int
    width: int
    text: str


def draw_words(
    panels: Sequence[MapPanel], words: Sequence[str], opacity: float, least: float
) -> Sheet:
    """A block of the words for each map, each word on the colour of its value.

    Args:
        panels: the maps, (l,) each.
        words: of the tokens.
        opacity: of the colours, over white.
        least: width that the title needs.
    """
    placed = _placed(words)
    height = placed[-1].top + _ROW
    step = height + LINE + 4 + _GAP
    sheet = _sheet((height, _ACROSS), step * len(panels), least)
    for number, panel in enumerate(panels):
        top = number * step + LINE + 4
        values = resized(panel.raw.reshape(-1), (len(words),))
        block = _block(panel, values, placed, height, opacity)
        sheet.add_picture(0, top, block, f"{panel.method}, {panel.layer}")
        _draw_texts(sheet, panel, values, placed, top)
        _draw_words_above(sheet, panel, top)
    return sheet


def _placed(words: Sequence[str]) -> list[_Word]:
    """The words in rows, as a text runs."""
    placed: list[_Word] = []
    left, top = 0, 0
    for word in words:
        text = short(word, _ACROSS - _PAD)
        width = max(14, round(room_for(text)) + _PAD)
        if left + width > _ACROSS:
            left, top = 0, top + _ROW
        placed.append(_Word(left, top, width, text))
        left += width + 2
    return placed


def _block(
    panel: MapPanel, values: Floats, placed: Sequence[_Word], height: int, opacity: float
) -> Pixels:
    colours = coloured(values[None], panel.low, panel.high, panel.colours)
    shades = blended(np.full_like(colours, 255), colours, opacity)[0]
    block: Pixels = np.full((height, _ACROSS, 3), 255, dtype=np.uint8)
    for word, shade in zip(placed, shades, strict=True):
        block[word.top : word.top + _ROW - 3, word.left : word.left + word.width] = shade
    return block


def _draw_texts(
    sheet: Sheet, panel: MapPanel, values: Floats, placed: Sequence[_Word], top: float
) -> None:
    where = f"{panel.method}, {panel.layer}"
    text = f"{where}\n{panel.target}\nposition %{{customdata[0]}}\n%{{customdata[1]:.4g}}"
    rows = np.stack([np.arange(len(placed)), values], axis=1)
    x = [word.left + word.width / 2 for word in placed]
    y = [top + word.top + (_ROW - 3) / 2 for word in placed]
    texts = [word.text for word in placed]
    sheet.draft.add(Words(x=x, y=y, texts=texts, name=where, hover=Hover(text, rows=rows)))
