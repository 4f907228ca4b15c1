"""Deletion, insertion, drop and ROAD: numbers by hand, the obvious way, other people's code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from resviz.attribution.trust.removal import (
    area,
    blurred,
    curve_series,
    filled,
    random_ranks,
    ranks_of,
    resized,
    steps_of,
    weighted,
)
from resviz.attribution.trust.road import imputed, road_series
from resviz.networks.cifar import cifar_resnet


class SumOfPixels(nn.Module):
    """The sum of the pixels, as the only logit."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.same(x).sum((1, 2, 3))[:, None]


def first(output: Tensor) -> Tensor:
    return output[:, 0]


def test_curves_by_hand() -> None:
    """The map [[.4, .3], [.2, .1]] on itself, two steps, 0 as the baseline."""
    picture = torch.tensor([[[[0.4, 0.3], [0.2, 0.1]]]], dtype=torch.float64)
    exp = rv.explain(SumOfPixels(), picture, first, methods="saliency", layers="same")
    exp = rv.Explanation({("hand", "input"): picture}, exp.targets, exp.target_names, exp.scores)
    checks = ["deletion", "insertion", "drop"]
    table = rv.faithfulness(
        SumOfPixels(), picture, exp, first, checks=checks, steps=2, reveal="mean"
    )
    row = table.iloc[0]
    assert row["deletion_curve"] == pytest.approx((1, 0.3, 0))
    assert row["insertion_curve"] == pytest.approx((0, 0.7, 1))
    assert (row["deletion"], row["insertion"]) == pytest.approx((0.4, 0.6))
    kept = (0.4**2 + 0.3**2 + 0.2**2 + 0.1**2) / 0.4
    assert row["drop"] == pytest.approx(100 * (1 - kept))
    assert not row["increase"]
    assert table.attrs["provenance"]["score"] == "score"


def test_order_is_signed_and_stable() -> None:
    values = torch.tensor([[0.0, -5.0], [2.0, 0.0]])
    assert ranks_of(values).tolist() == [[1, 3], [0, 2]]
    assert ranks_of(torch.zeros(2, 3)).flatten().tolist() == list(range(6))


def test_steps_are_equal_and_end_at_all() -> None:
    counts = steps_of(224 * 224, 28)
    assert (counts[0], counts[-1], len(counts)) == (0, 224 * 224, 29)
    assert max(np.diff(counts)) - min(np.diff(counts)) <= 1
    assert area([2.0, 2.0, 2.0]) == 2


def test_random_maps_are_as_coarse_as_their_grid() -> None:
    one, other = random_ranks(2, (3, 5), (24, 40), 7)
    assert torch.equal(one, random_ranks(2, (3, 5), (24, 40), 7)[0])
    assert not torch.equal(one, other)
    assert sorted(one.flatten().tolist()) == list(range(24 * 40))
    steps = (one[:, 1:] - one[:, :-1]).abs().float().mean()
    white = random_ranks(1, (24, 40), (24, 40), 7)[0]
    assert steps < (white[:, 1:] - white[:, :-1]).abs().float().mean() / 4


def test_upsampling_is_that_of_explanations() -> None:
    net = cifar_resnet(8, seed=0)
    exp = rv.explain(net, torch.randn(2, 3, 32, 24), [1, 2], methods="layer_cam", layers="layer2")
    ours = resized(exp.maps["layer_cam", "layer2"][1], (32, 24))
    assert torch.equal(ours, exp.upsampled("layer_cam", "layer2")[1])


def test_fillings() -> None:
    images = torch.randn(2, 3, 20, 30, dtype=torch.float64)
    assert torch.equal(filled("mean", images), torch.zeros_like(images))
    assert torch.equal(filled(0.5, images), torch.full_like(images, 0.5))
    colour = torch.tensor([1.0, 2.0, 3.0])
    assert filled(colour, images)[1, :, 4, 5].tolist() == [1, 2, 3]
    constant = torch.full((1, 3, 20, 30), 0.7)
    torch.testing.assert_close(blurred(constant), constant)
    assert blurred(images).var() < images.var()
    assert blurred(images.bfloat16()).dtype == torch.bfloat16
    assert blurred(torch.randn(1, 1, 1, 5)).shape == (1, 1, 1, 5)


def test_variants_hold_the_pixels_they_should() -> None:
    picture, base = torch.ones(3, 4, 4), torch.zeros(3, 4, 4)
    ranks = torch.randperm(16).view(4, 4)
    series = curve_series(picture, ranks, base, base, 4)
    gone = [int((x[0] == 0).sum()) for x in series["deletion"].pictures()]
    shown = [int((x[0] == 1).sum()) for x in series["insertion"].pictures()]
    assert gone == shown == [4, 8, 12]
    for removed, revealed in zip(
        series["deletion"].pictures(), series["insertion"].pictures(), strict=True
    ):
        assert torch.equal(removed + revealed, picture)


def test_weighted_by_a_map_without_positive_values_is_the_mean_colour() -> None:
    assert not weighted(torch.ones(3, 2, 2), -torch.ones(2, 2)).any()
    assert torch.equal(
        weighted(torch.ones(3, 2, 2), torch.full((2, 2), 1e-30)), torch.ones(3, 2, 2)
    )


def test_bytes_are_rounded_not_their_weights() -> None:
    picture = torch.arange(192, dtype=torch.uint8).view(3, 8, 8)
    values, gone = torch.rand(8, 8), torch.rand(8, 8) < 0.3
    for made in (
        lambda given: weighted(given, values),
        lambda given: blurred(given[None])[0],
        lambda given: imputed(given, gone, -100.0),
    ):
        expected = made(picture.float()).round().clamp(0, 255).byte()
        assert torch.equal(made(picture), expected)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # in their code
@pytest.mark.parametrize("kind", ["coarse", "fine", "edges"])
def test_imputation_agrees_with_grad_cams_road(kind: str) -> None:
    road = pytest.importorskip("pytorch_grad_cam.metrics.road")
    picture = torch.randn(3, 20, 28)
    ranks = random_ranks(1, (3, 4) if kind == "coarse" else (20, 28), (20, 28), 0)[0]
    gone = ranks < 300
    if kind == "edges":
        gone[[0, -1]] = True
        gone[:, [0, -1]] = True
    theirs = road.NoisyLinearImputer(noise=0.0)(picture, (~gone).float())
    torch.testing.assert_close(imputed(picture, gone), theirs, rtol=1e-5, atol=1e-5)


def test_imputation_solves_its_equations() -> None:
    """Each replaced pixel is the mean of its neighbours; the others stay; noise is added after."""
    picture = torch.randn(2, 9, 11, dtype=torch.float64)
    gone = torch.rand(9, 11) < 0.7
    full = imputed(picture, gone)
    assert torch.equal(full[:, ~gone], picture[:, ~gone])
    weights = torch.tensor([[1.0, 2, 1], [2, 0, 2], [1, 2, 1]], dtype=torch.float64)[None, None]
    around = nn.functional.conv2d(full[:, None], weights, padding=1)[:, 0]
    there = nn.functional.conv2d(torch.ones_like(full[:, None]), weights, padding=1)[:, 0]
    torch.testing.assert_close(full[:, gone], (around / there)[:, gone])
    noise = torch.randn(2, 9, 11, dtype=torch.float64)
    torch.testing.assert_close(imputed(picture, gone, noise), full + noise * gone)


def test_road_pictures() -> None:
    picture, ranks = torch.zeros(1, 10, 10), torch.arange(100).view(10, 10)
    series = road_series(picture, ranks, (20, 80), seed=3)
    most, least = (list(series[name].pictures()) for name in ("morf", "lerf"))
    assert [int((x != 0).sum()) for x in most] == [20, 80] == [int((x != 0).sum()) for x in least]
    assert bool((most[0][0, :2] != 0).all()) and bool((least[0][0, -2:] != 0).all())
    assert 0.005 < float(most[1][most[1] != 0].std()) < 0.02
    assert torch.equal(most[0], next(road_series(picture, ranks, (20,), 3)["morf"].pictures()))
