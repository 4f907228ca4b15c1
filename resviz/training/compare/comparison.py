"""`train_compare`: plain and residual networks trained side by side."""

from __future__ import annotations

import os
import pathlib
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.arguments import Progress, caller, public
from resviz.arguments import seeds as seeds_of
from resviz.errors import warn
from resviz.hooks import gradients
from resviz.progress import bar
from resviz.provenance import versions
from resviz.storage import Provenance
from resviz.training.compare.course import PROBE, Course
from resviz.training.compare.data import TrainingData, training_data
from resviz.training.compare.plan import MOMENTUM, WARM, WEIGHT_DECAY, Plan
from resviz.training.compare.variants import (
    Variant,
    built,
    check_arguments,
    device_of,
    plan_of,
)

Data = str | Sequence[Tensor]
_OWN = ("network", "weights", "classes", "changes")  # differ between variants


@dataclass(frozen=True, eq=False)
class TrainComparison:
    """What :func:`train_compare` has measured so far.

    Attributes:
        curves: a row per variant, seed and epoch (0: before training): ``train_loss`` and
            ``train_error``, measured *after* the epoch in eval mode on all training images as they
            are; ``test_loss`` and ``test_error`` likewise; ``running_loss`` and ``running_error``,
            the mean over the epoch's batches while the network changed, in train mode with
            augmentation, which is what most logs call training error; ``seconds`` spent on the
            epoch's steps. Losses are cross-entropy, errors percent.
        gradients: rows of :func:`resviz.gradient_norms` with ``variant``, ``seed``, ``epoch``: L2
            norm of each weight's gradient of the mean cross-entropy over the first training images
            (the same for all), BatchNorm on batch statistics. NaN where a network has diverged.
        networks: by (variant, seed), the copies that were trained, in eval mode. In a comparison
            that `on_update` gets, they go on training afterwards.
        provenance: data, plan of the training, device, versions; whether it is ``finished`` or was
            ``stopped``.
    """

    curves: pd.DataFrame
    gradients: pd.DataFrame
    networks: Mapping[tuple[str, int], nn.Module]
    provenance: Provenance = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether every network was trained to the end."""
        return bool(self.provenance.get("finished"))

    @property
    def stopped(self) -> bool:
        """Whether an interrupt ended the training before."""
        return bool(self.provenance.get("stopped"))

    def __repr__(self) -> str:
        about = self.provenance
        lines = [f"TrainComparison on {about['data']}, {about['epochs']} epochs"]
        for name, part in self.curves.groupby("variant", sort=False):
            last = part.groupby("seed", sort=False).tail(1)
            epochs = "/".join(str(epoch) for epoch in sorted(set(last["epoch"])))
            errors = ", ".join(f"{e:.1f}" for e in last["train_error"])
            tests = ", ".join(f"{e:.1f}" for e in last["test_error"])
            lines.append(
                f"  {name}: after epoch {epochs}, training error {errors} %, test error {tests} %"
            )
        return "\n".join(lines if self.finished else [*lines, "  not finished"])


@public
def train_compare(
    variants: Mapping[str, Variant],
    data: Data = "digits",
    *,
    epochs: int = 8,
    seeds: int | Sequence[int] = (0,),
    batch: int | None = None,
    rate: float = 0.1,
    augment: bool | None = None,
    subset: int | None = None,
    folder: str | os.PathLike[str] = "data",
    checkpoint: str | os.PathLike[str] | None = None,
    record_every: str | int = "epoch",
    on_update: Callable[[TrainComparison], object] | None = None,
    progress: Progress = None,
    device: str | torch.device | None = None,
) -> TrainComparison:
    """Training curves and gradient norms of several networks, trained in turn epoch by epoch.

    The experiment of He et al. 2015, "Deep Residual Learning for Image Recognition"
    (https://arxiv.org/abs/1512.03385, Fig. 1 and 6): a deep plain network ends with a higher
    *training* error than a shallow one, a residual network does not. Optimiser as there, section
    4.2: SGD, momentum 0.9, weight decay 1e-4, cross-entropy. The learning rate is one cycle:
    it rises to `rate` over the first quarter of all steps, then falls to nearly 0. All variants of
    a seed get the same batches in the same order, shifted and mirrored in the same way.

    Interrupt it (the stop button, Ctrl-C) and it returns what it has, with a warning. With
    `checkpoint`, the same call goes on from there: after an interrupt from the very step, after a
    killed process from the last write (every epoch, and every minute within one). The result is
    that of an uninterrupted training, on a CPU with as many threads bit by bit.

    Args:
        variants: by name: a network, copied and not changed itself (a seed then draws its batches
            alone); a function (seed) -> network; or options of
            :func:`resviz.networks.cifar.cifar_resnet`, or with ``"family": "digits"`` of
            :func:`resviz.networks.digits.digits_resnet`.
        data: "digits" (scikit-learn's, 8x8: seconds), "cifar10" from `folder`, or four tensors:
            training images and targets, test images and targets, normalised.
        epochs: passes over the training images.
        seeds: how many (0, 1, 2, ...), or which.
        batch: images per step; None: 64 for digits, else 128. What is left over is not used in
            that epoch.
        rate: the peak learning rate.
        augment: shift training images by up to 4 pixels and mirror half; None: only CIFAR-10 ones.
        subset: train on so many images, drawn once for all; None: on all.
        folder: where CIFAR-10 lies, as ``train.npz`` and ``test.npz`` (``images`` uint8
            (N, 32, 32, 3), ``labels``), as ``train/<class name>/*.png``, or as torchvision keeps
            it. Nothing is downloaded.
        checkpoint: a folder, made where there is none, with a file per network and seed. More
            variants or seeds may be added to it by a later call.
        record_every: gradient norms are measured before training, then after every "epoch" or
            every so many, and at the end.
        on_update: called with the comparison after each epoch of each network, and after a stop.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.
        device: None takes a GPU if there is one.

    Returns:
        A :class:`TrainComparison`.

    Raises:
        TypeError: variants, data or a number of the wrong kind.
        ValueError: no variants, seeds or images; a network that does not fit the data; or the
            checkpoint is of another training.
        FileNotFoundError: no CIFAR-10 in `folder`.
        ModuleNotFoundError: "digits" without scikit-learn.

    Example:
        >>> options = {"family": "digits", "depth": 4}
        >>> comparison = train_compare({"ResNet-4": options}, subset=64, epochs=1, progress=False)
        >>> list(comparison.curves["epoch"])
        [0, 1]
    """
    check_arguments(variants, epochs, rate, record_every, augment)
    chosen = seeds_of(seeds)
    where = device_of(device)
    home = None if checkpoint is None else _home(checkpoint)
    with gradients(True):  # whatever is made in inference mode could not be trained
        found = training_data(data, folder, subset)
        plan = plan_of(found, epochs, batch, rate, augment, record_every)
        runs = _runs(variants, chosen, found.to(where), plan)
        paths = {run: home / _file(run) for run in runs} if home else {}
        for run, path in paths.items():
            if path.exists():
                run.load(path)
        return _Training(runs, paths, plan, chosen, where).go(on_update, progress)


def _runs(
    variants: Mapping[str, Variant], seeds: Sequence[int], data: TrainingData, plan: Plan
) -> list[Course]:
    """One for each variant and seed, at its start."""
    return [
        Course(str(name), seed, built(str(name), variant, seed), data, plan)
        for name, variant in variants.items()
        for seed in seeds
    ]


class _Training:
    """All runs of a comparison, advanced in turn."""

    def __init__(
        self,
        runs: list[Course],
        paths: dict[Course, pathlib.Path],
        plan: Plan,
        seeds: list[int],
        device: torch.device,
    ) -> None:
        self._runs, self._paths, self._plan = runs, paths, plan
        self._about = {
            "data": plan.data,
            "seeds": seeds,
            **{k: v for k, v in asdict(plan).items() if k != "data"},
            "optimiser": f"SGD, momentum {MOMENTUM}, weight decay {WEIGHT_DECAY:g}",
            "schedule": f"one cycle, peak after {WARM:.0%} of the steps",
            "loss": "cross_entropy",
            "probe": min(PROBE, len(runs[0].data.train_targets)),
            "train_images": len(runs[0].data.train_targets),
            "test_images": len(runs[0].data.test_targets),
            "device": str(device),
            "threads": torch.get_num_threads(),
            "versions": dict(versions()),
        }

    def go(
        self, on_update: Callable[[TrainComparison], object] | None, progress: Progress
    ) -> TrainComparison:
        """Advance every run to its end; what an interrupt finds is kept."""
        tell = on_update or (lambda _: None)
        self._about["stopped"] = False
        done = sum(len(run.rows) for run in self._runs)
        total = len(self._runs) * (self._plan.epochs + 1)
        try:
            with bar(total, "training", progress, done=done) as shown:
                for run in self._turns():
                    run.advance(lambda run=run: self._save(run))
                    self._save(run)
                    shown.update(1)
                    tell(self._comparison())
            if done == total:
                tell(self._comparison())
        except KeyboardInterrupt:
            self._save_all()
            self._about["stopped"] = not all(run.finished for run in self._runs)
            warn(self._stopped())
            tell(self._comparison())
        except BaseException:
            self._save_all()
            raise
        return self._comparison()

    def _turns(self) -> Any:
        """The run whose turn it is: all finish an epoch before one begins the next."""
        for epoch in range(self._plan.epochs + 1):
            for seed in dict.fromkeys(run.seed for run in self._runs):
                for run in self._runs:
                    if run.seed == seed and len(run.rows) == epoch:
                        yield run

    def _save(self, run: Course) -> None:
        if run in self._paths:
            run.save(self._paths[run])

    def _save_all(self) -> None:
        for run in self._runs:
            run.settle()
            self._save(run)

    def _stopped(self) -> str:
        epochs = [len(run.rows) - 1 for run in self._runs]
        where = f"after epoch {max(min(epochs), 0)} of {self._plan.epochs}"
        if self._paths:
            folder = str(next(iter(self._paths.values())).parent)
            return f"{caller()}: stopped {where}; the same call goes on from {folder!r}."
        return (
            f"{caller()}: stopped {where}; what was measured is returned. With checkpoint= a"
            " later call could go on."
        )

    def _comparison(self) -> TrainComparison:
        about = self._about | {"finished": all(run.finished for run in self._runs)}
        curves = pd.DataFrame([row for run in self._runs for row in run.rows])
        frames = [_keyed(run, epoch, t) for run in self._runs for epoch, t in run.tables]
        norms = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        curves.attrs.update(about)
        if frames:
            norms.attrs.update(self._measured())
        networks = {(run.variant, run.seed): run.net for run in self._runs}
        return TrainComparison(curves, norms, networks, about)

    def _measured(self) -> dict[str, Any]:
        """How the gradient norms were measured, where that is the same for all."""
        each = [t.attrs for run in self._runs for _, t in run.tables[:1]]
        common = {str(k): v for k, v in each[0].items()
                  if k not in _OWN and all(a.get(k) == v for a in each)}  # fmt: skip
        return common | {"data": self._about["data"], "seeds": self._about["seeds"]}


def _keyed(run: Course, epoch: int, table: pd.DataFrame) -> pd.DataFrame:
    frame = table.copy()
    frame.attrs = {}
    frame.insert(0, "variant", run.variant)
    frame.insert(1, "seed", run.seed)
    frame.insert(2, "epoch", epoch)
    return frame


# ---- checkpoint
def _home(checkpoint: str | os.PathLike[str]) -> pathlib.Path:
    home = arguments.path("checkpoint", checkpoint)
    if home.exists() and not home.is_dir():
        raise ValueError(
            f"{caller()}: checkpoint {str(home)!r} is a file; a folder would be right."
        )
    home.mkdir(parents=True, exist_ok=True)
    return home


def _file(run: Course) -> str:
    return f"{urllib.parse.quote(run.variant, safe=' ')}.seed{run.seed}.pt"
