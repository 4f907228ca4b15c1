"""How far something is that takes long: one progress bar, or a function that is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resviz import arguments
from resviz.arguments import Progress


def bar(total: int, what: str, progress: Progress, *, done: int = 0) -> Any:
    """A tqdm bar, as a context manager with ``update(n)``.

    Args:
        total: steps in all.
        what: what the bar says.
        progress: None shows a bar over what takes more than a second, True at once, False never. A
            function (done, total, what) is called at the start and after each step instead; an
            error that it raises ends the work.
        done: steps that an earlier call had finished.

    Raises:
        TypeError: `progress` is something else.

    Example:
        >>> with bar(2, "tea", lambda done, total, what: print(done, "of", total, what)) as shown:
        ...     shown.update(2)
        0 of 2 tea
        2 of 2 tea
    """
    progress = arguments.progress(progress)
    if callable(progress):
        return _Told(total, what, progress, done)
    from tqdm.auto import tqdm

    delay = 1.0 if progress is None else 0.0
    return tqdm(
        total=total, initial=done, desc=what, disable=progress is False, delay=delay, leave=False
    )


class _Told:
    """In place of a bar: tells a function."""

    def __init__(
        self, total: int, what: str, tell: Callable[[int, int, str], object], done: int
    ) -> None:
        self._total, self._what, self._tell, self._done = total, what, tell, done

    def __enter__(self) -> _Told:
        self.update(0)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def update(self, count: int = 1) -> None:
        """So many steps more are done."""
        self._done += count
        self._tell(self._done, self._total, self._what)
