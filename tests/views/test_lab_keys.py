"""Keys alone, in JupyterLab: a view is reached, moved in and left; the notebook keeps its cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from views.browsing import View
from views.lab import VIEWS

ON = "selector => document.activeElement.matches(`.rv-view ${selector}`)"
OUTLINE = "() => getComputedStyle(document.activeElement).outlineStyle"
HELP = "[aria-label='keyboard help']"
PLACES = {
    "feature_maps": ".rv-mosaic-scroll",
    "residuals": ".rv-depth-slider",
    "gradients": ".rv-depth-slider",
    "explanation": ".rv-reason-frame",
}
SAID: dict[str, Callable[[View], str]] = {
    "feature_maps": lambda one: one.text(".rv-panel h4"),
    "residuals": lambda one: one.text(".rv-depth-title >> nth=1"),
    "gradients": lambda one: one.text(".rv-depth-readout"),
    "explanation": lambda one: one.text(".rv-reason-read"),
}

pytestmark = pytest.mark.browser


def reach(lab: Any, name: str, place: str) -> View:
    """From the cell of a view to a place in it, by Tab."""
    cell = lab.page.locator(".jp-Notebook-cell").nth(1 + VIEWS.index(name))
    cell.locator(".jp-InputPrompt").click()
    lab.page.keyboard.press("Escape")  # command mode
    for _ in range(40):
        lab.page.keyboard.press("Tab")
        if lab.page.evaluate(ON, place):
            break
    view = lab.view(name)
    assert lab.page.evaluate(ON, place)
    assert view.at.evaluate("view => view.contains(document.activeElement)")
    return view


@pytest.mark.parametrize("name", VIEWS)
def test_keys_alone(lab: Any, name: str) -> None:
    view, cells = reach(lab, name, PLACES[name]), lab.cells()
    assert lab.page.evaluate(OUTLINE) != "none"
    view.press("Home")
    before = SAID[name](view)
    view.press("ArrowRight", "ArrowRight", "ArrowDown")
    assert SAID[name](view) != before
    assert not view.at.locator(".rv-help").is_visible()
    view.press("?")
    assert view.at.locator(".rv-help").is_visible()
    view.press("Escape")
    assert not view.at.locator(".rv-help").is_visible()
    view.press("a", "b", "x", "d", "d", "m", "y", "r", "z", "1", "Shift+M", "Enter", "ArrowUp")
    lab.page.wait_for_timeout(100)
    assert lab.cells() == cells
    assert lab.page.evaluate(ON, PLACES[name])  # and no cell took the focus


@pytest.mark.parametrize("name", VIEWS)
def test_buttons_are_pressed_by_keys(lab: Any, name: str) -> None:
    """Enter is a command of the notebook, too."""
    view, cells = reach(lab, name, HELP), lab.cells()
    for key, shown in (("Enter", True), ("Space", False)):
        view.press(key)
        assert view.at.locator(".rv-help").is_visible() == shown, key
    assert lab.cells() == cells


def test_typing_is_for_the_view(lab: Any) -> None:
    view, cells = lab.view("explanation"), lab.cells()
    field = view.labelled("Class A")
    field.click()
    lab.page.keyboard.type("dd")
    assert field.input_value() == "dd" and view.at.locator(".rv-hits:visible").count() == 1
    view.press("Escape", "Escape", "Tab", "Tab")
    assert lab.cells() == cells
