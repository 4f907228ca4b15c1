"""One watched pass for `architecture`: calls of modules, layers, concatenations, multiply-adds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from resviz.given import Images
from resviz.hooks import left_as_found
from resviz.networks.anatomy.additions import Node
from resviz.networks.anatomy.architecture.labels import ATTENTION, POOLS, is_pool, words
from resviz.networks.anatomy.axes.axis import letters
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.anatomy.dataflow import Dataflow, Frame, tensors_in
from resviz.networks.anatomy.walk import Walk
from resviz.torch_private import operations_of_attention, unwatched

_CONCATENATIONS = {"cat", "concat", "concatenate"}
_UNTOUCHED = {  # hand values on as they are, or some of them
    *("view", "reshape", "permute", "transpose", "flatten", "unflatten", "contiguous", "clone"),
    *("squeeze", "unsqueeze", "movedim", "swapaxes", "to", "dropout", "chunk", "split", "narrow"),
    *("tensor_split", "unbind", "__getitem__", "getitem", "index_select", "cat", "concat", "pad"),
}


@dataclass(eq=False)
class Call:
    """A module while it runs, or a function that a container calls by itself.

    Attributes:
        path: of the module.
        call: how often it had run before.
        leaf: it has no children.
        type: class name of the module.
        flops: multiply-adds of the pass before it started.
        node: number of the last tensor before it started.
        shape: of its output.
        depth: of its output.
        axes: of its output, "NCHW"; "" where they are not known.
    """

    path: str
    call: int
    leaf: bool
    type: str
    flops: int
    node: int
    shape: tuple[int, ...] = ()
    depth: int = 0
    axes: str = ""


@dataclass(eq=False)
class Step:
    """A weighted layer, a pooling, or attention, as it ran.

    Attributes:
        function: name of the torch function.
        stack: the modules that were running, outermost first.
        flops: multiply-adds of the pass before it.
        before: number of the last tensor before it.
        alone: its words as a layer by itself.
        part: its words as a part of a block.
        shape: of its result.
        node: its result.
    """

    function: str
    stack: tuple[Call, ...]
    flops: int
    before: int
    alone: str
    part: str
    shape: tuple[int, ...]
    node: Node

    @property
    def weighted(self) -> bool:
        """True where it has weights."""
        return self.node.weight > 0


@dataclass(eq=False)
class Passage:
    """A pass that is over: see :func:`watch`."""

    flow: Dataflow
    steps: list[Step]
    entered: dict[str, Call]  # the first call of each module
    concatenations: list[tuple[Node, list[Node]]]
    flops: int


class _Watch(Dataflow):
    """Also notes layers and concatenations as they run."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.counter = counter
        self.steps: list[Step] = []
        self.concatenations: list[tuple[Node, list[Node]]] = []
        self.running: list[Call] = []
        self.latest = 0

    @property
    def multiply_adds(self) -> int:
        """So far; torch counts a multiply-add as two operations."""
        return self.counter.get_total_flops() // 2

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        operand = next(tensors_in((args, kwargs)), None)
        shape_in = tuple(operand.shape) if operand is not None else ()
        flops, before = self.multiply_adds, self.latest
        joined = self._joined(args, kwargs) if name in _CONCATENATIONS else []
        out = super().__torch_function__(func, types, args, kwargs)
        node, result = self.node_of(out), next(tensors_in(out), None)
        if node is None or result is None or node.index <= before:
            return out
        self.latest = node.index
        if joined:
            self._note_concatenation(joined, result, args, kwargs)
        shape = tuple(result.shape)
        if node.weight or name in ATTENTION or (name in POOLS and is_pool(name, shape_in, shape)):
            text = words(name, args, kwargs, shape_in, shape)
            stack = tuple(self.running)
            self.steps.append(Step(name, stack, flops, before, *text, shape, node))
        return out

    def _joined(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Node]:
        operands = args[0] if args else kwargs.get("tensors", ())
        nodes = [self.node_of(tensor) for tensor in operands]
        return [node for node in nodes if node is not None]

    def _note_concatenation(
        self, joined: list[Node], result: Tensor, args: Any, kwargs: dict[str, Any]
    ) -> None:
        dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
        channels = (1, -1 % result.ndim) if result.ndim > 1 else ()
        if dim % result.ndim in channels:
            self.concatenations.append((joined[-1], joined))


def watch(net: nn.Module, inputs: Images) -> Passage:
    """Run the first of the images, without gradients; the network is left as it was.

    Args:
        net: any network.
        inputs: its inputs; one image of them is run.
    """
    first: dict[str, Call] = {}
    counter = FlopCounterMode(display=False, custom_mapping=operations_of_attention())
    flow = _Watch(counter)

    def entered(frame: Frame, args: Any) -> None:
        path, number, kind, leaf, _ = frame
        call = Call(path, number, leaf, kind, flow.multiply_adds, flow.latest)
        first.setdefault(path, call)
        flow.running.append(call)

    def left(frame: Frame, output: Any) -> None:
        call = flow.running.pop()
        tensor = next(tensors_in(output), None)
        if tensor is not None:
            with unwatched():
                layout, call.shape = axes.layout_of(tensor), tuple(tensor.shape)
            call.axes = letters(layout) if layout else ""
        call.depth = flow.depth_of(output)

    with left_as_found(net) as hooks:
        axes = Axes(net, hooks)
        walk = Walk(net, hooks, entered, left, axes=axes)
        with counter:
            walk.run_one(inputs, flow)
        total = flow.multiply_adds
    return Passage(flow, flow.steps, first, flow.concatenations, total)


def follows(step: Step, before: Step, steps: dict[int, Step]) -> bool:
    """True where `step` works on what `before` made, with no other of `steps` between.

    Args:
        step: a step.
        before: one that ran before.
        steps: all of a block, by the number of their results.
    """
    waiting, seen = list(step.node.parents), set()
    while waiting:
        node = waiting.pop()
        if node.index == before.node.index:
            return True
        if node.index < before.node.index or node.index in seen or node.index in steps:
            continue
        seen.add(node.index)
        waiting += node.parents
    return False


def concatenated(passage: Passage) -> Iterator[tuple[Node, list[Node]]]:
    """Each new feature that joins earlier ones, with those of them that it was computed from.

    The earlier ones enter the concatenation untouched, whole or in part: DenseNet's features
    (Huang et al. 2017), half of ShuffleNet's channels, a U-Net's copies. Parallel paths that all
    compute something, as in Inception modules, are not among them.
    """
    done: set[int] = set()
    for _, joined in passage.concatenations:
        for new in joined:
            if new.index in done:
                continue
            earlier = [node for node in joined if node.index != new.index]
            chains = [_untouched(node) for node in earlier]
            lowest = min((node.index for chain in chains for node in chain), default=new.index)
            origins = _computed_from(new, lowest)
            kept = [
                next(node for node in chain if node.index in origins)
                for chain in chains
                if any(node.index in origins for node in chain)
            ]
            if kept:
                done.add(new.index)
                yield new, kept


def _untouched(node: Node) -> list[Node]:
    """The node and those that it is a copy or a part of."""
    chain = [node]
    while chain[-1].operation in _UNTOUCHED and len(chain[-1].parents) == 1:
        chain.append(chain[-1].parents[0])
    return chain


def _computed_from(node: Node, lowest: int) -> set[int]:
    """Numbers of the nodes that it comes from by way of parameters, down to number `lowest`."""
    found: set[int] = set()
    waiting, seen = [(node, False)], set()
    while waiting:
        current, weighed = waiting.pop()
        if (current.index, weighed) in seen or current.index < lowest:
            continue
        seen.add((current.index, weighed))
        if weighed:
            found.add(current.index)
        onward = weighed or current.parametered
        waiting += [(parent, onward) for parent in current.parents]
    return found
