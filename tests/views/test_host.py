"""The host and its view: who holds what is chosen, and where answers go."""

from __future__ import annotations

import threading
from typing import Any

import pandas as pd
import pytest

import resviz as rv
from resviz.sessions.work import Job, Work
from resviz.views.payload import Packing, Payload
from resviz.views.widgets.host import Host
from resviz.views.widgets.messages import WeightAnswer
from resviz.views.widgets.view import Answered, View


class Plain(View):
    """Answers "quick" at once and "slow" when it is told to go on; has itself as a part."""

    module = "feature_maps.js"
    error: Exception

    def __init__(self, within: View | None = None) -> None:
        self.within, self.go = within, threading.Event()
        super().__init__("plain", {"image": 0})

    def payload(self) -> Payload:
        return Packing().payload({"about": self.about})

    def answer(self, what: str, request: dict[str, Any]) -> Answered:
        if what != "quick":
            return super().answer(what, request)
        return WeightAnswer({"class": 7}), [b"1"]

    def job(self, what: str, request: dict[str, Any]) -> Job | None:
        if what == "broken":
            return Job(self.breaks, 1, "steps:")
        if what != "slow":
            return None

        def make(work: Work) -> Answered:
            work.tick()
            assert self.go.wait(20)
            work.tick()
            return WeightAnswer({"class": 8}), []

        return Job(make, 2, "steps:")

    def breaks(self, _: Work) -> Answered:
        raise self.error

    def part(self, name: str, scene: int) -> View:
        if self.within is None or scene != 3:
            return super().part(name, scene)
        return self.within


Sent = list[dict[str, Any]]


def listen(host: Host[Any]) -> Sent:
    sent: Sent = []
    host.send = lambda content, buffers=None: sent.append(content)
    return sent


def say(host: Host[Any], **content: Any) -> None:
    host._received(host, content, [])


def test_what_is_chosen_is_the_same_on_both_sides() -> None:
    view = Plain()
    host, heard = Host(view), []
    host.observe(lambda change: heard.append((change.new, view.selection)), "selection")
    assert host.selection == view.selection == {"image": 0} and host.about == "plain"
    host.selection = {"image": 2}
    assert heard == [({"image": 2}, {"image": 2})]
    host.about = "renamed"
    assert view.page_payload(False, None).meta == {"about": "renamed"}


def test_two_views_in_one_notebook_keep_their_styles(zeros: pd.DataFrame) -> None:
    """Anywidget tells them apart by the name of a class: of one name the last would win."""
    states = [
        host.get_state(("_esm", "_css", "_anywidget_id"))
        for host in (Host(Plain()), Host(Plain()), rv.explore_gradients({"toy": zeros}))
    ]
    assert states[0] == states[1]
    assert all(states[1][name] != states[2][name] for name in states[2])


def test_answers_of_a_part_go_under_its_name() -> None:
    view = Plain(within=Plain())
    host = Host(view)
    sent = listen(host)
    ask = {"type": "ask", "id": "a", "what": "quick"}
    say(host, **ask)
    assert sent == [{"type": "answer", "class": 7, "id": "a"}]
    say(host, type="within", view="inner", scene=3, content=ask)
    assert sent[1] == {"type": "within", "view": "inner", "content": sent[0]}
    say(host, type="within", view="inner", scene=3, content={"type": "ready"})
    assert sent[2]["content"] == {"type": "data", "meta": {"about": "plain"}}


@pytest.mark.parametrize("scene", [4, "no number", None])
def test_a_question_to_a_part_that_is_not_there(scene: Any) -> None:
    host = Host(Plain(within=Plain()))
    sent = listen(host)
    for kind in ("ready", "stop", "ask"):
        say(host, type="within", view="inner", scene=scene, content={"type": kind, "id": "a"})
    (failed,) = sent  # what asks nothing gets nothing
    assert failed["view"] == "inner"
    assert failed["content"]["type"] == "error" and failed["content"]["id"] == "a"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("record: no."), "record: no."),
        (KeyError("layer4"), "layer4"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "MemoryError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_went_wrong_in_long_work_is_told(error: Exception, words: str) -> None:
    view = Plain()
    view.error, host = error, Host(view)
    sent = listen(host)
    say(host, type="ask", id="a", what="broken")
    view._works["broken"].join(20)
    assert sent == [{"type": "error", "id": "a", "text": words}]


def test_the_newest_long_question_goes_on() -> None:
    view = Plain()
    host = Host(view)
    sent = listen(host)
    works = []
    for number in ("first", "second"):
        say(host, type="ask", id=number, what="slow")
        works.append(view._works["slow"])
    view.go.set()
    for work in works:
        work.join(20)
    assert {one["id"] for one in sent if one["type"] == "answer"} == {"second"}


def test_shown_twice_both_readers_get_their_answer() -> None:
    view = Plain()
    host = Host(view)
    sent = listen(host)
    for number in ("one-1", "two-1", "one-2"):
        say(host, type="ask", id=number, what="slow")
    works = list(view._works.values())
    view.go.set()
    for work in works:
        work.join(20)
    assert {one["id"] for one in sent if one["type"] == "answer"} == {"one-2", "two-1"}


def test_an_answer_that_nobody_waits_for_goes_nowhere() -> None:
    view = Plain()
    say(Host(view), type="ask", id="a", what="slow")
    work = view._works["slow"]
    view.go.set()
    work.join(20)
    assert not work.is_alive()


def test_no_answer_says_why() -> None:
    host = Host(Plain())
    sent = listen(host)
    say(host, type="ask", id="a", what="else")
    assert sent == [{"type": "error", "id": "a", "text": "Plain: no answer to 'else'."}]


def test_blocks_are_cut_for_explore_alone(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=r"^save_html: lesions=True, and a Plain cuts no blocks"):
        Host(Plain()).save_html(tmp_path / "view.html", lesions=True)
