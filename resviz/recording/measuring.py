"""A pass through a network, measured in the moment that each tensor exists."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resviz.given import Images, Inputs
from resviz.hooks import Hooks
from resviz.networks.anatomy.additions import Addition
from resviz.networks.anatomy.axes.axis import letters
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.anatomy.dataflow import Dataflow, Frame, tensors_in
from resviz.networks.anatomy.walk import Walk
from resviz.recording.kept import Kept
from resviz.recording.seen import AdditionRow, LayerRow, Seen
from resviz.recording.split import NOT_REACHED, WITHOUT_AUTOGRAD, GradientSplit
from resviz.recording.statistics import Measured, Number, mean_product, mean_square, measure
from resviz.torch_private import leads_to, unwatched, version

_PARTS = ("grad_branch", "grad_shortcut")  # of a gradient, at the tensor both operands come from


class _Known(NamedTuple):
    """A tensor that was measured, in that state, and the rows that wait for its gradient."""

    tensor: weakref.ref[Tensor]
    version: int
    measured: Measured
    rows: list[LayerRow]


class MeasuredPass:
    """Measures a pass; what it saw is in :attr:`seen`, the gradients after the backward.

    Args:
        net: the network.
        kept: which tensors to keep.
        hooks: live until the backward is over.
        gradients: measure those too.
        axes: note which axis of each output is which.
        check: as :class:`~resviz.networks.anatomy.walk.Walk` takes it.
        include: kinds of sums that are not residual, to be measured too.

    Attributes:
        seen: of the latest pass.
        of_images: a gradient is read where no parameter lies behind: it is there only as long as
            the backward goes on to the images.
    """

    def __init__(
        self,
        net: nn.Module,
        kept: Kept,
        hooks: Hooks,
        gradients: bool,
        *,
        axes: bool = True,
        check: bool = True,
        include: Collection[str] = (),
    ) -> None:
        self.seen = Seen()
        self.of_images = False
        self._parameters = {id(parameter) for parameter in net.parameters()} if gradients else set()
        self._axes = Axes(net, hooks) if axes else None
        self._walk = Walk(net, hooks, self._entered, self._left, axes=self._axes, check=check)
        self._net, self._kept, self._hooks, self._gradients = net, kept, hooks, gradients
        self._measured: dict[int, _Known] = {}
        self._gradient: tuple[weakref.ref[Tensor], int, Number] | None = None  # measured last
        self._flow, self._include = Dataflow(), include
        self._told: list[Addition] = []
        self._root_axes = ""  # of the addition that was told last

    def run(self, inputs: Images) -> Any:
        """The forward pass; what the network returned."""
        given = Inputs.of(inputs)
        return self.around(lambda: given.run(self._net), given)

    def around(self, forward: Callable[[], Any], inputs: Iterable[Tensor]) -> Any:
        """The same for a forward pass that `forward` makes."""
        before, after = self._before_addition, self._after_addition
        flow = self._flow = Dataflow(before, after, self._include)
        self._told.clear()
        self.of_images = False
        self.seen = Seen([], [], flow.parameter_depths, flow.weights, flow.projections, flow.gates)
        try:
            output = self._walk.around(forward, inputs, flow)
            self._settle()
            return output
        finally:
            self._told.clear()
            self._measured.clear()
            flow.end()

    # ---- layers
    def _entered(self, frame: Frame, args: Any) -> None:
        if frame.block:
            self._kept.may_enter_block(frame.path)

    def _left(self, frame: Frame, output: Any) -> None:
        tensor = next(tensors_in(output), None)
        if tensor is None:
            return
        depth = self._flow.depth_of(output)
        with unwatched():
            axes = self._letters(tensor)
            if frame.leaf or frame.block:
                self._add_layer(frame, depth, tensor, axes)
            self._keep(frame, tensor, axes)

    def _letters(self, tensor: Tensor) -> str:
        layout = self._axes.layout_of(tensor) if self._axes is not None else None
        return letters(layout) if layout is not None else ""

    def _add_layer(self, frame: Frame, depth: int, tensor: Tensor, axes: str) -> None:
        path, call, kind, leaf, _ = frame
        shape, known = tuple(tensor.shape), self._measure(tensor)
        sort = "leaf" if leaf else "block"
        row = LayerRow(path, call, kind, sort, depth, shape, axes, known.measured)
        self.seen.layers.append(row)
        if self._gradients and tensor.requires_grad:
            known.rows.append(row)
            if len(known.rows) == 1:
                self._hooks.gradient(tensor, partial(self._read_gradient, known.rows))
                self._reads_at(tensor.grad_fn)

    def _reads_at(self, node: Any) -> None:
        """The gradient is read at an autograd node."""
        if not self.of_images and node is not None:
            self.of_images = not leads_to(node, self._parameters)

    def _read_gradient(self, rows: list[LayerRow], gradient: Tensor) -> None:
        measured = self._mean_square(gradient)
        for row in rows:
            row.grad_ms = measured

    def _mean_square(self, gradient: Tensor) -> Number:
        """Of a gradient; an addition hands the same one to both its operands."""
        last = self._gradient
        if last is not None and last[0]() is gradient and last[1] == version(gradient):
            return last[2]
        measured = mean_square(gradient)
        self._gradient = (weakref.ref(gradient), version(gradient), measured)
        return measured

    def _keep(self, frame: Frame, tensor: Tensor, axes: str) -> None:
        path, call, kept = frame.path, frame.call, self._kept
        if frame.leaf:
            kept.saw_layer(path, call, tensor, axes)
        elif frame.block and self._is_over(path):
            kept.left_block(path)
        if kept.wants(path) or (frame.block and kept.every_block):
            kept.store(path, call, tensor, axes)
        if kept.wants(f"{path}:grad") and tensor.requires_grad:
            self._hooks.gradient(tensor, lambda g: kept.store(f"{path}:grad", call, g, axes))
            self._reads_at(tensor.grad_fn)

    def _is_over(self, path: str) -> bool:
        """What ran, and may be a block, is one: it adds, or is a part of no other."""
        adds = any(row.residual and row.block == path for row in self.seen.additions)
        return adds or not any(frame.block for frame in self._walk.running)

    def _measure(self, tensor: Tensor) -> _Known:
        """Statistics of a tensor; the same tensor in the same state is measured once."""
        known, state = self._measured.get(id(tensor)), version(tensor)
        if known is not None and known.tensor() is tensor and known.version == state:
            return known
        known = _Known(weakref.ref(tensor), state, measure(tensor), [])
        self._measured[id(tensor)] = known
        return known

    # ---- additions
    def _settle(self) -> None:
        """Sums that did not go on as the stream are no residual additions after all."""
        kept = []
        for row, addition in zip(self.seen.additions, self._told, strict=True):
            row.kind, row.residual = addition.kind, addition.residual
            if addition in self._flow.additions and (row.residual or row.kind in self._include):
                kept.append(row)
        self.seen.additions[:] = kept

    def _before_addition(self, addition: Addition, branch: Tensor, shortcut: Tensor) -> None:
        with unwatched():
            self._add_addition(addition, branch, shortcut)

    def _add_addition(self, addition: Addition, branch: Tensor, shortcut: Tensor) -> None:
        row = AdditionRow(
            addition.name,
            addition.owner,
            addition.call,
            addition.kind,
            addition.residual,
            addition.depth,
            tuple(branch.shape),
            branch=self._measure(branch).measured,
            shortcut=self._measure(shortcut).measured,
            product=mean_product(branch, shortcut),
        )
        for part, tensor in (("branch", branch), ("shortcut", shortcut)):
            if self._kept.wants_part(addition.name, part):
                axes = self._letters(tensor)
                self._kept.store(f"{addition.name}:{part}", addition.call, tensor, axes)
        self._root_axes = ""
        if self._gradients and any(self._kept.wants(f"{addition.name}:{part}") for part in _PARTS):
            root = self._flow.tensor_of(addition.root)
            self._root_axes = "" if root is None else self._letters(root)
        self.seen.additions.append(row)
        self._told.append(addition)

    def _after_addition(self, addition: Addition, total: Tensor) -> None:
        row, name, call, kept = self.seen.additions[-1], addition.name, addition.call, self._kept
        with unwatched():
            row.sum_ms, axes = mean_square(total), self._letters(total)
            if kept.wants_part(name, "sum"):
                kept.store(f"{name}:sum", call, total, axes)
        if not (self._gradients and total.requires_grad):
            reason = NOT_REACHED if torch.is_grad_enabled() else WITHOUT_AUTOGRAD
            row.reason = (lambda: reason) if self._gradients else None
            return

        root_axes = self._root_axes

        def parts(*gradients: Tensor) -> None:
            for part, gradient in zip(_PARTS, gradients, strict=True):
                if kept.wants(f"{name}:{part}"):
                    kept.store(f"{name}:{part}", call, gradient, root_axes)

        split = GradientSplit(addition, self._hooks, row.split, parts)
        if addition.root.edge is not None:
            self._reads_at(addition.root.edge[0])
        row.reason = lambda: split.reason

        def at_sum(gradient: Tensor) -> None:
            row.grad_sum_ms = self._mean_square(gradient)
            split.at_sum(gradient)
            if kept.wants(f"{name}:grad_sum"):
                kept.store(f"{name}:grad_sum", call, gradient, axes)

        self._hooks.gradient(total, at_sum)
