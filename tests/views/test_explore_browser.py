"""`explore` in Chromium, with a living Python side and as an exported page: one screen, linked."""

from __future__ import annotations

import json
import re
import threading
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
DRAWN = "() => document.querySelector('.rv-spine-line')"
WHOLE = """all => all.map((one) => {
  const title = one.querySelector("title")?.textContent ?? one.closest("[title]")?.title ?? "";
  return [one.value ?? one.firstChild?.data ?? "", title];
})"""
PARTS = ("spine-part", "photograph", "anatomy", "channels")
# from a key to the next frame that shows what it did: painted canvases and the moved cursor
PACE = """async (keys) => {
  const root = document.querySelector('.rv-screen');
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const times = [];
  for (const key of keys) {
    await frame();
    const began = performance.now();
    root.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
    await frame();
    times.push(performance.now() - began);
  }
  return times;
}"""


# what stands there at the end of the next frame: middles of cursor and blocks, words, pixels
FRAME = """async (key) => {
  const root = document.querySelector('.rv-screen');
  root.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const all = (where) => [...document.querySelectorAll(where)].filter((n) => n.checkVisibility());
  const middle = (node) => node.getBoundingClientRect().x + node.getBoundingClientRect().width / 2;
  return {
    line: middle(document.querySelector('.rv-spine-cursor line')),
    blocks: all('.rv-spine-block rect').map(middle),
    words: all('.rv-part p, .rv-part h3, .rv-spine-cursor text').map((n) => n.textContent),
    pixels: all('.rv-part canvas').map((canvas) => canvas.toDataURL()),
  };
}"""


# the marks under the words at the cursor: boxes, circles, and points of lines every half pixel
COVERED = """() => {
  const words = document.querySelector('.rv-spine-cursor text').getBoundingClientRect();
  const isIn = ({ left, right, top, bottom }) =>
    left < words.right && right > words.left && top < words.bottom && bottom > words.top;
  const all = [...document.querySelectorAll('.rv-spine-svg :is(path, circle, rect, text)')];
  const marks = all.filter((n) => !n.matches('.rv-spine-stage, .rv-spine-cursor *'));
  const pointsOf = (path) => {
    const [at, found] = [path.getScreenCTM(), []];
    for (let far = 0; far <= path.getTotalLength(); far += 0.5) {
      const { x, y } = path.getPointAtLength(far).matrixTransform(at);
      found.push({ left: x - 1, right: x + 1, top: y - 1, bottom: y + 1 });
    }
    return found;
  };
  return marks
    .filter((n) => (n.tagName === 'path' ? pointsOf(n) : [n.getBoundingClientRect()]).some(isIn))
    .map((n) => `${n.tagName} ${n.getAttribute('class') ?? ''}`);
}"""


@pytest.fixture
def live(chromium: Any, net: Any, images: torch.Tensor, preset: rv.Preset) -> Iterator[Live]:
    """A living view of two photographs, drawn, explained, every block cut once."""
    view = explore(net, images[:2], preset=preset, names=["one.png", "two.png"])
    page = Live(chromium, view, viewport={"width": 1000, "height": 700})
    page.until(lambda: page.at.locator(".rv-spine-without").count() == 3)
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


@pytest.fixture(scope="module")
def sure_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that is sure of its class, also without most of its blocks."""
    net = rv.load_model("cifar10-resnet56", device="cpu")
    file = tmp_path_factory.mktemp("sure") / "explore.html"
    explore(net, rv.load_images(SAMPLES / "chelsea.png", net)).save_html(file, progress=False)
    return file


@pytest.fixture
def page(opened: Callable[..., Any], page_file: Path) -> View:
    return opened(page_file, DRAWN, viewport={"width": 1000, "height": 700})


def facts(view: View) -> str:
    return view.text(".rv-top-facts")


def said(view: View) -> str:
    return view.text(".rv-words")


def at_block(view: View, block: str, depth: int) -> None:
    """All parts are at this block."""
    view.page.wait_for_function("() => new Promise((done) => requestAnimationFrame(() => done(1)))")
    assert view.text(".rv-anatomy .rv-part-name") == block
    spoken = view.at.locator(".rv-spine").get_attribute("aria-valuetext")
    assert spoken.startswith(f"{block}, depth {depth}, gradient norm ")
    assert view.at.locator(".rv-spine-cursor text").text_content().startswith(f"{block} · ")
    assert f"at {block}" in view.at.locator(".rv-explore-picture").get_attribute("aria-label")


def click_block(view: View, number: int) -> None:
    view.at.locator(".rv-spine-block rect").nth(number).click()


def settled(live: Live) -> None:
    session = live.widget.view._session
    live.until(lambda: session.current.exp is not None and session.current.without)
    live.quiet()


@pytest.mark.parametrize("kind", ["live", "page"])
def test_one_cursor_over_depth(kind: str, request: pytest.FixtureRequest) -> None:
    view: View = request.getfixturevalue(kind)
    at_block(view, "layer3.0", 7)
    painted = [view.painted(f".rv-{part} .rv-tile") for part in ("anatomy", "channels")]
    map_before = view.painted(".rv-explore-picture")
    view.at.locator(".rv-spine").press("ArrowLeft")
    at_block(view, "layer2.0", 5)
    after = [view.painted(f".rv-{part} .rv-tile") for part in ("anatomy", "channels")]
    assert all(one != other for one, other in zip(painted, after, strict=True))
    assert view.painted(".rv-explore-picture") != map_before
    view.press("Home")
    assert "The stem has no shortcut" in view.text(".rv-anatomy .rv-empty")
    view.press("End")
    at_block(view, "layer3.0", 7)
    # a drag along the curve
    box = view.at.locator(".rv-spine-svg").bounding_box()
    y = box["y"] + box["height"] - 30
    view.page.mouse.move(box["x"] + 900, y)
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + 600, y, steps=3)
    view.page.mouse.up()
    at_block(view, "layer2.0", 5)
    if kind == "live":
        live = request.getfixturevalue("live")
        live.quiet()
        assert live.widget.selection["depth"] == 5


@pytest.mark.parametrize("size", [(1000, 700), (1400, 900)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_on_one_screen(
    opened: Any, page_file: Path, size: tuple[int, int], scheme: str
) -> None:
    viewport = {"width": size[0], "height": size[1]}
    page = opened(page_file, DRAWN, viewport=viewport, color_scheme=scheme)
    page.page.wait_for_timeout(200)
    for part in PARTS:
        box = page.at.locator(f".rv-{part}").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0]
        assert box["y"] >= 0 and box["y"] + box["height"] <= size[1]
    tiles = page.at.locator(".rv-anatomy .rv-tile").first.bounding_box()
    assert min(tiles["height"], tiles["width"]) >= 64
    scroll = "[document.documentElement.scrollHeight, document.documentElement.scrollWidth]"
    assert page.page.evaluate(scroll) == [size[1], size[0]]
    least, words = page.faintest()
    assert least >= 4.5, words
    keep_screenshot(page.page, f"explore_{size[0]}_{scheme}")


def test_a_name_without_room_is_whole_on_hover(page: View) -> None:
    names = (".rv-class-name", ".rv-map-tile-name", ".rv-search", ".rv-spine-name")
    headings = [f".rv-{part} .rv-part-name" for part in PARTS[1:]]
    found = page.at.locator(", ".join([*names, *headings])).evaluate_all(WHOLE)
    assert len(found) > 10
    for shown, title in found:
        assert shown.lstrip("…") in title
    heading = page.at.locator(".rv-anatomy .rv-part-name")
    assert heading.get_attribute("aria-label") == heading.get_attribute("title") == "layer3.0"


@pytest.mark.parametrize("width", [360, 480, 700])
def test_narrow_it_stacks(opened: Any, page_file: Path, width: int) -> None:
    page = opened(page_file, DRAWN, viewport={"width": width, "height": 900})
    page.page.wait_for_timeout(200)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    tops = [page.at.locator(f".rv-{part}").bounding_box()["y"] for part in PARTS]
    assert tops == sorted(tops) and len(set(tops)) == 4


def test_the_cursor_is_quick(page: View) -> None:
    """A floor for what is broken; benchmarks/ has the figures."""
    times = page.page.evaluate(PACE, ["Home", *["]"] * 3, *["["] * 3] * 3)
    assert sorted(times)[len(times) // 2] < 100, times


@pytest.mark.parametrize("key", ["[", "Home"])
def test_the_first_frame_shows_the_block_in_all_parts(page: View, key: str) -> None:
    """No part goes on moving, and what was made ready beforehand is what comes."""
    page.page.wait_for_timeout(300)
    first = page.page.evaluate(FRAME, key)
    page.page.wait_for_timeout(300)
    assert first == page.page.evaluate(FRAME, "no key")
    line, block = first["line"], first["blocks"][0 if key == "Home" else -2]
    assert abs(line - block) < 1


def test_a_class_changes_every_part(live: Live) -> None:
    line = live.at.locator(".rv-spine-line").first.get_attribute("d")
    bar = live.at.locator(".rv-class-bar").nth(1)
    name = bar.locator(".rv-class-name").inner_text()
    bar.click()
    live.until(lambda: live.widget.view._session.current.moment.target is not None)
    settled(live)
    assert live.text(".rv-photograph .rv-part-name") == f"what speaks for {name}"
    assert live.text(".rv-channels .rv-part-name") == f"channels for {name}"
    assert live.at.locator(".rv-spine-line").first.get_attribute("d") != line
    legend = live.at.locator(".rv-spine-legend .rv-legend").all_inner_texts()
    assert legend[:3] == [f"{name}:", "as seen so far", "without the block"]
    index = live.widget.view._session.current.moment.target
    assert live.widget.view._session.preset.classes[index] == name
    live.at.locator(".rv-class-bar").first.click()  # back to the predicted one, which is known
    live.quiet()
    assert live.widget.selection["class"] is None
    assert live.at.locator(".rv-spine-line").first.get_attribute("d") == line


def test_a_block_cut_out_and_put_back(live: Live) -> None:
    live.at.locator(".rv-spine").press("[")
    at_block(live, "layer2.0", 5)
    painted = live.painted(".rv-channels .rv-tile")
    place = live.at.locator(".rv-anatomy").bounding_box()
    chosen = live.at.locator(".rv-class-bar[aria-pressed=true] .rv-class-name").inner_text()
    click_block(live, 2)  # layer2.0, behind the stem
    live.until(lambda: live.widget.view._session.current.moment.off == ("layer2.0",))
    settled(live)
    assert facts(live).startswith("without layer2.0 · ")
    assert live.at.locator(".rv-spine-cut").count() == 1
    assert live.at.locator(".rv-spine-cut .rv-spine-arc").count() == 1  # the shortcut stays
    assert live.at.locator(".rv-spine-whole").count() == 1
    assert live.at.locator(".rv-class-before").count() == 5
    assert live.painted(".rv-channels .rv-tile") != painted
    assert live.at.locator(".rv-anatomy").bounding_box() == place  # nothing moves
    now = live.at.locator(".rv-class-bar[aria-pressed=true] .rv-class-name").inner_text()
    assert now == chosen
    keep_screenshot(live.page, "explore_block_cut")
    live.at.get_by_role("button", name="put all blocks back").click()
    live.quiet()
    assert live.painted(".rv-channels .rv-tile") == painted
    assert live.widget.selection["off"] == [] and live.widget.selection["class"] is None


def test_what_the_block_does_is_said(live: Live) -> None:
    words = live.text(".rv-anatomy .rv-part-words")
    assert "× the size of the shortcut" in words and "of the gradient" in words
    assert "Without it: " in words and "The head here says " in words
    most = live.at.locator(".rv-spine-legend button")
    if most.count():  # the class may lose nothing: then nothing is said
        assert re.match(
            r"most is lost without layer\S+: [\d.]+ → (< )?[\d.]+( \(\+\d+ alike\))?$",
            most.inner_text(),
        )
        assert most.get_attribute("title") == f"{most.get_attribute('aria-label')}; go there"
    live.at.locator(".rv-spine").press("[")
    live.page.wait_for_timeout(50)
    assert "No reading here: 32 channels; the head takes 64." in live.text(
        ".rv-anatomy .rv-part-words"
    )


def test_a_photograph_chosen_and_another_added(live: Live) -> None:
    painted = live.painted(".rv-channels .rv-tile")
    live.at.get_by_role("button", name="two.png").click()
    live.until(lambda: live.widget.view._session.current.moment.image == 1)
    settled(live)
    assert live.painted(".rv-channels .rv-tile") != painted
    live.page.set_input_files("input[type=file]", SAMPLES / "chelsea.png")
    live.until(lambda: live.widget.view._session.current.moment.image == 2)
    settled(live)
    names = live.at.locator(".rv-strip-photo").evaluate_all("all => all.map((one) => one.title)")
    assert names == ["one.png", "two.png", "chelsea.png"]
    assert live.at.locator(".rv-strip-photo[aria-pressed=true]").get_attribute("title") == names[2]


def test_several_files_join_one_after_the_other(live: Live) -> None:
    files = [SAMPLES / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    live.page.set_input_files("input[type=file]", files)
    live.until(lambda: live.at.locator(".rv-strip-photo").count() == 5)
    live.until(lambda: live.widget.view._session.current.moment.image == 4)


def test_fast_changes_make_one_question_and_show_the_last(live: Live) -> None:
    asked = len(live.asked)
    for number in (1, 2, 3):
        click_block(live, number)
    live.until(lambda: len(live.widget.view._session.current.moment.off) == 3)
    live.quiet()
    scenes = [one for one in live.asked[asked:] if one.get("what") == "scene"]
    assert len(scenes) <= 3 and scenes[-1]["off"] == ["layer1.0", "layer2.0", "layer3.0"]


def test_work_is_stopped_and_nothing_changes(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    import resviz.sessions.session as module

    go, usual = threading.Event(), module.recorded

    def slow(*args: Any) -> Any:
        assert go.wait(30)
        return usual(*args)

    monkeypatch.setattr(module, "recorded", slow)
    before, shown = facts(live), live.widget.view._session.current
    stop = live.at.get_by_role("button", name="Stop")
    assert not stop.is_visible()
    click_block(live, 2)
    live.until(stop.is_visible)
    assert live.at.get_attribute("aria-busy") == "true"
    stop.click()
    live.quiet()
    go.set()
    works = live.widget.view._works
    next(work for key, work in works.items() if key.startswith("scene ")).join(30)
    live.quiet()
    assert said(live) == "stopped" and live.widget.view._session.current is shown
    assert facts(live) == before and live.at.locator(".rv-spine-cut").count() == 0
    assert live.at.get_attribute("aria-busy") == "false"


def test_a_difference_of_two_classes(live: Live) -> None:
    before = live.painted(".rv-explore-picture")
    live.at.locator(".rv-more summary").click()
    live.at.get_by_label("minus the map of").fill("ship")
    live.press("Enter")
    live.quiet()
    assert live.widget.selection["contrast"] == 8
    assert live.painted(".rv-explore-picture") != before
    live.at.locator(".rv-spine").press("[")  # at another block the kernel is asked for it
    live.until(lambda: any(one.get("what") == "map" for one in live.asked))
    live.quiet()
    (asked,) = [one for one in live.asked if one.get("what") == "map"]
    assert (asked["contrast"], asked["layer"]) == (8, "layer2.0")
    assert live.text(".rv-photograph .rv-part-name").endswith(" rather than ship")
    live.at.get_by_label("minus the map of").fill("")
    live.press("Enter")
    live.quiet()
    assert live.widget.selection["contrast"] is None
    assert "rather than" not in live.text(".rv-photograph .rv-part-name")


def test_a_map_is_measured(live: Live) -> None:
    live.at.get_by_role("button", name="is it to be trusted?").click()
    live.until(lambda: "random map" in live.text(".rv-trust"))
    assert "deletion 0." in live.text(".rv-trust")


def test_all_channels_open_over_the_screen_and_close(live: Live) -> None:
    live.at.locator(".rv-spine").press("a")
    over = live.at.locator(".rv-mosaic-over")
    live.until(lambda: over.locator("canvas.rv-mosaic").count())
    assert over.is_visible() and live.text(".rv-mosaic-over .rv-heading").startswith("Feature maps")
    live.press("Escape")
    assert not over.is_visible()


def test_all_channels_open_at_the_block_under_the_cursor(live: Live) -> None:
    live.at.locator(".rv-spine").press("[")
    at_block(live, "layer2.0", 5)
    live.press("a")
    live.until(lambda: live.at.locator(".rv-mosaic-over canvas.rv-mosaic").count())
    assert live.text(".rv-mosaic-over .rv-heading") == "Feature maps: layer2.0"


def test_a_channel_pointed_at_is_marked_in_both_lists(page: View) -> None:
    page.at.locator(".rv-anatomy-channel").nth(1).hover()
    channel = page.text(".rv-anatomy-channel.rv-channel-same")
    assert channel == page.at.locator(".rv-anatomy-channel").nth(1).inner_text()
    assert page.at.locator(".rv-anatomy .rv-tile.rv-channel-same").count() == 3
    marked = page.at.locator(".rv-channel-active .rv-channel-number").all_inner_texts()
    said = page.text(".rv-channel-facts")
    assert said.startswith(f"{channel} ") and "2nd " in said
    assert marked == ([] if "not among these" in said else [channel])
    last = page.at.locator(".rv-channel:visible").last
    last.hover()
    number = last.locator(".rv-channel-number").inner_text()
    same = page.at.locator(".rv-anatomy-channel.rv-channel-same").all_inner_texts()
    assert same == [number] * (number in page.at.locator(".rv-anatomy-channel").all_inner_texts())


def test_a_channel_is_shown_large_and_small_again(page: View) -> None:
    page.at.locator(".rv-channel").nth(2).click()
    number = page.text(".rv-channel-facts").split(" ")[0]
    large = page.at.locator(".rv-channel-large-picture")
    assert large.is_visible() and page.text(".rv-channel-large-name").startswith(f"{number} · ")
    assert large.bounding_box()["height"] > 200
    before = page.painted(".rv-channel-large-picture")
    page.at.locator(".rv-channels-grid").focus()
    page.press("ArrowRight")
    assert page.painted(".rv-channel-large-picture") != before
    page.press("Escape")
    assert not large.is_visible()
    page.press("Enter")
    assert large.is_visible()
    page.at.get_by_role("button", name="× all of them").click()
    assert not large.is_visible()


def test_a_large_channel_stays_where_others_are_passed_over(page: View) -> None:
    page.at.locator(".rv-channel").nth(3).click()
    name = page.text(".rv-channel-large-name")
    rows = page.at.locator(".rv-anatomy .rv-tile:visible")
    for number in range(0, rows.count(), 4):
        rows.nth(number).hover()
    assert page.text(".rv-channel-large-name") == name
    rows.nth(0).click()  # a click means this one
    channel = page.text(".rv-anatomy-channel")
    assert channel in page.text(".rv-channel-large-name") or "not among these" in page.text(
        ".rv-channel-facts"
    )


@pytest.mark.parametrize("width", [480, 1000, 1400])
@pytest.mark.parametrize("curve", ["gradient norm", "branch / shortcut"])
def test_the_words_at_the_cursor_cover_no_mark(
    opened: Callable[..., Any], sure_file: Path, curve: str, width: int
) -> None:
    page = opened(sure_file, DRAWN, viewport={"width": width, "height": 900})
    assert page.at.locator(".rv-spine-without").count() == 27
    choice = page.labelled("curve")
    choice.select_option(choice.locator("option", has_text=curve).first.get_attribute("value"))
    for keys in (["End"], ["[", "[", "["], ["["] * 10, ["Home"]):
        page.press(*keys)
        page.page.wait_for_timeout(50)
        assert page.page.evaluate(COVERED) == []


def test_what_is_disabled_says_why_where_it_is_pressed(page: View) -> None:
    box = page.at.get_by_role("button", name="Add a photograph").bounding_box()
    page.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert said(page) == "Another photograph needs a running kernel; this page has none."


def test_methods_as_small_maps(page: View) -> None:
    tiles = page.at.locator(".rv-map-tile")
    names = tiles.locator(".rv-map-tile-name").all_inner_texts()
    assert names[:2] == ["grad_cam", "grad_cam_pp"] and len(names) > 3
    before = page.painted(".rv-explore-picture")
    tiles.nth(4).click()
    page.page.wait_for_function(
        "(b) => document.querySelector('.rv-explore-picture').toDataURL() !== b", arg=before
    )
    assert tiles.nth(4).get_attribute("aria-pressed") == "true"  # drawn in the same frame
    assert page.chosen("method") == names[4]


@pytest.mark.parametrize("width", [780, 1000, 1400])
def test_names_of_methods_are_told_apart(
    opened: Callable[..., Any], page_file: Path, width: int
) -> None:
    """None is cut: with less room letters are smaller, with least "_cam" goes."""
    page = opened(page_file, DRAWN, viewport={"width": width, "height": 700})
    names = page.at.locator(".rv-map-tile-name")
    rooms = names.evaluate_all("all => all.map((one) => [one.scrollWidth, one.clientWidth])")
    assert len(rooms) == 5 and all(needed <= room for needed, room in rooms), rooms
    shown = names.all_inner_texts()
    assert len(set(shown)) == 5 and shown[:2] == (
        ["grad", "grad_pp"] if width == 780 else ["grad_cam", "grad_cam_pp"]
    )
    tiles = page.at.locator(".rv-map-tile")
    titles = tiles.evaluate_all("all => all.map((one) => one.title)")
    assert titles[1].startswith("grad_cam_pp: ")


def test_the_search_begins_with_the_most_probable(page: View) -> None:
    bars = page.at.locator(".rv-class-bar .rv-class-name").all_inner_texts()
    field = page.labelled("all classes")
    field.focus()
    page.press("ArrowDown")
    hits = page.at.locator(".rv-photo-right .rv-hit").all_inner_texts()
    assert [one.rsplit(" ", 1)[0] for one in hits[:5]] == bars


def test_colours_and_arcs_have_a_key(page: View) -> None:
    scales = page.at.locator(".rv-scale")
    assert scales.count() == 3 and all(scales.nth(at).is_visible() for at in range(3))
    kinds = page.at.locator(".rv-spine-key").all_text_contents()
    assert any(words.startswith("unchanged") for words in kinds)


def test_python_chooses(live: Live) -> None:
    live.widget.selection = live.widget.selection | {"off": ["layer3.0"], "image": 1}
    live.until(lambda: live.widget.view._session.current.moment.off == ("layer3.0",))
    live.quiet()
    assert live.widget.view._session.current.moment.image == 1
    live.widget.selection = live.widget.selection | {"depth": 3, "curve": "ratio"}
    live.quiet()
    assert live.text(".rv-anatomy .rv-part-name") == "layer1.0"
    assert "branch / shortcut" in live.chosen("curve")
    live.until(lambda: live.at.get_attribute("aria-busy") == "false")  # an answer ends the words
    live.widget.selection = live.widget.selection | {"views": {}}
    live.until(lambda: 'selection["views"] is no more' in said(live))


def test_by_keyboard_alone(live: Live) -> None:
    live.at.locator(".rv-spine").press("[")
    at_block(live, "layer2.0", 5)
    live.press("o")
    live.until(lambda: live.widget.view._session.current.moment.off == ("layer2.0",))
    settled(live)
    live.press("0", ".")
    live.until(lambda: live.widget.view._session.current.moment.image == 1)
    settled(live)
    live.at.locator(".rv-channels-grid").focus()
    first = live.text(".rv-channel-facts")
    live.press("ArrowRight", "ArrowDown")
    assert live.text(".rv-channel-facts").split(" · ")[1] == "rank 6" and "rank 1 " in first
    live.quiet()
    assert f"#{live.widget.selection['channel']} " in live.text(".rv-channel-facts")
    live.press("?")
    assert live.at.locator(":scope > .rv-help").is_visible()
    assert "which makes the numbers of the classes" in live.text(".rv-help-terms")
    live.press("Escape")
    assert not live.at.locator(":scope > .rv-help").is_visible()
    assert live.nameless() == []


def test_a_page_says_what_needs_a_kernel(page: View) -> None:
    assert page.at.get_by_role("button", name="Add a photograph").is_disabled()
    cut = page.at.get_by_role("button", name="cut out")
    assert cut.is_disabled() and "needs a running kernel" in cut.get_attribute("title")
    page.at.locator(".rv-spine").press("o")
    assert "needs a running kernel" in said(page)
    # any class where the head allows it
    before = page.painted(".rv-explore-picture")
    bar = page.at.locator(".rv-class-bar").nth(2)
    name = bar.locator(".rv-class-name").inner_text()
    bar.click()
    page.page.wait_for_timeout(50)
    assert page.text(".rv-photograph .rv-part-name") == f"what speaks for {name}"
    assert page.painted(".rv-explore-picture") != before
    # what is of the recorded class says so
    legend = page.at.locator(".rv-spine-legend > span").first
    assert legend.inner_text().startswith("curve of ")
    assert "another class needs a running kernel" in legend.get_attribute("title")
    assert page.text(".rv-channels .rv-part-name") == "strongest channels"


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("Numbers along depth (CSV)", "depth.csv"),
        ("Predicted classes (CSV)", "classes.csv"),
        ("Network and curve (SVG)", "depth.svg"),
        ("Network and curve (PNG)", "depth.png"),
        ("Photograph with map (PNG)", "map.png"),
    ],
)
def test_it_is_saved(page: View, entry: str, name: str) -> None:
    file, data = page.saved(entry)
    assert file.startswith("toy-net-one-") and file.endswith(name)
    if name == "depth.csv":
        rows = data.decode().splitlines()
        head = "block,depth,stage,shortcut,gradient,activation,ratio,share,seen: "
        assert rows[0].startswith(head) and len(rows) == 5
    elif name == "classes.csv":
        head = "class,index,probability,probability_whole_network"
        assert data.decode().splitlines()[0] == head and len(data.decode().splitlines()) == 11
    elif name.endswith("svg"):
        assert data.startswith(b"<svg") and b"layer2" in data
    else:
        assert data.startswith(b"\x89PNG") and len(data) > 1000


def test_the_numbers_shown_are_those_that_came(page: View) -> None:
    told = json.loads(page.page.locator("#rv-meta").text_content())["scene"]
    rows = page.saved("Numbers along depth (CSV)")[1].decode().splitlines()[1:]
    found = [float(row.split(",")[4]) for row in rows]
    assert found == told["curves"]["gradient"]["values"]


def test_a_page_with_blocks_cut_and_all_photographs(
    opened: Any, net: Any, images: torch.Tensor, preset: rv.Preset, tmp_path: Path
) -> None:
    view = explore(net, images[:2], preset=preset, names=["one.png", "two.png"])
    view.save_html(tmp_path / "cut.html", lesions=True)
    page = opened(tmp_path / "cut.html", DRAWN, viewport={"width": 1000, "height": 700})
    whole = page.at.locator(".rv-class-bar .rv-class-odds").all_inner_texts()
    click_block(page, 2)
    page.page.wait_for_timeout(100)
    assert facts(page).startswith("without layer2.0 · ")
    with rv.drop_blocks(net, ["layer2.0"], images=images):
        cut = net.eval()(images[:1]).softmax(1)[0].detach()
    shown = page.at.locator(".rv-class-bar .rv-class-odds").all_inner_texts()
    best = cut.sort(descending=True).values[:5].tolist()
    assert shown[0] == f"{best[0]:.2f}" and shown != whole
    assert page.at.locator(".rv-explore-over").is_hidden()  # there is a map of it
    page.at.get_by_role("button", name="put all blocks back").click()
    page.at.get_by_role("button", name="two.png").click()
    page.page.wait_for_timeout(100)
    other = net.eval()(images[1:2]).softmax(1)[0].detach().max()
    assert page.text(".rv-class-bar .rv-class-odds") == f"{float(other):.2f}"
    click_block(page, 1)  # cut for the first photograph alone: the cursor goes there, no more
    page.page.wait_for_timeout(100)
    assert page.text(".rv-anatomy .rv-part-name") == "layer1.0"
    assert page.at.locator(".rv-spine-cut").count() == 0
    page.press("o")
    name = preset.classes[net.eval()(images[:1]).argmax().item()]
    has = f"This page has blocks cut, one at a time, of photograph one.png (class {name}); "
    assert said(page) == has + "anything else needs a running kernel."
    # nor has it two of the first photograph
    page.at.get_by_role("button", name="one.png").click()
    page.press("End", "o")
    page.page.wait_for_timeout(100)
    assert facts(page).startswith("without layer3.0 · ") and said(page) == ""
    page.press("[", "o")
    page.page.wait_for_timeout(100)
    assert page.at.locator(".rv-spine-cut").count() == 1
    assert said(page) == has + "anything else needs a running kernel."


def test_cutting_every_block_is_asked_for_where_it_takes_long(live: Live) -> None:
    """Where a pass is slow, the numbers come on request."""
    live.page.evaluate(
        "() => { let now = 0; performance.now = () => (now += 60_000); }"
    )  # every answer seems to have taken minutes
    two = live.at.get_by_role("button", name="two.png")
    two.evaluate("(one) => one.click()")
    button = live.at.locator(".rv-measure")
    live.until(button.is_visible)
    assert "about" in button.inner_text() and live.at.locator(".rv-spine-without").count() == 0
    button.evaluate("(one) => one.click()")  # the browser's own clock is used for a click
    live.until(lambda: live.at.locator(".rv-spine-without").count() == 3)
    assert not button.is_visible()


def test_an_error_is_not_wiped_by_an_answer_to_an_older_question(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resviz.sessions.session as module

    go, usual = threading.Event(), module.without_each

    def slow(*args: Any) -> Any:
        assert go.wait(30)
        return usual(*args)

    monkeypatch.setattr(module, "without_each", slow)
    live.at.get_by_role("button", name="two.png").click()
    last = {"what": "without", "image": 1}  # and it is being worked on
    live.until(lambda: last.items() <= live.asked[-1].items())
    file = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    live.page.set_input_files("input[type=file]", [file])
    words = "notes.txt is no picture; a PNG or JPEG file would be right."
    live.until(lambda: said(live) == words)
    go.set()
    live.until(lambda: live.at.locator(".rv-spine-without").count() == 3)
    assert said(live) == words
