"""Depth profiles and residual anatomy as exported pages in a browser, by keyboard and mouse."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import resviz as rv
from resviz.networks.cifar import cifar_resnet
from resviz.views.widgets.gradients import explore_gradients
from resviz.views.widgets.residuals import explore_residuals

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
PARTS = ("shortcut", "branch", "sum")

pytestmark = pytest.mark.browser


@dataclass
class Opened:
    """A page, and what it said and asked for that it should not."""

    page: Any
    wrong: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.inner_text())

    def choose(self, label: str, option: str) -> None:
        self.page.get_by_label(label, exact=True).first.select_option(label=option)

    def cursor(self, nth: int = 0) -> Any:
        return self.page.locator(".rv-depth-slider").nth(nth)

    def spoken(self, nth: int = 0) -> str:
        return str(self.cursor(nth).get_attribute("aria-valuetext"))

    def saved(self, entry: str) -> bytes:
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name="Export").click()
            self.page.get_by_role("menuitem", name=entry).click()
        return Path(download.value.path()).read_bytes()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium")
    with sync_api.sync_playwright() as tools:
        started = tools.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens a view's exported page; at the end nothing was wrong and nothing was asked for."""
    pages: list[Opened] = []

    def open_page(view: Any, scheme: str = "light", width: int = 1000) -> Opened:
        path = tmp_path / f"page{len(pages)}.html"
        view.save_html(path)
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        one = Opened(page)
        page.on("console", lambda m: one.wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: one.wrong.append(str(error)))
        page.on("dialog", lambda dialog: (one.wrong.append("dialog"), dialog.dismiss()))
        page.on(
            "request",
            lambda r: None if re.match("file:|data:|blob:", r.url) else one.wrong.append(r.url),
        )
        page.goto(path.as_uri())
        page.locator(".rv-depth-svg path").first.wait_for(state="attached")
        pages.append(one)
        return one

    yield open_page
    for one in pages:
        assert one.wrong == []
        one.page.close()


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


def test_the_cursor_reads_every_layer_by_keyboard(opened: Any, stepped: Any) -> None:
    shown = opened(explore_gradients(stepped))
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


def test_zeros_stand_in_the_strip_and_break_the_line(opened: Any, stepped: Any) -> None:
    shown = opened(explore_gradients({"net": stepped["net"][100]}))
    labels = shown.page.locator(".rv-depth-svg text").all_text_contents()
    assert "0" in labels and {"layer1", "layer2"} <= set(labels)
    assert "1 exactly 0" in shown.page.locator(".rv-depth-svg").get_attribute("aria-label")
    lines = shown.page.locator(".rv-depth-svg g path").evaluate_all("n => n.map(p => p.outerHTML)")
    assert len(lines) == 2  # before and after the zero
    shown.choose("axis", "linear")
    assert len(shown.page.locator(".rv-depth-svg g path").all()) == 1


def test_every_control_acts(opened: Any, stepped: Any) -> None:
    shown = opened(explore_gradients(stepped))
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


def test_a_factor_of_theory_goes_through_the_middle(opened: Any, stepped: Any) -> None:
    shown = opened(explore_gradients({"net": stepped["other"]}))
    shown.choose("theory", "a factor per layer")
    shown.page.get_by_label("factor per layer").fill("2")
    names = shown.page.locator(".rv-depth-name").all_inner_texts()
    assert names[1] == "theory: × 2 per layer towards the input, through net"
    theory, line = shown.page.locator(".rv-depth-svg g path").evaluate_all(
        "n => n.map(p => p.getAttribute('d'))"
    )
    assert theory == line  # 8, 4, 2, 1 halves at every layer


def test_modes_of_batchnorm_are_toggled(opened: Any) -> None:
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    flow = rv.gradient_flow(
        {"net": {"depth": 8}}, images, seeds=2, batch_stats=(True, False), data="noise"
    )
    shown = opened(explore_gradients(flow, "layers.grad_rms"))
    assert "per layer towards the input" in shown.text(".rv-depth-notes")
    shown.page.get_by_label("running statistics", exact=True).uncheck()
    said = shown.page.locator(".rv-depth-svg").get_attribute("aria-label")
    assert "net, batch statistics" in said and "running" not in said
    shown.choose("theory", "plain + BatchNorm: 1.2112 per layer")
    assert "arXiv 1902.08129" in shown.text(".rv-depth-notes")
    shown.choose("quantity", "Weights (weight_norm)")
    assert "says nothing about this quantity" in shown.text(".rv-depth-notes")


def test_hovering_names_the_nearest_point_and_a_click_moves_the_cursor(
    opened: Any, stepped: Any
) -> None:
    shown = opened(explore_gradients({"net": stepped["other"]}))
    mark = shown.page.locator(".rv-depth-svg > path[transform]").nth(2).bounding_box()
    x, y = mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2
    shown.page.mouse.move(x + 5, y - 4)
    assert shown.text(".rv-depth-tip").splitlines() == ["c", "net, depth 3, layer2", "2"]
    shown.page.mouse.click(x + 5, y - 4)
    assert shown.spoken().startswith("depth 3.")
    shown.page.mouse.move(5, 890)
    assert shown.page.locator(".rv-depth-tip").is_hidden()


def test_exports(opened: Any, stepped: Any) -> None:
    shown = opened(explore_gradients({"net": stepped["net"][100]}))
    assert shown.saved("chart as PNG")[:4] == b"\x89PNG"
    svg = shown.saved("chart as SVG").decode()
    assert svg.startswith("<svg") and "var(" not in svg and ">net</text>" in svg
    rows = shown.saved("shown numbers as CSV").decode().splitlines()
    assert len(rows) == 5 and rows[1].startswith("Weight gradients,net,a,1,layer1,")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes(opened: Any, stepped: Any, scheme: str) -> None:
    shown = opened(explore_gradients(stepped), scheme)
    ground, ink = shown.page.locator(".rv-depth").evaluate(
        "n => [getComputedStyle(n).backgroundColor, getComputedStyle(n).color]"
    )
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ground, ink)]
    assert (light[0] > light[1]) == (scheme == "light")
    assert abs(light[0] - light[1]) > 450


def test_a_narrow_page_has_a_narrow_chart(opened: Any, stepped: Any) -> None:
    shown = opened(explore_gradients(stepped), width=420)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 420
    shown.page.set_viewport_size({"width": 900, "height": 800})
    shown.page.locator(".rv-depth-svg[width='884']").wait_for()  # the page without its padding


def test_names_with_markup_are_text(opened: Any, stepped: Any, hostile: str) -> None:
    table = stepped["other"].assign(layer=hostile, stage=hostile)
    shown = opened(explore_gradients({hostile: table}))
    shown.cursor().focus()
    shown.page.keyboard.press("End")
    assert hostile in shown.text(".rv-depth-readout")
    assert shown.page.locator(".rv-view b, .rv-view script").count() == 0


# ---- residual anatomy
@pytest.fixture(scope="module")
def anatomy(images: torch.Tensor, preset: rv.Preset) -> Any:
    keep = [f"{a}:{p}" for a in ("layer1.0.add", "layer2.0.add") for p in PARTS]
    return rv.record(cifar_resnet(8, seed=0), images, preset=preset, keep=keep)


def test_one_cursor_moves_both_charts_and_the_block(opened: Any, anatomy: Any) -> None:
    shown = opened(explore_residuals(anatomy))
    frame = anatomy.residuals
    shown.cursor(1).focus()
    shown.page.keyboard.press("End")
    last = frame.iloc[-1]
    assert shown.spoken(0).startswith(f"depth {last['depth']:g}.") and last[
        "addition"
    ] in shown.spoken(0)
    facts = shown.text(".rv-anatomy-facts")
    assert f"{last['ratio']:.4g}" in facts and f"{last['grad_branch_share']:.4g}" in facts
    assert f'keep=["{last["addition"]}:shortcut"' in shown.text(".rv-anatomy-hint")
    assert shown.page.locator(".rv-anatomy-maps").is_hidden()
    shown.page.keyboard.press("[")
    assert shown.spoken(1).startswith(f"depth {frame['depth'].iloc[-2]:g}.")
    assert shown.page.locator(".rv-mosaic").count() == 3
    shown.choose("left chart", "branch, shortcut, sum")
    assert "sum: " in shown.spoken(0)
    shown.choose("right chart", "gradient sizes")
    assert "through the branch" in shown.spoken(1)


def test_the_three_mosaics_show_the_same_channels(opened: Any, anatomy: Any) -> None:
    shown = opened(explore_residuals(anatomy))
    assert shown.page.locator(".rv-pane strong").all_inner_texts() == [
        "shortcut",
        "branch F(x)",
        "sum",
    ]
    canvas = shown.page.locator(".rv-mosaic").nth(2)
    before = canvas.evaluate("n => n.toDataURL()")
    shown.choose("order of channels", "largest branch")
    assert canvas.evaluate("n => n.toDataURL()") != before
    branch = anatomy["layer1.0.add:branch"][0].double().square().mean((1, 2))
    order = branch.argsort(descending=True).tolist()
    shown.page.locator(".rv-mosaic-scroll").nth(1).focus()
    start = order.index(0)
    key, step = ("ArrowRight", 1) if start < len(order) - 1 else ("ArrowLeft", -1)
    shown.page.keyboard.press(key)
    said = shown.text(".rv-readout")
    assert said.startswith(f"channel {order[start + step]}, rms:")
    assert shown.page.locator(".rv-outline-chosen:visible").count() == 3
    shown.choose("order of channels", "index")
    shown.page.locator(".rv-mosaic").nth(1).click(position={"x": 3, "y": 3})
    shown.page.locator(".rv-mosaic-scroll").nth(1).focus()
    columns = shown.page.locator(".rv-mosaic").nth(1).evaluate("n => (n.width + 1) / 33")
    shown.page.keyboard.press("ArrowDown")
    assert shown.text(".rv-readout").startswith(f"channel {columns:g}, rms:")


def test_a_position_is_read_in_all_three(opened: Any, anatomy: Any) -> None:
    shown = opened(explore_residuals(anatomy))
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


def test_photographs_scales_and_exports(opened: Any, anatomy: Any) -> None:
    shown = opened(explore_residuals(anatomy))
    canvas = shown.page.locator(".rv-mosaic").nth(1)
    before = canvas.evaluate("n => n.toDataURL()")
    shown.choose("photograph", "image 2")
    second = canvas.evaluate("n => n.toDataURL()")
    assert second != before
    bars = shown.page.locator(".rv-bar-ends").all_inner_texts()
    assert len(set(bars)) == 1
    shown.choose("colour scale", "one each")
    assert len(set(shown.page.locator(".rv-bar-ends").all_inner_texts())) > 1
    assert shown.saved("channels as PNG")[:4] == b"\x89PNG"
    assert b"var(" not in shown.saved("right chart as SVG")
    rows = shown.saved("table as CSV").decode().splitlines()
    assert len(rows) == 1 + len(anatomy.residuals) and rows[1].startswith("layer1.0.add,layer1.0,")


def test_anatomy_names_with_markup_are_text(opened: Any, anatomy: Any, hostile: str) -> None:
    frame = anatomy.residuals.assign(addition=hostile, kind=hostile, stage=hostile)
    shown = opened(explore_residuals(frame), "dark")
    assert hostile in shown.text(".rv-anatomy-hint")
    assert shown.page.locator(".rv-view b, .rv-view script").count() == 0
