"""The explorers in a real JupyterLab: every view renders, and no other machine is asked."""

from __future__ import annotations

from typing import Any

import pytest

from views.browsing import View
from views.lab import VIEWS, wait_for

pytestmark = pytest.mark.browser


def test_every_view_renders(lab: Any) -> None:
    text = lab.text()
    assert "Traceback" not in text and "javascript error" not in text
    assert lab.page.locator(".rv-view").count() == len(VIEWS)
    assert lab.page.locator("canvas.rv-mosaic").count() >= 4  # maps; shortcut, branch and sum
    assert lab.page.locator(".jp-RenderedPlotly").count() >= 1  # plotly's own
    assert len({tuple(row) for row in lab.view("feature_maps").pixels().reshape(-1, 4)}) > 50


def test_labels_belong_to_their_own_view(lab: Any) -> None:
    """Views of one page share its ids: a second `rv-control-1` would take the first one's label."""
    twice = lab.page.evaluate(
        "() => [...document.querySelectorAll('.rv-view [id]')].map((one) => one.id)"
        ".filter((id, place, all) => all.indexOf(id) !== place)"
    )
    assert twice == []
    for name in VIEWS:
        assert lab.view(name).nameless() == []


@pytest.mark.parametrize(
    ("name", "variable", "label", "drawn"),
    [
        ("feature_maps", "maps", "Colours", "canvas.rv-mosaic"),
        ("residuals", "anatomy", "left chart", "canvas.rv-mosaic"),
        ("gradients", "depths", "axis", ".rv-depth-svg g path"),
        ("explanation", "reasons", "Colours", ".rv-class"),
    ],
)
def test_a_view_shown_twice(lab: Any, name: str, variable: str, label: str, drawn: str) -> None:
    """Both are whole, and what is chosen in one is chosen in the other."""
    first = lab.view(name)
    first.labelled(label).select_option(index=0)
    lab.execute(variable)
    second = View(lab.page, lab.page.locator(".rv-view").nth(len(VIEWS)))
    try:
        wait_for(lambda: second.labelled(label).evaluate("one => one.value") == "0", 10)
        assert second.at.locator(drawn).count() == first.at.locator(drawn).count()
        first.labelled(label).select_option(index=1)
        assert second.labelled(label).evaluate("one => one.value") == "1"
    finally:
        first.labelled(label).select_option(index=0)
        lab.execute("None")
