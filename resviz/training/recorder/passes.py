"""The forward and backward passes of a network inside one step of a loop, seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resviz.hooks import Hooks
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.recording.kept import Kept
from resviz.recording.measuring import MeasuredPass
from resviz.recording.seen import Seen


@dataclass
class ForwardPass:
    """A forward pass that was measured.

    Attributes:
        seen: what it left behind.
        images: size of its batch.
        autocast: dtype of automatic mixed precision during it, None without.
        backwards: the numbers of the backward passes that went through it.
    """

    seen: Seen
    images: int
    autocast: str | None
    backwards: set[int] = field(default_factory=set)


class Passes:
    """The passes with gradients inside a step, whoever starts them.

    The first is measured, and each that may belong to another gradient. Where the network cannot
    take what the loop gives it, the loop gets the network's own error.

    Args:
        net: the network.
        hooks: live as long as the step.
        began: called when a backward pass has reached the network, before it fills ``.grad``.
        ended: called when that pass has ended.
        another: asked before a forward pass whether it may belong to another gradient than those
            before it, so that it is measured too.

    Attributes:
        measured: the passes that were measured to their end.
        ended: how many backward passes have gone through the network.
    """

    def __init__(
        self,
        net: nn.Module,
        hooks: Hooks,
        began: Callable[[], None],
        ended: Callable[[], None],
        another: Callable[[], bool],
    ) -> None:
        self.measured: list[ForwardPass] = []
        self.ended = 0
        self._measuring = MeasuredPass(
            net, Kept(set(), False), hooks, gradients=True, axes=False, check=False
        )
        self._running, self._anew, self._due, self._retried = False, True, False, False
        self._tell_began, self._tell_ended, self._another = began, ended, another
        self._hooks = hooks
        hooks.instead(net, self._around)

    def anew(self) -> None:
        """Measure the next pass: an optimiser made its step, another gradient begins."""
        self._anew = True

    def _around(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of the network's forward."""
        if not torch.is_grad_enabled():  # a teacher's pass, a validation
            return forward(*args, **kwargs)
        self._retried = True
        measured = None
        if not self._running and (self._anew or self._another()):
            output, measured = self._watched(forward, args, kwargs)
        else:
            output = forward(*args, **kwargs)
        for tensor in tensors_in(output):
            if tensor.requires_grad:
                self._hooks.gradient(tensor, partial(self._began, measured))
        return output

    def _watched(
        self, forward: Callable[..., Any], args: Any, kwargs: Any
    ) -> tuple[Any, ForwardPass]:
        inputs = list(tensors_in((args, kwargs)))
        images = len(inputs[0]) if inputs and inputs[0].ndim else 0
        autocast = _autocast(inputs[0].device.type) if inputs else None
        self._running = True
        try:  # where it fails, the loop may try again, with a smaller batch
            output = self._measuring.around(lambda: forward(*args, **kwargs), inputs)
        finally:
            self._running = False
        self._anew = False
        self.measured.append(ForwardPass(self._measuring.seen, images, autocast))
        return output, self.measured[-1]

    def _began(self, measured: ForwardPass | None, _: Tensor) -> None:
        if measured is not None:
            measured.backwards.add(self.ended)
        if not self._due or self._retried:  # due: another output, or a backward that failed
            self._tell_began()
        self._due, self._retried = True, False
        self._hooks.after_backward(self._has_ended)

    def _has_ended(self) -> None:
        if self._due:  # several outputs queue several calls
            self._due = False
            self.ended += 1
            self._tell_ended()

    def of(self, backwards: set[int]) -> ForwardPass:
        """The first measured pass that one of these backward passes went through."""
        through = (each for each in self.measured if each.backwards & backwards)
        return next(through, self.measured[0])


def _autocast(kind: str) -> str | None:
    if not torch.is_autocast_enabled(kind):
        return None
    return str(torch.get_autocast_dtype(kind)).removeprefix("torch.")
