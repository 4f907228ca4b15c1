"""Files dropped on `explore` in JupyterLab, as Chromium drops them: the photograph arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from views.browsing import View
from views.lab import SAMPLES

pytestmark = pytest.mark.browser
PLACES = (".rv-top-facts", ".rv-channels .rv-tile", ".rv-explore-frame")


def drop(lab: Any, place: Any, file: Path) -> None:
    """Let a file of this machine fall on a place."""
    for _ in range(100):  # a part may be drawn again just then
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        if box is not None:
            break
        lab.page.wait_for_timeout(100)
    chrome = lab.context.new_cdp_session(lab.page)
    where = {"x": box["x"] + min(40, box["width"] / 2), "y": box["y"] + min(12, box["height"] / 2)}
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        chrome.send("Input.dispatchDragEvent", {"type": kind, **where, "data": data})
    chrome.detach()


def test_a_photograph_is_dropped_anywhere(lab: Any, tmp_path: Path) -> None:
    lab.execute("linked = rv.explore(net, images, names=['cat', 'rocket'])\nlinked")
    view = View(lab.page, lab.page.locator(".rv-screen[aria-label='Explore']"))
    view.at.locator(".rv-mark-seen, .rv-mark-without").first.wait_for(timeout=30_000)
    address, cells = lab.page.url, lab.cells()
    for number, where in enumerate(PLACES):
        drop(lab, view.at.locator(where).first, SAMPLES / "coffee.png")
        view.at.locator(".rv-strip-photo").nth(2 + number).wait_for(timeout=20_000)
    (tmp_path / "notes.txt").write_text("words", encoding="utf-8")
    drop(lab, view.at.locator(".rv-top-facts"), tmp_path / "notes.txt")
    said = view.at.locator(".rv-status.rv-wrong .rv-words").first
    said.wait_for(timeout=5_000)
    assert said.inner_text().startswith("notes.txt is no picture")
    maps = lab.view("feature_maps")  # takes none: nothing may happen
    drop(lab, maps.at.locator("canvas.rv-mosaic").first, SAMPLES / "coffee.png")
    lab.page.wait_for_timeout(500)
    assert lab.page.url == address and lab.cells() == cells
    assert len(lab.context.pages) == 1
    assert view.at.locator(".rv-strip-photo").last.get_attribute("title") == "coffee.png"
    lab.execute("None")
