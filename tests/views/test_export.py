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
import plotly.graph_objects as go
import pytest

import resviz as rv
from cases import thorough_but
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Series
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
    def page(self, lesions: bool = False, progress: Any = None) -> Page:
        return page()


def test_the_data_come_back(tmp_path: Path) -> None:
    save_html(Viewed(), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    packed = base64.b64decode(element(text, "rv-data"))
    numbers = np.frombuffer(zlib.decompress(packed, -zlib.MAX_WBITS), np.float32)
    assert (numbers == np.arange(1000)).all()
    assert json.loads(element(text, "rv-meta"))["numbers"]["shape"] == [1000]
    assert "const rvEntry = (() => {\nfunction render(" in text and "return { render };" in text
    assert "export default" not in text


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


# ---- pictures and drawings, by the ending
BEGINNINGS = {"html": b"<!DOCTYPE", "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
EVERY_ENDING = pytest.mark.parametrize("kind", BEGINNINGS)


def curve(name: str = "") -> Figure:
    draft = Draft(300)
    draft.add(Series(x=[0, 1, 2], y=[1, 3, 2], width=2, name=name))
    return Figure.of(draft.chart("a curve"))


@EVERY_ENDING
def test_a_figure_by_its_ending(kind: str, tmp_path: Path) -> None:
    rv.save(curve(name="names in \u65e5\u672c and \U0001f600"), tmp_path / f"curve.{kind}")
    curve().save(str(tmp_path / f"again.{kind.upper()}"))
    for file in tmp_path.iterdir():
        assert file.read_bytes().startswith(BEGINNINGS[kind])
    assert len(list(tmp_path.iterdir())) == 2  # and nothing else


@pytest.mark.parametrize("kind", thorough_but(BEGINNINGS, ["html", "png"]))
def test_a_view_by_its_ending(kind: str, rec: Any, tmp_path: Path) -> None:
    view = rv.explore_gradients(rec)
    rv.save(view, tmp_path / f"one.{kind}")
    view.save(tmp_path / f"other.{kind}")
    one, other = (file.read_bytes() for file in sorted(tmp_path.iterdir()))
    assert one.startswith(BEGINNINGS[kind])
    assert kind == "svg" or one == other  # its ids are drawn by chance
    if kind == "png":
        assert one == view.figure().picture("png")


def test_a_drawing_of_explore_holds_its_picture(
    net: Any, images: Any, preset: Any, tmp_path: Path, read: Any
) -> None:
    view = rv.explore(net, images[:1], preset=preset)
    for kind in ("png", "svg", "pdf"):
        rv.save(view, tmp_path / f"view.{kind}")
    wanted = read.picture((tmp_path / "view.png").read_bytes())
    drawing = (tmp_path / "view.svg").read_text()
    inner = re.search(r'base64,([^"]*)"', drawing)
    assert inner is not None
    np.testing.assert_array_equal(read.picture(base64.b64decode(inner.group(1))), wanted)
    packed = re.findall(rb"stream\r?\n(.*?)endstream", (tmp_path / "view.pdf").read_bytes(), re.S)
    sizes = []
    for each in packed:
        try:
            sizes.append(len(zlib.decompress(each)))
        except zlib.error:
            continue
    assert wanted.size in sizes or wanted.size + wanted.shape[0] in sizes  # all elements, unlossy


def test_what_live_training_draws(tmp_path: Path) -> None:
    class Live:
        def figure(self) -> Figure:
            return curve()

    rv.save(Live(), tmp_path / "live.png")
    rv.save_html(Live(), tmp_path / "live.html")
    assert (tmp_path / "live.png").read_bytes() == curve().picture("png")


@pytest.mark.parametrize("name", ["b.jpg", "b", "b.png.", ".png", "b.html.gz"])
def test_another_ending_is_refused(name: str, tmp_path: Path) -> None:
    for function in (rv.save, rv.save_html):
        with pytest.raises(ValueError, match=f"^{function.__name__}: .*html.* would be right"):
            function(curve(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_picture_is_no_page(tmp_path: Path) -> None:
    for name in ("b.png", "b.SVG", "b.pdf"):
        with pytest.raises(ValueError, match=r"^save_html: .*name of a picture.*rv\.save\("):
            rv.save_html(curve(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_figure_of_somebody_else(tmp_path: Path) -> None:
    bars = go.Figure(go.Bar(x=[1], y=[2]))
    rv.save(bars, tmp_path / "bars.html")
    with pytest.raises(ValueError, match=r"^save: .*that no plot_\* function made.*\.html would"):
        rv.save(bars, tmp_path / "bars.png")
    with pytest.raises(ValueError, match=r"^save: .*that no plot_\* function made.*save_html"):
        rv.save(Figure(go.Bar(x=[1], y=[2])), tmp_path / "bars.png")
    with pytest.raises(ValueError, match="^save: .*changed after it was made.*html keeps every"):
        rv.save(curve().add_bar(x=["a", "b", "c"], y=[1, 2, 3]), tmp_path / "names.png")
    assert [file.name for file in tmp_path.iterdir()] == ["bars.html"]


def test_things_that_are_neither(rec: Any, tmp_path: Path) -> None:
    for kind in BEGINNINGS:
        with pytest.raises(TypeError, match="^save: a int; a view of"):
            rv.save(3, tmp_path / f"x.{kind}")
        with pytest.raises(TypeError, match="^save: a Recording; .* method save"):
            rv.save(rec, tmp_path / f"x.{kind}")
    with pytest.raises(TypeError, match="^save: path is a Figure"):
        rv.save("x.png", curve())  # type: ignore[arg-type]


@EVERY_ENDING
def test_an_interrupt_leaves_what_was_there(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"curve.{kind}"
    path.write_text("before")

    def stopped(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", stopped)
    with pytest.raises(KeyboardInterrupt):
        rv.save(curve(), path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "before"


def test_kaleido_is_not_the_only_way() -> None:
    with pytest.raises(ValueError, match=r"^write_image: .*figure\.save\('a\.png'\)"):
        curve().write_image("a.png")
    with pytest.raises(ValueError, match="^to_image: .*no Kaleido"):
        curve().to_image("png")
