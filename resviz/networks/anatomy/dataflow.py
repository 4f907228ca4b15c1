"""What a network computes, seen while it runs: depth, and every residual addition.

A ``TorchFunctionMode`` sees each torch function once and links its result to its operands. An
addition of two activations is *residual* where both come from one earlier tensor, one of them by
way of more parameters than the other: that one is the branch F(x), the other the shortcut
(He et al. 2015, arXiv 1512.03385, Eq. 1 and 2). Nothing depends on class or module names, and
nothing on the network being traceable ahead of time.
"""

from __future__ import annotations

import heapq
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resviz.torch_private import version, whole_of

ADDITIONS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
_WEIGHTED = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("linear", "bilinear", "matmul", "__matmul__", "mm", "bmm", "einsum", "addmm", "embedding"),
    *("multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu"),
}
_FRESH = {  # results that take only shape, dtype or device from their operand
    *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "zeros_like", "ones_like"),
    *("full_like", "empty_like", "rand_like", "randn_like", "randint_like", "bernoulli"),
}
_LAYOUT = {
    *("view", "reshape", "permute", "transpose", "flatten", "unflatten", "contiguous", "clone"),
    *("squeeze", "unsqueeze", "movedim", "to", "float", "half", "bfloat16", "type_as", "view_as"),
    *("swapaxes", "dropout", "__get__"),
}
_SEARCH_LIMIT = 20_000


@dataclass(eq=False, slots=True)
class Node:
    """One tensor at one moment: what made it, from what, at which depth.

    ``parameters`` are those that made it, or tensors derived from parameters alone.
    """

    index: int
    operation: str
    owner: str
    parents: tuple[Node, ...]
    parameters: tuple[Tensor, ...]
    weight: int
    depth: int
    numel: int
    edge: tuple[Any, int] | None

    @property
    def parametered(self) -> bool:
        """True where parameters took part in making it."""
        return bool(self.parameters)


@dataclass(frozen=True, slots=True)
class Addition:
    """A residual addition as it happened.

    ``name`` is torchvision's ("layer1.0.add"), ``call`` the call of the module it happened in,
    ``owner`` that module, or the one around it where it only adds; operand number
    ``branch_operand`` is F(x). ``root`` is the tensor that both operands come from.
    """

    name: str
    owner: str
    call: int
    kind: str
    depth: int
    branch_operand: int
    branch: Node
    shortcut: Node
    root: Node


class Frame(NamedTuple):
    """A module call that is under way.

    Attributes:
        path: of the module.
        call: how often it had run before.
        type: class name of the module.
        leaf: it has no children.
        block: it may be a block.
    """

    path: str
    call: int
    type: str
    leaf: bool
    block: bool


@dataclass(slots=True)
class _Mark:
    node: Node
    cost: list[float]  # parametered functions on the cheapest way to operand 0, operand 1
    dearest: list[float]  # and on the dearest
    via: list[_Mark | None]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in a tensor, tuple, list or dict, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)


class Dataflow(TorchFunctionMode):
    """Watches a forward pass; use as a context manager around it, once.

    Modules that run are reported through :meth:`enter` and :meth:`leave`, the network's inputs
    through :meth:`source`: see :class:`~resviz.networks.anatomy.walk.Walk`.

    Args:
        before_addition: called with (addition, branch, shortcut) before a residual addition runs.
        after_addition: called with (addition, sum) after it.
    """

    def __init__(
        self,
        before_addition: Callable[[Addition, Tensor, Tensor], None] | None = None,
        after_addition: Callable[[Addition, Tensor], None] | None = None,
    ) -> None:
        super().__init__()
        self.additions: list[Addition] = []
        self.parameter_depths: dict[int, int] = {}  # id(parameter) -> depth
        self.weights: set[int] = set()  # ids of parameters that weigh a layer
        self.projections: set[str] = set()  # layers on a projection shortcut
        self._before, self._after = before_addition, after_addition
        self._nodes: dict[int, tuple[weakref.ref[Tensor], Node | None]] = {}
        self._origins: dict[int, tuple[Tensor, ...]] = {}
        self._count = 0
        self._stack = [Frame("", 0, "", leaf=False, block=False)]
        self._names: Counter[tuple[str, int]] = Counter()

    # ---- the module that is running
    def enter(self, frame: Frame) -> None:
        """A module starts to run."""
        self._stack.append(frame)

    def leave(self) -> None:
        """The module that started last has run."""
        self._stack.pop()

    def end(self) -> None:
        """The pass is over: let go of its tensors, its graph and of those who listened."""
        self._before = self._after = None
        self.additions.clear()
        self._nodes.clear()
        self._origins.clear()

    # ---- tensors and nodes
    def source(self, tensor: Tensor) -> None:
        """Declare an input of the network."""
        self._register(tensor, self._node("input", (), (), 0, tensor))

    def node_of(self, value: Any) -> Node | None:
        """The node of a tensor (the first one in a tuple or dict), None for a constant."""
        for tensor in tensors_in(value):
            entry = self._nodes.get(id(tensor))
            if entry is not None and entry[0]() is tensor:
                return entry[1]
        return None

    def depth_of(self, value: Any) -> int:
        """Weighted layers on the longest path from the input to this tensor."""
        node = self.node_of(value)
        return node.depth if node is not None else 0

    def _node(
        self,
        name: str,
        parents: tuple[Node, ...],
        parameters: tuple[Tensor, ...],
        weight: int,
        out: Tensor,
    ) -> Node:
        self._count += 1
        depth = max((p.depth for p in parents), default=0) + weight
        numel, edge, owner = out.numel(), _edge(out), self._stack[-1].path
        return Node(self._count, name, owner, parents, parameters, weight, depth, numel, edge)

    def _register(self, tensor: Tensor, node: Node | None) -> None:
        self._nodes[id(tensor)] = (weakref.ref(tensor), node)

    # ---- every torch function
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        number = self._count_addition() if name in ADDITIONS else 0
        operands = list(tensors_in(args)) + (list(tensors_in(kwargs)) if kwargs else [])
        parents, constants = self._told_apart(operands)
        if not parents:
            out = func(*args, **kwargs)
            if constants:
                self._derive(out, constants)
            return out
        if name in _FRESH:
            return func(*args, **kwargs)
        addition = self._announced(number, args, kwargs) if name in ADDITIONS else None
        versions = {id(t): _version(t) for t in operands}
        out = func(*args, **kwargs)
        written = args[:1] if name.endswith("_") else ()  # x[:, :3] = y returns nothing
        self._link(name, (out, written), tuple(parents), constants, versions)
        if addition is not None and self._after is not None:
            self._after(addition, out)
        return out

    def _told_apart(self, operands: list[Tensor]) -> tuple[list[Node], list[Tensor]]:
        """Nodes of those that come from the input; parameters, and what comes from those alone."""
        parents: list[Node] = []
        constants: list[Tensor] = []
        for tensor in operands:
            entry = self._nodes.get(id(tensor))
            if entry is None or entry[0]() is not tensor:
                if isinstance(tensor, nn.Parameter):
                    constants.append(tensor)
            elif entry[1] is None:  # derived from parameters alone
                constants.append(tensor)
            else:
                parents.append(entry[1])
                if entry[1].edge is None:  # made inside a Function of the user's own
                    entry[1].edge = _edge(tensor)
        return parents, constants

    def _derive(self, out: Any, constants: list[Tensor]) -> None:
        """Note what was computed of parameters alone."""
        found = {id(o): o for c in constants for o in self._origins_of(c)}
        origins = tuple(found.values())
        for tensor in tensors_in(out):
            if not isinstance(tensor, nn.Parameter):
                self._register(tensor, None)
                self._origins[id(tensor)] = origins

    def _link(
        self,
        name: str,
        out: Any,
        parents: tuple[Node, ...],
        constants: list[Tensor],
        versions: dict[int, int],
    ) -> None:
        heavy = [c for c in constants if c.ndim >= 2] if name in _WEIGHTED else []
        attention = name == "multi_head_attention_forward"
        weight = len(heavy) if attention else min(len(heavy), 1)
        made_by = tuple(constants)
        for tensor in {id(t): t for t in tensors_in(out)}.values():
            if versions.get(id(tensor)) == _version(tensor):
                continue  # handed through untouched: dropout in eval mode, contiguous()
            self._register(tensor, self._node(name, parents, made_by, weight, tensor))
            whole = whole_of(tensor) if id(tensor) in versions else None
            if whole is not None and self.node_of(whole) is None:  # batch[0].copy_(image)
                self._register(whole, self._node(name, parents, made_by, weight, whole))
        if constants:
            self._note_parameters(constants, heavy, max(p.depth for p in parents), attention)

    def _note_parameters(
        self, constants: list[Tensor], heavy: list[Tensor], depth: int, attention: bool
    ) -> None:
        weights = {id(t) for t in heavy}
        step = 0 if attention else min(len(heavy), 1)
        for tensor in constants:
            step += attention and id(tensor) in weights
            for origin in self._origins_of(tensor):
                if id(tensor) in weights and origin.ndim >= 2:
                    self.weights.add(id(origin))
                self.parameter_depths.setdefault(id(origin), depth + step)

    def _origins_of(self, constant: Tensor) -> tuple[Tensor, ...]:
        """The parameters that a constant comes from: under weight_norm, more than one."""
        if isinstance(constant, nn.Parameter):
            return (constant,)
        return self._origins.get(id(constant), ())

    # ---- additions
    def _count_addition(self) -> int:
        """Its number among the additions of the module call that runs; residual or not."""
        path, call, *_ = self._stack[-1]
        self._names[path, call] += 1
        return self._names[path, call] - 1

    def _announced(
        self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Addition | None:
        """The residual addition that is about to run, if it is one; who listens has heard of it."""
        pair = (*args, *(kwargs[k] for k in ("input", "other") if k in kwargs))[:2]
        alpha = kwargs.get("alpha", 1)
        addition = self._addition(number, pair, alpha)
        if addition is not None and self._before is not None:
            added = pair if alpha == 1 else (pair[0], pair[1].detach() * alpha)
            branch = addition.branch_operand
            self._before(addition, added[branch], added[1 - branch])
        return addition

    def _addition(self, number: int, pair: tuple[Any, ...], alpha: float) -> Addition | None:
        path, call, *_ = self._stack[-1]
        if len(pair) != 2 or not all(isinstance(a, Tensor) for a in pair):
            return None
        if pair[0].shape != pair[1].shape or not pair[0].is_floating_point():
            return None
        first, second = (self.node_of(a) for a in pair)
        found = _residual(first, second) if first is not None and second is not None else None
        if first is None or second is None or found is None:
            return None
        kind, branch_operand, root, on_shortcut = found
        kind = "scaled" if kind == "identity" and alpha != 1 and branch_operand == 0 else kind
        name = addition_name(path, number)
        nodes = (first, second) if branch_operand == 0 else (second, first)
        owner = next(frame.path for frame in reversed(self._stack) if not frame.leaf)
        depth = max(first.depth, second.depth)
        addition = Addition(name, owner, call, kind, depth, branch_operand, *nodes, root)
        self.additions.append(addition)
        if kind == "projection":
            self.projections |= {node.owner for node in on_shortcut if node.parametered}
        return addition


def addition_name(path: str, number: int) -> str:
    """Torchvision's name of the n-th addition in a module: "layer1.0.add", "layer1.0.add_1"."""
    return (f"{path}." if path else "") + ("add" if number == 0 else f"add_{number}")


def _edge(tensor: Tensor) -> tuple[Any, int] | None:
    return (tensor.grad_fn, tensor.output_nr) if tensor.grad_fn is not None else None


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else version(tensor)


def _residual(first: Node, second: Node) -> tuple[str, int, Node, list[Node]] | None:
    """(kind, which operand is the branch, root, nodes on the shortcut), or None."""
    mark = _root(first, second)
    if mark is None:
        return None
    # a branch may have a free way through as well: x + x * gate(x), or a shortcut inside it
    costs = [(mark.cost[side], mark.dearest[side]) for side in (0, 1)]
    if costs[0] == costs[1]:
        return None
    branch = 0 if costs[0] > costs[1] else 1
    path = list(_path(mark, 1 - branch))
    shortcut_cost = mark.cost[1 - branch]
    if sum(node.weight for node in path) > 1:
        return None  # two branches, no shortcut
    if shortcut_cost > 0:
        return "projection", branch, mark.node, path
    shortcut = (first, second)[1 - branch]
    same_size = shortcut.numel == mark.node.numel
    if same_size and all(node.operation in _LAYOUT | ADDITIONS for node in path):
        return "identity", branch, mark.node, path
    moves = {"pad", "cat", "getitem", "__getitem__"}
    padded = not same_size or any(node.operation in moves for node in path)
    return ("padded" if padded else "scaled"), branch, mark.node, path


def _root(first: Node, second: Node) -> _Mark | None:
    """The nearest tensor that one operand is, or that all ways to both operands lead through."""
    inf = float("inf")
    if first is second:
        return None
    marks = {first.index: _Mark(first, [0, inf], [0, -inf], [None, None])}
    marks[second.index] = _Mark(second, [inf, 0], [-inf, 0], [None, None])
    heap = [-first.index, -second.index]
    heapq.heapify(heap)
    for _ in range(_SEARCH_LIMIT):
        if not heap:
            return None
        mark = marks[-heapq.heappop(heap)]
        reached = max(mark.cost) < inf
        if reached and (mark.node is first or mark.node is second or not heap):
            return mark
        for parent in mark.node.parents:
            known = marks.get(parent.index)
            if known is None:
                known = marks[parent.index] = _Mark(parent, [inf] * 2, [-inf] * 2, [None] * 2)
                heapq.heappush(heap, -parent.index)
            for side in (0, 1):
                step = mark.node.parametered
                known.dearest[side] = max(known.dearest[side], mark.dearest[side] + step)
                cost = mark.cost[side] + step
                if cost < known.cost[side]:
                    known.cost[side], known.via[side] = cost, mark
    return None


def _path(mark: _Mark, side: int) -> Iterable[Node]:
    """The nodes on the cheapest way from the root (left out) to an operand (included)."""
    step = mark.via[side]
    while step is not None:
        yield step.node
        step = step.via[side]
