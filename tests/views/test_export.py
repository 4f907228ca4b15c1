"""Pages as text: what users wrote cannot act, the data come back, nothing is loaded."""

from __future__ import annotations

import base64
import html
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resviz.views.export import Page, page_text, save_html
from resviz.views.figure import Figure
from resviz.views.payload import Packing

MODULE = "function render({ model, el }) {}\nexport default { render };\n"


def page(title: str = "a view", meta: Any = None, **fields: Any) -> Page:
    packing = Packing()
    reference = packing.add(np.arange(1000, dtype=np.float32))
    payload = packing.payload({"numbers": reference, **(meta or {})})
    return Page(title, MODULE, ".rv-view { color: red }", payload, **fields)


def element(text: str, name: str) -> str:
    found = re.search(rf'<script [^>]*id="{name}">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return found.group(1)


class Viewed:
    def page(self) -> Page:
        return page()


def test_the_data_come_back(tmp_path: Path) -> None:
    save_html(Viewed(), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    packed = base64.b64decode(element(text, "rv-data"))
    numbers = np.frombuffer(zlib.decompress(packed, -zlib.MAX_WBITS), np.float32)
    assert (numbers == np.arange(1000)).all()
    assert json.loads(element(text, "rv-meta"))["numbers"]["shape"] == [1000]
    assert "const rvEntry = { render };" in text and "export default" not in text


def test_what_users_wrote_cannot_act(hostile: str) -> None:
    evil = f"</script>{hostile}<!--"
    text = page_text(page(evil, {"name": evil}, traits={"selection": {"layer": evil}}))
    assert hostile not in text and "<!--" not in text
    assert json.loads(element(text, "rv-meta"))["name"] == evil
    assert json.loads(element(text, "rv-traits"))["selection"]["layer"] == evil
    assert f"<title>{html.escape(evil)}</title>" in text


def test_nothing_may_be_loaded() -> None:
    text = page_text(page())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None and policy.group(1).startswith("default-src 'none'")
    assert "http:" not in policy.group(1) and not re.search(r'(src|href)="(?!data:)', text)


def test_the_still_is_there_for_browsers_without_scripts() -> None:
    text = page_text(page("maps", still=b"png"))
    assert '<noscript><img alt="maps" src="data:image/png;base64,cG5n"></noscript>' in text
    assert "<noscript>" not in page_text(page())


def test_not_a_number_is_refused_in_meta() -> None:
    with pytest.raises(ValueError, match="JSON"):
        page_text(page(meta={"mean": float("nan")}))


def test_a_module_without_its_entry() -> None:
    packing = Packing().payload({})
    with pytest.raises(ValueError, match="save_html: the module must hold"):
        page_text(Page("x", "function draw() {}", "", packing))


def test_a_figure(tmp_path: Path, hostile: str) -> None:
    title = "points<br>" + html.escape(hostile)
    figure = Figure(data=[{"type": "scatter", "y": [1, 3, 2], "name": "</script>"}])
    figure.update_layout(title={"text": title})
    save_html(figure, tmp_path / "figure.html")
    text = (tmp_path / "figure.html").read_text(encoding="utf-8")
    drawing = json.loads(element(text, "rv-figure"))
    assert drawing["layout"]["title"]["text"] == title
    assert drawing["data"][0]["name"] == "</script>"
    assert "<title>points " in text and hostile not in text
    assert len(text) > 3_000_000  # plotly.js is in it


def test_something_else(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="save_html: a int; a view of"):
        save_html(3, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()
