"""`Work`: a long computation beside the kernel's own; says how far it is, can be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Protocol

from resviz.errors import words_of

_EVERY = 0.1  # seconds between two messages of progress


class Stopped(Exception):
    """The reader gave up."""


class Asker(Protocol):
    """Who waits for an answer."""

    def answered(
        self, request: str, fields: Mapping[str, object], buffers: Sequence[bytes]
    ) -> None:
        """Send the answer to `request`."""

    def failed(self, request: str, text: str) -> None:
        """Say that there is no answer to `request`, and why."""

    def progress(self, request: str, done: int, total: int, text: str = "") -> None:
        """Say how far the answer to `request` is."""


@dataclass(frozen=True)
class Job:
    """What makes an answer that takes long; it works on a copy of the network.

    Attributes:
        make: (the work that runs it) -> (fields of the answer, buffers); calls :meth:`Work.tick` as
            it goes on.
        total: ticks that are expected; more of them move the end.
        words: what is counted.
    """

    make: Callable[[Work], tuple[Mapping[str, object], list[bytes]]]
    total: int
    words: str


class Work(threading.Thread):
    """The answer to one question, made in a thread of its own.

    A cell may be using the network meanwhile: hence the copy.

    Args:
        asker: gets the answer, or the error, and the progress.
        number: id of the question.
        job: what is to be done.
    """

    def __init__(self, asker: Asker, number: str, job: Job) -> None:
        context = copy_context()  # messages then belong to the cell that asked
        super().__init__(target=context.run, args=(self._work,), daemon=True)
        self.number = number
        self._asker, self._job = asker, job
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
        if time.monotonic() - self._said >= _EVERY or self._done >= self._job.total:
            self._said = time.monotonic()
            total = max(self._job.total, self._done)
            self._asker.progress(self.number, self._done, total, self._job.words)

    def _work(self) -> None:
        try:
            tell = self._made()
            if not self._stopped.is_set():
                tell(self._asker)
        except Stopped:
            pass
        finally:
            del self._job, self._asker  # and with them the copy of the network

    def _made(self) -> Callable[[Asker], None]:
        """What tells the asker the answer, or what went wrong.

        Raises:
            Stopped: nobody wants it any more.
        """
        try:
            fields, buffers = self._job.make(self)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - a thread's error reaches nobody else
            text = words_of(error)
            return lambda asker: asker.failed(self.number, text)
        return lambda asker: asker.answered(self.number, fields, buffers)
