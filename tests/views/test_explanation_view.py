"""The explanation view as data: what is sent, what is answered, what the figure shows."""

from __future__ import annotations

import base64
import dataclasses
import json
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import resviz as rv
from left_as_found import assert_left_as_found
from resviz.networks.cifar import cifar_resnet
from resviz.sessions import explaining, maps
from resviz.views.payload import Payload
from resviz.views.widgets import explanation_payload
from resviz.views.widgets.explanation import explore_explanation

WIDGET = "application/vnd.jupyter.widget-view+json"


def listen(view: Any) -> list[tuple[Any, Any]]:
    """What the view sends from now on."""
    sent: list[tuple[Any, Any]] = []
    view.send = lambda content, buffers=None: sent.append((content, buffers))
    return sent


def ask(view: Any, what: str, **details: Any) -> tuple[Any, Any]:
    sent = listen(view)
    view._received(view, {"type": "ask", "id": "a", "what": what, **details}, [])
    return sent[-1]


def numbers(payload: Payload, kept: dict[str, Any]) -> Any:
    """Numbers of the head, as the browser reads them."""
    if kept["kind"] == "one byte":
        codes, scale, offset = (payload.array(kept[n]) for n in ("codes", "scale", "offset"))
        wide = (*scale.shape, *[1] * (codes.ndim - scale.ndim))
        return codes * scale.reshape(wide).astype(float) + offset.reshape(wide)
    values = payload.array(kept["values"])
    if kept["kind"] == "float16":
        return values.view(np.float16).astype(np.float64) * kept["factor"]
    return values


@pytest.fixture
def live(net: Any, images: torch.Tensor, preset: rv.Preset) -> Any:
    return explore_explanation(net, images, preset=preset)


@pytest.fixture(scope="module")
def table(net: Any, images: torch.Tensor, exp: Any, preset: rv.Preset) -> Any:
    checks = ["deletion", "insertion"]
    return rv.faithfulness(net, images, exp, checks=checks, steps=4, preset=preset, progress=False)


def test_the_record_is_sent_to_half_a_step(exp: Any) -> None:
    payload = explore_explanation(exp).payload()
    assert [(m["method"], m["layer"]) for m in payload.meta["maps"]] == list(exp.maps)
    for one in payload.meta["maps"]:
        wanted = exp.maps[one["method"], one["layer"]].numpy()
        codes, scale, offset = (payload.array(one[n]) for n in ("codes", "scale", "offset"))
        found = codes * scale[..., None, None].astype(float) + offset[..., None, None]
        assert (np.abs(found - wanted) <= scale[..., None, None] * 0.501 + 1e-12).all()
        assert not one["signed"]
    assert (payload.array(payload.meta["pictures"]) == exp.pictures.numpy()).all()
    assert (payload.array(payload.meta["logits"]) == exp.logits.numpy()).all()
    assert payload.meta["targets"] == exp.targets and payload.meta["names"] == exp.target_names
    assert payload.meta["asks"] is None and payload.meta["checks"] == []
    json.dumps(payload.meta, allow_nan=False)


@pytest.mark.parametrize(
    ("limits", "kind", "near"),
    [
        ({}, "float32", 1e-6),
        ({"_EXACT": 0}, "float16", 1e-3),
        ({"_EXACT": 0, "_HALF": 9000}, "one byte", 3e-2),
    ],
)
def test_any_class_from_the_head(
    exp: Any, limits: dict[str, int], kind: str, near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The formula of the browser on what is sent, against the record's closed form."""
    view = explore_explanation(exp)
    for name, value in limits.items():
        monkeypatch.setattr(explanation_payload, name, value)
    payload = view.payload()
    head = payload.meta["head"]
    assert head["layer"] == "layer3" and head["activations"]["kind"] == kind
    activations, weight = (numbers(payload, head[name]) for name in ("activations", "weight"))
    worst = 0.0
    for index in range(10):
        found = np.einsum("c,nchw->nhw", weight[index], activations) * head["methods"]["grad_cam"]
        wanted = exp.all_classes.map(index, relu=False).numpy()
        apart = np.abs(found - wanted).max((1, 2)) / np.abs(wanted).max((1, 2))
        worst = max(worst, apart.max())
    assert worst <= near
    if kind == "float32":
        assert head["error"] == 0
    else:  # what the view says about itself is true
        assert head["error"] == pytest.approx(worst, rel=0.05)


def test_every_method_of_the_head_is_that_method(
    net: Any, images: torch.Tensor, preset: rv.Preset
) -> None:
    methods = list(explanation_payload.HEAD_METHODS)
    made = rv.explain(net, images, 4, methods=methods, layers="layer3", relu=False, preset=preset)
    payload = explore_explanation(made).payload()
    head = payload.meta["head"]
    activations, weight = (numbers(payload, head[name]) for name in ("activations", "weight"))
    for method in methods:
        found = np.einsum("c,nchw->nhw", weight[4], activations) * head["methods"][method]
        assert np.allclose(found, made.maps[method, "layer3"][:, 0].numpy(), rtol=1e-4, atol=1e-6)
    assert all(one["signed"] for one in payload.meta["maps"])


def test_a_network_is_explained_at_every_block_at_once(live: Any, net: Any) -> None:
    blocks = rv.list_layers(net, torch.zeros(1, 3, 32, 32)).query("kind == 'block'")["layer"]
    meta = live.payload().meta
    assert {one["layer"] for one in meta["maps"]} == set(blocks)
    assert {one["method"] for one in meta["maps"]} == set(explaining._FIRST)
    assert (
        live.selection["layer"] == meta["head"]["layer"] and live.selection["method"] == "grad_cam"
    )
    assert set(meta["asks"]["layers"]) == set(blocks) and "eigen_cam" in meta["asks"]["methods"]


def test_the_kernel_makes_what_is_missing(
    live: Any, net: Any, images: torch.Tensor, preset: rv.Preset
) -> None:
    question = {
        "image": 1,
        "class": 4,
        "contrast": None,
        "method": "layer_cam",
        "layer": "layer2.0",
    }
    content, buffers = ask(live, "map", part="positive", **question)
    wanted = rv.explain(
        net, images[1:2], 4, methods="layer_cam", layers="layer2.0", preset=preset
    ).maps["layer_cam", "layer2.0"][0, 0]
    assert content == {"type": "answer", "id": "a", "shape": list(wanted.shape)}
    found = np.frombuffer(buffers[0], np.float32).reshape(wanted.shape)
    assert np.allclose(found, wanted.numpy(), rtol=1e-5)
    content, buffers = ask(
        live, "map", part="signed", **question | {"contrast": 2, "method": "grad_cam"}
    )
    which = rv.target(4) - rv.target(2)
    wanted = rv.explain(
        net, images[1:2], which, methods="grad_cam", layers="layer2.0", relu=False, preset=preset
    ).maps["grad_cam", "layer2.0"][0, 0]
    found = np.frombuffer(buffers[0], np.float32).reshape(wanted.shape)
    assert np.allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-9) and (found < 0).any()


GOOD = {"image": 0, "class": 1, "contrast": None, "method": "grad_cam", "layer": "layer2.0"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": 3}, "image 3 of 3"),
        ({"image": -1}, "image -1 of 3"),
        ({"class": 10}, "class 10; 0 to 9"),
        ({"class": None}, "class None"),
        ({"contrast": -1}, "0 to 9"),
        ({"method": "score_cam"}, "no score_cam at layer2.0"),
        ({"layer": "gone"}, "no grad_cam at gone"),
    ],
)
@pytest.mark.parametrize("what", ["map", "faithfulness"])
def test_bad_questions(live: Any, what: str, changes: dict[str, Any], message: str) -> None:
    content, _ = ask(live, what, part="positive", **GOOD | changes)
    assert content["type"] == "error" and message in content["text"] and content["id"] == "a"


def test_a_record_alone_answers_nothing(exp: Any) -> None:
    for what in ("map", "faithfulness"):
        content, _ = ask(explore_explanation(exp), what, **GOOD)
        assert content["type"] == "error" and "came without its network" in content["text"]
    content, _ = ask(explore_explanation(exp), "weather")
    assert "no answer to 'weather'" in content["text"]


def measured(view: Any, **changes: Any) -> list[Any]:
    sent = listen(view)
    question = GOOD | {"part": "signed"} | changes
    view._received(view, {"type": "ask", "id": "f", "what": "faithfulness", **question}, [])
    view.view._works["faithfulness"].join(60)
    return [content for content, _ in sent]


@pytest.mark.parametrize("what", ["map", "faithfulness"])
def test_of_other_weights_nothing_is_added(
    images: torch.Tensor, preset: rv.Preset, what: str
) -> None:
    net = cifar_resnet(8, seed=0).eval()
    view = explore_explanation(net, images, preset=preset)
    with torch.no_grad():
        net.linear.weight.mul_(-3)
    sent = listen(view)
    question = GOOD | {"part": "signed", "method": "layer_cam", "class": 3}
    view._received(view, {"type": "ask", "id": "f", "what": what, **question}, [])
    ((content, _),) = sent
    assert content["type"] == "error" and "the network has changed" in content["text"]


@pytest.mark.thorough
def test_faithfulness_on_request(
    live: Any, net: Any, images: torch.Tensor, preset: rv.Preset
) -> None:
    *progress, answer = measured(live)
    assert answer["type"] == "answer" and answer["id"] == "f"
    made = rv.explain(net, images[:1], 1, layers="layer2.0", preset=preset)
    checks = ["deletion", "insertion"]
    wanted = rv.faithfulness(net, images[:1], made, checks=checks, preset=preset).iloc[0]
    for name in ("deletion", "insertion", "deletion_random", "insertion_random"):
        assert answer["row"][name] == pytest.approx(wanted[name], rel=1e-4)
    assert answer["row"]["target"] == "automobile" and answer["row"]["image"] == 0
    assert answer["checked"] == "28 steps, 3 random maps, score: probability"
    assert progress and all(one["type"] == "progress" for one in progress)
    assert progress[-1]["done"] == progress[-1]["total"] == maps.PICTURES
    # the line is in the page that is saved afterwards
    assert live.payload().meta["checks"] == [answer["row"]]


@pytest.mark.thorough
def test_faithfulness_of_a_difference(live: Any) -> None:
    answer = measured(live, contrast=2)[-1]
    assert answer["row"]["target"] == "automobile - bird"
    assert answer["checked"].endswith("score: score")


def test_faithfulness_can_be_stopped(live: Any) -> None:
    sent: list[Any] = []

    def send(content: Any, _: Any = None) -> None:
        sent.append(content)
        if content["type"] == "progress":
            live._received(live, {"type": "stop", "id": "f"}, [])

    live.send = send
    live._received(live, {"type": "ask", "id": "f", "what": "faithfulness", **GOOD}, [])
    live.view._works["faithfulness"].join(60)
    assert [one["type"] for one in sent] == ["progress"]
    assert live.payload().meta["checks"] == []


@pytest.mark.thorough
def test_stopping_another_question_changes_nothing(live: Any) -> None:
    live.view.stop("never asked")
    sent = listen(live)
    live._received(live, {"type": "ask", "id": "f", "what": "faithfulness", **GOOD}, [])
    live.view.stop("g")
    live.view._works["faithfulness"].join(60)
    assert sent[-1][0]["type"] == "answer"


def test_an_error_in_the_thread_is_told(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ValueError("faithfulness: no.")

    monkeypatch.setattr(maps, "faithfulness", fails)
    assert measured(live)[-1] == {"type": "error", "id": "f", "text": "faithfulness: no."}


def test_the_network_is_left_as_found(net: Any, images: torch.Tensor, preset: rv.Preset) -> None:
    def everything() -> None:
        view = explore_explanation(net, images, preset=preset)
        ask(view, "map", part="signed", **GOOD)
        measured(view)
        view.figure()

    assert_left_as_found(net, everything)


@pytest.mark.thorough
def test_given_checks(exp: Any, table: Any) -> None:
    meta = explore_explanation(exp, faithfulness=table).payload().meta
    assert len(meta["checks"]) == len(table)
    for row, (_, wanted) in zip(meta["checks"], table.iterrows(), strict=True):
        assert [row["method"], row["layer"]] == [wanted["method"], wanted["layer"]]
        if np.isfinite(wanted["deletion"]):
            assert row["deletion"] == pytest.approx(wanted["deletion"])
        else:
            assert row["deletion"] is None
        assert row["words"] == wanted["words"] and row["index"] == wanted["index"]
    assert meta["checked"] == "4 steps, 3 random maps, score: probability"
    json.dumps(meta, allow_nan=False)


# ---- the figure and the bundle
def drawn(view: Any, **changes: Any) -> Any:
    view.selection = view.selection | changes
    return view.figure()


def test_the_figure_follows_the_selection(exp: Any, read: Any) -> None:
    view = explore_explanation(exp)
    figure = drawn(view, method="hires_cam", layer="layer2", image=1, **{"class": 4})
    assert "deer" in read.title(figure) and "image 1" in read.title(figure)
    assert (raw(view) == exp.maps["hires_cam", "layer2"][1, 0].numpy()).all()


def test_the_figure_has_the_name_of_the_photograph(exp: Any) -> None:
    names = [f"{number}.png" for number in range(len(exp.targets))]
    view = explore_explanation(exp, names=names)
    view.selection = view.selection | {"image": 1}
    assert "1.png" in view.figure().chart.lines[0] and "image 1" not in view.figure().chart.lines[0]


def raw(view: Any) -> Any:
    chosen = view.selection
    return next(iter(view.view._maps.shown(chosen["image"], chosen).maps.values()))[0, 0].numpy()


def test_the_figure_of_any_class_and_of_a_difference(exp: Any, read: Any) -> None:
    view = explore_explanation(exp)
    title = read.title(drawn(view, layer="layer3", **{"class": 7}))
    assert "horse" in title
    assert np.allclose(raw(view), exp.all_classes.map(7, relu=False)[0].numpy())
    title = read.title(drawn(view, contrast=2, part="signed"))
    assert "horse - bird" in title
    which = rv.target(7) - rv.target(2)
    assert np.allclose(raw(view), exp.all_classes.map(which, relu=False)[0].numpy())


def test_the_figure_of_what_the_kernel_makes(live: Any, read: Any) -> None:
    title = read.title(drawn(live, layer="layer2.0", method="eigen_cam", **{"class": 6}))
    assert "frog" in title


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": "layer2", "class": 7}, "no grad_cam at layer2 for this target"),
        ({"image": 9}, "image 9 of 3"),
    ],
)
def test_a_selection_that_cannot_be_drawn_says_so(
    exp: Any, changes: dict[str, Any], message: str
) -> None:
    view = explore_explanation(exp)
    view.selection = view.selection | changes
    data, _ = view._repr_mimebundle_()
    assert message in data["text/plain"] and "image/png" not in data


def test_bundle_and_state(exp: Any, read: Any) -> None:
    view = explore_explanation(exp)
    data, _ = view._repr_mimebundle_()
    assert WIDGET in data and len(data["text/plain"]) > 20
    assert len(np.unique(read.picture(base64.b64decode(data["image/png"])))) > 20
    view.payload()
    assert len(json.dumps(view.get_state())) < 300_000


def test_targets_of_ones_own(net: Any, images: torch.Tensor, preset: rv.Preset, read: Any) -> None:
    def brightness(output: torch.Tensor) -> torch.Tensor:
        return output[:, 1] - output[:, 2]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rv.ResvizWarning)
        made = rv.explain(net, images, brightness, layers="layer3", preset=preset)
    view = explore_explanation(made)
    assert view.selection["recorded"] == 0 and view.selection["class"] is None
    assert "brightness" in read.title(view.figure())


def test_no_names_no_pictures(net: Any, images: torch.Tensor) -> None:
    view = explore_explanation(net, images)
    meta = view.payload().meta
    assert meta["pictures"] is None and meta["classes"][3] == "class 3"
    assert meta["size"] == [32, 32]
    view.figure()


def test_no_single_linear_layer_at_the_end(images: torch.Tensor) -> None:
    plain = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()),
        nn.Linear(4 * 28 * 28, 10),
    )
    view = explore_explanation(plain, images)
    assert view.payload().meta["head"] is None
    content, _ = ask(view, "map", **GOOD | {"layer": view.selection["layer"], "part": "positive"})
    assert content["type"] == "answer"


def test_errors(net: Any, images: torch.Tensor, exp: Any) -> None:
    with pytest.raises(TypeError, match="explore_explanation: a int and no images"):
        explore_explanation(3)
    with pytest.raises(TypeError, match="explore_explanation: .*no images"):
        explore_explanation(net)
    with pytest.raises(TypeError, match="faithfulness is a int; a table"):
        explore_explanation(exp, faithfulness=3)
    with pytest.raises(TypeError, match="explanation is a int"):
        explore_explanation(net, images, explanation=3)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3072, 4))
    with pytest.raises(ValueError, match=r"explore_explanation: .*no layer with positions"):
        explore_explanation(flat, images)


def test_a_given_explanation_is_kept(net: Any, images: torch.Tensor, exp: Any, preset: Any) -> None:
    view = explore_explanation(net, images, preset=preset, explanation=exp)
    meta = view.payload().meta
    assert [(m["method"], m["layer"]) for m in meta["maps"]] == list(exp.maps)
    assert meta["asks"]["layers"] == ["layer2", "layer3"]


def test_markup_in_names_stays_text(exp: Any, hostile: str, tmp_path: Any) -> None:
    about = {**exp.provenance, "network": hostile}
    view = explore_explanation(dataclasses.replace(exp, provenance=about))
    view.selection = view.selection | {"class": 9}
    view.save_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert hostile not in text and "<b>bold" not in text


def test_tokens_are_explained_where_auto_finds_positions() -> None:
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    net = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    nn.init.normal_(net.heads[0].weight)  # type: ignore[arg-type]
    view = explore_explanation(net.eval(), torch.randn(1, 3, 32, 32))
    assert view.payload().meta["maps"][0]["codes"]["shape"][2:] == [4, 4]
    assert "encoder" in view.selection["layer"]


def test_what_is_said_of_an_untrained_network_without_batch_norm(images: torch.Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rv.ResvizWarning)
        exp = rv.explain(cifar_resnet(8, norm=False, seed=0), images, methods=["grad_cam"])
        own = rv.explain(cifar_resnet(8, seed=0), images, methods=["grad_cam"])
    told = explore_explanation(exp).payload().meta
    assert "BatchNorm" not in told["conditions"]
    assert "Selvaraju et al. 2016" in told["methods"]["grad_cam"]
    told = explore_explanation(own).payload().meta
    assert "BatchNorm on running statistics" in told["conditions"] and told["untrained"]
