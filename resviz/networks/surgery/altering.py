"""Operands of residual additions replaced while a network runs: what surgery is made of.

The module that adds runs under a mode that counts its additions and changes the operands of some,
whoever calls the module. Additions are those that :mod:`resviz.networks.anatomy.dataflow` names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resviz.arguments import caller
from resviz.errors import NotTraceable
from resviz.given import Images
from resviz.hooks import Hooks
from resviz.networks.anatomy.dataflow import ADDITIONS, Addition, addition_name
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

    def __init__(self, changes: Mapping[int, Changes]) -> None:
        super().__init__()
        self.inside = 0  # children that are running: their additions are not this module's
        self._changes, self._number = changes, 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in ADDITIONS and not self.inside:
            changes = self._changes.get(self._number, ())
            self._number += 1
            if changes:
                pair = [*args, *(kwargs.pop(k) for k in ("input", "other") if k in kwargs)]
                for operand, change in changes:
                    in_place = operand == 0 and name in ("add_", "__iadd__")
                    pair[operand] = change(pair[operand], in_place)
                args = tuple(pair)
        return func(*args, **kwargs)


def change_operands(
    net: nn.Module, hooks: Hooks, changes: Sequence[tuple[Addition, bool, Change]]
) -> None:
    """Change operands of additions wherever their modules run, as long as `hooks` last."""
    modules = dict(net.named_modules())
    per_frame: dict[str, dict[int, list[tuple[int, Change]]]] = defaultdict(dict)
    operands: dict[tuple[str, int, bool], int] = {}
    for addition, branch, change in dict.fromkeys(changes):
        frame = addition.name.rpartition(".")[0]
        number = _number(addition)
        operand = addition.branch_operand if branch else 1 - addition.branch_operand
        known = per_frame[frame].setdefault(number, [])
        if operands.setdefault((frame, number, branch), operand) != operand:
            raise NotTraceable(
                f"{caller()}: the addition {addition.name!r} runs several times, with its branch "
                "in another place each time; a module of its own for each would be right."
            )
        if (operand, change) not in known:  # a block that ran twice has two of each
            known.append((operand, change))
    for frame, of_frame in per_frame.items():
        running: list[_Altering] = []
        hooks.instead(modules[frame], partial(_run_altered, running, of_frame))
        inner = [m for m in modules[frame].modules() if m is not modules[frame]]
        for child in inner:  # all of them: a container may be iterated instead of called
            hooks.before_forward(child, partial(_child, running, 1))
            hooks.forward(child, partial(_child, running, -1))


def _run_altered(
    running: list[_Altering],
    changes: Mapping[int, Changes],
    forward: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    with _Altering(changes) as mode:
        running.append(mode)
        try:
            return forward(*args, **kwargs)
        finally:
            running.pop()


def _child(running: list[_Altering], step: int, *_: Any) -> None:
    if running:
        running[-1].inside += step


def _number(addition: Addition) -> int:
    path = addition.name.rpartition(".")[0]
    number = addition.name.rpartition("_")[2]
    return int(number) if addition.name != addition_name(path, 0) else 0


def additions_of(net: nn.Module, images: Images | None) -> list[Addition]:
    """The residual additions of a network, from one pass over images or zeros."""
    return survey(net, probe(net, images)).additions
