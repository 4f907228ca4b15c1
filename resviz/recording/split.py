"""How the gradient at a block's input divides between branch and shortcut.

An addition hands the same gradient to both operands, so the division is read where they part: at
the tensor both come from. What each side sends there is read off the autograd nodes that take that
tensor, in the one backward pass; nothing is copied and the forward pass is not changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from resviz.hooks import Hooks
from resviz.networks.anatomy.additions import Addition, Node
from resviz.networks.anatomy.operations import plain
from resviz.recording.statistics import Number, mean_squares_and_product
from resviz.torch_private import is_of_leaf, made_at

NAMES = ("grad_branch_ms", "grad_shortcut_ms", "grad_product")
# why a gradient is not divided
NOT_REACHED = "the loss sends no gradient here"
ZERO = "the gradient is zero"
DETACHED = "both operands are detached from the tensor that they come from"
WITHOUT_AUTOGRAD = (
    "it is computed without autograd, as by a reentrant checkpoint; use_reentrant=False would be "
    "right there"
)


class GradientSplit:
    """Collects the two parts of one addition's gradient and measures them when both are there.

    Of several backward passes the last counts.

    Args:
        addition: the addition.
        hooks: where the hooks live.
        values: filled with what was measured; stays empty where the parts are not to be had.
        done: called with (gradient of the branch, of the shortcut) before they are released.
    """

    def __init__(
        self,
        addition: Addition,
        hooks: Hooks,
        values: dict[str, Number],
        done: Callable[[Tensor, Tensor], None],
    ) -> None:
        self._values, self._done = values, done
        self._parts: list[Tensor | None] = [None, None]
        root, self._factor = addition.root, addition.factor
        self._identity = addition.shortcut is root
        operands = (addition.branch, addition.shortcut)[: 2 - self._identity]
        sides = [_inputs(operand, root) for operand in operands]
        cut = [
            not side and _is_detached(operand, root)
            for side, operand in zip(sides, operands, strict=True)
        ]
        self._takers = [len(side) for side in sides] + [1] * self._identity
        self._waiting = [0, 0]
        apart = (
            all(side or without for side, without in zip(sides, cut, strict=True))
            and any(self._takers)
            and not (self._identity and self._factor is None)
            and not (len(sides) == 2 and sides[0].keys() & sides[1].keys())
        )
        self._apart = "" if apart else DETACHED if all(cut) else _reason(addition)
        if apart:
            for number, side in enumerate(sides):
                for (node, _), index in side.items():
                    hooks.node(node, self._reader(number, index))

    @property
    def reason(self) -> str:
        """Why there are no parts, "" where there are."""
        return self._apart or ("" if self._values else NOT_REACHED)

    def _reader(self, side: int, index: int) -> Callable[[Any, Any], None]:
        def read(grad_inputs: tuple[Tensor | None, ...], _: Any) -> None:
            self._add(side, grad_inputs[index])

        return read

    def at_sum(self, gradient: Tensor) -> None:
        """The gradient at the sum, with which a backward pass begins here.

        For an identity it is the shortcut's part.
        """
        self._values.clear()
        if self._apart:
            return
        self._waiting, self._parts = self._takers.copy(), [None, None]
        if self._identity and self._factor is not None:
            self._add(1, gradient if self._factor == 1 else gradient * self._factor)

    def _add(self, side: int, gradient: Tensor | None) -> None:
        if not self._waiting[side]:  # a backward pass that did not come through the sum
            return
        self._waiting[side] -= 1
        if gradient is not None:
            known = self._parts[side]
            self._parts[side] = gradient if known is None else known + gradient
        if any(self._waiting):
            return
        branch, shortcut = (
            part if takers or gradient is None else torch.zeros_like(gradient)  # a detached side
            for part, takers in zip(self._parts, self._takers, strict=True)
        )
        self._parts = [None, None]
        if branch is None or shortcut is None or branch.shape != shortcut.shape:
            return
        measured = mean_squares_and_product(branch, shortcut)
        self._values.update(zip(NAMES, measured, strict=True))
        self._done(branch, shortcut)


def _inputs(operand: Node, root: Node) -> dict[tuple[Any, int], int]:
    """The places where autograd nodes between `root` and `operand` take `root`."""
    edges = _edges(operand)
    if root.edge is None or not edges or root.edge in edges:
        return {}
    target, output = root.edge
    oldest = 0 if is_of_leaf(target) else made_at(target)
    found: dict[tuple[Any, int], int] = {}
    queue = [node for node, _ in edges]
    seen = set(queue)
    while queue:
        node = queue.pop()
        for index, (before, number) in enumerate(node.next_functions):
            if before is target and number == output:
                found[node, index] = index
            elif before is not None and before not in seen and made_at(before) >= oldest:
                seen.add(before)
                queue.append(before)
    return found


def _is_detached(operand: Node, root: Node) -> bool:
    """True where a detach lies on every way from `root` to `operand`: its part is exactly zero."""
    if operand is root or root.edge is None:
        return False
    waiting, seen, detached = [operand], {operand.index}, False
    while waiting:
        node = waiting.pop()
        if plain(node.operation) == "detach":
            detached = True
            continue
        for parent in node.parents:
            if parent is root:
                return False
            if parent.index > root.index and parent.index not in seen:
                seen.add(parent.index)
                waiting.append(parent)
    return detached


def _edges(operand: Node) -> list[tuple[Any, int]]:
    """Where autograd has an operand; of a product inside torch.addcmul, where it has its parts."""
    if operand.edge is not None:
        return [operand.edge]
    return [parent.edge for parent in operand.parents if parent.edge is not None]


def _reason(addition: Addition) -> str:
    """Why the gradient of an addition cannot be divided."""
    if addition.root.edge is None:
        return "the tensor that both operands come from has no gradient"
    if not _edges(addition.branch) or not _edges(addition.shortcut):
        return "an operand has no gradient: it is computed without autograd"
    return "both operands take their common tensor in one function, which gives one gradient"


def split_columns(values: dict[str, float]) -> dict[str, float]:
    """The columns of `residuals` from the three measured numbers."""
    nan = float("nan")
    branch, shortcut, product = (values.get(name, nan) for name in NAMES)
    whole = branch + shortcut + 2 * product
    scale = (branch * shortcut) ** 0.5
    return {
        "grad_branch_rms": branch**0.5,
        "grad_shortcut_rms": shortcut**0.5,
        "grad_cosine": product / scale if scale > 0 else nan,
        "grad_branch_share": (branch + product) / whole if whole > 0 else nan,
    }


def reason_of(share: float, reason: str | None) -> str | None:
    """The column ``grad_reason``: "" where the share is a number, None where none was asked for."""
    return reason if reason is None else "" if share == share else reason or ZERO
