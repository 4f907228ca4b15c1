"""What optimisers use: the gradients at the moment of ``step()``, whatever the loop does after it.

A step is told by torch's own hook of optimisers. An optimiser inside another one (the base of SAM
or of Lookahead) makes its step for it. Where ``step(closure)`` evaluates the loss itself, the first
evaluation counts: its loss and gradient are at the parameters that the step starts from, where
LBFGS goes on to others; an inner optimiser that makes a step among the evaluations counts instead.
One that makes its step inside the backward pass, as soon as a parameter has its gradient, is of the
pass that is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resviz.hooks import Hooks
from resviz.recording.statistics import mean_square
from resviz.torch_private import divides_in_kernel, inside_backward

Optimizer = torch.optim.Optimizer
Number = Tensor | float
NONE = -1.0  # in place of a sum of squares: there is no gradient


def squares(tensors: Sequence[Tensor | None]) -> list[Number]:
    """Sum of squares of each tensor, still on its device; -1 for None."""
    return [NONE if tensor is None else _square(tensor) for tensor in tensors]


def _square(tensor: Tensor) -> Number:
    values = tensor.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    if not values.is_floating_point() and not values.is_complex():
        return NONE
    return mean_square(values) * values.numel() if values.numel() else 0.0


def gradients(parameters: Sequence[nn.Parameter | None]) -> list[Number]:
    """Sums of squares of ``.grad``."""
    return squares([None if parameter is None else parameter.grad for parameter in parameters])


def ids_of(optimizers: Iterable[Optimizer]) -> frozenset[int]:
    """Ids of the parameters that they have."""
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    return frozenset(id(p) for group in groups for p in group["params"])


def rates(optimizers: Sequence[Optimizer]) -> dict[int, float]:
    """The learning rate of each parameter, by its id."""
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    return {id(p): float(group["lr"]) for group in groups for p in group["params"]}


@dataclass(frozen=True)
class Start:
    """As an optimiser's step begins: squares of the parameters, and learning rates by id."""

    weights: list[Number]
    rates: dict[int, float]


@dataclass(frozen=True, eq=False)
class Use:
    """What one step of an optimiser used.

    Attributes:
        backwards: how many backward passes had ended, with the one that it was inside of.
        start: of the step.
        squares: of the gradients of all parameters, as it used them; inside a backward pass of its
            own alone, -1 for others.
        divides: whether it divides them by the scaler's scale itself.
        own: ids of the parameters that it has.
        inside: it came inside a backward pass: what was there before clipping is not known.
    """

    backwards: int
    start: Start
    squares: list[Number]
    divides: bool
    own: frozenset[int]
    inside: bool = False


class Updates:
    """The steps that optimisers make inside a watched step.

    Args:
        optimizers: those that count; none: any that has one of the parameters.
        parameters: gives those of the network.
        backwards: gives how many backward passes have ended.
        hooks: live as long as the watched step.
        began: called as a step of whichever optimiser begins.

    Attributes:
        uses: in order.
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        parameters: Callable[[], list[nn.Parameter]],
        backwards: Callable[[], int],
        hooks: Hooks,
        began: Callable[[], None],
    ) -> None:
        self.uses: list[Use] = []
        self._given, self._parameters, self._backwards = optimizers, parameters, backwards
        self._tell_began = began
        hooks.before_any_update(self._any)
        for optimizer in with_inner(optimizers):
            hooks.before_update(optimizer, self._before(optimizer))

    def _any(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        self._tell_began()
        if self._given or not has_any(optimizer, self._parameters()):
            return None
        return self._before(optimizer)(args, kwargs)

    def _before(self, optimizer: Optimizer) -> Callable[[Any, Any], tuple[Any, Any] | None]:
        def before(args: Any, kwargs: Any) -> tuple[Any, Any] | None:
            start = Start(squares(self._touched(optimizer)), rates([optimizer]))

            def use() -> None:
                self._use(optimizer, start)

            changed = _with_closure(args, kwargs, use)
            if changed is None:
                use()
            return changed

        return before

    def _touched(self, optimizer: Optimizer) -> list[nn.Parameter | None]:
        """The parameters; inside a backward pass, where each may have its optimiser, its own."""
        if not inside_backward():
            return [*self._parameters()]
        own = ids_of([optimizer])
        return [p if id(p) in own else None for p in self._parameters()]

    def _use(self, optimizer: Optimizer, start: Start) -> None:
        inside = inside_backward()
        backwards = self._backwards() + inside
        if not backwards:
            return
        own = ids_of([optimizer])
        used, divides = gradients(self._touched(optimizer)), divides_in_kernel(optimizer)
        self.uses.append(Use(backwards, start, used, divides, own, inside))

    def by_parameter(self, parameters: Sequence[nn.Parameter]) -> list[Use | None]:
        """The latest use of each; of one that no optimiser here has, that of the latest step."""
        latest: dict[int, Use] = {}
        for use in self.uses:
            latest |= dict.fromkeys(use.own, use)
        return [latest.get(id(p)) or self._of_others(p) for p in parameters]

    def _of_others(self, parameter: nn.Parameter) -> Use | None:
        """None for a parameter of an optimiser that made no step."""
        owned = id(parameter) in ids_of(self._given)
        return None if owned or not self.uses else self.uses[-1]


def has_any(optimizer: Optimizer, parameters: Sequence[nn.Parameter]) -> bool:
    """True where the optimiser has one of the parameters."""
    return not ids_of([optimizer]).isdisjoint(id(p) for p in parameters)


def with_inner(optimizers: Sequence[Optimizer]) -> list[Optimizer]:
    """The optimisers and those that they hold, as SAM has its base."""
    found: dict[int, Optimizer] = {}
    left = list(optimizers)
    while left:
        optimizer = left.pop()
        if id(optimizer) not in found:
            found[id(optimizer)] = optimizer
            left += [each for value in vars(optimizer).values() for each in _held(value)]
    return list(found.values())


def _held(value: object) -> list[Optimizer]:
    values: list[object] = [value]
    if isinstance(value, Mapping):
        values = list(value.values())
    elif isinstance(value, list | tuple):
        values = list(value)
    return [each for each in values if isinstance(each, Optimizer)]


def _with_closure(args: Any, kwargs: Any, evaluated: Callable[[], None]) -> tuple[Any, Any] | None:
    """Arguments of ``step`` that call `evaluated` after the closure's first run; None without."""
    closures = [each for each in (*args, *kwargs.values()) if callable(each)]
    if not closures:
        return None
    closure, runs = closures[0], iter([True])

    def watched(*given: Any, **named: Any) -> Any:
        value = closure(*given, **named)
        if next(runs, False):
            evaluated()
        return value

    swapped = tuple(watched if each is closure else each for each in args)
    return swapped, {k: watched if each is closure else each for k, each in kwargs.items()}
