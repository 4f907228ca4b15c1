"""The exported feature-map page in Chromium: it renders, every control acts, keys suffice."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import resviz as rv
from resviz.views.widgets.feature_maps import explore_feature_maps
from views.browsing import Tab, keep_screenshot, luminance

READY = "() => document.querySelector('canvas.rv-mosaic')?.width > 1"
CLASS_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship"),
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def recorded(net: Any, preset: rv.Preset, images: torch.Tensor) -> Any:
    return rv.record(net, images, preset=preset, keep=["conv1", "layer1", "layer3"])


@pytest.fixture(scope="module")
def pages(
    net: Any,
    preset: rv.Preset,
    images: torch.Tensor,
    recorded: Any,
    blind: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder of exported pages: with the last weights, without, and of two networks."""
    folder = tmp_path_factory.mktemp("pages")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rv.ResvizWarning)
        exp = rv.explain(net, images, methods=["grad_cam"], layers=["layer3"], preset=preset)
    explore_feature_maps(recorded, explanation=exp, images=[0]).save_html(folder / "weights.html")
    explore_feature_maps(recorded).save_html(folder / "plain.html")
    explore_feature_maps(recorded, blind).save_html(folder / "two.html")
    return folder


class Maps(Tab):
    """An open page of feature maps."""

    def tile(self, place: int, pane: int = 0) -> str:
        """The read-out with the pointer in the first value of a tile."""
        across, down, columns = self.pitch(pane)
        at = {"x": place % columns * across + 1.5, "y": place // columns * down + 1.5}
        self.page.locator("canvas.rv-mosaic").nth(pane).hover(position=at)
        return self.text(".rv-readout")

    def pitch(self, pane: int = 0) -> tuple[float, float, int]:
        """From a tile to the next, across and down, in pixels of the screen; tiles in a row."""
        width, zoom, tile, tall = self.page.evaluate(
            "(n) => { const pane = document.querySelectorAll('.rv-pane')[n];"
            "const box = (s) => pane.querySelector(s).getBoundingClientRect();"
            "const [c, t] = [box('canvas.rv-mosaic'), box('.rv-outline-chosen')];"
            "const zoom = c.width / pane.querySelector('.rv-mosaic').width;"
            "return [c.width, zoom, t.width, t.height]; }",
            pane,
        )
        size = self.page.locator(".rv-caption").nth(pane).inner_text()
        side = int(re.search(r"of (\d+) ×", size).group(1))  # type: ignore[union-attr]
        gap = zoom if abs(tile - side * zoom) < 0.5 else 4  # over the photograph: wider
        return tile + gap, tall + gap, round((width + gap) / (tile + gap))

    def bare(self) -> Maps:
        """The values alone: not over the photograph, in order of number, on the layer's scale."""
        self.labelled("over the photograph").uncheck()
        self.choose("Order", "number")
        self.choose("Colour scale", "one for the layer")
        return self


@pytest.fixture
def tab(opened: Any, pages: Path) -> Callable[..., Maps]:
    """Opens pages by name."""
    return lambda name="plain.html", **options: opened(pages / name, READY, Maps, **options)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 420])
def test_it_renders(tab: Any, scheme: str, width: int) -> None:
    one = tab(color_scheme=scheme, viewport={"width": width, "height": 900})
    assert len(np.unique(one.pixels().reshape(-1, 4), axis=0)) > 50
    assert one.text(".rv-heading") == "Feature maps: conv1"
    overflow = one.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    ratio, words = one.faintest()
    assert ratio >= 4.5, words
    assert (luminance(one.ground()) < 0.1) == (scheme == "dark")
    keep_screenshot(one.page, f"feature_maps_page_{scheme}_{width}")


def test_the_colours_are_the_values(tab: Any, recorded: Any) -> None:
    """Every pixel of the first tile against the figure's colours: at most one step off."""
    from resviz.views.pictures import coloured, limits

    one = tab().bare()
    found = one.pixels()[:32, :32, :3].astype(int)
    maps = recorded["conv1"].numpy()
    wanted = coloured(maps[0, 0], *limits(maps)).astype(int)
    assert np.abs(found - wanted).max() <= 8 and np.abs(found - wanted).mean() < 1


def test_the_strongest_come_first_over_the_photograph(tab: Any, recorded: Any) -> None:
    """What is seen at first: large tiles, the largest value first, each on its own scale."""
    from resviz.views.pictures import blended, coloured, grey, limits, resized

    one = tab()
    assert one.chosen("Order") == "largest value"
    assert one.chosen("Colour scale") == "each channel its own"
    maps = recorded["conv1"]
    order = torch.argsort(-maps[0].amax((1, 2)), stable=True).tolist()
    assert [int(one.tile(n).split(" ")[1]) for n in (0, 1, 15)] == [order[n] for n in (0, 1, 15)]
    assert one.text(".rv-panel h4") == f"Channel {order[0]}"
    assert one.text(".rv-outline-chosen .rv-tile-name") == f"#{order[0]}"
    side = int(one.pitch()[0]) - 4
    assert side >= 64
    found = one.pixels()[:side, :side, :3].astype(int)
    every = maps[:, order[0]].numpy()
    low, high, colours = limits(every)
    if (maps < 0).any() and low >= 0:
        low, colours = -high, limits(maps.numpy())[2]
    above = coloured(resized(every[0], (side, side)), low, high, colours)
    at = np.minimum((np.arange(side) * 32) // side, 31)
    below = grey(recorded.pictures.numpy()[0])[at][:, at]
    wanted = blended(below, above, 0.75).astype(int)
    assert np.abs(found - wanted).mean() < 3


def test_all_channels_at_a_key(tab: Any) -> None:
    one = tab()
    one.choose("Layer", "layer3 · 64")
    assert "48 of 64 channels" in one.page.locator(".rv-caption").first.inner_text()
    large = one.pitch()[0]
    one.at.get_by_role("button", name="all 64").click()
    assert "64 channels of" in one.page.locator(".rv-caption").first.inner_text()
    assert one.pitch()[0] < large
    one.press("a")
    assert "48 of 64 channels" in one.page.locator(".rv-caption").first.inner_text()


def test_read_out(tab: Any, recorded: Any) -> None:
    one = tab()
    one.choose("Order", "number")
    for channel in (0, 5, 15):
        words = one.tile(channel)
        assert words.startswith(f"channel {channel} · row 0, column 0 · ")
        value = float(words.split(" · ")[2].split(" ")[0].replace("−", "-"))
        exact = recorded["conv1"][0, channel]
        assert abs(value - float(exact[0, 0])) <= float(exact.max() - exact.min()) / 254
    one.page.mouse.move(5, 5)
    assert one.text(".rv-readout") == ""


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("largest mean", lambda maps: -maps.mean((1, 2))),
        ("largest value", lambda maps: -maps.amax((1, 2))),
        ("dead first", lambda maps: -(maps == 0).float().mean((1, 2))),
    ],
)
def test_orders(tab: Any, recorded: Any, order: str, key: Any) -> None:
    one = tab()
    one.choose("Layer", "layer3 · 64")
    one.choose("Order", order)
    strongest = int(one.tile(0).split(" ")[1])
    one.at.get_by_role("button", name="all 64").click()
    keys = key(recorded["layer3"][0])
    first = int(re.search(r"channel (\d+)", one.tile(0)).group(1))  # type: ignore[union-attr]
    last = int(re.search(r"channel (\d+)", one.tile(63)).group(1))  # type: ignore[union-attr]
    assert first == strongest
    near = 1 / 255 if order == "dead first" else 1e-6  # the share of zeros is one byte
    assert keys[first] <= keys.min() + near and keys[last] >= keys.max() - near


def linear_of(net: Any) -> Any:
    return [module for module in net.modules() if isinstance(module, torch.nn.Linear)][-1]


def test_weights_of_a_class(tab: Any, net: Any, recorded: Any) -> None:
    one = tab("weights.html")
    assert one.text(".rv-heading").endswith("layer3")  # where the weights are
    assert one.chosen("Order") == "most for a class"
    added = recorded["layer3"][0].mean((1, 2)) * linear_of(net).weight
    best = int(added[int(recorded.logits[0].argmax())].argmax())
    assert one.tile(0).startswith(f"channel {best} ")
    one.choose("Layer", "conv1 · 16")
    assert one.chosen("Order") == "largest value"
    option = one.page.locator("option", has_text="weight for a class")
    assert "only at layer3" in option.inner_text() and option.is_disabled()
    one.choose("Layer", "layer3 · 64")
    one.choose("Order", "weight for a class")
    name = one.page.get_by_label("Class").input_value()
    index = recorded.provenance["classes"].index(name)
    best = int(linear_of(net).weight[index].argmax())
    assert one.tile(0).startswith(f"channel {best} ")
    assert f"weight for {name}" in one.text(".rv-numbers")


def test_a_class_that_needs_a_kernel_says_so(tab: Any) -> None:
    one = tab("weights.html")
    one.choose("Layer", "layer3 · 64")
    one.choose("Order", "weight for a class")
    field = one.page.get_by_label("Class")
    before = field.input_value()
    field.fill("needs a kernel")
    assert one.page.locator(".rv-hit", has_text="needs a kernel").count() == 5  # of 10 classes
    one.press("Enter")
    assert "need a running kernel; this page has none" in one.text(".rv-status")
    assert field.input_value() == before


def test_without_weights_the_order_is_absent_with_its_reason(tab: Any) -> None:
    option = tab().page.locator("option", has_text="weight for a class")
    assert option.is_disabled() and "pass explanation=" in option.inner_text()


def test_every_control_changes_the_picture(tab: Any) -> None:
    one = tab()
    for label, option in (
        ("Photograph", None),
        ("Layer", "layer1 · 16"),
        ("Order", "largest mean"),
        ("Colours", "cividis"),
        ("Colour scale", "one for the layer"),
    ):
        before = one.pixels()
        if option is None:
            one.page.get_by_label(label, exact=True).select_option(index=1)
        else:
            one.choose(label, option)
        after = one.pixels()
        assert after.shape != before.shape or (after != before).any(), label
    before = one.pixels()
    one.choose("Colour scale", "one for the whole network")
    assert (one.pixels() != before).any()


def test_keys_alone(tab: Any) -> None:
    one = tab()
    one.choose("Order", "number")
    one.tile(0)
    one.page.mouse.down()
    one.page.mouse.up()
    for _ in range(20):  # tab until the mosaic has the focus
        one.press("Tab")
        if one.page.evaluate("() => document.activeElement.className") == "rv-mosaic-scroll":
            break
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert one.page.evaluate(outline) == "solid"
    one.press("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowRight")
    assert one.text(".rv-panel h4") == "Channel 2"
    assert "channel 2: mean" in one.text("[role=status]")
    one.press("End")
    assert one.text(".rv-panel h4") == "Channel 15"
    one.press("ArrowRight", "Home", "ArrowUp")
    assert one.text(".rv-panel h4") == "Channel 0"
    one.press("ArrowDown")
    assert one.text(".rv-panel h4") != "Channel 0"
    one.press("]")
    assert one.text(".rv-heading").endswith("layer1")
    one.press("PageDown", "PageDown", "PageDown")
    assert one.text(".rv-heading").endswith("layer3")
    one.press("[", "PageUp", "PageUp", "PageUp")
    assert one.text(".rv-heading").endswith("conv1")
    one.press(".")
    assert one.page.get_by_label("Photograph", exact=True).input_value() == "1"
    one.press("?")
    assert "next layer" in one.text(".rv-help")
    one.press("Escape")
    assert not one.page.locator(".rv-help").is_visible()


def test_everything_has_a_name(tab: Any) -> None:
    one = tab()
    assert one.nameless() == []
    pictures = one.page.evaluate(
        "() => [...document.querySelectorAll('canvas:not([aria-hidden]), svg')].map("
        "e => e.getAttribute('aria-label') ?? '')"
    )
    assert pictures and all(pictures)


def test_a_click_enlarges(tab: Any, recorded: Any) -> None:
    one = tab()
    one.choose("Order", "number")
    one.tile(3)
    one.page.mouse.down()
    one.page.mouse.up()
    assert one.text(".rv-panel h4") == "Channel 3"
    maps = recorded["conv1"][0]
    rank = int((maps.mean((1, 2)) > maps[3].mean()).sum()) + 1
    assert f"rank {rank} of 16" in one.text(".rv-numbers")
    shown = "() => document.querySelector('.rv-enlarged-picture').toDataURL()"
    before = one.page.evaluate(shown)
    one.page.get_by_label("Opacity").focus()
    one.press("ArrowLeft")
    one.page.wait_for_function(f"(b) => ({shown})() !== b", arg=before)
    before = one.page.evaluate(shown)
    one.choose("Layer", "layer3 · 64")  # coarser than the photograph
    before = one.page.evaluate(shown)
    one.page.get_by_label("smooth").uncheck()
    assert one.page.evaluate(shown) != before


def test_photographs_side_by_side(tab: Any) -> None:
    one = tab()
    one.choose("Compare", "all 3 photographs")
    assert one.page.locator("canvas.rv-mosaic:visible").count() == 3
    assert one.page.locator(".rv-enlarged-picture").count() == 3
    assert (one.pixels(0) != one.pixels(1)).any()
    one.choose("Order", "largest mean")
    places = {one.tile(0, pane).split(" · ")[0] for pane in range(3)}
    assert len(places) == 1  # the same channel at the same place
    one.choose("Compare", "nothing")
    assert one.page.locator("canvas.rv-mosaic:visible").count() == 1


def test_two_layers_and_two_networks(tab: Any) -> None:
    one = tab()
    one.choose("Compare", "another layer")
    one.choose("with", "layer3 · 64")
    assert "layer3" in one.page.locator(".rv-caption").nth(1).inner_text()
    two = tab("two.html")
    captions = two.page.locator(".rv-caption")
    assert captions.count() == 2
    two.choose("Colour scale", "one for the whole network")
    assert two.page.locator(".rv-bar:visible").count() == 1  # one bar for both
    two.page.locator("canvas.rv-mosaic").nth(1).click(position={"x": 4, "y": 4})
    assert "no pictures" in two.text(".rv-enlarged")


def test_export(tab: Any, recorded: Any) -> None:
    one = tab()
    one.choose("Order", "number")
    one.tile(0)
    one.page.mouse.down()
    one.page.mouse.up()
    name, data = one.saved("Picture (PNG)")
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert name == "feature_maps_conv1.png" and min(picture.shape[:2]) > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100 and (picture[0, 0] == 255).all()
    name, data = one.saved("Picture (SVG)")
    assert name.endswith(".svg") and b"Feature maps: conv1" in data and b"data:image/png" in data
    _, data = one.saved("Channels (CSV)")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [int(row["channel"]) for row in rows] == list(range(16))
    means = recorded["conv1"][0].mean((1, 2)).numpy()
    assert np.allclose([float(row["mean"]) for row in rows], means, rtol=1e-5, atol=1e-6)
    name, data = one.saved("Enlarged channel (CSV)")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    values = np.array([float(row["value"]) for row in rows]).reshape(32, 32)
    half = float(rows[0]["half_step"])
    assert np.abs(values - recorded["conv1"][0, 0].numpy()).max() <= half * 1.01


def test_markup_in_names_is_shown_not_obeyed(
    opened: Any, recorded: Any, hostile: str, tmp_path: Path
) -> None:
    import dataclasses

    evil = "<img src=x onerror=\"document.title='owned'\">" + hostile
    about = {**recorded.provenance, "network": evil, "classes": [evil] * 10}
    changed = dataclasses.replace(
        recorded, tensors={evil: recorded.tensors["conv1"]}, provenance=about
    )
    explore_feature_maps(changed).save_html(tmp_path / "evil.html")
    one = opened(tmp_path / "evil.html", READY)
    one.choose("Compare", "all 3 photographs")
    assert evil in one.text(".rv-heading")
    assert one.page.locator("#rv-root img, #rv-root b").count() == 0
    assert one.page.title() != "owned"


def test_two_thousand_channels(opened: Any, recorded: Any, tmp_path: Path) -> None:
    import dataclasses

    maps = torch.rand(3, 2048, 7, 7, generator=torch.Generator().manual_seed(0))
    changed = dataclasses.replace(recorded, tensors={"layer4": maps})
    explore_feature_maps(changed, images=[0]).save_html(tmp_path / "many.html")
    one = opened(tmp_path / "many.html", READY, Maps)
    order = torch.argsort(-maps[0].amax((1, 2)), stable=True).tolist()
    assert one.tile(47).startswith(f"channel {order[47]} ")
    one.choose("Order", "number")
    one.at.get_by_role("button", name="all 2,048").click()
    assert one.tile(2047).startswith("channel 2047 ")
    one.page.focus(".rv-mosaic-scroll")
    one.press("End")
    assert one.text(".rv-panel h4") == "Channel 2047"


def with_kernel(pages: Path, tmp_path: Path, mute: bool = False) -> Path:
    """The page with a stand-in for a kernel: questions wait in `window.asked` for an answer."""
    text = (pages / "weights.html").read_text(encoding="utf-8")
    text = text.replace("kernel: false,", "")
    ready = 'if (content.type !== "ready") return;'
    assert ready in text
    wait = "(window.asked ??= []).push(content); window.reply = rvEmit; "
    text = text.replace(ready, wait + ("return;" if mute else ready))
    (tmp_path / "live.html").write_text(text, encoding="utf-8")
    return tmp_path / "live.html"


REPLY = """([id, fields, numbers]) => {
  const buffers = numbers ? [new DataView(Float32Array.from(numbers).buffer)] : [];
  window.reply("msg:custom", { id, ...fields }, buffers);
}"""


def test_stale_answers_are_dropped(opened: Any, pages: Path, tmp_path: Path) -> None:
    one = opened(with_kernel(pages, tmp_path), READY, Maps)
    one.choose("Layer", "layer3 · 64")
    one.choose("Order", "weight for a class")
    field = one.page.get_by_label("Class", exact=True)
    for name in CLASS_NAMES:  # the page knows the weights of five
        field.fill(name)
        one.press("Enter")
    questions = "() => window.asked.filter((one) => one.type === 'ask')"
    field.fill(CLASS_NAMES[one.page.evaluate(questions)[1]["class"]])
    one.press("Enter")
    asked = one.page.evaluate(questions)
    assert len(asked) >= 3
    first, last = asked[0], asked[-1]
    stopped = one.page.evaluate("() => window.asked.filter((one) => one.type === 'stop')")
    assert first["id"] in [each["id"] for each in stopped]
    before = one.pixels()
    answer = {"type": "answer", "class": first["class"]}
    one.page.evaluate(REPLY, [first["id"], answer, list(range(64))])
    one.page.wait_for_timeout(100)
    assert (one.pixels() == before).all()
    answer = {"type": "answer", "class": last["class"]}
    one.page.evaluate(REPLY, [last["id"], answer, list(range(64))])
    one.page.wait_for_function(
        "() => document.querySelector('.rv-numbers').textContent.includes('weight for')"
    )
    assert one.tile(0).startswith("channel 63 ")


def test_progress_and_errors_of_the_kernel(opened: Any, pages: Path, tmp_path: Path) -> None:
    one = opened(with_kernel(pages, tmp_path), READY, Maps)
    one.choose("Layer", "layer3 · 64")
    one.choose("Order", "weight for a class")
    for name in CLASS_NAMES:
        one.page.get_by_label("Class", exact=True).fill(name)
        one.press("Enter")
    asked = one.page.evaluate("() => window.asked.filter((one) => one.type === 'ask')")[-1]
    fields = {"type": "progress", "done": 3, "total": 10, "text": "weights"}
    one.page.evaluate(REPLY, [asked["id"], fields, None])
    assert one.text("[role=status]").startswith("weights 3 of 10")
    assert one.page.locator("progress").is_visible()
    error = {"type": "error", "text": "explore: <b>no</b>"}
    one.page.evaluate(REPLY, [asked["id"], error, None])
    assert one.text("[role=status]") == "explore: <b>no</b>"
    assert not one.page.locator("progress").is_visible()


def test_a_host_that_does_not_tell_of_its_kernel(
    chromium: Any, pages: Path, tmp_path: Path
) -> None:
    page = chromium.new_page()
    path = with_kernel(pages, tmp_path, mute=True)
    dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGA"
    dot += "hKmMIQAAAABJRU5ErkJggg=="
    text = path.read_text(encoding="utf-8")
    state = f'rvTraits.still = "data:image/png;base64,{dot}";'
    last = "rvEntry.render({"
    assert last in text
    path.write_text(text.replace(last, state + last), encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_function(
        "() => document.querySelector('[role=status]')?.textContent.includes('may be busy')",
        timeout=10_000,
    )
    assert "If it is not running, run the cell again." in page.inner_text("[role=status]")
    assert page.locator(".rv-wrong").count() == 0  # nobody knows that anything is
    picture = page.locator("img.rv-still")
    assert picture.is_visible() and picture.get_attribute("alt")  # the last picture stays
    assert picture.evaluate("image => image.naturalWidth") == 1
    page.close()
