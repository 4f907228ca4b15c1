"""structure.py: which modules are blocks, and which stage a layer belongs to."""

from __future__ import annotations

import pytest
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from resviz.networks.anatomy.structure import (
    block_of,
    blocks,
    inside,
    is_leaf,
    may_be_block,
    owner_of,
    stages,
)


class Custom(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Named(nn.Sequential):
    """Only a name, as torchvision's Conv2dNormActivation."""


@pytest.mark.parametrize(
    ("module", "leaf", "block"),
    [
        (nn.ReLU(), True, False),
        (nn.Sequential(), True, False),
        (nn.Sequential(nn.ReLU()), False, False),
        (nn.ModuleList([nn.ReLU()]), False, False),
        (nn.ModuleDict({"a": nn.ReLU()}), False, False),
        (Named(nn.ReLU()), False, False),
        (Custom(nn.ReLU()), False, True),
        (nn.TransformerEncoderLayer(4, 1), False, True),
        (weight_norm(nn.Conv2d(2, 2, 1)), True, False),
    ],
    ids=lambda v: type(v).__name__,
)
def test_leaves_and_candidates(module: nn.Module, leaf: bool, block: bool):
    assert is_leaf(module) is leaf
    assert may_be_block("path", module) is block
    assert not may_be_block("", module)


@pytest.mark.parametrize(
    ("candidates", "owners", "right"),
    [
        (["a", "b"], [], ["a", "b"]),
        (["a", "a.se", "b"], [], ["a", "b"]),
        (["a", "a.se"], ["a"], ["a"]),
        (["net", "net.a", "net.a.se", "net.b"], ["net.a"], ["net.a", "net.b"]),
        (["net", "net.a"], ["", "net.a"], ["net.a"]),
        (["outer", "outer.inner"], ["outer", "outer.inner"], ["outer", "outer.inner"]),
        (["layer1", "layer10"], ["layer1"], ["layer1", "layer10"]),
        ([], [""], []),
    ],
)
def test_blocks(candidates: list[str], owners: list[str], right: list[str]):
    assert sorted(blocks(candidates, owners)) == right


def test_inside_and_block_of():
    assert inside("a.b", "a") and not inside("a", "a") and not inside("ab.c", "a")
    paths = ["layer1.0", "layer1.1", "layer1.1.inner", "layer10"]
    assert block_of("layer1.1.inner.conv", paths) == "layer1.1.inner"
    assert block_of("layer1.1", paths) == "layer1.1"
    assert block_of("layer1.10.conv", paths) == ""
    assert block_of("conv1", paths) == ""


def test_stages_by_name():
    paths = ["conv1", "layer1.0.conv", "layer1.0", "mid", "layer2.0", "avgpool", "fc"]
    shapes = [(1, 8, 4, 4)] * len(paths)
    right = ["stem", "layer1", "layer1", "layer1", "layer2", "head", "head"]
    assert stages(paths, shapes) == right


def test_stages_of_a_wrapped_network():
    paths = ["module.conv1", "module.layer1.0.conv", "module.layer2.0.conv", "module.fc"]
    right = ["stem", "module.layer1", "module.layer2", "head"]
    assert stages(paths, [(1, 8, 4, 4)] * 4) == right


def test_stages_by_resolution():
    paths = [f"features.{i}" for i in range(6)] + ["pool", "classifier"]
    sizes = [32, 32, 16, 16, 8, 8]
    shapes = [(1, 4, s, s) for s in sizes] + [(1, 4, 1, 1), (1, 10)]
    right = [f"{s}x{s}" for s in sizes] + ["head", "head"]
    assert stages(paths, shapes) == right


def test_stages_by_resolution_of_pictures_that_are_not_square():
    paths = [f"features.{i}" for i in range(6)] + ["pool"]
    sizes = [(16, 24), (16, 24), (8, 24), (8, 12), (8, 12), (4, 6)]
    shapes = [(1, 4, *size) for size in sizes] + [(1, 4, 1, 1)]
    right = [f"{h}x{w}" for h, w in sizes] + ["head"]
    assert stages(paths, shapes, ["NCHW"] * 7) == right
    last = [(1, *size, 4) for size in sizes]
    assert stages(paths[:6], last, ["NHWC"] * 6) == right[:6]
    assert stages(paths[:6], last) == ["features"] * 6  # nobody knows which axis is which


def test_stages_of_a_decoder_grow_again():
    paths, sizes = [str(i) for i in range(5)], [16, 8, 4, 8, 16]
    shapes = [(1, 4, s, s) for s in sizes]
    assert stages(paths, shapes, ["NCHW"] * 5) == [f"{s}x{s}" for s in sizes]
    attention = [(1, 4, 8, 8), (1, 2, 64, 64), (1, 4, 8, 8)]  # square, and nobody says what it is
    assert stages(paths[:3], attention, ["NCHW", "N???", "NCHW"]) == ["8x8"] * 3


def test_residual_blocks_of_such_names_are_no_stages():
    paths, shapes = ["stem", "block1", "block2", "block3", "fc"], [(1, 4, 8, 8)] * 4 + [(1, 3)]
    assert stages(paths, shapes, residual=["block2", "block3"]) == ["8x8"] * 4 + ["head"]
    assert stages(paths, shapes) == ["stem", "block1", "block2", "block3", "head"]  # as of a VGG
    paths = ["stem", "layer1", "layer2.0", "layer2.1"]  # a stage of one block
    right = ["stem", "layer1", "layer2", "layer2"]
    assert stages(paths, shapes[:4], residual=["layer1", "layer2.0", "layer2.1"]) == right


def test_stages_of_networks_without_pictures():
    paths, shapes = ["stem.conv", "blocks.0", "blocks.1", "head"], [(2, 8, 16)] * 3 + [(2, 3)]
    assert stages(paths, shapes) == ["stem", "blocks", "blocks", "head"]
    assert stages([], []) == []


def test_a_parameter_that_makes_a_weight_belongs_to_the_layer():
    layer = weight_norm(nn.Linear(2, 2))
    for net, owner in ((layer, ""), (nn.Sequential(nn.Sequential(layer)), "0.0")):
        assert {owner_of(name) for name, _ in net.named_parameters()} == {owner}
