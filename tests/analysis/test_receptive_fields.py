"""`receptive_field_study`: by hand, and the square-root law of its paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import resviz as rv
from left_as_found import assert_left_as_found
from resviz.analysis.receptive_fields import EDGE, receptive_field_study
from resviz.networks.cifar import cifar_resnet

NOISE = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def chain(count: int, kernel: int = 3, channels: int = 1) -> nn.Sequential:
    """Convolutions with equal weights: their effective field is known."""
    layers = []
    for number in range(count):
        width = 3 if number == 0 else channels
        layer = nn.Conv2d(width, channels, kernel, padding=kernel // 2, bias=False)
        nn.init.constant_(layer.weight, 1 / kernel**2)
        layers.append(layer)
    return nn.Sequential(*layers).eval()


def test_equal_weights_are_a_binomial_squared():
    """Eq. 8 of the paper: the kernel's convolution with itself."""
    net = chain(5)
    table = receptive_field_study(net, NOISE, layers=["0", "2", "4"], progress=False)
    for row, count in zip(table.itertuples(), (1, 3, 5), strict=True):
        line = np.ones(1)
        for _ in range(count):
            line = np.convolve(line, np.ones(3))
        plane = np.outer(line, line)
        assert row.field == 2 * count + 1 == len(line)
        assert row.pixels == (plane > EDGE * plane.max()).sum()
        assert row.share == pytest.approx(np.sqrt(row.pixels) / row.field)


def test_by_hand_with_all_channels():
    """With many draws of signs it is the sum over the channels of squared gradients."""
    net = cifar_resnet(8, seed=0)
    table = assert_left_as_found(
        net, lambda: receptive_field_study(net, NOISE[:2], draws=200, progress=False)
    )
    x, kept = NOISE[:2].clone().requires_grad_(), []
    handle = net.layer2.register_forward_hook(lambda *a: kept.append(a[2]))
    net(x)
    handle.remove()
    squares = torch.zeros(32, 32)
    for channel in range(32):
        score = kept[0][:, channel, 8, 8].sum()
        squares += torch.autograd.grad(score, x, retain_graph=True)[0].square().sum((0, 1))
    strength = squares.sqrt()
    expected = int((strength > EDGE * strength.max()).sum())
    row = table.set_index("layer").loc["layer2.0"]
    assert row["pixels"] == pytest.approx(expected, rel=0.05)
    assert row["field"] == 13 and table.attrs["draws"] == 200


@pytest.mark.thorough
def test_it_grows_with_the_square_root_of_depth():
    """Luo et al. 2016, section 2.2: the theoretical one with depth itself."""
    images = torch.randn(1, 3, 160, 160)
    counts = [4, 16, 64]
    table = receptive_field_study(
        chain(64), images, layers=[str(count - 1) for count in counts], draws=1, progress=False
    )
    effective = table["effective"].to_numpy()
    assert effective[1] / effective[0] == pytest.approx(2, rel=0.15)
    assert effective[2] / effective[1] == pytest.approx(2, rel=0.05)
    assert table["share"].is_monotonic_decreasing and table["share"].iloc[-1] < 0.35


@pytest.mark.thorough
def test_shortcuts_keep_it_small():
    """Section 3.2 of the paper, at initialisation."""
    nets = {kind: cifar_resnet(20, shortcut=kind, seed=0) for kind in ("A", "none")}
    tables = {
        kind: receptive_field_study(net, NOISE, batch_stats=True, progress=False)
        for kind, net in nets.items()
    }
    sides = {kind: table.set_index("layer")["effective"] for kind, table in tables.items()}
    assert sides["A"]["layer1.2"] < sides["none"]["layer1.2"]
    figure = rv.plot_receptive_fields({"ResNet-20": tables["A"], "plain-20": tables["none"]})
    assert [line.name for line in figure.data if line.showlegend is not False][:1] == ["ResNet-20"]


def test_a_layer_without_positions_and_one_cut_off():
    with pytest.raises(ValueError, match="receptive_field_study: no layer"):
        receptive_field_study(cifar_resnet(8, seed=0), NOISE, layers=["linear"])

    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.conv(x.detach()).mean((2, 3))

    with pytest.raises(ValueError, match="does not depend on the pixels"):
        receptive_field_study(Cut(), NOISE, layers=["conv"], progress=False)


@pytest.mark.parametrize(
    ("shape", "way"), [((2, 16, 16), r"\[:, None\]"), ((2, 16, 16, 1), "movedim")]
)
def test_images_of_another_layout_are_refused(shape: tuple[int, ...], way: str):
    class Own(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2))

    net = Own(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)).eval()
    with pytest.raises(ValueError, match=rf"images of shape \(2, 16, 16.*N, C, H, W.*{way}"):
        receptive_field_study(net, torch.randn(shape), layers=["0"], progress=False)


class Last(nn.Module):
    """Convolutions and a block on (N, H, W, C), as in ConvNeXt, or the same on (N, C, H, W)."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last, self.stem = last, nn.Conv2d(3, 12, 3, padding=1)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.block = nn.Sequential(nn.Identity(), nn.GELU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.depthwise(self.stem(x).relu())
        x = x.permute(0, 2, 3, 1) if self.last else x
        x = x + self.block(x)
        return x.mean((1, 2) if self.last else (2, 3))


def test_channels_last_are_channels():
    images, layers = NOISE[:2, :, :, :24], ["stem", "block.1"]
    right, found = (
        receptive_field_study(Last(last).eval(), images, layers, progress=False)
        for last in (False, True)
    )
    assert found["pixels"].tolist() == right["pixels"].tolist()
    assert found["shape"].tolist() == [(1, 12, 32, 24), (1, 32, 24, 12)]
