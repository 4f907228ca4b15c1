"""What a view sends to the browser: one binary buffer, and a JSON-able description of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

NOT_FINITE = 255  # the code of NaN and of the infinities
LEVELS = 254  # the largest code of a number
_TYPES = ("uint8", "uint16", "int32", "float32")
_FLOAT = np.finfo(np.float32)


@dataclass(frozen=True)
class Payload:
    """Numbers for the browser.

    Attributes:
        meta: JSON-able; refers to arrays as ``{"dtype", "shape", "at"}``, `at` in bytes.
        buffer: all arrays, one behind the other, each at a multiple of four bytes.
    """

    meta: dict[str, Any]
    buffer: bytes

    def array(self, reference: dict[str, Any]) -> NDArray[Any]:
        """An array of the buffer, as the browser will read it."""
        dtype, shape = np.dtype(reference["dtype"]), tuple(reference["shape"])
        count = int(np.prod(shape))
        return np.frombuffer(self.buffer, dtype, count, reference["at"]).reshape(shape)


class Packing:
    """Collects arrays for a :class:`Payload`.

    Example:
        >>> packing = Packing()
        >>> reference = packing.add(np.arange(3, dtype=np.uint8))
        >>> packing.payload({"numbers": reference}).array(reference).tolist()
        [0, 1, 2]
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: ArrayLike) -> dict[str, Any]:
        """Append an array of uint8, uint16, int32 or float32; the reference to it.

        Raises:
            TypeError: another type.
        """
        array = np.ascontiguousarray(values)
        if array.dtype.name not in _TYPES:
            raise TypeError(f"Packing: {array.dtype.name}; one of {', '.join(_TYPES)}.")
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        at, padding = self._size, -len(data) % 4
        self._parts += [data, b"\0" * padding]
        self._size += len(data) + padding
        return {"dtype": array.dtype.name, "shape": list(array.shape), "at": at}

    def add_bytes(self, buffer: bytes) -> int:
        """Append the buffer of another payload; where it begins."""
        return int(self.add(np.frombuffer(buffer, np.uint8))["at"])

    def add_pixels(self, values: ArrayLike, groups: int = 0) -> dict[str, Any]:
        """Append float values as bytes: ``{"codes", "scale", "offset"}``, three references.

        Args:
            values: any shape.
            groups: how many leading axes have a scale of their own; see :func:`quantised`.
        """
        codes, scale, offset = quantised(values, groups)
        return {"codes": self.add(codes), "scale": self.add(scale), "offset": self.add(offset)}

    def payload(self, meta: dict[str, Any]) -> Payload:
        """What was collected, described by `meta`."""
        return Payload(meta, b"".join(self._parts))


def quantised(
    values: ArrayLike, groups: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Values as one byte each: value = offset + scale * code, to half a `scale`.

    0 is a code wherever a group has values on both sides of it or at it, so an exact zero is read
    back as an exact zero. 255 stands for what is not finite.

    Args:
        values: floats of any shape.
        groups: how many leading axes have a scale of their own: 2 for (N, C, H, W) gives each
            channel of each image its own, so that weak channels lose nothing beside strong ones.

    Returns:
        The codes, in the shape of `values`; scale and offset, in the shape of its leading axes.

    Example:
        >>> codes, scale, offset = quantised([0.0, 1.0, 2.0, float("nan")])
        >>> codes.tolist(), float(offset)
        ([0, 127, 254, 255], 0.0)
    """
    array = np.asarray(values, dtype=np.float32)
    lead = array.shape[:groups]
    flat = array.reshape(int(np.prod(lead)), -1)
    finite = np.isfinite(flat)
    low, high = (
        end(np.where(finite, flat, nothing), axis=1, initial=nothing).astype(np.float64)
        for end, nothing in ((np.min, np.inf), (np.max, -np.inf))
    )
    low, high = (np.where(finite.any(axis=1), end, 0.0) for end in (low, high))
    scale, offset = _steps(low, high)
    safe = np.where(scale > 0, scale, 1.0)[:, None]
    with np.errstate(invalid="ignore"):
        codes = np.rint((np.where(finite, flat, 0) - offset[:, None].astype(np.float64)) / safe)
    codes = np.where(finite, np.clip(codes, 0, LEVELS), NOT_FINITE).astype(np.uint8)
    return codes.reshape(array.shape), scale.reshape(lead), offset.reshape(lead)


def _steps(
    low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale and offset per group; where 0 lies in the range, offset is a multiple of scale."""
    span = high - low
    around = (low <= 0) & (high >= 0)
    zero = np.rint(np.divide(-low, span, out=np.zeros_like(low), where=span > 0) * LEVELS)
    zero = np.where(low < 0, np.maximum(zero, 1), 0)
    zero = np.where(high > 0, np.minimum(zero, LEVELS - 1), np.where(low < 0, LEVELS, zero))
    above = np.divide(high, LEVELS - zero, out=np.zeros_like(low), where=zero < LEVELS)
    below = np.divide(-low, zero, out=np.zeros_like(low), where=zero > 0)
    scale = np.where(around, _rounded_up(np.maximum(above, below)), span / LEVELS)
    scale = np.where(scale < _FLOAT.tiny, 0.0, np.minimum(scale, _FLOAT.max / (LEVELS + 1)))
    offset = np.where(around, 0.0 - zero * scale, low)
    return scale.astype(np.float32), offset.astype(np.float32)


def _rounded_up(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """To 16 bits of mantissa: then a code (8 bits) times scale is exact in float32 (24 bits)."""
    mantissa, exponent = np.frexp(scale)
    return np.ldexp(np.ceil(np.ldexp(mantissa, 16)), exponent - 16)
