"""The exported atlas in Chromium: a planted channel is found, keys suffice, one screen holds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resviz as rv
from scanning.test_planted import PLANTED, PRESET, Planted, textures
from views.browsing import keep_screenshot

pytestmark = pytest.mark.browser
DRAWN = "() => document.querySelector('.rv-atlas-canvas')?.style.width"
SIZES = """view => [
  document.documentElement.scrollHeight <= innerHeight,
  document.documentElement.scrollWidth <= innerWidth,
  view.querySelector('.rv-atlas-panel').getBoundingClientRect().right <= innerWidth,
]"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas of the planted network, saved."""
    scan = rv.scan(Planted(), textures(), layers=["conv", "relu"], preset=PRESET, progress=False)
    path = tmp_path_factory.mktemp("atlas") / "atlas.html"
    rv.explore_channels(scan).save_html(path)
    return path


def test_the_search_finds_the_planted_channel(opened: Callable[..., Any], file: Path) -> None:
    page = opened(file, DRAWN)
    page.press("/")
    page.page.keyboard.type("stri")
    page.press("Enter")
    assert page.text(".rv-atlas-heading h3") == "Channels for stripes"
    page.at.locator(".rv-atlas-grid").focus()
    page.press("Home")
    assert page.text(".rv-atlas-panel h3").endswith(f"channel {PLANTED}")
    assert "stripes" in page.text(".rv-atlas-class >> nth=0")
    assert f"channel {PLANTED} · " in page.text(".rv-status")


def test_keys_alone_move_and_close(opened: Callable[..., Any], file: Path) -> None:
    page = opened(file, DRAWN)
    page.at.locator(".rv-atlas-spine").focus()
    assert page.at.locator(".rv-atlas-spine").get_attribute("aria-valuetext").startswith("relu")
    page.press("ArrowLeft")
    assert page.text(".rv-atlas-heading h3") == "conv"
    page.at.locator(".rv-atlas-grid").focus()
    page.choose("Order", "number")
    page.at.locator(".rv-atlas-grid").focus()
    page.press("ArrowRight", "ArrowRight")
    assert page.text(".rv-atlas-panel h3") == "conv · channel 1"
    page.press("Escape")
    assert not page.at.locator(".rv-atlas-panel").first.is_visible()
    page.press("]")
    assert page.text(".rv-atlas-heading h3") == "relu"


def test_images_that_are_chosen_say_what_they_share(opened: Callable[..., Any], file: Path) -> None:
    page = opened(file, DRAWN)
    page.choose("View", "images")
    page.choose("Choose", "stripes")
    assert page.text(".rv-atlas-list li") == "stripes: 100 %, of all 33 %"
    first = page.at.locator(".rv-atlas-common .rv-atlas-near").first
    assert first.get_attribute("aria-label").startswith(f"channel {PLANTED}, +")
    plane = page.at.locator(".rv-atlas-plane")
    box = plane.bounding_box()
    page.page.mouse.move(box["x"] + 1, box["y"] + 1)
    page.page.mouse.down()
    for right, down in ((1, 0), (1, 1), (0, 1)):
        where = box["x"] + right * (box["width"] - 2), box["y"] + down * (box["height"] - 2)
        page.page.mouse.move(*where)
    page.page.mouse.up()
    assert page.text(".rv-atlas-common strong") == "60 images"
    page.choose("Choose", "dots")
    page.at.locator(".rv-atlas-common .rv-atlas-near").first.click()
    assert page.text(".rv-atlas-panel h3").startswith("relu · channel")


def test_tables_and_pictures_are_saved(opened: Callable[..., Any], file: Path) -> None:
    page = opened(file, DRAWN)
    name, table = page.saved("Channels (CSV)")
    assert name == "channels_relu.csv"
    lines = table.decode().splitlines()
    assert lines[0].startswith("layer,channel,mean,") and len(lines) == 9
    name, picture = page.saved("Picture (PNG)")
    assert name == "channels_relu.png" and picture.startswith(b"\x89PNG")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1000, 700), (1400, 900)])
def test_one_screen_holds_it(
    opened: Callable[..., Any], file: Path, size: tuple[int, int], scheme: str
) -> None:
    viewport = {"width": size[0], "height": size[1]}
    page = opened(file, DRAWN, color_scheme=scheme, viewport=viewport)
    page.at.locator(".rv-atlas-canvas").click(position={"x": 30, "y": 30})
    page.page.wait_for_selector(".rv-atlas-panel:not([hidden])")
    assert page.at.evaluate(SIZES) == [True, True, True]
    assert page.faintest()[0] >= 4.5
    assert page.nameless() == []
    page.page.wait_for_timeout(300)
    keep_screenshot(page.page, f"atlas_{size[0]}_{scheme}")
