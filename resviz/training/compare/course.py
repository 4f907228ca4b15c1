"""One network in training: a step, an epoch, what is measured, and how it is kept on disk."""

from __future__ import annotations

import json
import pathlib
import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resviz.analysis.gradients import gradient_norms
from resviz.arguments import caller
from resviz.errors import NonFinite
from resviz.hooks import batch_norms, evaluating, gradients
from resviz.networks.outputs import logits_of, missed, widened
from resviz.networks.surgery.copies import copied
from resviz.preset import set_preset
from resviz.provenance import preset_or_none, settings_of
from resviz.torch_private import buffers_of
from resviz.training.compare.checkpoint import read, write
from resviz.training.compare.data import TrainingData, draw_shifts, shifted
from resviz.training.compare.plan import MOMENTUM, WEIGHT_DECAY, Plan, mixed, own_random

PROBE = 128  # training images on which gradients are measured
_CHUNK = 500  # images per forward pass where nothing is trained
_SAVE = 60.0  # seconds between checkpoints inside an epoch


def _said_trained(net: nn.Module) -> nn.Module:
    """The network, with a preset that no longer says "random" or whose weights these were."""
    preset = preset_or_none(net, None)
    if preset is not None:
        weights = f"{preset.weights}, trained by train_compare"
        set_preset(net, replace(preset, weights=weights), check=False)
    return net


class Course:
    """A copy of one network, its optimiser, and what was measured so far.

    Attributes:
        variant: name of the network.
        seed: of its batches.
        net: the copy that is trained; in eval mode between epochs.
        step: updates made.
        rows: a row of the curves per finished epoch, the first before training.
        tables: the gradient norms that go with them, None where none were measured.
    """

    def __init__(
        self, variant: str, seed: int, net: nn.Module, data: TrainingData, plan: Plan
    ) -> None:
        self.variant, self.seed, self.plan, self.data = variant, seed, plan, data
        device = data.train_images.device
        self.net = _said_trained(copied(net).to(device).eval())
        self._optimiser = self._sgd()
        self._running = torch.zeros(3, device=device)  # sum of losses, wrong, seen in this epoch
        self._fixed = self._in_place()
        self._buffers = [
            (f"buffer {path}.{name}", buffers_of(module), name)
            for path, module in self.net.named_modules()
            for name, buffer in buffers_of(module).items()
            if buffer is not None
        ]
        self._backup = [torch.empty_like(t) for t in self._live().values()]
        # (updates made, whether `_backup` and not the network itself holds them): one object, so
        # that an interrupt finds either the old state or the new one
        self._position = (0, False)
        self._seconds = 0.0
        self._done: list[tuple[dict[str, Any], pd.DataFrame | None]] = []
        self._start = self._start_logits()
        self._start_weights, self._settings = _projected(self.net), settings_of(self.net)

    @property
    def step(self) -> int:
        """Updates made."""
        return self._position[0]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row of the curves per finished epoch."""
        return [row for row, _ in self._done]

    @property
    def tables(self) -> list[tuple[int, pd.DataFrame]]:
        """(epoch, gradient norms) wherever they were measured."""
        return [(row["epoch"], table) for row, table in self._done if table is not None]

    @property
    def finished(self) -> bool:
        """Whether every epoch is trained and measured."""
        return len(self._done) == self.plan.epochs + 1

    def advance(self, save: Any = None) -> None:
        """Train and measure one epoch, or what is left of it; the first time only measure.

        Args:
            save: called now and then with nothing, between two steps.
        """
        epoch = len(self._done)
        self.settle()
        if epoch:
            try:
                self._train(epoch, save)
            finally:
                self.settle()
                self.net.eval()
        self._keep()  # measuring changes nothing, unless it is interrupted while it tidies up
        measured = self._measure(epoch)
        self._position = (self.step, False)
        self._done.append(measured)
        self._seconds = 0.0

    # ---- training
    def _sgd(self) -> torch.optim.SGD:
        """The optimiser, with a momentum of zeros: what a step writes into is there from now on."""
        trained = [p for p in self.net.parameters() if p.requires_grad]
        if not trained:
            raise ValueError(
                f"{caller()}: no parameter of {self.variant!r} wants a gradient; call"
                " net.requires_grad_(True) first."
            )
        made = torch.optim.SGD(
            trained, lr=self.plan.rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        for parameter in trained:
            parameter.grad = None
            made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return made

    def _train(self, epoch: int, save: Any) -> None:
        first, steps = (epoch - 1) * self.plan.steps, self.plan.steps
        order, shifts = self._drawn(epoch)
        saved = time.monotonic()
        if self.step == first:
            self._running.zero_()
        self.net.train()
        with own_random(self.data.train_images.device) as reseed, gradients(True):
            for step in range(self.step, first + steps):
                begun = time.perf_counter()
                part = slice((step - first) * self.plan.batch, (step - first + 1) * self.plan.batch)
                self._keep()
                reseed(mixed(self.seed, 1, step))
                self._update(order[part], shifts and tuple(s[part] for s in shifts), step)
                self._position = (step + 1, False)
                self._seconds += time.perf_counter() - begun
                if save is not None and time.monotonic() - saved > _SAVE:
                    save()
                    saved = time.monotonic()

    def _drawn(self, epoch: int) -> tuple[Tensor, Any]:
        """Order and shifts of an epoch: of the seed alone, so the same for every variant."""
        generator = torch.Generator("cpu").manual_seed(mixed(self.seed, 0, epoch))
        n = len(self.data.train_targets)
        order = torch.randperm(n, generator=generator, device="cpu")
        return order, draw_shifts(n, generator) if self.plan.augment else None

    def _update(self, chosen: Tensor, shifts: Any, step: int) -> None:
        data = self.data
        chosen = chosen.to(data.train_images.device)
        images, targets = data.train_images[chosen], data.train_targets[chosen]
        if shifts is not None:
            images = shifted(images, shifts)
        logits = widened(logits_of(self.net(data.inputs(images))))
        loss = F.cross_entropy(logits, targets)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.param_groups[0]["lr"] = self.plan.rate_at(step)
        self._optimiser.step()
        wrong = missed(logits.detach(), targets).sum()
        seen = torch.full_like(wrong, len(targets))
        self._running += torch.stack([loss.detach() * len(targets), wrong, seen])

    # ---- a state that is whole at every moment
    def _in_place(self) -> dict[str, Tensor]:
        """Parameters, momentum and running sums by name: a step writes into these tensors."""
        fixed = {f"parameter {n}": p.data for n, p in self.net.named_parameters()}
        for name, parameter in self.net.named_parameters():
            if parameter in self._optimiser.state:
                momentum = self._optimiser.state[parameter]["momentum_buffer"]
                fixed[f"momentum {name}"] = momentum
        return fixed | {"running": self._running}

    def _live(self) -> dict[str, Tensor]:
        """Everything that a step changes, by name; a module may replace a buffer by another."""
        found = dict(self._fixed)
        for label, buffers, name in self._buffers:
            tensor = buffers[name]
            if tensor is not None:
                found[label] = tensor
        return found

    def _keep(self) -> None:
        self._copy(self._live().values(), self._backup)
        self._position = (self.step, True)

    def settle(self) -> None:
        """After an interrupt: put back what a half-made step has changed."""
        if self._position[1]:
            self._copy(self._backup, self._live().values())
            self._position = (self.step, False)

    @torch.no_grad()
    def _copy(self, source: Any, target: Any) -> None:
        for one, other in zip(source, target, strict=True):
            other.copy_(one)

    # ---- measuring
    def _measure(self, epoch: int) -> tuple[dict[str, Any], pd.DataFrame | None]:
        data = self.data
        train_loss, train_error = self._evaluate(data.train_images, data.train_targets)
        test_loss, test_error = self._evaluate(data.test_images, data.test_targets)
        loss, wrong, seen = self._running.tolist()
        row = {"variant": self.variant, "seed": self.seed, "epoch": epoch}
        row |= {"train_loss": train_loss, "train_error": train_error}
        row |= {"test_loss": test_loss, "test_error": test_error}
        row |= {
            "running_loss": loss / seen if epoch else float("nan"),
            "running_error": 100 * wrong / seen if epoch else float("nan"),
            "seconds": self._seconds,
        }
        wanted = epoch % self.plan.record_every == 0 or epoch == self.plan.epochs
        return row, self._gradients() if wanted else None

    def _evaluate(self, images: Tensor, targets: Tensor) -> tuple[float, float]:
        """(mean cross-entropy, error in percent) in eval mode, images as they are."""
        found = torch.zeros(2, dtype=torch.float64)
        with evaluating(self.net):
            parts = zip(torch.split(images, _CHUNK), torch.split(targets, _CHUNK), strict=True)
            for some, wanted in parts:
                logits = widened(logits_of(self.net(self.data.inputs(some))))
                losses = F.cross_entropy(logits, wanted, reduction="sum")
                found += torch.stack([losses, missed(logits, wanted).sum()]).cpu()
        return (found[0] / len(targets)).item(), (100 * found[1] / len(targets)).item()

    def _probe(self) -> tuple[Tensor, Tensor]:
        data = self.data
        return data.inputs(data.train_images[:PROBE]), data.train_targets[:PROBE]

    def _gradients(self) -> pd.DataFrame:
        batch_stats = bool(batch_norms(self.net))
        try:
            return gradient_norms(self.net, *self._probe(), batch_stats=batch_stats)
        except NonFinite:
            if not self.tables:
                raise
        diverged = self.tables[-1][1].copy()  # the same layers; no number is known of them
        diverged[["grad_norm", "weight_norm"]] = np.nan
        return diverged

    def _start_logits(self) -> Tensor:
        images, _ = self._probe()
        top = int(max(self.data.train_targets.max(), self.data.test_targets.max()))
        try:
            with evaluating(self.net):
                logits = logits_of(self.net(images))
        except (RuntimeError, ValueError) as error:
            reason = str(error).removeprefix(f"{caller()}: ")
            raise ValueError(
                f"{caller()}: {self.variant!r} cannot take images of shape"
                f" {tuple(images.shape)}, {images.dtype}: {reason}; a network for these would be"
                " right."
            ) from error
        if logits.ndim != 2 or logits.shape[1] <= top:
            raise ValueError(
                f"{caller()}: {self.variant!r} gives logits of shape {tuple(logits.shape)} for"
                f" targets up to {top}; (N, {top + 1}) or more would be right."
            )
        return logits.detach().cpu()

    # ---- on disk
    def save(self, path: pathlib.Path) -> None:
        """Write everything that the training needs to go on, at once or not at all."""
        self.settle()
        state = {
            "plan": json.dumps(asdict(self.plan), sort_keys=True),
            "network": repr(self.net),
            "start": self._start,
            "start_weights": self._start_weights,
            "settings": self._settings,
            "step": self.step,
            "seconds": self._seconds,
            "tensors": {name: t.detach().cpu().clone() for name, t in self._live().items()},
            "rows": self.rows,
            "tables": [table for _, table in self._done],
        }
        write(path, state)

    def load(self, path: pathlib.Path) -> None:
        """Go on where :meth:`save` was called.

        Raises:
            ValueError: the file is damaged, or is of another network, data set or plan.
        """
        state = read(path)
        self._check_same(path, state)
        live = self._live()
        self._copy([state["tensors"][name] for name in live], live.values())
        self._done = list(zip(state["rows"], state["tables"], strict=True))
        self._position, self._seconds = (state["step"], False), state["seconds"]

    def _check_same(self, path: pathlib.Path, state: dict[str, Any]) -> None:
        mine, its = asdict(self.plan), json.loads(state["plan"])
        differ = [f"{k} {its.get(k)} there, {mine[k]} here" for k in mine if its.get(k) != mine[k]]
        if not differ and state["network"] != repr(self.net):
            differ = ["another architecture"]
        differ = differ or self._other_start(state)
        if differ:
            raise ValueError(
                f"{caller()}: {str(path)!r} is the checkpoint of another training of"
                f" {self.variant!r} ({'; '.join(differ)}); the arguments it was made with would be"
                " right. To train anew, name another folder."
            )

    def _other_start(self, state: dict[str, Any]) -> list[str]:
        """What differs before the first step; files of earlier versions hold the logits alone."""
        weights = state.get("start_weights", self._start_weights)
        if not _alike(state["start"], self._start) or not _same(weights, self._start_weights):
            return ["other weights to start from"]
        its, mine = state.get("settings", self._settings), self._settings
        names = [name for name in {**its, **mine} if its.get(name) != mine.get(name)]
        return [f"{name} {its.get(name)} there, {mine.get(name)} here" for name in names]


def _projected(net: nn.Module) -> Tensor:
    """(tensors, 2) of parameters and buffers: along a random direction, and their norm."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for tensor in (*net.parameters(), *net.buffers()):
        values = tensor.detach().to("cpu", torch.float64).flatten()
        drawn = torch.randn(len(values), generator=generator, dtype=torch.float64)
        found.append(torch.stack([drawn @ values, values.norm()]))
    return torch.stack(found)


def _same(one: Tensor, other: Tensor) -> bool:
    """The same tensors by :func:`_projected`, but for an initialisation's rounding elsewhere."""
    if one.shape != other.shape:
        return False
    near = (one - other).abs() <= 1e-5 * other[:, 1:]
    return bool((near | (one == other) | (one.isnan() & other.isnan())).all())


def _alike(one: Tensor, other: Tensor) -> bool:
    """The same logits but for the kernels of another device."""
    if one.shape != other.shape:
        return False
    scale = other.double().square().mean().sqrt().item()
    return torch.allclose(one.double(), other.double(), rtol=0, atol=1e-2 * scale, equal_nan=True)
