"""The channel atlas of ResNet-56 over 10,000 images: to open it, to open a channel, its page.

    python benchmarks/atlas.py FOLDER            # a folder of pictures, or of a folder per class

Needs Chromium and playwright. The saved page is opened five times, each in a new context; a key
opens the next channel, and its top images are waited for, eight times on each page.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

import torch
from playwright.sync_api import Browser

import resviz as rv

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
from views.browsing import started_chromium
from views.test_atlas_browser import OPENED, WATCHED

MODEL = "cifar10-resnet56"


def saved(folder: pathlib.Path, count: int, page: pathlib.Path) -> None:
    """Scan so many images, and save the atlas."""
    net = rv.load_model(MODEL, device="cpu")
    start = time.perf_counter()
    scan = rv.scan(net, folder, only=range(count), progress=False)
    scanned = time.perf_counter()
    rv.explore_channels(scan).save_html(page)
    took = time.perf_counter() - scanned
    print(
        f"{count} images: scanned in {scanned - start:.0f} s, page written in {took:.1f} s, "
        f"{page.stat().st_size / 1e6:.1f} MB"
    )


def timed(browser: Browser, page: pathlib.Path) -> tuple[float, list[float]]:
    """Milliseconds until the first tile is painted, and of opening each of eight channels."""
    tab = browser.new_context(viewport={"width": 1000, "height": 700}).new_page()
    tab.add_init_script(f"({WATCHED})()")
    tab.goto(page.as_uri())
    tab.wait_for_function("() => window.rvOpened")
    tab.locator(".rv-atlas-grid").focus()
    keys = tab.evaluate(OPENED, ["ArrowRight", "ArrowRight", "ArrowLeft"] * 4)
    first = tab.evaluate("() => window.rvOpened")
    tab.context.close()
    return first, keys[4:]  # a function is slow the first times it runs


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=pathlib.Path)
    options.add_argument("--count", type=int, default=10_000)
    given = options.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as place:
        page = pathlib.Path(place) / "atlas.html"
        saved(given.folder, given.count, page)
        with started_chromium() as browser:
            rounds = [timed(browser, page) for _ in range(5)]
    opens = sorted(first for first, _ in rounds)
    channels = sorted(each for _, times in rounds for each in times)
    for name, times in (("opens in", opens), ("a channel in", channels)):
        middle = statistics.median(times)
        print(f"{name} {middle:.0f} ms ({times[0]:.0f} to {times[-1]:.0f})")


if __name__ == "__main__":
    main()
