"""What can be set about a method: a default, and which values are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resviz.arguments import caller


@dataclass(frozen=True)
class Option:
    """One option of a method.

    Attributes:
        default: where nobody says.
        right: whether a value may be used.
        words: which may: "a whole number from 1".
    """

    default: Any
    right: Callable[[Any], bool]
    words: str

    def check(self, method: str, name: str, value: Any) -> None:
        """Raise ValueError for a value that may not be used."""
        if not self.right(value):
            raise ValueError(
                f"{caller()}: {name}={value!r} of {method}; {self.words} would be right."
            )


def count(default: int | None) -> Option:
    """A whole number from 1; None too where that is the default."""
    return Option(
        default,
        lambda value: (_whole(value) and value >= 1) or (value is None and default is None),
        "a whole number from 1",
    )


def whole(default: int) -> Option:
    """A whole number, as a seed."""
    return Option(default, _whole, "a whole number")


def number(default: float) -> Option:
    """Any number."""
    return Option(default, _number, "a number")


def size(default: float) -> Option:
    """A number from 0, as a standard deviation."""
    return Option(default, lambda value: _number(value) and value >= 0, "a number from 0")


def share(default: float) -> Option:
    """A number above 0, at most 1, as a probability that may not be 0."""
    return Option(
        default,
        lambda value: _number(value) and 0 < value <= 1,
        "a number above 0, at most 1",
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return _whole(value) or isinstance(value, float)
