"""What the browser makes of what a notebook tells of its kernel: plain state, in node."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from resviz.views.widgets.modules import FRONTEND

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no node")
IDLE = {"status": "idle", "connectionStatus": "connected"}
ON, OFF = ({"connection": one} for one in ("connected", "connecting"))
CELL = {"request": "a", "type": "execute_request", "begins": True}
ASKED = {"request": "b", "type": "comm_msg", "begins": True}
DONE = [one | {"begins": False} for one in (CELL, ASKED)]


def kind(first: Any, *events: dict[str, Any], cut: bool = False) -> str:
    """The word for the kernel `first` after these events; None: none now, "untold": who knows."""
    kernel = "undefined" if first == "untold" else json.dumps(first)
    script = f"""
    import * as kernel from "{(FRONTEND / "kernel.js").as_uri()}";
    let state = kernel.firstKernelState({kernel});
    for (const event of {json.dumps(events)}) state = kernel.nextKernelState(state, event);
    const kind = kernel.kernelKind(state, {json.dumps(cut)});
    console.log(JSON.stringify([kind, kernel.kernelWords(kind), kernel.isHopeless(kind)]));
    """
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found, words, hopeless = json.loads(done.stdout)
    assert words.endswith(".")
    assert hopeless == (found in ("dead", "forgotten", "absent"))
    return str(found)


def status(name: str) -> dict[str, str]:
    return {"status": name}


@pytest.mark.parametrize(
    ("first", "events", "wanted"),
    [
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
    ],
)
def test_kinds(first: Any, events: list[dict[str, Any]], wanted: str) -> None:
    assert kind(first, *events) == wanted


def test_a_view_that_the_notebook_has_cut_off_is_not_answered() -> None:
    assert kind(IDLE, cut=True) == "forgotten"
    assert kind("untold", cut=True) == "forgotten"
    assert kind(None, cut=True) == "absent"
