"""The forward and backward passes of a network inside one step of a loop, seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resviz.hooks import Hooks, batch_norms
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.recording.kept import Kept
from resviz.recording.measuring import MeasuredPass
from resviz.recording.seen import Gradients, Seen


@dataclass
class ForwardPass:
    """A forward pass.

    Attributes:
        seen: what it left behind; None where it was not measured.
        images: size of its batch.
        autocast: dtype of automatic mixed precision during it, None without.
        batch_stats: whether BatchNorm used this batch's statistics, None for some or without any.
        backwards: the numbers of the backward passes that went through it.
        gradients: what each of them left in `seen`.
    """

    seen: Seen | None
    images: int
    autocast: str | None
    batch_stats: bool | None
    backwards: set[int] = field(default_factory=set)
    gradients: dict[int, Gradients] = field(default_factory=dict)

    def seen_of(self, backwards: set[int]) -> Seen | None:
        """What it left behind, with the gradients of the one of these passes that it has."""
        through = self.backwards & backwards
        if self.seen is not None and len(through) == 1:
            self.seen.give_gradients(self.gradients[through.pop()])
        return self.seen


class Passes:
    """The passes with gradients inside a step, whoever starts them.

    Each is measured until a backward pass through a measured one has filled ``.grad``; so it begins
    again where another gradient may begin. Where the network cannot take what the loop gives it,
    the loop gets the network's own error.

    Args:
        net: the network.
        hooks: live as long as the step.
        began: called when a backward pass has reached the network, before it fills ``.grad``.
        ended: called when that pass has ended; says whether it changed ``.grad``.
        another: asked before a forward pass whether it may belong to another gradient than those
            before it, so that it is measured too.

    Attributes:
        forwards: the passes that came to their end, in order.
        ended: how many backward passes have gone through the network.
    """

    def __init__(
        self,
        net: nn.Module,
        hooks: Hooks,
        began: Callable[[], None],
        ended: Callable[[], bool],
        another: Callable[[], bool],
    ) -> None:
        self.forwards: list[ForwardPass] = []
        self.ended = 0
        self._measuring = MeasuredPass(
            net, Kept(set(), False), hooks, gradients=True, axes=False, check=False
        )
        self._running, self._known, self._due, self._retried = False, False, False, False
        self._tell_began, self._tell_ended, self._another = began, ended, another
        self._net, self._hooks = net, hooks
        hooks.instead(net, self._around)

    def anew(self) -> None:
        """Measure the next pass: an optimiser made its step, another gradient begins."""
        self._known = False

    def _around(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of the network's forward."""
        if not torch.is_grad_enabled():  # a teacher's pass, a validation
            return forward(*args, **kwargs)
        self._retried = True
        if self._running:  # a network that calls itself
            return self._heard(forward(*args, **kwargs), None)
        if self._another():
            self.anew()
        inputs = list(tensors_in((args, kwargs)))
        autocast = _autocast(inputs[0].device.type) if inputs else None
        passed = ForwardPass(None, _images(args, kwargs), autocast, _batch_stats(self._net))
        if self._known:
            output = forward(*args, **kwargs)
        else:
            output = self._watched(lambda: forward(*args, **kwargs), inputs)
            passed.seen = self._measuring.seen
        self.forwards.append(passed)
        return self._heard(output, passed)

    def _watched(self, forward: Callable[[], Any], inputs: list[Tensor]) -> Any:
        self._running = True
        try:  # where it fails, the loop may try again, with a smaller batch
            return self._measuring.around(forward, inputs)
        finally:
            self._running = False

    def _heard(self, output: Any, passed: ForwardPass | None) -> Any:
        for tensor in tensors_in(output):
            if tensor.requires_grad:
                self._hooks.gradient(tensor, partial(self._began, passed))
        return output

    def _began(self, passed: ForwardPass | None, _: Tensor) -> None:
        if passed is not None:
            passed.backwards.add(self.ended)
        self.begin()

    def begin(self) -> None:
        """A backward pass begins: at an output of the network, or before it at a loss."""
        if not self._due or self._retried:  # due: another output, or a backward that failed
            self._tell_began()
        self._due, self._retried = True, False
        self._hooks.after_backward(self._has_ended)

    def _has_ended(self) -> None:
        if self._due:  # several outputs queue several calls
            self._due = False
            changed = self._tell_ended()
            for each in self.forwards:
                if each.seen is not None and self.ended in each.backwards:
                    each.gradients[self.ended] = each.seen.take_gradients()
                    self._known |= changed
            self.ended += 1

    @property
    def measured(self) -> list[ForwardPass]:
        """Those that were measured."""
        return [each for each in self.forwards if each.seen is not None]

    def of(self, backwards: set[int]) -> ForwardPass:
        """The first pass that one of these backward passes went through, a measured one if any."""
        through = [each for each in self.forwards if each.backwards & backwards]
        through.append(ForwardPass(None, 0, None, None))  # of a network that calls itself
        return next((each for each in through if each.seen is not None), through[0])


def _images(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Size of the batch: rows of the first tensor; of a list of images (C, H, W) its length."""
    given = [*args, *kwargs.values()]
    if given and isinstance(given[0], list):
        images = given[0]
        if images and all(isinstance(each, Tensor) and each.ndim == 3 for each in images):
            return len(images)
    first = next(tensors_in(given), None)
    return len(first) if first is not None and first.ndim else 0


def _batch_stats(net: nn.Module) -> bool | None:
    modes = {norm.training or norm.running_mean is None for norm in batch_norms(net)}
    return modes.pop() if len(modes) == 1 else None


def _autocast(kind: str) -> str | None:
    if not torch.is_autocast_enabled(kind):
        return None
    return str(torch.get_autocast_dtype(kind)).removeprefix("torch.")
