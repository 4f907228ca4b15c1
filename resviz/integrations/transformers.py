"""Gradient norms per layer while Hugging Face's Trainer trains: a callback."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback

from resviz.arguments import caller, public, public_as
from resviz.hooks import Hooks
from resviz.integrations.open_step import OpenStep


class TrainingRecorderCallback(TrainerCallback):  # type: ignore[misc]
    """Records every k-th step of a ``transformers.Trainer``; the file is `TrainingRecorder`'s.

    A step is one of the optimiser: with ``gradient_accumulation_steps=4`` four batches. The scale
    of a GradScaler (``fp16=True``) is divided out. The loss is that of the model's own output
    (``labels`` given); with a loss of the Trainer's it is not known and stays NaN. The Trainer
    tells its callbacks of no error: in a ``with`` block the hooks of a step that was cut short go
    at its end, else with the next training.

    Args:
        path: a new file.
        every: record each step whose number is a multiple of this.
        options: `layers`, `resume`, `first_step`, `data`, as :class:`resviz.TrainingRecorder`
            takes them; `first_step` of a run from a checkpoint is the Trainer's own.

    Raises:
        FileExistsError, TypeError, ValueError: as :class:`resviz.TrainingRecorder`, when training
            begins; ValueError also for several GPUs in one process, without a launcher.

    In use (`tests/integrations/test_transformers.py` runs it):

    ```python
    with TrainingRecorderCallback("run.resviz-log") as recorded:
        Trainer(model, args, train_dataset=data, callbacks=[recorded]).train()
    rv.plot_training_record(rv.load_training_record("run.resviz-log"))
    ```
    """

    @public
    def __init__(self, path: str | os.PathLike[str], every: int = 10, **options: Any) -> None:
        self._open = OpenStep(path, every, options)
        self._hooks: Hooks | None = None

    @public_as("TrainingRecorderCallback")
    def on_train_begin(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """Make the recorder; model and optimiser are there now."""
        if getattr(args, "n_gpu", 1) > 1:  # the model given is not the wrapped one
            raise ValueError(
                f"{caller()}: {args.n_gpu} GPUs in one process, where the Trainer uses "
                "DataParallel, whose copies of the network last for one pass; a process for each "
                "(torchrun, accelerate launch), or one GPU, would be right."
            )
        self._end_hooks()
        net, optimizer = about["model"], about.get("optimizer")
        scaler = getattr(optimizer, "scaler", None)  # of accelerate's wrapper, as of fp16=True
        optimizer = getattr(optimizer, "optimizer", optimizer)
        optimizers = [] if optimizer is None else [optimizer]
        self._open.make(net, optimizers, scaler, getattr(state, "global_step", 0))
        self._hooks = Hooks(hidden=True)
        self._hooks.forward(net, self._hear)

    def on_step_begin(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """The first batch of a step opens it."""
        self._open.begin(state.epoch)

    def on_step_end(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """The optimiser has made its step."""
        self._open.end()

    def on_train_end(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """Close the file."""
        self._end_hooks()
        self._open.close()

    def _hear(self, net: nn.Module, given: Any, output: Any) -> None:
        loss = output.get("loss") if hasattr(output, "get") else None
        if isinstance(loss, Tensor) and loss.numel() == 1 and loss.requires_grad:
            self._open.loss(loss)

    def _end_hooks(self) -> None:
        hooks, self._hooks = self._hooks, None
        if hooks is not None:
            hooks.__exit__(None, None, None)

    def __enter__(self) -> TrainingRecorderCallback:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_hooks()
        self._open.close(error)
