"""The explorers as traits: every control changes what is shown; nothing is computed twice."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import resviz as rv
from resviz.views.widgets import explanation as live

WIDGET = "application/vnd.jupyter.widget-view+json"
pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")


def control(view: Any, name: str) -> Any:
    return view._controls[name]


def check_bundle(view: Any, read: Any) -> None:
    data, _ = view._repr_mimebundle_()
    assert WIDGET in data and "text/html" not in data and data["text/plain"].startswith("Figure: ")
    assert len(np.unique(read.picture(base64.b64decode(data["image/png"])))) > 20


def test_nothing_kept(rec: Any) -> None:
    with pytest.raises(ValueError, match="explore_feature_maps: no feature maps.*keep='blocks'"):
        rv.explore_feature_maps(dataclasses.replace(rec, tensors={}))


def test_explanation_of_a_record(exp: Any, read: Any) -> None:
    view = rv.explore_explanation(exp)
    for name, value in {"layer": "layer3", "method": "hires_cam", "target": 1}.items():
        control(view, name).value = value
        assert view._status.value == ""
    control(view, "image").value = 1
    assert "image 1" in read.title(view.figure())
    (heat,) = [t for t in view.figure().data if t.type == "heatmap"]
    np.testing.assert_array_equal(heat.z, exp.maps["hires_cam", "layer3"][1, 1])
    before = view._picture.value
    control(view, "opacity").value = 0.2
    assert view._picture.value != before
    check_bundle(view, read)


def test_explanation_names_the_targets_of_the_chosen_image(exp: Any) -> None:
    view = rv.explore_explanation(exp)
    assert control(view, "target").options[0][0] == "0: cat"
    control(view, "image").value = 1
    assert control(view, "target").options[0][0] == "0: deer"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of `explain` by the view."""
    asked: list[Any] = []
    real = live.explain

    def explain(net: Any, images: Any, targets: Any, **more: Any) -> Any:
        asked.append((targets, more["methods"], more["layers"], float(images.sum())))
        return real(net, images, targets, **more)

    monkeypatch.setattr(live, "explain", explain)
    return asked


def test_live_explanation(net: Any, images: Any, preset: Any, counted: Any, read: Any) -> None:
    view = rv.explore_explanation(net, images, preset=preset)
    assert len(counted) == 1 and view._status.value == ""
    control(view, "label").value = "frog"
    control(view, "layer").value = "layer2.0"
    assert len(counted) == 3
    (heat,) = [t for t in view.figure().data if t.type == "heatmap"]
    known = rv.explain(net, images[:1], "frog", layers="layer2.0", preset=preset)
    np.testing.assert_array_equal(heat.z, known.maps["grad_cam", "layer2.0"][0, 0])
    control(view, "label").value = "horse"
    control(view, "label").value = "frog"
    view.figure(), view._repr_mimebundle_()
    assert len(counted) == 4  # the frog is known
    control(view, "image").value = 2
    assert len(counted) == 5, counted  # once, for the new image's first guess
    assert "image 2" in read.title(view.figure())
    assert len(set(counted)) == len(counted)
    check_bundle(view, read)


def test_live_explanation_of_an_unknown_class(net: Any, images: Any, preset: Any) -> None:
    view = rv.explore_explanation(net, images, preset=preset)
    before = view._picture.value
    control(view, "label").value = "catt"
    assert "catt" in view._status.value and "cat" in view._status.value
    assert view._picture.value == before or view._picture.value == b""
    assert "catt" in view._repr_mimebundle_()[0]["text/plain"]
    control(view, "label").value = "cat"
    assert view._status.value == ""


def test_live_explanation_of_a_network_without_names(net: Any, images: Any, read: Any) -> None:
    view = rv.explore_explanation(net, images)
    assert view._status.value == ""
    assert "no pictures" in read.title(view.figure())
    control(view, "label").value = "no such class"
    assert "no such class" in view._status.value


def test_live_explanation_leaves_the_network(net: Any, images: Any, preset: Any) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rv.explore_explanation(net, images, preset=preset)
    assert all(torch.equal(before[n], v) for n, v in net.state_dict().items())
    assert not any(module.training for module in net.modules())


def test_explanation_errors(net: Any, images: Any) -> None:
    with pytest.raises(TypeError, match="explore_explanation: a int"):
        rv.explore_explanation(3)
    with pytest.raises(TypeError, match="explore_explanation: .*no images"):
        rv.explore_explanation(net)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    with pytest.raises(ValueError, match="explore_explanation: .*no layer with positions"):
        rv.explore_explanation(flat, images)


def test_html_is_escaped(net: Any, images: Any, preset: Any, hostile: str) -> None:
    shown = rv.explore_explanation(net, images, preset=preset)
    control(shown, "label").value = hostile + "?"
    assert "<script" not in shown._status.value and "&lt;script&gt;" in shown._status.value
