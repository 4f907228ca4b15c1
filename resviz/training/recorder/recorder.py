"""`TrainingRecorder`: the records of resviz for a user's own training loop."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.arguments import caller, number, public, public_as, whole
from resviz.errors import warn
from resviz.hooks import Hooks
from resviz.provenance import preset_or_none, versions
from resviz.training.recorder import file as training_file
from resviz.training.recorder.given import (
    check_whole,
    checked_optimizers,
    checked_scaler,
    unwrapped,
)
from resviz.training.recorder.parts import Parts
from resviz.training.recorder.step import WatchedStep


class TrainingRecorder:
    """Records every k-th step of a training loop, and streams it to a file.

    The loop stays as it is; the whole of a step goes into one ``with`` block: every forward and
    backward pass of it (several under gradient accumulation), clipping, and the optimiser's step.
    Training gives the same bits with and without the recorder: modes, ``.grad``, random state and
    results are not touched; a copy or a file of the network that is made in a step has no hooks.
    Steps that are not recorded have none either, and cost nothing.

    Everything is read at its own moment: activations in the first forward pass that the gradient
    came through; ``.grad`` when a backward pass has ended (averaged over the processes by then, not
    yet unscaled, not yet clipped), and again when the optimiser is about to use it. The scale of a
    GradScaler is divided out of what is recorded, and stands beside it.

    What was used at ``optimizer.step()`` is what the record holds: passes that came before the
    gradients were last cleared, or come after the step (of a GAN's other network), are left out. Of
    several steps of an optimiser in one block the last counts; of several optimisers each for its
    own parameters. Where ``step(closure)`` evaluates the loss itself, as LBFGS does several times,
    its first evaluation counts: loss and gradient at the parameters that the step starts from. An
    optimiser inside another one makes its step for it: of SAM's two gradients the second is used,
    and recorded, also where its base optimiser is called by hand. Steps that are fused into the
    backward pass, one for each parameter, are recorded as they used it; clipping is not seen there.

    Under DistributedDataParallel every process makes a recorder; the one of rank 0 writes, the
    others do nothing. Its parameter gradients are those of all processes, its activations its own.

    Args:
        net: the network, or the DistributedDataParallel around it.
        path: a new file; steps are appended as they are completed. See ``load_training_record``.
        every: record each step whose number is a multiple of this, step 0 among them.
        optimizer: the one that trains `net`, or a list of several. Only their steps count, and a
            block without one warns. None: those of any optimiser that has its parameters.
        scaler: the GradScaler in use.
        layers: record these parts of the network alone: a module's path ("layer4"), with all that
            is in it, or a list of those. The norms of a step are then over their parameters.
        resume: go on with the file where it exists, else begin it.
        first_step: number of the first step; on resuming, later steps in the file are replaced.
            None: 0, or on resuming the one after the last recorded.
        data: name of the data set, for figures.

    Raises:
        FileExistsError: the file exists, and `resume` is False.
        FileNotFoundError: its folder does not.
        NotTraceable: a scripted or compiled network, in which hooks do not fire.
        RuntimeError: another process writes the file.
        TypeError: arguments of a wrong type.
        ValueError: sharded parameters (FSDP); a DataParallel; an optimiser of another network;
            a layer that there is not; a file of another network, or of other parts.

    Warns:
        ResvizWarning: a step that could not be recorded: no backward pass in it; the disk is full.
            Training goes on.

    Example:
        >>> import tempfile, torch
        >>> from torch import nn
        >>> from resviz.networks.cifar import cifar_resnet
        >>> from resviz.training.recorder.record import load_training_record
        >>> net, folder = cifar_resnet(8, seed=0), tempfile.TemporaryDirectory()
        >>> path = folder.name + "/run.resviz-log"
        >>> optimizer = torch.optim.SGD(net.parameters(), 0.1)
        >>> recorder = TrainingRecorder(net, path, every=2, optimizer=optimizer)
        >>> for images, targets in [(torch.randn(8, 3, 32, 32), torch.arange(8))] * 3:
        ...     with recorder.step() as step:
        ...         optimizer.zero_grad()
        ...         loss = nn.functional.cross_entropy(net(images), targets)
        ...         step.loss(loss)
        ...         loss.backward()
        ...         _ = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        ...         optimizer.step()
        >>> recorder.close()
        >>> load_training_record(path).steps[["step", "clipped"]].to_numpy().tolist()
        [[0, True], [2, True]]
        >>> folder.cleanup()
    """

    @public
    def __init__(
        self,
        net: nn.Module,
        path: str | os.PathLike[str],
        every: int = 10,
        *,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
        scaler: torch.amp.GradScaler | None = None,
        layers: str | Sequence[str] | None = None,
        resume: bool = False,
        first_step: int | None = None,
        data: str | None = None,
    ) -> None:
        self.net = unwrapped(net)
        self.every = whole("every", every, least=1)
        self.optimizer = optimizer
        self.optimizers = checked_optimizers(optimizer, self.net)
        self.scaler = checked_scaler(scaler, optimizer)
        self.parts = Parts.read(layers, self.net)
        first = None if first_step is None else whole("first_step", first_step, least=0)
        self.rank, self.world_size = _rank()
        self.path = arguments.path("path", path)
        self.number = first or 0
        self._active = self._warned = self._closed = False
        self._writer: training_file.Writer | None = None
        if self.rank == 0:
            header = _header(self.net, self.optimizers, self.scaler, self.parts)
            header |= {"world_size": self.world_size, "every": self.every, "data": data}
            self._open(header, resume, first)

    def _open(self, header: dict[str, Any], resume: bool, first: int | None) -> None:
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"{caller()}: no folder {str(self.path.parent)!r}; make it first."
            )
        if resume and self.path.exists() and not self.path.stat().st_size:
            self.path.unlink()  # killed before the first line
        if not self.path.exists():
            self._writer = training_file.Writer(self.path, header)
            return
        if not resume:
            raise FileExistsError(
                f"{caller()}: {str(self.path)!r} exists; a new path, or resume=True to go on "
                "with it, would be right. It is never overwritten: to begin again, delete it."
            )
        content = training_file.read(self.path)
        training_file.warn_of_broken(self.path, content)
        if content.header.get("parameters") != header["parameters"]:
            raise ValueError(
                f"{caller()}: {str(self.path)!r} is of a network with other parameters "
                f"({content.header.get('network')}); the same network, or a new path, would be "
                "right."
            )
        numbers = [int(step["row"]["step"]) for step in content.steps]
        if first is None:
            self.number = max(numbers, default=-1) + 1
        keep = sum(number < self.number for number in numbers)
        self._writer = training_file.Writer(self.path, header, content, keep)

    @public_as("TrainingRecorder")
    def step(self, epoch: float | Tensor | None = None) -> Step:
        """The ``with`` block around one whole step; its number counts up by itself.

        Args:
            epoch: for the record, a number.

        Raises:
            RuntimeError: the recorder is closed.
            TypeError: an epoch that is no number.
            ValueError: one that is not finite.
        """
        if self._closed:
            raise RuntimeError(f"{caller()}: closed; step() comes before close().")
        if isinstance(epoch, Tensor) and epoch.numel() == 1:
            epoch = epoch.item()
        return Step(self, None if epoch is None else number("epoch", epoch))

    @public_as("TrainingRecorder")
    def close(self) -> None:
        """Close the file. What was recorded is in it already.

        Raises:
            RuntimeError: a step is under way.
        """
        if self._active:
            raise RuntimeError(f"{caller()}: close() inside a step; close after the loop.")
        self._closed = True
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> TrainingRecorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- for Step
    def _begin(self) -> int | None:
        """The number of the step that begins; None where it is not recorded."""
        if self._active:
            raise RuntimeError(
                f"{caller()}: a step inside a step; one with block after the other is right."
            )
        self._active = True
        begun = self.number
        self.number += 1
        return begun if self._writer is not None and begun % self.every == 0 else None

    def _write(self, number: int, watched: WatchedStep, about: dict[str, Any]) -> None:
        if self._writer is None:
            return
        if not watched.complete:
            self._warn(
                f"step {number} is not recorded: no backward pass through the network's output in "
                "it; net(images) and loss.backward() belong into the with block."
            )
            return
        if self.optimizers and not watched.updated and not watched.was_skipped():
            self._warn(
                f"step {number}: the optimiser made no step in the with block, so clipping is not "
                "known; optimizer.step() belongs into it."
            )
        record = watched.record()
        if not watched.measured:
            self._warn(
                f"step {number}: its activations are NaN, for the gradients of an earlier pass of "
                "the network were cleared after the forward pass of this one; zero_grad() before "
                "that pass would be right."
            )
        row = {"step": number, **about, **record.pop("row")}
        row |= {"rank": self.rank, "world_size": self.world_size, "time": time.time()}
        try:
            self._writer.append(row, record)
        except OSError as error:
            self._writer.close()
            self._writer = None
            self._warned = False
            self._warn(f"recording ends with step {number}, training goes on: {error}.")

    def _warn(self, message: str) -> None:
        if not self._warned:  # once: a loop has a million steps
            self._warned = True
            warn(f"{caller()}: {message}")


class Step:
    """One step of the loop; what ``with recorder.step() as step`` gives."""

    __slots__ = ("_epoch", "_hooks", "_number", "_recorder", "_start", "_watched")

    def __init__(self, recorder: TrainingRecorder, epoch: int | float | None) -> None:
        self._recorder, self._epoch = recorder, epoch
        self._hooks: Hooks | None = None
        self._watched: WatchedStep | None = None
        self._number: int | None = None
        self._start = 0.0

    @property
    def recorded(self) -> bool:
        """True inside a step that is recorded."""
        return self._watched is not None

    @public_as("TrainingRecorder")
    def loss(self, value: Tensor | float) -> None:
        """Record a loss; call it before its ``backward()``, once for each micro-batch.

        A tensor's value is weighed by the gradient that arrives at it: of ``loss`` under
        ``(loss / 4).backward()`` a quarter counts.

        Raises:
            TypeError: neither a number nor a tensor.
            ValueError: a tensor of several numbers.
        """
        if self._watched is None:
            return
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(
                    f"{caller()}: a loss of shape {tuple(value.shape)}; one number would be "
                    "right. loss.mean() is one."
                )
        elif not isinstance(value, int | float):
            raise TypeError(
                f"{caller()}: a loss that is a {type(value).__name__}; a tensor of one "
                "number, or a number, would be right."
            )
        self._watched.loss(value)

    @public_as("TrainingRecorder")
    def __enter__(self) -> Step:
        recorder = self._recorder
        begun = recorder._begin()
        if begun is None:
            return self
        hooks = Hooks(hidden=True)
        try:
            self._start = time.perf_counter()
            check_whole(recorder.net)
            self._watched = WatchedStep(
                recorder.net, recorder.optimizers, recorder.scaler, hooks, recorder.parts
            )
        except BaseException:
            hooks.__exit__(None, None, None)
            recorder._active = False
            raise
        self._number, self._hooks = begun, hooks
        return self

    @public_as("TrainingRecorder")
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        recorder, watched, hooks = self._recorder, self._watched, self._hooks
        self._watched = self._hooks = None
        try:
            if hooks is not None:
                hooks.__exit__(kind, error, trace)
            if watched is not None and self._number is not None and error is None:
                seconds = time.perf_counter() - self._start
                recorder._write(self._number, watched, {"epoch": self._epoch, "seconds": seconds})
        finally:
            recorder._active = False


def _rank() -> tuple[int, int]:
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _header(
    net: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    scaler: object,
    parts: Parts,
) -> dict[str, Any]:
    """What is recorded, as JSON holds it."""
    preset = preset_or_none(net, None)
    first = next(net.parameters(), torch.zeros(()))
    return {
        "network": preset.name if preset is not None else type(net).__name__,
        "weights": "in training",
        "device": str(first.device),
        "dtype": str(first.dtype).removeprefix("torch."),
        "loss": "the loop's own",
        "optimizer": ", ".join(type(each).__name__ for each in optimizers) or None,
        "scaler": type(scaler).__name__ if scaler is not None else None,
        "layers": list(parts.paths) if parts.paths is not None else None,
        "parameters": _shapes(parts.parameters(net)),
        "versions": dict(versions()),
    }


def _shapes(named: Iterable[tuple[str, nn.Parameter]]) -> list[list[Any]]:
    return [[name, list(parameter.shape)] for name, parameter in named]
