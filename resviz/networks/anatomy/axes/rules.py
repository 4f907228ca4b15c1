"""What each torch function says of the axes of its result: which rule is whose.

What works on each element alone keeps them.
"""

from __future__ import annotations

import functools

from torch import Tensor

from resviz.networks.anatomy.axes import layers, moves
from resviz.networks.anatomy.axes.axis import Layout, overlaid
from resviz.networks.anatomy.axes.call import Call, Rule
from resviz.torch_private import is_pointwise


def rule_of(name: str) -> Rule | None:
    """The rule for functions of this name, None for those that say nothing."""
    return _RULES.get(name) or (_elementwise if is_pointwise(name) else None)


def is_elementwise(name: str) -> bool:
    """True for a function that works on each element alone."""
    return rule_of(plain(name)) is _elementwise


def of_layouts(rule: Rule | None) -> bool:
    """Whether a rule looks at nothing but its name, layouts of arguments and the result's shape."""
    return rule in _OF_LAYOUTS


def _same(call: Call, out: Tensor, _: int) -> Layout | None:
    return call.layout if len(call.layout) == out.ndim else None


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
        stem.replace("#", f"{n}d"): layers.filters(places)
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
    **_names(layers.filters("HW"), "pixel_shuffle pixel_unshuffle deform_conv2d"),
    **_names(layers.channels_second, "batch_norm group_norm instance_norm"),
    **_names(layers.linear, "linear"),
    **_names(layers.layer_norm, "layer_norm rms_norm"),
    **_names(layers.embedding, "embedding"),
    **_names(layers.recurrent, "lstm gru rnn_tanh rnn_relu"),
    **_names(layers.folded, "fold"),
    **_names(layers.unfolded, "unfold"),
    **_names(
        moves.viewed, "view reshape flatten unflatten squeeze unsqueeze view_as reshape_as ravel"
    ),
    **_names(moves.permuted, "permute transpose swapaxes swapdims movedim moveaxis t adjoint"),
    **_names(moves.attribute, "get"),
    **_names(moves.item, "getitem"),
    **_names(moves.parts, "split chunk narrow split_with_sizes tensor_split"),
    **_names(moves.unbound, "unbind select"),
    **_names(moves.concatenated, "cat concat concatenate"),
    **_names(moves.stacked, "stack"),
    **_names(moves.expanded, "expand expand_as broadcast_to"),
    **_names(moves.repeated, "repeat tile"),
    **_names(moves.reduced, "sum mean amax amin max min std var norm vector_norm logsumexp prod"),
    **_names(moves.rescaled, "interpolate upsample pad glu"),
    **_names(moves.flip, "flip fliplr flipud"),
    **_names(moves.roll, "roll"),
    **_names(moves.turned, "rot90"),
    **_names(moves.sorted_along, "sort"),
    **_names(moves.warped, "grid_sample"),
    **_names(moves.selected, "index_select gather take_along_dim"),
    **_names(layers.product, "matmul rmatmul bmm mm"),
    **_names(layers.attended, "scaled_dot_product_attention multi_head_attention_forward"),
    **_names(layers.einsum, "einsum"),
    **_names(_scripted, "scripted"),
    **_names(
        _same,
        "clone contiguous detach to float half double bfloat16 type type_as cpu cuda requires_grad "
        "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout softmax "
        "log_softmax softmin gumbel_softmax normalize cumsum local_response_norm prelu",
    ),
    **_names(
        _elementwise,
        "truediv rtruediv rdiv hardswish log_sigmoid logsigmoid rrelu softsign tanhshrink",
    ),
}

_OF_LAYOUTS = {*_DIMENSIONS.values(), layers.channels_second, layers.linear, _elementwise, _same}


@functools.cache
def plain(name: str) -> str:
    """A function's name without the marks of its form: "__iadd__", "add_", "_max_pool2d"."""
    bare = name.strip("_")
    marked = name.startswith("__") and bare[:1] in ("i", "r")
    if marked and rule_of(bare) is None and rule_of(bare[1:]) is not None:
        return bare[1:]
    return bare
