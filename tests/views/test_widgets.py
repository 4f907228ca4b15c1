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
from resviz.networks.cifar import cifar_resnet
from resviz.views.widgets import explanation as live

WIDGET = "application/vnd.jupyter.widget-view+json"
pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")


def control(view: Any, name: str) -> Any:
    return view._controls[name]


def check_bundle(view: Any, read: Any) -> None:
    data, _ = view._repr_mimebundle_()
    assert WIDGET in data and "text/html" not in data and data["text/plain"].startswith("Figure: ")
    assert len(np.unique(read.picture(base64.b64decode(data["image/png"])))) > 20


def test_feature_maps_every_control_changes_the_view(rec: Any, read: Any) -> None:
    view = rv.explore_feature_maps(rec)
    assert view.selection["layer"] == "conv1" and view._status.value == ""
    for name, value in {"layer": "layer3", "image": 1, "sort": "mean", "scale": "unit"}.items():
        before = view._mosaic.value
        control(view, name).value = value
        assert view._mosaic.value != before, name
    assert control(view, "page").max == 3 and control(view, "channel").max == 63
    for name, place in (("page", "_mosaic"), ("channel", "_channel")):
        before = getattr(view, place).value
        control(view, name).value = 3
        assert getattr(view, place).value != before
    assert "channel 3</b> of 64" in view._facts.value
    title = read.title(view.figure())
    assert "image 1" in title and "largest mean first" in title
    check_bundle(view, read)


def test_feature_maps_pages_hold_every_channel_once(rec: Any) -> None:
    view = rv.explore_feature_maps(rec)
    control(view, "layer").value = "layer3"
    control(view, "sort").value = "max"
    seen = []
    for page in (1, 2, 3):
        control(view, "page").value = page
        seen += [t.name for t in view.figure().data if t.type in ("heatmap", "image")]
    order = torch.argsort(-rec["layer3"][0].amax((1, 2)), stable=True).tolist()
    assert seen == [f"channel {c}" for c in order]


def test_feature_maps_a_smaller_layer_brings_the_numbers_down(rec: Any) -> None:
    view = rv.explore_feature_maps(rec)
    control(view, "layer").value = "layer3"
    control(view, "page").value, control(view, "channel").value = 3, 63
    control(view, "layer").value = "layer1"
    assert view.selection["page"] == 1 and view.selection["channel"] == 15
    assert view._status.value == ""


def test_feature_maps_facts(rec: Any, blind: Any) -> None:
    view = rv.explore_feature_maps(rec)
    values = rec["conv1"][0, 0]
    assert f"maximum {values.max():.4g}" in view._facts.value
    assert "no pictures" not in view._facts.value
    assert "no pictures" in rv.explore_feature_maps(blind)._facts.value


def test_gradients(norms: Any, in_training: Any, read: Any) -> None:
    view = rv.explore_gradients({"eval": norms, "train": in_training})
    chart = view._chart.children[0]
    assert len(chart.data) == len(view.figure().data)
    control(view, "networks").value = ("train",)
    assert {t.name for t in view._chart.children[0].data} == {"train", "train, projections"}
    control(view, "axis").value = "linear"
    assert view._chart.children[0].layout.yaxis.type == "linear"
    control(view, "quantity").value = "weight_norm"
    assert "weight" in view._chart.children[0].layout.yaxis.title.text
    check_bundle(view, read)
    control(view, "networks").value = ()
    assert "no network is chosen" in view._status.value
    assert "no network is chosen" in view._repr_mimebundle_()[0]["text/plain"]
    control(view, "networks").value = ("eval",)
    assert view._status.value == ""


def test_gradients_of_a_recording_offer_what_it_measured(rec: Any, blind: Any) -> None:
    view = rv.explore_gradients(rec)
    for quantity in control(view, "quantity").options:
        control(view, "quantity").value = quantity
        assert view._status.value == "", quantity
    view = rv.explore_gradients(blind)
    offered = control(view, "quantity").options
    assert "rms" in offered and "grad_norm" not in offered  # recorded without gradients


def test_gradients_errors(rec: Any, norms: Any) -> None:
    with pytest.raises(ValueError, match="explore_gradients: the tables share none"):
        rv.explore_gradients({"a": norms[0][["layer", "depth"]]})
    with pytest.raises(TypeError, match="explore_gradients: a int"):
        rv.explore_gradients(3)


def test_residuals(rec: Any, read: Any) -> None:
    view = rv.explore_residuals(rec)
    first = rec.residuals.iloc[0]
    assert first["addition"] in view._facts.value and f"{first['ratio']:.4g}" in view._facts.value
    pictures = {part: place.value for part, place in view._maps.items()}
    assert all(pictures.values()) and len(set(pictures.values())) == 3
    control(view, "image").value = 2
    assert all(view._maps[part].value != pictures[part] for part in pictures)
    before = view._facts.value
    control(view, "addition").value = rec.residuals["addition"][1]
    assert view._facts.value != before and "keep=" in view._facts.value
    assert view._maps["branch"].layout.display == "none"
    control(view, "panel").value = "sizes"
    layout = view._chart.children[0].layout.to_plotly_json()
    assert "yaxis2" not in layout and layout["yaxis"]["type"] == "log"
    check_bundle(view, read)


def test_residuals_of_a_table(rec: Any, images: Any) -> None:
    assert "image" not in rv.explore_residuals(rec.residuals).selection
    plain = rv.record(cifar_resnet(8, shortcut="none", seed=0), images, gradients=False)
    with pytest.raises(ValueError, match="explore_residuals: no residual additions"):
        rv.explore_residuals(plain)


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


def test_html_is_escaped(rec: Any, net: Any, images: Any, preset: Any, hostile: str) -> None:
    frame = rec.residuals.assign(addition=hostile, kind=hostile)
    view = rv.explore_residuals(frame)
    assert "<script" not in view._facts.value and "&lt;script&gt;" in view._facts.value
    shown = rv.explore_explanation(net, images, preset=preset)
    control(shown, "label").value = hostile + "?"
    assert "<script" not in shown._status.value and "&lt;script&gt;" in shown._status.value
