"""Residual blocks are found in the pass that explains them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from resviz.attribution import explain as explaining
from resviz.networks.cifar import cifar_resnet

METHODS = ["grad_cam", "layer_cam"]


class _Added(nn.Module):
    """Adds in its own forward: in what is the network, no block."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())
        self.block = cifar_resnet(8, seed=0).layer1[0]
        self.head = nn.Linear(16, 2)
        self.first = nn.Conv2d(3, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x + self.part(x))
        return self.head(self.block(x).mean((2, 3)))


class _Squeezed(nn.Module):
    """A block whose gate looks like one, too, and gives no map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.gate = _Gate()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return x + y * self.gate(y)


class _Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


def _gated() -> nn.Module:
    torch.manual_seed(0)
    tail = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), _Squeezed(), _Squeezed(), *tail)


def _passes(net: nn.Module, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> tuple[int, object]:
    """How often the first layer ran, and the explanation."""
    runs: list[None] = []
    first = next(m for m in net.modules() if isinstance(m, nn.Conv2d))
    handle = first.register_forward_hook(lambda *_: runs.append(None))
    with monkeypatch.context() as patch:
        if not at_once:
            patch.setattr(explaining, "_at_once", lambda *_: None)
        torch.manual_seed(1)
        images, asked = torch.randn(2, 3, 16, 16), {"methods": METHODS, "layers": "blocks"}
        exp = rv.explain(net, images, [0, 1], **asked, relu=False)
    handle.remove()
    return len(runs), exp


@pytest.mark.parametrize(
    "made",
    [
        _gated,
        pytest.param(lambda: cifar_resnet(8, seed=0), marks=pytest.mark.thorough),
    ],
    ids=["gated", "resnet"],
)
def test_one_pass_finds_and_explains(made, monkeypatch) -> None:
    """The same maps as of two passes, from one; what only looked like a block has none."""
    net = made()
    once, exp = _passes(net, monkeypatch, at_once=True)
    twice, other = _passes(net, monkeypatch, at_once=False)
    assert (once, twice) == (1, 2)
    assert list(exp.maps) == list(other.maps)
    assert all(torch.equal(exp.maps[key], other.maps[key]) for key in exp.maps)
    assert exp.provenance == other.provenance


@pytest.mark.thorough
def test_two_passes_where_the_network_itself_adds(monkeypatch) -> None:
    """A sum outside of every block changes nothing: the blocks are found as before."""
    net = _Added()
    _, exp = _passes(net, monkeypatch, at_once=True)
    _, other = _passes(net, monkeypatch, at_once=False)
    assert exp.layers == other.layers == ["block"]


@pytest.mark.thorough
def test_a_forward_that_changes_is_seen() -> None:
    """Nothing is remembered: a block whose shortcut is cut is none in the next call."""
    net, images = cifar_resnet(8, seed=0), torch.ones(1, 3, 32, 32)
    before = rv.explain(net, images, layers="blocks", relu=False).layers
    block = net.layer2[0]
    block.forward = lambda x: block.conv2(block.conv1(x))
    after = rv.explain(net, images, layers="blocks", relu=False).layers
    assert set(before) - set(after) == {"layer2.0"}


class _Shared(nn.Module):
    """One block that runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block, self.head = nn.Conv2d(3, 4, 1), _Squeezed(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(3):
            x = self.block(x)
        return self.head(x.mean((2, 3)))


def test_a_block_that_runs_three_times_is_three_blocks() -> None:
    torch.manual_seed(0)
    net, images = _Shared().eval(), torch.randn(2, 3, 8, 8)
    exp = rv.explain(net, images, 1, layers="blocks", relu=False)
    assert exp.layers == ["block", "block#1", "block#2"]
    one = rv.explain(net, images, 1, layers=[("block", 2)], relu=False)
    both = exp.maps["grad_cam", "block#2"], one.maps["grad_cam", "block#2"]
    torch.testing.assert_close(*both, rtol=1e-5, atol=1e-7)


class _Overwritten(nn.Module):
    """What a block gave is written over: in the network, by the next block, or through a view."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 3)
        self.a, self.b, self.how = _Squeezed(), _Squeezed(), how

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(self.first(x))
        if self.how == "first":
            x.relu_()
        x = self.b(x)
        if self.how == "last":
            x.relu_()
        if self.how == "view":
            x[:, 1:3].add_(3)
        if self.how == "shape":
            x.squeeze_(0)
            x.unsqueeze_(0)
        return self.head(x.sigmoid().mean((2, 3)))


@pytest.mark.parametrize("how", ["first", "last", "view", "shape"])
def test_what_a_block_gave_is_written_over(how: str) -> None:
    """As the layers by name, each handed on as a clone."""
    net, images = _Overwritten(how).eval(), torch.randn(1, 3, 8, 8)
    found = rv.explain(net, images, 1, methods=METHODS, layers="blocks", relu=False)
    named = rv.explain(net, images, 1, methods=METHODS, layers=["a", "b"], relu=False)
    assert list(found.maps) == list(named.maps)
    for key, maps in named.maps.items():
        torch.testing.assert_close(found.maps[key], maps, rtol=1e-5, atol=1e-7)
