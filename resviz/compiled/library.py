"""The C files of this folder, built once in a process, where there is a compiler.

In the background from the moment that this is imported: some tenths of a second (0.9 on a slow
machine with other work), and nothing stays on the disk. Without a compiler, or with
``RESVIZ_COMPILE=0``, torch does the same in more passes.
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
from pathlib import Path

_SOURCES = Path(__file__).parent
_FLAGS = (
    "-O3",
    "-march=native",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-shared",
    "-fPIC",
    "-pthread",
)
_PATIENCE = 5.0  # seconds that a first use waits for the compiler


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
        super().__init__(name="resviz-compiler", daemon=True)
        self.made: ctypes.CDLL | None = None
        self._waited = False
        self.start()

    def wait(self) -> None:
        """Until it is built, but not for ever, and once."""
        if not self._waited:
            self.join(_PATIENCE)
            self._waited = True

    def run(self) -> None:
        """Any trouble means: without."""
        try:
            self.made = _built()
        except (OSError, AttributeError, subprocess.SubprocessError):
            self.made = None


@functools.cache
def building() -> _Building | None:
    """Starts the compiler, once in a process; None where there is none or it is not wanted."""
    if os.environ.get("RESVIZ_COMPILE", "1") == "0" or _compiler() is None:
        return None
    try:
        return _Building()
    except RuntimeError:  # no thread can be started
        return None


def library(wait: bool = True) -> ctypes.CDLL | None:
    """The compiled functions; None without, or while they are being built.

    The first call that is to `wait` does so. Where the machine is too busy for that, later ones go
    on without, until they are there.
    """
    started = building()
    if started is None:
        return None
    if wait and started.made is None:
        started.wait()
    return started.made


def _compiler() -> str | None:
    """The C compiler. On macOS there may be one in name, which asks to be installed."""
    if sys.platform == "darwin" and not Path("/Library/Developer/CommandLineTools").exists():
        return None
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def _built() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        built = Path(folder, "resviz.so")
        command = [str(_compiler()), *_FLAGS, "-o", str(built), *map(str, _SOURCES.glob("*.c"))]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        found = ctypes.CDLL(str(built))
        found.use_team.argtypes, found.use_team.restype = (ctypes.c_void_p, ctypes.c_void_p), None
        found.use_team(*_team())
        return found


building()  # the compiler starts; who measures first waits for what is left of its time
