"""Gradient norms per layer while Lightning trains: a callback over `TrainingRecorder`."""

from __future__ import annotations

import os
from typing import Any

from torch import Tensor, nn

from resviz.arguments import caller, public
from resviz.integrations.open_step import OpenStep

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError:  # the older name of the same package
    from pytorch_lightning import Callback, LightningModule, Trainer


class TrainingRecorderCallback(Callback):  # type: ignore[misc]
    """Records every k-th step of a ``lightning.Trainer``, as `TrainingRecorder` does.

    A step is one of the optimiser: with ``accumulate_grad_batches=4`` four batches. Losses come
    from ``on_before_backward``, gradients are read before and after clipping, the scale of a
    GradScaler is divided out. Under DistributedDataParallel rank 0 writes. After an error or an
    interrupt the network has no hooks left.

    Args:
        path: a new file.
        every: record each step whose number is a multiple of this.
        net: path, within the LightningModule, of the network to record: "model". None: its only
            child with parameters, else the LightningModule itself, whose ``forward`` must then be
            what ``training_step`` calls.
        options: `layers`, `resume`, `first_step`, `data`, as :class:`resviz.TrainingRecorder`
            takes them; `first_step` of a run from a checkpoint is the trainer's own.

    Raises:
        ValueError: no such part of the LightningModule.
        FileExistsError, TypeError: as :class:`resviz.TrainingRecorder`, when training begins.

    In use (`tests/integrations/test_lightning.py` runs it):

    ```python
    recorded = TrainingRecorderCallback("run.resviz-log", every=10)
    lightning.Trainer(callbacks=[recorded]).fit(model, loader)
    rv.plot_training_record(rv.load_training_record("run.resviz-log"))
    ```
    """

    @public
    def __init__(
        self,
        path: str | os.PathLike[str],
        every: int = 10,
        *,
        net: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._net = net
        self._open = OpenStep(path, every, options)
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the recorder; optimisers are there now."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        optimizers = list(trainer.optimizers)
        done = trainer.global_step if len(optimizers) == 1 else 0  # it counts those of each
        self._open.make(_network(pl_module, self._net), optimizers, scaler, done)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The first batch of a step opens it."""
        self._steps = trainer.global_step
        self._open.begin(trainer.current_epoch)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """A loss; under accumulation divided by the number of batches already."""
        self._open.loss(loss)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The batch after which the optimiser made its step closes it."""
        if trainer.global_step > self._steps:
            self._open.end()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the file."""
        self._open.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """The step that was under way is not recorded; its hooks go."""
        self._open.close(exception)


def _network(module: LightningModule, path: str | None) -> nn.Module:
    children = {name: child for name, child in module.named_children() if [*child.parameters()]}
    if path is None:
        own = [*module.parameters(recurse=False)]
        return next(iter(children.values())) if len(children) == 1 and not own else module
    try:
        return module.get_submodule(path)
    except AttributeError as err:
        raise ValueError(
            f"{caller()}: no {path!r} in {type(module).__name__}; "
            f"{', '.join(children) or 'None'} would be right."
        ) from err
