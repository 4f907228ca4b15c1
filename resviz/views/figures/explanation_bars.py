"""The colour bars beside the maps of an explanation: one for all, or one for each method."""

from __future__ import annotations

from resviz.views.charts.words import room_for
from resviz.views.figures.map_grid import Arrangement
from resviz.views.figures.tiles import Sheet
from resviz.views.overlays import MapPanel


def draw_bars_of_rows(sheet: Sheet, made: Arrangement, clip: float) -> None:
    """A bar beside each method's row; none where there is nothing to see."""
    for row in made.rows:
        low, high, colours = row.panels[0].scale
        if not all(panel.blank() for panel in row.panels):
            middle = 0.0 if low < 0 else high / 2
            ticks = {value: f"{value:.2g}" for value in (low, middle, high)}
            if clip < 100:
                ticks |= {high: f"≥{high:.2g}"} | ({low: f"≤{low:.2g}"} if low < 0 else {})
            sheet.add_bar((low, high, colours), row.end, row.top, made.tile[0], ticks=ticks)


def draw_bars(sheet: Sheet, panels: list[MapPanel], scale: str, clip: float, top: float) -> None:
    """The bar beside the sheet: with numbers where all maps are on one scale, else in words.

    Two of them where some of the maps are signed and some are not.
    """
    left, length = sheet.across + 4, min(sheet.down - top - 12, 420)
    scales = list(dict.fromkeys(panel.scale for panel in panels))
    if len(scales) == 1:
        title = _fitting(
            length, "attribution (raw)", "" if clip == 100 else f" to percentile {clip:g}"
        )
        sheet.add_bar(scales[0], left, top, length, title=title)
        return
    kinds = list(dict.fromkeys((low < 0, colours) for low, _, colours in scales))
    share = (length - 24 * (len(kinds) - 1)) / len(kinds)
    end = "largest" if clip == 100 else f"p{clip:g}"
    for number, (signed, colours) in enumerate(kinds):
        what = "attribution" if len(kinds) == 1 else "signed maps" if signed else "unsigned maps"
        sheet.add_bar(
            (-1.0 if signed else 0.0, 1.0, colours),
            left,
            top + number * (share + 24),
            share,
            title=_fitting(
                share, what, f", each {'map' if scale == 'panel' else 'method'} its own"
            ),
            ticks={-1.0: f"−{end}", 0.0: "0", 1.0: end} if signed else {0.0: "0", 1.0: end},
        )


def _fitting(room: float, words: str, more: str) -> str:
    return words + more if room_for(words + more) <= room else words
