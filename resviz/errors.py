"""The errors and the warning that resviz raises beyond Python's own.

Every message has the form ``<function>: <what we got>; <what would be right>. <next step>``.
"""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

# resviz, and what stands between it and the user: with blocks, decorators, hooks
_NOT_THE_USERS = ("resviz", "contextlib", "torch")
_quiet: ContextVar[bool] = ContextVar("_quiet", default=False)


class WeightsUnavailable(RuntimeError):
    """Pretrained weights that are neither in the package, nor cached, nor to be downloaded now."""


class NonFinite(RuntimeError):
    """A network produced NaN or infinity where a finite number is needed."""


class NotTraceable(RuntimeError):
    """A network in which hooks do not fire: scripted or compiled."""


class UnknownOutput(TypeError, ValueError):
    """No part of what a network returned is known to be its output: there is no default loss."""


class LayerRefused(ValueError):
    """A layer that cannot be explained on these images: without positions, or of no effect."""


class UnreadableImage(ValueError):
    """A picture that is missing, damaged, or of a kind that cannot be turned into RGB."""


class ResvizWarning(UserWarning):
    """Something the user should see, though the call went on: a fallback, a picture left out."""


@contextmanager
def quiet() -> Iterator[None]:
    """:func:`warn` says nothing inside, in this thread alone.

    Python's own ``warnings.catch_warnings`` changes the filters of the whole process: in a thread
    beside the user's work it could put back filters that are not the user's any more.
    """
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def warn(text: str) -> None:
    """A :class:`ResvizWarning` at the line of the user: the first one outside resviz.

    As ``skip_file_prefixes`` of ``warnings.warn`` finds it, which Python has from 3.12 on.
    """
    if _quiet.get():
        return
    frame = inspect.currentframe()
    while frame and frame.f_back and _package(frame) in _NOT_THE_USERS:
        frame = frame.f_back
    if frame is None:  # a Python without frames
        warnings.warn(text, ResvizWarning, stacklevel=2)
        return
    warnings.warn_explicit(
        text,
        ResvizWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=frame.f_globals.get("__name__", "<string>"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def words_of(error: BaseException) -> str:
    """What an error says to a reader: of the system's the file and what is wrong with it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])  # str() of a KeyError is in quotes
    return str(error) or type(error).__name__


def closest(name: str, options: Iterable[str], n: int = 2) -> str:
    """The n options most like `name`, quoted, for the end of an error message.

    Args:
        name: what the caller wrote.
        options: what would have been right.
        n: how many to name; fewer where there are fewer.

    Returns:
        For example ``"'layer4.0.conv1', 'layer3.0.conv1'"``; "" where there are no options.

    Example:
        >>> closest("resnet51", ["alexnet", "resnet50", "resnet152"])
        "'resnet50', 'resnet152'"
    """
    by_lower: dict[str, list[str]] = {}
    for option in dict.fromkeys(options):
        by_lower.setdefault(option.lower(), []).append(option)
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=n, cutoff=0.0)
    names = [option for lower in found for option in by_lower[lower]][:n]
    return ", ".join(repr(option) for option in names)
