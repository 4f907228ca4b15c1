"""One recorded step of a user's own training loop: what is read, and when.

The step is watched from outside: the first forward pass of the network in it as
:class:`~resviz.recording.measuring.MeasuredPass` does it; ``.grad`` of the parameters at the end of
every backward pass, which is before any unscaling or clipping; and once more when the optimiser is
about to use it, which is after both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.hooks import Hooks, batch_norms
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.recording import tables
from resviz.recording.kept import Kept
from resviz.recording.measuring import MeasuredPass
from resviz.recording.seen import Seen
from resviz.recording.statistics import mean_square, read
from resviz.torch_private import divides_in_kernel

_CLIPPED = 1e-5  # relative: unscaling by powers of two is exact, clipping is not this small
_NONE = -1.0  # in place of a sum of squares: there is no gradient
_SCALED = ("grad_rms", "grad_norm", "grad_sum_rms", "grad_branch_rms", "grad_shortcut_rms")


class TrainingPass:
    """The first forward pass with gradients inside a step, whoever starts it.

    Where the network cannot take what the loop gives it, the loop gets the network's own error.

    Args:
        net: the network.
        hooks: live as long as the step.
        backward: called when a backward pass has ended.

    Attributes:
        done: whether such a pass ran to its end.
        images: size of its batch.
        autocast: dtype of automatic mixed precision during it, None without.
    """

    def __init__(self, net: nn.Module, hooks: Hooks, backward: Callable[[], None]) -> None:
        self.done, self.images = False, 0
        self.autocast: str | None = None
        nothing = Kept(set(), False)
        self._measured = MeasuredPass(net, nothing, hooks, True, axes=False, check=False)
        self._running = False
        self._backward, self._due, self._hooks = backward, False, hooks
        hooks.instead(net, self._around)

    @property
    def seen(self) -> Seen:
        """What the pass left behind."""
        return self._measured.seen

    def _around(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of the network's forward."""
        if not torch.is_grad_enabled():  # a teacher's pass, a validation
            return forward(*args, **kwargs)
        if self.done or self._running:
            output = forward(*args, **kwargs)
        else:
            output = self._watched(forward, args, kwargs)
        for tensor in tensors_in(output):
            if tensor.requires_grad:
                self._hooks.gradient(tensor, self._backward_began)
        return output

    def _watched(self, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        inputs = list(tensors_in((args, kwargs)))
        self.images = len(inputs[0]) if inputs and inputs[0].ndim else 0
        self.autocast = _autocast(inputs[0].device.type) if inputs else None
        self._running = True
        try:  # where it fails, the loop may try again, with a smaller batch
            output = self._measured.around(lambda: forward(*args, **kwargs), inputs)
        finally:
            self._running = False
        self.done = True
        return output

    def _backward_began(self, _: Tensor) -> None:
        self._due = True
        self._hooks.after_backward(self._backward_ended)

    def _backward_ended(self) -> None:
        if self._due:  # several outputs queue several calls
            self._due = False
            self._backward()


def _autocast(kind: str) -> str | None:
    if not torch.is_autocast_enabled(kind):
        return None
    return str(torch.get_autocast_dtype(kind)).removeprefix("torch.")


def _squares(tensors: Iterable[Tensor | None]) -> list[Tensor | float]:
    """Sum of squares of each tensor, still on its device; -1 for None."""
    return [_NONE if tensor is None else _square(tensor) for tensor in tensors]


def _square(tensor: Tensor) -> Tensor | float:
    values = tensor.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    if not values.is_floating_point() and not values.is_complex():
        return _NONE
    return mean_square(values) * values.numel() if values.numel() else 0.0


def _roots(squares: list[float], scale: float) -> list[float]:
    """L2 norms; NaN where there is no gradient, or one with NaN in it."""
    return [math.sqrt(v) / scale if v >= 0 else math.nan for v in squares]


def _total(squares: list[float], scale: float) -> float:
    """L2 norm over all parameters that have a gradient; NaN where none has."""
    there = [v for v in squares if v != _NONE]
    return math.sqrt(sum(there)) / scale if there and sum(there) >= 0 else math.nan


class WatchedStep:
    """Watches one step; :meth:`record` turns what it saw into numbers.

    Args:
        net: the network itself, without a DistributedDataParallel around it.
        optimizer: whose ``step()`` uses the gradients, or None.
        scaler: a gradient scaler that is in use, or None.
        hooks: live as long as the step.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        scaler: Any | None,
        hooks: Hooks,
    ) -> None:
        self.net, self.optimizer, self.scaler = net, optimizer, scaler
        self.micro_batches, self.scale = 0, 1.0
        self.updated = False
        self._losses: list[tuple[Tensor | float, list[Tensor]]] = []
        self._named: list[tuple[str, nn.Parameter]] = []
        self._norms: list[Tensor | float] = []
        self._before: list[Tensor | float] = []
        self._used: list[Tensor | float] | None = None
        self._used_scale = 1.0
        self._rates: list[float] = []
        self._hooks = hooks
        self.first_pass = TrainingPass(net, hooks, self._after_backward)
        if optimizer is not None:
            hooks.before_update(optimizer, self._before_update)

    def loss(self, value: Tensor | float) -> None:
        """The value of a loss; the gradient that arrives at it says how much it counts."""
        weights: list[Tensor] = []
        if isinstance(value, Tensor):
            if value.requires_grad:
                self._hooks.gradient(value, lambda g: weights.append(g.detach().sum()))
            value = value.detach().clone()
        self._losses.append((value, weights))

    def _after_backward(self) -> None:
        self.micro_batches += 1
        self.updated, self._used = False, None
        if self.scaler is not None:
            self.scale = float(self.scaler.get_scale())
        self._named = list(self.net.named_parameters())
        self._norms = _squares(p for _, p in self._named)
        self._before = _squares(p.grad for _, p in self._named)
        rates = _rates(self.optimizer)
        self._rates = [rates.get(id(p), math.nan) for _, p in self._named]

    def _before_update(self) -> None:
        if not self.micro_batches:  # an optimiser that calls the loop's backward itself
            return
        self.updated = True
        self._used = _squares(p.grad for _, p in self._named)
        self._used_scale = self.scale if divides_in_kernel(self.optimizer) else 1.0

    def was_skipped(self) -> bool:
        """True where the scaler left the step out: it found gradients that are not finite."""
        if self.scaler is None:
            return False
        finite = math.isfinite(_total(read(self._before), self.scale))
        return not finite or float(self.scaler.get_scale()) < self.scale

    # ---- numbers
    def record(self) -> dict[str, Any]:
        """The columns of the step's row, and its three tables."""
        seen = self.first_pass.seen
        layers = tables.layers(seen)
        residuals = tables.residuals(seen, layers)
        is_block = layers["kind"] == "block"
        blocks = (layers[is_block] if is_block.any() else layers).reset_index(drop=True)
        for table in (blocks, residuals):
            for column in _SCALED:
                if column in table:
                    table[column] = table[column] / self.scale
        used = self._used if self._used is not None else [_NONE] * len(self._named)
        numbers = read([*self._norms, *self._before, *used])
        count = len(self._named)
        weights, before, used = (numbers[i * count : (i + 1) * count] for i in range(3))
        totals = _total(before, self.scale), _total(used, self._used_scale)
        parameters = self._parameters(layers)
        parameters["grad_norm"] = _roots(before, self.scale)
        parameters["grad_norm_used"] = _roots(used, self._used_scale)
        parameters["weight_norm"] = _roots(weights, 1.0)
        parameters["learning_rate"] = self._rates
        parameters["shard"] = "whole"
        row = self._row(*totals)
        return {"row": row, "parameters": parameters, "blocks": blocks, "residuals": residuals}

    def _parameters(self, layers: pd.DataFrame) -> pd.DataFrame:
        table = tables.parameters(self.net, self.first_pass.seen, layers, None)
        if table["parameter"].tolist() != [name for name, _ in self._named]:
            raise RuntimeError(
                "TrainingRecorder: the network got other parameters between its backward pass and "
                "the end of the step; changing it between two steps would be right."
            )
        return table.drop(columns=["norm", "grad_norm"])

    def _row(self, total: float, used: float) -> dict[str, Any]:
        factor = used / total if math.isfinite(total) and total > 0 else math.nan
        skipped = self.was_skipped()
        rates = [rate for rate in self._rates if not math.isnan(rate)]
        return {
            "loss": self._loss(),
            "learning_rate": rates[0] if rates else math.nan,
            "grad_norm": total,
            "grad_norm_used": used,
            "clip_factor": factor,
            "clipped": abs(factor - 1) > _CLIPPED if math.isfinite(factor) else None,
            "scale": self.scale,
            "scale_divided": self.scaler is not None,
            "skipped": skipped,
            "updated": (self.updated and not skipped) if self.optimizer is not None else None,
            "micro_batches": self.micro_batches,
            "images": self.first_pass.images,
            "batch_stats": _batch_stats(self.net),
            "autocast": self.first_pass.autocast,
        }

    def _loss(self) -> float:
        """The losses, each times the gradient that it got: the objective of this step."""
        if not self._losses:
            return math.nan
        values = read([value for value, _ in self._losses])
        sums = [
            sum(weights[1:], weights[0]) if weights else math.nan for _, weights in self._losses
        ]
        shares = [share / self.scale for share in read(sums)]
        if any(math.isnan(share) for share in shares):  # plain numbers, or the backward came first
            return sum(values) / len(values)
        return sum(value * share for value, share in zip(values, shares, strict=True))


def _rates(optimizer: torch.optim.Optimizer | None) -> dict[int, float]:
    groups = optimizer.param_groups if optimizer is not None else []
    return {id(p): float(group["lr"]) for group in groups for p in group["params"]}


def _batch_stats(net: nn.Module) -> bool | None:
    """True where every BatchNorm uses this batch's statistics, None for some or without any."""
    modes = {module.training for module in batch_norms(net)}
    return modes.pop() if len(modes) == 1 else None
