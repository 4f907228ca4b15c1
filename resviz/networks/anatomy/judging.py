"""Whether a sum is a residual addition, as far as what came before it tells.

The definition stands in :mod:`resviz.networks.anatomy.additions`; what comes after a sum is judged
in :mod:`resviz.networks.anatomy.stream`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from resviz.networks.anatomy.additions import RESIDUAL_KINDS, Node
from resviz.networks.anatomy.operations import PARAMETERS

_LIMIT = 20_000


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
    found = _from_root(first, second, shape, factors)
    if found is None or found.kind not in ("fusion", "projection"):
        return found
    # x + attention(norm(x)) + mlp(norm(x)) meets in norm(x) before it does in x
    other = _from_root(first, second, shape, factors, shared=True)
    known = RESIDUAL_KINDS if found.kind == "fusion" else ("identity", "scaled")
    return other if other is not None and other.kind in known else found


def _from_root(
    first: Node,
    second: Node,
    shape: Sequence[int],
    factors: Sequence[float | None],
    shared: bool = False,
) -> Verdict | None:
    """What the sum is; with `shared`, from the first root that all ways of both lead through."""
    mark = _root(first, second, shared)
    if mark is None:
        return None
    # a branch may have a free way through as well: x + x * gate(x), or a shortcut inside it
    costs = [(mark.cost[side], mark.dearest[side]) for side in (0, 1)]
    branch = 0 if costs[0] > costs[1] else 1
    path = _without_pieces(list(_path(mark, 1 - branch)), mark.node)
    way = _Way((first, second), branch, mark, path, shape, factors[1 - branch])
    kind = way.kind()
    if kind == "fusion" and "activation" in way.steps:
        # a separable projection with its norms may cost more than the branch
        rest = list(_path(mark, branch))
        other = _Way((first, second), 1 - branch, mark, rest, shape, factors[branch])
        if other.kind() == "projection" and len(other.weights) == 2:
            return Verdict("projection", 1 - branch, mark.node, rest)
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
    def steps(self) -> list[str]:
        """What was done on the way of the shortcut."""
        return [node.step for node in self.path]

    @property
    def weights(self) -> list[int]:
        """Places of its weighted layers."""
        return [place for place, node in enumerate(self.path) if node.weight]

    def sliced(self) -> bool:
        """True where the shortcut is a slice of the root, and not of a projection of all of it."""
        before = self.path[: self.weights[0]] if self.weights else self.path
        return any(node.step == "slice" for node in before)

    def _carries(self) -> bool:
        """True where the shortcut carries all of the root, or a linear map of all of it."""
        steps, weights = self.steps, self.weights
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
        steps = self.steps
        if self.weights:
            return "fusion" if self._straddles() else "projection"
        same = self.operands[1 - self.branch].numel == self.mark.node.numel
        if not same or set(steps) & {"pad", "pool", "subsample", "crop", "upsample"}:
            return "padded"
        straight = all(step in ("layout", "sum") for step in steps)
        return "identity" if straight and self.factor == 1 else "scaled"

    def _statistic(self) -> bool:
        """True where the branch is the root's mean or the like, without parameters: x - mean(x)."""
        if self.mark.dearest[self.branch] >= PARAMETERS:
            return False
        smaller = self.operands[self.branch].numel < math.prod(self.shape)
        return smaller or any(n.step == "reduce" for n in _path(self.mark, self.branch))

    def _two_streams(self) -> bool:
        """True where both operands are the root with something added."""
        free = self.mark.cost[self.branch] < PARAMETERS
        branch = [node.step for node in _path(self.mark, self.branch)]
        return free and "sum" in branch and "sum" in self.steps

    def _returns(self) -> bool:
        """True where one operand comes back from another resolution.

        Beside the root itself that is a branch that was larger than both: one that was smaller is
        a long skip, and judged when the pass is over.
        """
        branch, up = self.operands[self.branch], "upsample" in self.steps
        apart = bool(self.weights) or "sum" in self.steps
        if apart and up == comes_without(branch, self.mark.node, "upsample"):
            return True
        return not up and self._from_above()

    def _from_above(self) -> bool:
        """True where the branch had more positions than the root and the sum."""
        axes = len(self.shape)
        positions = max(math.prod(shape[2:]) for shape in (self.shape, self.mark.node.shape))
        ways = between(self.mark.node, self.operands[self.branch])
        ups = [node.shape for node in ways if node.step == "upsample"]
        return any(len(shape) == axes and math.prod(shape[2:]) > positions for shape in ups)

    def _straddles(self) -> bool:
        """True where the branch leaves the residual block that the root is inside of.

        WaveNet's skips: of two layers' gates, the one led through its block's own addition.
        """
        way = _path(self.mark, self.branch)
        return any(node.root is not None and node.root.index < self.mark.node.index for node in way)

    def _adapts(self) -> bool:
        """True for a weight beside its low-rank correction: two weights with a waist between."""
        branch = [node for node in _path(self.mark, self.branch) if node.weight]
        linear = {"weight", "layout", "scale", "slice", "crop"}
        if len(self.weights) != 1 or len(branch) != 2 or not set(self.steps) <= linear:
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


def _root(first: Node, second: Node, shared: bool = False) -> _Mark | None:
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
        if max(mark.cost) < inf and _is_root(mark, first, second, waiting, shared):
            return mark
        for parent in mark.node.parents:
            known = marks.get(parent.index)
            if known is None:
                known = marks[parent.index] = _Mark(parent, [inf] * 2, [-inf] * 2, [None] * 2)
                heapq.heappush(heap, -parent.index)
            _extend(mark, known, waiting)
    return None


def _is_root(mark: _Mark, first: Node, second: Node, waiting: list[int], shared: bool) -> bool:
    if mark.node is first or mark.node is second or not any(waiting):
        return True
    if shared:
        return False
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


def _without_pieces(path: list[Node], root: Node) -> list[Node]:
    """A way on which a tensor that was cut and joined again stays one."""
    for joined in [node for node in path if node.whole is not None]:
        whole = joined.whole
        if whole is not None and (whole is root or whole in path):
            path = [n for n in path if n.index <= whole.index or n.index >= joined.index]
    return path


def whole_of_pieces(joined: Sequence[Node]) -> Node | None:
    """The tensor whose pieces, pooled at most, are all joined again in the order they were cut."""
    pieces = [_piece(node) for node in joined]
    if len(pieces) < 2 or not all(pieces):
        return None
    found = [piece for piece in pieces if piece is not None]
    whole, numbers = found[0].parents[0], [piece.index for piece in found]
    same = all(piece.parents[0] is whole for piece in found)
    ordered = numbers == sorted(set(numbers))
    return whole if same and ordered and sum(p.numel for p in found) == whole.numel else None


def _piece(node: Node) -> Node | None:
    """The slice that a tensor is, in another layout or pooled."""
    while node.step in ("layout", "pool") and len(node.parents) == 1 and not node.parametered:
        node = node.parents[0]
    return node if node.step in ("slice", "crop") and len(node.parents) == 1 else None


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


def between(root: Node, operand: Node) -> Iterator[Node]:
    """All that an operand was computed of since the root, itself first."""
    seen, waiting = {operand.index}, [operand]
    while waiting and len(seen) < _LIMIT:
        node = waiting.pop()
        yield node
        for parent in node.parents:
            if parent.index > root.index and parent.index not in seen:
                seen.add(parent.index)
                waiting.append(parent)


def comes_without(operand: Node, root: Node, *steps: str) -> bool:
    """True where some way from the root to an operand is without any of these steps."""
    seen, waiting = {operand.index}, [operand]
    while waiting and len(seen) < _LIMIT:
        node = waiting.pop()
        if node.step in steps:
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
