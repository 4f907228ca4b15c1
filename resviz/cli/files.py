"""Files of a command: pictures to read, outputs that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence

from resviz.cli.console import Stop


def check_pictures(images: Sequence[pathlib.Path]) -> None:
    """Stop where a picture is no file, before anything slow begins."""
    for image in images:
        if image.is_dir():
            raise Stop(
                f"{str(image)!r} is a folder; pictures. The shell names those in it:"
                f" {image.name or '.'}/*.png"
            )
        if not image.exists():
            raise Stop(f"no file {str(image)!r}.")


def outputs(
    out: Sequence[pathlib.Path] | None,
    ending: str,
    images: Sequence[pathlib.Path],
    force: bool,
) -> list[pathlib.Path]:
    """Where to write, once it is clear that it can be done.

    Args:
        out: as asked for; None: the first picture's name with `ending`, in the current folder.
        ending: ".explained.html".
        images: pictures of the command, never written over.
        force: write over files that exist.
    """
    chosen = list(dict.fromkeys(out or [pathlib.Path(images[0].stem + ending)]))
    for path in chosen:
        _check_output(path, images, force)
    return chosen


def _check_output(path: pathlib.Path, images: Sequence[pathlib.Path], force: bool) -> None:
    if path.is_dir():
        raise Stop(f"{str(path)!r} is a folder; the name of a file.")
    folder = _target(path).parent
    if not folder.is_dir():
        raise Stop(f"no folder {str(folder)!r}; make it first.")
    if path.exists():
        if any(path.samefile(image) for image in images):
            raise Stop(f"{str(path)!r} is one of the pictures; another name.")
        if not force:
            raise _exists(path)
    if not os.access(folder, os.W_OK):
        raise Stop(f"{str(folder)!r} is not a folder that you may write to.")


def _exists(path: pathlib.Path) -> Stop:
    return Stop(f"{str(path)!r} exists; --force writes over it.")


def _target(path: pathlib.Path) -> pathlib.Path:
    """The file itself where `path` is a link to it."""
    return pathlib.Path(os.path.realpath(path))


@contextlib.contextmanager
def whole_file(path: pathlib.Path, force: bool) -> Iterator[pathlib.Path]:
    """The name of a part to write, which becomes `path` at the end, or is gone after an error."""
    target = _target(path)
    part = target.with_name(f".resviz-{os.getpid()}.part{path.suffix}")
    try:
        part.touch()
        yield part
        if force:
            os.replace(part, target)
        else:
            _publish(part, target, path)
    except OSError as err:
        if err.filename in (str(part), part):
            raise Stop(f"{str(path)!r}: {err.strerror}.") from err
        raise
    finally:
        part.unlink(missing_ok=True)


def _publish(part: pathlib.Path, target: pathlib.Path, path: pathlib.Path) -> None:
    """Give `part` its name, and fail where another process took that name meanwhile."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without links
        if target.exists():
            raise _exists(path) from None
        os.replace(part, target)
