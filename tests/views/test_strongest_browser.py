"""The images of a scan beside a channel, in Chromium: asked for, on pages, refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import resviz as rv
from views.bridge import Live
from views.browsing import View, keep_screenshot

pytestmark = pytest.mark.browser
IMAGES, WORDS = ".rv-strongest-images", ".rv-strongest-words"
NOISE = 3000  # characters of a picture of it; an empty one has a few hundred


@pytest.fixture(scope="module")
def scan(net: Any, preset: rv.Preset) -> Any:
    data = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    labels = [n % 3 for n in range(12)]
    return rv.scan(net, data, labels=labels, layers=["layer1.0", "layer3.0"], preset=preset, top=4)


@pytest.fixture(scope="module")
def maps(net: Any, images: torch.Tensor, preset: rv.Preset, scan: Any) -> Any:
    rec = rv.record(net, images, preset=preset, keep=["conv1", "layer1.0", "layer3.0"])
    return lambda: rv.explore_feature_maps(rec, scan=scan)


def painted(view: View) -> bool:
    """There are images of the channel that is chosen."""
    return "…" not in view.text(WORDS) and len(view.painted(IMAGES)) > NOISE


def test_a_living_view_asks_for_a_channel(chromium: Any, maps: Any) -> None:
    page = Live(chromium, maps())
    page.until(lambda: page.at.locator(".rv-strongest").is_visible())
    assert page.text(WORDS).startswith("The scan did not take conv1: it is of layer1.0, layer3.0.")
    page.at.focus()
    page.press("]")
    page.until(lambda: painted(page))
    assert page.text(WORDS).startswith("strongest of 12 images · most for ")
    page.at.locator(".rv-mosaic-scroll").focus()
    page.press("ArrowRight")
    spoken = page.text(".rv-words")
    page.until(lambda: sum(one.get("what") == "strongest" for one in page.asked) == 2)
    page.until(lambda: painted(page))
    page.quiet()
    assert spoken.startswith("channel ") and page.text(".rv-words") == spoken
    page.at.locator(IMAGES).hover(position={"x": 60, "y": 10})
    assert page.text(WORDS).startswith("2. ")
    page.context.close()
    assert page.wrong == []


def test_explore_shows_them_for_the_channel_pointed_at(
    chromium: Any, net: Any, images: torch.Tensor, preset: rv.Preset, scan: Any
) -> None:
    view = rv.explore(net, images[:1], preset=preset, scan=scan)
    page = Live(chromium, view, viewport={"width": 1000, "height": 700})
    page.until(lambda: page.at.locator(".rv-spine-without").count() == 3)
    page.until(lambda: painted(page))
    first = page.painted(IMAGES)
    page.at.locator(".rv-channel").nth(5).hover()
    page.until(lambda: page.painted(IMAGES) != first and painted(page))
    page.at.focus()
    page.press("Home")
    page.until(lambda: "did not take" in page.text(WORDS))
    assert page.page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")
    page.context.close()
    assert page.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_carries_those_that_it_shows(
    opened: Callable[..., Any],
    net: Any,
    images: Any,
    preset: Any,
    scan: Any,
    scheme: str,
    tmp_path: Path,
) -> None:
    file = tmp_path / "explore.html"
    rv.explore(net, images[:2], preset=preset, scan=scan).save_html(file)
    size = {"width": 1000, "height": 700}
    page = opened(
        file, "() => document.querySelector('.rv-spine-line')", color_scheme=scheme, viewport=size
    )
    page.page.wait_for_timeout(300)
    assert painted(page)
    assert page.faintest()[0] >= 4.5
    assert page.page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")
    keep_screenshot(page.page, f"strongest_explore_{scheme}")


def test_a_page_of_feature_maps_says_what_it_has_not(
    opened: Callable[..., Any], maps: Any, tmp_path: Path
) -> None:
    file = tmp_path / "maps.html"
    maps().save_html(file)
    page = opened(file, "() => document.querySelector('.rv-mosaic')")
    page.press("]", "]")
    page.page.wait_for_timeout(300)
    assert painted(page)
    page.press("a")
    page.at.locator(".rv-mosaic-scroll").focus()
    page.press("End")
    assert "are not on this page, which has those of" in page.text(WORDS)
