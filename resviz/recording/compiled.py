"""Sums over float32 numbers in one pass, in C, where this machine has a compiler.

`one_pass.c` is built once in a process, in the background from the moment that recording is
imported: 0.1 to 0.2 s, and nothing stays on the disk. Measured on two shared cores, in turn with
the eager passes: a tenth of their time for a tensor of 1 MB, a fifth for 25 MB. The same sums built
ahead of time by torch's own compiler took a minute to make there, 1.6 s to load in each process.

Without a compiler, or with ``RESVIZ_COMPILE=0``, the eager passes do the same.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

_SOURCE = Path(__file__).with_name("one_pass.c")
_FLAGS = ("-O3", "-march=native", "-shared", "-fPIC", "-pthread")
_PATIENCE = 5.0  # seconds that a first recording waits for the compiler


_THREE, _FIVE = ctypes.c_double * 3, ctypes.c_double * 5


class OnePass:
    """The functions of `one_pass.c`. Tensors are float32, contiguous, on the CPU, and not empty.

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
        library.use_team.argtypes, library.use_team.restype = (pointer, pointer), None
        library.use_team(*_team())

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

    def squares(self, tensors: Sequence[Tensor], threads: int | None = None) -> list[float]:
        """The sum of squares of each of several tensors; on so many threads."""
        count = len(tensors)
        addresses = (ctypes.c_void_p * count)(*(x.data_ptr() for x in tensors))
        sizes = (ctypes.c_longlong * count)(*(x.numel() for x in tensors))
        out = (ctypes.c_double * count)()
        self._squares(addresses, sizes, count, out, threads or torch.get_num_threads())
        return list(out)


def _team() -> tuple[int | None, int | None]:
    """Where GNU's OpenMP starts its threads, and numbers them, if torch computes with it."""
    try:
        program = ctypes.CDLL(None)
        functions = program.GOMP_parallel, program.omp_get_thread_num
    except (OSError, AttributeError, TypeError):  # another OpenMP, or Windows
        return None, None
    start, number = (ctypes.cast(each, ctypes.c_void_p).value for each in functions)
    return start, number


class _Building(threading.Thread):
    """Builds it, while its user goes on."""

    def __init__(self) -> None:
        super().__init__(name="resviz-one-pass", daemon=True)
        self.made: OnePass | None = None
        self.start()

    def run(self) -> None:
        """Any trouble means: without."""
        try:
            self.made = _built()
        except (OSError, AttributeError, subprocess.SubprocessError):
            self.made = None


@functools.cache
def building() -> _Building | None:
    """Starts the compiler, once in a process; None where there is none or it is not wanted."""
    wanted = os.environ.get("RESVIZ_COMPILE", "1") != "0"
    return _Building() if wanted and _compiler() is not None else None


@functools.cache
def one_pass() -> OnePass | None:
    """The compiled functions; None without. The first call waits until they are built."""
    started = building()
    if started is None:
        return None
    started.join(_PATIENCE)
    return started.made


def _compiler() -> str | None:
    """The C compiler. On macOS there may be one in name, which asks to be installed."""
    if sys.platform == "darwin" and not Path("/Library/Developer/CommandLineTools").exists():
        return None
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def _built() -> OnePass:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = Path(folder, "one_pass.so")
        command = [str(_compiler()), *_FLAGS, "-o", str(library), str(_SOURCE)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return OnePass(ctypes.CDLL(str(library)))
