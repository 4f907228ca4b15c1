"""The command ``resviz``: the views of a notebook as single files.

    resviz explore cat.png --model resnet50
    resviz explain cat.png --model resnet50 --method layer_cam --out cat.html

Exit codes: 0, all done; 1, it failed; 2, the command line is wrong; 130, interrupted; 143,
terminated. Paths of files written go to stdout, one a line; everything else to stderr.

Nothing heavy is imported here: ``resviz --help`` answers at once.
"""

from __future__ import annotations

import importlib
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from resviz.cli.command_line import parser
from resviz.cli.console import Console, Stop, flush_stdout
from resviz.errors import ResvizWarning, words_of

_COMMANDS = {
    "explore": "resviz.cli.explore",
    "explain": "resviz.cli.explain",
    "record": "resviz.cli.record",
    "scan": "resviz.cli.scan",
    "lab": "resviz.cli.lab",
    "models": "resviz.cli.lists",
    "methods": "resviz.cli.lists",
}
_EXPECTED = (
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    MemoryError,
    ImportError,  # what an extra brings
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after ``resviz``; None: those of this process.

    Returns:
        The exit code.

    Example:
        >>> main(["explain", "cat.png", "--model", "cifar10-resnet56"])  # doctest: +SKIP
        cat.explained.html
        0
    """
    try:
        options = parser().parse_args(argv)
    except SystemExit as stop:  # --help, --version and wrong command lines
        flush_stdout()
        return stop.code if isinstance(stop.code, int) else 2
    console = Console(f"resviz {options.command}", options.quiet)
    try:
        with _terminable(), warnings.catch_warnings():
            warnings.showwarning = console.show_warning
            warnings.simplefilter("always", ResvizWarning)
            run = importlib.import_module(_COMMANDS[options.command]).run
            code: int = run(options, console)
            return code
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except Stop as stop:
        _explain_failure(console, options.debug, str(stop))
        return stop.code
    except _EXPECTED as err:
        _explain_failure(console, options.debug, words_of(err))
        return 1
    except Exception as err:  # noqa: BLE001  # the last place where a user can be told
        more = "This is a defect in resviz; --debug shows where."
        _explain_failure(console, options.debug, f"{type(err).__name__}: {err}. {more}")
        return 1


def _explain_failure(console: Console, debug: bool, words: str) -> None:
    if debug:
        console.write(traceback.format_exc())
    console.error(words)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the command as an exception, so that no part of a file is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
