"""One progress bar for everything that takes long."""

from __future__ import annotations

from typing import Any

from resviz import arguments


def bar(total: int, what: str, progress: bool | None, *, done: int = 0) -> Any:
    """A tqdm bar, as a context manager with ``update(n)``.

    Args:
        total: steps in all.
        what: what the bar says.
        progress: None shows a bar over what takes more than a second, True at once, False never.
        done: steps that an earlier call had finished.

    Raises:
        TypeError: `progress` is something else.
    """
    progress = arguments.progress(progress)
    from tqdm.auto import tqdm

    delay = 1.0 if progress is None else 0.0
    return tqdm(
        total=total, initial=done, desc=what, disable=progress is False, delay=delay, leave=False
    )
