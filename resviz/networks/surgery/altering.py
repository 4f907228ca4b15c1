"""Operands of residual additions replaced while a network runs: what surgery is made of.

The module that adds runs under a mode that counts its additions and changes the operands of some,
whoever calls the module. Additions are those that :mod:`resviz.networks.anatomy.dataflow` names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resviz.arguments import caller
from resviz.errors import NotTraceable
from resviz.given import Images
from resviz.hooks import Hooks
from resviz.networks.anatomy.additions import Addition
from resviz.networks.anatomy.sums import FAMILIES, STACKED, stacked_along, summed_in, terms, writes
from resviz.networks.anatomy.survey import probe, survey
from resviz.networks.inputs import check_hookable

# (operand, whether to write in place) -> operand
Change = Callable[[Tensor, bool], Tensor]
Changes = Sequence[tuple[int, Change]]


@contextmanager
def altered(
    net: nn.Module,
    changes: Callable[[Addition], Mapping[str, Change]],
    *,
    images: Images | None = None,
) -> Iterator[None]:
    """The network with operands of its additions replaced.

    Args:
        net: any network.
        changes: for an addition, what to do with its "branch" and its "shortcut": functions
            (operand, in_place) -> operand. Where `in_place` is true the network adds into this
            operand, and what is returned must share its memory.
        images: as for :func:`drop_blocks`.
    """
    check_hookable(net)
    found = [
        (addition, part == "branch", change)
        for addition in additions_of(net, images)
        for part, change in changes(addition).items()
    ]
    with Hooks() as hooks:
        change_operands(net, hooks, found)
        yield


class _Altering(TorchFunctionMode):
    """Changes operands of the additions of one module call, by their number in it."""

    def __init__(self, changes: Mapping[tuple[str, int], Changes]) -> None:
        super().__init__()
        self.inside = 0  # children that are running: their additions are not this module's
        self._changes = changes
        self._numbers: Counter[str] = Counter()
        self._stack: tuple[Any, int | None] = (None, None)  # the last one, and its axis

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in FAMILIES and not self.inside:
            return self._add(func, name, args, kwargs)
        out = func(*args, **kwargs)
        if name == "stack":
            self._stack = (out, stacked_along(name, args, kwargs))
        return out

    def _add(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        family = FAMILIES[name]
        whole = summed_in(args, kwargs)
        stacked = self._stack[1] if whole is not None and whole is self._stack[0] else None
        count = 1
        if family in STACKED:
            count = len(terms(name, args, kwargs, stacked)) - 1
        first = self._numbers[family]
        self._numbers[family] += max(count, 0)
        changes = [self._changes.get((family, first + n), ()) for n in range(count)]
        if not any(changes):
            return func(*args, **kwargs)
        if family in ("add", "sub"):
            pair = [*args, *(kwargs.pop(k) for k in ("input", "other") if k in kwargs)]
            for operand, change in changes[0]:
                pair[operand] = change(pair[operand], operand == 0 and writes(name))
            return func(*pair, **kwargs)
        total = _changed([term.value() for term in terms(name, args, kwargs, stacked)], changes)
        return args[0].copy_(total) if writes(name) else total

    def check(self, counts: Mapping[str, set[int]], where: str) -> None:
        """Raise NotTraceable where there were not as many additions as when they were found.

        Args:
            counts: for each function that adds, how many there may be.
            where: the function and the module, for the error.
        """
        for family, right in counts.items():
            found = self._numbers[family]
            if found not in right:
                raise NotTraceable(
                    f"{where} runs {family} {found} times here, and {sorted(right)[0]} times in "
                    "the pass that found its additions, in eval mode: which is which is not "
                    "known. The same mode and images would be right; or a module of its own for "
                    "each addition."
                )


def _changed(parts: Sequence[Tensor], changes: Sequence[Changes]) -> Tensor:
    """What is added in one function, added one by one, with operands changed on the way."""
    total = parts[0]
    for part, several in zip(parts[1:], changes, strict=True):
        pair = [total, part]
        for operand, change in several:
            pair[operand] = change(pair[operand], False)
        total = torch.add(*pair)
    return total


def change_operands(
    net: nn.Module, hooks: Hooks, changes: Sequence[tuple[Addition, bool, Change]]
) -> None:
    """Change operands of additions wherever their modules run, as long as `hooks` last."""
    modules = dict(net.named_modules())
    per_frame: dict[str, dict[tuple[str, int], list[tuple[int, Change]]]] = defaultdict(dict)
    operands: dict[tuple[str, tuple[str, int], bool], int] = {}
    counts: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for addition, branch, change in dict.fromkeys(changes):
        frame = addition.name.rpartition(".")[0]
        number = _number(addition)
        operand = addition.branch_operand if branch else 1 - addition.branch_operand
        known = per_frame[frame].setdefault(number, [])
        counts[frame][number[0]].add(addition.among)
        if operands.setdefault((frame, number, branch), operand) != operand:
            raise NotTraceable(
                f"{caller()}: the addition {addition.name!r} runs several times, with its branch "
                "in another place each time; a module of its own for each would be right."
            )
        if (operand, change) not in known:  # a block that ran twice has two of each
            known.append((operand, change))
    for frame, of_frame in per_frame.items():
        running: list[_Altering] = []
        check = partial(
            _Altering.check, counts=counts[frame], where=f"{caller()}: module {frame!r}"
        )
        hooks.instead(modules[frame], partial(_run_altered, running, of_frame, check))
        inner = [m for m in modules[frame].modules() if m is not modules[frame]]
        for child in inner:  # all of them: a container may be iterated instead of called
            hooks.before_forward(child, partial(_child, running, 1))
            hooks.forward(child, partial(_child, running, -1))


def _run_altered(
    running: list[_Altering],
    changes: Mapping[tuple[str, int], Changes],
    check: Callable[[_Altering], None],
    forward: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    with _Altering(changes) as mode:
        running.append(mode)
        try:
            out = forward(*args, **kwargs)
        finally:
            running.pop()
    check(mode)
    return out


def _child(running: list[_Altering], step: int, *_: Any) -> None:
    if running:
        running[-1].inside += step


def _number(addition: Addition) -> tuple[str, int]:
    """Which function adds, and its number among its like in the module."""
    family, _, number = addition.name.rpartition(".")[2].partition("_")
    return family, int(number or 0)


def additions_of(
    net: nn.Module, images: Images | None, include: Collection[str] = ()
) -> list[Addition]:
    """The residual additions of a network, from one pass over images or zeros.

    `include` names kinds of other sums that are listed too.
    """
    return survey(net, probe(net, images), include).additions
