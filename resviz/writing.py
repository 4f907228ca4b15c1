"""Files that are whole or not there: where to write, and under which name until it is done."""

from __future__ import annotations

import os
import pathlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from resviz import arguments
from resviz.arguments import caller


def destination(path: object, endings: Sequence[str] = ()) -> pathlib.Path:
    """The file that `path` means: home for ``~``, the file itself where it is a link.

    Args:
        path: as the user gave it.
        endings: those that fit, lower case; upper case fits, too. None: any.

    Raises:
        TypeError: no path.
        ValueError: another ending.
        FileNotFoundError: there is no such folder.
        IsADirectoryError: there is a folder of that name.

    Example:
        >>> destination("cat.jpg", (".html", ".png"))
        Traceback (most recent call last):
        ValueError: resviz: 'cat.jpg' ends in '.jpg'; .html or .png would be right.
    """
    named = arguments.path("path", path)
    ending = named.suffix
    if endings and ending.lower() not in endings:
        has = f"ends in {ending!r}" if ending else "has no ending"
        raise ValueError(f"{caller()}: {str(named)!r} {has}; {_listed(endings)} would be right.")
    target = pathlib.Path(os.path.realpath(named))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{caller()}: no folder {str(target.parent)!r}; make it first.")
    if target.is_dir():
        raise IsADirectoryError(
            f"{caller()}: {str(named)!r} is a folder; the name of a file would be right."
        )
    return target


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


@contextmanager
def whole_file(target: pathlib.Path, durable: bool = False) -> Iterator[pathlib.Path]:
    """The name of a part to write, which becomes `target` at the end.

    After an error or an interrupt the part is gone, and what was in `target` still is there. Where
    it is `durable`, also after a power cut: the part is on the disk before it becomes the file. Who
    may read `target` stays as it was.

    Raises:
        FileExistsError: `target` is a pipe or a device, in whose place a file would come.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "words.txt")
        ...     with whole_file(file) as part:
        ...         _ = part.write_text("all of them")
        ...     file.read_text()
        'all of them'
    """
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise FileExistsError(
            f"{caller()}: {str(target)!r} is a pipe or a device, in whose place a file would come; "
            "the name of a file would be right."
        )
    own = f".resviz-{os.getpid()}-{threading.get_ident()}.part"  # no two writers share it
    part = target.with_name(own)
    try:
        yield part
        if durable:
            _on_disk(part)
        if target.exists():
            shutil.copymode(target, part)
        os.replace(part, target)
        if durable and os.name == "posix":  # the folder's entry, too
            _on_disk(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _on_disk(path: pathlib.Path) -> None:
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
