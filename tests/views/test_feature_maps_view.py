"""The feature-map view as data: what is sent, what is kept, what is answered."""

from __future__ import annotations

import base64
import dataclasses
import json
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import resviz as rv
from resviz.attribution.head import AllClasses
from resviz.networks.cifar import cifar_resnet
from resviz.views.payload import Payload
from resviz.views.widgets.feature_maps import MapsView, explore_feature_maps

WIDGET = "application/vnd.jupyter.widget-view+json"


def values(payload: Payload, layer: dict[str, Any]) -> Any:
    codes, scale, offset = (payload.array(layer[n]) for n in ("codes", "scale", "offset"))
    return scale[..., None, None] * codes.astype(float) + offset[..., None, None]


def listen(view: Any) -> list[tuple[Any, Any]]:
    """What the view sends from now on."""
    sent: list[tuple[Any, Any]] = []
    view.send = lambda content, buffers=None: sent.append((content, buffers))
    return sent


@pytest.fixture(scope="module")
def head(net: Any, images: torch.Tensor, preset: rv.Preset) -> Any:
    """An explanation at the last layer; the toy network's maps may be blank."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rv.ResvizWarning)
        return rv.explain(
            net, images, methods=["grad_cam"], layers=["layer3.0", "layer3"], preset=preset
        )


def test_every_kept_layer_is_sent(rec: Any) -> None:
    payload = explore_feature_maps(rec).payload()
    network = payload.meta["networks"][0]
    assert [layer["key"] for layer in network["layers"]] == list(rec.tensors)
    for layer in network["layers"]:
        tensor = rec.tensors[layer["key"]].numpy()
        steps = payload.array(layer["scale"])[..., None, None]
        assert (np.abs(values(payload, layer) - tensor) <= steps * 0.501 + 1e-7).all()
        assert np.allclose(payload.array(layer["mean"]), tensor.mean(axis=(2, 3)), rtol=1e-5)
        assert (payload.array(layer["maximum"]) == tensor.max(axis=(2, 3))).all()
        assert layer["low"] == tensor.min() and layer["high"] == tensor.max()
    json.dumps(payload.meta, allow_nan=False)


def test_photographs_and_predictions(rec: Any) -> None:
    payload = explore_feature_maps(rec).payload()
    network = payload.meta["networks"][0]
    assert (payload.array(network["pictures"]) == rec.pictures.numpy()).all()
    odds = torch.softmax(rec.logits, 1)
    for image, shown in enumerate(network["images"]):
        best = shown["predicted"][0]
        assert best["index"] == int(odds[image].argmax())
        assert best["probability"] == pytest.approx(float(odds[image].max()), abs=1e-4)
        assert shown["label"].startswith(f"image {image}: ")
    assert "BatchNorm on running statistics" in network["conditions"]
    assert "&" not in network["conditions"]


def test_dead_channels_are_told_from_nearly_dead_ones(rec: Any) -> None:
    tensor = rec.tensors["layer1"].clone()
    tensor[:, 0], tensor[:, 1] = 0, 0
    tensor[:, 1, 0, 0] = 1e-6
    tensor[:, 2] = 1
    changed = dataclasses.replace(rec, tensors={"layer1": tensor})
    payload = explore_feature_maps(changed).payload()
    layer = payload.meta["networks"][0]["layers"][0]
    zeros = payload.array(layer["zeros"])
    assert (zeros[:, 0] == 65535).all() and (zeros[:, 2] == 0).all()
    nearly = (tensor[:, 1] == 0).double().mean(dim=(1, 2))
    np.testing.assert_allclose(zeros[:, 1] / 65535, nearly, atol=1e-5)
    assert (values(payload, layer)[:, 1, 0, 0] > 0).all()


def test_what_is_not_finite(rec: Any) -> None:
    tensor = rec.tensors["layer1"].clone()
    tensor[0, 0, 0, 0], tensor[0, 1, 0, 0], tensor[0, 2] = float("nan"), float("inf"), float("nan")
    changed = dataclasses.replace(rec, tensors={"layer1": tensor})
    payload = explore_feature_maps(changed).payload()
    layer = payload.meta["networks"][0]["layers"][0]
    codes = payload.array(layer["codes"])
    assert codes[0, 0, 0, 0] == codes[0, 1, 0, 0] == 255 and (codes[0, 2] == 255).all()
    assert np.isfinite([layer["low"], layer["high"]]).all()
    json.dumps(payload.meta, allow_nan=False)


def test_labels_that_are_equal_by_rounding(rec: Any, head: Any) -> None:
    """The larger logit is first, in what is sent and in the static picture's weights."""
    logits = torch.zeros_like(rec.logits)
    logits[:, 2], logits[:, 4], logits[:, 7] = 20, 40, 30
    about = {**rec.provenance, "output": "labels"}
    view = MapsView(dataclasses.replace(rec, logits=logits, provenance=about))
    for shown in view.payload().meta["networks"][0]["images"]:
        assert [each["index"] for each in shown["predicted"]][:3] == [4, 7, 2]
    assert view._foremost(0) == 4


@pytest.mark.parametrize("output", ["classes", "values", "labels"])
def test_an_output_that_is_not_finite_predicts_nothing(rec: Any, output: str) -> None:
    logits = rec.logits.clone()
    logits[1, 2] = float("nan")
    changed = dataclasses.replace(
        rec, logits=logits, provenance={**rec.provenance, "output": output}
    )
    view = explore_feature_maps(changed)
    shown = view.payload().meta["networks"][0]["images"]
    assert shown[1] == {"number": 1, "label": "image 1: not finite", "predicted": []}
    assert shown[0]["predicted"] and shown[2]["predicted"]


def test_at_most_a_tenth_more_than_a_byte_a_value() -> None:
    net = cifar_resnet(20, seed=0)
    rec = rv.record(net, torch.randn(2, 3, 32, 32), gradients=False, keep="blocks")
    count = sum(tensor.numel() for tensor in rec.tensors.values())
    assert len(explore_feature_maps(rec).payload().buffer) <= 1.1 * count


@pytest.mark.parametrize("left_out", [0, 1])
def test_tokens_stand_where_their_patches_were(rec: Any, left_out: int) -> None:
    tokens = torch.randn(3, 4 + left_out, 8)
    changed = dataclasses.replace(rec, tensors={"encoder": tokens})
    payload = explore_feature_maps(changed).payload()
    layer = payload.meta["networks"][0]["layers"][0]
    assert layer["axes"] == "NLC" and layer["position"] == "patches"
    assert layer["codes"]["shape"] == [3, 8, 2, 2] and layer["left_out"] == left_out
    kept = tokens[:, left_out:].numpy().transpose(0, 2, 1)
    assert np.abs(values(payload, layer).reshape(3, 8, 4) - kept).max() < 0.02
    assert (payload.array(layer["maximum"]) == kept.max(axis=2)).all()


def test_tokens_of_no_grid_are_a_row(rec: Any) -> None:
    changed = dataclasses.replace(rec, tensors={"encoder": torch.randn(3, 47, 8)})
    payload = explore_feature_maps(changed).payload()
    layer = payload.meta["networks"][0]["layers"][0]
    assert layer["axes"] == "NLC" and layer["position"] == "tokens"
    assert layer["codes"]["shape"] == [3, 8, 1, 47]
    tensor = changed.tensors["encoder"].numpy().transpose(0, 2, 1)
    assert np.abs(values(payload, layer)[:, :, 0] - tensor).max() < 0.02


def test_which_photographs(rec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = explore_feature_maps(rec, images=[2, 0]).payload()
    network = payload.meta["networks"][0]
    assert [one["label"][:7] for one in network["images"]] == ["image 2", "image 0"]
    assert [one["number"] for one in network["images"]] == [2, 0]
    wanted = rec.pictures.numpy()[[2, 0]]
    assert (payload.array(network["pictures"]) == wanted).all()
    size = sum(tensor.numel() for tensor in rec.tensors.values()) // 3
    monkeypatch.setattr("resviz.views.widgets.feature_maps._MOST", 2 * size)
    network = explore_feature_maps(rec).payload().meta["networks"][0]
    assert len(network["images"]) == 2 and "2 of 3 photographs" in network["conditions"]


def test_a_network_without_batch_norm_says_nothing_of_it(images: torch.Tensor) -> None:
    net = cifar_resnet(8, norm=False, seed=0)
    rec = rv.record(net, images, gradients=False, keep="blocks")
    words = explore_feature_maps(rec).payload().meta["networks"][0]["conditions"]
    assert "BatchNorm" not in words and "float32" in words


def test_it_opens_where_the_class_is_made(rec: Any, head: Any) -> None:
    view = explore_feature_maps(rec, explanation=head)
    assert view.selection["layer"] == "layer3" and view.selection["sort"] == "contribution"
    linear = head.all_classes.weight
    index = int(rec.logits[0].argmax())
    added = linear[index] * rec["layer3"][0].mean((1, 2))
    order = torch.argsort(-added, stable=True).tolist()
    names = [trace.name for trace in view.figure().data if trace.name]
    assert names == [f"channel {c}" for c in order[:24]]


def test_a_stage_is_its_last_block(rec: Any, head: Any) -> None:
    tensors = {"conv1": rec["conv1"], "layer3.0": rec["layer3"]}
    view = explore_feature_maps(dataclasses.replace(rec, tensors=tensors), explanation=head)
    assert view.selection["layer"] == "layer3.0"


def test_nothing_big_is_kept_in_the_notebook(rec: Any) -> None:
    view = explore_feature_maps(rec)
    view.payload()
    state = view.get_state()
    assert len(json.dumps(state)) < 150_000
    assert {"selection", "about", "_esm", "_css"} <= set(state)


def test_ready_is_answered_with_one_message(rec: Any) -> None:
    view = explore_feature_maps(rec)
    sent = listen(view)
    view._received(view, {"type": "ready"}, [])
    view._received(view, "nonsense", [])
    view._received(view, {"type": "else"}, [])
    [(content, buffers)] = sent
    assert content["type"] == "data" and len(buffers) == 1
    assert content["meta"] == view.payload().meta and buffers[0] == view.payload().buffer


def test_bundle(rec: Any, read: Any) -> None:
    data, _ = explore_feature_maps(rec)._repr_mimebundle_()
    assert WIDGET in data and "Feature maps: conv1" in data["text/plain"]
    assert len(np.unique(read.picture(base64.b64decode(data["image/png"])))) > 20


def test_the_figure_follows_the_selection(rec: Any, read: Any) -> None:
    view = explore_feature_maps(rec)
    changes = {"layer": "layer3", "image": 1, "sort": "mean", "scale": "channel"}
    view.selection = view.selection | changes
    figure = view.figure()
    title = read.title(figure)
    assert "layer3" in title and "image 1" in title and "largest mean first" in title
    assert "own colour scale" in title
    order = torch.argsort(-rec["layer3"][1].mean((1, 2)), stable=True).tolist()
    names = [trace.name for trace in figure.data if trace.name]
    assert sorted(names) == sorted(f"channel {c}" for c in order[:24])


def test_the_figure_puts_dead_channels_first(rec: Any) -> None:
    view = explore_feature_maps(rec)
    view.selection = view.selection | {"layer": "layer3", "sort": "dead"}
    share = (rec["layer3"][0] == 0).float().mean((1, 2))
    order = torch.argsort(-share, stable=True).tolist()
    names = [trace.name for trace in view.figure().data if trace.name]
    assert names == [f"channel {c}" for c in order[:24]]


def test_a_selection_that_cannot_be_drawn_says_so(rec: Any) -> None:
    view = explore_feature_maps(rec)
    view.selection = view.selection | {"layer": "gone"}
    data, _ = view._repr_mimebundle_()
    assert "'gone' was not kept" in data["text/plain"] and "image/png" not in data


def test_weights_of_the_classes(rec: Any, head: Any, net: Any) -> None:
    view = explore_feature_maps(rec, explanation=head)
    payload = view.payload()
    weight = payload.meta["networks"][0]["weight"]
    assert weight["layer"] == "layer3" and weight["reason"] is None
    linear = [module for module in net.modules() if isinstance(module, torch.nn.Linear)][-1]
    rows = payload.array(weight["rows"])
    assert (rows == linear.weight.detach().numpy()[weight["classes"]]).all()
    sent = listen(view)
    question = {"type": "ask", "id": "a", "what": "weight", "network": 0, "class": 7}
    view._received(view, question, [])
    [(content, buffers)] = sent
    assert content == {"type": "answer", "class": 7, "id": "a"}
    assert (np.frombuffer(buffers[0], np.float32) == linear.weight.detach().numpy()[7]).all()
    view.selection = view.selection | {"layer": "layer3", "sort": "weight", "class": 7}
    order = torch.argsort(-linear.weight[7], stable=True).tolist()
    names = [trace.name for trace in view.figure().data if trace.name]
    assert names == [f"channel {c}" for c in order[:24]]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"what": "weight", "network": 0, "class": 99}, "class 99; 0 to 9"),
        ({"what": "weight", "network": 0, "class": -1}, "class -1; 0 to 9"),
        ({"what": "weather"}, "no answer to 'weather'"),
        ({"what": "weight"}, "network"),
    ],
)
def test_bad_questions(question: dict[str, Any], message: str, rec: Any, head: Any) -> None:
    view = explore_feature_maps(rec, explanation=head)
    sent = listen(view)
    view._received(view, {"type": "ask", "id": "b", **question}, [])
    [(content, _)] = sent
    assert content["type"] == "error" and content["id"] == "b" and message in content["text"]


def test_why_there_are_no_weights(rec: Any, head: Any, blind: Any) -> None:
    def reason(record: Any, explanation: Any) -> Any:
        payload = explore_feature_maps(record, explanation=explanation).payload()
        return payload.meta["networks"][0]["weight"]["reason"]

    assert reason(rec, None) == "pass explanation="
    kept = {"conv1": rec.tensors["conv1"]}
    assert reason(dataclasses.replace(rec, tensors=kept), head) == "layer3 was not kept"
    other = dataclasses.replace(rec, logits=rec.logits + 1)
    assert reason(other, head) == "weights of another network"
    headless = dataclasses.replace(head, heads=())
    assert reason(rec, headless) == "no single linear layer at the end"
    nothing = torch.zeros(3, 10)  # what such a head makes of such activations
    narrow = AllClasses("layer3", torch.zeros(3, 3, 2, 2), torch.zeros(10, 3), nothing[0])
    foreign = dataclasses.replace(head, heads=(narrow,), logits=nothing)
    assert reason(rec, foreign) == "weights of another network"


def test_two_networks(rec: Any, blind: Any) -> None:
    view = explore_feature_maps(rec, blind)
    networks = view.payload().meta["networks"]
    assert len({network["name"] for network in networks}) == 2
    assert networks[1]["pictures"] is None and view.selection["compare"] == "network"
    same = explore_feature_maps(rec, rec).payload().meta["networks"]
    assert same[0]["name"] != same[1]["name"]
    view.selection = view.selection | {"network": 1, "layer": next(iter(blind.tensors))}
    assert next(iter(blind.tensors)) in str(view.figure().layout.title.text)


def test_errors(rec: Any) -> None:
    with pytest.raises(TypeError, match="explore_feature_maps: a int; a recording"):
        explore_feature_maps(3)
    with pytest.raises(ValueError, match="no feature maps in this recording"):
        explore_feature_maps(dataclasses.replace(rec, tensors={"fc": torch.zeros(3, 10)}))
    for wrong in ([3], [-1], []):
        with pytest.raises(ValueError, match="images .*; the recording has 0 to 2"):
            explore_feature_maps(rec, images=wrong)


def test_markup_in_names_stays_text(rec: Any, hostile: str, tmp_path: Any) -> None:
    changed = dataclasses.replace(
        rec,
        tensors={hostile: rec.tensors["conv1"]},
        provenance={**rec.provenance, "network": hostile},
    )
    view = explore_feature_maps(changed)
    view.save_html(tmp_path / "page.html")
    assert hostile not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert hostile in view.payload().meta["networks"][0]["layers"][0]["key"]
