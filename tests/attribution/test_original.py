"""`Explanation.on_original`: maps in the coordinates of the photograph, or a refusal."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import resviz as rv


class Where(nn.Module):
    """Class 1 is there where red is: its map is on the red spot."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.zeros_(self.conv.weight)
        self.conv.weight.data[0, 0] = 1

    def forward(self, x: Tensor) -> Tensor:
        score = F.avg_pool2d(self.conv(x), 4).mean((1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], 1)


def photograph(height: int, width: int, row: int, column: int) -> np.ndarray[Any, Any]:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[row - 8 : row + 8, column - 8 : column + 8, 0] = 255
    return pixels


@pytest.fixture
def net() -> nn.Module:
    made = Where().eval()
    black = rv.Preset("where", "own", (0, 0, 0), (1, 1, 1), 64, 48, classes=("none", "red"))
    rv.set_preset(made, black)
    return made


def explained(net: nn.Module, images: Tensor, **options: Any) -> rv.Explanation:
    return rv.explain(net, images, 1, layers="conv", **options)


def test_the_spot_is_where_it_was(net: nn.Module) -> None:
    spots = [(100, 200, 60, 80), (300, 120, 140, 50)]
    images = rv.load_images([photograph(*spot) for spot in spots], net)
    exp = explained(net, images)
    maps = exp.on_original()
    assert isinstance(maps, list)
    for values, (height, width, row, column) in zip(maps, spots, strict=True):
        assert values.shape == (1, height, width) and values.dtype == torch.float32
        rows, columns = (values[0].nan_to_num() > 0.5 * values[values.isfinite()].max()).nonzero().T
        assert abs(rows.float().mean() + 0.5 - row) < 1.5
        assert abs(columns.float().mean() + 0.5 - column) < 1.5
    assert maps[0][0, :, :50].isnan().any()  # 64 x 128 to 48 x 48: most of the width is gone
    assert maps[0][0, 50, 100].isfinite()


def test_photographs_of_one_size_are_one_tensor(net: nn.Module) -> None:
    images = rv.load_images([photograph(100, 200, 60, 80)] * 2, net)
    exp = explained(net, images)
    whole = exp.on_original("grad_cam", "conv")
    assert isinstance(whole, Tensor) and whole.shape == (2, 1, 100, 200)


def test_a_saved_explanation_knows_it_too(net: nn.Module, tmp_path: pathlib.Path) -> None:
    Image.fromarray(photograph(100, 200, 60, 80)).save(tmp_path / "spot.png")
    exp = explained(net, rv.load_images(tmp_path / "spot.png", net))
    assert exp.provenance["sources"][0]["name"] == "spot.png"
    exp.save(tmp_path / "spot.resviz")
    again = rv.load_explanation(tmp_path / "spot.resviz")
    assert again.equals(exp)
    assert torch.equal(again.on_original().nan_to_num(9), exp.on_original().nan_to_num(9))


def test_a_part_of_the_images_needs_its_part_of_the_sources(net: nn.Module) -> None:
    images = rv.load_images([photograph(100, 200, 60, 80), photograph(99, 98, 50, 40)], net)
    exp = explained(net, images[1:])
    with pytest.raises(ValueError, match=r"^on_original: images of which nobody knows .*sources="):
        exp.on_original()
    right = explained(net, images).on_original()[1]
    found = exp.on_original(sources=rv.sources_of(images)[1:])
    assert torch.equal(found[0].nan_to_num(9), right.nan_to_num(9))
    with pytest.raises(ValueError, match=r"the places of 2 images .* an explanation of 1"):
        exp.on_original(sources=rv.sources_of(images))
    with pytest.raises(TypeError, match="sources of type str; one Origin per image"):
        exp.on_original(sources="spot.png")


def test_images_that_were_written_to_are_refused(net: nn.Module) -> None:
    images = rv.load_images(photograph(100, 200, 60, 80), net)
    images.copy_(images.flip(-1))
    with pytest.raises(ValueError, match="nobody knows where they were"):
        explained(net, images).on_original()


def test_sources_of_images_of_another_size(net: nn.Module) -> None:
    images = rv.load_images(photograph(100, 200, 60, 80), net)
    exp = explained(net, images[..., :32].contiguous())
    with pytest.raises(ValueError, match=r"images of \[\(48, 48\)\] pixels, .* \(48, 32\)"):
        exp.on_original(sources=rv.sources_of(images))


class Beside(nn.Module):
    """Two pictures, each with a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Where(), Where()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.left(a) + self.right(b)


@pytest.mark.parametrize("named", [False, True])
def test_each_of_two_pictures_has_its_own_photograph(net: nn.Module, named: bool) -> None:
    a = rv.load_images(photograph(100, 200, 60, 80), net)
    b = rv.load_images(photograph(300, 120, 140, 50), net)
    given: Any = {"a": a, "b": b} if named else (a, b)
    layers = ["left.conv", "right.conv"]
    exp = rv.explain(Beside().eval(), given, 1, layers=layers)
    for layer, images in zip(layers, (a, b), strict=True):
        expected = explained(net, images).on_original()[0].nan_to_num(9)
        assert torch.equal(exp.on_original(layer=layer)[0].nan_to_num(9), expected)
    alone = rv.explain(Beside().eval(), given, 1, layers="right.conv")
    assert alone.on_original().shape == (1, 1, 300, 120)
    assert alone.provenance["sources"][0]["size"] == [300, 120]


def test_which_map(net: nn.Module) -> None:
    images = rv.load_images(photograph(100, 200, 60, 80), net)
    exp = explained(net, images, methods=["grad_cam", "saliency"])
    with pytest.raises(ValueError, match=r"^on_original: 2 maps; one\. Name its method"):
        exp.on_original()
    assert exp.on_original("saliency").shape == exp.on_original(layer="conv").shape
    with pytest.raises(KeyError, match="no map"):
        exp.on_original("layer_cam")
