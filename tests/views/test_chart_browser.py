"""One depth profile as plotly, as a picture and as drawn in Chromium shows the same numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resviz.views.charts.canvas import Canvas
from resviz.views.charts.to_browser import to_browser
from resviz.views.figures.depth import plot_depth_profile
from resviz.views.widgets.gradients import explore_gradients
from views.sources import FRONTEND, ROOT

pytestmark = pytest.mark.browser

HOME = "http://views.test/"
LIBRARIES = ROOT / "node_modules"
TINY = 1e-3  # of a value: a tenth of a pixel
DRAW = """async (chart) => {
  const { drawChart } = await import("/chart_pen.js");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  document.body.replaceChildren(svg);
  const place = drawChart(svg, chart, { width: 900, id: "a" });
  const [x, y] = ["x", "y"].map(place.on);
  const points = (path) => [...path.getAttribute("d").matchAll(/([-\\d.]+),([-\\d.]+)/g)]
    .map(([, across, up]) => [x.invert(Number(across)), y.invert(Number(up))]);
  const paths = [...svg.querySelectorAll("g[clip-path$='-y)'] path")];
  const seen = paths.filter((one) => one.style.fill === "none");
  return {
    lines: seen.map(points),
    colours: seen.map((one) => one.style.stroke),
    zeros: [...svg.querySelectorAll("g[clip-path$='-y2)'] path")].length,
    marks: [...svg.querySelectorAll(":scope > path[transform]")].length,
    words: [...svg.querySelectorAll("text")].map((one) => one.textContent),
  };
}"""
READ = """svg => {
  const ticks = (way) => [...svg.querySelectorAll(".tick")].map((tick) => {
    const [, x, y] = /\\(([-\\d.]+),\\s*([-\\d.]+)\\)/.exec(tick.getAttribute("transform"));
    return [tick.textContent, Number(way === "x" ? x : y), Number(way === "x" ? y : x)];
  }).filter(([, , other]) => other === 0);
  const drawn = [...svg.querySelectorAll("g[clip-path] path")].map((one) => one.getAttribute("d"));
  return { x: ticks("x"), y: ticks("y"), paths: drawn };
}"""


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    names = list("abcdef")
    return pd.DataFrame(
        {
            "layer": names,
            "parameter": [f"{name}.weight" for name in names],
            "depth": range(1, 7),
            "stage": ["layer1"] * 3 + ["layer2"] * 3,
            "grad_norm": [8.0, 3.25, 0.0, 0.125, 20.0, 1.0],
        }
    )


@pytest.fixture
def empty(chromium: Any) -> Iterator[Any]:
    """A page that gets the modules of the views, and libraries from node_modules."""
    page = chromium.new_page()
    names = [*LIBRARIES.glob("d3-*"), *LIBRARIES.glob("internmap")]
    modules = {path.name: f"/{path.name}/{entry(path)}" for path in names}
    imports = json.dumps({"imports": modules})
    shell = f"<!DOCTYPE html><script type='importmap'>{imports}</script><body></body>"

    def answer(route: Any) -> None:
        name = route.request.url.removeprefix(HOME)
        home = LIBRARIES if name.startswith(("d3-", "internmap")) else FRONTEND
        body = (home / name).read_text(encoding="utf-8") if name else shell
        route.fulfill(body=body, content_type="text/javascript" if name else "text/html")

    page.route(f"{HOME}**", answer)
    page.goto(HOME)
    yield page
    page.close()


def entry(package: Path) -> str:
    """The file of a package that an import means."""
    told = json.loads((package / "package.json").read_text(encoding="utf-8"))
    return str(told.get("module") or told["main"])


def lines_in(figure: Any) -> list[Any]:
    """Traces that are lines, no bands."""
    return [each for each in figure.data if "lines" in (each.mode or "") and not each.fill]


def shown_as(colour: str) -> str:
    """A colour of a figure in the browser: black is the theme's ink.

    A name has the colour that it was first drawn in, so this hangs on what else was drawn.
    """
    if colour == "#000000":
        return "var(--rv-ink)"
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour[1:]))


def lines_of(canvas: Canvas) -> list[np.ndarray[Any, Any]]:
    return [line.get_xydata() for ax in canvas.axes.values() for line in ax.lines]


def known(points: Any) -> np.ndarray[Any, Any]:
    """(P, 2) without those that have no place."""
    found = np.array([[np.nan if v is None else v for v in point] for point in points], float)
    return found[np.isfinite(found).all(axis=1)]


@pytest.mark.skipif(not LIBRARIES.is_dir(), reason="no node_modules; npm ci")
def test_three_pens_draw_one_chart(empty: Any, table: pd.DataFrame) -> None:
    figure = plot_depth_profile({"a": table, "b <i>": [table.assign(grad_norm=4.0), table]})
    drawn = empty.evaluate(DRAW, to_browser(figure.chart))
    canvas = Canvas(figure.chart)
    canvas.drawn()
    traces = lines_in(figure)
    assert len(traces) == len(drawn["lines"]) == 2
    for trace, line, colour in zip(traces, drawn["lines"], drawn["colours"], strict=True):
        expected = known(zip(trace.x, trace.y, strict=True))
        np.testing.assert_allclose(known(line), expected, rtol=TINY)
        assert any(np.array_equal(known(each), expected) for each in lines_of(canvas))
        assert colour == shown_as(trace.line.color)
    assert drawn["zeros"] == 0 and drawn["marks"] == 5 + 6 + 2  # two in the strip
    assert {"0", "layer1", "layer2", figure.layout.yaxis.title.text} <= set(drawn["words"])


def value_of(label: str) -> float:
    """What a tick says: "0.5", "10⁻³"."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    power = re.fullmatch("10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", label)
    return 10.0 ** int(power[1].translate(raised)) if power else float(label)


def scale_of(ticks: list[Any], log: bool) -> np.ndarray[Any, Any]:
    """The straight line from pixels to values, through the ticks."""
    values = np.array([value_of(label) for label, _, _ in ticks])
    return np.polyfit([at for _, at, _ in ticks], np.log10(values) if log else values, 1)


def test_the_view_draws_what_its_figure_says(charted: Any, table: pd.DataFrame) -> None:
    """The numbers are read off the axes, as a reader would."""
    view = explore_gradients({"a": table, "b": table.assign(grad_norm=[1, 2, 4, 8, 16, 32.0])})
    figure = view.figure()
    canvas = Canvas(figure.chart)
    canvas.drawn()
    drawn = charted(view).page.locator(".rv-depth-svg").first.evaluate(READ)
    upwards = [tick for tick in drawn["y"] if tick[0] != "0"]  # the strip has its own
    across, up = scale_of(drawn["x"], False), scale_of(upwards, True)
    traces = lines_in(figure)
    assert len(drawn["paths"]) == len(traces) == 2
    for trace, path in zip(traces, drawn["paths"], strict=True):
        pixels = np.array(re.findall(r"([-\d.]+),([-\d.]+)", path), float)
        read = np.c_[np.polyval(across, pixels[:, 0]), 10 ** np.polyval(up, pixels[:, 1])]
        expected = known(zip(trace.x, trace.y, strict=True))
        np.testing.assert_allclose(read, expected, rtol=2 * TINY)
        assert any(np.array_equal(known(each), expected) for each in lines_of(canvas))
