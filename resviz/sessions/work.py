"""`Work`: a long computation beside the kernel's own; says how far it is, can be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from typing import Protocol

_EVERY = 0.1  # seconds between two messages of progress


class Stopped(Exception):
    """The reader gave up."""


class View(Protocol):
    """What a computation needs of the view that it answers for."""

    def answered(
        self, request: str, fields: Mapping[str, object], buffers: Sequence[bytes]
    ) -> None:
        """Send the answer to `request`."""

    def failed(self, request: str, text: str) -> None:
        """Tell the browser that there is no answer to `request`, and why."""

    def progress(self, request: str, done: int, total: int, text: str = "") -> None:
        """Tell the browser how far the answer to `request` is."""


class Work(threading.Thread):
    """The answer to one question, made in a thread of its own.

    It must work on a copy of the network: a cell may be using the original.

    Args:
        view: gets the answer, or the error, and the progress.
        number: id of the question.
        make: (this work) -> (fields of the answer, buffers); calls :meth:`tick` as it goes on.
        total: ticks that are expected; more of them move the end.
        words: what is counted.
    """

    def __init__(
        self,
        view: View,
        number: str,
        make: Callable[[Work], tuple[Mapping[str, object], list[bytes]]],
        total: int,
        words: str,
    ) -> None:
        context = copy_context()  # messages then belong to the cell that asked
        super().__init__(target=context.run, args=(self._work,), daemon=True)
        self.number = number
        self._view, self._make, self._total, self._words = view, make, total, words
        self._stopped = threading.Event()
        self._ending = threading.Lock()
        self._done, self._said = 0, time.monotonic()

    def stop(self) -> None:
        """Give up at the next tick; nothing is sent any more."""
        with self._ending:
            self._stopped.set()

    def settle(self, change: Callable[[], None]) -> None:
        """Make a change that belongs to the answer; a stop comes wholly before it or after it.

        Raises:
            Stopped: nobody wants the answer any more; nothing was changed.
        """
        with self._ending:
            if self._stopped.is_set():
                raise Stopped
            change()

    def tick(self, count: int = 1) -> None:
        """A part is done.

        Raises:
            Stopped: nobody wants the answer any more.
        """
        if self._stopped.is_set():
            raise Stopped
        self._done += count
        if time.monotonic() - self._said >= _EVERY or self._done >= self._total:
            self._said = time.monotonic()
            total = max(self._total, self._done)
            self._view.progress(self.number, self._done, total, self._words)

    def _work(self) -> None:
        try:
            tell = self._made()
            if not self._stopped.is_set():
                tell(self._view)
        except Stopped:
            pass
        finally:
            del self._make, self._view  # and with them the copy of the network

    def _made(self) -> Callable[[View], None]:
        """What tells the view the answer, or what went wrong.

        Raises:
            Stopped: nobody wants it any more.
        """
        try:
            fields, buffers = self._make(self)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - a thread's error reaches nobody else
            text = str(error.args[0] if error.args else error)
            return lambda view: view.failed(self.number, text)
        return lambda view: view.answered(self.number, fields, buffers)
