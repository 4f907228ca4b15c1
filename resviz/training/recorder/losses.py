"""The losses that a loop hands over inside one step, and which of them belong to its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from resviz.hooks import Hooks
from resviz.recording.statistics import read


@dataclass
class _Handed:
    """One loss: its value, when it came, and the gradient that it got in each backward pass."""

    value: Tensor | float
    at: int
    weights: list[tuple[int, Tensor]] = field(default_factory=list)


class Losses:
    """Losses, each with the backward passes that it started.

    Args:
        hooks: live as long as the step.
        backwards: gives how many backward passes have ended.
        began: called when the gradient arrives at a loss: also of a penalty on the parameters,
            whose backward pass does not come through the network.
    """

    def __init__(
        self, hooks: Hooks, backwards: Callable[[], int], began: Callable[[], None]
    ) -> None:
        self._hooks, self._backwards, self._began = hooks, backwards, began
        self._handed: list[_Handed] = []

    def hand(self, value: Tensor | float) -> None:
        """The value of a loss; the gradient that arrives at it says how much it counts."""
        handed = _Handed(value, self._backwards())
        if isinstance(value, Tensor):
            handed.value = value.detach().clone()
            if value.requires_grad:
                self._hooks.gradient(value, lambda g: self._arrived(handed, g))
        self._handed.append(handed)

    def _arrived(self, handed: _Handed, gradient: Tensor) -> None:
        self._began()
        handed.weights.append((self._backwards(), gradient.detach().sum()))

    def of(self, backwards: set[int], scale: float) -> float:
        """The objective of these backward passes: the sum of losses times their gradients.

        Without such gradients (plain numbers, a loss that was handed over after its backward pass)
        the mean. Where nothing was handed over for these passes, the latest that was.
        """
        tied = {number for each in self._handed for number, _ in each.weights}
        if not self._handed:
            return math.nan
        if not tied:
            return self._mean(backwards)
        chosen = tied & backwards or {max(tied)}
        pairs = [
            (each.value, weight)
            for each in self._handed
            for number, weight in each.weights
            if number in chosen
        ]
        values, shares = read([v for v, _ in pairs]), read([w for _, w in pairs])
        return sum(value * share / scale for value, share in zip(values, shares, strict=True))

    def _mean(self, backwards: set[int]) -> float:
        """Each belongs to the pass after it, or to that before it where none came first."""
        late = 1 if min(each.at for each in self._handed) else 0
        mine = [each.value for each in self._handed if each.at - late in backwards]
        values = read(mine or [each.value for each in self._handed])
        return sum(values) / len(values)
