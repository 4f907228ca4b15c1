"""Which axis of an input holds its channels, which its shape alone does not tell."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from resviz.arguments import caller
from resviz.given import Inputs
from resviz.hooks import Hooks, left_as_found
from resviz.networks.anatomy.axes.rules import plain
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.first_call import checked
from resviz.torch_private import whole_of

_PRODUCTS = {"matmul", "rmatmul", "mm", "bmm"}
_SECOND = {
    *("batch_norm", "group_norm", "instance_norm"),
    *(f"conv{n}d" for n in (1, 2, 3)),
    *(f"conv_transpose{n}d" for n in (1, 2, 3)),
}
_LAST = {
    *("linear", "layer_norm", "rms_norm", "lstm", "gru", "rnn_tanh", "rnn_relu"),
    *("multi_head_attention_forward", *_PRODUCTS),
}
_AXES = {3: "cl", 4: "chw", 5: "cthw"}  # as an input's are called until a layer says what they are
_RIGHT = {3: "(N, C, L)", 4: "(N, C, H, W)", 5: "(N, C, T, H, W)"}


class _Asking(Axes):
    """Listens for the first function that tells channels from positions.

    Args:
        net, hooks: as those of `Axes`.
        names: of the input's axes.

    Attributes:
        found: the axis of the input that it takes for channels, 0 for one that is none of the
            input's; None as long as none is taken.
    """

    def __init__(self, net: nn.Module, hooks: Hooks, names: str) -> None:
        super().__init__(net, hooks)
        self.found: int | None = None
        self._names = names

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """A torch function that has run."""
        name = plain(getattr(func, "__name__", ""))
        if self.found is None and name in _SECOND | _LAST:
            self._ask(name, [*args, *kwargs.values()])
        super().saw(func, args, kwargs, out)

    def _ask(self, name: str, given: list[Any]) -> None:
        layouts = [self.layout_of(each) for each in given if isinstance(each, Tensor)]
        known = [layout for layout in layouts if layout is not None]
        if not known or len(known[0]) < 3 or (name in _PRODUCTS and not any(map(_is_own, given))):
            return  # attention and fixed bases tell nothing
        place = 1 if name in _SECOND else -1
        if name in _PRODUCTS and layouts[0] is None:
            place = -2
        axis = known[0][place]
        if axis.whole and axis.whole in self._names:
            self.found = self._names.index(axis.whole) + 1
        elif name in _SECOND and {*self._names} <= {each.whole for each in known[0][2:]}:
            self.found = 0  # all of the input's are positions


def _is_own(value: Any) -> bool:
    """True for a parameter, also transposed."""
    return isinstance(value, nn.Parameter) or (
        isinstance(value, Tensor) and isinstance(whole_of(value), nn.Parameter)
    )


def _channels_of(net: nn.Module, inputs: Inputs) -> int:
    """The axis of the input that the network takes for channels; 1 where nothing says so.

    Of the input that maps are about. Where axis 1 is the shortest beside the images, as in most
    pictures and clips, none is asked: it costs a pass.

    Raises:
        ValueError: the network puts an axis of channels into the input (N, H, W).
    """
    shape = inputs.shape
    if inputs.listed or len(shape) not in _AXES:
        return 1
    if len(shape) > 3 and shape[1] < min(shape[2:]):
        return 1
    with left_as_found(net) as hooks:
        axes = _Asking(net, hooks, _AXES[len(shape)])
        one = inputs.one().copies()
        with checked(net, one), axes.watching([one.picture]):  # of the others nothing is known
            one.run(net)
    if axes.found == 0 and len(shape) == 3:
        raise ValueError(
            f"{caller()}: inputs {shape}, pictures without an axis of channels, which this network "
            "puts in itself; (N, 1, H, W) would be right, so a module around it that takes the "
            "axis away again: net(x.squeeze(1))."
        )
    return axes.found or 1


def is_channels_last(net: nn.Module, inputs: Inputs) -> bool:
    """Whether the first function that tells channels from positions takes the last axis for them.

    A convolution gets an input (N, A, B) as (N, C, L) or turned, a linear layer has channels last;
    likewise of pictures and clips, of which those are asked whose axis 1 is not the shortest.
    """
    return _channels_of(net, inputs) == len(inputs.shape) - 1 > 1


def check_order(net: nn.Module, inputs: Inputs, what: str) -> None:
    """Raise ValueError for what changes an input and would take its positions for channels."""
    axis, axes = _channels_of(net, inputs), len(inputs.shape)
    if axis != 1:
        where = "the last axis" if axis == axes - 1 else f"axis {axis}"
        raise ValueError(
            f"{caller()}: {what} of inputs {inputs.shape}, whose channels are {where} in this "
            f"network; {_RIGHT[axes]} would be right, so a module around it that transposes its "
            "input. Methods at layers take both: rv.explanation_methods()."
        )
