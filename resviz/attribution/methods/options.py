"""What can be set about a method: a default, and which values are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resviz import arguments


@dataclass(frozen=True)
class Option:
    """One option of a method.

    Attributes:
        default: where nobody says.
        read: (what it is called, what the user gave) -> its value, or an error.
    """

    default: Any
    read: Callable[[str, Any], Any]


def count(default: int | None) -> Option:
    """A whole number from 1; None too where that is the default."""

    def read(what: str, value: Any) -> int | None:
        if value is None and default is None:
            return None
        return arguments.whole(what, value, least=1)

    return Option(default, read)


def seed(default: int) -> Option:
    """What a random generator starts from."""
    return Option(default, lambda what, value: arguments.seed(value, what, None))


def number(default: float) -> Option:
    """Any finite number."""
    return Option(default, arguments.number)


def size(default: float) -> Option:
    """A number from 0, as a standard deviation."""
    return Option(default, lambda what, value: arguments.number(what, value, least=0))


def share(default: float) -> Option:
    """A number above 0, at most 1, as a probability that may not be 0."""
    return Option(default, lambda what, value: arguments.number(what, value, above=0, most=1))


def baseline() -> Option:
    """A finite number, of tokens an id; None: 0, of tokens the embedding's padding, or id 0."""

    def read(what: str, value: Any) -> float | None:
        if value is None:
            return None
        found = arguments.number(what, value)
        return int(found) if found.is_integer() else found

    return Option(None, read)
