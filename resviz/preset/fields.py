"""What the fields of a preset may be, and how they are kept: as plain tuples of plain numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from numbers import Real
from typing import Any

from resviz.arguments import caller, whole, wholes

RGB = (0, 1, 2)


def per_channel(mean: Any, std: Any, channels: int | None) -> tuple[tuple[float, ...], ...]:
    """Mean and std as K numbers each; a single number stands for every channel.

    K is `channels`, else the length of the longer of the two, so 1 where both are numbers. None at
    all where neither is known.
    """
    if all(each is None or each == () for each in (mean, std)):
        return (), ()
    found = [_numbers("mean", mean), _numbers("std", std)]
    count = channels
    if count is None:
        count = max((len(v) for v in found if isinstance(v, tuple)), default=1)
    whole_tuples = [v if isinstance(v, tuple) else (v,) * count for v in found]
    for field, values in zip(("mean", "std"), whole_tuples, strict=True):
        if len(values) != count:
            raise ValueError(
                f"{caller()}: {field} {values}; {count} number{'s' * (count > 1)}, one per "
                "channel. channels=... says how many there are."
            )
    mean, std = whole_tuples
    if not all(0 <= v <= 1 for v in mean):
        raise ValueError(
            f"{caller()}: mean {mean}; numbers in 0..1, as pixels are scaled to 0..1. Divide means "
            "of pixels in 0..255 by 255, and their std too."
        )
    if not all(v > 0 for v in std):
        raise ValueError(f"{caller()}: std {std}; numbers above 0. Use 1 for no scale.")
    return mean, std


def _numbers(field: str, values: Any) -> float | tuple[float, ...]:
    single = isinstance(values, Real) and not isinstance(values, bool)
    try:
        if isinstance(values, str | bytes | bool):
            raise TypeError("no numbers")
        numbers = (float(values),) if single else tuple(float(v) for v in values)
    except (TypeError, ValueError) as err:
        raise TypeError(
            f"{caller()}: {field} {values!r}; numbers, one per channel, or one for all."
        ) from err
    if not numbers or not all(math.isfinite(v) for v in numbers):
        raise ValueError(f"{caller()}: {field} {numbers}; finite numbers, one per channel.")
    return numbers[0] if single else numbers


def bands(display: Any, channels: int) -> tuple[int, ...]:
    """Which bands a picture shows: one, in grey, or three as red, green and blue.

    By default the three of three; else the first three, or the first where there are fewer.
    """
    if channels == 0:  # nobody knows
        return ()
    if display is None:
        return RGB if channels >= 3 else (0,)
    single = not isinstance(display, Sequence) or isinstance(display, str)
    most = channels - 1
    if single:
        return (whole("display", display, 0, most),)
    found = tuple(wholes("display", display, 0, most))
    if len(found) not in (1, 3):
        raise ValueError(
            f"{caller()}: display {found}; one band, for grey, or three: red, green, blue."
        )
    return found


def limits(window: Any) -> tuple[float, float] | None:
    """(low, high): the values of pixels that become 0 and 1."""
    if window is None:
        return None
    try:
        if isinstance(window, str | bytes):
            raise TypeError("no numbers")
        found = tuple(float(v) for v in window)
    except (TypeError, ValueError) as err:
        raise TypeError(f"{caller()}: window {window!r}; two numbers: (low, high).") from err
    if len(found) != 2 or not all(math.isfinite(v) for v in found) or not found[0] < found[1]:
        raise ValueError(
            f"{caller()}: window {found}; two finite numbers, the lower one first: (low, high)."
        )
    return found[0], found[1]


def names(classes: Any) -> tuple[str, ...]:
    """The names of the outputs."""
    listed = isinstance(classes, Collection) and not isinstance(classes, str)
    if not listed or not all(isinstance(each, str) for each in classes):
        raise TypeError(f"{caller()}: classes {classes!r}; a sequence of strings, one per output.")
    return tuple(classes)


def short_side_or_both(resize: Any) -> int | tuple[int, int] | None:
    """The short side, both, or None."""
    if isinstance(resize, bool) or not isinstance(resize, int | None):
        return two_sizes("resize", resize)
    if resize is not None and resize < 1:
        raise ValueError(f"{caller()}: resize {resize}; at least 1 pixel, or None.")
    return resize


def two_sizes(field: str, values: Any) -> tuple[int, int]:
    """(height, width); a single number is a square's only where the caller made it a pair."""
    pair = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else None
    if pair is None or not all(isinstance(v, int) and not isinstance(v, bool) for v in pair):
        raise TypeError(
            f"{caller()}: {field} {values!r}; pixels as whole numbers: (height, width)."
        )
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{caller()}: {field} {pair}; (height, width) of at least 1 pixel each.")
    return pair[0], pair[1]
