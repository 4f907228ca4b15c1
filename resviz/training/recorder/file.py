"""The file of a training record: JSON lines, appended step by step.

The first line is a header. Then come layouts (what does not change from step to step: names,
depths, stages, shapes) and steps (numbers alone). A step is one line, written by one call of the
operating system when the step is complete: whatever ends the process, the file holds every
completed step, and at most its last line is broken. Reading runs no code from the file.
"""

from __future__ import annotations

import json
import math
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from resviz import arguments, storage
from resviz.arguments import caller
from resviz.errors import warn

FORMAT = "resviz-training-1"
TABLES = ("parameters", "blocks", "residuals")
# what does not change from step to step
STATIC = {
    *("parameter", "addition", "layer", "call", "type", "kind", "depth", "stage", "block"),
    *("weighted", "projection", "gate", "residual", "shape", "shard", "grad_reason", "axes"),
}


@dataclass
class Content:
    """What a file holds.

    Attributes:
        header: how it was made.
        layouts: for each layout, for each table, its static columns.
        steps: the steps in order, each with the number of its layout.
        ends: how long the file is with the first 0, 1, 2, ... steps.
        broken: whether a broken last line was left out.
    """

    header: dict[str, Any]
    layouts: list[dict[str, dict[str, list[Any]]]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    broken: bool = False


def read(path: str | os.PathLike[str]) -> Content:
    """The content of a file; a last line that was not written to its end is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: something else than a training record, or damaged before its last line.
    """
    path = arguments.path("path", path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{caller()}: no file {os.fspath(path)!r}.")
    with open(path, "rb") as file:
        raw = file.read()
    *lines, rest = raw.split(b"\n")
    try:
        header = json.loads(lines[0]) if lines else {}
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise ValueError("no header")
        content = Content(header, ends=[len(lines[0]) + 1], broken=bool(rest))
        where = content.ends[0]
        for line in lines[1:]:
            where += len(line) + 1
            _add(content, json.loads(line), where)
    except (ValueError, IndexError, *storage.WRONG_CONTENT) as error:
        raise storage.damaged(path) from error
    return content


def _add(content: Content, line: dict[str, Any], end: int) -> None:
    if "tables" in line:
        content.layouts.append({name: line["tables"][name] for name in TABLES})
        return
    layout = content.layouts[line["layout"]]
    for name in TABLES:
        rows = {len(v) for v in [*layout[name].values(), *line[name].values()]}
        if len(rows) > 1:
            raise ValueError("columns differ in length")
    int(line["row"]["step"])
    content.steps.append(line)
    content.ends.append(end)


def warn_of_broken(path: str | os.PathLike[str], content: Content) -> None:
    """Say that a broken last line was left out."""
    if content.broken:
        warn(
            f"{caller()}: the last record of {os.fspath(path)!r} was not written to its "
            f"end and is left out; {len(content.steps)} whole ones are there."
        )


# by process and file
_locked: weakref.WeakValueDictionary[tuple[int, int, int], Writer] = weakref.WeakValueDictionary()


class Writer:
    """Appends steps to a file.

    Args:
        path: where; its folder must exist.
        header: what JSON can hold.
        content: of the file, to go on with it; None: a new file.
        keep: how many of its steps stay.

    Raises:
        FileExistsError: a new file where there is one.
        RuntimeError: another process writes it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        content: Content | None = None,
        keep: int = 0,
    ) -> None:
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
        flags |= 0 if content is not None else os.O_CREAT | os.O_EXCL
        self._file = os.open(path, flags, 0o666)
        self.close = weakref.finalize(self, os.close, self._file)
        self._layouts: dict[str, int] = {}
        if not _lock(self, self._file):
            self.close()
            raise RuntimeError(
                f"{caller()}: {os.fspath(path)!r} is being written by another process; a "
                "path of its own for each would be right."
            )
        if content is None:
            self._write(_line({"format": FORMAT, **header}))
            return
        os.ftruncate(self._file, content.ends[keep])
        # layouts stand before the steps that use them: those of the steps that stay are there
        used = max((step["layout"] for step in content.steps[:keep]), default=-1)
        for number, layout in enumerate(content.layouts[: used + 1]):
            self._layouts[_line({"tables": layout})] = number

    def append(self, row: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
        """Write one step, and its layout where that is new."""
        static = {
            name: {c: _plain(table[c]) for c in table if c in STATIC}
            for name, table in tables.items()
        }
        layout = _line({"tables": static})
        new = layout not in self._layouts
        number = self._layouts.get(layout, len(self._layouts))
        step: dict[str, Any] = {"layout": number, "row": {k: _exact(v) for k, v in row.items()}}
        for name, table in tables.items():
            step[name] = {
                c: [_number(v) for v in table[c].tolist()] for c in table if c not in STATIC
            }
        self._write((layout if new else "") + _line(step))
        self._layouts[layout] = number

    def _write(self, text: str) -> None:
        left = memoryview(text.encode())
        while left:
            left = left[os.write(self._file, left) :]


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n"


def _plain(column: pd.Series[Any]) -> list[Any]:
    return [list(v) if isinstance(v, tuple) else _number(v) for v in column.tolist()]


def _exact(value: Any) -> Any:
    """NaN as null and infinity as text, which is what JSON can hold."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _number(value: Any) -> Any:
    """Nine digits of a number, more than float32 has."""
    finite = isinstance(value, float) and math.isfinite(value)
    return float(f"{value:.9g}") if finite else _exact(value)


def number(value: Any) -> Any:
    """What a line holds for a number, as the number."""
    if value is None:
        return math.nan
    return float(value) if value in ("inf", "-inf") else value


def _lock(writer: Writer, file: int) -> bool:
    """False where another process has the file; True too where locks are not to be had.

    A writer that this process has left open hands its lock on.
    """
    try:
        import fcntl
    except ImportError:
        return True
    about = os.fstat(file)
    key = os.getpid(), about.st_dev, about.st_ino
    earlier, _locked[key] = _locked.get(key), writer
    try:  # not lockf, whose lock is gone when this process has read the file
        if earlier is not None and earlier.close.alive:
            fcntl.flock(earlier._file, fcntl.LOCK_UN)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # some network file systems have none
        return True
    return True
