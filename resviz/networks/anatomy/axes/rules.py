"""What each torch function says of the axes of its result.

A convolution, pooling or BatchNorm has channels on axis 1 and positions after it; a Linear layer
and a LayerNorm over the last axis have channels there. Views, transpositions and attention move
axes about; what works on each element alone keeps them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resviz.networks.anatomy.axes.axis import (
    CHANNELS,
    IMAGES,
    MIXED,
    ONE,
    Axis,
    Layout,
    beside,
    ended,
    flipped,
    fresh,
    narrowed,
    overlaid,
    picked,
    reshaped,
    resized,
    rolled,
    shuffled,
    unknown,
)
from resviz.torch_private import is_pointwise

LayoutOf = Callable[[Any], Layout | None]


@dataclass(slots=True)
class Call:
    """One call of a torch function, after it has run.

    Attributes:
        name: of the function.
        func: the function itself.
        args, kwargs: what it was given.
        layout_of: of a tensor, None where nothing is known of it.
    """

    name: str
    func: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    layout_of: LayoutOf

    def given(self, place: int, *names: str, default: Any = None) -> Any:
        """An argument by place or by name."""
        if place < len(self.args):
            return self.args[place]
        return next((self.kwargs[name] for name in names if name in self.kwargs), default)

    @property
    def tensor(self) -> Any:
        """The first argument, as a rule the tensor that the function works on."""
        return self.given(0, "input", "self", "query", "tensors", "tensor")

    @property
    def layout(self) -> Layout:
        """Of that tensor."""
        return self.of(self.tensor)

    def of(self, tensor: Tensor) -> Layout:
        """Of any tensor among the arguments."""
        return self.layout_of(tensor) or tuple(unknown(size) for size in tensor.shape)


Rule = Callable[[Call, Tensor, int], Layout | None]  # (call, a result, its number) -> its axes


def rule_of(name: str) -> Rule | None:
    """The rule for functions of this name, None for those that say nothing."""
    return _RULES.get(name) or (_elementwise if is_pointwise(name) else None)


def is_elementwise(name: str) -> bool:
    """True for a function that works on each element alone."""
    return rule_of(plain(name)) is _elementwise


def of_layouts(rule: Rule | None) -> bool:
    """Whether a rule looks at nothing but its name, layouts of arguments and the result's shape."""
    return rule in _OF_LAYOUTS


# ---- layers that say what their axes are
def _filters(places: str) -> Rule:
    """Convolutions and their like: new channels on axis 1, positions after them."""

    def rule(call: Call, out: Tensor, _: int) -> Layout | None:
        layout = call.layout
        if out.ndim != len(places) + 2 or len(layout) != out.ndim:
            return None
        if "pool" in call.name and all(axis.known for axis in layout[1:]):
            return _rescaled(call, out, 0)
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
        named = (atom._replace(name=own.get(atom.name, name)) for atom in before.atoms)
        return resized(Axis(tuple(named)), size)
    if before.backwards:
        return flipped(fresh(own.get(before.backwards, name), size))
    return fresh(own.get(before.whole, name), size)


def _channels_second(call: Call, out: Tensor, _: int) -> Layout | None:
    """BatchNorm, GroupNorm, InstanceNorm."""
    if out.ndim < 3:
        return call.layout
    return _filters({3: "L", 4: "HW", 5: "DHW"}.get(out.ndim, ""))(call, out, 0) or call.layout


def _linear(call: Call, out: Tensor, _: int) -> Layout:
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


def _layer_norm(call: Call, out: Tensor, _: int) -> Layout:
    *before, last = call.layout
    shape = call.given(1, "normalized_shape", default=())
    if len(shape) != 1 or last.known or any(CHANNELS in axis.names for axis in before):
        return call.layout
    return (*before, fresh(CHANNELS, out.shape[-1]))


def _embedding(call: Call, out: Tensor, _: int) -> Layout:
    ids = call.given(0, "input")
    return (*call.of(ids), fresh(CHANNELS, out.shape[-1]))


def _recurrent(call: Call, out: Tensor, number: int) -> Layout | None:
    if number or out.ndim != len(call.layout):
        return None
    return (*call.layout[:-1], fresh(CHANNELS, out.shape[-1]))


def _folded(call: Call, out: Tensor, _: int) -> Layout | None:
    if out.ndim != 4:
        return None
    sizes = zip("HW", out.shape[2:], strict=True)
    first = call.layout[0] if len(call.layout) == 3 else unknown(len(out))
    return (first, fresh(CHANNELS, out.shape[1]), *(fresh(n, size) for n, size in sizes))


def _unfolded(call: Call, out: Tensor, _: int) -> Layout | None:
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


# ---- what moves axes about
def _view(call: Call, out: Tensor, _: int) -> Layout | None:
    same = isinstance(call.tensor, Tensor) and call.tensor.numel() == out.numel()
    return reshaped(call.layout, out.shape) if same else None


_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


def _permuted(call: Call, out: Tensor, _: int) -> Layout | None:
    """The same function on a small tensor whose axes differ in size tells where each goes."""
    ndim = len(call.layout)
    if ndim > len(_PRIMES):
        return None
    small = torch.empty(_PRIMES[:ndim], device="meta")
    args = [small if arg is call.tensor else arg for arg in call.args]
    kwargs = {k: small if arg is call.tensor else arg for k, arg in call.kwargs.items()}
    order = [_PRIMES.index(size) for size in call.func(*args, **kwargs).shape]
    return tuple(call.layout[axis] for axis in order)


def _attribute(call: Call, out: Tensor, number: int) -> Layout | None:
    name = getattr(getattr(call.func, "__self__", None), "__name__", "")
    if name in ("T", "mT", "H", "mH"):
        return _permuted(call, out, number)
    return call.layout if name in ("data", "real") else None


def _item(call: Call, out: Tensor, _: int) -> Layout | None:
    """Of x[...]: slices, numbers, None and Ellipsis; an axis picked by a tensor is not known."""
    index = call.args[1]
    index = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(each, Tensor | list | bool) for each in index):
        return _picked(call, out, index)
    left = list(call.layout)
    named = sum(each is not None and each is not Ellipsis for each in index)
    if Ellipsis not in index:
        index.append(Ellipsis)
    result: list[Axis] = []
    for each in index:
        if each is None:
            result.append(ONE)
        elif each is Ellipsis:
            count = len(left) - named
            result, left = [*result, *left[:count]], left[count:]
        else:
            axis, named = left.pop(0), named - 1
            result += [_sliced(axis, each)] if isinstance(each, slice) else []
    return tuple(result)


def _picked(call: Call, out: Tensor, index: Sequence[Any]) -> Layout | None:
    """x[:, order] along one axis, by a list or a tensor with one axis; the others stay."""
    at = next((number for number, each in enumerate(index) if each is Ellipsis), None)
    if at is not None:
        every = [slice(None)] * (len(call.layout) - len(index) + 1)
        index = [*index[:at], *every, *index[at + 1 :]]
    found = [number for number, each in enumerate(index) if not isinstance(each, slice)]
    if out.ndim != len(call.layout) or len(found) != 1:
        return None
    (number,) = found
    axis = _chosen(call.layout[number], index[number], out.shape[number])
    return (*call.layout[:number], axis, *call.layout[number + 1 :])


def _selected(call: Call, out: Tensor, _: int) -> Layout | None:
    """index_select; gather and its like put positions into an order that is not looked at."""
    if out.ndim != len(call.layout):
        return None
    along = call.given(1, "dim", "axis") if call.name != "take_along_dim" else call.given(2, "dim")
    if not isinstance(along, int):
        return None
    number = along % out.ndim
    index = call.given(2, "index") if call.name == "index_select" else None
    axis = _chosen(call.layout[number], index, out.shape[number])
    return (*call.layout[:number], axis, *call.layout[number + 1 :])


def _chosen(axis: Axis, index: Any, size: int) -> Axis:
    """An axis of what an index picks: a list, or a tensor with one axis; None for any order."""
    if axis.whole in (CHANNELS, IMAGES):
        return fresh(axis.whole, size)
    if not axis.positions:
        return unknown(size)
    if isinstance(index, Tensor) and (index.is_meta or index.dtype is torch.bool):
        index = None
    places = index.tolist() if isinstance(index, Tensor) else index
    if not isinstance(places, list) or not all(type(each) is int for each in places):
        return shuffled(axis, size)
    return picked(axis, [each % axis.size for each in places])


def _sliced(axis: Axis, part: slice) -> Axis:
    start, stop, step = part.indices(axis.size)
    length = len(range(start, stop, step))
    return narrowed(axis, start, length) if step == 1 else resized(axis, length)


def _along(call: Call, place: int, default: int = 0) -> int:
    return int(call.given(place, "dim", "axis", default=default)) % len(call.layout)


def _parts(call: Call, out: Tensor, number: int) -> Layout | None:
    """split, chunk, narrow: a part along one axis; parts are of one size but for the last."""
    if call.name == "narrow":
        axis = _along(call, 1)
        start = call.given(2, "start")
        start = int(start) % max(1, call.layout[axis].size)
    else:
        axis = _along(call, 2)
        sizes = call.given(1, "split_size_or_sections", "split_size", "chunks")
        each = -(-call.layout[axis].size // sizes) if call.name == "chunk" else sizes
        start = sum(each[:number]) if isinstance(each, list | tuple) else number * each
    part = narrowed(call.layout[axis], start, out.shape[axis])
    return (*call.layout[:axis], part, *call.layout[axis + 1 :])


def _unbound(call: Call, _: Tensor, __: int) -> Layout:
    """unbind, select: an axis less."""
    axis = _along(call, 1)
    return (*call.layout[:axis], *call.layout[axis + 1 :])


def _cat(call: Call, out: Tensor, _: int) -> Layout | None:
    axis = int(call.given(1, "dim", "axis", default=0)) % out.ndim
    layouts = [call.of(part) for part in call.tensor if part.ndim == out.ndim]
    shape = [1 if number == axis else size for number, size in enumerate(out.shape)]
    others = [(*one[:axis], ONE, *one[axis + 1 :]) for one in layouts]
    result = list(overlaid(others, shape))
    result[axis] = beside([one[axis] for one in layouts])
    return tuple(result)


def _stack(call: Call, out: Tensor, _: int) -> Layout:
    axis = int(call.given(1, "dim", "axis", default=0)) % out.ndim
    shape = [size for number, size in enumerate(out.shape) if number != axis]
    rest = overlaid([call.of(part) for part in call.tensor], shape)
    return (*rest[:axis], unknown(out.shape[axis]), *rest[axis:])


def _expanded(call: Call, out: Tensor, _: int) -> Layout:
    return overlaid([call.layout], out.shape)


def _repeated(call: Call, out: Tensor, _: int) -> Layout | None:
    """repeat, tile: an axis of which there is more is another one."""
    if out.ndim != len(call.layout):
        return None
    sizes = zip(call.layout, out.shape, strict=True)
    return tuple(axis if axis.size == size else unknown(size) for axis, size in sizes)


def _reduced(call: Call, out: Tensor, _: int) -> Layout | None:
    """sum, mean, max along some axes, which are left out or of size 1."""
    layout = call.layout
    dims = call.given(2 if "norm" in call.name else 1, "dim", "axis")
    if not isinstance(dims, int | list | tuple) or isinstance(dims, bool):
        return None
    gone = {int(d) % len(layout) for d in ([dims] if isinstance(dims, int) else dims)}
    if out.ndim == len(layout):
        return tuple(ONE if number in gone else axis for number, axis in enumerate(layout))
    return tuple(axis for number, axis in enumerate(layout) if number not in gone)


def _flipped(call: Call, out: Tensor, _: int) -> Layout:
    """flip, fliplr, flipud: positions run backwards."""
    dims = {"fliplr": 1, "flipud": 0}.get(call.name)
    given = call.given(1, "dims") if dims is None else dims
    several = given if isinstance(given, list | tuple) else [given, *call.args[2:]]
    turned = {int(axis) % len(call.layout) for axis in several}
    return tuple(
        flipped(axis) if number in turned and axis.positions else axis
        for number, axis in enumerate(call.layout)
    )


def _rolled(call: Call, out: Tensor, _: int) -> Layout | None:
    """roll: positions go round; without axes named, over all of them as one."""
    shifts, dims = call.given(1, "shifts"), call.given(2, "dims", default=())
    shifts, dims = (list(v) if isinstance(v, list | tuple) else [v] for v in (shifts, dims))
    result = list(call.layout)
    if not dims:
        return tuple(shuffled(axis, axis.size) if axis.size > 1 else axis for axis in result)
    for shift, axis in zip(shifts, dims, strict=True):
        if result[axis].positions:
            result[axis] = rolled(result[axis], int(shift))
    return tuple(result)


def _rotated(call: Call, out: Tensor, _: int) -> Layout:
    """rot90: axes change places, one of them backwards; twice, both are backwards."""
    turns = int(call.given(1, "k", default=1)) % 4
    one, other = (int(d) for d in call.given(2, "dims", default=(0, 1)))
    result = list(call.layout)
    for axis in {0: (), 1: (other,), 2: (one, other), 3: (one,)}[turns]:
        if result[axis].positions:
            result[axis] = flipped(result[axis])
    if turns % 2:
        result[one], result[other] = result[other], result[one]
    return tuple(result)


def _rescaled(call: Call, out: Tensor, _: int) -> Layout | None:
    """interpolate, pad: the order stays, sizes may change."""
    if out.ndim != len(call.layout):
        return None
    sizes = list(zip(call.layout, out.shape, strict=True))
    if call.name == "pad" and not any(call.given(1, "pad")[::2]):
        return tuple(ended(axis, size) for axis, size in sizes)
    return tuple(resized(axis, size) for axis, size in sizes)


# ---- products
def _product(call: Call, out: Tensor, _: int) -> Layout | None:
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


def _attended(call: Call, out: Tensor, number: int) -> Layout | None:
    """The positions of the query, the channels of the value."""
    query, value = call.of(call.given(0, "query")), call.of(call.given(2, "value"))
    if call.name == "scaled_dot_product_attention":
        return (*query[:-1], value[-1])
    if number:  # weights of nn.MultiheadAttention
        return None
    return (*query[:-1], fresh(CHANNELS, out.shape[-1]))


def _einsum(call: Call, out: Tensor, _: int) -> Layout | None:
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


def _same(call: Call, out: Tensor, _: int) -> Layout | None:
    return call.layout if len(call.layout) == out.ndim else None


# ---- element by element
def _elementwise(call: Call, out: Tensor, _: int) -> Layout | None:
    operands = [*call.args, *call.kwargs.values()]
    layouts = [call.layout_of(each) for each in operands if isinstance(each, Tensor)]
    known = [each for each in layouts if each is not None and len(each) <= out.ndim]
    return overlaid(known, out.shape) if known else None


def _scripted(call: Call, out: Tensor, _: int) -> Layout | None:
    """What is computed inside is not known; what has its operand's shape has its axes."""
    operands = [each for each in [*call.args, *call.kwargs.values()] if isinstance(each, Tensor)]
    layouts = [call.layout_of(each) for each in operands if each.shape == out.shape]
    return next((layout for layout in layouts if layout is not None), None)


def _names(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


def _dimensions(*stems: str) -> dict[str, Rule]:
    return {
        stem.replace("#", f"{n}d"): _filters(places)
        for stem in stems
        for n, places in ((1, "L"), (2, "HW"), (3, "DHW"))
    }


_DIMENSIONS = _dimensions(
    *("conv#", "conv_transpose#", "max_pool#", "max_pool#_with_indices", "avg_pool#"),
    *("adaptive_avg_pool#", "adaptive_max_pool#", "adaptive_max_pool#_with_indices"),
    *("lp_pool#", "fractional_max_pool#", "max_unpool#"),
)
_RULES: dict[str, Rule] = {
    **_DIMENSIONS,
    **_names(_filters("HW"), "pixel_shuffle pixel_unshuffle grid_sample deform_conv2d"),
    **_names(_channels_second, "batch_norm group_norm instance_norm"),
    **_names(_linear, "linear"),
    **_names(_layer_norm, "layer_norm rms_norm"),
    **_names(_embedding, "embedding"),
    **_names(_recurrent, "lstm gru rnn_tanh rnn_relu"),
    **_names(_folded, "fold"),
    **_names(_unfolded, "unfold"),
    **_names(_view, "view reshape flatten unflatten squeeze unsqueeze view_as reshape_as ravel"),
    **_names(_permuted, "permute transpose swapaxes swapdims movedim moveaxis t adjoint"),
    **_names(_attribute, "get"),
    **_names(_item, "getitem"),
    **_names(_parts, "split chunk narrow split_with_sizes tensor_split"),
    **_names(_unbound, "unbind select"),
    **_names(_cat, "cat concat concatenate"),
    **_names(_stack, "stack"),
    **_names(_expanded, "expand expand_as broadcast_to"),
    **_names(_repeated, "repeat tile"),
    **_names(_reduced, "sum mean amax amin max min std var norm vector_norm logsumexp prod"),
    **_names(_rescaled, "interpolate upsample pad glu"),
    **_names(_flipped, "flip fliplr flipud"),
    **_names(_rolled, "roll"),
    **_names(_rotated, "rot90"),
    **_names(_selected, "index_select gather take_along_dim"),
    **_names(_product, "matmul rmatmul bmm mm"),
    **_names(_attended, "scaled_dot_product_attention multi_head_attention_forward"),
    **_names(_einsum, "einsum"),
    **_names(_scripted, "scripted"),
    **_names(
        _same,
        "clone contiguous detach to float half double bfloat16 type type_as cpu cuda requires_grad "
        "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout softmax "
        "log_softmax softmin gumbel_softmax normalize cumsum local_response_norm sort prelu",
    ),
    **_names(
        _elementwise,
        "truediv rtruediv rdiv hardswish log_sigmoid logsigmoid rrelu softsign tanhshrink",
    ),
}

_OF_LAYOUTS = {*_DIMENSIONS.values(), _channels_second, _linear, _elementwise, _same}


@functools.cache
def plain(name: str) -> str:
    """A function's name without the marks of its form: "__iadd__", "add_", "_max_pool2d"."""
    bare = name.strip("_")
    marked = name.startswith("__") and bare[:1] in ("i", "r")
    if marked and rule_of(bare) is None and rule_of(bare[1:]) is not None:
        return bare[1:]
    return bare
