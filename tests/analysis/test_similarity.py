"""`similarity_study`: linear CKA by its definition, and what its papers found."""

from __future__ import annotations

import copy
from itertools import permutations
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from left_as_found import assert_left_as_found
from resviz.analysis.similarity import similarity_study, unbiased_hsic
from resviz.networks.cifar import CifarBlock, cifar_resnet

IMAGES = torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def by_definition(k: np.ndarray, m: np.ndarray) -> float:
    """HSIC as a mean over four different images each (Song et al. 2012)."""
    tuples = list(permutations(range(len(k)), 4))
    terms = [k[i, j] * m[i, j] + k[i, j] * m[q, r] - 2 * k[i, j] * m[i, q] for i, j, q, r in tuples]
    return float(np.mean(terms))


def test_hsic_is_the_mean_over_four_different_images():
    x, y = (torch.randn(7, width, dtype=torch.float64) for width in (3, 5))
    grams = torch.stack([x @ x.T, y @ y.T])
    found = unbiased_hsic(grams).numpy()
    expected = [[by_definition(a, b) for b in grams.numpy()] for a in grams.numpy()]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def flattened(net: nn.Module, layer: str, images: Tensor) -> np.ndarray:
    kept: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(lambda *a: kept.append(a[2].clone()))
    with torch.no_grad():
        net(images)
    handle.remove()
    return kept[0].flatten(1).double().numpy()


def test_by_hand_in_batches():
    net, other = cifar_resnet(8, seed=0), cifar_resnet(8, seed=1)
    table = assert_left_as_found(
        net, lambda: similarity_study(net, IMAGES, other, batch_size=6, progress=False)
    )
    row = table[(table["layer"] == "layer1.0") & (table["other_layer"] == "layer3.0")].iloc[0]
    sums = np.zeros(3)
    for part in (IMAGES[:6], IMAGES[6:]):
        x, y = flattened(net, "layer1.0", part), flattened(other, "layer3.0", part)
        k, m = x @ x.T, y @ y.T
        sums += [by_definition(k, m), by_definition(k, k), by_definition(m, m)]
    assert row["cka"] == pytest.approx(sums[0] / np.sqrt(sums[1] * sums[2]), rel=1e-6)
    assert (row["stage"], row["other_stage"]) == ("layer1", "layer3")
    assert table.attrs["batch_size"] == 6 and table.attrs["images"] == 12


def test_a_network_against_itself():
    table = similarity_study(cifar_resnet(8, seed=0), IMAGES, progress=False)
    grid = table.pivot(index="layer", columns="other_layer", values="cka").to_numpy()
    np.testing.assert_allclose(np.diag(grid), 1, rtol=1e-12)
    np.testing.assert_allclose(grid, grid.T, rtol=1e-12)


def test_layers_of_a_generator_are_those_of_both_networks():
    one, other = (linear(torch.randn(4, 768)) for _ in range(2))
    table = similarity_study(one, IMAGES, other, layers=(n for n in ["1"]), progress=False)
    assert table[["layer", "other_layer"]].values.tolist() == [["1", "1"]]


def test_what_was_done_to_either_network_is_said():
    net, other = cifar_resnet(8, seed=0), cifar_resnet(8, seed=1)
    with rv.drop_blocks(net, "layer1.0"), rv.scale_branches(other, 3.0):
        table = similarity_study(net, IMAGES, other, progress=False)
        itself = similarity_study(net, IMAGES, progress=False)
    dropped, scaled = table.attrs["changes"]
    assert itself.attrs["changes"] == [dropped]
    assert "layer1.0" in dropped and scaled.startswith("other: ") and "× 3" in scaled


def linear(weight: Tensor) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(weight.shape[1], weight.shape[0], bias=False))
    net[1].weight.data = weight
    return net.eval()


def test_rotations_and_factors_change_nothing():
    base = torch.randn(20, 3 * 16 * 16)
    turned = 7 * torch.linalg.qr(torch.randn(20, 20))[0] @ base
    table = similarity_study(linear(base), IMAGES, linear(turned), ["1"], progress=False)
    assert table["cka"].item() == pytest.approx(1, abs=1e-5)


def test_what_has_nothing_in_common_is_about_0():
    """Also with few images and many features, where the biased estimate is near 1."""
    images = torch.randn(64, 3, 16, 16)
    one, two = (torch.zeros(300, 768) for _ in range(2))
    one[:, :384], two[:, 384:] = torch.randn(300, 384), torch.randn(300, 384)
    table = similarity_study(linear(one), images, linear(two), ["1"], batch_size=8, progress=False)
    assert abs(table["cka"].item()) < 0.2
    x, y = images.flatten(1) @ one.T, images.flatten(1) @ two.T
    k, m = (t[:8] @ t[:8].T for t in (x, y))
    middle = torch.eye(8) - 1 / 8
    k, m = middle @ k @ middle, middle @ m @ middle
    assert (k * m).sum() / (k.norm() * m.norm()) > 0.5


def test_a_layer_that_is_the_same_for_all_images():
    table = similarity_study(linear(torch.zeros(4, 768)), IMAGES, layers=["1"], progress=False)
    assert table["cka"].isna().all()
    with pytest.raises(ValueError, match="plot_similarity: no finite value"):
        rv.plot_similarity(table)


@pytest.mark.parametrize("mean", [3000.0, 1e5])
def test_a_large_constant_mean_changes_nothing(mean: float):
    """As the channels of transformers have it that are large for every image."""
    images = IMAGES.double()
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).double().eval()
    right = similarity_study(net, images, layers=["0", "2"], progress=False)
    shifted = copy.deepcopy(net)
    for layer in (shifted[0], shifted[2]):
        layer.register_forward_hook(lambda _, __, out: out + mean)
    shifted[1].register_forward_pre_hook(lambda _, args: (args[0] - mean,))
    found = similarity_study(shifted, images, layers=["0", "2"], progress=False)
    np.testing.assert_allclose(found["cka"], right["cka"], rtol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_equal_images_have_no_similarity(seed: int):
    """One image again and again, or all but one: nothing to compare, and rounding is no answer."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(1, 3, 16, 16, generator=generator).repeat(11, 1, 1, 1)
    other = torch.cat([images, torch.rand(1, 3, 16, 16, generator=generator)])
    for given in (images, other):
        table = similarity_study(cifar_resnet(8, seed=seed), given, progress=False)
        assert table["cka"].isna().all()


@pytest.mark.thorough
def test_trained_networks_are_alike_where_they_are_early(testdata_module: ModuleType):
    """Kornblith et al. 2019, Fig. 5; random weights are told apart."""
    small, large = (rv.load_model(f"cifar10-resnet{depth}") for depth in (20, 56))
    images = rv.load_images(list(testdata_module.cifar_images()[0][:192]), small)
    table = similarity_study(small, images, large, progress=False)
    grid = table.pivot(index="position", columns="other_position", values="cka").to_numpy()
    assert grid[0].max() > 0.9 and grid[0].argmax() <= 3
    assert grid[5].argmax() > grid[1].argmax() and grid[-1].argmax() == grid.shape[1] - 1
    untrained = similarity_study(cifar_resnet(20, seed=0), images, large, progress=False)
    last = untrained.pivot(index="position", columns="other_position", values="cka").to_numpy()
    assert np.abs(last[-1, -1]) < 0.3 < grid[-1, -1]


def test_a_figure_with_lines_between_stages():
    table = similarity_study(cifar_resnet(8, seed=0), IMAGES, progress=False)
    figure = rv.plot_similarity(table, names=["ResNet-8"])
    heat, *lines = figure.data
    assert heat.type == "heatmap" and np.asarray(heat.z).shape == (4, 4)
    assert {tuple(line.x) for line in lines if line.x[0] == line.x[1]} == {
        (end, end) for end in (1.5, 2.5, 3.5)
    }
    assert "ResNet-8" in figure.layout.title.text
    assert rv.plot_similarity(table, low=0.5).data[0].zmin == 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": IMAGES[:3]}, "a batch of 3; at least 4"),
        ({"batch_size": 3}, "a batch of 3; at least 4"),
        ({"other": cifar_resnet(8), "other_images": IMAGES[:8]}, "12 images and 8 other images"),
        ({"net": nn.Sequential(nn.Flatten(), nn.Linear(768, 2))}, "no blocks"),
        ({"layers": ["layer9"]}, "layer9"),
        ({"layers": ["layer1"]}, "'layer1' only holds other modules"),
    ],
)
def test_bad_arguments(change, said):
    given = {"net": cifar_resnet(8, seed=0), "images": IMAGES, "progress": False} | change
    with pytest.raises((ValueError, KeyError), match=said) as told:
        similarity_study(**given)
    assert "similarity_study" in str(told.value)


class Tokens(nn.Module):
    """Blocks of tokens in one order of axes or another: "NLC", "LNC", windows of two tokens."""

    def __init__(self, axes: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.axes, self.patch, self.head = axes, nn.Conv2d(3, 6, 8, 8), nn.Linear(6, 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6), nn.GELU()) for _ in range(3)
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch(images).flatten(2).transpose(1, 2)
        if self.axes == "LNC":
            x = x.transpose(0, 1)
        if self.axes == "windows":
            x = x.reshape(-1, 2, 6)
        for block in self.blocks:
            x = x + block(x)
        x = x.reshape(len(images), 4, 6) if self.axes == "windows" else x
        return self.head(x.mean(self.axes.index("L") if self.axes != "windows" else 1))


LAYERS = ["blocks.0.2", "blocks.2.2"]


def test_images_are_found_where_tokens_come_first():
    """One function in two layouts."""
    right, found = (
        similarity_study(Tokens(axes).eval(), IMAGES, layers=LAYERS, progress=False)
        for axes in ("NLC", "LNC")
    )
    np.testing.assert_allclose(found["cka"], right["cka"], rtol=1e-5)


def test_windows_of_several_images_are_refused():
    with pytest.raises(
        ValueError, match=r"'blocks.0.2' has an output of shape \(24, 2, 6\) for 12"
    ):
        similarity_study(Tokens("windows").eval(), IMAGES, layers=LAYERS, progress=False)


class Again(nn.Module):
    """A block that runs before another one and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1)
        self.a, self.b = (CifarBlock(3, 3, 1, "A", True, nn.ReLU) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        return self.a(self.b(self.a(self.stem(images)))).mean((2, 3))


def test_a_block_that_runs_again_has_the_place_and_depth_of_each_run():
    table = similarity_study(Again().eval(), IMAGES, progress=False)
    rows = table.drop_duplicates("layer")[["layer", "position", "depth"]]
    assert rows.to_numpy().tolist()[1:] == [["a#0", 2, 3], ["b", 3, 5], ["a#1", 4, 7]]
    fields = rv.receptive_field_study(Again().eval(), IMAGES[:1], draws=1, progress=False)
    assert fields[["layer", "call"]].to_numpy().tolist()[1:] == [["a", 0], ["b", 0], ["a", 1]]
    assert fields["field"].tolist() == [1, 5, 9, 13]
