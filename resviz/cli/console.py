"""What the commands say: results on stdout, everything else on stderr, never a broken pipe."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

# what the library tells a Python user to do, as a shell user does it
_IN_THE_SHELL = (
    (re.compile(r"load_model\('([^']+)', '([^']+)'\)"), r"--model \1 --weights \2"),
    (re.compile(r"load_model\('([^']+)'\)"), r"--model \1"),
    (
        re.compile(r"Pass fallback=\S+, weights='random' or weights=file\."),
        "Or --weights FILE.",
    ),
    (re.compile(r"rv\.explanation_methods\(\)"), "`resviz methods`"),
    (
        re.compile(r"rv\.list_layers\(net\)"),
        "`resviz record IMAGE --table layers --out layers.csv`",
    ),
    (re.compile(r" on_error='skip' loads the others\."), ""),
    (re.compile(r" A network of another kind can be passed itself, as an nn\.Module\."), ""),
)


class Stop(Exception):
    """The command ends here, with a sentence for the user and an exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class Console:
    """Where a command speaks.

    Args:
        name: "resviz explain", the head of every line on stderr.
        quiet: no progress, and nothing of what was found.

    Attributes:
        progress: whether to show progress: on a terminal, unless quiet.
    """

    def __init__(self, name: str, quiet: bool = False) -> None:
        self.name, self._quiet = name, quiet
        self.progress = not quiet and sys.stderr is not None and sys.stderr.isatty()

    @property
    def bars(self) -> bool | None:
        """The `progress` argument of the library's functions."""
        return None if self.progress else False

    def say(self, text: str) -> None:
        """One line of progress."""
        if self.progress:
            self.note(text)

    def note(self, text: str) -> None:
        """One line that is always said."""
        self.write(f"{self.name}: {one_line(text)}\n")

    def found(self, lines: Iterable[str]) -> None:
        """What a command found, as it is, unless quiet."""
        if not self._quiet:
            self.write("".join(f"{one_line(line)}\n" for line in lines))

    def error(self, text: str) -> None:
        """One line: what was wrong and what to do."""
        for pattern, words in _IN_THE_SHELL:
            text = pattern.sub(words, text)
        function = self.name.rpartition(" ")[2]
        self.note(text.removeprefix(f"{function}: "))

    def show_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """A replacement of ``warnings.showwarning``: one line, no source code."""
        if not issubclass(category, DeprecationWarning):
            text = str(message).removeprefix(f"{self.name.rpartition(' ')[2]}: ")
            self.note(f"warning: {text}")

    def write(self, text: str) -> None:
        """Text on stderr; a stderr that is closed is no reason to fail."""
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(text)
                sys.stderr.flush()

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Torch says on stdout what it downloads: that is progress, no result."""
        elsewhere = sys.stderr if self.progress else io.StringIO()
        with contextlib.redirect_stdout(elsewhere):
            yield


def one_line(text: str) -> str:
    """Line ends become spaces, characters that steer a terminal are spelled out."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)


def result(*lines: str | os.PathLike[str]) -> None:
    """Lines on stdout, each byte of a file's name as it is."""
    if sys.stdout is None:
        return
    try:
        for line in lines:
            text = os.fspath(line)
            try:
                sys.stdout.write(f"{text}\n")
            except UnicodeEncodeError:  # a name that the encoding of stdout does not have
                sys.stdout.flush()
                sys.stdout.buffer.write(os.fsencode(text) + b"\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go_of_stdout()


def flush_stdout() -> None:
    """Write out what stdout holds; nobody may be reading any more."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _let_go_of_stdout()


def _let_go_of_stdout() -> None:
    """Nothing more goes to a pipe nobody reads: Python would complain at its end."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Rows as lines, the columns under each other."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in listed
    ]


def shown_name(path: pathlib.Path) -> str:
    """A file's name as text that every encoding of Unicode can hold."""
    return os.fsencode(path.name).decode("utf-8", "replace")
