"""The one screen of `explore`, ResNet-50 at 1000 x 700: cursor, first pixels, answers, its page.

    python benchmarks/explore_screen.py                 # about three minutes on two cores

Needs Chromium and playwright. The living view is in this process, messages go through the bridge
of tests/views/bridge.py; `benchmarks/explore_first_pixels.py` measures the same in a real
JupyterLab. Random weights: the number of pixels counts, not their values. Measured are

- a move of the cursor, on the exported page: from the key to the end of the first frame (style,
  layout, paint and commit in it) in which all four parts show the block, the line of the cursor at
  its place. Keys come at all phases of the display's clock: after a fixed pause each would come
  at the same one, which is that of the end of the frame before;
- first pixels: from the call of `explore` to painted tiles and photograph, on a page that is open;
- a block cut out (`o`), another class, another photograph: from the key, or the click, to the
  picture of the new recording, and to its map. 80 ms of each are the wait for further keys.

Before scenes left out the gradients of the weights, a third to a half of the CPU time of each
answer, on two shared cores, nothing else beside it (a forward pass, 0.11 s), two rounds: a move of
the cursor 15 ms, worst 46, to a frame in which its line was still on its way; first pixels 1.96 s,
worst 2.23, of which the call 1.2; a block cut out 1.65 s, its map 3.6; another class 1.64 and 3.5;
another photograph 1.69 and 3.7. The page has 5.3 MB of one photograph, 6.1 of two.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision

import resviz as rv

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from views.bridge import Live
from views.browsing import Tab, started_chromium
from views.lab import SAMPLES

SIZE = {"width": 1000, "height": 700}
DRAWN = "() => document.querySelector('.rv-channels .rv-tile')?.width > 1"
MOVES = """async (count) => {
  const at = (where) => document.querySelector(where);
  const [root, slider] = [at(".rv-screen"), at(".rv-spine")];
  const last = Number(slider.getAttribute("aria-valuemax"));
  const press = (key) => root.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const pause = (time) => new Promise((done) => setTimeout(done, time));
  const frame = () => new Promise((done) => requestAnimationFrame(() => {
    const after = new MessageChannel();
    after.port1.onmessage = done;
    after.port2.postMessage(0);
  }));
  const middle = (node) => {
    const { left, width } = node.getBoundingClientRect();
    return left + width / 2;
  };
  const facts = () => at(".rv-channel-facts").textContent;
  const shows = (place, before) => {
    const name = slider.getAttribute("aria-valuetext").split(",")[0];
    const block = document.querySelectorAll(".rv-spine-block rect")[place];
    const map = at(".rv-explore-picture").getAttribute("aria-label");
    return slider.getAttribute("aria-valuenow") === String(place)
      && Math.abs(middle(at(".rv-spine-cursor line")) - middle(block)) < 1
      && at(".rv-anatomy .rv-part-name").title === name
      && (map === "the photograph" || map.endsWith(` at ${name}`))
      && facts() !== before;
  };
  press("Home");
  const times = [];
  for (let n = 0, place = 0; n < count; n += 1) {
    await pause(60 + ((n * 0.618) % 1) * 16.7);
    const by = Math.floor(n / last) % 2 ? -1 : 1;
    place += by;
    const [before, start] = [facts(), performance.now()];
    let end = start;
    press(by > 0 ? "]" : "[");
    do {
      await frame();
      end = performance.now();
    } while (!shows(place, before) && end - start < 1000);
    times.push(end - start);
  }
  return times;
}"""
EXPLAINED = "() => document.querySelector('.rv-explore-over').hidden"


def network() -> tuple[Any, rv.Preset]:
    torch.manual_seed(0)
    half = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preset = rv.Preset("resnet", "random", *half, 256, 224)
    return torchvision.models.resnet50(weights=None).eval(), preset


def forward(net: Any, images: torch.Tensor) -> tuple[float, float]:
    """Median and worst of five passes: how quick the machine is just now."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        with torch.no_grad():
            net(images)
        times.append(time.perf_counter() - began)
    return statistics.median(times), max(times)


def until(live: Live, so: Callable[[], Any], began: float) -> float:
    """Seconds from `began` until something is so, both sides talking."""
    end = began + 120
    while time.perf_counter() < end:
        live.pump()
        if so():
            return time.perf_counter() - began
        live.page.wait_for_timeout(20)
    raise SystemExit("explore_screen: no answer after two minutes.")


def answer(live: Live, act: Callable[[], object], shown: str) -> tuple[float, float]:
    """From an act to what it shows, and to its map; then wait until all is done."""
    live.until(lambda: live.at.get_attribute("aria-busy") == "false", 120)
    began = time.perf_counter()
    act()
    first = until(live, lambda: live.page.evaluate(shown), began)
    whole = until(live, lambda: live.page.evaluate(EXPLAINED), began)
    return first, whole


def answers(live: Live) -> dict[str, tuple[float, float]]:
    heading = "document.querySelector('.rv-photograph .rv-part-name').textContent"
    strip = "document.querySelectorAll('.rv-strip-photo')[1].getAttribute('aria-pressed')"
    scene = live.widget.view._session
    live.at.locator(".rv-spine").focus()
    live.press("End", "[")
    found = {
        "a block cut out (o)": answer(
            live, lambda: live.press("o"), "document.querySelector('.rv-spine-whole')"
        )
    }
    answer(live, lambda: live.press("0"), "!document.querySelector('.rv-spine-whole')")
    name = live.at.locator(".rv-class-bar .rv-class-name").nth(2).inner_text()
    click = live.at.locator(".rv-class-bar").nth(2).click
    before = live.at.locator(".rv-spine-line").first.get_attribute("d")
    line = f"document.querySelector('.rv-spine-line').getAttribute('d') !== {before!r}"
    found["another class"] = answer(live, click, f"{heading}.endsWith({name!r}) && {line}")
    other = f"{strip} === 'true' && !document.querySelector('.rv-stale')"
    found["another photograph (.)"] = answer(live, lambda: live.press("."), other)
    assert scene.current.moment.image == 1
    return found


def first_pixels(
    chromium: Any, net: Any, images: Any, preset: rv.Preset
) -> tuple[float, float, Live]:
    began = time.perf_counter()
    view = rv.explore(net, images, preset=preset)
    called = time.perf_counter() - began
    live = Live(chromium, view, viewport=SIZE)
    return until(live, lambda: live.page.evaluate(DRAWN), began), called, live


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    net, preset = network()
    images = rv.load_images([SAMPLES / "chelsea.png", SAMPLES / "coffee.png"], net, preset=preset)
    rv.record(net, images[:1], preset=preset)  # what is slow once
    passes = forward(net, images[:1])
    with tempfile.TemporaryDirectory() as folder, started_chromium() as chromium:
        measured, found = [], []
        for _ in range(rounds):
            seconds, called, live = first_pixels(chromium, net, images[:1], preset)
            measured.append((seconds, called))
            live.context.close()
            live = first_pixels(chromium, net, images, preset)[2]
            live.until(lambda live=live: live.page.evaluate(EXPLAINED), 120)
            found.append(answers(live))
            live.context.close()
        sizes = {}
        for count in (1, 2):
            file = Path(folder, f"{count}.html")
            rv.save_html(rv.explore(net, images[:count], preset=preset), file)
            sizes[count] = file.stat().st_size / 1e6
        page = Tab(chromium, Path(folder, "1.html"), DRAWN, viewport=SIZE)
        page.page.wait_for_timeout(1000)
        moves = page.page.evaluate(MOVES, 60)
    rows = [("a move of the cursor, ms", statistics.median(moves), max(moves))]
    for at, what in enumerate(("first pixels", "the call of explore within it")):
        rows.append(
            (f"{what}, s", statistics.median(m[at] for m in measured), max(m[at] for m in measured))
        )
    for what in found[0]:
        for at, part in enumerate(("drawn", "its map")):
            seconds = [each[what][at] for each in found]
            rows.append((f"{what}: {part}, s", statistics.median(seconds), max(seconds)))
    rows.append(("one forward pass of the network, s", *passes))
    print(f"{'':42}{'median':>8}{'worst':>8}   (moves: 60; else rounds: {rounds})")
    for what, middle, worst in rows:
        print(f"{what:42}{middle:8.2f}{worst:8.2f}")
    print(f"page: {sizes[1]:.1f} MB of one photograph, {sizes[2]:.1f} MB of two")


if __name__ == "__main__":
    main()
