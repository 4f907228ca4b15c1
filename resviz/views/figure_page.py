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
_STYLE = f"""
:root {{ color-scheme: light dark; }}
body {{ margin: 0; background: {style.BACKGROUND}; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: {style.in_the_dark()[style.BACKGROUND]}; }}
}}
"""


def figure_page(figure: Any) -> str:
    """One HTML document with the figure and all of plotly.js."""
    from plotly.offline import get_plotlyjs

    title = re.sub(r"<[^>]*>", " ", figure.layout.title.text or "resviz")
    drawing = json.loads(figure.to_json())
    body = (
        '<main id="rv-root" class="rv-page"></main>\n'
        f"{json_element('rv-figure', drawing)}\n{json_element('rv-dark', style.in_the_dark())}\n"
        f"<script>{script_text(get_plotlyjs())}</script>\n<script>{_DRAWN}</script>\n"
    )
    return document(html.unescape(title), _STYLE, body)
