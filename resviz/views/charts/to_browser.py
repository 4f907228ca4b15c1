"""A chart as JSON, for the pen in the browser: ``frontend/chart_pen.js``."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from resviz.views import style
from resviz.views.charts.chart import Chart
from resviz.views.pictures import data_uri

_STOPS = 32  # colours of a scale
# what a theme decides: names of frontend/style.css
_THEME = {
    style.INK: "var(--rv-ink)",
    "#000000": "var(--rv-ink)",
    style.FAINT: "var(--rv-faint)",
    style.GRID: "var(--rv-line)",
    **dict(zip(style.SHADES, ("var(--rv-card)", "var(--rv-back)"), strict=True)),
}


def to_browser(chart: Chart) -> dict[str, Any]:
    """The chart as what JSON holds: every field by its name, the words as plain text.

    Marks have a ``kind``: "series", "area", "words", "heat", "picture", "colourbar". Numbers that
    are not finite are None, pixels a PNG as an address, and a colour scale a list of colours at
    even steps. Ink, faint ink, lines and shades are those of the page's theme: ``var(--rv-ink)``.
    ``frontend/chart_pen.js`` draws it, without pictures and colour bars.

    Example:
        >>> from resviz.views.charts.draft import Draft
        >>> from resviz.views.charts.marks import Series
        >>> draft = Draft(200)
        >>> draft.add(Series(x=[1, 2], y=[3, float("nan")], width=2, name="a < b"))
        >>> mark, = to_browser(draft.chart("two points"))["marks"]
        >>> mark["kind"], mark["y"], mark["name"]
        ('series', [3, None], 'a < b')
    """
    made: dict[str, Any] = _plain(chart)
    del made["kind"]
    return made


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        known = {each.name: getattr(value, each.name) for each in fields(value)}
        return {"kind": type(value).__name__.lower()} | {k: _field(k, v) for k, v in known.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "to_numpy"):  # a column of a table
        return _plain(value.to_numpy())
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _field(name: str, value: Any) -> Any:
    if name == "pixels":
        return data_uri(value)
    if name == "colours" and isinstance(value, str):
        table = style.colour_table(value)[np.linspace(0, 255, _STOPS).round().astype(int)]
        return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in table.tolist()]
    if name in ("colour", "fill"):
        return _THEME.get(value, value)
    return _plain(value)
