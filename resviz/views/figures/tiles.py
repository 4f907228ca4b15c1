"""`Sheet`: a figure whose axes are pixels, with tiles, words and colour bars put on it by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.pictures import Floats, Pixels, data_uri

LINE = 16  # pixels between two lines of words
LEFT, TOP, FOOT = 16, 92, 18  # around the sheet; the title stands above it
_WIDE = 0.6  # a letter's width as a share of its height, on average
_BAR = 14


def room_for(text: str, size: int = style.SMALL) -> float:
    """About how many pixels the words take."""
    return len(text) * size * _WIDE


def title_room(title: str) -> float:
    """How wide a figure must be for its title, in pixels."""
    from resviz.views.static import plain

    first, *others = plain(title).splitlines()
    return 3 * LEFT + max(room_for(first, 16), *(room_for(line) for line in others))


def short(text: str, room: float, size: int = style.SMALL, *, middle: bool = False) -> str:
    """`text` cut to `room` pixels, at the end or in the middle.

    Example:
        >>> short("Egyptian cat", 60, 10)
        'Egyptian…'
    """
    most = max(4, int(room / (size * _WIDE)))
    if len(text) <= most:
        return text
    if middle:
        return text[: (most - 1) // 2] + "…" + text[-(most // 2) :]
    return text[: most - 1].rstrip() + "…"


class Sheet:
    """A figure under work: x to the right, y downwards, in pixels from the upper left corner."""

    def __init__(self, tile: tuple[int, int], across: int, down: int, right: int) -> None:
        """An empty sheet.

        Args:
            tile: (height, width) of each picture.
            across: width of the sheet.
            down: height of the sheet.
            right: width of the margin beside it.
        """
        self.tile, self.across, self.down = tile, across, down
        self.fig = Figure(
            layout={
                "template": style.template(),
                "height": down + TOP + FOOT,
                "width": across + LEFT + right,
                "margin": {"l": LEFT, "r": right, "t": TOP, "b": FOOT},
                "showlegend": False,
                "xaxis": {"visible": False, "range": [0, across], "constrain": "domain"},
                "yaxis": {
                    "visible": False,
                    "range": [down, 0],
                    "scaleanchor": "x",
                    "constrain": "domain",
                    "constraintoward": "top",
                },
                "meta": {"tile": list(tile)},
            }
        )

    def add_picture(self, left: float, top: float, pixels: Pixels, name: str) -> None:
        """A picture as large as a tile."""
        self.fig.add_image(
            source=data_uri(pixels),
            hoverinfo="skip",
            name=style.escape(name),
            **self._spread(left, top, pixels.shape),
        )

    def add_values(
        self,
        left: float,
        top: float,
        raw: Floats,
        words: Sequence[str],
        frame: tuple[float, float, float, float] = (0, 0, 1, 1),
        **scale: Any,
    ) -> None:
        """The values under a tile, unseen, for the hover: at their own resolution, as they are.

        `frame` is (top, left, bottom, right) of what they cover, as shares of the tile.
        """
        small = max(raw.shape) <= 256
        rows, columns = np.indices(raw.shape, dtype=np.uint8 if small else np.uint16)
        heading = "<br>".join(style.escape(line) for line in words)
        self.fig.add_heatmap(
            z=raw,
            opacity=0,
            showscale=False,
            name=style.escape(words[0]),
            customdata=np.stack([rows, columns], axis=-1),
            hovertemplate=f"{heading}<br>row %{{customdata[0]}}, column %{{customdata[1]}}"
            "<br>%{z:.4g}<extra></extra>",
            **self._spread(left, top, raw.shape, frame),
            **scale,
        )

    def _spread(
        self,
        left: float,
        top: float,
        shape: Sequence[int],
        frame: tuple[float, float, float, float] = (0, 0, 1, 1),
    ) -> dict[str, float]:
        height, width = self.tile
        dy = height * (frame[2] - frame[0]) / shape[0]
        dx = width * (frame[3] - frame[1]) / shape[1]
        x0, y0 = left + width * frame[1] + dx / 2, top + height * frame[0] + dy / 2
        return {"x0": x0, "dx": dx, "y0": y0, "dy": dy}

    def add_words(
        self, left: float, top: float, text: str, *, faint: bool = False, size: int = style.SMALL
    ) -> None:
        """A line of words, its upper left corner at the place."""
        self._note(left, top, text, faint, size, xanchor="left", yanchor="top")

    def add_upright(self, centre: float, middle: float, lines: Sequence[str], size: int) -> None:
        """Words that run upwards, around the place."""
        place = {"xanchor": "center", "yanchor": "middle", "textangle": -90}
        self._note(centre, middle, "\n".join(lines), False, size, **place)

    def _note(self, x: float, y: float, text: str, faint: bool, size: int, **place: Any) -> None:
        self.fig.add_annotation(
            x=x,
            y=y,
            text=style.escape(text).replace("\n", "<br>"),
            showarrow=False,
            font={"size": size, "color": style.FAINT if faint else style.INK},
            **place,
        )

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
        """A colour bar, its upper left corner at the place, with the trace that carries it.

        Args:
            scale: (low, high, colour scale).
            left: may lie in the margin beside the sheet.
            top: of the bar.
            length: in pixels.
            title: runs along it.
            ticks: the words at some of its values; None: numbers.
        """
        low, high, colours = scale
        bar: dict[str, Any] = {
            "thickness": _BAR,
            "len": length / self.down,
            "x": left / self.across,
            "xanchor": "left",
            "xpad": 0,
            "y": 1 - (top + length / 2) / self.down,
            "yanchor": "middle",
            "ypad": 0,
            "tickfont": {"size": style.SMALL},
            "title": {"text": title, "side": "right", "font": {"size": style.SMALL}},
        }
        if ticks is not None:
            bar |= {"tickvals": list(ticks), "ticktext": list(ticks.values())}
        self.fig.add_scatter(**style.bar_alone(low, high, colours, bar))
