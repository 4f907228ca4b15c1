"""What a network computes, seen while it runs: depth, and every sum of two tensors.

A ``TorchFunctionMode`` sees each torch function once and links its result to its operands. Which
sums are residual additions, :mod:`~resviz.networks.anatomy.additions` says. Nothing depends on
class or module names, and nothing on the network being traceable ahead of time.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resviz.networks.anatomy.additions import RESIDUAL_KINDS, Addition, Node
from resviz.networks.anatomy.gates import gate_of
from resviz.networks.anatomy.judging import Verdict, judged, whole_of_pieces
from resviz.networks.anatomy.operations import (
    ATTENTION,
    FRESH,
    JOINS,
    QUESTIONS,
    WEIGHTED,
    read_by,
    step_of,
)
from resviz.networks.anatomy.stream import settle
from resviz.networks.anatomy.sums import FAMILIES, STACKED, Term, addition_name, summed_in, terms
from resviz.networks.outputs import tensor_or_none
from resviz.torch_private import unwatched, versions_of, whole_of

_NESTED = (tuple, list, dict)
# a tensor that joins others, along which axis, and those
_Joined = tuple[weakref.ref[Tensor], int, tuple[Node | None, ...]]


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


class _Call(NamedTuple):
    """A torch function that ran.

    Attributes:
        name: of the function.
        args, kwargs: what it was called with.
        operands: the tensors in them.
        constants: those that are parameters, or made of parameters alone.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    operands: list[Tensor]
    constants: list[Tensor]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in a tensor, tuple, list or dict, or in a dataclass of those, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, _NESTED):
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, Tensor):
                yield item
            elif isinstance(item, _NESTED):  # no generator for each stride and padding
                yield from tensors_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from tensors_in([getattr(value, each.name) for each in fields(value)])


class Dataflow(TorchFunctionMode):
    """Watches a forward pass; use as a context manager around it, once.

    Modules that run are reported through :meth:`enter` and :meth:`leave`, the network's inputs
    through :meth:`source`, what it returned through :meth:`returned`: see
    :class:`~resviz.networks.anatomy.walk.Walk`.

    Args:
        before_addition: called with (addition, branch, shortcut) before a residual addition runs.
        after_addition: called with (addition, sum) after it.
        include: kinds of other sums that those two hear of too.

    Attributes:
        additions: every sum of two tensors with a common root, in order of execution; which are
            residual is settled when the pass is over.
        ends: the nodes of the tensors that the network returned, by the tensor's id.
        also: told of every function that may make a tensor, when it has run: what it was, what it
            was called with, what it gave.
    """

    def __init__(
        self,
        before_addition: Callable[[Addition, Tensor, Tensor], None] | None = None,
        after_addition: Callable[[Addition, Tensor], None] | None = None,
        include: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.additions: list[Addition] = []
        self.ends: dict[int, Node] = {}
        self.also: Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None] | None = None
        self.parameter_depths: dict[int, int] = {}  # id(parameter) -> depth
        self.weights: set[int] = set()  # ids of parameters that weigh a layer
        self.projections: set[str] = set()  # layers on a projection shortcut
        self.gates: set[str] = set()  # layers that only say how much of a tensor goes on
        self._before, self._after, self._include = before_addition, after_addition, include
        self._nodes: dict[int, tuple[weakref.ref[Tensor], Node]] = {}
        self._origins: dict[int, tuple[Tensor, ...]] = {}
        self._stacks: dict[int, _Joined] = {}
        self._cats: dict[int, _Joined] = {}
        self._count = 0
        self._stack = [Frame("", 0, "", leaf=False, block=False)]
        self._names: Counter[tuple[str, int, str]] = Counter()
        self._ways: dict[Addition, list[Node]] = {}

    @property
    def residual(self) -> list[Addition]:
        """The residual additions."""
        return [addition for addition in self.additions if addition.residual]

    # ---- the module that is running
    def enter(self, frame: Frame) -> None:
        """A module starts to run."""
        self._stack.append(frame)

    def leave(self) -> None:
        """The module that started last has run."""
        self._stack.pop()

    def returned(self, output: Any) -> None:
        """The pass is over: what the network returned tells which sums went on as the stream."""
        for tensor in (*tensors_in(output), *tensors_in(tensor_or_none(output))):
            node = self._known(tensor)
            if node is not None:
                self.ends[id(tensor)] = node
        settle(self.additions, list(self.ends.values()))
        for addition in self.additions:
            path, _, last = addition.name.rpartition(".")
            addition.among = self._names[path, addition.call, last.partition("_")[0]]
        for addition in self.residual:
            if addition.kind == "projection":
                nodes = self._ways.get(addition, [])
                self.projections |= {node.owner for node in nodes if node.parametered}

    def end(self) -> None:
        """Let go of the pass's tensors, its graph and of those who listened."""
        self._before = self._after = self.also = None
        self.additions.clear()
        self.ends.clear()
        self._nodes.clear()
        self._origins.clear()
        self._stacks.clear()
        self._cats.clear()
        self._ways.clear()

    # ---- tensors and nodes
    def source(self, tensor: Tensor) -> None:
        """Declare an input of the network."""
        self._register(tensor, self._node("input", (), (), 0, tensor))

    def node_of(self, value: Any) -> Node | None:
        """The node of a tensor (the first one in a tuple or dict), None for a constant."""
        for tensor in tensors_in(value):
            node = self._known(tensor)
            if node is not None:
                return None if node.constant else node
        return None

    def tensor_of(self, node: Node) -> Tensor | None:
        """The tensor of a node; None where it is gone, or was written into."""
        known = reversed(self._nodes.values())
        return next((tensor() for tensor, each in known if each is node), None)

    def depth_of(self, value: Any) -> int:
        """Weighted layers on the longest path from the input to this tensor."""
        node = self.node_of(value)
        return node.depth if node is not None else 0

    def _known(self, tensor: Tensor) -> Node | None:
        entry = self._nodes.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def _node(
        self,
        name: str,
        parents: tuple[Node, ...],
        parameters: tuple[Tensor, ...],
        weight: int,
        out: Tensor,
    ) -> Node:
        self._count += 1
        depth = weight
        if parents:
            depth += parents[0].depth if len(parents) == 1 else max(p.depth for p in parents)
        shape, edge, owner = tuple(out.shape), _edge(out), self._stack[-1].path
        node = Node(self._count, name, owner, parents, parameters, weight, depth, shape, edge)
        node.floating = out.is_floating_point()
        return node

    def _register(self, tensor: Tensor, node: Node) -> None:
        self._nodes[id(tensor)] = (weakref.ref(tensor), node)

    # ---- every torch function
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in QUESTIONS:
            return func(*args, **kwargs)
        operands = _operands(args, kwargs)
        with unwatched():  # shapes and versions are read here: no other mode need hear of it
            parents, constants = self._told_apart(operands)
            versions = versions_of(operands) if parents else {}
        added: tuple[Term, ...] = ()
        number = 0
        if name in FAMILIES:
            added = terms(name, args, kwargs, self._stacked(summed_in(args, kwargs)))
            number = self._count_additions(name, len(added))
        if not parents:
            return self._of_constants(func, args, kwargs, operands, constants, added, number)
        if name in FRESH:
            return self._run(func, args, kwargs)
        addition = None
        if added:
            whole = summed_in(args, kwargs)
            addition = self._announced(name, number, added, self._nodes_of(whole, added))
        out = func(*args, **kwargs)
        written = args[:1] if name.endswith("_") else ()  # x[:, :3] = y returns nothing
        with unwatched():
            if self.also is not None:
                self.also(func, args, kwargs, out)
            call = _Call(name, args, kwargs, operands, constants)
            self._link(call, (out, written) if written else out, tuple(parents), versions)
            if name in ("stack", "cat"):
                self._note_joined(name, args, kwargs, out)
        if addition is not None:
            self._finish(addition, out)
        return out

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = func(*args, **kwargs)
        if self.also is not None:
            with unwatched():
                self.also(func, args, kwargs, out)
        return out

    def _told_apart(self, operands: list[Tensor]) -> tuple[list[Node], list[Tensor]]:
        """Nodes of those that come from the input; parameters, and what comes from those alone."""
        parents: list[Node] = []
        constants: list[Tensor] = []
        for tensor in operands:
            node = self._known(tensor)
            if node is None or node.constant:
                if node is not None or isinstance(tensor, nn.Parameter):
                    constants.append(tensor)
            else:
                parents.append(node)
                if node.edge is None:  # made inside a Function of the user's own
                    node.edge = _edge(tensor)
        return parents, constants

    def _link(
        self, call: _Call, out: Any, parents: tuple[Node, ...], versions: dict[int, int]
    ) -> None:
        name, args, kwargs, _, constants = call
        heavy = [c for c in constants if c.ndim >= 2] if name in WEIGHTED else []
        attention = name == "multi_head_attention_forward"
        weight = len(heavy) if attention else min(len(heavy), 1)
        given = self._data(call) if constants else ()
        values = self._weighed(args, kwargs) if name in ATTENTION else ()
        made = (out,) if isinstance(out, Tensor) else {id(t): t for t in tensors_in(out)}.values()
        for tensor in made:
            written = id(tensor) in versions
            if written and versions_of((tensor,)).items() <= versions.items():
                continue  # handed through untouched: dropout in eval mode, contiguous()
            whole = whole_of(tensor) if written else None
            results = [tensor]
            if whole is not None and self.node_of(whole) is None:  # batch[0].copy_(image)
                results.append(whole)
            for result in results:
                node = self._node(name, parents, tuple(constants), weight, result)
                node.given, node.values = given, values
                self._describe(node, call, result, len(heavy))
                self._register(result, node)
        for node in (*parents, *given):
            node.last_use = self._count
        if constants:
            self._note_parameters(constants, heavy, max(p.depth for p in parents), attention)

    def _describe(self, node: Node, call: _Call, result: Tensor, own: int) -> None:
        """What was done to make a result; `own` is how many weights it took."""
        parents = node.parents
        if len(parents) == 2:
            gate = gate_of(node)
            if gate is not None:
                node.depth = gate.gated.depth
                self.gates |= {each.owner for each in gate.way if each.parametered}
        shapes = [parent.shape for parent in parents]
        node.step = step_of(call.name, call.args, shapes, node.shape, own)
        if node.step in ("slice", "crop"):
            node.part = self._part(result)
        if call.name in JOINS and not call.constants:
            node.whole = whole_of_pieces(parents)
            if node.whole is not None:
                node.step = "pool" if node.numel < node.whole.numel else "layout"

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

    # ---- constants: parameters, and what is computed of parameters alone
    def _of_constants(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        operands: list[Tensor],
        constants: list[Tensor],
        added: tuple[Term, ...],
        number: int,
    ) -> Any:
        name = getattr(func, "__name__", "")
        addition = None
        if added and constants:
            whole = summed_in(args, kwargs)
            addition = self._announced(name, number, added, self._nodes_of(whole, added))
        out = self._run(func, args, kwargs)
        if constants:
            with unwatched():
                self._derive(_Call(name, args, kwargs, operands, constants), out)
            if addition is not None:
                self._finish(addition, out)
        return out

    def _derive(self, call: _Call, out: Any) -> None:
        """Note what was computed of parameters alone."""
        name, args, _, _, constants = call
        found = {id(o): o for c in constants for o in self._origins_of(c)}
        origins = tuple(found.values())
        data = () if name in FRESH else self._data(call)
        others = tuple(constants[len(data) :]) if name in WEIGHTED else ()
        for tensor in tensors_in(out):
            if not isinstance(tensor, nn.Parameter):
                node = self._node(name, data, others, 0, tensor)
                node.step = step_of(name, args, [d.shape for d in data], node.shape, len(others))
                node.weight = int(node.step in ("weight", "depthwise"))
                node.depth, node.constant = 0, True
                self._register(tensor, node)
                self._origins[id(tensor)] = origins
        for node in data:
            node.last_use = self._count

    def _data(self, call: _Call) -> tuple[Node, ...]:
        """The constants that a function takes as data, not as its weights."""
        read = {id(t) for t in read_by(call.name, call.operands)}
        return tuple(self._constant(t) for t in call.constants if id(t) in read)

    def _constant(self, tensor: Tensor) -> Node:
        node = self._known(tensor)
        if node is None:  # a parameter
            node = self._node("parameter", (), (), 0, tensor)
            node.constant = True
            self._register(tensor, node)
        return node

    def _origins_of(self, constant: Tensor) -> tuple[Tensor, ...]:
        """The parameters that a constant comes from: under weight_norm, more than one."""
        if isinstance(constant, nn.Parameter):
            return (constant,)
        return self._origins.get(id(constant), ())

    def _weighed(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Node, ...]:
        """Of an attention, the values."""
        value = args[2] if len(args) > 2 else kwargs.get("value")
        node = self._known(value) if isinstance(value, Tensor) else None
        return (node,) if node is not None else ()

    # ---- additions
    def _stacked(self, whole: Any) -> int | None:
        entry = self._stacks.get(id(whole))
        return entry[1] if entry is not None and entry[0]() is whole else None

    def _note_joined(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Tensor
    ) -> None:
        dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
        parts = args[0] if args else kwargs["tensors"]
        joined = self._stacks if name == "stack" else self._cats
        nodes = tuple(self._operand(tensor) for tensor in parts)
        joined[id(out)] = (weakref.ref(out), dim, nodes)

    def _part(self, piece: Tensor) -> Node | None:
        """Of a slice of torch.cat(...), the tensor that it is, if it is one of them."""
        whole = whole_of(piece)
        entry = self._cats.get(id(whole))
        if whole is None or entry is None or entry[0]() is not whole or piece.ndim != whole.ndim:
            return None
        dim, start = entry[1] % whole.ndim, 0
        offset = piece.storage_offset() - whole.storage_offset()
        for node in entry[2]:
            if node is None or len(node.shape) != whole.ndim:
                return None
            if start * whole.stride(dim) == offset and node.shape == tuple(piece.shape):
                return node
            start += node.shape[dim]
        return None

    def _operand(self, tensor: Tensor) -> Node | None:
        """The node of something that is added: parameters have one too."""
        node = self._known(tensor)
        return self._constant(tensor) if node is None and isinstance(tensor, nn.Parameter) else node

    def _count_additions(self, name: str, terms: int) -> int:
        """The number of its first among those of the module call that runs; residual or not."""
        family = FAMILIES[name]
        if family in STACKED and not terms:
            return 0
        path, call, *_ = self._stack[-1]
        first = self._names[path, call, family]
        self._names[path, call, family] += max(terms - 1, 1)
        return first

    def _announced(
        self, name: str, number: int, added: tuple[Term, ...], nodes: list[Node | None]
    ) -> Addition | None:
        """The sum that is about to be made; who listens has heard of it where it is residual."""
        addition = None
        node, so_far = nodes[0], added[0]
        for place in range(1, len(nodes)):
            pair, both = (so_far, added[place]), (node, nodes[place])
            addition = self._addition(name, number + place - 1, pair, both)
            if place < len(added) - 1:
                node, so_far = self._so_far(pair, both, addition)
        return addition

    def _nodes_of(self, whole: Any, added: tuple[Term, ...]) -> list[Node | None]:
        if len(added) > 1 and self._stacked(whole) is not None:
            return list(self._stacks[id(whole)][2])
        return [self._term_node(term) for term in added]

    def _term_node(self, term: Term) -> Node | None:
        nodes = [self._operand(tensor) for tensor in term.made_of]
        if len(nodes) == 1 or nodes[1] is None:
            return nodes[0]
        known = tuple(node for node in nodes if node is not None)
        with torch.no_grad():
            node = self._node("mul", known, (), 0, term.value())
        node.constant = all(n.constant for n in known)
        return node

    def _so_far(
        self,
        pair: tuple[Term, Term],
        nodes: tuple[Node | None, Node | None],
        addition: Addition | None,
    ) -> tuple[Node | None, Term]:
        """Of torch.stack(...).sum(0) with more than two, the sum of the first."""
        total = pair[0].value().detach() + pair[1].value().detach()
        known = tuple(node for node in nodes if node is not None)
        node = self._node("add", known, (), 0, total) if known else None
        if node is not None:
            node.step, node.fused = "sum", addition is not None and not addition.residual
            node.constant = all(n.constant for n in known)
            if addition is not None:
                addition.total = node
                self._tell_sum(addition, total)
        return node, Term((total,), 1.0, lambda: total)

    def _addition(
        self,
        name: str,
        number: int,
        pair: tuple[Term, Term],
        nodes: tuple[Node | None, Node | None],
    ) -> Addition | None:
        path, call, *_ = self._stack[-1]
        first, second = nodes
        one, other = pair[0].made_of[0], pair[1].made_of[0]
        if first is None or second is None or not one.is_floating_point():
            return None
        shape = _together(first.shape, second.shape)
        factors = (pair[0].factor, pair[1].factor)
        verdict = judged(first, second, shape, factors) if shape is not None else None
        if verdict is None or not other.is_floating_point():
            return None
        addition = self._made(addition_name(path, number, FAMILIES[name]), call, nodes, verdict)
        addition.factor = factors[1 - verdict.branch]
        self._tell(addition, pair)
        return addition

    def _made(self, name: str, call: int, nodes: tuple[Any, Any], verdict: Verdict) -> Addition:
        kind, branch, root, way = verdict
        around = next(frame for frame in reversed(self._stack) if not frame.leaf)
        depth = max(node.depth for node in nodes)
        residual = kind in RESIDUAL_KINDS
        operands = (nodes[branch], nodes[1 - branch])
        addition = Addition(name, around.path, call, kind, residual, depth, branch, *operands, root)
        addition.block = (around.path, around.call)
        self.additions.append(addition)
        self._ways[addition] = way
        return addition

    def _heard(self, addition: Addition) -> bool:
        return addition.residual or addition.kind in self._include

    def _tell(self, addition: Addition, pair: tuple[Term, Term]) -> None:
        if self._before is None or not self._heard(addition):
            return
        with torch.no_grad():
            added = [term.value() for term in pair]
        if added[0].shape != added[1].shape:
            shape = torch.broadcast_shapes(*(t.shape for t in added))  # type: ignore[no-untyped-call]
            added = [tensor.expand(shape) for tensor in added]
        branch = addition.branch_operand
        self._before(addition, added[branch], added[1 - branch])

    def _tell_sum(self, addition: Addition, total: Tensor) -> None:
        if self._after is not None and self._heard(addition):
            self._after(addition, total)

    def _finish(self, addition: Addition, out: Any) -> None:
        node = self._known(out)
        if node is not None:
            node.step, node.fused = "sum", not addition.residual
            node.root = addition.root if addition.residual else None
            addition.total = node
        self._tell_sum(addition, out)


def _operands(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """``list(tensors_in((*args, *kwargs.values())))`` in half the time: every function has some."""
    found: list[Tensor] = []
    for each in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, _NESTED):
            found += tensors_in(each)
    return found


def _together(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...] | None:
    """The shape of a sum; None where it is larger than both."""
    if one == other:
        return tuple(one)
    try:
        shape = tuple(torch.broadcast_shapes(one, other))  # type: ignore[no-untyped-call]
    except RuntimeError:
        return None
    return shape if shape in (tuple(one), tuple(other)) else None


def _edge(tensor: Tensor) -> tuple[Any, int] | None:
    made_by = tensor.grad_fn
    return (made_by, tensor.output_nr) if made_by is not None else None
