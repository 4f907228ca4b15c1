"""What a reader is told who waits: a kernel that is busy, starting, started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from views.browsing import View, keep_screenshot
from views.lab import wait_for

KERNEL = "window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
BUSY = "The kernel is busy with a cell; this will be answered when it is done."
STARTING = "The kernel is starting."
FORGOTTEN = "The kernel was started again and does not know this view. Run the cell again."
# from now on, everything that a status line has said, and whether it was red
HISTORY = """view => {
  const line = view.querySelector('.rv-status');
  const words = line.querySelector('.rv-words');
  window.history_ = [];
  window.observer_?.disconnect(); // another test's
  window.observer_ = new MutationObserver(() => {
    window.history_.push([words.textContent, line.classList.contains('rv-wrong')]);
  });
  window.observer_.observe(words, { childList: true });
}"""
# nobody else gets a turn, no thread that answers views beside a cell either
HOLD = """
import ctypes
import time
time.sleep(0.3)  # that the kernel is busy has to be said first
ctypes.PyDLL(None).usleep(6_000_000)
"""

pytestmark = pytest.mark.browser


@pytest.fixture
def view(lab: Any) -> Iterator[View]:
    """The explanation, at a map that the kernel is not asked for."""
    one = lab.view("explanation")
    one.choose("Layer", "layer3.2")
    one.choose("Method", "grad_cam")
    one.search("Class A", "frog")
    one.at.evaluate(HISTORY)
    yield one
    lab.page.emulate_media(color_scheme="light")


def told(view: View) -> list[list[Any]]:
    """(text, red) of all that was said."""
    return list(view.page.evaluate("window.history_"))


def status(view: View) -> str:
    return view.text(".rv-status .rv-words")


def test_a_busy_kernel_answers_later(lab: Any, view: View) -> None:
    began = time.monotonic()
    lab.start(HOLD)
    lab.page.wait_for_timeout(1_000)
    view.choose("Layer", "layer1.1")
    view.at.locator(".rv-words", has_text=BUSY).wait_for(timeout=3_000)
    keep_screenshot(view.at, "kernel_busy")
    while time.monotonic() - began < 5.5:  # longer than any patience
        assert [text for text, red in told(view) if red] == []
        assert status(view) == BUSY
        lab.page.wait_for_timeout(100)
    wait_for(lambda: "from the kernel" in view.text(".rv-reason-facts"), 10)
    wait_for(lambda: status(view) == "", 2)
    assert view.at.locator(".rv-bar").count() == 1  # the map is there
    assert not any(red for _, red in told(view))


def test_a_kernel_that_was_started_again_knows_no_view(lab: Any, view: View) -> None:
    lab.forgotten = True
    lab.page.evaluate(f"() => void {KERNEL}.restart()")
    view.choose("Layer", "layer2.1")
    view.at.locator(".rv-wrong .rv-words", has_text=FORGOTTEN).wait_for(timeout=30_000)
    assert told(view) == [[STARTING, False], [FORGOTTEN, True]]
    view.choose("Layer", "layer2.0")  # and so it is from then on
    lab.page.wait_for_timeout(500)
    assert told(view)[-1] == [FORGOTTEN, True] and status(view) == FORGOTTEN
    ratio, words = view.faintest()
    assert ratio >= 4.5, words
    lab.wrong.clear()  # JupyterLab's own words about the restart
