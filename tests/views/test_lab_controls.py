"""Every control of every view acts in JupyterLab; only what needs new data asks the kernel."""

from __future__ import annotations

from typing import Any

import pytest

from views.browsing import View
from views.lab import wait_for

MAP = ".rv-reason-frame .rv-reason-picture"

pytestmark = pytest.mark.browser


def test_feature_maps(lab: Any) -> None:
    one, asked = lab.view("feature_maps"), len(lab.asked)
    for label, option in (("Layer", "relu · 16"), ("Order", "number"), ("Colours", "viridis")):
        one.choose(label, option)
    for label, option in (
        ("Layer", "layer1.1 · 16"),
        ("Order", "largest mean"),
        ("Colours", "cividis"),
        ("Colour scale", "one for the layer"),
    ):
        before = one.painted("canvas.rv-mosaic")
        one.choose(label, option)
        assert one.painted("canvas.rv-mosaic") != before, label
    assert one.text(".rv-heading") == "Feature maps: layer1.1"
    before = one.painted("canvas.rv-mosaic")
    one.labelled("Photograph").select_option(index=1)
    assert one.painted("canvas.rv-mosaic") != before
    one.choose("Compare", "all 2 photographs")
    assert one.at.locator("canvas.rv-mosaic:visible").count() == 2
    one.choose("Compare", "nothing")
    assert one.at.locator("canvas.rv-mosaic:visible").count() == 1
    one.choose("Colours", "viridis")
    one.labelled("Photograph").select_option(index=0)
    assert len(lab.asked) == asked


def test_the_weights_of_a_class_come_from_the_kernel(lab: Any) -> None:
    one = lab.view("feature_maps")
    one.choose("Layer", "layer3.2 · 64")
    one.choose("Order", "weight for a class")
    before, asked = one.painted("canvas.rv-mosaic"), len(lab.asked)
    one.search("Class", "horse")
    one.at.locator(".rv-numbers", has_text="weight for horse").wait_for()
    assert len(lab.asked) == asked + 1
    assert one.painted("canvas.rv-mosaic") != before  # another order


def test_residuals(lab: Any) -> None:
    one, asked = lab.view("residuals"), len(lab.asked)
    one.choose("addition", "layer1.0.add (channels)")
    one.choose("left chart", "branch, shortcut, sum")
    assert "sum: " in one.spoken(0)
    one.choose("right chart", "gradient sizes")
    assert "through the branch" in one.spoken(1)
    for label, option in (("order of channels", "number"), ("photograph", "image 1")):
        before = one.painted("canvas.rv-mosaic", 1)
        one.choose(label, option)
        assert one.painted("canvas.rv-mosaic", 1) != before, label
    assert len(set(one.at.locator(".rv-bar-ends").all_inner_texts())) == 1
    one.choose("colour scale", "one each")
    assert len(set(one.at.locator(".rv-bar-ends").all_inner_texts())) > 1
    one.choose("addition", "layer2.1.add")
    assert one.text(".rv-depth-title >> nth=1").startswith("layer2.1.add: identity shortcut")
    assert one.spoken(0).count("layer2.1.add")
    one.choose("addition", "layer1.0.add (channels)")
    assert one.at.locator("canvas.rv-mosaic:visible").count() == 3
    assert len(lab.asked) == asked


def test_gradients(lab: Any) -> None:
    one, asked = lab.view("gradients"), len(lab.asked)
    one.choose("axis", "as fits")
    log = one.curves()
    one.choose("axis", "linear")
    assert one.curves() != log
    assert "linear axis" in one.at.locator(".rv-depth-svg").get_attribute("aria-label")
    one.choose("axis", "as fits")
    assert one.curves() == log
    title = one.text(".rv-depth-title")
    one.choose("quantity", "Weights (weight_norm)")
    assert one.text(".rv-depth-title") != title and one.curves() != log
    one.choose("theory", "a factor per layer")
    one.labelled("factor per layer").fill("2")
    names = one.at.locator(".rv-depth-name").all_inner_texts()
    assert names[1] == "theory: × 2 per layer towards the input, through ResNet-20"
    one.at.get_by_role("button", name="ResNet-20").click()
    assert len(one.curves()) == 1  # the law alone
    one.at.get_by_role("button", name="ResNet-20").click()
    one.choose("theory", "none")
    assert len(one.curves()) == 1 and len(lab.asked) == asked


def facts(one: View) -> str:
    return one.text(".rv-reason-facts")


def test_explanation_without_the_kernel(lab: Any) -> None:
    one, asked = lab.view("explanation"), len(lab.asked)
    one.choose("Layer", "layer3.2")
    one.choose("Method", "grad_cam")
    one.labelled("Photograph").select_option(index=1)
    assert one.chosen("Photograph").startswith("image 1")
    one.labelled("Photograph").select_option(index=0)
    for name in ("truck", "cat"):  # the head makes any class in the browser
        before = one.painted(MAP)
        one.search("Class A", name)
        assert one.text(".rv-heading") == f"what speaks for {name}"
        assert one.painted(MAP) != before, name
    before = one.painted(MAP)
    one.at.get_by_role("button", name="subtract dog").click()
    assert one.text(".rv-heading") == "what speaks for cat rather than dog"
    one.choose("Show", "for and against")
    assert one.painted(MAP) != before and one.text(".rv-bar-ends").startswith("−")
    one.at.get_by_role("button", name="subtract dog").click()
    one.choose("Show", "evidence for it")
    assert one.painted(MAP) == before
    one.choose("Colours", "cividis")
    assert one.painted(MAP) != before
    one.choose("Colours", "viridis")
    one.labelled("Opacity").focus()
    one.press("ArrowLeft")
    wait_for(lambda: one.painted(MAP) != before, 5)
    assert len(lab.asked) == asked


@pytest.mark.parametrize(
    ("label", "option", "name"),
    [("Layer", "layer1.0", "deer"), ("Method", "layer_cam", "ship")],
)
def test_explanation_by_the_kernel(lab: Any, label: str, option: str, name: str) -> None:
    one = lab.view("explanation")
    one.choose("Layer", "layer3.2")
    one.choose("Method", "grad_cam")
    one.search("Class A", name)
    before, asked = one.painted(MAP), len(lab.asked)
    one.choose(label, option)
    wait_for(lambda: "from the kernel" in facts(one) and one.at.locator(".rv-bar").count(), 20)
    assert len(lab.asked) > asked and f"what speaks for {name}" == one.text(".rv-heading")
    found = one.painted(MAP)
    one.labelled("Opacity").fill("0")
    wait_for(lambda: one.painted(MAP) != found, 5)  # the photograph alone
    one.labelled("Opacity").fill("0.6")
    assert found != before


def test_python_reads_what_is_chosen(lab: Any) -> None:
    maps, depths = lab.view("feature_maps"), lab.view("gradients")
    maps.choose("Layer", "layer2.0 · 32")
    depths.choose("axis", "linear")
    code = "print(maps.selection['layer'], depths.selection['axis'])"
    wait_for(lambda: lab.execute(code) == "layer2.0 linear\n", 10)


def test_python_chooses(lab: Any) -> None:
    """Also while a view is out of sight: it is then as it would be in sight."""
    one = lab.view("residuals")
    one.choose("addition", "layer1.0.add (channels)")
    one.choose("photograph", "image 0")
    before = one.painted("canvas.rv-mosaic")
    boxes = "all => all.map((one) => [one.width, one.style.width])"
    sizes = one.at.locator("canvas.rv-mosaic").evaluate_all(boxes)
    assert lab.execute("anatomy.selection = {**anatomy.selection, 'image': 1}") == ""
    wait_for(lambda: one.painted("canvas.rv-mosaic") != before, 5)
    one = lab.view("residuals")
    assert one.chosen("photograph") == "image 1"
    assert one.at.locator("canvas.rv-mosaic").evaluate_all(boxes) == sizes
