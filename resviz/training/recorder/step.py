"""One recorded step of a user's own training loop: what is read, and when.

The step is watched from outside: the first forward pass of the network that its gradient came
through, as :class:`~resviz.recording.measuring.MeasuredPass` does it; ``.grad`` of the parameters
as every backward pass begins and ends, which is before any unscaling or clipping; and once more
when an optimiser is about to use it, which is after both. What was used at that moment is what the
record holds: a backward pass that comes later (of a GAN's other network) changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.hooks import Hooks
from resviz.recording import tables
from resviz.recording.seen import Seen
from resviz.recording.statistics import read
from resviz.torch_private import version
from resviz.training.recorder.file import STATIC
from resviz.training.recorder.losses import Losses
from resviz.training.recorder.parts import Parts
from resviz.training.recorder.passes import Passes
from resviz.training.recorder.updates import (
    NONE,
    Number,
    Start,
    Updates,
    Use,
    gradients,
    ids_of,
    rates,
    squares,
)

_CLIPPED = 1e-5  # relative: unscaling by powers of two is exact, clipping is not this small
_SCALED = ("grad_rms", "grad_norm", "grad_sum_rms", "grad_branch_rms", "grad_shortcut_rms")


def _roots(squared: list[float], scale: float) -> list[float]:
    """L2 norms; NaN where there is no gradient, or one with NaN in it."""
    return [math.sqrt(v) / scale if v >= 0 else math.nan for v in squared]


def _total(squared: Sequence[float], scale: float) -> float:
    """L2 norm over all parameters that have a gradient; NaN where none has."""
    there = [v for v in squared if v != NONE]
    return math.sqrt(sum(there)) / scale if there and sum(there) >= 0 else math.nan


# of each ``.grad`` that is there which tensor it is, and how often that was written to
_State = list[tuple[int, int]]


@dataclass(frozen=True)
class _Backward:
    """Squares of every ``.grad`` as a backward pass began and as it ended; the scaler's scale."""

    carried: list[Number]
    left: list[Number]
    scale: float


@dataclass(frozen=True)
class _Gradient:
    """The gradient of the step, a number per parameter, and where it came from.

    Attributes:
        before: squares when its last backward pass had ended.
        used: squares when an optimiser used it.
        inside: an optimiser used it inside the backward pass, where `before` is not known.
        weights: squares of the parameters at that moment.
        rates: learning rates.
        backwards: the numbers of the backward passes that it is the sum of.
        scale: of the scaler. used_scale: what is left of that in `used`.
    """

    before: list[float]
    used: list[float]
    inside: bool
    weights: list[float]
    rates: list[float]
    backwards: set[int]
    scale: float
    used_scale: float


class WatchedStep:
    """Watches one step; :meth:`record` turns what it saw into numbers.

    Args:
        net: the network itself, without a DistributedDataParallel around it.
        optimizers: whose ``step()`` uses the gradients; none: whoever has a parameter.
        scaler: a gradient scaler that is in use, or None.
        hooks: live as long as the step.
        parts: what of the network is recorded.

    Attributes:
        measured: after :meth:`record`, whether the pass of the gradient that was used was measured.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        scaler: Any | None,
        hooks: Hooks,
        parts: Parts,
    ) -> None:
        self.net, self.optimizers, self.scaler, self.parts = net, optimizers, scaler, parts
        self._backwards: list[_Backward] = []
        self._carried: list[Number] = []
        self._mark: _State = []
        self.measured = False
        self._start: Start | None = None
        self._named: list[tuple[str, nn.Parameter]] = []
        self._hooks = hooks
        self._passes = Passes(net, hooks, self._began, self._ended, self._another_gradient)
        self._losses = Losses(hooks, lambda: self._passes.ended, self._passes.begin)
        self._updates = Updates(
            optimizers, self._parameters, lambda: self._passes.ended, hooks, self._passes.anew
        )

    @property
    def complete(self) -> bool:
        """Whether a backward pass came through a pass of the network that was measured."""
        return any(each.backwards for each in self._passes.forwards if each.gradients)

    @property
    def updated(self) -> bool:
        """Whether an optimiser made its step."""
        return bool(self._updates.uses)

    def loss(self, value: Tensor | float) -> None:
        """The value of a loss, before its backward pass."""
        self._losses.hand(value)

    # ---- while the loop runs
    def _parameters(self) -> list[nn.Parameter]:
        if not self._named:
            self._named = self.parts.parameters(self.net)
        return [parameter for _, parameter in self._named]

    def _began(self) -> None:
        self._mark = self._state_of_gradients()
        self._carried = gradients(self._parameters())
        if self._start is None:
            self._start = Start(squares(self._parameters()), {})

    def _ended(self) -> bool:
        """True where the backward pass has changed ``.grad``."""
        scale = 1.0 if self.scaler is None else float(self.scaler.get_scale())
        self._backwards.append(_Backward(self._carried, gradients(self._parameters()), scale))
        before, self._mark = self._mark, self._state_of_gradients()
        if not self._updates.uses:
            self._start = Start(self._start.weights if self._start else [], rates(self.optimizers))
        return self._mark != before

    def _another_gradient(self) -> bool:
        """True for the first pass after ``.grad`` was written to by others than autograd."""
        if not self._backwards:  # a first pass may still make parameters
            return False
        before, self._mark = self._mark, self._state_of_gradients()
        return self._mark != before

    def _state_of_gradients(self) -> _State:
        grads = (p.grad for p in self._parameters())
        return [(id(grad), version(grad)) for grad in grads if grad is not None]

    # ---- what was used
    def was_skipped(self) -> bool:
        """True where the scaler left the step out: it found gradients that are not finite."""
        if self.scaler is None or not self._backwards:
            return False
        gradient = self._gradient()
        own = ids_of(self.optimizers)  # the scaler looks at these alone
        pairs = zip(self._parameters(), gradient.before, strict=True)
        finite = all(math.isfinite(square) for p, square in pairs if not own or id(p) in own)
        lowered = float(self.scaler.get_scale()) < gradient.scale
        return not finite or (lowered and not self.updated)

    def _is_updated(self) -> bool:
        """Whether an optimiser changed its parameters: a fused one leaves that out by itself."""
        for use in self._updates.uses:
            pairs = zip(self._parameters(), use.squares, strict=True)
            own = read([square for p, square in pairs if id(p) in use.own])
            if not use.divides or math.isfinite(_total(own, 1.0)):
                return True
        return False

    def _gradient(self) -> _Gradient:
        """The gradient that optimisers used; the latest where none made its step."""
        events, uses = self._backwards, self._updates.by_parameter(self._parameters())
        count = len(uses)
        carried = _rows([event.carried for event in events], count)
        left = _rows([event.left for event in events], count)
        ends = [_end(use, len(events)) for use in uses]
        starts = [use.start if use is not None else self._start for use in uses]
        chosen: set[int] = set()
        for use in dict.fromkeys(use for use in uses if use is not None) or [None]:
            members = [i for i in range(count) if uses[i] is use]
            chosen |= _summed(carried, left, members, _end(use, len(events)))
        divides = any(use.divides for use in uses if use is not None)
        scale = events[max(chosen)].scale
        used = read([NONE if use is None else use.squares[i] for i, use in enumerate(uses)])
        inside = [use is not None and use.inside for use in uses]
        return _Gradient(
            before=[used[i] if inside[i] else left[end - 1][i] for i, end in enumerate(ends)],
            used=used,
            inside=any(inside),
            weights=read(self._weights(starts)),
            rates=[
                s.rates.get(id(p), math.nan) if s else math.nan
                for s, p in zip(starts, self._parameters(), strict=True)
            ],
            backwards=chosen,
            scale=scale,
            used_scale=scale if divides else 1.0,
        )

    def _weights(self, starts: Sequence[Start | None]) -> list[Number]:
        """Squares of the parameters as their steps began; of those in none, as the backward did."""
        found = [start.weights[i] if start else NONE for i, start in enumerate(starts)]
        if self._start is None:
            return found
        return [
            own if isinstance(one, float) and one == NONE else one
            for one, own in zip(found, self._start.weights, strict=True)
        ]

    # ---- numbers
    def record(self) -> dict[str, Any]:
        """The columns of the step's row, and its three tables."""
        gradient = self._gradient()
        through = self._passes.of(gradient.backwards)
        mine = through.seen_of(gradient.backwards)
        self.measured = mine is not None
        seen = mine or self._passes.measured[0].seen or Seen()  # the layers are the same
        layers = tables.layers(seen)
        residuals = self.parts.residuals(tables.residuals(seen, layers))
        blocks = self.parts.blocks(layers)
        for table in (blocks, residuals):
            for column in _SCALED:
                if column in table:
                    table[column] = table[column] / gradient.scale
            if mine is None:
                table[[str(name) for name in table if name not in STATIC]] = math.nan
        if mine is None:
            residuals["grad_reason"] = "the pass of this gradient was not measured"
        elif len(through.backwards & gradient.backwards) > 1:
            residuals["grad_reason"] = "it came in several backward passes through one forward pass"
        parameters = self._table(seen, layers)
        parameters["grad_norm"] = _roots(gradient.before, gradient.scale)
        parameters["grad_norm_used"] = _roots(gradient.used, gradient.used_scale)
        parameters["weight_norm"] = _roots(gradient.weights, 1.0)
        parameters["learning_rate"] = gradient.rates
        parameters["shard"] = "whole"
        row = self._row(gradient)
        return {"row": row, "parameters": parameters, "blocks": blocks, "residuals": residuals}

    def _table(self, seen: Seen, layers: pd.DataFrame) -> pd.DataFrame:
        table = tables.parameters(self.net, seen, layers, named=self.parts.parameters(self.net))
        if table["parameter"].tolist() != [name for name, _ in self._named]:
            raise RuntimeError(
                "TrainingRecorder: the network got other parameters between its backward pass and "
                "the end of the step; changing it between two steps would be right."
            )
        return table.drop(columns=["norm", "grad_norm"])

    def _row(self, gradient: _Gradient) -> dict[str, Any]:
        factor = _clip_factor(gradient)
        skipped = self.was_skipped()
        known = [rate for rate in gradient.rates if not math.isnan(rate)]
        through = self._passes.of(gradient.backwards)
        stepped = bool(self.optimizers) or self.updated
        return {
            "loss": self._losses.of(gradient.backwards, gradient.scale),
            "learning_rate": known[0] if known else math.nan,
            "grad_norm": _total(gradient.before, gradient.scale),
            "grad_norm_used": _total(gradient.used, gradient.used_scale),
            "clip_factor": factor,
            "clipped": abs(factor - 1) > _CLIPPED if math.isfinite(factor) else None,
            "scale": gradient.scale,
            "scale_divided": self.scaler is not None,
            "skipped": skipped,
            "updated": self._is_updated() if stepped else None,
            "micro_batches": len(gradient.backwards),
            "backward_passes": len(self._backwards),
            "optimizer_steps": len(self._updates.uses),
            "images": through.images,
            "batch_stats": through.batch_stats,
            "autocast": through.autocast,
        }


def _end(use: Use | None, events: int) -> int:
    """How many backward passes are in what was used; one that failed after the step is none."""
    return events if use is None else min(use.backwards, events)


def _rows(values: list[list[Number]], width: int) -> list[list[float]]:
    numbers = read([each for row in values for each in row])
    return [numbers[i * width : (i + 1) * width] for i in range(len(values))]


def _summed(
    carried: list[list[float]], left: list[list[float]], members: list[int], end: int
) -> set[int]:
    """The backward passes up to the `end`-th whose sum is in the gradient of these parameters.

    Back to the one that began with none, or with zeros; those that added nothing left out.
    """
    passes: set[int] = set()
    for number in range(end - 1, -1, -1):
        if any(carried[number][i] != left[number][i] for i in members):
            passes.add(number)
        if all(carried[number][i] in (0.0, NONE) for i in members):
            break
    return passes or {end - 1}


def _clip_factor(gradient: _Gradient) -> float:
    """What is left of the gradient in what was used, over the parameters that were."""
    if gradient.inside:
        return math.nan
    there = [i for i, used in enumerate(gradient.used) if used != NONE]
    total = _total([gradient.before[i] for i in there], gradient.scale)
    used = _total([gradient.used[i] for i in there], gradient.used_scale)
    return used / total if math.isfinite(total) and total > 0 else math.nan
