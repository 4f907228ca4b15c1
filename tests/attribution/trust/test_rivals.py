"""Random maps as smooth as a map, and its rank among them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from cases import thorough
from resviz.attribution.trust.removal import filled, ranks_of, resized, steps_of
from resviz.attribution.trust.rivals import (
    compared_at,
    lead_of,
    leads_of,
    noise,
    p_value,
    rival_series,
    rivals_of,
    together,
)
from resviz.networks.cifar import cifar_resnet
from resviz.networks.signals import planted_events

SAMPLES = Path(__file__).resolve().parents[3] / "sample_images"


def smooth(count: int, side: int, sigma: float, seed: int) -> Tensor:
    """White noise behind a Gaussian of `sigma` cells, without edges."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, side + 16, side + 16, generator=random)
    at = torch.arange(-8.0, 9.0)
    weights = torch.exp(-(at**2) / (2 * sigma**2))
    rows = torch.nn.functional.conv2d(noise, weights.view(1, 1, -1, 1))
    return torch.nn.functional.conv2d(rows, weights.view(1, 1, 1, -1))[:, 0]


def neighbours(maps: Tensor) -> float:
    """Mean correlation of neighbours, down and across."""
    maps = maps - maps.mean((1, 2), keepdim=True)
    variance = maps.square().mean((1, 2))
    down, across = maps[:, 1:] * maps[:, :-1], maps[:, :, 1:] * maps[:, :, :-1]
    return float(((down.mean((1, 2)) + across.mean((1, 2))) / 2 / variance).mean())


# ---- the rivals
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
def test_rivals_are_as_smooth(sigma: float) -> None:
    maps = smooth(40, 10, sigma, 0).double()
    made = torch.cat([rivals_of(each, 10, seed) for seed, each in enumerate(maps)])
    # the mirrored edges are neighbours of the same value: one pair in ten
    assert neighbours(made) == pytest.approx(neighbours(maps), abs=0.12)


def test_rivals_have_the_amplitudes_of_the_mirrored_map() -> None:
    """Of one axis, by hand: a cosine stays a cosine of that length, wherever it begins."""
    at = torch.arange(8.0, dtype=torch.float64)
    values = torch.cos(torch.pi * (at + 0.5) * 2 / 8).double()
    for rival in rivals_of(values, 6, 0):
        basis = torch.stack([torch.cos(torch.pi * at / 4), torch.sin(torch.pi * at / 4)], 1)
        found = torch.linalg.lstsq(basis, rival[:, None]).solution
        torch.testing.assert_close((basis @ found)[:, 0], rival)
        assert float(found.square().sum()) == pytest.approx(1.0)


def test_rivals_follow_their_seed() -> None:
    values = smooth(1, 7, 1.0, 0)[0].double()
    one, same, other = (rivals_of(values, 3, seed) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    # neither the scale nor the level of a map matters
    torch.testing.assert_close(rivals_of(values * 3 + 7, 3, 1), 3 * one)


# ---- the statistic
def test_the_steps_compared() -> None:
    assert [compared_at(steps) for steps in (1, 2, 3, 7, 20, 28)] == [
        *([], [1], [1, 2], [1, 2, 4], [3, 6, 11], [4, 8, 16])
    ]


def test_p_values_by_hand() -> None:
    assert p_value(1.0, [0.0] * 39) == 1 / 40
    assert p_value(1.0, [1.0] + [0.0] * 38) == 2 / 40  # as good is as good
    assert p_value(0.0, [0.0] * 39) == 1.0
    assert math.isnan(p_value(math.nan, [0.0]))
    assert p_value(1.0, [math.nan, 0.0, 0.0]) == 0.5
    assert together([[0.1], [0.1]]) == pytest.approx(0.01 * (1 - math.log(0.01)))
    assert together([[0.2, 0.6]]) == pytest.approx(0.8) and together([[0.9, 0.9]]) == 1.0


@pytest.mark.parametrize("null", ["noise", thorough("spectrum")])
def test_the_fast_way_is_the_obvious_way(null: str) -> None:
    """Each rival as a map of its own: the same lead, from its whole curves."""
    net, image = cifar_resnet(8, seed=0), torch.randn(1, 3, 20, 16)
    exp = rv.explain(net, image, 1, methods="layer_cam", layers="layer2")
    values = exp.maps["layer_cam", "layer2"][0, 0]
    settings: dict[str, Any] = {"checks": ["insertion", "deletion"], "rivals": 19, "steps": 8}
    table = rv.faithfulness(net, image, exp, null=null, **settings)
    rivals = (
        noise(tuple(values.shape), 19, 0) if null == "noise" else rivals_of(values, 19, 0).float()
    )
    many = {(f"{i}", "layer2"): rival[None, None] for i, rival in enumerate(rivals)}
    each = rv.faithfulness(net, image, dataclasses.replace(exp, maps=many), **settings)

    def lead(row: Any) -> float:
        curves = {name: row[f"{name}_curve"] for name in ("deletion", "insertion")}
        return lead_of(curves, 8)

    as_good = sum(lead(row) >= lead(table.iloc[0]) for _, row in each.iterrows())
    assert table["p_random"][0] == (1 + as_good) / 20
    # and from the pictures, made by hand
    base = {"deletion": filled("mean", image)[0], "insertion": filled("blur", image)[0]}
    series = rival_series(image[0], rivals, base, 8)
    pictures = torch.stack(list(series.pictures()))
    assert series.count == len(pictures) == 19 * 2 * 3
    with torch.no_grad():
        scores = net.eval()(pictures).softmax(1)[:, 1].double()
    found = leads_of(scores, list(base), 19)
    np.testing.assert_allclose(found, [lead(row) for _, row in each.iterrows()], atol=1e-5)
    ranks, counts = ranks_of(resized(rivals[:1], (20, 16))[0]), steps_of(320, 8)
    assert torch.equal(pictures[0], image[0] * (ranks >= counts[1]))


class Quarter(nn.Module):
    """Evidence for class 1 is the brightness of the upper left quarter, and nothing else is."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x)), 6 * x[:, 0, :8, :8].mean((1, 2)) - 3], 1)


@pytest.mark.parametrize("null", ["noise", "spectrum"])
def test_evidence_known_by_construction(null: str) -> None:
    """A map of the quarter is better than all others as smooth, its negative than none."""
    net, image = Quarter(), torch.ones(1, 3, 16, 16)
    at = torch.arange(16.0)
    blob = torch.exp(-((at[:, None] - 3.5) ** 2 + (at - 3.5) ** 2) / 32)
    good = dataclasses.replace(
        rv.explain(net, image, 1, methods="saliency"),
        maps={("good", "pixels"): blob[None, None], ("bad", "pixels"): -blob[None, None]},
    )
    checks = ["deletion", "insertion"]
    table = rv.faithfulness(net, image, good, checks=checks, reveal="mean", null=null)
    assert table["p_random"][0] <= 0.05 and table["p_random"][1] > 0.95
    assert table["words"][0].endswith("better than a random map")
    assert table["words"][1].endswith(": worse than a random map")
    assert (
        "clearly better than a random map on 0 of 1, worse on 1 ("
        in (table.attrs["words"]["bad at pixels"])
    )


def passed(net: nn.Module, images: Tensor, made: Tensor, null: str) -> None:
    """Asserts that one in twenty passes of random maps (each, 3, ...) of three images at layer3."""
    exp = rv.explain(net, images, methods="grad_cam", layers="layer3")
    maps = {(f"{i}", "layer3"): each[:, None] for i, each in enumerate(made)}
    table = rv.faithfulness(
        net,
        images,
        dataclasses.replace(exp, maps=maps),
        checks=["deletion", "insertion"],
        rivals=99 if null == "noise" else 19,  # shared by the maps of an image: more keep p apart
        null=null,
        steps=7,
        draws=2,
    )
    assert (table["p_random"] <= 0.05).mean() <= 0.1
    assert 0.35 < table["p_random"].mean() < 0.65


@pytest.mark.thorough
@pytest.mark.parametrize("null", ["noise", "spectrum"])
def test_random_maps_of_signals_pass_once_in_twenty(null: str) -> None:
    """Of a trained network, over several signals: noise against noise, smooth against smooth."""
    net = rv.load_model("signals-resnet8", device="cpu")
    each, random = 100 if null == "noise" else 30, torch.Generator().manual_seed(1000)
    made = torch.rand(3 * each, 1, 64, generator=random)
    if null == "spectrum":
        made = smooth(3 * each, 64, 1.5, 1000)[:, :1]  # a row of each
    passed(net, planted_events(3, seed=7).signals, made.view(each, 3, 64), null)


@pytest.mark.slow
@pytest.mark.long  # 17,000 passes over pictures: half a minute
@pytest.mark.parametrize("null", ["noise", "spectrum"])
def test_random_maps_of_photographs_pass_once_in_twenty(null: str) -> None:
    """The same over pictures."""
    net = rv.load_model("cifar10-resnet20", device="cpu")
    names = ("chelsea.png", "coffee.png", "rocket.jpg")
    images = rv.load_images([SAMPLES / name for name in names], net)
    each, random = 100 if null == "noise" else 30, torch.Generator().manual_seed(1000)
    made = torch.rand(3 * each, 8, 8, generator=random)
    if null == "spectrum":
        made = smooth(3 * each, 8, 1.5, 1000)
    passed(net, images, made.view(each, 3, 8, 8), null)
