"""What every public function asks of its arguments, and whose name an error speaks in.

A public function may call another, and both share what lies below. The message of an error is for
whoever typed the call, so it names the function *they* called: :func:`public` marks those
functions, and :func:`caller` says which one is running.

Every check returns the value in plain Python types: a NumPy integer comes back as an int.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import pathlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar, cast

from resviz.errors import closest

P = ParamSpec("P")
T = TypeVar("T")
Progress = bool | Callable[[int, int, str], object] | None  # what `progress=` takes

_called: ContextVar[str | None] = ContextVar("_called", default=None)
_NOBODY = "resviz"  # where no public function is running
_SEEDS = 2**64  # torch takes less than this


# ---- whose name an error speaks in
def caller() -> str:
    """The name of the public function that the user called; "resviz" where none is running.

    Example:
        >>> @public
        ... def halved(number):
        ...     return whole("number", number) / 2
        >>> halved(0.5)
        Traceback (most recent call last):
        TypeError: halved: number 0.5; a whole number.
    """
    return _called.get() or _NOBODY


def public(function: Callable[P, T]) -> Callable[P, T]:
    """Errors below `function` speak in its name, unless another public function called it.

    ``__init__``, ``__getitem__`` and their like speak in the name of their class. A generator, and
    so what stands under ``contextlib.contextmanager``, speaks while its own lines run, not while
    those of the with block do.
    """
    *owners, own = function.__qualname__.split(".")
    return public_as(owners[-1] if own.startswith("__") and owners else own)(function)


def public_as(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """:func:`public` under a given name: that of the class, for methods nobody thinks of alone."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        if inspect.isgeneratorfunction(function):
            return cast("Callable[P, T]", _generator(function, name))

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            with _speaking(name):
                return function(*args, **kwargs)

        return called

    return decorate


@contextmanager
def _speaking(name: str) -> Iterator[None]:
    """The outermost name stays: the user called that one."""
    token = None if _called.get() else _called.set(name)
    try:
        yield
    finally:
        if token is not None:
            _called.reset(token)


def _generator(
    function: Callable[..., Generator[Any, Any, Any]], name: str
) -> Callable[..., Generator[Any, Any, Any]]:
    """Speaks between two yields only; a ContextVar set across one would leak to the user's code."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        running = function(*args, **kwargs)
        sent, thrown = None, None
        while True:
            try:
                with _speaking(name):
                    value = running.send(sent) if thrown is None else running.throw(thrown)
            except StopIteration as end:
                return end.value
            finally:
                sent = thrown = None  # an error holds this frame, and would hold itself
            try:
                sent = yield value
            except GeneratorExit:
                with _speaking(name):
                    running.close()
                raise
            except BaseException as error:  # noqa: BLE001 - handed on, whatever it is
                thrown = error

    return called


# ---- numbers
def whole(what: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """A whole number; True and 2.0 are none.

    Raises:
        TypeError: no whole number.
        ValueError: below `least` or above `most`.

    Example:
        >>> whole("top", 0, least=1)
        Traceback (most recent call last):
        ValueError: resviz: top 0; 1 or more.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{caller()}: {what} {value!r}; a whole number.")
    _check_range(what, int(value), least, most)
    return int(value)


def wholes(
    what: str, values: object, least: int | None = None, most: int | None = None
) -> list[int]:
    """One or more whole numbers, as a list.

    Raises:
        TypeError: a single number, a string, or something in it that is no whole number.
        ValueError: none at all, or one out of range.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{caller()}: {what} {values!r}; a sequence of whole numbers.")
    found = [whole(what, value, least, most) for value in values]
    if not found:
        raise ValueError(f"{caller()}: no {what}; at least one.")
    return found


def number(
    what: str,
    value: object,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
) -> float:
    """A finite number: at least `least`, at most `most`, greater than `above`.

    Raises:
        TypeError: no number; True and a string are none.
        ValueError: NaN, infinity, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{caller()}: {what} {value!r}; a number.")
    if not math.isfinite(value) or (above is not None and not float(value) > above):
        limit = "" if above is None else f" above {above:g}"
        limit += "" if above is None or most is None else f", at most {most:g}"
        raise ValueError(f"{caller()}: {what} {value}; a finite number{limit}.")
    _check_range(what, float(value), least, most)
    return float(value)


def seed(value: object, what: str = "seed", least: int | None = 0) -> int:
    """What a random generator starts from.

    Raises:
        TypeError: no whole number.
        ValueError: below `least`, or more than a generator takes.
    """
    found = whole(what, value, least)
    if found >= _SEEDS:
        raise ValueError(f"{caller()}: {what} {found}; less than 2^64.")
    return found


def seeds(value: object) -> list[int]:
    """Which seeds: a list of them, or how many, counted from 0.

    Raises:
        TypeError: neither a whole number nor a sequence of whole numbers.
        ValueError: none, one below 0 or too large for a generator, or the same one twice.

    Example:
        >>> seeds(3), seeds([7, 11])
        ([0, 1, 2], [7, 11])
    """
    single = not isinstance(value, bool) and isinstance(value, Integral)
    if single:
        return list(range(whole("seeds", value, least=1)))
    found = [seed(each, "seeds") for each in wholes("seeds", value)]
    if len(set(found)) < len(found):
        raise ValueError(f"{caller()}: seeds {found}; each once.")
    return found


def _check_range(what: str, value: float, least: float | None, most: float | None) -> None:
    if (least is None or value >= least) and (most is None or value <= most):
        return
    if most is None:
        right = f"{least} or more"
    elif least is None:
        right = f"{most} or less"
    else:
        right = f"{least} {'or' if isinstance(value, int) and most == least + 1 else 'to'} {most}"
    raise ValueError(f"{caller()}: {what} {value}; {right}.")


# ---- words
def name(what: str, value: object, meaning: str = "a string") -> str:
    """A string, whatever it says; `meaning` tells what it should name.

    Raises:
        TypeError: no string.
    """
    if not isinstance(value, str):
        raise TypeError(f"{caller()}: {what} {value!r}; {meaning}.")
    return value


def path(what: str, value: object) -> pathlib.Path:
    """Where a path of the user's leads: home for ``~``.

    Raises:
        FileNotFoundError: the home of somebody whom the system does not know.
        TypeError: no path.

    Example:
        >>> path("file", "runs/one.resviz").name
        'one.resviz'
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise TypeError(
            f"{caller()}: {what} is a {type(value).__name__}; a string or a pathlib.Path would be "
            "right."
        )
    try:
        return pathlib.Path(value).expanduser()
    except RuntimeError as err:
        raise FileNotFoundError(f"{caller()}: no home folder for {str(value)!r}.") from err


def choice(what: str, value: object, options: Iterable[str], instead: str = "") -> str:
    """One of the options.

    Args:
        what: the argument.
        value: what the user gave.
        options: what would be right.
        instead: what else would be, for the message: "or a function".

    Raises:
        TypeError: no string.
        ValueError: none of the options; the message lists them, and the closest one.

    Example:
        >>> choice("shortcut", "nona", ["A", "B", "none"])
        Traceback (most recent call last):
        ValueError: resviz: shortcut 'nona'; one of A, B, none. Closest: 'none'.
    """
    known = list(options)
    right = f"one of {', '.join(known)}" + (f", {instead}" if instead else "")
    if not isinstance(value, str):
        raise TypeError(f"{caller()}: {what} {value!r}; a string, {right}.")
    if value not in known:
        near = closest(value, known, n=1)
        raise ValueError(f"{caller()}: {what} {value!r}; {right}. Closest: {near}.")
    return value


def choices(
    what: str, values: object, options: Sequence[str], many: str | None = None
) -> list[str]:
    """One option, or several in a list.

    Args:
        what: one of them.
        values: what the user gave.
        options: what would be right.
        many: what several are called; None for `what` with an s.

    Raises:
        TypeError: neither a string nor a list of strings.
        ValueError: none at all, or one that is no option.
    """
    many = many or f"{what}s"
    if not isinstance(values, str) and not isinstance(values, Iterable):
        raise TypeError(f"{caller()}: {many} {values!r}; one or more of {', '.join(options)}.")
    given = [values] if isinstance(values, str) else list(values)
    if not given:
        raise ValueError(f"{caller()}: no {many}; one or more of {', '.join(options)}.")
    return [choice(what, value, options) for value in given]


def switch(what: str, value: object) -> bool:
    """True or False, and not 1 or 0: those would pass for the next argument's value.

    Raises:
        TypeError: anything else.
    """
    if type(value).__name__ not in ("bool", "bool_"):  # NumPy's too, without importing it
        raise TypeError(f"{caller()}: {what} {value!r}; True or False.")
    return bool(value)


def progress(value: object) -> Progress:
    """None shows a bar over what takes more than a second, True at once, False never.

    Or a function (done, total, what) that is told of each step instead.

    Raises:
        TypeError: anything else.
    """
    if value is not None and not isinstance(value, bool) and not callable(value):
        raise TypeError(
            f"{caller()}: progress {value!r}; None, True or False, or a function (done, total, "
            "what)."
        )
    return value
