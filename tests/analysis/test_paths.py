"""Path study: every path by hand, the sum over paths, and the published numbers."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from left_as_found import assert_left_as_found, left_as_found
from resviz.analysis.paths import path_study
from resviz.errors import NotTraceable
from resviz.networks.cifar import cifar_resnet

TABLE = Path(__file__).parents[2] / "benchmarks" / "paths.csv"
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """x + a x, written in three ways."""

    def __init__(self, a: float, how: str) -> None:
        super().__init__()
        self.how, self.times = how, nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            self.times.weight.fill_(a)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.times(x)
        if self.how == "branch += x":
            branch += x
            return branch
        if self.how == "x += branch":
            x = x.clone()
            x += branch
            return x
        return x + branch


@pytest.mark.parametrize("how", ["x + branch", "branch += x", "x += branch"])
def test_paths_by_hand(how: str):
    """In a linear network the gradient over a path is the product of its branches' factors."""
    factors = (0.5, 2.0, 3.0)
    net = nn.Sequential(*(Block(a, how) for a in factors))
    net.append(nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        net[-1].weight.copy_(torch.tensor([[1.0], [0.0]]))
    images = torch.ones(2, 1)
    table = assert_left_as_found(net, lambda: path_study(net, images, [0, 0], "logit", samples=50))
    for row in table.itertuples():
        products = [math.prod(c) for c in itertools.combinations(factors, row.length)]
        assert row.samples == row.paths == len(products)
        assert row.grad_norm == pytest.approx(sum(products) / len(products))
        assert (row.low, row.high) == pytest.approx((min(products), max(products)))
    assert table["total"].sum() == pytest.approx(1.5 * 3 * 4)  # all positive: nothing cancels
    assert table.attrs["whole"] == pytest.approx(1.5 * 3 * 4)


@pytest.mark.thorough
def test_lengths_are_binomial_and_seeded():
    net = cifar_resnet(20, shortcut="B", seed=0)
    one, again, other = (path_study(net, IMAGES, samples=2, seed=s) for s in (3, 3, 4))
    assert one["paths"].tolist() == [math.comb(9, k) for k in range(10)]
    assert one["share_of_paths"].sum() == pytest.approx(1)
    assert one["share"].sum() == pytest.approx(1)
    assert one.equals(again) and not one.equals(other)


def test_zero_branches_leave_the_shortest_path():
    from resviz.networks.surgery.blocks import zero_init_residual

    net = cifar_resnet(14, preactivation=True, seed=0)
    with zero_init_residual(net):
        table = path_study(net, IMAGES, samples=2)
    assert table["grad_norm"].iloc[0] == pytest.approx(table.attrs["whole"])
    assert (table["grad_norm"].iloc[1:] == 0).all()


@pytest.mark.thorough
def test_a_very_deep_network_has_a_table():
    table = path_study(cifar_resnet(302, seed=0), IMAGES[:1], samples=1, lengths=[0, 75, 150])
    assert table["paths"].tolist() == [float(math.comb(150, k)) for k in (0, 75, 150)]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"samples": 0}, ValueError, "samples 0; 1 or more"),
        ({"lengths": [10]}, ValueError, "lengths 10; 0 to 3"),
        ({"lengths": []}, ValueError, "no lengths; at least one"),
        ({"targets": [99, 0]}, ValueError, "target 99"),
        ({"loss": "nll"}, ValueError, "loss 'nll'"),
    ],
)
def test_bad_arguments(options, error, message):
    net = cifar_resnet(8, seed=0)
    with left_as_found(net), pytest.raises(error, match=message):
        path_study(net, IMAGES, **options)
    plain = cifar_resnet(8, shortcut="none", seed=0)
    with pytest.raises(ValueError, match="without residual additions"):
        path_study(plain, IMAGES)


def test_the_committed_table_shows_what_veit_et_al_found():
    """ResNet-56: x0.38 per branch; most of number times gradient far below the mean of 13.5."""
    table = pd.read_csv(TABLE)
    assert table["per_branch"].iloc[0] == pytest.approx(0.38, abs=0.04)
    assert table["length"].max() == 27
    share = table.set_index("length")["share"]
    assert share.loc[4:12].sum() > 0.85
    assert share.loc[14:].sum() < 0.05 < 0.5 < table["share_of_paths"].loc[13:].sum()


@pytest.mark.slow
def test_the_committed_rate_is_what_is_measured(testdata_module):
    net, normalise = testdata_module.cifar_net("resnet56")
    pixels, labels, _ = testdata_module.cifar_images()
    targets = torch.from_numpy(labels[:8])
    lengths = [0, 2, 4, 6, 8, 10, 14, 18]
    table = path_study(net, normalise(pixels[:8]), targets, lengths=lengths, samples=8)
    assert table.attrs["per_branch"] == pytest.approx(0.38, abs=0.06)


def test_an_addition_that_runs_several_times_is_refused():
    net = nn.Sequential(Block(0.5, "x + branch"), nn.Linear(1, 2))
    twice = nn.Sequential(net[0], net[0], net[1])
    with left_as_found(twice), pytest.raises(NotTraceable, match="'0.add' runs several times"):
        path_study(twice, torch.ones(2, 1))


def test_some_lengths_have_no_central_range():
    table = path_study(cifar_resnet(14, seed=0), IMAGES, lengths=[0, 3], samples=1)
    assert table.attrs["central"] is None
    with pytest.raises(TypeError, match="lengths 3; a sequence"):
        path_study(cifar_resnet(14, seed=0), IMAGES, lengths=3)


class ThreeWays(nn.Module):
    """x + h(u + g(u)), u = f(x): past it, or through h f, or through h g f."""

    def __init__(self, f: float, g: float, h: float) -> None:
        super().__init__()
        self.f, self.g, self.h = (nn.Linear(1, 1, bias=False) for _ in range(3))
        with torch.no_grad():
            for layer, factor in ((self.f, f), (self.g, g), (self.h, h)):
                layer.weight.fill_(factor)

    def forward(self, x: Tensor) -> Tensor:
        u = self.f(x)
        return x + self.h(u + self.g(u))


class SideBySide(ThreeWays):
    """x + f(x) + g(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x) + self.g(x)


@pytest.mark.parametrize(
    ("block", "paths", "gradients"),
    [
        (ThreeWays, [1, 2, 3, 2, 1], {0: [1], 1: [2, 2], 2: [6, 6, 4], 3: [12, 12], 4: [36]}),
        (SideBySide, [1, 4, 4], {0: [1], 1: [2, 3, 2, 3], 2: [4, 6, 6, 9]}),
    ],
)
def test_paths_are_counted_on_the_graph(block, paths, gradients):
    net = nn.Sequential(block(2.0, 3.0, 1.0), block(2.0, 3.0, 1.0), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        net[-1].weight.copy_(torch.tensor([[1.0], [0.0]]))
    table = path_study(net, torch.ones(1, 1), [0], "logit", samples=50)
    assert table["paths"].tolist() == paths and sum(paths) == 9
    for row in table.itertuples():
        of_length = gradients[row.length]
        assert row.grad_norm == pytest.approx(sum(of_length) / len(of_length))
        assert (row.low, row.high) == pytest.approx((min(of_length), max(of_length)))
    assert table["total"].sum() == pytest.approx(table.attrs["whole"])


class Streams(nn.Module):
    """Two streams, of which one reads the other otherwise than by an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.last = (Block(0.5, "x + branch") for _ in range(3))
        self.head = nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.one(x), self.other(2 * x)
        return self.head(one + self.last(one) * other)


def test_streams_that_meet_otherwise_are_refused():
    net = Streams()
    with left_as_found(net), pytest.raises(NotTraceable, match=r"comes from '\w+.add' and"):
        path_study(net, torch.ones(2, 1))
