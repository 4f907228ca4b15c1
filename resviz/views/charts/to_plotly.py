"""The pen that writes a chart in plotly's language: traces and a layout, its words escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from resviz.views import style
from resviz.views.charts.chart import Axis, Chart
from resviz.views.charts.marks import (
    Area,
    ColourBar,
    Heat,
    Hover,
    Mark,
    Note,
    Picture,
    Raster,
    Rule,
    Series,
    Stripe,
    Words,
)
from resviz.views.pictures import data_uri


def to_plotly(chart: Chart) -> dict[str, Any]:
    """The chart as plotly's figure: ``{"data": [...], "layout": {...}}``.

    Example:
        >>> from resviz.views.charts.draft import Draft
        >>> from resviz.views.charts.marks import Series
        >>> draft = Draft(200)
        >>> draft.add(Series(x=[1, 2], y=[3, 4], width=2, name="a < b"))
        >>> to_plotly(draft.chart("two points"))["data"][0]["name"]
        'a &lt; b'
    """
    layout: dict[str, Any] = {
        "template": style.template(),
        "height": chart.height,
        "margin": dict(zip("lrtb", (getattr(chart.margin, s) for s in _SIDES), strict=True)),
        "showlegend": chart.legend is not None,
        "title": {"text": _heading(chart), "pad": {"l": 16, "t": 28 if chart.lines else 16}},
    }
    if chart.width is not None:
        layout["width"] = chart.width
    if chart.about:
        layout["meta"] = dict(chart.about)
    if chart.legend is not None:
        layout["legend"] = _legend(chart)
    layout |= {f"{name[0]}axis{name[1:]}": _axis(name, axis) for name, axis in chart.axes.items()}
    ordered = sorted(chart.below, key=lambda each: isinstance(each, Rule))  # above the stripes
    layout["shapes"] = [_shape(each) for each in ordered]
    layout["annotations"] = [_annotation(note) for note in chart.notes]
    return {"data": [_trace(mark) for mark in chart.marks], "layout": layout}


_SIDES = ("left", "right", "top", "bottom")


def escaped(text: object) -> str:
    """Words as plotly shows them: nothing in them is obeyed, a new line is one."""
    return html.escape(str(text), quote=False).replace("\n", "<br>")


def _heading(chart: Chart) -> str:
    look = f"font-size:{style.SMALL}px;color:{style.FAINT}"
    below = (f'<br><span style="{look}">{escaped(line)}</span>' for line in chart.lines)
    return escaped(chart.title) + "".join(below)


def _legend(chart: Chart) -> dict[str, Any]:
    legend = chart.legend
    assert legend is not None  # noqa: S101
    made: dict[str, Any] = {"x": legend.x, "y": legend.y}
    made |= {"xanchor": legend.anchor[0], "yanchor": legend.anchor[1]}
    if legend.across:
        made["orientation"] = "h"
    if legend.gap is not None:
        made["tracegroupgap"] = legend.gap
    return made


def _axis(name: str, axis: Axis) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "log" if axis.log else "linear",
        "domain": list(axis.domain),
        "showgrid": axis.grid,
        "visible": axis.visible,
        "fixedrange": axis.fixed,
    }
    if axis.title:
        made["title"] = {"text": escaped(axis.title)}
    if axis.limits is not None:
        made["range"] = [math.log10(v) for v in axis.limits] if axis.log else list(axis.limits)
    if axis.anchor is not None:
        made["anchor"] = axis.anchor
    if axis.ticks is not None:
        made["tickvals"] = [value for value, _ in axis.ticks]
        made["ticktext"] = [escaped(words) for _, words in axis.ticks]
    elif axis.step is not None:
        made["dtick"] = axis.step
    if axis.log and axis.ticks is None:
        made["exponentformat"] = "power"
    if axis.square:
        made |= {"scaleanchor": "x", "constraintoward": "top"}
    if not axis.visible:
        made["constrain"] = "domain"
    return made


# ---- marks
def _trace(mark: Mark | ColourBar) -> dict[str, Any]:
    if isinstance(mark, ColourBar):
        return _bar_alone(mark)
    pens: dict[type, Callable[[Any], dict[str, Any]]] = {
        Series: _series,
        Area: _area,
        Words: _words,
        Heat: _heat,
        Picture: _picture,
    }
    made = pens[type(mark)](mark) | _hover(mark.hover)
    if mark.name:
        made["name"] = escaped(mark.name)
    if not isinstance(mark, Raster):
        made["showlegend"] = bool(mark.name) and mark.legend
    if mark.group:
        made["legendgroup"] = escaped(mark.group)
    return made | {"xaxis": mark.xaxis, "yaxis": mark.yaxis}


def _hover(hover: Hover | None) -> dict[str, Any]:
    if hover is None:
        return {"hoverinfo": "skip"}
    bold = f"<b>{escaped(hover.bold)}</b>" if hover.bold else ""
    made: dict[str, Any] = {"hovertemplate": f"{bold}{escaped(hover.text)}<extra></extra>"}
    if hover.rows is not None:
        made["customdata"] = _texts(hover.rows)
    if hover.texts is not None:
        made["text"] = np.asarray(_texts(hover.texts)).tolist()
    return made


def _texts(rows: Any) -> Any:
    """Rows of words escaped; numbers as they are."""
    array = np.asarray(rows)
    if array.dtype.kind not in "OUS":
        return array
    flat = [escaped(each) if isinstance(each, str) else each for each in array.ravel().tolist()]
    shaped = np.empty(array.shape, dtype=object)
    shaped.ravel()[:] = flat
    return shaped


def _points(values: Any) -> Any:
    return values if len(values) else [None]  # a name in the legend, and no point


def _series(mark: Series) -> dict[str, Any]:
    parts = [word for word, size in (("lines", mark.width), ("markers", mark.size)) if size]
    made: dict[str, Any] = {
        "type": "scatter",
        "x": _points(mark.x),
        "y": _points(mark.y),
        "mode": "+".join(parts),
    }
    if mark.width:
        made["line"] = {"color": mark.colour, "width": mark.width, "dash": mark.dash}
        made["line"]["simplify"] = False  # plotly would cut the corners of arcs
    if mark.size:
        made["marker"] = {"color": mark.colour, "size": mark.size, "symbol": mark.symbol}
    if mark.unseen:
        made["opacity"] = 0
    if mark.rank is not None:
        made["legendrank"] = mark.rank
    return made


def _area(mark: Area) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": mark.x,
        "y": mark.y,
        "mode": "lines",
        "fill": "toself",
        "fillcolor": mark.fill,
        "line": {"width": 0},
    }


def _words(mark: Words) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": mark.x,
        "y": mark.y,
        "mode": "text",
        "text": [escaped(text) for text in mark.texts],
        "textposition": mark.place,
        "textfont": {"size": mark.size, "color": mark.colour},
        "cliponaxis": False,
    }


def _heat(mark: Heat) -> dict[str, Any]:
    made = {"type": "heatmap", "z": mark.z, **_places(mark), "showscale": mark.bar is not None}
    if mark.low is None:
        return made | {"opacity": 0}
    made |= {"zmin": mark.low, "zmax": mark.high, "colorscale": mark.colours}
    made["zsmooth"] = "best" if mark.smooth else False
    if mark.bar is not None:
        made["colorbar"] = _bar(mark.bar)
    return made


def _picture(mark: Picture) -> dict[str, Any]:
    return {"type": "image", "source": data_uri(mark.pixels), **_places(mark)}


def _places(mark: Raster) -> dict[str, float]:
    return {"x0": mark.x0, "dx": mark.dx, "y0": mark.y0, "dy": mark.dy}


def _bar(bar: ColourBar) -> dict[str, Any]:
    small = {"size": style.SMALL}
    made: dict[str, Any] = {
        "thickness": bar.thickness,
        "len": bar.length,
        "x": bar.x,
        "xanchor": "left",
        "xpad": 0,
        "y": bar.y,
        "yanchor": "middle",
        "ypad": 0,
        "tickfont": small,
        "title": {"text": escaped(bar.title), "side": "right", "font": small},
    }
    if bar.ticks is not None:
        made["tickvals"] = [value for value, _ in bar.ticks]
        made["ticktext"] = [escaped(words) for _, words in bar.ticks]
    return made


def _bar_alone(bar: ColourBar) -> dict[str, Any]:
    """A trace that shows nothing but its colour bar."""
    marker = {"color": [bar.low], "cmin": bar.low, "cmax": bar.high, "colorscale": bar.colours}
    return {
        "type": "scatter",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "showlegend": False,
        "hoverinfo": "skip",
        "marker": marker | {"showscale": True, "colorbar": _bar(bar)},
    }


# ---- around the marks
def _shape(each: Rule | Stripe) -> dict[str, Any]:
    if isinstance(each, Rule):
        line = {"color": each.colour, "width": each.width, "dash": each.dash}
        ends = {"x0": each.x[0], "x1": each.x[1], "y0": each.y[0], "y1": each.y[1]}
        refs = {"xref": each.xref, "yref": each.yref}
        return {"type": "line", "layer": "below", "line": line, **ends, **refs}
    low, high = each.x or (0, 1)
    return {
        "type": "rect",
        "xref": each.xaxis if each.x else f"{each.xaxis} domain",
        "yref": f"{each.yaxis} domain",
        **{"x0": low, "x1": high, "y0": 0, "y1": 1},
        "fillcolor": each.fill,
        "line": {"width": 0},
        "layer": "below",
        "label": {
            "text": escaped(each.text),
            "textposition": "top center",
            "yanchor": "bottom",
            "padding": 0,
            "font": {"size": style.SMALL, "color": style.FAINT},
        },
    }


def _annotation(note: Note) -> dict[str, Any]:
    text = escaped(note.text)
    made = {
        "text": f"<b>{text}</b>" if note.bold else text,
        **{"x": note.x, "y": note.y, "xref": note.xref, "yref": note.yref},
        **{"xshift": note.shift[0], "yshift": note.shift[1]},
        **{"xanchor": note.anchor[0], "yanchor": note.anchor[1]},
        "align": note.anchor[0],
        "showarrow": False,
        "font": {"size": note.size, "color": note.colour},
    }
    return made | ({"textangle": -90} if note.upright else {})
