"""The page of a plotly figure, in the reader's theme."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from resviz.views import style
from resviz.views.document import document, json_element, script_text

# a figure's neutral colours are those of the light theme; in the dark others take their places
_DRAWN = """
const written = (id) => document.getElementById(id).textContent;
const text = written("rv-figure");
const inTheDark = JSON.parse(written("rv-dark"));
const dark = matchMedia("(prefers-color-scheme: dark)");
const ofTheDark = (colour) => inTheDark[colour] ?? colour;
const coloured = (_, value) =>
  typeof value === "string" ? value.replace(/#[0-9a-f]{6}/gi, ofTheDark) : value;
const draw = () => {
  const one = JSON.parse(text, dark.matches ? coloured : undefined);
  Plotly.react("rv-root", one.data, one.layout, { responsive: true, displaylogo: false });
};
draw();
dark.addEventListener("change", draw);
"""
# narrower than this, legends leave no room for curves: the page scrolls sideways instead
_STYLE = "body { margin: 0; background: %s; } #rv-root { min-width: 640px; }"
_STYLE_IN_THE_DARK = """
:root { color-scheme: light dark; }
@media (prefers-color-scheme: dark) { body { background: %s; } }
"""


def figure_page(figure: Any) -> str:
    """One HTML document with the figure and all of plotly.js.

    A figure whose paper is of another colour than ours is shown as it is in every theme: its
    maker chose what stands out from it.
    """
    from plotly.offline import get_plotlyjs

    others = style.in_the_dark() if _is_on_our_paper(figure) else {}
    look = _STYLE % style.BACKGROUND
    if others:
        look += _STYLE_IN_THE_DARK % others[style.BACKGROUND]
    title = re.sub(r"<[^>]*>", " ", figure.layout.title.text or "resviz")
    drawing = json.loads(figure.to_json())
    body = (
        '<main id="rv-root" class="rv-page"></main>\n'
        f"{json_element('rv-figure', drawing)}\n{json_element('rv-dark', others)}\n"
        f"<script>{script_text(get_plotlyjs())}</script>\n<script>{_DRAWN}</script>\n"
    )
    return document(html.unescape(title), look, body)


def _is_on_our_paper(figure: Any) -> bool:
    layout, base = figure.layout, figure.layout.template.layout
    papers = {
        layout.paper_bgcolor or base.paper_bgcolor,
        layout.plot_bgcolor or base.plot_bgcolor,
    }
    return papers == {style.BACKGROUND}
