"""The exported explanation page in Chromium: its numbers, every control, keys alone."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
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
from resviz.views.widgets.explanation import explore_explanation
from views.browsing import Tab, keep_screenshot, luminance

SAMPLES = Path(__file__).parents[2] / "sample_images"
MAP = ".rv-reason-frame .rv-reason-picture"
READY = "() => document.querySelector('.rv-classes button')"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def trained() -> Any:
    return rv.load_model("cifar10-resnet20", device="cpu")


@pytest.fixture(scope="module")
def photographs(trained: Any) -> torch.Tensor:
    return rv.load_images([SAMPLES / "chelsea.png", SAMPLES / "rocket.jpg"], trained)


@pytest.fixture(scope="module")
def made(trained: Any, photographs: torch.Tensor) -> Any:
    """Two methods at two layers for two classes of each photograph; maps of the pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rv.ResvizWarning)
        return rv.explain(
            trained,
            photographs,
            [["cat", "dog"], ["airplane", "ship"]],
            methods=["grad_cam", "layer_cam", "integrated_gradients"],
            layers=["layer2", "layer3"],
            options={"integrated_gradients": {"steps": 2}},
        )


@pytest.fixture(scope="module")
def pages(
    trained: Any, photographs: torch.Tensor, made: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Exported pages: of a record with its checks, of a network, of targets of one's own."""
    folder = tmp_path_factory.mktemp("pages")
    checks = ["deletion", "insertion"]
    some = dataclasses.replace(made, maps={k: made.maps[k] for k in [("grad_cam", "layer3")]})
    table = rv.faithfulness(
        trained, photographs, some, checks=checks, steps=4, draws=2, progress=False
    )
    explore_explanation(made, faithfulness=table).save_html(folder / "record.html")
    explore_explanation(trained, photographs).save_html(folder / "live.html")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rv.ResvizWarning)
        own = rv.explain(trained, photographs, lambda y: y[:, 3] - y[:, 5], layers="layer2")
    explore_explanation(own).save_html(folder / "own.html")
    return folder


class Reasons(Tab):
    """An open page of an explanation."""

    def picture(self) -> str:
        return self.painted(MAP)

    def values(self) -> Any:
        """The map that is shown, as its CSV has it, with half a step."""
        rows = list(csv.DictReader(io.StringIO(self.saved("Map (CSV)")[1].decode())))
        shape = (int(rows[-1]["row"]) + 1, int(rows[-1]["column"]) + 1)
        values = np.array([float(row["value"]) for row in rows]).reshape(shape)
        return values, float(rows[0]["plus_or_minus"])


@pytest.fixture
def tab(opened: Any, pages: Path) -> Callable[..., Reasons]:
    """Opens pages by name."""
    return lambda name="record.html", **options: opened(pages / name, READY, Reasons, **options)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 420])
def test_it_renders(tab: Any, scheme: str, width: int) -> None:
    one = tab(color_scheme=scheme, viewport={"width": width, "height": 900})
    assert one.text(".rv-heading >> nth=0") == "what speaks for cat"
    overflow = one.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    ratio, words = one.faintest()
    assert ratio >= 4.5, words
    assert (luminance(one.ground()) < 0.1) == (scheme == "dark")
    keep_screenshot(one.page, f"explanation_page_{scheme}_{width}")


def test_any_class_has_the_values_of_the_closed_form(tab: Any, made: Any) -> None:
    """float32 on both sides, sums of 64 terms: 1e-5 of the largest value."""
    one = tab()
    one.choose("Show", "for and against")
    for name in ("truck", "frog", "cat"):
        one.search("Class A", name)
        values, half = one.values()
        wanted = made.all_classes.map(name, relu=False)[0].numpy()
        assert half == 0 and np.abs(values - wanted).max() <= 1e-5 * np.abs(wanted).max(), name
    one.choose("Show", "evidence for it")
    one.search("Class A", "truck")
    values, _ = one.values()
    assert np.allclose(values, made.all_classes["truck"][0].numpy(), rtol=1e-4, atol=1e-6)


def test_a_minus_b(tab: Any, made: Any) -> None:
    one = tab()
    one.choose("Show", "for and against")
    one.page.get_by_role("button", name="subtract frog").click()
    assert one.text(".rv-heading >> nth=0") == "what speaks for cat rather than frog"
    values, _ = one.values()
    which = rv.target("cat") - rv.target("frog")
    wanted = made.all_classes.map(which, relu=False)[0].numpy()
    assert np.abs(values - wanted).max() <= 1e-5 * np.abs(wanted).max()
    difference = float(made.logits[0, 3] - made.logits[0, 6])
    found = re.search(r"difference of logits (\S+)", one.text(".rv-reason-facts >> nth=0"))
    assert float(found.group(1).replace("−", "-")) == pytest.approx(difference, rel=1e-3)  # type: ignore[union-attr]
    one.press("x")  # focus is on a button: swap
    assert one.text(".rv-heading >> nth=0") == "what speaks for frog rather than cat"
    assert np.allclose(one.values()[0], -wanted, atol=1e-5 * np.abs(wanted).max())
    one.page.focus(MAP + " >> xpath=..")
    one.press("0")
    assert one.text(".rv-heading >> nth=0") == "what speaks for frog"
    one.search("minus class B", "deer")
    assert one.text(".rv-heading >> nth=0") == "what speaks for frog rather than deer"
    one.search("minus class B", "nothing")
    assert one.text(".rv-heading >> nth=0") == "what speaks for frog"


@pytest.mark.parametrize(
    ("method", "layer"),
    [("grad_cam", "layer3"), ("layer_cam", "layer2"), ("integrated_gradients", "input")],
)
def test_recorded_maps_to_half_a_step(tab: Any, made: Any, method: str, layer: str) -> None:
    one = tab()
    one.choose("Method", method)
    one.choose("Layer", layer)
    for image in (0, 1):
        if image:
            one.page.get_by_label("Photograph", exact=True).select_option(index=1)
        values, half = one.values()
        wanted = made.maps[method, layer][image, 0].numpy().clip(0)
        assert np.abs(values - wanted).max() <= half * 1.01 and (values.max() > 0) == wanted.any()
    assert "airplane" in one.text(".rv-heading >> nth=0")
    if method == "integrated_gradients":
        one.choose("Show", "for and against")
        values, half = one.values()
        assert np.abs(values - made.maps[method, layer][1, 0].numpy()).max() <= half * 1.01


def test_the_picture_is_that_of_the_figure(tab: Any, made: Any) -> None:
    """The overlay's pixels against the overlay of plot_explanation."""
    from resviz.views.pictures import as_pixels, blended, coloured, grey, resized

    one = tab()
    found = one.pixels(canvas=MAP)[..., :3]
    height, width = found.shape[:2]
    times = height // 32
    picture = as_pixels(made.pictures[0]).repeat(times, axis=0).repeat(times, axis=1)
    values = resized(made.maps["grad_cam", "layer3"][0, 0].numpy(), (height, width))
    colours = coloured(values, 0.0, float(made.maps["grad_cam", "layer3"][0, 0].max()), "Viridis")
    wanted = blended(grey(picture), colours, 0.6)
    apart = np.abs(found - wanted.astype(int))
    assert apart.max() <= 12 and apart.mean() < 2


def test_the_bars_are_the_probabilities(tab: Any, made: Any) -> None:
    one = tab()
    odds = torch.softmax(made.logits[0], 0)
    best = odds.argsort(descending=True)[:8].tolist()
    rows = one.page.locator(".rv-class").all_inner_texts()
    classes = made.provenance["classes"]
    assert one.chosen("Photograph") == f"image 0: predicted {classes[best[0]]}"
    assert [row.split("\n")[0] for row in rows[:8]] == [classes[index] for index in best]
    assert rows[0].split("\n")[-1] == f"{odds[best[0]]:.2f}"
    shown = one.page.evaluate(
        "() => { const f = document.querySelector('.rv-class-fill');"
        "return f.getBoundingClientRect().width / f.parentElement.clientWidth; }"
    )
    assert shown == pytest.approx(float(odds[best[0]]), abs=0.02)
    one.page.locator(".rv-class").nth(2).click()
    assert one.text(".rv-heading >> nth=0") == f"what speaks for {classes[best[2]]}"
    assert one.page.locator(".rv-class").nth(2).get_attribute("aria-pressed") == "true"
    assert one.page.evaluate("() => document.activeElement.className").endswith("rv-class")


def test_a_class_that_this_page_lacks_goes_to_the_head_and_says_so(tab: Any) -> None:
    one = tab()
    one.choose("Layer", "layer2")
    one.search("Class A", "truck")
    assert (
        one.page.get_by_label("Layer", exact=True).locator("option:checked").inner_text()
        == "layer3"
    )
    assert "grad_cam at layer3: where this page has every class" in one.text("[role=status]")


def test_what_needs_a_kernel_is_disabled_with_its_reason(tab: Any) -> None:
    one = tab("live.html")
    one.search("Class A", "truck")
    option = one.page.get_by_label("Layer", exact=True).locator("option", has_text="layer1.0")
    assert option.is_disabled() and "needs a kernel" in option.inner_text()
    button = one.page.get_by_role("button", name="Measure faithfulness")
    assert button.is_disabled() and "running kernel" in button.get_attribute("title")
    assert "it needs a running kernel; this page has none" in one.text(".rv-checks")


def test_no_stale_map_is_shown(opened: Any, made: Any, tmp_path: Path) -> None:
    """A target that is not there: the photograph alone, with the reason."""
    from resviz.views.pictures import as_pixels

    view = explore_explanation(made)
    view.selection = view.selection | {"class": 7, "layer": "layer2"}
    view.save_html(tmp_path / "gone.html")
    one = opened(tmp_path / "gone.html", READY, Reasons)
    assert "No map of horse here: not in this explanation" in one.text(".rv-reason-note")
    found = one.pixels(canvas=MAP)[..., :3]
    times = found.shape[0] // 32
    photo = as_pixels(made.pictures[0]).repeat(times, axis=0).repeat(times, axis=1)
    assert (found == photo).all() and not one.page.locator(".rv-bar").count()


def test_faithfulness_line(tab: Any) -> None:
    one = tab()
    words = one.text(".rv-checks")
    assert re.search(r"deletion [\d.]+ against [\d.]+ for a random map", words)
    assert "4 steps, 2 random maps" in words
    one.choose("Method", "layer_cam")
    assert "Faithfulness was not measured; this explanation came without its network" in one.text(
        ".rv-checks"
    )


def test_every_control_changes_the_picture(tab: Any) -> None:
    one = tab()
    for label, option in (
        ("Layer", "layer2"),
        ("Method", "layer_cam"),
        ("Colours", "cividis"),
        ("Layer", "layer3"),
        ("Method", "grad_cam"),
        ("Show", "for and against"),
    ):
        before = one.picture()
        one.choose(label, option)
        assert one.picture() != before, label
    before = one.picture()
    one.page.get_by_label("Opacity").focus()
    one.press("ArrowLeft")
    one.page.wait_for_function(
        f"(b) => document.querySelector('{MAP}').toDataURL() !== b", arg=before
    )


@pytest.mark.parametrize("size", [(1000, 700), (1400, 900)])
def test_everything_is_on_one_screen(tab: Any, made: Any, size: tuple[int, int]) -> None:
    one = tab(viewport={"width": size[0], "height": size[1]})
    parts = [".rv-reason", ".rv-classes", ".rv-reason-maps", ".rv-checks", ".rv-reason-facts"]
    for part in [*parts, ".rv-reason-frame", ".rv-map-tile >> nth=-1"]:
        box = one.at.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0]
        assert box["y"] >= 0 and box["y"] + box["height"] <= size[1]
    assert one.at.locator(".rv-reason-frame").bounding_box()["width"] > size[0] * 0.3
    scroll = "[document.documentElement.scrollHeight, document.documentElement.scrollWidth]"
    assert one.page.evaluate(scroll) == [size[1], size[0]]


def of_tiles(one: Any) -> list[list[str]]:
    """[method, layer] of the small maps, in order."""
    titles = one.at.locator(".rv-map-tile").evaluate_all("all => all.map((one) => one.title)")
    return [title.split(": ")[0].split(" at ") for title in titles]


def test_all_maps_small_the_chosen_method_and_the_last_layer_first(tab: Any, made: Any) -> None:
    one = tab()
    tiles = one.at.locator(".rv-map-tile")
    methods, layers = made.methods, list(reversed(made.layers))
    every = [(method, layer) for method in methods for layer in layers]
    assert of_tiles(one) == [list(each) for each in every if each in made.maps]
    headings = one.at.locator(".rv-map-tiles-heading")
    assert headings.all_inner_texts() == methods
    words = f"{len(made.maps)} maps of {len(methods)} methods, of each the last layer first"
    assert words in one.text(".rv-reason-maps .rv-map-words")
    assert tiles.first.get_attribute("aria-pressed") == "true"
    # the last, as one shown already would change nothing
    before, wanted = one.picture(), tiles.nth(tiles.count() - 1)
    assert wanted.get_attribute("aria-pressed") == "false"
    method, layer = wanted.get_attribute("title").split(": ")[0].split(" at ")
    wanted.click()
    assert one.picture() != before and wanted.get_attribute("aria-pressed") == "true"
    assert (one.chosen("Method"), one.chosen("Layer")) == (method, layer)
    assert headings.all_inner_texts() == methods  # what was clicked stays where it was
    one.choose("Method", methods[1])
    assert headings.all_inner_texts()[0] == methods[1]


def test_a_drag_fades_and_reads_nothing(tab: Any) -> None:
    one = tab()
    box = one.at.locator(".rv-reason-frame").bounding_box()
    read, before = one.text(".rv-reason-read"), one.picture()
    y = box["y"] + box["height"] / 2
    one.page.mouse.move(box["x"] + box["width"] * 0.8, y)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + box["width"] * 0.4, y, steps=4)
    one.page.mouse.up()
    one.page.mouse.move(2, 2)
    assert one.picture() != before and one.text(".rv-reason-read") == read
    assert one.text(".rv-reason-controls .rv-read") == "20 %"


def test_keep_the_scale(tab: Any) -> None:
    one = tab()
    ends = one.text(".rv-bar")
    one.page.get_by_label("keep the scale").check()
    one.search("Class A", "dog")
    assert one.text(".rv-bar") == ends
    one.page.get_by_label("keep the scale").uncheck()
    assert one.text(".rv-bar") != ends


def test_read_out_by_pointer_and_keys(tab: Any, made: Any) -> None:
    one = tab()
    values = made.maps["grad_cam", "layer3"][0, 0].numpy()
    frame = one.page.locator(".rv-reason-frame")
    box = frame.bounding_box()
    frame.hover(position={"x": box["width"] * 3.5 / 8, "y": box["height"] * 1.5 / 8})
    found = re.match(r"row 1, column 3 of 8 × 8: (\S+)", one.text(".rv-reason-read"))
    assert float(found.group(1)) == pytest.approx(values[1, 3], abs=float(values.max()) / 254)  # type: ignore[union-attr]
    one.page.mouse.move(5, 5)
    assert "point at the map" in one.text(".rv-reason-read")
    frame.focus()
    one.press("Home")
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert one.text(".rv-reason-read").startswith(f"row {row}, column {column} of 8 × 8")
    mark = one.page.evaluate(
        "() => parseFloat(document.querySelector('.rv-reason-mark').style.left)"
    )
    assert mark == pytest.approx(100, abs=1)
    for _ in range(9):
        one.press("ArrowLeft", "ArrowUp")
    assert one.text(".rv-reason-read").startswith("row 0, column 0 of")
    one.press("ArrowRight", "ArrowDown")
    assert one.text(".rv-reason-read").startswith("row 1, column 1 of")
    assert "pixels 4–7 across, 4–7 down" in one.text(".rv-reason-read")


def test_keys_alone(tab: Any) -> None:
    one = tab()
    for _ in range(20):  # tab until the map has the focus
        one.press("Tab")
        if one.page.evaluate("() => document.activeElement.className") == "rv-reason-frame":
            break
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert one.page.evaluate(outline) == "solid"
    one.press("[")
    assert "grad_cam at layer2" in one.text(".rv-reason-facts >> nth=0")
    one.press("m")
    assert "layer_cam at layer2" in one.text(".rv-reason-facts >> nth=0")
    one.press("]", "M")
    assert "grad_cam at layer3" in one.text(".rv-reason-facts >> nth=0")
    one.press("s")
    assert one.page.get_by_label("Show", exact=True).input_value() == "1"
    one.press("3")
    third = one.page.locator(".rv-class").nth(2)
    assert third.get_attribute("aria-pressed") == "true"
    one.press(".")
    assert one.page.get_by_label("Photograph", exact=True).input_value() == "1"
    one.press(",")
    assert one.page.get_by_label("Photograph", exact=True).input_value() == "0"
    one.press("?")
    assert "next method" in one.text(".rv-help")


def test_everything_has_a_name(tab: Any) -> None:
    one = tab()
    assert one.nameless() == []
    pictures = one.page.evaluate(
        "() => [...document.querySelectorAll('canvas:not([aria-hidden])')].map("
        "e => e.getAttribute('aria-label') ?? '')"
    )
    assert all(pictures) and any("largest value" in words for words in pictures)


def test_targets_of_ones_own(tab: Any) -> None:
    one = tab("own.html")
    assert one.page.locator(".rv-class[aria-pressed=true]").count() == 1
    assert one.page.get_by_text("Recorded targets").is_visible()
    assert np.ptp(one.values()[0]) > 0
    assert one.page.get_by_role("button", name="Measure faithfulness").is_disabled()


def test_export(tab: Any, made: Any) -> None:
    one = tab()
    name, data = one.saved("Picture (PNG)")
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert name == "explanation_cat_grad_cam_layer3.png" and min(picture.shape[:2]) > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100 and (picture[0, 0] == 255).all()
    name, data = one.saved("Picture (SVG)")
    assert b"Explanation of cat" in data and data.count(b"data:image/png") == 2
    _, data = one.saved("Classes (CSV)")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [row["class"] for row in rows] == made.provenance["classes"]
    found = [float(row["probability"]) for row in rows]
    assert np.allclose(found, torch.softmax(made.logits[0], 0).numpy(), atol=1e-6)


def test_markup_in_names_is_shown_not_obeyed(
    opened: Any, made: Any, hostile: str, tmp_path: Path
) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">" + hostile
    about = {**made.provenance, "network": evil, "classes": [evil + str(i) for i in range(10)]}
    changed = dataclasses.replace(
        made,
        maps={(evil, evil): made.maps["grad_cam", "layer2"]},
        target_names=[[evil, evil]] * 2,
        provenance=about,
    )
    explore_explanation(changed).save_html(tmp_path / "evil.html")
    one = opened(tmp_path / "evil.html", READY)
    assert evil in one.text(".rv-heading >> nth=0")
    assert one.page.locator("#rv-root img, #rv-root b").count() == 0
    assert one.page.title() != "owned"


def test_asked_maps_and_checks_as_a_kernel_answers(
    chromium: Any, trained: Any, photographs: torch.Tensor, tmp_path: Path
) -> None:
    """The page with a kernel played by this test: the real view answers the page's messages."""
    from resviz.views.export import page_text

    view = explore_explanation(trained, photographs)
    text = page_text(view.page())
    text = text.replace("kernel: false,", "kernel: true,").replace(
        'if (content.type !== "ready") return;',
        'if (content.type !== "ready") { window.asked(JSON.stringify(content)); return; }\n'
        "window.tell = (message, words) => rvEmit('msg:custom', JSON.parse(message),"
        " words.map((w) => Uint8Array.from(atob(w), (c) => c.charCodeAt(0)))"
        ".map((bytes) => new DataView(bytes.buffer)));",
    )
    (tmp_path / "live.html").write_text(text, encoding="utf-8")
    asked: list[dict[str, Any]] = []
    context = chromium.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.expose_function("asked", lambda message: asked.append(json.loads(message)))
    page.goto((tmp_path / "live.html").as_uri())
    page.wait_for_selector(".rv-classes button")

    def answer(question: dict[str, Any]) -> None:
        sent: list[Any] = []
        view.send = lambda content, buffers=None: sent.append((content, buffers or []))
        view._received(view, question, [])
        for work in view.view._works.values():
            work.join(60)
        for content, buffers in sent:
            words = [base64.b64encode(each).decode() for each in buffers]
            page.evaluate("([m, w]) => window.tell(m, w)", [json.dumps(content), words])

    def wait_for(count: int) -> None:
        for _ in range(100):
            if len(asked) >= count:
                return
            page.wait_for_timeout(20)
        raise AssertionError(asked)

    page.get_by_label("Class A", exact=True).fill("truck")
    page.keyboard.press("Enter")
    assert asked == []  # the head has it
    page.get_by_label("Layer", exact=True).select_option(label="layer1.0")
    wait_for(1)
    assert "asking the kernel" in page.inner_text(".rv-reason-note")
    page.get_by_label("Layer", exact=True).select_option(label="layer2.0")
    wait_for(3)
    assert [one["type"] for one in asked] == ["ask", "stop", "ask"]
    answer(asked[0])  # stale: dropped
    assert "asking the kernel" in page.inner_text(".rv-reason-note")
    answer(asked[2])
    assert page.inner_text(".rv-reason-note") == "" or "0 everywhere" in page.inner_text(
        ".rv-reason-note"
    )
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export").click()
        page.get_by_role("menuitem", name="Map (CSV)").click()
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
    found = np.array([float(row["value"]) for row in rows]).reshape(16, 16)
    wanted = rv.explain(trained, photographs[:1], 9, layers="layer2.0").maps["grad_cam", "layer2.0"]
    assert np.allclose(found, wanted[0, 0].numpy(), rtol=1e-5, atol=1e-9)

    page.get_by_label("Layer", exact=True).select_option(label="layer1.0")
    wait_for(4)
    answer({**asked[3], "layer": "gone"})
    assert "gave no map" in page.inner_text(".rv-reason-note")
    assert "no grad_cam at gone" in page.inner_text("[role=status]")

    page.get_by_label("Layer", exact=True).select_option(label="layer2.0")  # known: not asked again
    page.get_by_role("button", name="Measure faithfulness").click()
    wait_for(5)
    assert asked[4]["what"] == "faithfulness"
    progress = {"type": "progress", "id": asked[4]["id"], "done": 3, "total": 9, "text": "pictures"}
    page.evaluate("([m, w]) => window.tell(m, w)", [json.dumps(progress), []])
    assert "3 of 9" in page.inner_text("[role=status]")
    page.get_by_role("button", name="Stop measuring").click()
    wait_for(6)
    assert asked[5] == {"type": "stop", "id": asked[4]["id"]}
    page.get_by_role("button", name="Measure faithfulness").click()
    wait_for(7)
    answer(asked[6])
    assert "for a random map" in page.inner_text(".rv-checks")
    assert "of the method's own map" in page.inner_text(".rv-checks")
    context.close()
    assert wrong == []


def test_over_the_whole_file(trained: Any, opened: Any, tmp_path: Path) -> None:
    """The overlay's pixels against that of the figure, and the read-out in pixels of the file."""
    from resviz.views.overlays import panels_of

    files = [SAMPLES / "chelsea.png", SAMPLES / "rocket.jpg"]
    images = rv.load_images(files, trained)
    exp = rv.explain(trained, images, layers="layer3")
    view = explore_explanation(exp, originals=[files[0], None])
    view.save_html(tmp_path / "file.html")
    one = opened(tmp_path / "file.html", READY, Reasons)
    one.choose("Under the map", "the whole file")
    found = one.pixels(canvas=MAP)[..., :3]
    (panel,) = panels_of(exp, 0, None, None, None, "panel", "Viridis")
    whole = view.view._originals[0]
    panel = dataclasses.replace(panel, origin=whole.origin)
    wanted = panel.over(whole.pixels, 0.6)
    assert found.shape == wanted.shape
    apart = np.abs(found - wanted.astype(int))
    assert apart.max() <= 12 and apart.mean() < 2
    assert not whole.origin.whole  # a part is cropped away, and has no colours
    top, left, bottom, right = whole.frame
    side = round(left * found.shape[1]) - 1
    assert (found[:, :side].max(2) == found[:, :side].min(2)).all()
    frame = one.page.locator(".rv-reason-frame")
    box = frame.bounding_box()
    frame.hover(position={"x": box["width"] * (left + (right - left) * 3.5 / 8), "y": 5})
    read = one.text(".rv-reason-read")
    assert read.startswith("row 0, column 3 of 8 × 8") and read.endswith("in the file")
    width, span = whole.origin.size[1], right - left
    ends = round((left + span * 3 / 8) * width), round((left + span * 4 / 8) * width) - 1
    assert f"pixels {ends[0]}–{ends[1]} across" in read
    frame.hover(position={"x": 2, "y": 5})  # where the network saw nothing
    assert "point at the map" in one.text(".rv-reason-read")
    second = one.page.get_by_label("Photograph").locator("option").nth(1).inner_text()
    one.choose("Photograph", second)
    assert not one.page.get_by_label("Under the map").is_visible()
    size = one.page.evaluate(
        f"() => {{ const c = document.querySelector('{MAP}'); return [c.width, c.height]; }}"
    )
    assert size[0] == size[1]  # as the network saw it
