"""The kernel is gone while views are shown: pictures stay, and what needs it says so."""

from __future__ import annotations

from typing import Any

import pytest

from views.lab import VIEWS, wait_for

MAP = ".rv-reason-frame .rv-reason-picture"
CANNOT_SEND = "Could not send widget sync message Error: Cannot send"  # ipywidgets' own words

pytestmark = pytest.mark.browser


def test_the_kernel_is_shut_down(lab: Any) -> None:
    shown = {name: lab.view(name) for name in VIEWS}
    maps, reasons = shown["feature_maps"], shown["explanation"]
    maps.choose("Layer", "relu · 16")
    reasons.choose("Method", "grad_cam")
    reasons.choose("Layer", "layer3.2")
    reasons.search("Class A", "cat")
    shown["gradients"].choose("axis", "as fits")
    before = [maps.painted("canvas.rv-mosaic"), reasons.painted(MAP)]
    lab.command("kernelmenu:shutdown")
    wait_for(lambda: not lab.kernels(), 10)
    lab.page.wait_for_timeout(500)
    assert lab.page.locator(".rv-view").count() == len(VIEWS)
    assert [maps.painted("canvas.rv-mosaic"), reasons.painted(MAP)] == before

    maps.choose("Layer", "layer2.0 · 32")
    assert maps.text(".rv-heading") == "Feature maps: layer2.0"
    assert maps.painted("canvas.rv-mosaic") != before[0]
    curves = shown["gradients"].curves()
    shown["gradients"].choose("axis", "linear")
    assert shown["gradients"].curves() != curves
    shown["residuals"].choose("left chart", "branch, shortcut, sum")
    assert "sum: " in shown["residuals"].spoken(0)
    reasons.search("Class A", "ship")
    assert reasons.text(".rv-heading") == "what speaks for ship"
    assert reasons.painted(MAP) != before[1]

    reasons.choose("Layer", "layer2.1")  # needs the kernel
    told = reasons.at.locator(".rv-wrong [role=status]", has_text="The kernel is not running.")
    told.wait_for(timeout=500)  # at once: it is known
    assert told.inner_text().endswith("Run the cell again.")
    ratio, words = reasons.faintest()
    assert ratio >= 4.5, words
    assert all(text.startswith(CANNOT_SEND) for text in lab.wrong), lab.wrong
    lab.wrong.clear()
