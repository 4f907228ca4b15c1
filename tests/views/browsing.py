"""Chromium for the tests of the views: an open page, a view on it, colours, screenshots."""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
LOCAL = ("file:", "data:", "blob:")
FRAMES = """() => new Promise(
  (done) => { requestAnimationFrame(() => requestAnimationFrame(done)); },
)"""  # until what was scrolled into sight is laid out
PIXELS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let at = 0; at < data.length; at += 32768) {
    text += String.fromCharCode(...data.subarray(at, at + 32768));
  }
  return btoa(text);
}"""
INKS = """view => {
  const parts = (colour) => {
    const [red, green, blue, alpha = 1] = colour.match(/[\\d.]+/g).map(Number);
    return [red, green, blue, alpha];
  };
  const over = (top, under) => [0, 1, 2].map((n) => top[n] * top[3] + under[n] * (1 - top[3]));
  const ground = (node) => {
    if (!node) return [255, 255, 255];
    const own = parts(getComputedStyle(node).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(node.parentElement));
  };
  const opacity = (node) =>
    node ? Number(getComputedStyle(node).opacity) * opacity(node.parentElement) : 1;
  const found = [];
  for (const node of view.querySelectorAll('*')) {
    const own = [...node.childNodes].filter((one) => one.nodeType === 3);
    const field = node.matches('select, [type=text], [type=number]') ? node.value : '';
    const words = own.map((one) => one.data.trim()).join('') || field;
    if (!words || node.closest('option, :disabled, .rv-disabled')) continue;
    if (!node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const ink = parts(node.namespaceURI.endsWith('svg') ? style.fill : style.color);
    ink[3] *= opacity(node);
    const grounds = [ground(node)];
    const bar = node.closest('.rv-class')?.querySelector('.rv-class-fill');
    if (bar) {
      const colour = parts(getComputedStyle(bar).backgroundColor);
      colour[3] *= Number(getComputedStyle(bar).opacity);
      grounds.push(over(colour, grounds[0]));
    }
    for (const under of grounds) {
      const [mixed, below] = [over(ink, under), under].map((one) => `rgb(${one.slice(0, 3)})`);
      found.push([words, mixed, below]);
    }
  }
  return found;
}"""
NAMELESS = """view => [...view.querySelectorAll('input, select, button')].filter(
  (e) => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim()),
).map((e) => e.outerHTML)"""


@contextmanager
def started_chromium() -> Iterator[Any]:
    """Chromium without a window; closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class View:
    """One view on a page: `at` is its element, read and worked as a reader would."""

    def __init__(self, page: Any, at: Any) -> None:
        self.page = page
        self.at = at

    def text(self, where: str) -> str:
        found = self.at.locator(where).first
        found.scroll_into_view_if_needed()  # JupyterLab lays out no cell off the screen
        self.page.evaluate(FRAMES)
        return str(found.inner_text())

    def labelled(self, label: str) -> Any:
        """A control; the fold that it stands in is opened."""
        found = self.at.get_by_label(label, exact=True).first
        found.evaluate("e => e.closest('details')?.setAttribute('open', '')")
        return found

    def choose(self, label: str, option: str) -> None:
        self.labelled(label).select_option(label=option)

    def chosen(self, label: str) -> str:
        chosen = self.labelled(label).locator("option:checked")
        return str(chosen.text_content())  # what is out of sight has no inner text

    def search(self, label: str, typed: str) -> None:
        self.labelled(label).fill(typed)
        self.press("Enter")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def pixels(self, nth: int = 0, canvas: str = "canvas.rv-mosaic") -> Any:
        """(h, w, 4) as painted, before the page enlarges it."""
        found = self.at.locator(canvas).nth(nth)
        height, width = found.evaluate("canvas => [canvas.height, canvas.width]")
        data = base64.b64decode(found.evaluate(PIXELS))
        return np.frombuffer(data, dtype=np.uint8).reshape(height, width, 4)

    def painted(self, canvas: str, nth: int = 0) -> str:
        """What a canvas shows, as a data URL: good for comparing."""
        return str(self.at.locator(canvas).nth(nth).evaluate("canvas => canvas.toDataURL()"))

    def cursor(self, nth: int = 0) -> Any:
        """The slider over a depth chart."""
        return self.at.locator(".rv-depth-slider").nth(nth)

    def spoken(self, nth: int = 0) -> str:
        return str(self.cursor(nth).get_attribute("aria-valuetext"))

    def saved(self, entry: str) -> tuple[str, bytes]:
        """Name and content of what an entry of the export menu saves."""
        with self.page.expect_download() as waiting:
            self.at.get_by_role("button", name="Export").click()
            self.at.get_by_role("menuitem", name=entry).click()
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()

    def curves(self, nth: int = 0) -> list[str]:
        """The lines of the n-th depth chart, as SVG paths."""
        chart = self.at.locator(".rv-depth-svg").nth(nth)
        return list(
            chart.locator("g path").evaluate_all("all => all.map(p => p.getAttribute('d'))")
        )

    def faintest(self) -> tuple[float, str]:
        """The least contrast between words that can be seen and what lies behind them."""
        found = self.at.evaluate(INKS)
        assert len(found) > 20
        return min((contrast(ink, under), words) for words, ink, under in found)

    def ground(self) -> str:
        return str(self.at.evaluate("view => getComputedStyle(view).backgroundColor"))

    def nameless(self) -> list[str]:
        """Controls that a screen reader has no name for."""
        return list(self.at.evaluate(NAMELESS))


class Tab(View):
    """An exported page in a tab of its own; what goes wrong on it is collected in `wrong`."""

    def __init__(self, chromium: Any, file: Path, ready: str, **options: Any) -> None:
        size = {"width": 1200, "height": 900}
        self.context = chromium.new_context(**({"viewport": size} | options))
        page = self.context.new_page()
        super().__init__(page, page.locator(".rv-view").first)
        self.wrong: list[str] = []
        watch(page, self.wrong, LOCAL)
        self.prepare()
        page.goto(file.as_uri())
        page.wait_for_function(ready, timeout=20_000)

    def prepare(self) -> None:
        """What has to be there before the page is."""


def watch(page: Any, wrong: list[str], local: tuple[str, ...]) -> None:
    """Note what a page says and asks for that it should not."""

    def note(text: str) -> None:
        wrong.append(text)

    page.on("console", lambda m: m.type in ("error", "warning") and note(m.text))
    page.on("pageerror", lambda error: note(str(error)))
    page.on("dialog", lambda dialog: (note("dialog"), dialog.dismiss()))
    page.on("request", lambda r: r.url.startswith(local) or note(r.url))


def luminance(colour: str) -> float:
    numbers = [float(n) for n in re.findall(r"[\d.]+", colour)[:3]]
    parts = [n / 255 / 12.92 if n < 10 else ((n / 255 + 0.055) / 1.055) ** 2.4 for n in numbers]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(ink: str, ground: str) -> float:
    """Of two CSS colours, 1 to 21 (WCAG 2)."""
    low, high = sorted([luminance(ink), luminance(ground)])
    return (high + 0.05) / (low + 0.05)


def keep_screenshot(shown: Any, name: str) -> None:
    """`name`.png of a page or an element, in the folder RESVIZ_SCREENSHOTS or build/screenshots."""
    usual = Path(__file__).parents[2] / "build" / "screenshots"
    folder = Path(os.environ.get("RESVIZ_SCREENSHOTS") or usual)
    folder.mkdir(parents=True, exist_ok=True)
    shown.screenshot(path=folder / f"{name}.png")
