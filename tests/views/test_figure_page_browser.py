"""A figure saved as a page: it draws, asks nobody for anything, and follows its reader's theme."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

import resviz as rv
from resviz.views import style

pytestmark = pytest.mark.browser
# of the page, of the figure's paper, of its title, and of its smaller words
COLOURS = """() => {
  const [body, paper, title, small] = ["body", ".main-svg", ".gtitle", ".gtitle tspan[style*=fill]"]
    .map((where) => getComputedStyle(document.querySelector(where)));
  return [body.backgroundColor, paper.backgroundColor, title.fill, small.fill];
}"""


@pytest.fixture
def file(norms: Any, tmp_path: Path) -> Path:
    """A page of a figure."""
    path = tmp_path / "figure.html"
    rv.save_html(rv.plot_depth_profile(norms[0]), path)
    return path


def test_a_page_of_a_figure(chromium: Any, file: Path) -> None:
    page = chromium.new_page()
    wrong: list[str] = []
    page.on("console", lambda m: m.type == "error" and wrong.append(m.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or wrong.append(r.url))
    page.goto(file.as_uri())
    page.wait_for_selector(".main-svg .scatterlayer .trace")
    page.wait_for_timeout(300)
    assert wrong == []
    page.close()


def test_it_follows_the_theme_of_its_reader(chromium: Any, file: Path) -> None:
    """Also while it is open."""
    dark = style.in_the_dark()
    light = [style.BACKGROUND, style.BACKGROUND, style.INK, style.FAINT]
    page = chromium.new_page()
    for scheme, colours in (
        ("dark", [dark[colour] for colour in light]),
        ("light", light),
        ("dark", [dark[colour] for colour in light]),
    ):
        page.emulate_media(color_scheme=scheme)
        if page.url != file.as_uri():
            page.goto(file.as_uri())
            page.wait_for_selector(".main-svg .scatterlayer .trace")
        page.wait_for_timeout(100)
        assert page.evaluate(COLOURS) == [rgb(colour) for colour in colours]
    page.close()


@pytest.mark.parametrize(
    "changed",
    [
        lambda _: go.Figure(go.Scatter(y=[1, 2], line_color="#000000")),
        lambda made: made.update_layout(paper_bgcolor="#fafafa"),
        lambda made: made.update_layout(template="plotly_dark"),
    ],
    ids=["plotly's own", "other paper", "other template"],
)
def test_on_another_paper_nothing_changes_in_the_dark(
    chromium: Any, norms: Any, tmp_path: Path, changed: Any
) -> None:
    """Black on white would become white on white."""
    figure = changed(rv.plot_depth_profile(norms[0]))
    rv.save_html(figure, tmp_path / "figure.html")
    looks = []
    for scheme in ("light", "dark"):
        page = chromium.new_page(color_scheme=scheme)
        page.goto((tmp_path / "figure.html").as_uri())
        page.wait_for_selector(".main-svg .scatterlayer .trace")
        page.wait_for_timeout(300)
        looks.append(page.screenshot())
        page.close()
    assert looks[0] == looks[1]


def rgb(colour: str) -> str:
    """ "#14181d" as a browser tells it."""
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"


@pytest.mark.parametrize("colour", [*style.COLOURS, style.INK, style.FAINT])
def test_lines_and_words_stand_out_from_the_dark(colour: str) -> None:
    """By WCAG's contrast: 3 for lines, 4.5 for words."""
    dark = style.in_the_dark()
    shown, paper = (luminance(code) for code in (dark.get(colour, colour), dark[style.BACKGROUND]))
    assert (shown + 0.05) / (paper + 0.05) > (4.5 if colour in (style.INK, style.FAINT) else 3)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
