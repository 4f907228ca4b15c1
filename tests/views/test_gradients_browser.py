"""Depth profiles as exported pages in Chromium: every control, keys and mouse."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest
import torch

import resviz as rv
from resviz.views.widgets.gradients import explore_gradients
from views.browsing import contrast, keep_screenshot, luminance

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def stepped() -> dict[str, Any]:
    """Two networks, two steps, exact zeros, by hand."""

    def table(values: list[float]) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "layer": ["a", "b", "c", "d"],
                "parameter": ["a.w", "b.w", "c.w", "d.w"],
                "depth": [1, 2, 3, 4],
                "stage": ["layer1", "layer1", "layer2", "layer2"],
                "grad_norm": values,
                "weight_norm": [1.0, -1.0, 2.0, 3.0],
            }
        )

    first, last = table([8.0, 4.0, 2.0, 1.0]), table([0.5, 0.0, 2.0, 16.0])
    return {"net": {0: first, 100: last}, "other": first}


def pieces(shown: Any) -> int:
    """Unbroken pieces of all lines that are drawn."""
    drawn = "n => n.map(path => path.getAttribute('d'))"
    paths = shown.page.locator(".rv-depth-svg g path").evaluate_all(drawn)
    return sum(path.count("M") for path in paths)


def test_the_cursor_reads_every_layer_by_keyboard(charted: Any, stepped: Any) -> None:
    shown = charted(explore_gradients(stepped))
    assert "focus it and use the arrow keys" in shown.text(".rv-depth-readout")
    shown.cursor().focus()
    for key, depth, value in (
        *(("ArrowRight", 1, "0.5"), ("ArrowRight", 2, "0"), ("End", 4, "16")),
        *(("ArrowLeft", 3, "2"), ("Home", 1, "0.5")),
    ):
        shown.page.keyboard.press(key)
        assert shown.spoken().startswith(f"depth {depth}. net: {'abcd'[depth - 1]}, {value};")
        rows = shown.page.locator(".rv-depth-values tr").all_inner_texts()
        assert rows[0].split("\t")[:3] == ["net", value, "abcd"[depth - 1]]
    assert shown.cursor().get_attribute("aria-valuenow") == "1"
    assert shown.cursor().evaluate("n => getComputedStyle(n).outlineStyle") == "solid"


def test_zeros_stand_in_the_strip_and_break_the_line(charted: Any, stepped: Any) -> None:
    shown = charted(explore_gradients({"net": stepped["net"][100]}))
    labels = shown.page.locator(".rv-depth-svg text").all_text_contents()
    assert "0" in labels and {"layer1", "layer2"} <= set(labels)
    assert "1 exactly 0" in shown.page.locator(".rv-depth-svg").get_attribute("aria-label")
    assert pieces(shown) == 2  # before and after the zero
    shown.choose("axis", "linear")
    assert pieces(shown) == 1


def test_every_control_acts(charted: Any, stepped: Any) -> None:
    shown = charted(explore_gradients(stepped))
    assert shown.text(".rv-depth-title") == "Weight gradients against depth, step 100"
    shown.page.get_by_label("step", exact=True).focus()
    shown.page.keyboard.press("ArrowLeft")
    shown.page.locator(".rv-depth-title", has_text=re.compile("step 0$")).wait_for()
    shown.page.get_by_role("button", name="pin step").click()
    shown.page.keyboard.press("]")
    names = shown.page.locator(".rv-depth-name").all_inner_texts()
    assert names == ["net", "other", "net, step 0", "other, step 0"]
    shown.page.get_by_role("button", name="unpin step 0").click()
    shown.page.locator(".rv-depth-name", has_text="other").click()
    other = shown.page.locator(".rv-depth-name", has_text="other")
    assert other.get_attribute("aria-pressed") == "false"
    assert "other" not in shown.page.locator(".rv-depth-svg").get_attribute("aria-label")
    other.press("Enter")
    assert other.get_attribute("aria-pressed") == "true"
    shown.choose("quantity", "Weights (weight_norm)")
    assert shown.text(".rv-depth-title").startswith("Weights against depth")
    assert "linear axis" in shown.page.locator(".rv-depth-svg").get_attribute("aria-label")
    log = shown.page.get_by_label("axis", exact=True).locator("option", has_text="negative values")
    assert log.get_attribute("disabled") is not None


def test_a_factor_of_theory_goes_through_the_middle(charted: Any, stepped: Any) -> None:
    shown = charted(explore_gradients({"net": stepped["other"]}))
    shown.choose("theory", "a factor per layer")
    shown.page.get_by_label("factor per layer").fill("2")
    names = shown.page.locator(".rv-depth-name").all_inner_texts()
    assert names[1] == "theory: × 2 per layer towards the input, through net"
    theory, line = shown.page.locator(".rv-depth-svg g path").evaluate_all(
        "n => n.map(p => p.getAttribute('d'))"
    )
    assert theory == line  # 8, 4, 2, 1 halves at every layer


def test_modes_of_batchnorm_are_toggled(charted: Any) -> None:
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    flow = rv.gradient_flow(
        {"net": {"depth": 8}}, images, seeds=2, batch_stats=(True, False), data="noise"
    )
    shown = charted(explore_gradients(flow, "layers.grad_rms"))
    assert "per layer towards the input" in shown.text(".rv-depth-notes")
    shown.page.get_by_label("running statistics", exact=True).uncheck()
    said = shown.page.locator(".rv-depth-svg").get_attribute("aria-label")
    assert "net, batch statistics" in said and "running" not in said
    shown.choose("theory", "plain + BatchNorm: 1.2112 per layer")
    assert "arXiv 1902.08129" in shown.text(".rv-depth-notes")
    shown.choose("quantity", "Weights (weight_norm)")
    assert "says nothing about this quantity" in shown.text(".rv-depth-notes")


def test_hovering_names_the_nearest_point_and_a_click_moves_the_cursor(
    charted: Any, stepped: Any
) -> None:
    shown = charted(explore_gradients({"net": stepped["other"]}))
    mark = shown.page.locator(".rv-depth-svg > path[transform]").nth(2).bounding_box()
    x, y = mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2
    shown.page.mouse.move(x + 5, y - 4)
    assert shown.text(".rv-depth-tip").splitlines() == ["c", "net, depth 3, layer2", "2"]
    shown.page.mouse.click(x + 5, y - 4)
    assert shown.spoken().startswith("depth 3.")
    shown.page.mouse.move(5, 890)
    assert shown.page.locator(".rv-depth-tip").is_hidden()


def test_exports(charted: Any, stepped: Any) -> None:
    shown = charted(explore_gradients({"net": stepped["net"][100]}))
    assert shown.saved("chart as PNG")[1][:4] == b"\x89PNG"
    svg = shown.saved("chart as SVG")[1].decode()
    assert svg.startswith("<svg") and "var(" not in svg and ">net</text>" in svg
    rows = shown.saved("shown numbers as CSV")[1].decode().splitlines()
    assert len(rows) == 5 and rows[1].startswith("Weight gradients,net,a,1,layer1,")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes(charted: Any, stepped: Any, scheme: str) -> None:
    shown = charted(explore_gradients(stepped), scheme)
    ground, ink = shown.at.locator(".rv-depth").evaluate(
        "n => [getComputedStyle(n).backgroundColor, getComputedStyle(n).color]"
    )
    assert (luminance(ground) < 0.1) == (scheme == "dark") and contrast(ink, ground) >= 10
    ratio, words = shown.faintest()
    assert ratio >= 4.5, words
    keep_screenshot(shown.page, f"gradients_page_{scheme}")


def test_a_narrow_page_has_a_narrow_chart(charted: Any, stepped: Any) -> None:
    shown = charted(explore_gradients(stepped), width=420)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 420
    shown.page.set_viewport_size({"width": 900, "height": 800})
    shown.page.locator(".rv-depth-svg[width='884']").wait_for()  # the page without its padding


def test_names_with_markup_are_text(charted: Any, stepped: Any, hostile: str) -> None:
    table = stepped["other"].assign(layer=hostile, stage=hostile)
    shown = charted(explore_gradients({hostile: table}))
    shown.cursor().focus()
    shown.page.keyboard.press("End")
    assert hostile in shown.text(".rv-depth-readout")
    assert shown.page.locator(".rv-view b, .rv-view script").count() == 0
