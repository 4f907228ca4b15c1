"""A photograph is taken wherever it is dropped on `explore`; no view lets a file be opened."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import resviz as rv
from views.bridge import Live
from views.browsing import contrast, keep_screenshot

pytestmark = pytest.mark.browser
SAMPLES = Path(__file__).parents[2] / "sample_images"
# what a browser sends while files come in over `place` and fall; { prevented, leaked, effect }
DRAG = """(place, [files, kinds]) => {
  const data = new DataTransfer();
  for (const [name, type, coded] of files) {
    const bytes = Uint8Array.from(atob(coded), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  let leaked = 0;
  const heard = () => (leaked += 1);
  const box = place.getBoundingClientRect();
  const at = { clientX: box.left + 2, clientY: box.top + 2 };
  const prevented = kinds.map((kind) => {
    document.addEventListener(kind, heard);
    const how = { dataTransfer: data, bubbles: true, cancelable: true, composed: true, ...at };
    const event = new DragEvent(kind, how);
    place.dispatchEvent(event);
    document.removeEventListener(kind, heard);
    return event.defaultPrevented;
  });
  return { prevented, leaked };
}"""
WHOLE = ["dragenter", "dragover", "drop"]
PLACES = [
    ":scope",  # the blank margin
    ".rv-top-facts",
    ".rv-strip-photo >> nth=0",
    ".rv-spine",
    ".rv-channels .rv-tile >> nth=0",
    ".rv-explore-frame",
    ".rv-photo-right input[type=text] >> nth=0",
    ".rv-anatomy .rv-part-name",
    ".rv-status",
]
DRAWN = "() => document.querySelector('.rv-spine-line')"


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def picture(name: str = "coffee.png", kind: str = "image/png") -> list[str]:
    return [name, kind, coded((SAMPLES / "coffee.png").read_bytes())]


NOTES = ["notes.txt", "text/plain", coded(b"words")]
BROKEN = ["broken.png", "image/png", coded(b"no picture")]


@pytest.fixture
def explored(
    chromium: Any, net: Any, images: torch.Tensor, preset: rv.Preset
) -> Iterator[Callable[..., Live]]:
    """Opens a living `explore` of two photographs, drawn and explained."""
    pages: list[Live] = []

    def open_page(**options: Any) -> Live:
        view = rv.explore(net, images[:2], preset=preset, names=["one.png", "two.png"])
        page = Live(chromium, view, **options)
        pages.append(page)
        page.until(lambda: page.widget.view._session.current.exp is not None)
        page.quiet()
        return page

    yield open_page
    for page in pages:
        page.context.close()
        assert page.wrong == []


def place_of(view: Any, where: str) -> Any:
    return view.at if where == ":scope" else view.at.locator(where)


def drag(view: Any, where: str, *files: list[str], kinds: list[str] = WHOLE) -> None:
    """Bring files in over a place; neither the browser nor a notebook may get to know."""
    found = place_of(view, where).evaluate(DRAG, [list(files), kinds])
    assert found == {"prevented": [True] * len(kinds), "leaked": 0}, where


def names(view: Any) -> list[str]:
    photographs = view.at.locator(".rv-strip-photo")
    return list(photographs.evaluate_all("all => all.map((one) => one.title)"))


def said(view: Any) -> str:
    return str(view.at.locator(".rv-status .rv-words").first.inner_text())


def test_it_is_taken_wherever_it_falls(explored: Callable[..., Live]) -> None:
    live = explored()
    for number, where in enumerate(PLACES):
        drag(live, where, picture(f"{number}.png"))
        live.until(lambda number=number: len(names(live)) == 3 + number)
        assert names(live)[-1] == f"{number}.png", where
    session = live.widget.view._session
    live.until(lambda: session.current.moment.image == 1 + len(PLACES))
    live.until(lambda: session.current.exp is not None)
    live.quiet()
    shown = live.at.locator(".rv-strip-photo[aria-pressed=true]")
    assert shown.get_attribute("title") == f"{len(PLACES) - 1}.png"


def test_its_name_is_text(explored: Callable[..., Live], hostile: str) -> None:
    live = explored()
    drag(live, ".rv-spine", picture(hostile))
    live.until(lambda: names(live)[-1] == hostile)
    assert live.at.locator(".rv-strip script, .rv-strip b").count() == 0
    assert live.at.locator(".rv-strip-photo").last.get_attribute("aria-label") == hostile


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_shown_while_a_file_is_over_the_view(
    explored: Callable[..., Live], scheme: str
) -> None:
    live = explored(color_scheme=scheme)
    words = live.at.locator(":scope > .rv-drop > .rv-drop-words")
    assert not words.is_visible()
    drag(live, ".rv-channels", picture(), kinds=WHOLE[:2])
    assert words.inner_text() == "Drop the photograph: it joins the others."
    box, size = words.bounding_box(), live.page.viewport_size
    assert 0 <= box["y"] <= size["height"] - box["height"] and box["x"] >= 0
    style = "n => [getComputedStyle(n).color, getComputedStyle(n).backgroundColor]"
    assert contrast(*words.evaluate(style)) >= 4.5
    assert (
        live.at.locator(":scope > .rv-drop").evaluate("n => getComputedStyle(n).borderStyle")
        == "dashed"
    )
    keep_screenshot(live.page, f"drop_{scheme}")
    drag(live, ".rv-channels", picture(), kinds=["dragleave"])
    assert not words.is_visible()
    drag(live, ".rv-spine", NOTES, kinds=WHOLE[:2])
    assert words.inner_text() == "This is no picture."
    drag(live, ".rv-spine", NOTES, kinds=["drop"])
    assert not words.is_visible()


def test_what_is_no_picture_is_named(explored: Callable[..., Live]) -> None:
    live = explored()
    drag(live, ".rv-photograph", NOTES)
    live.until(lambda: said(live) == "notes.txt is no picture; a PNG or JPEG file would be right.")
    assert live.at.locator(".rv-status.rv-wrong").count() == 1
    drag(live, ".rv-photograph", BROKEN)
    words = "explore: 'broken.png' cannot be read as a picture; a PNG or JPEG file would be right."
    live.until(lambda: said(live) == words)
    assert len(names(live)) == 2
    drag(
        live, ".rv-photograph", NOTES, picture(), picture("again.png", "")
    )  # a type is not always told
    live.until(lambda: names(live)[2:] == ["coffee.png", "again.png"])


def test_other_views_take_none_and_let_none_be_opened(
    rec: Any, opened: Callable[..., Any], tmp_path: Path
) -> None:
    rv.explore_feature_maps(rec).save_html(tmp_path / "page.html")
    page = opened(tmp_path / "page.html", "() => document.querySelector('canvas.rv-mosaic')")
    for where in (":scope", "canvas.rv-mosaic", ".rv-toolbar"):
        drag(page, where, picture(), kinds=WHOLE[:2])
        assert page.text(".rv-drop-words") == "This view takes no files."
        drag(page, where, picture(), kinds=["drop"])
        assert not page.at.locator(".rv-drop").is_visible()


def test_a_saved_page_says_that_it_takes_none(
    net: Any, images: torch.Tensor, opened: Callable[..., Any], tmp_path: Path
) -> None:
    rv.explore(net, images[:1]).save_html(tmp_path / "page.html")
    page = opened(tmp_path / "page.html", DRAWN)
    drag(page, ".rv-channels", picture(), kinds=WHOLE[:2])
    assert "needs a running kernel" in page.text(".rv-drop-words")
    drag(page, ".rv-channels", picture(), kinds=["drop"])
    assert len(names(page)) == 1
