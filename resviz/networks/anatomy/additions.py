"""What a residual addition is, and what other sums are.

A sum of two tensors that come from one earlier tensor, the *root*, is a **residual addition**
(He et al. 2015, arXiv 1512.03385, Eq. 1 and 2) where

1. one operand, the *shortcut*, carries **all of the root**: the root itself ("identity"; also in
   another layout, or with other branches added to it already), the root scaled by numbers, learned
   numbers, a norm, a gate or an activation function ("scaled"), the root pooled, subsampled,
   cropped or padded ("padded"), or a linear map of all of it ("projection": one convolution or
   linear layer, or a depthwise convolution and the pointwise one that completes it);
2. the other, the *branch*, does more on its way from the root: it has parameters, mixes positions
   or channels, or has an activation function; where it is broadcast over the shortcut
   (x + f(mean(x))), it has parameters;
3. the sum **goes on as the stream**: it is no term of attention logits, and no sum of a stream and
   a position after which the stream goes on without the position.

The root may be an activation, an input, or what a stream starts at: learned queries, class tokens.

Sums of another sort have a kind of their own and are not residual:

- "fusion": neither operand is a shortcut (two branches, two streams, two heads), or one of them
  returns from another resolution and the other is not the root itself: feature pyramids, HRNet,
  hourglasses;
- "inner": an operand is a slice of the root (Res2Net's splits), the sum is a term of attention
  logits, a position is added, or the root is taken away from what was computed of it;
- "adapter": a weight beside its low-rank correction (LoRA, Hu et al. 2021, arXiv 2106.09685).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from resviz.arguments import choices
from resviz.networks.anatomy.operations import PARAMETERS, cost_of

RESIDUAL_KINDS = ("identity", "scaled", "padded", "projection")
OTHER_KINDS = ("fusion", "inner", "adapter")
_LIMIT = 20_000


def included(include: object) -> list[str]:
    """The kinds of sums that `include` asks for beside the residual ones; "all" is all of them.

    Raises:
        TypeError: no string and no list of strings.
        ValueError: no such kind.

    Example:
        >>> included("all"), included(["inner"]), included(())
        (['fusion', 'inner', 'adapter'], ['inner'], [])
    """
    if isinstance(include, tuple | list | set | frozenset) and not include:
        return []
    kinds = choices("include", include, ("all", *OTHER_KINDS), "include")
    return list(OTHER_KINDS) if "all" in kinds else kinds


@dataclass(eq=False, slots=True)
class Node:
    """One tensor at one moment: what made it, from what, at which depth.

    ``parameters`` are those that made it, or tensors derived from parameters alone. ``step`` says
    what was done (:func:`~resviz.networks.anatomy.operations.step_of`). ``constant`` is a tensor
    that no input took part in; ``given`` are the constants among the operands that were data.
    """

    index: int
    operation: str
    owner: str
    parents: tuple[Node, ...]
    parameters: tuple[Tensor, ...]
    weight: int
    depth: int
    shape: tuple[int, ...]
    edge: tuple[Any, int] | None
    step: str = "scale"
    floating: bool = True
    constant: bool = False
    given: tuple[Node, ...] = ()
    values: tuple[Node, ...] = ()  # of an attention: what is weighed
    part: Node | None = None  # of a slice of torch.cat(...): that of its operands which it is
    last_use: int = 0  # index of the last result that it is an operand of
    fused: bool = False  # a sum that is not residual

    @property
    def parametered(self) -> bool:
        """True where parameters took part in making it."""
        return bool(self.parameters)

    @property
    def numel(self) -> int:
        """How many numbers it holds."""
        return _product(self.shape)

    @property
    def cost(self) -> int:
        """How much was done to make it: see :func:`~...operations.cost_of`."""
        return cost_of(self.step, self.parametered, self.weight)


@dataclass(eq=False, slots=True)
class Addition:
    """A sum of two tensors with a common root, as it happened.

    Attributes:
        name: torchvision's ("layer1.0.add").
        owner: the module it happened in, or the one around it where that only adds.
        call: of the module it happened in.
        kind: "identity", "scaled", "padded", "projection"; "fusion", "inner", "adapter".
        residual: by the definition above; settled when the pass is over.
        depth: of its sum.
        branch_operand: number of the operand that is F(x).
        branch: that operand.
        shortcut: the other.
        root: the tensor that both come from.
        factor: what the shortcut is multiplied with as it is added; None for what is no one number.
        total: the sum, once it is made.
    """

    name: str
    owner: str
    call: int
    kind: str
    residual: bool
    depth: int
    branch_operand: int
    branch: Node
    shortcut: Node
    root: Node
    factor: float | None = 1.0
    total: Node | None = None


class Verdict(NamedTuple):
    """What a sum is: its kind, which operand is the branch, its root, the way of the shortcut."""

    kind: str
    branch: int
    root: Node
    path: list[Node]


@dataclass(slots=True)
class _Mark:
    node: Node
    cost: list[float] = field(default_factory=list)  # on the cheapest way to operand 0, operand 1
    dearest: list[float] = field(default_factory=list)
    via: list[_Mark | None] = field(default_factory=list)


def judged(
    first: Node, second: Node, shape: Sequence[int], factors: Sequence[float | None] = (1.0, 1.0)
) -> Verdict | None:
    """What the sum of two tensors is, as far as what came before tells; None for no common root.

    Args:
        first: an operand.
        second: the other.
        shape: of the sum.
        factors: what they are multiplied with as they are added; None for what is no one number.
    """
    found = _judged(first, second, shape, factors)
    if found is None or found.kind not in ("inner", "padded"):
        return found
    # a class token that is taken out again of what it was joined with is all of itself
    if first.part is None and second.part is None:
        return found
    other = _judged(first.part or first, second.part or second, shape, factors)
    if other is None or other.kind not in RESIDUAL_KINDS:
        return found
    return Verdict(other.kind, other.branch, found.root, found.path)


def _judged(
    first: Node, second: Node, shape: Sequence[int], factors: Sequence[float | None]
) -> Verdict | None:
    if first.constant != second.constant:
        return _from_constant(first, second, shape)
    mark = _root(first, second)
    if mark is None:
        return None
    # a branch may have a free way through as well: x + x * gate(x), or a shortcut inside it
    costs = [(mark.cost[side], mark.dearest[side]) for side in (0, 1)]
    branch = 0 if costs[0] > costs[1] else 1
    path = list(_path(mark, 1 - branch))
    way = _Way((first, second), branch, mark, path, shape, factors[1 - branch])
    kind = way.kind()
    if costs[0] == costs[1] and kind != "inner":
        kind = kind and "fusion"
    return Verdict(kind, branch, mark.node, path) if kind else None


@dataclass(slots=True)
class _Way:
    """How the operands of one sum come from their root."""

    operands: tuple[Node, Node]
    branch: int
    mark: _Mark
    path: list[Node]  # of the shortcut, root left out
    shape: Sequence[int]
    factor: float | None

    def kind(self) -> str:
        """The kind; "" for what is no sum of two things, such as x + 2 x."""
        if self.mark.dearest[self.branch] <= 0:
            return ""
        if self.sliced() or not self.mark.node.floating:
            return "inner"
        if self.factor is not None and self.factor < 0:
            return "inner"  # f(x) - x
        if self._adapts():
            return "adapter"
        if not self._carries() or self._two_streams() or self._returns() or self._statistic():
            return "fusion"
        return self._residual()

    @property
    def _steps(self) -> list[str]:
        return [node.step for node in self.path]

    @property
    def _weights(self) -> list[int]:
        return [place for place, node in enumerate(self.path) if node.weight]

    def sliced(self) -> bool:
        """True where the shortcut is a slice of the root, and not of a projection of all of it."""
        before = self.path[: self._weights[0]] if self._weights else self.path
        return any(node.step == "slice" for node in before)

    def _carries(self) -> bool:
        """True where the shortcut carries all of the root, or a linear map of all of it."""
        steps, weights = self._steps, self._weights
        if set(steps) & {"mix", "reduce"} or tuple(self.operands[1 - self.branch].shape) != tuple(
            self.shape
        ):
            return False
        if any(node.fused for node in self.path):
            return False
        separable = len(weights) == 2 and steps[weights[0]] == "depthwise"
        if len(weights) > 1 and not separable:
            return False
        if not weights:
            return True
        before, after = steps[: weights[0]], steps[weights[0] :]
        return "sum" not in before and not {"activation", "pad"} & set(after)

    def _residual(self) -> str:
        steps = self._steps
        if self._weights:
            return "projection"
        same = self.operands[1 - self.branch].numel == self.mark.node.numel
        if not same or set(steps) & {"pad", "pool", "subsample", "crop", "upsample"}:
            return "padded"
        straight = all(step in ("layout", "sum") for step in steps)
        return "identity" if straight and self.factor == 1 else "scaled"

    def _statistic(self) -> bool:
        """True where the branch is the root's mean or the like, without parameters: x - mean(x)."""
        if self.mark.dearest[self.branch] >= PARAMETERS:
            return False
        smaller = self.operands[self.branch].numel < _product(self.shape)
        return smaller or any(n.step == "reduce" for n in _path(self.mark, self.branch))

    def _two_streams(self) -> bool:
        """True where both operands are the root with something added."""
        free = self.mark.cost[self.branch] < PARAMETERS
        branch = [node.step for node in _path(self.mark, self.branch)]
        return free and "sum" in branch and "sum" in self._steps

    def _returns(self) -> bool:
        """True where one operand comes back from another resolution and none is the root."""
        if not self._weights and "sum" not in self._steps:
            return False
        up = any(node.step == "upsample" for node in self.path)
        return up == _comes_without(self.operands[self.branch], self.mark.node, "upsample")

    def _adapts(self) -> bool:
        """True for a weight beside its low-rank correction: two weights with a waist between."""
        branch = [node for node in _path(self.mark, self.branch) if node.weight]
        linear = {"weight", "layout", "scale", "slice", "crop"}
        if len(self._weights) != 1 or len(branch) != 2 or not set(self._steps) <= linear:
            return False
        if not {node.step for node in _path(self.mark, self.branch)} <= linear:
            return False
        root, inner, outer = (_width(n) for n in (self.mark.node, branch[0], branch[1]))
        return inner < min(root, outer) and all(len(n.parents) == 1 for n in branch)


def _from_constant(first: Node, second: Node, shape: Sequence[int]) -> Verdict | None:
    """A stream that starts at a parameter: x + f(x, images), where no image is in x yet."""
    branch = 1 if first.constant else 0
    start, other = (first, second)[1 - branch], (first, second)[branch]
    if tuple(start.shape[1:]) != tuple(shape[1:]) or tuple(other.shape) != tuple(shape):
        return None
    path: list[Node] = []
    reached = _sources(other)
    while start.index not in reached:
        if start.step != "layout" or not start.parents:
            return None
        path.insert(0, start)
        start = start.parents[0]
    return Verdict("identity", branch, start, path)


def _root(first: Node, second: Node) -> _Mark | None:
    """The nearest tensor that one operand is, or that all ways to the shortcut lead through."""
    inf = float("inf")
    if first is second:
        return None
    marks = {first.index: _Mark(first, [0, inf], [0, -inf], [None, None])}
    marks[second.index] = _Mark(second, [inf, 0], [-inf, 0], [None, None])
    heap = [-first.index, -second.index]
    heapq.heapify(heap)
    waiting = [1, 1]  # tensors still to be looked at that each operand comes from
    for _ in range(_LIMIT):
        if not heap:
            return None
        mark = marks[-heapq.heappop(heap)]
        for side in (0, 1):
            waiting[side] -= mark.cost[side] < inf
        if max(mark.cost) < inf and _is_root(mark, first, second, waiting):
            return mark
        for parent in mark.node.parents:
            known = marks.get(parent.index)
            if known is None:
                known = marks[parent.index] = _Mark(parent, [inf] * 2, [-inf] * 2, [None] * 2)
                heapq.heappush(heap, -parent.index)
            _extend(mark, known, waiting)
    return None


def _is_root(mark: _Mark, first: Node, second: Node, waiting: list[int]) -> bool:
    if mark.node is first or mark.node is second or not any(waiting):
        return True
    # the branch may read more than the root: a shortcut that all leads through it is enough
    one, other = ((mark.cost[side], mark.dearest[side]) for side in (0, 1))
    return (not waiting[0] and one < other) or (not waiting[1] and other < one)


def _extend(mark: _Mark, known: _Mark, waiting: list[int]) -> None:
    """The ways through `mark` as ways from its parent."""
    step = mark.node.cost
    for side in (0, 1):
        cost = mark.cost[side] + step
        waiting[side] += cost < float("inf") == known.cost[side]
        known.dearest[side] = max(known.dearest[side], mark.dearest[side] + step)
        if cost < known.cost[side]:
            known.cost[side], known.via[side] = cost, mark


def _path(mark: _Mark, side: int) -> Iterator[Node]:
    """The nodes on the cheapest way from the root (left out) to an operand (included)."""
    step = mark.via[side]
    while step is not None:
        yield step.node
        step = step.via[side]


def _sources(operand: Node) -> set[int]:
    """All that an operand comes from, constants included."""
    found, waiting = {operand.index}, [operand]
    while waiting and len(found) < _LIMIT:
        node = waiting.pop()
        for parent in (*node.parents, *node.given):
            if parent.index not in found:
                found.add(parent.index)
                waiting.append(parent)
    return found


def _comes_without(operand: Node, root: Node, step: str) -> bool:
    """True where some way from the root to an operand is without a step."""
    seen, waiting = {operand.index}, [operand]
    while waiting and len(seen) < _LIMIT:
        node = waiting.pop()
        if node.step == step:
            continue
        for parent in node.parents:
            if parent is root:
                return True
            if parent.index > root.index and parent.index not in seen:
                seen.add(parent.index)
                waiting.append(parent)
    return False


def _width(node: Node) -> int:
    """Channels, of maps (N, C, H, W) or (N, C, L) and of tokens (N, ..., C) alike."""
    convolved = "conv" in node.operation
    return node.shape[1] if convolved and len(node.shape) > 2 else node.shape[-1]


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


# ---- what only the end of a pass tells
def settle(additions: list[Addition], ends: Sequence[Node]) -> None:
    """Take back "residual" from sums that do not go on as the stream.

    Args:
        additions: of a pass that is over; sums of weights are taken out.
        ends: the tensors that the network returned.
    """
    every = _reached(ends, stream=False)
    stream = _reached(ends, stream=True)
    fed = _feeding(every)
    for addition in list(additions):
        total = addition.total
        if total is None or not addition.residual:
            continue
        known = total.index in every
        if total.constant and not known:
            additions.remove(addition)
        elif _is_inner(addition, total, known and total.index not in stream):
            addition.kind, addition.residual = "inner", False
        elif addition.kind == "projection" and known and _is_of_heads(total, fed):
            addition.kind, addition.residual = "fusion", False


def _is_inner(addition: Addition, total: Node, weighs: bool) -> bool:
    """True for what does not go on as the stream.

    A constant added to a stream that goes on without it (the positions in a decoder's queries),
    and what only weighs an attention; a network that makes queries has a stream of its own.
    """
    apart = addition.branch.last_use > total.index
    if not weighs:
        return apart and addition.shortcut.constant
    return apart or addition.kind != "identity" or addition.shortcut.step == "mix"


def _is_of_heads(total: Node, fed: set[int]) -> bool:
    """True for vectors that nothing with parameters works on any more: two heads' logits."""
    return len(total.shape) == 2 and total.index not in fed


def _reached(ends: Sequence[Node], stream: bool) -> dict[int, Node]:
    """All that the ends come from; with `stream`, without what only weighs an attention."""
    found = {node.index: node for node in ends}
    waiting = list(ends)
    while waiting:
        node = waiting.pop()
        parents = (*node.parents, *node.given)
        for parent in _values(node) if stream else parents:
            if parent.index not in found:
                found[parent.index] = parent
                waiting.append(parent)
    return found


def _values(node: Node) -> Sequence[Node]:
    """The operands of a node, without those that only weigh the others."""
    parents = (*node.parents, *node.given)
    if node.step != "mix" or len(parents) < 2:
        return parents
    if node.values:
        return node.values
    return [p for p in parents if not _is_weights(p)]


def _is_weights(node: Node) -> bool:
    """True for the softmax of logits, also where heads are mixed after it."""
    for _ in range(10):
        if node.operation == "softmax":
            return True
        if len(node.parents) != 1 or node.step == "sum":
            return False
        node = node.parents[0]
    return False


def _feeding(every: dict[int, Node]) -> set[int]:
    """Those that further parameters work on before the output."""
    found: set[int] = set()
    for index in sorted(every, reverse=True):
        node = every[index]
        if node.parametered or index in found:
            found.update(parent.index for parent in (*node.parents, *node.given))
    return found
