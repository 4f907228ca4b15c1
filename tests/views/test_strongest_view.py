"""The images of a scan beside channels: what is sent of them, and how much a page carries."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import resviz as rv
from resviz.views.payload import Payload
from resviz.views.widgets import feature_maps
from resviz.views.widgets.strongest import Strongest


@pytest.fixture(scope="module")
def scan(net: Any, preset: rv.Preset) -> Any:
    data = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    labels = [n % 3 for n in range(12)]
    return rv.scan(net, data, labels=labels, layers=["layer1.0", "layer3.0"], preset=preset, top=4)


@pytest.fixture(scope="module")
def rec(net: Any, images: torch.Tensor, preset: rv.Preset) -> Any:
    keep = ["conv1", "layer1.0", "layer3.0"]
    return rv.record(net, images, preset=preset, keep=keep, gradients=False)


def test_an_answer_is_what_the_scan_says(scan: Any) -> None:
    fields, buffers = Strongest(scan).answer({"layer": "layer1.0#0", "channels": [5, 2]})
    told: Any = fields["strongest"]  # type: ignore[typeddict-item]
    sent = Payload({}, buffers[0])
    top = scan.top("layer1.0", 2)
    np.testing.assert_array_equal(sent.array(told["image"])[1], top["image"])
    np.testing.assert_allclose(sent.array(told["value"])[1], top["value"], rtol=1e-6)
    names = scan.plan.classes
    assert [names[n] for n in sent.array(told["label"])[4:]] == top["label"].tolist()
    row = scan.channels[scan.channels["layer"] == "layer1.0"].iloc[2]
    assert names[sent.array(told["best"])[1]] == row["best_class"]
    side = told["side"]
    sheet = np.asarray(Image.open(io.BytesIO(sent.array(told["sheets"][0]).tobytes())), float)
    assert (told["ranks"], side) == (4, max(scan.plan.sites[0].field.size))
    left = 4 * told["cell"]  # the first of channel 2
    crop = scan.crop("layer1.0", 2, 1)
    seen = sheet[:side, left : left + side]
    if crop.shape[:2] == (side, side):  # else grey beside it
        assert np.abs(seen - crop).mean() < 20  # noise, as JPEG


def test_wrong_questions_are_refused(scan: Any) -> None:
    with pytest.raises(ValueError, match=r"channels \[99\] of 'layer1.0'; 0 to 15"):
        Strongest(scan).answer({"layer": "layer1.0", "channels": [99]})
    with pytest.raises(KeyError, match="no layer 'conv1' in the scan"):
        Strongest(scan).answer({"layer": "conv1", "channels": [0]})


@pytest.mark.thorough
def test_feature_maps_and_their_page(scan: Any, rec: Any, monkeypatch: Any) -> None:
    view = rv.explore_feature_maps(rec, scan=scan)
    assert view.view.data().meta["scan"]["layers"] == ["layer1.0", "layer3.0"]
    assert "strongest" not in view.view.data().meta  # with a kernel they are asked for
    assert view.view.answer("strongest", {"layer": "layer3.0", "channels": [1]})[1]
    told = view.page().payload.meta["strongest"]
    shown = {group["layer"]: group["channels"] for group in told["groups"]}
    assert set(shown) == {"layer1.0", "layer3.0"} and 64 <= told["wanted"] <= 80
    monkeypatch.setattr(feature_maps, "_ROOM", 40_000)
    few = view.page().payload.meta["strongest"]
    assert few["bytes"] <= 40_000 and few["groups"][0]["ranks"] == 2
    assert 0 < len(few["groups"]) < len(told["groups"])


@pytest.mark.thorough
def test_a_page_of_explore_carries_what_it_shows(
    net: Any, images: torch.Tensor, preset: rv.Preset, scan: Any
) -> None:
    view = rv.explore(net, images[:2], preset=preset, scan=scan)
    assert view.view.data().meta["header"]["scan"]["images"] == 12
    page = view.page()
    told, first = page.payload.meta["strongest"], page.payload.meta["explained"]["tiles"][-1]
    assert told["groups"][0]["layer"] == "layer3.0"  # the deepest, at which it opens
    assert set(first["channels"]) <= {c for g in told["groups"] for c in g["channels"]}
    assert view.view.answer("strongest", {"layer": "layer1.0", "channels": [0]})[1]


@pytest.mark.thorough
def test_wrong_arguments_are_named(net: Any, images: torch.Tensor, rec: Any, scan: Any) -> None:
    with pytest.raises(TypeError, match=r"^explore_feature_maps: a int; a Scan is right"):
        rv.explore_feature_maps(rec, scan=3)  # type: ignore[arg-type]
    other = rv.load_model("cifar10-resnet20", weights="random", device="cpu")
    with pytest.raises(ValueError, match=r"^explore: a scan of another network, toy-net"):
        rv.explore(other, images, scan=scan)
    plain = rv.scan(net, images, measures=["channels"], progress=False)
    with pytest.raises(ValueError, match=r"^explore: 'top' was not measured"):
        rv.explore(net, images, scan=plain)
