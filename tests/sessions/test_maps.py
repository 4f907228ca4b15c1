"""`Maps`: the maps that an explanation holds, and those that its network makes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

import resviz as rv
from left_as_found import assert_left_as_found
from resviz.networks.cifar import cifar_resnet
from resviz.sessions.maps import PICTURES, Maps

CLASSES = [f"class {number}" for number in range(10)]
ASKED = {"image": 1, "class": 4, "contrast": None, "method": "layer_cam", "layer": "layer2"}


class Enough(Exception):
    pass


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return cifar_resnet(8, seed=0)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def exp(net: nn.Module, images: torch.Tensor) -> Any:
    return rv.explain(net, images, [[1, 2], [3, 4]], layers=["layer2", "layer3"], relu=False)


@pytest.fixture
def maps(exp: Any, net: nn.Module, images: torch.Tensor) -> Maps:
    return Maps(exp, CLASSES, exp.all_classes, net, images)


def test_a_map_that_is_not_in_the_record(maps: Maps, net: nn.Module, images: torch.Tensor) -> None:
    wanted = maps.wanted(ASKED)
    made = assert_left_as_found(net, lambda: maps.map_of(wanted))
    known = rv.explain(net, images[1:], 4, methods="layer_cam", layers="layer2")
    assert torch.equal(made, known.maps["layer_cam", "layer2"][0, 0])
    assert maps.map_of(maps.wanted(ASKED)) is made


def test_without_some_blocks(exp: Any, net: nn.Module, images: torch.Tensor) -> None:
    maps = Maps(exp, CLASSES, None, net, images, None, ["layer3.0"])
    made = maps.map_of(maps.wanted(ASKED))
    with rv.drop_blocks(net, ["layer3.0"], images=images):
        known = rv.explain(net, images[1:], 4, methods="layer_cam", layers="layer2")
    assert torch.equal(made, known.maps["layer_cam", "layer2"][0, 0])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"image": 2}, "image 2 of 2"),
        ({"class": 10}, "class 10; 0 to 9"),
        ({"class": None}, "class None; 0 to 9"),
        ({"contrast": -1}, "class 4; 0 to 9"),
        ({"method": "rise"}, "no rise at layer2"),
        ({"layer": "layer9"}, "no layer_cam at layer9"),
    ],
)
def test_what_cannot_be_asked(maps: Maps, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        maps.wanted(ASKED | wrong)


def test_without_the_network(exp: Any) -> None:
    maps = Maps(exp, CLASSES, exp.all_classes)
    assert maps.asks is None
    with pytest.raises(ValueError, match="came without its network"):
        maps.wanted(ASKED)
    recorded = maps.shown(
        1, {"method": "grad_cam", "layer": "layer2", "class": 4, "part": "signed"}
    )
    assert torch.equal(
        recorded.maps["grad_cam", "layer2"][0, 0], exp.maps["grad_cam", "layer2"][1, 1]
    )
    assert recorded.target_names == [["class 4"]]
    with pytest.raises(ValueError, match="no grad_cam at layer2 for this target"):
        maps.shown(1, {"method": "grad_cam", "layer": "layer2", "class": 7})


def test_any_class_at_the_head(maps: Maps, exp: Any) -> None:
    chosen = {"layer": "layer3", "class": 7, "contrast": 5, "part": "signed"}
    cam, grad_cam = (
        maps.shown(0, chosen | {"method": method}).maps[method, "layer3"][0, 0]
        for method in ("cam", "grad_cam")
    )
    which = rv.target(7) - rv.target(5)
    assert torch.equal(grad_cam, exp.all_classes.map(which, relu=False)[0])
    torch.testing.assert_close(cam, grad_cam * 64)


class Two(nn.Module):
    """Two pictures, each with a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = (nn.Conv2d(3, 4, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(8, 3)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        maps = self.left(a).relu(), self.right(b).relu()
        return self.head(torch.cat([each.mean((2, 3)) for each in maps], 1))


@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("layer", ["left", "right"])
def test_of_one_image_all_is_of_that_image(image: int, layer: str) -> None:
    """What lies under the map, of either input, and the score of what it explains."""
    net, inputs = Two().eval(), (torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))
    preset = rv.Preset("two", "own", (0.0,) * 3, (1.0,) * 3, 8, 8)
    layers = ["left", "right"]
    exp = rv.explain(net, inputs, [[0, 1]] * 2, methods="grad_cam", layers=layers, preset=preset)
    sources = {"sources": ["a0", "a1"], "other_sources": {"b": ["b0", "b1"]}}
    exp = dataclasses.replace(exp, provenance={**exp.provenance, **sources})
    maps = Maps(exp, ["x", "y", "z"], None, net, inputs, preset)
    scores = exp.logits[image].tolist()
    wanted = [
        ({"class": 1}, scores[1]),
        ({"class": 2}, scores[2]),
        ({"class": 2, "contrast": 0}, scores[2] - scores[0]),
    ]
    for chosen, score in wanted:
        shown = maps.shown(image, {"method": "grad_cam", "layer": layer} | chosen)
        assert shown.scores.tolist() == [[pytest.approx(score, rel=1e-5)]]
        assert torch.equal(shown.pictures_of(layer), exp.pictures_of(layer)[image : image + 1])
        about = shown.provenance
        assert about["images"] == 1 and about["sources"] == [f"a{image}"]
        assert about["other_sources"] == {"b": [f"b{image}"]}


def test_measuring_ends_when_nobody_waits(maps: Maps, net: nn.Module) -> None:
    counted: list[int] = []

    def tick(count: int) -> None:
        counted.append(count)
        if sum(counted) >= 16:
            raise Enough

    def measure() -> None:
        with pytest.raises(Enough):
            maps.measuring(maps.wanted(ASKED))(tick)

    assert_left_as_found(net, measure)


@pytest.mark.thorough
def test_measuring_tells_of_every_picture(maps: Maps, net: nn.Module, images: torch.Tensor) -> None:
    counted: list[int] = []
    table = maps.measuring(maps.wanted(ASKED | {"part": "signed"}))(counted.append)
    assert sum(counted) == PICTURES
    exp = rv.explain(net, images[1:], 4, methods="layer_cam", layers="layer2")
    known = rv.faithfulness(net, images[1:], exp, checks=("deletion", "insertion"), progress=False)
    assert table["deletion"].tolist() == known["deletion"].tolist()
