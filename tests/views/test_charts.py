"""Charts as data, and their pens: both show the same numbers and words, and nothing is cut."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import resviz as rv
from cases import thorough_but
from resviz.views.charts.canvas import Canvas
from resviz.views.charts.chart import Chart, Legend
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import (
    Area,
    ColourBar,
    Heat,
    Hover,
    Note,
    Picture,
    Rule,
    Series,
    Stripe,
    Words,
)
from resviz.views.charts.to_browser import to_browser
from resviz.views.charts.to_picture import to_picture
from resviz.views.charts.to_plotly import to_plotly
from resviz.views.charts.words import short, wrapped
from resviz.views.figure import Figure

LONG = "a network with a name that goes on and on, as one of a sweep over rates and seeds may"


@pytest.fixture(scope="module")
def figures(rec: Any, exp: Any, norms: Any) -> dict[str, Callable[[], Figure]]:
    log = pd.DataFrame({"epoch": [1, 2, 3], "train_error": [50.0, 40.0, 0.0]})
    return {
        "depth": lambda: rv.plot_depth_profile({"a": norms, LONG: norms[0]}, title=LONG + LONG),
        "residuals": lambda: rv.plot_residual_branches(rec),
        "training": lambda: rv.plot_training({LONG: log.assign(test_error=60.0)}, log=True),
        "feature maps": lambda: rv.plot_feature_maps(rec, "layer3", channels=64),
        "explanation": lambda: rv.plot_explanation(exp, name=LONG),
    }


NAMES = ("depth", "residuals", "training", "feature maps", "explanation")
EVERY_NAME = pytest.mark.parametrize("name", thorough_but(NAMES, ["residuals"]))


def drawn(chart: Chart) -> Canvas:
    canvas = Canvas(chart)
    canvas.drawn()
    return canvas


def numbers(values: Any) -> np.ndarray[Any, Any]:
    return np.array([np.nan if v is None else v for v in values], float)


def words_of(chart: Chart) -> Iterator[str]:
    """All that a reader of a picture can read, without numbers on axes."""
    yield from (chart.title, *chart.lines, *(note.text for note in chart.notes))
    yield from (axis.title for axis in chart.axes.values() if axis.title and axis.visible)
    yield from (mark.name for mark in chart.marks if isinstance(mark, Series) and mark.legend)
    for mark in chart.marks:
        yield from mark.texts if isinstance(mark, Words) else ()


@EVERY_NAME
def test_both_pens_show_the_numbers_of_the_chart(
    name: str, figures: dict[str, Callable[[], Figure]]
) -> None:
    figure = figures[name]()
    chart, canvas = figure.chart, drawn(figure.chart)
    for mark, trace in zip(chart.marks, figure.data, strict=True):
        if isinstance(mark, ColourBar):
            assert (trace.marker.cmin, trace.marker.cmax) == (mark.low, mark.high)
            continue
        ax = canvas.axes[mark.xaxis, mark.yaxis]
        if isinstance(mark, Series) and len(mark.x) and not mark.unseen:
            x, y = numbers(mark.x), numbers(mark.y)
            np.testing.assert_array_equal(np.array(trace.x, float), x)
            np.testing.assert_array_equal(np.array(trace.y, float), y)
            lines = [line.get_xydata() for line in ax.lines]
            assert any(np.array_equal(each, np.c_[x, y], equal_nan=True) for each in lines)
        if isinstance(mark, Heat):
            np.testing.assert_array_equal(np.asarray(trace.z), mark.z)
    for key, axis in chart.axes.items():
        ends = figure.layout[f"{key[0]}axis{key[1:]}"].range
        np.testing.assert_allclose([10**v if axis.log else v for v in ends], axis.limits)


def test_three_pens_show_the_same_depth_profile(norms: Any) -> None:
    figure = rv.plot_depth_profile({"a": norms, "b <i>": norms[0]})
    sent = json.loads(json.dumps(to_browser(figure.chart), allow_nan=False))
    canvas = drawn(figure.chart)
    for mark, trace in zip(sent["marks"], figure.data, strict=True):
        x, y = numbers(mark["x"]), numbers(mark["y"])
        np.testing.assert_array_equal(numbers(trace.x), x)
        np.testing.assert_array_equal(numbers(trace.y), y)
        if mark["kind"] == "series":
            lines = [line.get_xydata() for line in canvas.axes[mark["xaxis"], mark["yaxis"]].lines]
            assert any(np.array_equal(each, np.c_[x, y], equal_nan=True) for each in lines)
        assert html.unescape(trace.name) == mark["name"].replace("\n", "<br>")
    assert sent["axes"]["y"]["log"] and sent["axes"]["y"]["title"] == figure.layout.yaxis.title.text
    assert sent["title"] == figure.layout.title.text.partition("<br>")[0]


@EVERY_NAME
def test_a_chart_is_json(name: str, figures: dict[str, Callable[[], Figure]]) -> None:
    chart = figures[name]().chart
    sent = json.loads(json.dumps(to_browser(chart), allow_nan=False))
    assert [mark["kind"] for mark in sent["marks"]] == [
        type(mark).__name__.lower() for mark in chart.marks
    ]
    for mark in sent["marks"]:
        if mark["kind"] in ("heat", "colourbar") and mark["colours"]:
            assert len(mark["colours"]) == 32 and mark["colours"][0].startswith("#")
        if mark["kind"] == "picture":
            assert mark["pixels"].startswith("data:image/png")
    assert sent["about"] == chart.about and sent["height"] == chart.height


@EVERY_NAME
def test_both_pens_show_the_words_of_the_chart(
    name: str, figures: dict[str, Callable[[], Figure]]
) -> None:
    figure = figures[name]()
    words = set(words_of(figure.chart))
    assert len(words) > 3
    canvas = drawn(figure.chart)
    artists = canvas.figure.findobj(match=lambda each: hasattr(each, "get_text"))
    seen = {text.get_text() for text in artists}
    lines = {line for text in seen for line in text.splitlines()}
    assert {line for text in words for line in text.splitlines()} <= lines
    page = html.unescape(re.sub(r"<br>|<[^>]*span[^>]*>", "\n", _markup(figure)))
    assert all(line in page for text in words for line in text.splitlines())


def _markup(figure: Figure) -> str:
    layout = figure.layout
    parts = [layout.title.text, *(note.text for note in layout.annotations)]
    parts += [axis.title.text or "" for axis in (*figure.select_xaxes(), *figure.select_yaxes())]
    for trace in figure.data:
        parts += [trace.name or "", *map(str, getattr(trace, "text", None) or ())]
    return "\n".join(parts)


@EVERY_NAME
def test_no_words_are_cut(name: str, figures: dict[str, Callable[[], Figure]]) -> None:
    """Of the picture; what is as wide as there is room has at least 900 pixels."""
    chart = figures[name]().chart
    assert chart.width is None or chart.width <= 1000
    canvas = drawn(chart)
    canvas.figure.draw_without_rendering()
    legends = [each.get_window_extent() for each in canvas.figure.legends]
    boxes = legends + [text.get_window_extent() for text in canvas.figure.texts]
    bars = [ax.get_tightbbox() for ax in canvas.figure.axes if ax not in canvas.axes.values()]
    for box in boxes + [bar for bar in bars if bar is not None]:
        assert box.x0 >= 0 and box.x1 <= canvas.width + 1
        assert box.y0 >= 0 and box.y1 <= canvas.height + 1


@pytest.mark.browser
def test_nothing_is_cut_in_a_browser_of_1000_pixels(
    figures: dict[str, Callable[[], Figure]], opened: Any, tmp_path: Path
) -> None:
    for name, make in figures.items():
        make().save(tmp_path / f"{name}.html")
        ready = "() => document.querySelector('.main-svg .gtitle')"
        tab = opened(tmp_path / f"{name}.html", ready, viewport={"width": 1000, "height": 900})
        places = tab.page.evaluate(
            """() => [...document.querySelectorAll('.legend, .colorbar, .gtitle, .annotation')]
            .map((each) => each.getBoundingClientRect())
            .map((box) => [box.left, box.top, box.right])"""
        )
        assert places
        for left, top, right in places:
            assert left >= 0 and top >= 0 and right <= 1000, name


# ---- the marks by hand
def test_each_mark_in_plotly() -> None:
    draft = Draft(300, 400)
    hover = Hover("\n%{x}: %{customdata[0]}", "a < b", rows=np.array([["<i>"], ["&"]], object))
    draft.add(
        Series(x=[1, 2], y=[3, 4], width=2, size=5, name="<b>", hover=hover),
        Area(x=[0, 1, 1], y=[0, 0, 1], fill="#ff0000"),
        Words(x=[1], y=[1], texts=["x < y\nz"]),
        Heat(z=np.zeros((2, 3)), low=0, high=1, colours="Viridis"),
        Picture(pixels=np.zeros((2, 2, 3), np.uint8)),
        ColourBar(0, 1, "Cividis", ticks=((0.5, "half & half"),)),
        Rule((0, 1), (2, 2)),
        Stripe((0, 1), "y", "#eeeeee", "layer<1>"),
        Note("so\nand so", 0, 1, xref="paper"),
    )
    made = to_plotly(draft.chart("1 < 2", "small"))
    line, area, words, heat, picture, bar = made["data"]
    assert line["mode"] == "lines+markers" and line["name"] == "&lt;b&gt;"
    assert line["hovertemplate"].startswith("<b>a &lt; b</b><br>%{x}")
    assert line["customdata"].tolist() == [["&lt;i&gt;"], ["&amp;"]]
    assert area["fill"] == "toself" and words["text"] == ["x &lt; y<br>z"]
    assert heat["zmin"] == 0 and picture["source"].startswith("data:image/png")
    assert bar["marker"]["colorbar"]["ticktext"] == ["half &amp; half"]
    stripe, rule = made["layout"]["shapes"]  # a rule is seen on a stripe
    assert (stripe["type"], rule["type"]) == ("rect", "line")
    assert stripe["label"]["text"] == "layer&lt;1&gt;"
    assert made["layout"]["annotations"][0]["text"] == "so<br>and so"
    assert Figure.of(draft.chart("1 < 2")).layout.title.text == "1 &lt; 2"


@pytest.mark.thorough
def test_each_mark_in_matplotlib(read: Any) -> None:
    """Each of them changes the picture."""
    empty = Draft(300, 400)
    for axis in "xy":
        empty.axis(axis, limits=(0, 4))
    blank = read.picture(to_picture(empty.chart(""), "png"))
    for mark in (
        Series(x=[1, 2], y=[3, None], width=2, size=9, symbol="triangle-up-open"),
        Area(x=[0, 1, 1], y=[0, 0, 1], fill="rgba(255,0,0,0.5)"),
        Words(x=[1], y=[1], texts=["$x^$"]),
        Heat(z=np.eye(3), low=0, high=1, colours=((0, "#ff0000"), (1, "#00ff00"))),
        Picture(pixels=np.zeros((2, 2, 3), np.uint8)),
        ColourBar(0, 1, "Cividis", x=0.5, length=0.5),
        Rule((0, 1), (0.5, 0.5), xref="x domain", yref="y domain", dash="dot"),
        Stripe((0, 1), "y", "#ff0000", "layer1"),
        Note("words", 0.5, 0.5, xref="paper", yref="paper", upright=True),
    ):
        draft = replace(empty, marks=[], below=[], notes=[])
        draft.add(mark)
        assert (read.picture(to_picture(draft.chart(""), "png")) != blank).any(), mark


def test_the_legend_is_in_the_order_of_ranks() -> None:
    draft = Draft(300, 400, legend=Legend(0, 1))
    for name, rank in (("last", 1002), ("first", 998), ("middle", None)):
        draft.add(Series(x=[1], y=[1], size=5, name=name, rank=rank))
    (legend,) = drawn(draft.chart("")).figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["first", "middle", "last"]


# ---- words
def test_a_chart_grows_with_its_title() -> None:
    draft = Draft(300, 400)
    one, more = draft.chart("title", "a line"), draft.chart("title", " · ".join(["measured"] * 40))
    assert more.height - one.height == more.margin.top - one.margin.top > 40
    assert " · ".join(more.lines) == " · ".join(["measured"] * 40)


def test_words_made_to_fit() -> None:
    assert wrapped("word " * 20, 100) == ["word word word"] * 6 + ["word word"]
    assert short("abcdefgh", 40, 10, middle=True) == "ab…fgh"


def test_numbers_that_the_caller_changes_afterwards_change_no_chart() -> None:
    numbers, cells = np.array([1.0, 2.0]), np.eye(2, dtype=np.float32)
    draft = Draft(300)
    draft.axis("x")
    draft.axis("y")
    hover = Hover("%{customdata[0]}", rows=numbers[:, None])
    draft.add(Series(x=numbers, y=numbers, width=2, hover=hover), Heat(z=cells[::-1]))
    figure = Figure.of(draft.chart("numbers"))
    numbers *= 10
    cells *= 10
    line, heat = figure.chart.marks
    assert isinstance(line, Series) and isinstance(heat, Heat) and line.hover is not None
    assert list(line.y) == list(line.hover.rows[:, 0]) == list(figure.data[0].y) == [1, 2]
    assert np.max(heat.z) == np.max(figure.data[1].z) == 1
    assert figure.picture("svg")  # and not "a figure that was changed after it was made"


def test_a_long_legend_is_in_the_picture() -> None:
    table = pd.DataFrame(
        {"layer": ["a"], "parameter": ["a.weight"], "depth": [1], "grad_norm": [1.0]}
    )
    figure = rv.plot_depth_profile({f"{LONG}, {k}": table for k in range(16)})
    short_one = rv.plot_depth_profile({"a": table}).chart
    drawn = Canvas(figure.chart).drawn()
    (legend,) = drawn.legends
    box = legend.get_window_extent()
    assert len(legend.get_texts()) == 16 and box.y0 >= 0
    plot = figure.chart.height - figure.chart.margin.top - figure.chart.margin.bottom
    assert plot == short_one.height - short_one.margin.top - short_one.margin.bottom
