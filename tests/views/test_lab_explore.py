"""`explore` in a real JupyterLab: one screen, a block cut out, Python knows."""

from __future__ import annotations

from typing import Any

import pytest

from views.browsing import View, keep_screenshot

pytestmark = pytest.mark.browser
PARTS = ("spine-part", "photograph", "anatomy", "channels")


def test_explore(lab: Any) -> None:
    lab.execute("linked = rv.explore(net, images, names=['cat', 'rocket'])\nlinked")
    view = View(lab.page, lab.page.locator(".rv-screen[aria-label='Explore']"))
    explained = view.at.locator(".rv-mark-seen, .rv-mark-without").first
    explained.wait_for(timeout=30_000)
    for part in PARTS:
        assert view.at.locator(f".rv-{part}").count() == 1
    painted = view.painted(".rv-channels .rv-tile")
    map_before = view.painted(".rv-explore-picture")
    chosen = view.text(".rv-class-bar[aria-pressed=true] .rv-class-name")
    view.at.locator(".rv-spine").focus()
    view.press("[", "[", "o")
    explore = "document.querySelector('.rv-screen[aria-label=Explore]')"
    facts = f"{explore}.querySelector('.rv-top-facts').textContent"
    wanted = f"{facts}.startsWith('without layer3.0 ')"
    lab.page.wait_for_function(wanted, timeout=30_000)
    explained.wait_for(timeout=30_000)
    assert view.text(".rv-class-bar[aria-pressed=true] .rv-class-name") == chosen
    assert view.at.locator(".rv-spine-cut .rv-spine-arc").count() == 1
    assert view.painted(".rv-channels .rv-tile") != painted
    assert view.painted(".rv-explore-picture") != map_before
    view.at.get_by_role("button", name="rocket").click()
    pressed = "document.querySelector('.rv-strip-photo[aria-pressed=true]').title === 'rocket'"
    lab.page.wait_for_function(pressed, timeout=30_000)
    idle = f"{explore}.getAttribute('aria-busy') === 'false'"
    lab.page.wait_for_function(idle, timeout=30_000)
    lab.page.wait_for_function(wanted, timeout=30_000)
    keep_screenshot(view.at, "explore_jupyterlab")
    said = lab.execute("print(linked.selection['off'], linked.selection['image'])")
    assert said.strip() == "['layer3.0'] 1"
