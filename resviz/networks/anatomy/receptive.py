"""Receptive fields: which pixels of the input a position of a layer can depend on.

Followed through the network while it runs, as Araujo et al. 2019 compute it
(https://doi.org/10.23915/distill.00021): each window of a convolution or a pooling widens the
field by its size times the distance of neighbouring positions. Normalisations over positions and
gates that are the same at every position (squeeze-and-excitation) are left out of account, as is
usual. Attention sees the whole image; so may whatever is not known here to keep positions where
they are (an image that the network scales, turns or folds into channels), and has no field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from resviz.given import Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy.additions import Node
from resviz.networks.anatomy.axes.axis import Atom, Layout
from resviz.networks.anatomy.axes.rules import is_elementwise
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.anatomy.dataflow import Dataflow, Frame, tensors_in
from resviz.networks.anatomy.operations import plain
from resviz.networks.anatomy.walk import Walk

_SAME = {"norm", "activation", "sum", "layout", "slice", "crop"}  # where positions are as before
_JOINS = {"cat", "concat", "concatenate"}
_WINDOWS = {"conv2d", "max_pool2d", "max_pool2d_with_indices", "avg_pool2d"}
_ADAPTIVE = {"adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices"}
_BY_PLACE = {*_WINDOWS, *_ADAPTIVE, "pad", "__getitem__", "getitem"}  # rows are axis 2, columns 3
Pair = tuple[int, int]


@dataclass(frozen=True)
class Field:
    """The receptive fields of all positions of a layer, in pixels of the input.

    Attributes:
        size: (height, width) of each.
        step: how far apart those of neighbouring positions are.
        start: where the first begins; negative where it reaches into the padding.
        positions: (height, width) of the layer.
    """

    size: Pair
    step: Pair
    start: Pair
    positions: Pair

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of one position; it may reach over the image's edge.

        Example:
            >>> Field((3, 3), (2, 2), (-1, -1), (16, 16)).box(0, 1)
            (-1, 1, 2, 4)
        """
        top, left = (
            s + d * i for s, d, i in zip(self.start, self.step, (row, column), strict=True)
        )
        return top, left, top + self.size[0], left + self.size[1]

    def after(self, kernel: Pair, stride: Pair, padding: Pair, positions: Pair) -> Field:
        """After a window of so many positions."""
        size, start, step = [], [], []
        for axis in (0, 1):
            size.append(self.size[axis] + (kernel[axis] - 1) * self.step[axis])
            start.append(self.start[axis] - padding[axis] * self.step[axis])
            step.append(self.step[axis] * stride[axis])
        return Field(_pair(size), _pair(step), _pair(start), positions)


def joined(fields: Sequence[Field]) -> Field | None:
    """What a function of several tensors sees; None where their positions do not fit together."""
    first = fields[0]
    if any((f.step, f.positions) != (first.step, first.positions) for f in fields):
        return None
    start = _pair([min(f.start[axis] for f in fields) for axis in (0, 1)])
    ends = [max(f.start[axis] + f.size[axis] for f in fields) for axis in (0, 1)]
    return replace(
        first, start=start, size=_pair([e - s for e, s in zip(ends, start, strict=True)])
    )


class ReceptiveFields(Dataflow):
    """Watches a pass over pictures (N, C, H, W); then :meth:`of` tells each tensor's field.

    Args:
        axes: sees the same pass: which axes are rows and columns.
    """

    def __init__(self, axes: Axes) -> None:
        super().__init__()
        self._axes = axes
        self._fields: dict[int, Field] = {}

    def source(self, tensor: Tensor) -> None:
        """Declare an input of the network; pictures have fields of one pixel each."""
        super().source(tensor)
        node = self.node_of(tensor)
        if node is not None and tensor.ndim == 4:
            self._fields[node.index] = Field((1, 1), (1, 1), (0, 0), _pair(tensor.shape[2:]))

    def of(self, value: Any) -> Field | None:
        """The field of a tensor; None where every position may see the whole input."""
        node = self.node_of(value)
        return None if node is None else self._fields.get(node.index)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = [tensor for tensor in tensors_in((args, kwargs or {})) if self.node_of(tensor)]
        before = [(self.node_of(tensor), self._axes.layout_of(tensor)) for tensor in given]
        out = super().__torch_function__(func, types, args, kwargs)
        node = self.node_of(out)
        if node is not None and node.index not in self._fields:
            name, made = plain(getattr(func, "__name__", "")), next(tensors_in(out))
            seen = [(self._fields.get(n.index), at) for n, at in before if n and _places(n)]
            call = _Call(name, args, kwargs or {}, made, self._axes.layout_of(made))
            found = _field(call, node.step, seen)
            if found is not None:
                self._fields[node.index] = found
        return out


class _Call(NamedTuple):
    """A function that ran, its result and which axis of that is which."""

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    out: Tensor
    layout: Layout | None


def receptive_fields(net: nn.Module, inputs: Inputs) -> dict[tuple[str, int], Field]:
    """The field of each call of a module, by path and call, from a pass over the first image."""
    found: dict[tuple[str, int], Field] = {}

    def left(frame: Frame, output: Any) -> None:
        field = flow.of(output)
        tensor = next(tensors_in(output), None)
        if field is not None and tensor is not None:
            found[frame.path, frame.call] = field

    with left_as_found(net) as hooks:
        axes = Axes(net, hooks)
        flow = ReceptiveFields(axes)
        Walk(net, hooks, left=left, axes=axes).run_one(inputs, flow)
    flow.end()
    return found


def _places(node: Node) -> bool:
    """False for what is the same at every position: a gate (N, C, 1, 1), a bias."""
    return not node.constant and (len(node.shape) != 4 or tuple(node.shape[2:]) != (1, 1))


def _field(
    call: _Call, step: str, seen: Sequence[tuple[Field | None, Layout | None]]
) -> Field | None:
    """Of the result, from the operands' fields and layouts."""
    known = [field for field, _ in seen if field is not None]
    if not known or len(known) < len(seen):
        return None
    name, layout = call.name, seen[0][1]
    if name in _BY_PLACE:
        if not _is_map(known[0], layout):
            return None
        if name in _WINDOWS:
            return _windowed(known[0], call)
        if name == "pad":
            return _padded(known[0], call)
        if name in ("__getitem__", "getitem"):
            return _cut(known[0], call)
    same = (
        (step in _SAME and name != "scripted")
        or name in _JOINS
        or name in _ADAPTIVE
        or is_elementwise(name)
    )
    resized = name == "interpolate" and call.kwargs.get("scale_factor") is None  # as it was
    found = joined(known) if same or resized or _is_linear(call, layout) else None
    return found if found is not None and _has_positions(found, call.layout) else None


def _has_positions(field: Field, layout: Layout | None) -> bool:
    """True where all rows and all columns are still there, in order, whichever axes they are."""
    atoms = [atom for axis in layout or () for atom in axis.atoms]
    sizes = zip(("Hh", "Ww"), field.positions, strict=True)
    return all(_are_whole([a for a in atoms if a.name in names], size) for names, size in sizes)


def _are_whole(atoms: Sequence[Atom], size: int) -> bool:
    if not atoms:
        return size == 1
    whole = len(atoms) == 1 and (atoms[0].step, atoms[0].size, atoms[0].total) == (1, size, size)
    return whole and atoms[0].order == ()


def _is_map(field: Field, layout: Layout | None) -> bool:
    """True for (N, C, H, W): rows are axis 2, columns axis 3."""
    if layout is None or len(layout) != 4 or not _has_positions(field, layout):
        return False
    return all(
        axis.size == 1 or axis.whole in names
        for axis, names in zip(layout[2:], ("Hh", "Ww"), strict=True)
    )


def _is_linear(call: _Call, before: Layout | None) -> bool:
    """True for a weighted sum over channels that come last."""
    last = before[-1] if before and call.name == "linear" and len(before) == 4 else None
    return last is not None and not last.positions


def _windowed(field: Field, call: _Call) -> Field:
    name, args, kwargs, out, _ = call
    given = dict(enumerate(args))
    if name == "conv2d":
        weight: Any = given.get(1, kwargs.get("weight"))
        kernel = _pair(weight.shape[2:])
        stride = _two(given.get(3, kwargs.get("stride", 1)))
        dilation = _two(given.get(5, kwargs.get("dilation", 1)))
        padding = given.get(4, kwargs.get("padding", 0))
    else:
        kernel = _two(given.get(1, kwargs.get("kernel_size")))
        stride = _two(given.get(2, kwargs.get("stride")) or kernel)
        padding = given.get(3, kwargs.get("padding", 0))
        dilation = _two(given.get(4, kwargs.get("dilation", 1))) if "max" in name else (1, 1)
    kernel = _pair([(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)])
    if padding == "same":
        padding = _pair([(k - 1) // 2 for k in kernel])
    padding = (0, 0) if padding == "valid" else _two(padding)
    return field.after(kernel, stride, padding, _pair(out.shape[2:]))


def _padded(field: Field, call: _Call) -> Field | None:
    """With what is at the edge; what comes from the other side is in no field."""
    args, kwargs, out = call.args, call.kwargs, call.out
    if (args[2] if len(args) > 2 else kwargs.get("mode")) == "circular":
        return None
    widths = list(args[1] if len(args) > 1 else kwargs["pad"]) + [0, 0, 0, 0]
    before = (widths[2], widths[0])
    start = _pair([s - b * d for s, b, d in zip(field.start, before, field.step, strict=True)])
    return replace(field, start=start, positions=_pair(out.shape[2:]))


def _cut(field: Field, call: _Call) -> Field | None:
    """Slices of positions, as in an option A shortcut."""
    index, out = call.args[1], call.out
    if not isinstance(index, tuple) or len(index) > 4 or out.ndim != 4:
        return field if _has_positions(field, call.layout) else None
    if Ellipsis in index or not all(isinstance(part, slice) for part in index):
        return None
    start, step = list(field.start), list(field.step)
    for axis, part in enumerate(index[2:]):
        first, _, every = part.indices(field.positions[axis])
        start[axis] += first * step[axis]
        step[axis] *= every
    return Field(field.size, _pair(step), _pair(start), _pair(out.shape[2:]))


def _two(value: Any) -> Pair:
    if isinstance(value, int):
        return (value, value)
    return _pair(list(value) * (2 if len(value) == 1 else 1))


def _pair(values: Sequence[int]) -> Pair:
    return (int(values[0]), int(values[1]))
