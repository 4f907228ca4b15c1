"""An input whose channels do not come first: refused over the input, read right at layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import resviz as rv


class Tokens(nn.Module):
    """Takes (N, T, C); `first` is what the channels meet first."""

    def __init__(self, first: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.W = first, nn.Parameter(torch.randn(6, 8))
        self.V = nn.Parameter(torch.randn(8, 6))
        self.norm, self.inner, self.head = nn.RMSNorm(6), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        steps = {
            "product": lambda: x @ self.W,
            "transposed weight": lambda: x @ self.V.mT,
            "linear": lambda: F.linear(x, self.W.mT),
            "RMSNorm": lambda: self.norm(x) @ self.W.detach(),
        }
        return self.head(F.gelu(self.inner(F.gelu(steps[self.first]()))).mean(1))


class Pictures(nn.Module):
    """Permutes its input, and then is a network of pictures (N, C, H, W), or clips."""

    def __init__(self, order: tuple[int, ...], conv: type[nn.Module] = nn.Conv2d) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.order, self.conv, self.head = order, conv(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        maps = F.relu(self.conv(x.permute(self.order)))
        return self.head(maps.flatten(2).mean(2))


FIRST = ["product", "transposed weight", "linear", "RMSNorm"]


@pytest.mark.parametrize("first", FIRST)
def test_tokens_whatever_comes_first(first):
    net, x = Tokens(first).eval(), torch.randn(2, 50, 6)
    with pytest.raises(ValueError, match=r"\(2, 50, 6\), whose channels are the last axis"):
        rv.explain(net, x, 0, methods="saliency")
    exp = rv.explain(net, x, 0, layers="inner")
    assert exp.upsampled("grad_cam", "inner").shape == (2, 1, 50)


@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_pictures_with_channels_last_are_refused_over_the_input(method):
    net, x = Pictures((0, 3, 1, 2)).eval(), torch.randn(2, 20, 16, 3)
    with pytest.raises(ValueError, match=r"channels are the last axis .* \(N, C, H, W\) would be"):
        rv.explain(net, x, 0, methods=method)


def test_pictures_with_channels_last_have_maps_at_layers():
    net, x = Pictures((0, 3, 1, 2)).eval(), torch.randn(2, 20, 16, 3)
    exp = rv.explain(net, x, 0, layers="conv", relu=False)
    maps = F.relu(net.conv(x.permute(0, 3, 1, 2)))
    weights = net.head.weight[0, :, None, None] / 320
    expected = (net.conv(x.permute(0, 3, 1, 2)) * (maps > 0).sum((2, 3), True) / 320 * weights).sum(
        1
    )
    torch.testing.assert_close(exp.maps["grad_cam", "conv"][:, 0], expected)
    assert exp.upsampled("grad_cam", "conv").shape == (2, 1, 20, 16)
    with pytest.raises(ValueError, match=r"faithfulness: checks of inputs .* the last axis"):
        rv.faithfulness(net, x, exp, checks=["deletion"], progress=False)


@pytest.mark.parametrize(
    ("order", "shape", "said"),
    [
        ((0, 4, 1, 2, 3), (1, 5, 8, 10, 3), "the last axis"),
        ((0, 2, 1, 3, 4), (1, 5, 3, 8, 10), "axis 2"),
    ],
)
def test_clips(order, shape, said):
    net = Pictures(order, nn.Conv3d).eval()
    with pytest.raises(ValueError, match=f"channels are {said} in this network"):
        rv.explain(net, torch.randn(shape), 0, methods="saliency")


def test_channels_first_are_taken_also_where_there_are_many():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(12, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    exp = rv.explain(net.eval(), torch.randn(2, 12, 8, 6), 0, methods="saliency")
    assert exp.maps["saliency", "input"].shape == (2, 1, 8, 6)


def test_a_fixed_basis_along_time_tells_nothing():
    """A Fourier matrix, after which a convolution takes axis 1 for channels."""

    class Spectra(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("basis", torch.randn(20, 12))
            self.conv, self.head = nn.Conv1d(6, 4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(F.relu(self.conv(x @ self.basis)).mean(2))

    exp = rv.explain(Spectra().eval(), torch.randn(2, 6, 20), 0, methods="saliency")
    assert exp.maps["saliency", "input"].shape == (2, 1, 20)


class Grey(nn.Module):
    """Takes pictures (N, H, W), or (N, 1, H, W) where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.taken = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 3), False

    def forward(self, x):
        x = (x[:, 0] if self.taken else x).unsqueeze(1)
        return self.head(F.relu(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("method", ["saliency", "grad_cam", "occlusion"])
def test_pictures_without_channels_are_refused(method):
    net, x = Grey().eval(), torch.randn(2, 12, 9)
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\) would be right.*net\(x.squeeze\(1\)\)"):
        rv.explain(net, x, 0, methods=method)
    assert rv.record(net, x, keep="conv").axes == {"conv": "NCHW"}
    net.taken = True
    exp = rv.explain(net, x[:, None], 0, methods=method)
    assert next(iter(exp.maps.values())).shape[-2:] == (12, 9)


def test_a_signal_of_one_channel_that_is_put_into_shape_is_one():
    net = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 4, 3), nn.ReLU())
    net = nn.Sequential(*net, nn.AdaptiveAvgPool1d(1), nn.Flatten()).eval()
    exp = rv.explain(net, torch.randn(2, 1, 20), 0, methods="saliency")
    assert exp.maps["saliency", "input"].shape == (2, 1, 20)
