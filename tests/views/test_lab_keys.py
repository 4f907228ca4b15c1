"""Keys alone, in JupyterLab: a view is reached, moved in and left; the notebook keeps its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from views.browsing import View, keep_screenshot
from views.lab import VIEWS, wait_for

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
RING = "view => getComputedStyle(view).outlineStyle + getComputedStyle(view).outlineWidth"
SELF = "view => view === document.activeElement"
WITHIN = "view => view.contains(document.activeElement)"
BLANK = {
    "explore": (".rv-top-facts", ".rv-anatomy .rv-part-words", ".rv-photograph .rv-part-name"),
    "feature_maps": (".rv-heading", ".rv-status"),
    "explanation": (".rv-reason-facts", ".rv-reason-picture", ".rv-toolbar"),
}
DANGEROUS = ("m", "0", "0", "d", "d", "x", "i", "i", "y", "a", "Shift+M", "Enter")
OUTER = ".rv-view:not(.rv-view .rv-view)"  # the mosaic that a key of explore opens is in its view
DIRTY = "() => window.jupyterapp.shell.currentWidget.context.model.dirty"

pytestmark = pytest.mark.browser


def reach(lab: Any, name: str, place: str) -> View:
    """From the cell of a view to a place in it, by Tab."""
    prompts = lab.page.locator(".jp-Notebook-cell .jp-InputPrompt")
    prompts.last.click()  # a cell that is active leaves the focus where it is, in its view
    prompts.nth(1 + VIEWS.index(name)).click()
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


@pytest.fixture
def explore(lab: Any) -> Iterator[View]:
    """`explore` below the last cell, drawn and explained; gone at the end."""
    lab.execute("linked = rv.explore(net, images, names=['cat', 'rocket'])\nlinked")
    view = View(lab.page, lab.page.locator(".rv-screen[aria-label='Explore']"))
    view.at.locator(".rv-mark-seen, .rv-mark-without").first.wait_for(timeout=30_000)
    yield view
    lab.execute("None")


@pytest.mark.parametrize("name", BLANK)
def test_a_click_anywhere_takes_the_keys(
    lab: Any, name: str, request: pytest.FixtureRequest
) -> None:
    view = request.getfixturevalue("explore") if name == "explore" else lab.view(name)
    lab.page.locator(".jp-Notebook-cell").last.locator(".jp-InputPrompt").click()
    assert view.at.evaluate(RING).startswith("none")
    cells, views = lab.cells(), lab.page.locator(OUTER).count()
    for place in BLANK[name]:
        view.at.locator(place).first.click(position={"x": 3, "y": 3})
        assert view.at.evaluate(WITHIN), place
        assert view.at.evaluate(RING) == "solid2px", place
        view.press(*DANGEROUS)
        lab.page.wait_for_timeout(200)
        assert lab.cells() == cells, place
        assert lab.page.locator(OUTER).count() == views
        assert lab.page.locator(".jp-Dialog").count() == 0
        assert view.at.evaluate(WITHIN), place
        view.press("Escape")  # closes what a key of the view opened over it
    keep_screenshot(lab.page, f"focus_{name}")


def test_a_control_that_is_clicked_keeps_the_focus(lab: Any) -> None:
    view = lab.view("explanation")
    field = view.labelled("Class A")
    field.click()
    lab.page.keyboard.type("do")
    assert field.input_value() == "do" and view.at.evaluate(RING) == "solid2px"
    view.press("Escape")
    view.at.get_by_role("button", name="keyboard help").click()
    assert lab.page.evaluate(ON, HELP)
    view.press("Escape")


def test_outside_keys_are_the_notebook_s_again(lab: Any) -> None:
    view = lab.view("feature_maps")
    view.at.locator(".rv-heading").first.click()
    assert view.at.evaluate(SELF)
    lab.page.locator(".jp-Notebook-cell").last.locator(".jp-InputPrompt").click()
    assert view.at.evaluate(RING).startswith("none")
    for key, kind in (("m", "markdown"), ("y", "code")):
        lab.page.keyboard.press(key)
        wait_for(lambda kind=kind: lab.cells()[-1].endswith(kind), 5)


def test_keys_with_control_are_the_notebook_s(lab: Any) -> None:
    view = lab.view("feature_maps")
    lab.execute("None")
    assert lab.page.evaluate(DIRTY)
    view.at.locator(".rv-heading").first.click()
    view.press("Control+s")
    wait_for(lambda: not lab.page.evaluate(DIRTY), 10)
    cells = lab.cells()
    view.press("x", "d", "d")  # and after it keys alone are the view's as before
    assert lab.cells() == cells and view.at.evaluate(SELF)


@pytest.mark.parametrize("loss", ["one.remove()", "one.hidden = true", "one.disabled = true"])
def test_the_view_takes_the_focus_of_what_is_gone(lab: Any, loss: str) -> None:
    """Where it fell to the page, the next key would be a command of the notebook."""
    view = lab.view("feature_maps")
    view.at.locator(".rv-toolbar").evaluate(
        f"""bar => {{
          const one = document.createElement('button');
          bar.append(one);
          one.focus();
          one.addEventListener('click', () => {{ {loss}; }});
        }}"""
    )
    view.press("Enter")
    wait_for(lambda: view.at.evaluate(SELF), 5)
    view.at.evaluate("view => view.querySelector('.rv-toolbar > button:last-child')?.remove()")


def test_tab_goes_on_from_the_view(lab: Any) -> None:
    view = lab.view("feature_maps")
    view.at.locator(".rv-heading").first.click()
    view.press("Tab")
    assert view.at.evaluate(WITHIN) and not view.at.evaluate(SELF)
