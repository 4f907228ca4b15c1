"""Whether an input (N, T, C) has its channels last, which its shape alone does not tell."""

from __future__ import annotations

from typing import Any

from torch import nn

from resviz.arguments import caller
from resviz.given import Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.first_call import checked

_FIRST = (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.InstanceNorm1d, nn.GroupNorm)
_LAST = (nn.Linear, nn.LayerNorm, nn.RNNBase, nn.TransformerEncoderLayer, nn.MultiheadAttention)


def is_channels_last(net: nn.Module, inputs: Inputs) -> bool:
    """What the first layer that tells channels from positions takes for channels.

    Of the input that maps are about, and only asked of (N, A, B): a convolution gets it as
    (N, C, L) or turned, a Linear layer has channels last.
    """
    if inputs.listed or len(inputs.shape) != 3:
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
        one = inputs.one().copies()
        with checked(net, one), axes.watching([one.picture]):  # of the others nothing is known
            one.run(net)
    return bool(found) and found[0]


def check_order(net: nn.Module, inputs: Inputs, what: str) -> None:
    """Raise ValueError for what changes an input and would take its positions for channels."""
    if is_channels_last(net, inputs):
        raise ValueError(
            f"{caller()}: {what} of inputs {inputs.shape}, whose channels are the last axis in "
            "this network; (N, C, L) would be right, so a module around it that transposes its "
            "input. Methods at layers take both: rv.explanation_methods()."
        )
