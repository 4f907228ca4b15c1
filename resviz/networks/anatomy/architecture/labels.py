"""Layers in the words of the papers: "3×3 conv, 64, /2", "fc 1000", "2×2 max pool, /2"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

CONVOLUTIONS = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
}
ATTENTION = {"softmax", "scaled_dot_product_attention"}
_POOLS = {"max_pool": "max", "avg_pool": "average", "lp_pool": "lp"}
POOLS = {f"{how}{kind}{n}d" for kind in _POOLS for how in ("", "adaptive_") for n in (1, 2, 3)} | {
    "mean"
}
_PLACES = {  # where torch.nn.functional takes them
    "weight": 1,
    "stride": 3,
    "dilation": 5,
    "groups": 6,
    "kernel_size": 1,
    "output_size": 1,
}


def is_pool(name: str, shape_in: Sequence[int], shape: Sequence[int]) -> bool:
    """True for a pooling that does something; ``mean`` counts where it takes in all positions.

    An adaptive pooling to the size that is there already does nothing.
    """
    same = tuple(shape_in) == tuple(shape)
    if name not in POOLS or (name.startswith("adaptive_") and same):
        return False
    if name != "mean":
        return True
    positions = len(shape_in) > 2 and len(shape) >= 2
    return positions and shape[1] == shape_in[1] and all(size == 1 for size in shape[2:])


def words(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    shape_in: Sequence[int],
    shape: Sequence[int],
) -> tuple[str, str]:
    """(the layer by itself, the layer as a part of a block).

    Args:
        name: of the torch function.
        args: what it was called with.
        kwargs: what it was called with by name.
        shape_in: of its first operand.
        shape: of its result.

    Example:
        >>> import torch
        >>> words("conv2d", (None, torch.zeros(64, 3, 7, 7), None, 2), {}, (1, 3, 8, 8), (1, 64))
        ('7×7 conv, 64, /2', '7×7, 64, /2')
    """
    if name in CONVOLUTIONS:
        return _convolution(name, args, kwargs, shape_in)
    if name in POOLS:
        pool = _pool(name, args, kwargs, shape_in, shape)
        return pool, pool
    if name in ATTENTION:
        return "attention", "attention"
    if name == "multi_head_attention_forward":
        heads = kwargs.get("num_heads", args[4] if len(args) > 4 else None)
        text = f"attention, {heads} heads" if heads else "attention"
        return text, text
    width = shape[-1] if len(shape) else 1
    if name == "linear":
        part = f"linear, {width}"
        return (f"fc {width}" if len(shape) == 2 else part), part
    text = f"{name.strip('_').replace('_', ' ')}, {width}"
    return text, text


def _given(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], default: Any) -> Any:
    place = _PLACES[name]
    value = kwargs.get(name, args[place] if len(args) > place else None)
    return default if value is None else value


def _sizes(value: Any, count: int) -> tuple[int, ...]:
    sizes = (value,) if isinstance(value, int) else tuple(value)
    return sizes * count if len(sizes) == 1 else sizes


def _times(sizes: Sequence[Any]) -> str:
    return "×".join(str(size) for size in sizes)


def _step(sizes: Sequence[int], sign: str = "/") -> str:
    if set(sizes) == {1}:
        return ""
    return f", {sign}{sizes[0] if len(set(sizes)) == 1 else _times(sizes)}"


def _convolution(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], shape_in: Sequence[int]
) -> tuple[str, str]:
    weight: Tensor = _given("weight", args, kwargs, None)
    kernel, up = tuple(weight.shape[2:]), "transpose" in name
    swapped = ("dilation", "groups") if up else ()  # transposed: groups before dilation
    places = {"groups": 6, "dilation": 7} if swapped else {}
    given = {
        key: kwargs.get(key, args[places.get(key, _PLACES[key])])
        if key in kwargs or len(args) > places.get(key, _PLACES[key])
        else 1
        for key in ("stride", "dilation", "groups")
    }
    groups = given["groups"]
    channels = weight.shape[1] * groups if up else weight.shape[0]
    channels_in = weight.shape[0] if up else weight.shape[1] * groups
    depthwise = groups > 1 and groups == channels_in
    more = f", {groups} groups" if groups > 1 and not depthwise else ""
    dilation = _sizes(given["dilation"], len(kernel))
    if set(dilation) != {1}:
        more += f", dilation {_times(dilation[:1] if len(set(dilation)) == 1 else dilation)}"
    more += _step(_sizes(given["stride"], len(kernel)), "×" if up else "/")
    kind = f"{_times(kernel)}{' depthwise' if depthwise else ''}{' transposed' if up else ''}"
    return f"{kind} conv, {channels}{more}", f"{kind}, {channels}{more}"


def _pool(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    shape_in: Sequence[int],
    shape: Sequence[int],
) -> str:
    kind = next((word for key, word in _POOLS.items() if key in name), "average")
    count = len(shape_in) - 2
    if name == "mean" or set(shape[2:]) == {1}:
        return f"global {kind} pool"
    if name.startswith("adaptive_"):
        return f"{kind} pool to {_times(shape[2:])}"
    kernel = _sizes(_given("kernel_size", args, kwargs, 1), count)
    stride = kwargs.get("stride", args[2] if len(args) > 2 else None)
    return f"{_times(kernel)} {kind} pool{_step(_sizes(stride or kernel, count))}"


def size_of(shape: Sequence[int], function: str, axes: str = "") -> str:
    """The positions of an output: "56×56", "197 tokens"; "" where there is one alone.

    Args:
        shape: of the output, (N, C, H, W), (N, H, W, C), (N, C, L), (N, tokens, C) or (N, C).
        function: that weighed it last; tells of the axes where nothing else does.
        axes: which is which: "NCHW", "NLC"; "" or with "?" where that is not known.
    """
    convolved = function in CONVOLUTIONS or function in POOLS
    if len(shape) < 3:
        return ""
    if len(shape) == 3:
        last = axes == "NLC" or (axes != "NCL" and not convolved)
        if last:
            return f"{shape[1]} tokens"
        return str(shape[2]) if shape[2] > 1 else ""
    if "H" in axes and "W" in axes:
        places = [size for size, axis in zip(shape, axes, strict=True) if axis in "DHW"]
        return "" if set(places) == {1} else _times(places)
    last = shape[1] == shape[2] != shape[3] and not convolved
    places = list(shape[1:-1] if last and shape[2] != shape[3] else shape[2:])
    return "" if set(places) == {1} else _times(places)


def chain(parts: Sequence[tuple[str, bool]]) -> str:
    """A block's layers: each as (words, follows the one before).

    Example:
        >>> chain([("1×1, 64", False), ("3×3, 64", True), ("1×1, 32", False)])
        '1×1, 64 → 3×3, 64 | 1×1, 32'
    """
    text = ""
    for part, follows in parts:
        text += f"{' → ' if follows else ' | '}{part}" if text else part
    return text
