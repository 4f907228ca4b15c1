"""A real ResNet-50 on real photographs: the map lies on the object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resviz as rv

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "sample_images"
BOXES: list[dict[str, Any]] = json.loads((HERE / "boxes.json").read_text())["boxes"]


@pytest.fixture
def net(use_torch_home: Path) -> nn.Module:
    return rv.load_model("resnet50", weights="IMAGENET1K_V1", device="cpu")


def share_inside(maps: Tensor, box: list[int]) -> float:
    left, top, right, bottom = box
    return float(maps[top:bottom, left:right].sum() / maps.sum())


def centre_gaussian(width: float) -> Tensor:
    """A Gaussian at the centre of 224 x 224; `width` is its standard deviation over the side."""
    at = (torch.arange(224.0) - 111.5) / (224 * width)
    return torch.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / 2)


def explained(net: nn.Module, entry: dict[str, Any], testdata: Path) -> tuple[str, Tensor]:
    sample = entry.get("sample")
    file = SAMPLES / sample if sample else testdata / "imagenet" / entry["imagenet"]
    images = rv.load_images([file], net)
    exp = rv.explain(net, images, entry["class"], layers="layer4")
    return rv.predict(net, images, top=1)["label"][0], exp.upsampled("grad_cam", "layer4")[0, 0]


@pytest.mark.slow
def test_grad_cam_lies_on_the_object(net: nn.Module, testdata: Path) -> None:
    """At least 0.6 of the mass in the box; more than a centre Gaussian where the box can tell.

    The cat of chelsea.png fills 96 % of what the network sees: every map has its mass in that box.
    """
    for entry in BOXES[:4]:
        label, maps = explained(net, entry, testdata)
        inside = share_inside(maps, entry["box"])
        gaussian = share_inside(centre_gaussian(1 / 3), entry["box"])
        print(f"{entry['sample']} {entry['class']}: {inside:.3f}, centre Gaussian {gaussian:.3f}")
        if entry["sample"] != "cat_and_espresso.png":
            assert label == entry["class"]
        assert inside >= 0.6
        left, top, right, bottom = entry["box"]
        assert (right - left) * (bottom - top) > 0.9 * 224**2 or inside > gaussian


@pytest.mark.slow
def test_grad_cam_beats_the_centre_on_average(net: nn.Module, testdata: Path) -> None:
    """Over all boxes that leave room, for Gaussians of three widths."""
    inside: list[float] = []
    gaussians: dict[float, list[float]] = {0.25: [], 1 / 3: [], 0.5: []}
    for entry in BOXES:
        left, top, right, bottom = entry["box"]
        if (right - left) * (bottom - top) > 0.9 * 224**2:
            continue
        inside.append(share_inside(explained(net, entry, testdata)[1], entry["box"]))
        for width, shares in gaussians.items():
            shares.append(share_inside(centre_gaussian(width), entry["box"]))
    mean = sum(inside) / len(inside)
    print(f"{len(inside)} boxes: {mean:.3f}", {w: sum(s) / len(s) for w, s in gaussians.items()})
    assert len(inside) >= 10
    for shares in gaussians.values():
        assert mean > sum(shares) / len(shares) + 0.05


@pytest.mark.thorough
def test_two_objects_two_maps(net: nn.Module, testdata: Path) -> None:
    """The composed picture: each class's map lies on its own side."""
    images = rv.load_images([SAMPLES / "cat_and_espresso.png"], net)
    assert set(rv.predict(net, images, top=2)["label"]) == {"Egyptian cat", "espresso"}
    exp = rv.explain(net, images, [["Egyptian cat", "espresso"]], layers="layer4")
    cat, espresso = exp.upsampled("grad_cam", "layer4")[0]
    assert share_inside(cat, [0, 0, 122, 224]) > 0.8
    assert share_inside(espresso, [122, 0, 224, 224]) > 0.75
