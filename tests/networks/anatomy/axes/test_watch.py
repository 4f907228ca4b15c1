"""Which axis is which, seen while a network runs: every coincidence of sizes, and odd functions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from left_as_found import left_as_found as unchanged
from resviz.hooks import left_as_found
from resviz.networks.anatomy.axes.axis import letters
from resviz.networks.anatomy.axes.watch import Axes


class Step(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def mean_of_rows(x: Tensor) -> Tensor:
    return x.mean(3)


def axes_of(net: nn.Module, x: Tensor) -> str:
    """The order of axes of what a network returns."""
    with unchanged(net), left_as_found(net) as hooks:
        axes = Axes(net, hooks)
        with axes.watching([x]):
            out = net(x)
            layout = axes.layout_of(out)
        assert layout is None or [axis.size for axis in layout] == list(out.shape)
        assert axes.layout_of(out) is None  # nothing is kept of a pass
    return letters(layout) if layout is not None else ""


SIZES = [(8, 8, 8), (8, 8, 12), (12, 8, 12), (5, 9, 7), (128, 4, 4), (4, 4, 128), (4, 60, 1)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_coincidence_of_sizes(sizes: tuple[int, int, int]) -> None:
    """Convolutions and what they feed are channels first, a permutation turns that round."""
    channels, height, width = sizes
    x = torch.randn(2, 3, height, width)
    conv = nn.Conv2d(3, channels, 1)
    last = Step(lambda t: t.permute(0, 2, 3, 1))
    for after in ([], [nn.BatchNorm2d(channels)], [nn.ReLU(inplace=True), nn.Dropout2d()]):
        assert axes_of(nn.Sequential(conv, *after), x) == "NCHW"
        assert axes_of(nn.Sequential(conv, *after, last, nn.LayerNorm(channels)), x) == "NHWC"
    back = Step(lambda t: t.permute(0, 3, 1, 2))
    assert axes_of(nn.Sequential(conv, last, nn.Linear(channels, channels), back), x) == "NCHW"
    assert axes_of(nn.Sequential(conv, Step(lambda t: t.mT)), x) == "NCWH"


def test_frames_of_a_video_folded_into_the_batch() -> None:
    net = nn.Sequential(nn.Flatten(0, 1), nn.Conv2d(3, 4, 3))
    assert axes_of(net, torch.randn(5, 2, 3, 8, 9)) == "?CHW"


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_a_scripted_function_keeps_the_axes_of_what_has_its_shape() -> None:
    same = torch.jit.script(swish)
    last = Step(lambda t: same(t.permute(0, 2, 3, 1)))
    x = torch.randn(2, 3, 6, 5)
    assert axes_of(nn.Sequential(nn.Conv2d(3, 4, 1), last), x) == "NHWC"
    other = Step(torch.jit.script(mean_of_rows))
    assert axes_of(nn.Sequential(nn.Conv2d(3, 4, 1), other), x) == "???"


def test_an_answer_that_is_kept_is_the_first_one() -> None:
    """Rules that look at layouts alone are asked once; another layout is another question."""
    conv = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
    last = Step(lambda t: F.relu(t.permute(0, 2, 3, 1)))
    for net, order in ((conv, "NCHW"), (nn.Sequential(conv, last), "NHWC")) * 2:
        assert axes_of(net, torch.randn(2, 3, 8, 8)) == order
    by_keyword = Step(lambda t: F.conv2d(weight=torch.ones(4, 3, 1, 1), input=t))
    assert [axes_of(by_keyword, torch.randn(2, 3, 8, 8)) for _ in range(2)] == ["NCHW"] * 2


def test_an_axis_like_no_other_is_made_anew_each_time() -> None:
    """Two poolings of positions in windows: neither result has an order that the other has."""
    net = nn.Conv2d(3, 8, 1)
    with (
        left_as_found(net) as hooks,
        (axes := Axes(net, hooks)).watching([x := torch.ones(2, 3, 4, 4)]),
    ):
        flat = net(x).flatten(2)
        one, other = (axes.layout_of(pooled := F.avg_pool1d(flat, 2)) for _ in range(2))
        assert pooled.shape == (2, 8, 8)
    assert one is not None and other is not None
    assert one[:2] == other[:2] and one[2] != other[2]


OTHER: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "add": (lambda t: t + t, "NCHW"),
    "in place": (lambda t: t.mul_(2).add_(t), "NCHW"),
    "gate": (lambda t: t * t.mean((2, 3), keepdim=True).sigmoid(), "NCHW"),
    "from one": (lambda t: 1 - 2 / t.exp(), "NCHW"),
    "cat": (lambda t: torch.cat([t, t], 1), "NCHW"),
    "chunk": (lambda t: t.chunk(2, 1)[1], "NCHW"),
    "slice": (lambda t: t[:, :4, ::2, 1:], "NCHW"),
    "number": (lambda t: t[:, :, 0], "NCL"),
    "new axis": (lambda t: t[:, None], "N?CHW"),
    "order": (lambda t: t[:, [1, 0, 2]], "NCHW"),
    "shuffle": (lambda t: t.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2), "NCHW"),
    "pad": (lambda t: F.pad(t, (1, 1, 0, 0)), "NCHW"),
    "roll": (lambda t: t.roll(1, 2), "NCHW"),
    "larger": (lambda t: F.interpolate(t, scale_factor=2), "NCHW"),
    "pooled": (lambda t: F.max_pool2d(t, 2), "NCHW"),
    "tokens": (lambda t: t.flatten(2).mT, "NLC"),
    "tokens by einsum": (lambda t: torch.einsum("nchw->nhwc", t).flatten(1, 2), "NLC"),
    "swapped": (lambda t: t.swapaxes(-1, 1), "NWHC"),
    "moved": (lambda t: torch.movedim(t, 1, -1), "NHWC"),
    "attention": (lambda t: (t.flatten(2).mT @ t.flatten(2)).softmax(-1), "NLL"),
    "attended": (lambda t: (t.flatten(2).mT @ t.flatten(2)) @ t.flatten(2).mT, "NLC"),
    "mixed": (lambda t: F.linear(t.flatten(2), torch.ones(5, 64)), "NC?"),
    "weighed by einsum": (lambda t: torch.einsum("nchw,oc->nohw", t, torch.ones(8, 8)), "NCHW"),
    "normed": (lambda t: F.normalize(t, dim=1), "NCHW"),
    "stacked": (lambda t: torch.stack([t, t]).sum(0), "NCHW"),
    "unbound": (lambda t: t.unflatten(1, (2, 4)).unbind(1)[0], "NCHW"),
    "repeated": (lambda t: t.expand(2, -1, -1, -1), "NCHW"),
    "turned": (lambda t: torch.rot90(t, 1, (2, 3)), "NCWH"),
    "picked": (lambda t: t.index_select(2, torch.tensor([3, 1, 2])), "NCHW"),
    "not understood": (lambda t: torch.diff(t, dim=2), "????"),
}


@pytest.mark.parametrize("name", OTHER)
def test_functions(name: str) -> None:
    """H = W = C: nothing can be told from the sizes."""
    function, expected = OTHER[name]
    assert axes_of(nn.Sequential(nn.Conv2d(3, 8, 1), Step(function)), torch.randn(2, 3, 8, 8)) == (
        expected
    )


def test_other_numbers_of_axes() -> None:
    sound = torch.randn(2, 8, 8)
    assert axes_of(nn.Sequential(nn.Conv1d(8, 8, 1), nn.BatchNorm1d(8), nn.ReLU()), sound) == "NCL"
    assert axes_of(nn.Linear(8, 8), sound) == "NLC"
    assert axes_of(nn.MaxPool3d(2), torch.randn(2, 4, 4, 4, 4)) == "NCDHW"
    ids = torch.zeros(2, 8, dtype=torch.long)
    assert axes_of(nn.Sequential(nn.Embedding(10, 8), nn.LayerNorm(8)), ids) == "NLC"
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert axes_of(nn.Sequential(nn.Embedding(10, 8), encoder), ids) == "NLC"


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_what_no_mode_sees_keeps_the_order_where_it_keeps_the_shape() -> None:
    @torch.jit.script
    def swish(x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    net = nn.Sequential(nn.Conv2d(3, 8, 1), Step(swish))
    assert axes_of(net, torch.randn(2, 3, 8, 8)) == "NCHW"


def test_nothing_is_said_where_no_layer_says_it() -> None:
    assert axes_of(Step(lambda t: t * 2), torch.randn(2, 3, 8, 8)) == "N?HW"
    assert axes_of(Step(lambda t: torch.fft.fft(t).real), torch.randn(2, 3, 8, 8)) == "????"
