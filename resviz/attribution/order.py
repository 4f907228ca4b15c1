"""Whether an input (N, T, C) has its channels last, which its shape alone does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from resviz.arguments import caller
from resviz.hooks import left_as_found
from resviz.networks.anatomy.axes.watch import Axes

_FIRST = (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.InstanceNorm1d, nn.GroupNorm)
_LAST = (nn.Linear, nn.LayerNorm, nn.RNNBase, nn.TransformerEncoderLayer, nn.MultiheadAttention)


def is_channels_last(net: nn.Module, inputs: Sequence[Tensor]) -> bool:
    """What the first layer that tells channels from positions takes for channels.

    Only asked of (N, A, B): a convolution gets it as (N, C, L) or turned, a Linear layer has
    channels last.
    """
    if inputs[0].ndim != 3:
        return False
    found: list[bool] = []
    with left_as_found(net) as hooks:
        axes = Axes(net, hooks)

        def watch(module: nn.Module, args: Any) -> None:
            layout = axes.layout_of(args[0]) if args and not found else None
            if layout is not None and len(layout) == 3:
                place = 1 if isinstance(module, _FIRST) else 2
                name = layout[place].whole
                found.extend([name == "l"] if name in ("c", "l") else [])

        for module in net.modules():
            if isinstance(module, (*_FIRST, *_LAST)):
                hooks.before_forward(module, watch)
        one = tuple(tensor[:1].clone() for tensor in inputs)
        with axes.watching(one):
            net(*one)
    return bool(found) and found[0]


def turned_input(given: Tensor, what: str) -> ValueError:
    """The error for what changes an input and would take its positions for channels."""
    return ValueError(
        f"{caller()}: {what} of inputs {tuple(given.shape)}, whose channels are the last axis in "
        "this network; (N, C, L) would be right, so a module around it that transposes its input. "
        "Methods at layers take both: rv.explanation_methods()."
    )
