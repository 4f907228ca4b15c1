"""Saved pages hold the focus from the start: their keys work without a click."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import resviz as rv

pytestmark = pytest.mark.browser
DRAWN = "canvas.rv-mosaic, .rv-depth-svg path, .rv-class, .rv-spine-line"
READY = f"() => document.querySelector('{DRAWN}')"
HELD = "() => document.activeElement === document.querySelector('#rv-root > .rv-view')"
RING = "view => getComputedStyle(view).outlineStyle"
SCROLLED = "() => window.scrollY"
VIEWS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "feature_maps": (lambda net, images, rec: rv.explore_feature_maps(rec), "]", ".rv-heading"),
    "residuals": (
        lambda net, images, rec: rv.explore_residuals(rec),
        "]",
        ".rv-depth-title >> nth=1",
    ),
    "gradients": (
        lambda net, images, rec: rv.explore_gradients({"net": rec}),
        "l",
        ".rv-depth-svg",
    ),
    "explanation": (
        lambda net, images, rec: rv.explore_explanation(net, images),
        "s",
        ".rv-bar-ends",
    ),
    "explore": (lambda net, images, rec: rv.explore(net, images), "[", ".rv-anatomy .rv-part-name"),
}


@pytest.mark.parametrize("name", VIEWS)
def test_keys_work_without_a_click(
    name: str, net: Any, images: torch.Tensor, rec: Any, opened: Callable[..., Any], tmp_path: Path
) -> None:
    make, key, shown = VIEWS[name]
    make(net, images, rec).save_html(tmp_path / "page.html")
    page = opened(tmp_path / "page.html", READY)
    assert page.page.evaluate(HELD) and page.page.evaluate(SCROLLED) == 0
    assert page.at.evaluate(RING) == "solid"
    place = page.at.locator(shown).first
    before = place.inner_html()
    page.press(key)
    page.page.wait_for_timeout(100)  # it is drawn in the next frame
    assert place.inner_html() != before
    page.press("Tab")
    assert page.at.evaluate(
        "view => view !== document.activeElement && view.matches(':focus-within')"
    )


def test_arrow_keys_of_a_picture_act_from_the_view(
    rec: Any, opened: Callable[..., Any], tmp_path: Path
) -> None:
    rv.explore_feature_maps(rec).save_html(tmp_path / "page.html")
    page = opened(tmp_path / "page.html", READY)
    before = page.text(".rv-panel h4")
    page.press("ArrowRight")
    assert page.text(".rv-panel h4") != before
