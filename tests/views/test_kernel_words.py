"""What the browser makes of what a notebook tells of its kernel: plain state, in node."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from views.sources import FRONTEND

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no node")
IDLE = {"status": "idle", "connectionStatus": "connected"}
ON, OFF = ({"connection": one} for one in ("connected", "connecting"))
CELL = {"request": "a", "type": "execute_request", "begins": True}
ASKED = {"request": "b", "type": "comm_msg", "begins": True}
DONE = [one | {"begins": False} for one in (CELL, ASKED)]


def kinds(*stories: tuple[Any, list[dict[str, Any]], bool]) -> list[str]:
    """The word for the kernel at the end of each story: (first, events, cut off by the notebook).

    A first of None: there is none now; "untold": who knows. One process of node for them all.
    """
    script = f"""
    import * as kernel from "{(FRONTEND / "kernel.js").as_uri()}";
    const told = {json.dumps(stories)}.map(([first, events, cut]) => {{
        let state = kernel.firstKernelState(first === "untold" ? undefined : first);
        for (const event of events) state = kernel.nextKernelState(state, event);
        const kind = kernel.kernelKind(state, cut);
        return [kind, kernel.kernelWords(kind), kernel.isHopeless(kind)];
    }});
    console.log(JSON.stringify(told));
    """
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(done.stdout)
    for found, words, hopeless in told:
        assert words.endswith(".")
        assert hopeless == (found in ("dead", "forgotten", "absent"))
    return [found for found, _, _ in told]


def status(name: str) -> dict[str, str]:
    return {"status": name}


STORIES: list[tuple[Any, list[dict[str, Any]], str]] = [
    (IDLE, [], "quiet"),
    (IDLE, [CELL], "busy"),
    (IDLE | {"status": "busy"}, [], "busy"),
    (IDLE, [CELL, status("idle")], "busy"),  # a message beside the cell came to its end
    (IDLE, [CELL, ASKED], "working"),  # in a thread of its own
    (IDLE, [CELL, ASKED, DONE[1]], "busy"),
    (IDLE, [CELL, DONE[0]], "quiet"),
    (IDLE, [OFF], "lost"),
    (IDLE, [OFF, ON], "quiet"),
    (IDLE, [CELL, OFF, ON], "quiet"),  # its end may have been missed
    (IDLE | {"status": "starting"}, [], "starting"),
    (IDLE, [status("restarting")], "starting"),
    (IDLE, [status("restarting"), status("idle")], "starting"),  # on its way since before
    (IDLE, [CELL, status("restarting"), status("unknown"), OFF], "starting"),
    (IDLE, [CELL, status("restarting"), status("unknown"), OFF, ON], "forgotten"),
    (IDLE, [status("autorestarting"), status("idle")], "forgotten"),
    (IDLE, [status("terminating")], "dead"),
    (IDLE, [status("dead")], "dead"),
    (IDLE, [{"connection": "disconnected"}], "dead"),
    (IDLE, [{"kernel": None}], "dead"),
    (IDLE, [{"kernel": IDLE}], "forgotten"),  # another one was chosen
    (None, [], "absent"),
    (None, [{"kernel": IDLE}], "quiet"),
    ("untold", [], "unknown"),
    ({}, [], "unknown"),
]


@pytest.fixture(scope="module")
def ends() -> list[str]:
    return kinds(*((first, events, False) for first, events, _ in STORIES))


@pytest.mark.parametrize("number", range(len(STORIES)))
def test_kinds(number: int, ends: list[str]) -> None:
    first, events, wanted = STORIES[number]
    assert ends[number] == wanted, (first, events)


def test_a_view_that_the_notebook_has_cut_off_is_not_answered() -> None:
    cut = kinds((IDLE, [], True), ("untold", [], True), (None, [], True))
    assert cut == ["forgotten", "forgotten", "absent"]
