"""The messages between Python and the browser: one definition, in both languages."""

from __future__ import annotations

import re
from typing import NotRequired, TypedDict, get_type_hints

import pytest

import message_types
from resviz.views.widgets import messages
from views.sources import FRONTEND


def test_the_types_of_the_browser_are_those_of_python() -> None:
    written = message_types.FILE.read_text(encoding="utf-8")
    assert written == message_types.typescript(), "make messages"


def test_every_question_has_an_answer() -> None:
    asked, answered = (get_type_hints(each) for each in (messages.Questions, messages.Answers))
    assert list(asked) == list(answered)
    assert set(answered.values()) == set(messages.Fields.__args__)


def test_every_question_that_the_browser_asks_is_known() -> None:
    """Those whose kind stands in the call; TypeScript sees the others."""
    texts = [file.read_text(encoding="utf-8") for file in FRONTEND.rglob("*.js")]
    asked = {what for text in texts for what in re.findall(r'\bask\((?:asking, )?"(\w+)"', text)}
    assert asked == set(get_type_hints(messages.Questions))


def test_a_type_in_typescript() -> None:
    One = TypedDict("One", {"a": NotRequired[list[str]], "class": int | None})
    expected = "export interface One {\n  a?: string[];\n  class: number | null;\n}\n"
    assert message_types.interface(One) == expected
    with pytest.raises(TypeError, match="no name in TypeScript"):
        message_types.written(complex)
