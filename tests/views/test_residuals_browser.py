"""Residual anatomy as an exported page in Chromium: charts, channels, exports."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

import resviz as rv
from resviz.networks.cifar import cifar_resnet
from resviz.views.widgets.residuals import explore_residuals
from views.browsing import keep_screenshot, luminance

PARTS = ("shortcut", "branch", "sum")

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def anatomy(images: torch.Tensor, preset: rv.Preset) -> Any:
    keep = [f"{a}:{p}" for a in ("layer1.0.add", "layer2.0.add") for p in PARTS]
    return rv.record(cifar_resnet(8, seed=0), images, preset=preset, keep=keep)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes(charted: Any, anatomy: Any, scheme: str) -> None:
    shown = charted(explore_residuals(anatomy), scheme)
    assert (luminance(shown.ground()) < 0.1) == (scheme == "dark")
    ratio, words = shown.faintest()
    assert ratio >= 4.5, words
    keep_screenshot(shown.page, f"residuals_page_{scheme}")


@pytest.mark.parametrize("size", [(1000, 700), (1400, 900)])
def test_all_within_one_screen(charted: Any, images: torch.Tensor, size: tuple[int, int]) -> None:
    """Charts, words, and 24 channels of the three parts: nothing to scroll, all in sight."""
    keep = [f"layer3.0.add:{part}" for part in PARTS]
    shown = charted(explore_residuals(rv.record(cifar_resnet(8, seed=0), images, keep=keep)))
    shown.page.set_viewport_size({"width": size[0], "height": size[1]})
    shown.page.wait_for_timeout(300)
    assert shown.page.evaluate("() => document.documentElement.scrollHeight") <= size[1]
    for part in (".rv-anatomy-charts", ".rv-anatomy-words", ".rv-readout", ".rv-anatomy-maps"):
        box = shown.page.locator(part).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= size[1], part
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0], part
    hidden = "n => n.scrollHeight - n.clientHeight"
    for at in range(3):
        assert shown.page.locator(".rv-mosaic-scroll").nth(at).evaluate(hidden) <= 0
    assert shown.page.locator(".rv-outline-chosen").first.bounding_box()["width"] >= 56


def test_one_cursor_moves_both_charts_and_the_block(charted: Any, anatomy: Any) -> None:
    shown = charted(explore_residuals(anatomy))
    frame = anatomy.residuals
    shown.cursor(1).focus()
    shown.page.keyboard.press("End")
    last = frame.iloc[-1]
    assert shown.spoken(0).startswith(f"depth {last['depth']:g}.") and last[
        "addition"
    ] in shown.spoken(0)
    facts = shown.text(".rv-anatomy-facts")
    assert f"{last['branch_rms']:.2g}" in facts and f"{last['shortcut_rms']:.2g}" in facts
    words = shown.text(".rv-anatomy-words")
    assert words.startswith(f"The branch is {last['ratio']:.2g} × the size of the shortcut and ")
    assert f"(cosine {last['cosine']:.2f})".replace("-", "−") in words and "gradient" in words
    assert f'keep=["{last["addition"]}:shortcut"' in shown.text(".rv-anatomy-hint")
    assert shown.page.locator(".rv-anatomy-maps").is_hidden()
    shown.page.keyboard.press("[")
    assert shown.spoken(1).startswith(f"depth {frame['depth'].iloc[-2]:g}.")
    assert shown.page.locator(".rv-mosaic").count() == 3
    shown.choose("left chart", "branch, shortcut, sum")
    assert "sum: " in shown.spoken(0)
    shown.choose("right chart", "gradient sizes")
    assert "through the branch" in shown.spoken(1)


def test_the_three_mosaics_show_the_same_channels(charted: Any, anatomy: Any) -> None:
    shown = charted(explore_residuals(anatomy))
    assert shown.page.locator(".rv-pane strong").all_inner_texts() == [
        "shortcut",
        "+ branch F(x)",
        "= sum",
    ]
    assert shown.chosen("order of channels") == "most added"
    assert shown.page.locator(".rv-outline-chosen").first.bounding_box()["width"] >= 64
    canvas = shown.page.locator(".rv-mosaic").nth(2)
    before = canvas.evaluate("n => n.toDataURL()")
    shown.choose("order of channels", "number")
    assert canvas.evaluate("n => n.toDataURL()") != before
    shown.page.locator(".rv-mosaic").nth(1).click(position={"x": 3, "y": 3})
    shown.choose("order of channels", "most added")
    branch = anatomy["layer1.0.add:branch"][0].double().square().mean((1, 2))
    order = branch.argsort(descending=True).tolist()
    shown.page.locator(".rv-mosaic-scroll").nth(1).focus()
    start = order.index(0)
    key, step = ("ArrowRight", 1) if start < len(order) - 1 else ("ArrowLeft", -1)
    shown.page.keyboard.press(key)
    said = shown.text(".rv-readout")
    assert said.startswith(f"channel {order[start + step]}, rms:")
    assert shown.page.locator(".rv-outline-chosen:visible").count() == 3
    shown.choose("order of channels", "number")
    shown.page.locator(".rv-mosaic").nth(1).click(position={"x": 3, "y": 3})
    shown.page.locator(".rv-mosaic-scroll").nth(1).focus()
    columns = shown.page.locator(".rv-mosaic").nth(1).evaluate("n => (n.width + 1) / 33")
    shown.page.keyboard.press("ArrowDown")
    assert shown.text(".rv-readout").startswith(f"channel {columns:g}, rms:")


def test_all_channels_or_the_strongest(charted: Any, images: torch.Tensor) -> None:
    keep = [f"layer3.0.add:{part}" for part in PARTS]
    record = rv.record(cifar_resnet(8, seed=0), images, gradients=False, keep=keep)
    shown = charted(explore_residuals(record))
    branch = record["layer3.0.add:branch"][0].double().square().mean((1, 2))
    order = branch.argsort(descending=True).tolist()
    assert shown.text(".rv-readout").startswith(f"channel {order[0]}, rms:")
    captions = shown.page.locator(".rv-caption").all_inner_texts()
    assert all("24 of 64 channels" in caption for caption in captions)
    shown.page.locator(".rv-mosaic-scroll").nth(1).focus()
    for _ in range(40):
        shown.press("ArrowRight")
    assert shown.text(".rv-readout").startswith(f"channel {order[23]}, rms:")
    shown.at.get_by_role("button", name="all 64").click()
    captions = shown.page.locator(".rv-caption").all_inner_texts()
    assert not any("24 of" in caption for caption in captions)


def test_a_position_is_read_in_all_three(charted: Any, anatomy: Any) -> None:
    shown = charted(explore_residuals(anatomy))
    shown.page.locator(".rv-mosaic").nth(0).hover(position={"x": 20, "y": 20})
    said = shown.text(".rv-readout")
    found = re.match(
        r"channel (\d+), row (\d+), column (\d+): "
        r"shortcut (\S+), branch F\(x\) (\S+), sum (\S+)$",
        said,
    )
    assert found, said
    channel, row, column = (int(text) for text in found.groups()[:3])
    for part, text in zip(PARTS, found.groups()[3:], strict=True):
        value = float(anatomy[f"layer1.0.add:{part}"][0, channel, row, column])
        assert float(text) == pytest.approx(value, abs=0.03)


def test_photographs_scales_and_exports(charted: Any, anatomy: Any) -> None:
    shown = charted(explore_residuals(anatomy))
    canvas = shown.page.locator(".rv-mosaic").nth(1)
    before = canvas.evaluate("n => n.toDataURL()")
    shown.choose("photograph", "image 2")
    second = canvas.evaluate("n => n.toDataURL()")
    assert second != before
    bars = shown.page.locator(".rv-bar-ends").all_inner_texts()
    assert len(set(bars)) == 1
    shown.choose("colour scale", "one each")
    assert len(set(shown.page.locator(".rv-bar-ends").all_inner_texts())) > 1
    assert shown.saved("channels as PNG")[1][:4] == b"\x89PNG"
    assert b"var(" not in shown.saved("right chart as SVG")[1]
    rows = shown.saved("table as CSV")[1].decode().splitlines()
    assert len(rows) == 1 + len(anatomy.residuals) and rows[1].startswith("layer1.0.add,layer1.0,")


def test_anatomy_names_with_markup_are_text(charted: Any, anatomy: Any, hostile: str) -> None:
    frame = anatomy.residuals.assign(addition=hostile, kind=hostile, stage=hostile)
    shown = charted(explore_residuals(frame), "dark")
    assert hostile in shown.text(".rv-anatomy-hint")
    assert shown.page.locator(".rv-view b, .rv-view script").count() == 0
