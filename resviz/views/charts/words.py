"""How much room words take, and words made to fit: by the average width of a letter."""

from __future__ import annotations

import textwrap

from resviz.views import style

_WIDE = 0.6  # a letter's width as a share of its height, on average


def room_for(text: str, size: int = style.SMALL) -> float:
    """About how many pixels the words take."""
    return len(text) * size * _WIDE


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


def wrapped(text: str, room: float, size: int = style.SMALL) -> list[str]:
    """`text` in lines of `room` pixels, broken at its dots where it has some, else between words.

    Example:
        >>> wrapped("3 images · float32 · weights: own", 130)
        ['3 images · float32', 'weights: own']
    """
    most = max(8, int(room / (size * _WIDE)))
    lines: list[str] = []
    for part in text.split(" · "):
        if lines and len(lines[-1]) + 3 + len(part) <= most:
            lines[-1] += f" · {part}"
        else:
            lines += textwrap.wrap(part, most) or [""]
    return lines
