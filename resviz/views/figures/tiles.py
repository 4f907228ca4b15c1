"""`Sheet`: a figure whose axes are pixels, with tiles, words and colour bars put on it by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resviz.views import style
from resviz.views.charts.chart import Chart, Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import ColourBar, Heat, Hover, Note, Picture
from resviz.views.charts.words import room_for
from resviz.views.pictures import Floats, Pixels

LINE = 16  # pixels between two lines of words
LEFT, TOP, FOOT = 16, 92, 18  # around the sheet; the title stands above it
WIDEST = 1000  # pixels of a figure: what is wider is cut in a notebook on a small screen
_TITLE = 820


def title_room(title: str, *lines: str) -> float:
    """How wide a figure is for its title, in pixels: so wide that few lines are broken."""
    wide = 3 * LEFT + max(room_for(title, 16), *(room_for(line) for line in lines))
    return min(wide, _TITLE)


class Sheet:
    """A chart under work: x to the right, y downwards, in pixels from the upper left corner."""

    def __init__(self, tile: tuple[int, int], across: int, down: int, right: float) -> None:
        """An empty sheet.

        Args:
            tile: (height, width) of each picture.
            across: width of the sheet.
            down: height of the sheet.
            right: width of the margin beside it.
        """
        self.tile, self.across, self.down = tile, across, down
        margin = Margin(LEFT, right, TOP, FOOT)
        self.draft = Draft(down + TOP + FOOT, across + LEFT + right, margin, legend=None)
        self.draft.about["tile"] = list(tile)
        self.draft.axis("x", visible=False, limits=(0, across))
        self.draft.axis("y", visible=False, limits=(down, 0), square=True)

    def chart(self, title: str, *lines: str) -> Chart:
        """The chart, under its title."""
        return self.draft.chart(title, *lines)

    def add_picture(
        self, left: float, top: float, pixels: Pixels, name: str, hover: Hover | None = None
    ) -> None:
        """A picture as large as a tile."""
        where = self._spread(left, top, pixels.shape)
        self.draft.add(Picture(pixels=pixels, name=name, hover=hover, **where))

    def add_values(
        self,
        left: float,
        top: float,
        raw: Floats,
        words: Sequence[str],
        frame: tuple[float, float, float, float] = (0, 0, 1, 1),
    ) -> None:
        """The values under a tile, unseen, for the hover: at their own resolution, as they are.

        `frame` is (top, left, bottom, right) of what they cover, as shares of the tile.
        """
        where = self._spread(left, top, raw.shape, frame)
        self.draft.add(Heat(z=raw, name=words[0], hover=cells(raw, *words), **where))

    def _spread(
        self,
        left: float,
        top: float,
        shape: Sequence[int],
        frame: tuple[float, float, float, float] = (0, 0, 1, 1),
    ) -> dict[str, Any]:
        height, width = self.tile
        dy = height * (frame[2] - frame[0]) / shape[0]
        dx = width * (frame[3] - frame[1]) / shape[1]
        x0, y0 = left + width * frame[1] + dx / 2, top + height * frame[0] + dy / 2
        return {"x0": x0, "dx": dx, "y0": y0, "dy": dy}

    def add_words(
        self, left: float, top: float, text: str, *, faint: bool = False, size: int = style.SMALL
    ) -> None:
        """A line of words, its upper left corner at the place."""
        colour = style.FAINT if faint else style.INK
        self.draft.add(Note(text, left, top, anchor=("left", "top"), size=size, colour=colour))

    def add_upright(self, centre: float, middle: float, lines: Sequence[str], size: int) -> None:
        """Words that run upwards, around the place."""
        self.draft.add(Note("\n".join(lines), centre, middle, size=size, upright=True))

    def add_bar(
        self,
        scale: tuple[float, float, str],
        left: float,
        top: float,
        length: float,
        *,
        title: str = "",
        ticks: Mapping[float, str] | None = None,
    ) -> None:
        """A colour bar, its upper left corner at the place.

        Args:
            scale: (low, high, colour scale).
            left: may lie in the margin beside the sheet.
            top: of the bar.
            length: in pixels.
            title: runs along it.
            ticks: the words at some of its values; None: numbers.
        """
        x, y = left / self.across, 1 - (top + length / 2) / self.down
        marked = None if ticks is None else tuple(ticks.items())
        self.draft.add(ColourBar(*scale, x, y, length / self.down, title, marked))


def cells(values: Floats, *words: str) -> Hover:
    """What the pointer shows of the cells of a map: the words, row, column, value."""
    rows, columns = np.indices(values.shape, dtype=np.min_scalar_type(max(values.shape) - 1))
    where = "row %{customdata[0]}, column %{customdata[1]}"
    return Hover("\n".join([*words, where, "%{z:.4g}"]), rows=np.stack([rows, columns], axis=-1))
