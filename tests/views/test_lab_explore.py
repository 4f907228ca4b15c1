"""`explore` in a real JupyterLab: four linked views, a block switched off, Python knows."""

from __future__ import annotations

from typing import Any

import pytest

from views.browsing import View, keep_screenshot

pytestmark = pytest.mark.browser


def test_explore(lab: Any) -> None:
    lab.execute("linked = rv.explore(net, images, names=['cat', 'rocket'])\nlinked")
    view = View(lab.page, lab.page.locator(".rv-explore"))
    explained = view.at.locator(".rv-part-explanation .rv-class").first
    explained.wait_for(timeout=30_000)
    assert view.at.locator(".rv-view").count() == 4
    painted = view.painted(".rv-part-maps canvas.rv-mosaic")
    view.at.locator(".rv-photo").first.focus()
    view.press("[", "[", "o")
    wanted = "document.querySelector('.rv-explore-facts').textContent.includes('without layer3.0')"
    lab.page.wait_for_function(wanted, timeout=30_000)
    reasons = "document.querySelector('.rv-part-explanation .rv-reason-facts').textContent"
    lab.page.wait_for_function(f"{reasons}.includes('without layer3.0')", timeout=30_000)
    assert view.painted(".rv-part-maps canvas.rv-mosaic") != painted
    view.at.get_by_role("button", name="rocket").click()
    lab.page.wait_for_function(f"{reasons}.includes('without layer3.0')", timeout=30_000)
    keep_screenshot(view.at, "explore_jupyterlab")
    said = lab.execute("print(linked.selection['off'], linked.selection['image'])")
    assert said.strip() == "['layer3.0'] 1"
