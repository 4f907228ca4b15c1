"""Randomising the weights: stages, permutations, correlations, and a method known to be bad."""

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
from left_as_found import assert_left_as_found
from resviz.attribution.scoring import Scorer
from resviz.attribution.targets import Targets
from resviz.attribution.trust import randomisation
from resviz.attribution.trust.randomisation import LIMIT, rank_correlation, stages_of
from resviz.networks.cifar import cifar_resnet


def scorer_of(net: nn.Module, images: Tensor) -> Scorer:
    aims = Targets([0] * len(images), len(images))
    with torch.no_grad():
        aims.resolve(net.eval()(images))
    return Scorer(net, (images,), aims, None, False)


def test_rank_correlation_is_spearmans() -> None:
    from scipy.stats import spearmanr  # a second to import, in every process

    one = torch.randn(5, 5).round(decimals=1)  # with ties
    other = torch.randn(5, 5).round(decimals=1)
    expected = spearmanr(one.abs().flatten(), other.abs().flatten()).statistic
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(one, -one) == pytest.approx(1)
    assert rank_correlation(one, torch.zeros(5, 5)) == 0
    assert math.isnan(rank_correlation(torch.zeros(5, 5), one))


def test_stages_go_from_the_head_to_the_input() -> None:
    net = cifar_resnet(20, seed=0)
    stages = stages_of(scorer_of(net, torch.randn(1, 3, 32, 32)))
    assert len(stages) == 6 and stages[0] == ["linear"]
    assert "conv1" in stages[-1]
    every = [path for paths in stages for path in paths]
    owners = [p for p, m in net.named_modules() if list(m.parameters(recurse=False))]
    assert sorted(every) == sorted(owners)
    weighted = [sum(isinstance(net.get_submodule(p), nn.Conv2d) for p in s) for s in stages[1:]]
    assert max(weighted) - min(weighted) <= 1


class Odd(nn.Module):
    """Defined in another order than it runs; a parameter of its own; one shared, one unused."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.shift = nn.Parameter(torch.randn(4, 1, 1))
        self.second = nn.Conv2d(4, 4, 1)
        self.first = nn.Conv2d(3, 4, 1)
        self.again = nn.Conv2d(4, 4, 1)
        self.again.weight = self.second.weight
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(torch.relu(self.first(x))) + self.shift
        return self.head(torch.relu(self.again(x)).mean((2, 3)))


def test_order_is_that_of_running() -> None:
    stages = stages_of(scorer_of(Odd(), torch.randn(1, 3, 4, 4)))
    every = [path for paths in stages for path in paths]
    assert [stages[0], *(p for p in every if p in ("again", "second", "first"))] == [
        ["head"],
        "again",
        "second",
        "first",
    ]
    assert set(every) == {"head", "again", "second", "first", "", "unused"}


def test_values_are_permuted_once() -> None:
    """The copy holds the same values in another order at the end; the network is untouched."""
    net, images = Odd(), torch.randn(1, 3, 4, 4)
    seen: list[nn.Module] = []

    def again(copied: nn.Module) -> dict[tuple[str, str], Tensor]:
        seen.append(copied)
        return {("a", "b"): torch.eye(2).view(1, 1, 2, 2)}

    scorer = scorer_of(net, images)
    original = {("a", "b"): torch.randn(1, 1, 2, 2)}
    found = assert_left_as_found(net, lambda: randomisation.randomise(scorer, again, original, 0))
    assert found.curves["a", "b"].shape == (len(found.stages), 1, 1)
    copied = dict(seen[0].named_parameters())
    for name, parameter in net.named_parameters():
        assert torch.equal(copied[name].flatten().sort()[0], parameter.flatten().sort()[0])
        assert parameter.numel() < 4 or not torch.equal(copied[name], parameter)
    assert seen[0].again.weight is seen[0].second.weight  # type: ignore[union-attr]


class Divided(nn.Module):
    """Three convolutions of spectral norm 1, each with a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Conv2d(c, 8, 3, padding=1) for c in (3, 8, 8)]
        self.c = nn.ModuleList(nn.utils.parametrizations.spectral_norm(each) for each in layers)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        for each in self.c:
            x = each(x).relu()
        return self.fc(x.mean((2, 3)))


def test_a_computed_weight_and_its_layers_bias_are_of_one_stage() -> None:
    stages = stages_of(scorer_of(Divided(), torch.randn(1, 3, 8, 8)))
    layers = [[f"c.{i}", f"c.{i}.parametrizations.weight"] for i in (2, 1, 0)]
    assert [sorted(paths) for paths in stages] == [["fc"], *layers]


def test_a_permuted_weight_is_divided_by_its_own_spectral_norm() -> None:
    norms: list[list[float]] = []

    def again(copied: nn.Module) -> dict[tuple[str, str], Tensor]:
        weights = [each.weight.flatten(1) for each in copied.c]  # type: ignore[union-attr]
        norms.append([torch.linalg.matrix_norm(w, 2).item() for w in weights])
        return {("a", "b"): torch.eye(2).view(1, 1, 2, 2)}

    scorer = scorer_of(Divided(), torch.randn(1, 3, 8, 8))
    own = [torch.linalg.matrix_norm(c.weight.flatten(1), 2).item() for c in scorer.net.c]
    randomisation.randomise(scorer, again, {("a", "b"): torch.randn(1, 1, 2, 2)}, 0)
    assert len(norms) == 4
    assert norms[0] == own
    assert np.allclose(norms[-1], 1, rtol=0, atol=0.001)


def test_a_map_of_the_picture_alone_does_not_change() -> None:
    """An edge detector in place of a method: correlation 1 after all, and the words say it."""
    scorer = scorer_of(cifar_resnet(8, seed=0), torch.randn(2, 3, 16, 16))
    edges = scorer.inputs[0].diff(dim=3).abs().sum(1, keepdim=True)
    found = randomisation.randomise(scorer, lambda _: {("edges", "input"): edges},
                                    {("edges", "input"): edges}, 0)  # fmt: skip
    assert (found.curves["edges", "input"] == 1).all()
    assert (found.upper(("edges", "input")) > LIMIT).all()


def test_what_cannot_be_made_again_is_nan(recwarn: pytest.WarningsRecorder) -> None:
    net, images = cifar_resnet(8, seed=0), torch.randn(2, 3, 16, 16)
    exp = rv.explain(net, images, [[1, 2]] * 2, methods=["layer_cam", "saliency"], layers="layer2")
    maps = {**exp.maps, ("mine", "layer2"): torch.rand(2, 2, 8, 8)}
    mixed = dataclasses.replace(exp, maps=maps)
    table = rv.faithfulness(net, images, mixed, checks="randomisation")
    known = table["method"] != "mine"
    assert table.loc[known, "randomised"].notna().all()
    assert table.loc[~known, "randomised_upper"].isna().all()
    assert set(table.loc[~known, "randomisation_curve"]) == {()}
    assert {len(curve) for curve in table.loc[known, "randomisation_curve"]} == {7}
    assert {curve[0] for curve in table.loc[known, "randomisation_curve"]} == {1.0}
    assert not recwarn.list


def upper(net: nn.Module, images: Tensor, methods: list[str], layer: str) -> dict[str, Any]:
    exp = rv.explain(net, images, methods=methods, layers=layer, progress=False)
    table = rv.faithfulness(net, images, exp, checks="randomisation", progress=False)
    return {name: rows["randomised_upper"] for name, rows in table.groupby("method")}


@pytest.mark.slow
def test_guided_backprop_is_caught_on_cifar(testdata: Path) -> None:
    stored = np.load(testdata / "cifar10" / "cifar10_test_lossless_502.npz")
    net = rv.load_model("cifar10-resnet20", device="cpu")
    preset = rv.preset_of(net)
    pixels = torch.from_numpy(stored["images"][:70:10]).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (preset.mean, preset.std))
    methods = ["grad_cam", "guided_backprop", "saliency"]
    found = upper(net, (pixels - mean) / std, methods, "layer3")
    print({name: (round(v.min(), 2), round(v.max(), 2)) for name, v in found.items()})
    assert (found["guided_backprop"] > LIMIT).all()
    assert (found["grad_cam"] < LIMIT).all()
    assert (found["saliency"] < LIMIT).all()


@pytest.mark.slow
@pytest.mark.long  # half a minute, and again what is seen on CIFAR
def test_guided_backprop_is_caught_on_photographs(use_torch_home: Path, testdata: Path) -> None:
    net = rv.load_model("resnet18", weights="IMAGENET1K_V1", device="cpu")
    images = rv.load_images(sorted((testdata / "imagenet").glob("*.jpg"))[3:100:25], net)
    found = upper(net, images, ["grad_cam", "guided_backprop", "saliency"], "layer4")
    print({name: (round(v.min(), 2), round(v.max(), 2)) for name, v in found.items()})
    assert (found["guided_backprop"] > LIMIT).all()
    assert (found["grad_cam"] < LIMIT).all()
    assert (found["saliency"] < LIMIT).all()
