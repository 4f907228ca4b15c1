"""A step of a `TrainingRecorder` that two calls of a callback open and close."""

from __future__ import annotations

import os
from typing import Any

from torch import Tensor, nn

from resviz.training.recorder.recorder import Step, TrainingRecorder


class OpenStep:
    """What the callbacks share: a recorder that is made when training begins, and its open step.

    Args:
        path: as :class:`TrainingRecorder` takes it, like the rest.
    """

    def __init__(self, path: str | os.PathLike[str], every: int, options: dict[str, Any]) -> None:
        self.path, self.every, self.options = path, every, options
        self.recorder: TrainingRecorder | None = None
        self.step: Step | None = None

    def make(
        self, net: nn.Module, optimizers: list[Any], scaler: Any = None, done: int = 0
    ) -> None:
        """The recorder of a run that begins; one that was left open ends.

        `done` steps lie behind the trainer, by its checkpoint: the file goes on after those, or
        begins with their number.
        """
        self.close()
        known: dict[str, Any] = {"optimizer": optimizers or None, "scaler": scaler}
        if done:  # of a run from its beginning nothing is replaced
            known["first_step"] = done
        self.recorder = TrainingRecorder(net, self.path, self.every, **known | self.options)

    def begin(self, epoch: float | None = None) -> None:
        """Open a step, unless one is open: of several micro-batches the first opens it."""
        if self.recorder is not None and self.step is None:
            step = self.recorder.step(epoch)
            self.step = step.__enter__()

    def loss(self, value: Tensor | float) -> None:
        """A loss, before its backward pass."""
        if self.step is not None:
            self.step.loss(value)

    def end(self, error: BaseException | None = None) -> None:
        """Close the step; with an error, or an interrupt, it is not recorded."""
        step, self.step = self.step, None
        if step is not None:
            step.__exit__(None if error is None else type(error), error, None)

    def close(self, error: BaseException | None = None) -> None:
        """End of training: a step that is open was cut short."""
        recorder, self.recorder = self.recorder, None
        try:
            self.end(error or GeneratorExit())
        finally:
            if recorder is not None:
                recorder.close()
