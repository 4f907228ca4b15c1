"""`save_html`: a view or a figure as one file that needs no kernel and no network."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resviz.views.payload import Payload

_ENTRY = "export default "
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
_STAND_IN = """
const rvText = (id) => document.getElementById(id).textContent;
const rvTraits = JSON.parse(rvText("rv-traits"));
const rvHandlers = {};
const rvEmit = (name, ...details) => {
  for (const handler of [...(rvHandlers[name] ?? [])]) handler(...details);
};
async function rvInflated() {
  const packed = Uint8Array.from(atob(rvText("rv-data").trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new DataView(await new Response(stream).arrayBuffer());
}
const rvModel = {
  kernel: false,
  get: (name) => rvTraits[name],
  set(name, value) {
    rvTraits[name] = value;
    rvEmit(`change:${name}`);
  },
  save_changes() {},
  on(name, handler) {
    (rvHandlers[name] ??= []).push(handler);
  },
  off(name, handler) {
    rvHandlers[name] = (rvHandlers[name] ?? []).filter((known) => known !== handler);
  },
  async send(content) {
    if (content.type !== "ready") return;
    const meta = JSON.parse(rvText("rv-meta"));
    rvEmit("msg:custom", { type: "data", meta }, [await rvInflated()]);
  },
};
rvEntry.render({ model: rvModel, el: document.getElementById("rv-root") });
document.querySelector("#rv-root > .rv-view").focus({ preventScroll: true });
"""


@dataclass(frozen=True)
class Page:
    """What :func:`save_html` needs of a view.

    Attributes:
        title: plain text.
        module: the view's joined ES module.
        style: its style sheet.
        payload: its data.
        traits: the first values of what the module reads from the widget model.
        still: a PNG for browsers that run no scripts, or None.
    """

    title: str
    module: str
    style: str
    payload: Payload
    traits: dict[str, Any] = field(default_factory=dict)
    still: bytes | None = None


def save_html(view_or_figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a view or a figure to one HTML file that stays interactive, offline, without Python.

    A view's page holds its modules and its data; what needs a kernel is disabled there and says
    why. A figure's page holds plotly.js (4.8 MB).

    Args:
        view_or_figure: what an ``explore_*`` or ``plot_*`` function returned.
        path: of the file; written over if it is there.

    Raises:
        TypeError: something else.

    Example:
        >>> import pathlib, tempfile
        >>> from resviz.views.figure import Figure
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = pathlib.Path(folder.name, "points.html")
        >>> save_html(Figure(layout={"title": {"text": "points"}}), file)
        >>> "http-equiv" in file.read_text(encoding="utf-8")
        True
        >>> folder.cleanup()
    """
    if callable(getattr(view_or_figure, "page", None)):
        text = page_text(view_or_figure.page())
    elif hasattr(view_or_figure, "to_plotly_json"):
        text = _figure_text(view_or_figure)
    else:
        raise TypeError(
            f"save_html: a {type(view_or_figure).__name__}; a view of explore_* or a figure of "
            "plot_* would be right."
        )
    Path(path).write_text(text, encoding="utf-8")


def page_text(page: Page) -> str:
    """The HTML of a view's page."""
    if page.module.count(_ENTRY) != 1:
        raise ValueError(f"save_html: the module must hold '{_ENTRY}' once.")
    module = page.module.replace(_ENTRY, "const rvEntry = ")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(page.payload.buffer) + packer.flush()
    still = ""
    if page.still is not None:
        address = "data:image/png;base64," + base64.b64encode(page.still).decode("ascii")
        still = f'<noscript><img alt="{html.escape(page.title)}" src="{address}"></noscript>'
    body = (
        f'<main id="rv-root" class="rv-page"></main>\n{still}\n'
        f"{_json_element('rv-traits', page.traits)}\n"
        f"{_json_element('rv-meta', page.payload.meta)}\n"
        '<script type="text/plain" id="rv-data">'
        f"{base64.b64encode(packed).decode('ascii')}</script>\n"
        f'<script type="module">\n{_script(module + _STAND_IN)}\n</script>\n'
    )
    return _document(page.title, page.style.replace("</", "<\\/"), body)


def _figure_text(figure: Any) -> str:
    from plotly.offline import get_plotlyjs

    title = re.sub(r"<[^>]*>", " ", figure.layout.title.text or "resviz")
    drawing = json.loads(figure.to_json())
    body = (
        f'<main id="rv-root" class="rv-page"></main>\n{_json_element("rv-figure", drawing)}\n'
        f"<script>{_script(get_plotlyjs())}</script>\n"
        "<script>\nconst drawing = JSON.parse(document.getElementById('rv-figure').textContent);\n"
        "Plotly.newPlot('rv-root', drawing.data, drawing.layout, "
        "{ responsive: true, displaylogo: false });\n</script>\n"
    )
    return _document(html.unescape(title), "body { margin: 0; background: #fff; }", body)


def _document(title: str, style: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}\n</style>\n</head>\n"
        f"<body>\n{body}</body>\n</html>\n"
    )


def _json_element(name: str, value: Any) -> str:
    """JSON in the page; "<" is written so that no text can end the element."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _script(text: str) -> str:
    """Script text that cannot end its element: a backslash changes nothing within its strings."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
