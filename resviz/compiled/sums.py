"""Sums over float32 numbers in one pass.

Measured on two shared cores, in turn with torch's passes: a tenth of their time for a tensor of
1 MB, a fifth for 25 MB. The same sums built ahead of time by torch's own compiler took a minute to
make there, 1.6 s to load in each process.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from resviz.compiled.library import library

_THREE, _FIVE = ctypes.c_double * 3, ctypes.c_double * 5


class OnePass:
    """The functions of `sums.c`. Tensors are float32, contiguous, on the CPU, and not empty.

    They run on as many threads as torch does; what they give does not depend on how many.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._moments, self._products = library.moments, library.products
        self._pair, self._squares = library.pair, library.squares
        pointer, count, threads = ctypes.c_void_p, ctypes.c_longlong, ctypes.c_int
        self._moments.argtypes = (pointer, count, pointer, threads)
        self._products.argtypes = (pointer, pointer, count, threads)
        self._pair.argtypes = (pointer, pointer, count, pointer, threads)
        self._squares.argtypes = (pointer, pointer, threads, pointer, threads)
        self._moments.restype = self._pair.restype = self._squares.restype = None
        self._products.restype = ctypes.c_double

    def moments(self, x: Tensor) -> tuple[float, float, float, float, float]:
        """Sum, sum of squares, minimum, maximum, zeros. Not finite sums: the rest is unsaid."""
        out = _FIVE()
        self._moments(x.data_ptr(), x.numel(), out, torch.get_num_threads())
        return out[0], out[1], out[2], out[3], out[4]

    def products(self, x: Tensor, y: Tensor) -> float:
        """The sum of the products of two tensors of one size."""
        threads = torch.get_num_threads()
        return float(self._products(x.data_ptr(), y.data_ptr(), x.numel(), threads))

    def pair(self, x: Tensor, y: Tensor) -> tuple[float, float, float]:
        """The sums of squares of two tensors of one size, and that of their products."""
        out = _THREE()
        self._pair(x.data_ptr(), y.data_ptr(), x.numel(), out, torch.get_num_threads())
        return out[0], out[1], out[2]

    def squares(self, tensors: Sequence[Tensor]) -> list[float]:
        """The sum of squares of each of several tensors."""
        return self.squares_later(tensors)(torch.get_num_threads())

    def squares_later(self, tensors: Sequence[Tensor]) -> Callable[[int], list[float]]:
        """The same when it is called, with a number of threads: hardly any Python is left then."""
        count = len(tensors)
        addresses = (ctypes.c_void_p * count)(*(x.data_ptr() for x in tensors))
        sizes = (ctypes.c_longlong * count)(*(x.numel() for x in tensors))
        kept = list(tensors)

        def squares(threads: int) -> list[float]:
            out = (ctypes.c_double * count)()
            self._squares(addresses, sizes, len(kept), out, threads)
            return list(out)

        return squares


def one_pass() -> OnePass | None:
    """None where there is no compiler."""
    built = library()
    return None if built is None else _functions(built)


_functions = functools.cache(OnePass)


def is_direct(x: Tensor) -> bool:
    """True for a tensor whose memory is its numbers, in order, as C reads them."""
    plain = x.dtype is torch.float32 and x.is_cpu and x.layout is torch.strided
    return plain and x.is_contiguous() and not x.is_neg() and x.numel() > 0
