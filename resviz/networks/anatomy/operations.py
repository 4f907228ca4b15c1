"""What torch functions do to a tensor on its way from a block's input to an addition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

WEIGHTED = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("linear", "bilinear", "matmul", "__matmul__", "mm", "bmm", "einsum", "addmm", "embedding"),
    *("multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu"),
}
FRESH = {  # results that take only shape, dtype or device from their operand
    *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "zeros_like", "ones_like"),
    *("full_like", "empty_like", "rand_like", "randn_like", "randint_like", "bernoulli"),
}
QUESTIONS = {  # whose answer is no tensor
    *("dim", "size", "numel", "nelement", "stride", "is_contiguous", "is_floating_point"),
    *("is_complex", "storage_offset", "element_size", "get_device", "data_ptr"),
}
PRODUCTS = {"matmul", "__matmul__", "mm", "bmm", "einsum", "baddbmm"}
ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}
_NOT_LINEAR = {*ATTENTION, "lstm", "gru", "rnn_tanh", "rnn_relu", "embedding", "bilinear"}
_ONE_READS = (WEIGHTED - PRODUCTS - ATTENTION) | {  # the first operand is data, others are weights
    *("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "prelu"),
}
_LAYOUT = {
    *("view", "reshape", "permute", "transpose", "flatten", "unflatten", "contiguous", "clone"),
    *("squeeze", "unsqueeze", "movedim", "to", "float", "half", "bfloat16", "type_as", "view_as"),
    *("swapaxes", "dropout", "__get__", "expand", "expand_as", "repeat", "type", "double"),
    *("broadcast_to", "detach", "t", "moveaxis", "ravel", "feature_dropout"),
}
_SLICES = {
    *("__getitem__", "getitem", "chunk", "split", "narrow", "unbind", "select", "tensor_split"),
    *("split_with_sizes", "index_select", "hsplit", "vsplit", "dsplit", "take_along_dim"),
}
_SUMS = {
    *("add", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "__rsub__", "__isub__"),
    *("subtract", "rsub", "lerp", "addcmul", "addcdiv", "stack"),
}
JOINS = {"cat", "concat", "concatenate"}
_PADS = JOINS | {"pad", "__setitem__", "copy", "index_put", "scatter"}
_UPSAMPLES = {
    *("interpolate", "upsample", "upsample_nearest", "upsample_bilinear", "pixel_shuffle"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "max_unpool2d"),
    *("repeat_interleave", "grid_sample"),
}
_ACTIVATIONS = {
    *("relu", "relu6", "gelu", "silu", "mish", "hardtanh", "hardswish", "hardsigmoid", "sigmoid"),
    *("leaky_relu", "elu", "selu", "celu", "softplus", "tanh", "softsign", "prelu", "rrelu"),
    *("logsigmoid", "threshold", "softshrink", "hardshrink", "tanhshrink"),
}
_NORMS = {
    *("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"),
    *("local_response_norm",),
}
_REDUCES = {"mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "logsumexp", "prod"}
_MIXES = {
    *("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "roll", "unfold", "fold", "sort"),
    *("fft_fft", "fft_fft2", "fft_fftn", "fft_rfft", "fft_rfft2", "fft_ifft", "fft_ifft2"),
    *("fft_irfft", "fft_irfft2", "cdist", "gather", "argsort", "topk", "var_mean", "cummax"),
    *("flip", "fliplr", "flipud", "rot90"),
}
_COSTS = {  # of a function that has no parameters
    **dict.fromkeys(("mix", "reduce", "pool", "upsample"), 10**3),
    **dict.fromkeys(("weight", "depthwise"), 500),  # of a buffer: a graph, a fixed filter
    **dict.fromkeys(("activation", "norm"), 1),
}
PARAMETERS, WEIGHT = 10**6, 10**9


def plain(name: str) -> str:
    """A function's name without the underscore of writing in place."""
    return name if name.startswith("__") else name.rstrip("_")


def is_nonlinear(name: str) -> bool:
    """True for an activation function, by the name of its function; for bounds, too.

    Example:
        >>> is_nonlinear("relu_"), is_nonlinear("clamp"), is_nonlinear("conv2d")
        (True, True, False)
    """
    return plain(name) in _ACTIVATIONS | {"clamp", "clamp_min", "clamp_max", "clip"}


def read_by(name: str, operands: Sequence[Tensor]) -> Sequence[Tensor]:
    """The operands that are data where they are computed of parameters: not weights or biases."""
    return operands[:1] if name in _ONE_READS else operands


def step_of(
    name: str, args: Sequence[Any], before: Sequence[Sequence[int]], after: Sequence[int], own: int
) -> str:
    """What a function does, in one word.

    "layout" (the same values), "sum", "scale", "norm", "activation", "pad", "pool", "subsample"
    (every second position), "crop" (more than half along each axis), "slice" (less), "upsample",
    "reduce" (to one position, but by no window of two or three), "mix" (products of activations,
    attention, permutations), "depthwise" and "weight" (a linear map with weights of its own);
    anything else is "scale".

    Args:
        name: of the function.
        args: what it was called with.
        before: shapes of its operands, parameters left out.
        after: shape of its result.
        own: how many weights it has.
    """
    name = plain(name)
    first = before[0] if before else ()
    if name in _NOT_LINEAR or (name in PRODUCTS and len(before) > 1):
        return "mix"
    if name in _UPSAMPLES and math.prod(after[2:]) > math.prod(first[2:]):
        return "upsample"
    if own or name in WEIGHTED:
        return "depthwise" if _is_depthwise(name, args, first) else "weight"
    if name in _SLICES:
        return _slice(args, first, after)
    step = "reduce" if "pool" in name else _STEPS.get(name, "scale")
    if step != "reduce":
        return step
    several = sum(size > 1 for size in after[1:]) > 1  # channels, and positions that are left
    return "pool" if several or _has_small_window(name, args) else step


_STEPS = {
    **dict.fromkeys(_LAYOUT, "layout"),
    **dict.fromkeys(_SUMS, "sum"),
    **dict.fromkeys(_PADS, "pad"),
    **dict.fromkeys((*_ACTIVATIONS, "scripted"), "activation"),  # as those mostly are
    **dict.fromkeys(_NORMS, "norm"),
    **dict.fromkeys(_REDUCES, "reduce"),
    **dict.fromkeys(_MIXES, "mix"),
}


def cost_of(step: str, parametered: bool, weight: int) -> int:
    """How much a function does: weighted layers before parameters, mixing, activations."""
    return _COSTS.get(step, 0) + PARAMETERS * parametered + WEIGHT * (weight > 0)


def _is_depthwise(name: str, args: Sequence[Any], first: Sequence[int]) -> bool:
    """A filter for each channel: a weight (C, 1, ...) on C > 1 channels."""
    weight = args[1] if len(args) > 1 else None
    if not name.startswith("conv") or not isinstance(weight, Tensor):
        return False
    channels = first[1 - weight.ndim] if len(first) >= weight.ndim - 1 else 1
    return weight.shape[1] == 1 and channels > 1


def _has_small_window(name: str, args: Sequence[Any]) -> bool:
    """A pooling by two or three, which is no global one however few positions it finds."""
    window = args[1] if name.startswith(("avg_pool", "max_pool")) and len(args) > 1 else None
    sizes = window if isinstance(window, list | tuple) else (window,)
    return all(isinstance(size, int) and size <= 3 for size in sizes)


def _slice(args: Sequence[Any], before: Sequence[int], after: Sequence[int]) -> str:
    if math.prod(before) == math.prod(after):
        return "layout"
    index = args[1] if len(args) > 1 else None
    cuts = [cut for cut in (index if isinstance(index, tuple) else (index,)) if cut is not None]
    if any(isinstance(cut, slice) and (cut.step or 1) > 1 for cut in cuts):
        return "subsample"
    if len(before) == len(after) and all(2 * b > a for a, b in zip(before, after, strict=True)):
        return "crop"
    return "slice"
