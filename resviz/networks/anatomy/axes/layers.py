"""Layers that say what their axes are, and products; rules for each.

A convolution, pooling or BatchNorm has channels on axis 1 and positions after it; a Linear layer
and a LayerNorm over the last axis have channels there.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from resviz.networks.anatomy.axes.axis import (
    CHANNELS,
    IMAGES,
    MIXED,
    Axis,
    Layout,
    flipped,
    fresh,
    overlaid,
    resized,
    unknown,
)
from resviz.networks.anatomy.axes.call import Call, Rule
from resviz.networks.anatomy.axes.moves import rescaled


def filters(places: str) -> Rule:
    """Convolutions and their like: new channels on axis 1, positions after them."""

    def rule(call: Call, out: Tensor, _: int) -> Layout | None:
        layout = call.layout
        if out.ndim != len(places) + 2 or len(layout) != out.ndim:
            return None
        if "pool" in call.name and all(axis.known for axis in layout[1:]):
            return rescaled(call, out, 0)
        return (_images(layout), fresh(CHANNELS, out.shape[1]), *_places(layout, places, out))

    return rule


def _images(layout: Layout) -> Axis:
    first = layout[0]
    return first if first.atoms else fresh(IMAGES, 1)


def _places(layout: Layout, places: str, out: Tensor) -> list[Axis]:
    sizes, before = out.shape[2:], layout[2:]
    axes = [_placed(*each) for each in zip(before, places, sizes, strict=True)]
    names = [axis.whole or axis.backwards for axis in axes]
    names = [name for name in names if name]
    if len(set(names)) < len(names):
        return [fresh(name, size) for name, size in zip(places, sizes, strict=True)]
    return axes


def _placed(before: Axis, name: str, size: int) -> Axis:
    """A position axis behind a layer that runs along it: it keeps its own name, if it has one."""
    if before.known and before.positions:
        return resized(before, size)
    own = {"t": "D", "h": "H", "w": "W"}
    if before.reordered:
        named = (atom.called(own.get(atom.name, name)) for atom in before.atoms)
        return resized(Axis(tuple(named)), size)
    if before.backwards:
        return flipped(fresh(own.get(before.backwards, name), size))
    return fresh(own.get(before.whole, name), size)


def channels_second(call: Call, out: Tensor, _: int) -> Layout | None:
    """BatchNorm, GroupNorm, InstanceNorm."""
    if out.ndim < 3:
        return call.layout
    return filters({3: "L", 4: "HW", 5: "DHW"}.get(out.ndim, ""))(call, out, 0) or call.layout


def linear(call: Call, out: Tensor, _: int) -> Layout:
    """Channels last, unless positions are known to lie there: then it mixes those."""
    *before, last = call.layout
    return (*before, _weighed(last, before, out.shape[-1]))


def _weighed(axis: Axis, others: Sequence[Axis], size: int) -> Axis:
    """An axis behind a weighted sum along it."""
    if CHANNELS in axis.names:
        return fresh(CHANNELS, size)
    if axis.known and axis.size == size:
        return axis
    elsewhere = axis.known or MIXED in axis.names or any(CHANNELS in o.names for o in others)
    return fresh(MIXED, size) if elsewhere else fresh(CHANNELS, size)


def layer_norm(call: Call, out: Tensor, _: int) -> Layout:
    """layer_norm, rms_norm over the last axis: channels there, unless they are elsewhere."""
    *before, last = call.layout
    shape = call.given(1, "normalized_shape", default=())
    if len(shape) != 1 or last.known or any(CHANNELS in axis.names for axis in before):
        return call.layout
    return (*before, fresh(CHANNELS, out.shape[-1]))


def embedding(call: Call, out: Tensor, _: int) -> Layout:
    """The axes of the ids, and channels behind them."""
    ids = call.given(0, "input")
    return (*call.of(ids), fresh(CHANNELS, out.shape[-1]))


def recurrent(call: Call, out: Tensor, number: int) -> Layout | None:
    """lstm, gru: channels last."""
    if number or out.ndim != len(call.layout):
        return None
    return (*call.layout[:-1], fresh(CHANNELS, out.shape[-1]))


def folded(call: Call, out: Tensor, _: int) -> Layout | None:
    """fold: a picture of what lay in columns."""
    if out.ndim != 4:
        return None
    sizes = zip("HW", out.shape[2:], strict=True)
    first = call.layout[0] if len(call.layout) == 3 else unknown(len(out))
    return (first, fresh(CHANNELS, out.shape[1]), *(fresh(n, size) for n, size in sizes))


def unfolded(call: Call, out: Tensor, _: int) -> Layout | None:
    """Patches of a picture: their values, and a grid of them; not Tensor.unfold."""
    if out.ndim != 3 or len(call.layout) != 4:
        return None
    settings = [
        call.given(place, name, default=default)
        for place, name, default in (
            *((1, "kernel_size", 1), (2, "dilation", 1)),
            *((3, "padding", 0), (4, "stride", 1)),
        )
    ]
    pairs = [each if isinstance(each, tuple | list) else (each, each) for each in settings]
    places = [
        fresh(name, (axis.size + 2 * pad - gap * (side - 1) - 1) // step + 1)
        for name, axis, side, gap, pad, step in zip("HW", call.layout[2:], *pairs, strict=True)
    ]
    grid = Axis(tuple(atom for axis in places for atom in axis.atoms))
    return (_images(call.layout), fresh(CHANNELS, out.shape[1]), grid)


# ---- products
def product(call: Call, out: Tensor, _: int) -> Layout | None:
    """Rows of the first, columns of the second: attention, and its weighted values."""
    one, other = (call.given(n, *names) for n, names in ((0, ("input",)), (1, ("other", "mat2"))))
    first, second = call.layout_of(one), call.layout_of(other)
    if second is None and first is not None and other.ndim == 2:
        return (*first[:-1], _weighed(first[-1], first[:-1], out.shape[-1]))
    if first is None and second is not None and one.ndim == 2 and len(second) > 1:
        *before, axis, last = second
        return (*before, _weighed(axis, [*before, last], out.shape[-2]), last)
    left, right = call.of(one), call.of(other)
    if out.ndim < 2 or len(left) < 2 or len(right) < 2:
        return None
    batch = overlaid([left[:-2], right[:-2]], out.shape[:-2])
    return (*batch, left[-2], right[-1])


def attended(call: Call, out: Tensor, number: int) -> Layout | None:
    """The positions of the query, the channels of the value."""
    query, value = call.of(call.given(0, "query")), call.of(call.given(2, "value"))
    if call.name == "scaled_dot_product_attention":
        return (*query[:-1], value[-1])
    if number:  # weights of nn.MultiheadAttention
        return None
    return (*query[:-1], fresh(CHANNELS, out.shape[-1]))


def einsum(call: Call, out: Tensor, _: int) -> Layout | None:
    """By its letters: a new one that a weight brings is channels."""
    equation, *operands = call.args
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        return None
    if operands and isinstance(operands[0], list | tuple):
        operands = list(operands[0])
    sources, result = equation.replace(" ", "").split("->")
    found: dict[str, Axis] = {}
    for source, operand in zip(sources.split(","), operands, strict=True):
        for letter, axis in zip(source, call.of(operand), strict=True):
            found[letter] = _better(axis, found.get(letter))
    summed = [axis for letter, axis in found.items() if letter not in result]
    weighed = any(CHANNELS in axis.names for axis in summed)
    constant = [call.layout_of(operand) is None for operand in operands]
    of_weights = [s for s, c in zip(sources.split(","), constant, strict=True) if c]
    of_input = [s for s, c in zip(sources.split(","), constant, strict=True) if not c]
    new = set("".join(of_weights)) - set("".join(of_input))
    return tuple(
        fresh(CHANNELS, size) if letter in new and weighed else found[letter]
        for letter, size in zip(result, out.shape, strict=True)
    )


def _better(axis: Axis, other: Axis | None) -> Axis:
    """The better known of two."""
    return axis if other is None or axis.certainty > other.certainty else other
