"""`explore` in Chromium, with a living Python side and as an exported page: linked, by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import resviz as rv
from resviz.views.widgets.explore import explore
from views.bridge import Live
from views.browsing import View, keep_screenshot

pytestmark = pytest.mark.browser
SAMPLES = Path(__file__).parents[2] / "sample_images"
DRAWN = "() => document.querySelectorAll('canvas.rv-mosaic').length >= 4"


@pytest.fixture
def live(chromium: Any, net: Any, images: torch.Tensor, preset: rv.Preset) -> Iterator[Live]:
    """A living view of two photographs, drawn and explained."""
    view = explore(net, images[:2], preset=preset, names=["one.png", "two.png"])
    page = Live(chromium, view)
    page.until(lambda: page.at.locator(".rv-part-explanation .rv-class").count())
    page.quiet()
    yield page
    page.context.close()
    assert page.wrong == []


@pytest.fixture(scope="module")
def page_file(
    net: Any, images: torch.Tensor, preset: rv.Preset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    file = tmp_path_factory.mktemp("explore") / "explore.html"
    explore(net, images[:2], preset=preset, names=["one.png", "two.png"]).save_html(file)
    return file


@pytest.fixture
def page(opened: Callable[..., Any], page_file: Path) -> View:
    return opened(page_file, DRAWN)


def places(view: View) -> dict[str, str]:
    """Where each part is, by its own words."""
    part = view.at.locator
    return {
        "maps": part(".rv-part-maps .rv-heading").first.inner_text(),
        "explanation": part(".rv-part-explanation .rv-reason-facts").first.inner_text(),
        "residuals": part(".rv-part-residuals .rv-depth-title").last.inner_text(),
        "gradients": str(
            part(".rv-part-gradients .rv-depth-slider").get_attribute("aria-valuetext")
        ),
        "head": str(part(".rv-block[aria-current]").get_attribute("aria-label")),
    }


def at_block(view: View, block: str, depth: int) -> None:
    found = places(view)
    assert found["maps"] == f"Feature maps: {block}"
    assert f"at {block} " in found["explanation"]
    assert found["residuals"].startswith(f"{block}.add:")
    assert f"depth {depth}" in found["gradients"]
    assert found["head"] == block


def said(view: View) -> str:
    """The words of the whole view; its parts have words of their own."""
    return str(view.at.locator(":scope > .rv-status .rv-words").inner_text())


def block(view: View, name: str) -> Any:
    return view.at.get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize("kind", ["live", "page"])
def test_one_cursor_over_depth(kind: str, request: pytest.FixtureRequest) -> None:
    view: View = request.getfixturevalue(kind)
    at_block(view, "layer3.0", 7)
    part = view.at.locator
    part(".rv-part-maps").get_by_label("Layer", exact=True).select_option(label="layer2.0 · 32")
    at_block(view, "layer2.0", 5)
    part(".rv-part-explanation").get_by_label("Layer", exact=True).select_option(label="layer3.0")
    at_block(view, "layer3.0", 7)
    part(".rv-part-residuals").get_by_label("addition", exact=True).select_option(index=0)
    at_block(view, "layer1.0", 3)
    part(".rv-part-gradients .rv-depth-slider").focus()
    view.press("ArrowRight")  # the first layer of the next block
    assert places(view)["head"] == "layer2.0"
    assert places(view)["maps"] == "Feature maps: layer2.0"
    part(".rv-part-maps .rv-mosaic-scroll").focus()
    view.press("ArrowRight", "ArrowRight")
    assert part(".rv-part-residuals .rv-readout").inner_text().startswith("channel 2,")
    if kind == "live":
        live = request.getfixturevalue("live")
        live.quiet()
        chosen = live.widget.selection
        assert (chosen["depth"], chosen["channel"]) == (4, 2)
        assert chosen["views"]["maps"]["layer"] == "layer2.0"


def test_a_class_changes_every_part(live: Live) -> None:
    before = live.at.locator(".rv-part-gradients .rv-depth-svg").inner_html()
    shown = live.widget._session.current
    guess = live.at.locator(".rv-guess").nth(1)
    name = guess.inner_text().split(" ")[0]
    guess.click()
    live.until(lambda: live.widget._session.current is not shown)
    live.until(lambda: live.widget._session.current.exp is not None)
    live.quiet()
    assert f"Explanation of {name}" in live.text(".rv-part-explanation .rv-heading")
    assert live.at.locator(".rv-part-gradients .rv-depth-svg").inner_html() != before
    assert live.at.locator(".rv-guess[aria-pressed=true]").inner_text().startswith(name)
    index = live.widget._session.current.moment.target
    assert live.widget._preset.classes[index] == name
    # from within the explanation, and back to the predicted one
    live.at.locator(".rv-part-explanation .rv-class").first.click()
    live.until(lambda: live.widget._session.current.moment.target is None)
    live.quiet()
    assert live.widget.selection["class"] is None


def test_a_block_switched_off_and_on_again(live: Live) -> None:
    painted = live.painted(".rv-part-maps canvas.rv-mosaic")
    block(live, "layer2.0").click()
    live.until(lambda: "without layer2.0" in live.text(".rv-explore-facts"))
    live.until(lambda: live.widget._session.current.exp is not None)
    live.quiet()
    assert block(live, "layer2.0").get_attribute("aria-pressed") == "false"
    assert live.painted(".rv-part-maps canvas.rv-mosaic") != painted
    legend = live.at.locator(".rv-part-gradients .rv-depth-name").all_inner_texts()
    assert legend == ["toy-net", "without layer2.0"]
    assert "without layer2.0" in live.text(".rv-part-explanation .rv-reason-facts")
    assert "was" in live.at.locator(".rv-guess").first.inner_text()
    keep_screenshot(live.page, "explore_block_off")
    live.at.get_by_role("button", name="all blocks on").click()
    live.until(lambda: "without" not in live.text(".rv-explore-facts"))
    live.quiet()
    assert live.painted(".rv-part-maps canvas.rv-mosaic") == painted


def test_a_photograph_chosen_and_another_added(live: Live) -> None:
    painted = live.painted(".rv-part-maps canvas.rv-mosaic")
    live.at.get_by_role("button", name="two.png").click()
    live.until(lambda: live.widget._session.current.moment.image == 1)
    live.until(lambda: live.widget._session.current.exp is not None)
    live.quiet()
    assert live.painted(".rv-part-maps canvas.rv-mosaic") != painted
    assert "two.png" in live.text(".rv-part-explanation .rv-reason figcaption")
    live.page.set_input_files("input[type=file]", SAMPLES / "chelsea.png")
    live.until(lambda: live.widget._session.current.moment.image == 2)
    live.until(lambda: live.widget._session.current.exp is not None)
    live.quiet()
    assert live.at.locator(".rv-photo").all_inner_texts() == ["one.png", "two.png", "chelsea.png"]
    assert "chelsea.png" in live.text(".rv-part-explanation .rv-reason figcaption")


def test_fast_changes_make_one_question_and_show_the_last(live: Live) -> None:
    asked = len(live.asked)
    live.at.evaluate(
        "(view, names) => names.forEach((n) => view.querySelector(`[aria-label='${n}']`).click())",
        ["layer1.0", "layer2.0", "layer3.0"],
    )
    live.until(lambda: "without layer1.0, layer2.0, layer3.0" in live.text(".rv-explore-facts"))
    scenes = [one for one in live.asked[asked:] if one.get("what") == "scene"]
    assert len(scenes) == 1


def test_work_is_stopped_and_nothing_changes(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    import resviz.sessions.session as module

    go, usual = threading.Event(), module.recorded

    def slow(*args: Any) -> Any:
        assert go.wait(30)
        return usual(*args)

    monkeypatch.setattr(module, "recorded", slow)
    facts, shown = live.text(".rv-explore-facts"), live.widget._session.current
    assert not live.at.get_by_role("button", name="Stop").is_visible()
    block(live, "layer2.0").click()
    live.until(lambda: live.at.get_by_role("button", name="Stop").is_visible())
    assert live.at.get_attribute("aria-busy") == "true"
    live.at.get_by_role("button", name="Stop").click()
    live.quiet()
    go.set()
    live.widget._works["scene"].join(30)
    live.quiet()
    assert said(live) == "stopped" and live.widget._session.current is shown
    assert live.text(".rv-explore-facts") == facts
    assert block(live, "layer2.0").get_attribute("aria-pressed") == "true"
    assert live.at.get_attribute("aria-busy") == "false"


def test_an_explanation_given_up_for_a_stopped_scene_is_made_again(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    import resviz.sessions.session as module

    go, usual = threading.Event(), module.with_explanation

    def slow(*args: Any) -> Any:
        assert go.wait(30)
        return usual(*args)

    monkeypatch.setattr(module, "with_explanation", slow)
    live.at.get_by_role("button", name="two.png").click()
    live.until(lambda: live.widget._session.current.moment.image == 1)
    live.quiet()
    assert live.at.get_by_role("button", name="Stop").is_visible()  # it is being explained
    live.press("Escape")
    live.until(lambda: "No explanation" in live.text(".rv-part-explanation .rv-part-words"))
    live.at.locator(".rv-guess").first.click()  # its class again
    go.set()
    live.until(lambda: live.widget._session.current.exp is not None)
    live.until(lambda: live.at.locator(".rv-part-explanation .rv-class").first.is_visible())
    assert "two.png" in live.text(".rv-part-explanation .rv-reason figcaption")


def test_a_measurement_of_the_scene_before_is_not_shown(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    import resviz.sessions.maps as module

    go, usual = threading.Event(), module.faithfulness

    def slow(*args: Any, **more: Any) -> Any:
        assert go.wait(30)
        return usual(*args, **more)

    monkeypatch.setattr(module, "faithfulness", slow)
    live.at.get_by_role("button", name="Measure faithfulness").click()
    live.quiet()
    work = live.widget._views["explanation"]._work
    block(live, "layer2.0").click()
    live.until(
        lambda: (
            live.widget._session.current.moment.off and live.widget._session.current.exp is not None
        )
    )
    go.set()
    work.join(60)
    live.quiet()
    assert "random map" not in live.text(".rv-part-explanation .rv-checks")


def test_several_files_join_one_after_the_other(live: Live) -> None:
    files = [SAMPLES / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    live.page.set_input_files("input[type=file]", files)
    live.until(lambda: live.at.locator(".rv-photo").count() == 5)
    live.until(lambda: live.widget._session.current.moment.image == 4)
    names = live.at.locator(".rv-photo").all_inner_texts()
    assert names[2:] == ["chelsea.png", "coffee.png", "rocket.jpg"]


def test_python_chooses(live: Live) -> None:
    live.widget.selection = live.widget.selection | {"channel": 3, "open": ["maps", "gradients"]}
    live.quiet()
    assert live.widget.selection["channel"] == 3
    assert not live.at.locator(".rv-part-residuals").get_attribute("open") is not None
    live.widget.selection = live.widget.selection | {"off": ["layer3.0"], "image": 1}
    live.until(lambda: live.widget._session.current.moment.off == ("layer3.0",))
    live.quiet()
    assert live.widget._session.current.moment.image == 1
    assert block(live, "layer3.0").get_attribute("aria-pressed") == "false"
    live.widget.selection = live.widget.selection | {"depth": 3}
    live.quiet()
    assert places(live)["maps"] == "Feature maps: layer1.0"


def test_by_keyboard_alone(live: Live) -> None:
    live.at.locator(".rv-photo").first.focus()
    live.press("ArrowRight")
    assert live.page.evaluate("document.activeElement.textContent") == "two.png"
    live.press("Enter")
    live.until(lambda: live.widget._session.current.moment.image == 1)
    live.until(lambda: live.widget._session.current.exp is not None)
    live.quiet()
    assert live.page.evaluate("document.activeElement.textContent") == "two.png"  # focus stays
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert live.page.evaluate(outline) == "solid"
    live.press("[")
    live.quiet()
    at_block(live, "layer2.0", 5)
    live.press("o")
    live.until(lambda: live.widget._session.current.moment.off == ("layer2.0",))
    live.quiet()
    live.press("0", ",")
    live.until(
        lambda: (
            live.widget._session.current.moment == live.widget._session.current.moment.__class__(0)
        )
    )
    live.press("?")
    assert live.at.locator(":scope > .rv-help").is_visible()
    live.press("Escape")
    assert not live.at.locator(":scope > .rv-help").is_visible()
    assert live.nameless() == []


def test_parts_fold_and_stay_folded(live: Live, opened: Any, tmp_path: Path) -> None:
    live.at.locator(".rv-part-maps > summary").click()
    live.quiet()
    assert live.widget.selection["open"] == ["gradients", "explanation", "residuals"]
    live.widget.save_html(tmp_path / "folded.html")
    page = opened(tmp_path / "folded.html", "() => document.querySelector('.rv-depth-svg path')")
    assert not page.at.locator(".rv-part-maps .rv-mosaics").first.is_visible()
    page.at.locator(".rv-part-maps > summary").click()
    page.at.locator(".rv-part-maps canvas.rv-mosaic").wait_for()  # drawn when it has a width
    assert len(set(page.pixels(0, ".rv-part-maps canvas.rv-mosaic")[..., 0].ravel())) > 5


def test_a_page_says_what_needs_a_kernel(page: View) -> None:
    assert page.at.get_by_role("button", name="Add a photograph").is_disabled()
    assert page.at.get_by_role("button", name="two.png").is_disabled()
    off = block(page, "layer2.0")
    assert off.is_disabled() and "needs a running kernel" in off.get_attribute("title")
    page.at.locator(".rv-photo").first.focus()
    page.press("o")
    assert "need a running kernel" in said(page)
    # any class where the head allows it; what is of the recorded class says so
    name = page.at.locator(".rv-guess").nth(2).inner_text().split(" ")[0]
    page.at.locator(".rv-guess").nth(2).click()
    assert page.text(".rv-part-explanation .rv-heading") == f"Explanation of {name}"
    assert "gradients are of the recorded one" in page.text(".rv-explore-note")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(opened: Any, page_file: Path, scheme: str) -> None:
    page = opened(page_file, DRAWN, color_scheme=scheme)
    least, words = page.faintest()
    assert least >= 4.5, words
    page.page.wait_for_timeout(300)
    page.page.set_viewport_size({"width": 1300, "height": 3400})
    keep_screenshot(page.page, f"explore_page_{scheme}")


@pytest.mark.parametrize("width", [420, 900, 1500])
def test_it_fits_any_width(opened: Any, page_file: Path, width: int) -> None:
    page = opened(page_file, DRAWN, viewport={"width": width, "height": 900})
    page.page.wait_for_timeout(200)
    wide = page.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    tops = [page.at.locator(f".rv-part-{n}").bounding_box()["y"] for n in ("maps", "explanation")]
    assert (tops[0] == tops[1]) == (width == 1500)


def test_what_was_predicted_is_saved(page: View) -> None:
    with page.page.expect_download() as waiting:
        page.at.get_by_role("button", name="Export").first.click()
        page.at.get_by_role("menuitem", name="Predicted classes (CSV)").click()
    rows = Path(waiting.value.path()).read_text().splitlines()
    assert rows[0] == "class,index,probability,probability_whole_network" and len(rows) == 6
