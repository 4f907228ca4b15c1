"""Views and figures as one file: an interactive page, a picture, a drawing."""

from __future__ import annotations

import html
import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from resviz.views import static
from resviz.views.export import save
from resviz.views.style import BACKGROUND

if TYPE_CHECKING:
    from resviz.views.figure import Figure

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
# nothing is loaded from anywhere, whatever a name in the page may say
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
_CSS = """\
body { margin: 16px; background: %s; font-family: sans-serif; }
section { overflow-x: auto; margin-bottom: 24px; }"""


def write_figures(figures: Sequence[Figure], title: str, path: pathlib.Path) -> None:
    """Figures, one under the other, or a page each, as the ending of `path` says."""
    ending = path.suffix.lower()
    if len(figures) == 1:
        save(figures[0], path)
    elif ending == ".html":
        path.write_text(page(figures, title), encoding="utf-8")
    elif ending == ".pdf":
        path.write_bytes(static.static_pdf(*figures))
    elif ending == ".png":
        path.write_bytes(stacked([static.static_png(figure) for figure in figures]))
    else:
        path.write_bytes(joined([static.static_svg(figure) for figure in figures]))


def page(figures: Sequence[Figure], title: str) -> str:
    """One HTML page that needs no network: plotly's JavaScript is in it, once."""
    parts = [
        figure.to_html(
            full_html=False,
            include_plotlyjs=number == 0,
            div_id=f"figure-{number}",
            config={"responsive": True, "displaylogo": False},
        )
        for number, figure in enumerate(figures)
    ]
    body = "\n".join(f"<section>{part}</section>" for part in parts)
    head = (
        '<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_CSS % BACKGROUND}\n</style>"
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n'
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def stacked(pngs: Sequence[bytes]) -> bytes:
    """PNG pictures under each other, as one."""
    if len(pngs) == 1:
        return pngs[0]
    from PIL import Image

    pictures = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
    size = max(p.width for p in pictures), sum(p.height for p in pictures)
    sheet = Image.new("RGB", size, BACKGROUND)
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    out = io.BytesIO()
    sheet.save(out, format="PNG")
    return out.getvalue()


def joined(svgs: Sequence[bytes]) -> bytes:
    """SVG drawings under each other, as one."""
    if len(svgs) == 1:
        return svgs[0]
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    across, top = 0.0, 0.0
    sheet = ElementTree.Element(f"{{{_SVG}}}svg", version="1.1")
    for svg in svgs:
        drawing = ElementTree.fromstring(svg)
        wide, high = (float(drawing.attrib[side].removesuffix("pt")) for side in _SIDES)
        drawing.attrib |= {"y": f"{top:g}", "width": f"{wide:g}", "height": f"{high:g}"}
        sheet.append(drawing)
        across, top = max(across, wide), top + high
    sheet.attrib |= {"viewBox": f"0 0 {across:g} {top:g}"}
    sheet.attrib |= {"width": f"{across:g}pt", "height": f"{top:g}pt"}
    out: bytes = ElementTree.tostring(sheet, encoding="utf-8", xml_declaration=True)
    return out


_SIDES = ("width", "height")
