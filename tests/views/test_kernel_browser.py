"""What a view says while it waits, beside a notebook that tells what its kernel does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import resviz as rv
from views.bridge import Live
from views.browsing import keep_screenshot

pytestmark = pytest.mark.browser
BUSY = "The kernel is busy with a cell; this will be answered when it is done."
WORKING = "The kernel is working on it."
STARTING = "The kernel is starting."
GUESS = "No answer yet; the kernel may be busy."
DEAD = "The kernel is not running. Run the cell again."
FORGOTTEN = "The kernel was started again and does not know this view. Run the cell again."
ABSENT = "There is no kernel. Choose one and run the cell again."
MANAGER = """(() => {
  const signal = () => {
    const all = new Set();
    const emit = (detail) => [...all].forEach((heard) => heard(null, detail));
    return { connect: (heard) => all.add(heard), disconnect: (heard) => all.delete(heard), emit };
  };
  const names = ["statusChanged", "connectionStatusChanged", "kernelChanged", "iopubMessage"];
  const sessionContext = Object.fromEntries(names.map((name) => [name, signal()]));
  window.tell = (name, detail) => sessionContext[name].emit(detail);
  window.request = (id, type, state) => window.tell("iopubMessage", {
    header: { msg_type: "status" },
    parent_header: { msg_id: id, msg_type: type },
    content: { execution_state: state },
  });
  return { context: { sessionContext }, kernel: KERNEL };
})()"""
IDLE = "{ status: 'idle', connectionStatus: 'connected' }"


@pytest.fixture
def beside(chromium: Any, rec: Any, exp: Any) -> Iterator[Callable[..., Live]]:
    """Opens the feature maps beside such a notebook; nothing is answered until it is pumped."""
    pages: list[Live] = []

    def open_page(kernel: str = IDLE, pump: bool = True, **options: Any) -> Live:
        view = rv.explore_feature_maps(rec, explanation=exp)
        page = Live(chromium, view, MANAGER.replace("KERNEL", kernel), **options)
        pages.append(page)
        if pump:
            page.until(lambda: page.at.locator("canvas.rv-mosaic").count())
            page.choose("Layer", "layer3 · 64")
            page.choose("Order", "weight for a class")
        return page

    yield open_page
    for page in pages:
        page.context.close()
        assert page.wrong == []


# Timed by the page, whose clock a slow test does not stretch: from Enter to the first words.
TIMED = """() => {
  const line = document.querySelector('.rv-status');
  window.patience = null;
  document.addEventListener('keydown', ({ key, timeStamp }) => {
    if (key === 'Enter') window.pressed = timeStamp;
  }, true);
  const look = () => {
    const said = line.querySelector('.rv-words').textContent;
    if (said && window.patience === null) window.patience = performance.now() - window.pressed;
  };
  new MutationObserver(look).observe(line, { childList: true, characterData: true, subtree: true });
}"""


def ask(page: Live, name: str) -> None:
    """Order by the weights of a class that the page does not have."""
    page.search("Class", name)


def says(page: Live, words: str, wrong: bool = False, within: int = 3_000) -> None:
    told = """([words, wrong]) => {
      const line = document.querySelector('.rv-status');
      const said = line.querySelector('.rv-words').textContent;
      return said === words && line.classList.contains('rv-wrong') === wrong;
    }"""
    page.page.wait_for_function(told, arg=[words, wrong], timeout=within)


def tell(page: Live, name: str, detail: Any) -> None:
    page.page.evaluate("([name, detail]) => window.tell(name, detail)", [name, detail])


def request(page: Live, number: str, kind: str, state: str) -> None:
    page.page.evaluate("([...all]) => window.request(...all)", [number, kind, state])


def answered(page: Live, name: str) -> None:
    page.until(lambda: f"weight for {name}" in page.text(".rv-numbers"))
    says(page, "")


def test_a_question_waits_for_the_cell(beside: Callable[..., Live]) -> None:
    page = beside()
    request(page, "1", "execute_request", "busy")
    page.page.evaluate(TIMED)
    ask(page, "frog")
    says(page, BUSY)
    assert page.page.evaluate("window.patience") >= 900  # it may be there in a moment
    request(page, "2", "comm_msg", "busy")
    says(page, WORKING, within=300)
    request(page, "2", "comm_msg", "idle")
    says(page, BUSY, within=300)
    answered(page, "frog")


def test_without_a_reason_it_is_a_guess(beside: Callable[..., Live]) -> None:
    page = beside()
    page.page.evaluate(TIMED)
    ask(page, "frog")
    says(page, GUESS, within=10_000)
    assert page.page.evaluate("window.patience") >= 3_900
    answered(page, "frog")


def test_data_wait_for_the_cell(beside: Callable[..., Live]) -> None:
    page = beside("{ status: 'busy', connectionStatus: 'connected' }", pump=False)
    says(page, BUSY)
    page.page.wait_for_timeout(4_500)
    says(page, BUSY)
    page.until(lambda: page.at.locator("canvas.rv-mosaic").count())
    says(page, "")


def test_a_kernel_that_starts_again(beside: Callable[..., Live]) -> None:
    page = beside()
    ask(page, "frog")
    tell(page, "statusChanged", "restarting")
    says(page, STARTING, within=300)
    tell(page, "connectionStatusChanged", "connecting")
    tell(page, "statusChanged", "unknown")
    says(page, STARTING, within=300)
    tell(page, "connectionStatusChanged", "connected")
    says(page, FORGOTTEN, wrong=True, within=300)
    ask(page, "ship")
    says(page, FORGOTTEN, wrong=True, within=300)


def test_a_kernel_that_died(beside: Callable[..., Live]) -> None:
    page = beside()
    tell(page, "statusChanged", "dead")
    page.page.wait_for_timeout(100)
    assert page.text(".rv-words") == ""  # nothing was asked: what is shown is true
    ask(page, "frog")
    says(page, DEAD, wrong=True, within=300)
    tell(page, "kernelChanged", {"newValue": None})
    ask(page, "ship")
    says(page, DEAD, wrong=True, within=300)


def test_no_kernel_was_chosen(beside: Callable[..., Live]) -> None:
    page = beside("null", pump=False)
    says(page, ABSENT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_words_can_be_read(beside: Callable[..., Live], scheme: str) -> None:
    page = beside(color_scheme=scheme)
    request(page, "1", "execute_request", "busy")
    ask(page, "frog")
    says(page, BUSY)
    page.at.locator(".rv-heading").first.click()
    assert page.faintest()[0] >= 4.5
    keep_screenshot(page.page, f"kernel_busy_{scheme}")
    tell(page, "statusChanged", "dead")
    says(page, DEAD, wrong=True)
    assert page.faintest()[0] >= 4.5
    keep_screenshot(page.page, f"kernel_dead_{scheme}")
