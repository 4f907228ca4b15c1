"""`save`, `save_html`: a view or a figure as one file, without kernel, network or browser."""

from __future__ import annotations

import base64
import html
import os
import zlib
from dataclasses import dataclass, field
from typing import Any

from resviz.arguments import Progress, caller, public, switch
from resviz.views.document import document, json_element, script_text
from resviz.views.figure_page import figure_page
from resviz.views.payload import Payload
from resviz.writing import destination, whole_file

_PAGES = (".html", ".htm")
_PICTURES = (".png", ".svg", ".pdf")
_ENTRY = "export default "
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
    """What :func:`save_html` needs of a view, whose ``page(lesions, progress)`` gives it.

    Attributes:
        title: plain text.
        module: the view's ES module, bundled; it ends in ``export default ...;``.
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


@public
def save(view_or_figure: object, path: str | os.PathLike[str]) -> None:
    """Write a view or a figure to a file: a page, a picture or a drawing, as its ending says.

    - ``.html``: interactive, offline, without Python; see :func:`save_html`.
    - ``.png``: the picture that a saved notebook has of it, 100 picture elements to the inch.
    - ``.svg``, ``.pdf``: the same as a drawing, of any size; of :func:`explore`, whose picture is
      made of pictures, the same picture elements.

    No browser and no Kaleido is needed. The file is whole or not there: an interrupt leaves what
    was there before.

    Args:
        view_or_figure: what an ``explore_*`` or ``plot_*`` function returned; a view is drawn in
            its present state. Another plotly figure becomes a page, and no picture.
        path: of the file, ``~`` for home; written over if it is there.

    Raises:
        TypeError: something else, or no path.
        ValueError: another ending; a picture of a figure that no ``plot_*`` function made, or
            that was changed since.
        FileNotFoundError: there is no such folder.
        IsADirectoryError: the path is that of a folder.

    Example:
        >>> import pathlib, tempfile
        >>> import pandas as pd
        >>> from resviz.views.figures.training import plot_training
        >>> figure = plot_training(pd.DataFrame({"epoch": [1, 2], "test_error": [9.0, 8.0]}))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(figure, pathlib.Path(folder, "points.svg"))
        ...     pathlib.Path(folder, "points.svg").read_text().startswith("<?xml")
        True
    """
    target = destination(path, (*_PAGES, *_PICTURES))
    kind = target.suffix.lower()
    data = _page_of(view_or_figure) if kind in _PAGES else _picture_of(view_or_figure, kind[1:])
    with whole_file(target) as part:
        part.write_bytes(data)


@public
def save_html(
    view_or_figure: object,
    path: str | os.PathLike[str],
    *,
    lesions: bool = False,
    progress: Progress = None,
) -> None:
    """Write a view or a figure to one HTML file that stays interactive, offline, without Python.

    A view's page holds its modules and its data; what needs a kernel is disabled there and says
    why. A figure's page holds plotly.js (4.8 MB). Pictures and drawings: :func:`save`.

    Args:
        view_or_figure: what an ``explore_*`` or ``plot_*`` function returned.
        path: of the file, ``~`` for home, ending in ``.html``; written over if it is there.
        lesions: of a view of :func:`resviz.explore`: every block is cut, one at a time, for the
            photograph and class that it shows, at first the first photograph and what is predicted
            of it: readers of the page can cut these, too. Other photographs, classes and several
            blocks need a running kernel. Takes about four passes for each block.
        progress: how far that is, and the scenes of such a page: None shows a bar over what takes
            more than a second, False never; or a function (done, total, what).

    Raises:
        TypeError: something else, or no path.
        ValueError: another ending, or `lesions` of what cuts no blocks.
        FileNotFoundError: there is no such folder.
        IsADirectoryError: the path is that of a folder.

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
    if isinstance(path, (str, os.PathLike)) and str(path).lower().endswith(_PICTURES):
        raise ValueError(
            f"{caller()}: {os.fspath(path)!r} is the name of a picture; one that ends in .html "
            "would be right. rv.save(view_or_figure, path) writes pictures, too."
        )
    target = destination(path, _PAGES)
    data = _page_of(view_or_figure, lesions, progress)
    with whole_file(target) as part:
        part.write_bytes(data)


def _page_of(view_or_figure: object, lesions: bool = False, progress: Progress = None) -> bytes:
    """HTML, UTF-8."""
    shown = _drawn(view_or_figure)
    if callable(getattr(shown, "page", None)):
        return page_text(shown.page(switch("lesions", lesions), progress)).encode()
    if switch("lesions", lesions):
        raise cuts_none(shown)
    if hasattr(shown, "to_plotly_json"):
        return figure_page(shown).encode()
    raise _neither(shown)


def cuts_none(shown: object) -> ValueError:
    """The error where `lesions` is asked for of something else than a view of ``explore``."""
    return ValueError(
        f"{caller()}: lesions=True, and a {type(shown).__name__} cuts no blocks; a view of "
        "rv.explore would be right. Leave lesions out."
    )


def _picture_of(view_or_figure: object, kind: str) -> bytes:
    """As "png", "svg" or "pdf"."""
    shown = _drawn(view_or_figure)
    if callable(getattr(shown, "picture", None)):
        picture: bytes = shown.picture(kind)
        return picture
    if hasattr(shown, "to_plotly_json"):
        raise ValueError(
            f"{caller()}: a plotly {type(shown).__name__} that no plot_* function made, as "
            f".{kind}; .html would be right, or plotly's own write_image, which needs Kaleido and "
            "a browser."
        )
    raise _neither(shown)


def _drawn(shown: Any) -> Any:
    """The figure of what has no page of its own and draws one: of ``live_training``."""
    has_page = callable(getattr(shown, "page", None))
    return shown.figure() if not has_page and callable(getattr(shown, "figure", None)) else shown


def _neither(found: Any) -> TypeError:
    kind = type(found).__name__
    own = ""
    if callable(getattr(found, "save", None)):
        own = f" A {kind} has a file of its own: its method save."
    return TypeError(
        f"{caller()}: a {kind}; a view of explore_* or a figure of plot_* would be right.{own}"
    )


def page_text(page: Page) -> str:
    """The HTML of a view's page."""
    if page.module.count(_ENTRY) != 1:
        raise ValueError(f"save_html: the module must hold '{_ENTRY}' once.")
    # within a function: the names of a module and of what stands in for its model stay apart
    module = f"const rvEntry = (() => {{\n{page.module.replace(_ENTRY, 'return ')}}})();\n"
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(page.payload.buffer) + packer.flush()
    still = ""
    if page.still is not None:
        address = "data:image/png;base64," + base64.b64encode(page.still).decode("ascii")
        still = f'<noscript><img alt="{html.escape(page.title)}" src="{address}"></noscript>'
    body = (
        f'<main id="rv-root" class="rv-page"></main>\n{still}\n'
        f"{json_element('rv-traits', page.traits)}\n"
        f"{json_element('rv-meta', page.payload.meta)}\n"
        '<script type="text/plain" id="rv-data">'
        f"{base64.b64encode(packed).decode('ascii')}</script>\n"
        f'<script type="module">\n{script_text(module + _STAND_IN)}\n</script>\n'
    )
    return document(page.title, page.style.replace("</", "<\\/"), body)
