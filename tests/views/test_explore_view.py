"""`explore` without a browser: scenes, what is sent, what is refused, what is left as it was."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

import resviz as rv
from cases import crossed, thorough
from left_as_found import left_as_found
from resviz.hooks import Hooks
from resviz.networks.cifar import cifar_resnet
from resviz.networks.signals import signals_resnet
from resviz.sessions.scene import Moment
from resviz.views.payload import Payload
from resviz.views.widgets.explore import explore

SAMPLES = Path(__file__).parents[2] / "sample_images"


@pytest.fixture
def view(net: Any, images: torch.Tensor, preset: rv.Preset) -> Any:
    return explore(net, images, preset=preset, names=["one", "two", "three"])


def listen(view: Any) -> list[dict[str, Any]]:
    """What the view sends from now on."""
    sent: list[dict[str, Any]] = []
    view.send = lambda content, buffers=None: sent.append({**content, "buffers": buffers or []})
    return sent


def ask(view: Any, sent: list[dict[str, Any]], what: str, **details: Any) -> dict[str, Any]:
    """The answer to a question, or the error."""
    number = f"q{len(sent)}"
    view._received(view, {"type": "ask", "id": number, "what": what, **details}, [])
    return answered(sent, number)


def recorded(*args: Any, **kwargs: Any) -> Any:
    """As a scene has it: without the gradients of the weights."""
    return rv.record(*args, gradients="activations", **kwargs)


def answered(sent: list[dict[str, Any]], number: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for message in sent:
            if message.get("id") == number and message["type"] != "progress":
                return message
        time.sleep(0.01)
    raise AssertionError(f"no answer to {number}")


def scene(image: int = 0, index: int | None = None, off: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"image": image, "class": index, "off": list(off)}


def test_everything_comes_in_one_message(view: Any) -> None:
    payload = view.payload()
    header, told = payload.meta["header"], payload.meta["scene"]
    assert [one["name"] for one in header["photographs"]] == ["one", "two", "three"]
    assert header["blocks"] == ["layer1.0", "layer2.0", "layer3.0"]
    places = [(one["name"], one["kind"], one["depth"]) for one in told["places"]]
    kinds = [*zip(header["blocks"], ("identity", "padded", "padded"), (3, 5, 7), strict=True)]
    assert places == [("relu", "stem", 1), *kinds]
    assert set(told["curves"]) == {"gradient", "activation", "ratio", "share"}
    assert list(told["additions"]) == ["layer1.0.add", "layer2.0.add", "layer3.0.add"]
    assert all(tiles["channels"] for tiles in told["tiles"])
    json.dumps(payload.meta, allow_nan=False)


def test_the_curves_are_those_of_a_recording(
    view: Any, net: Any, images: torch.Tensor, preset: rv.Preset
) -> None:
    told = view.payload().meta["scene"]
    rec = rv.record(net, images[:1], preset=preset)
    blocks = rec.layers[rec.layers["kind"] == "block"].set_index("layer")
    names = [one["name"] for one in told["places"]][1:]
    for curve, column in (("gradient", "grad_norm"), ("activation", "rms")):
        np.testing.assert_allclose(told["curves"][curve]["values"][1:], blocks[column][names])
    ratio = rec.residuals["ratio"].tolist()
    assert told["curves"]["ratio"]["values"] == [None, *ratio]


def test_the_tiles_are_the_strongest_channels(view: Any) -> None:
    payload = view.payload()
    told = payload.meta["scene"]["tiles"][-1]
    maps = view.view._session.current.rec["layer3.0"][0]
    order = maps.flatten(1).amax(1).argsort(descending=True, stable=True)
    assert told["channels"] == order[:24].tolist() and told["total"] == 64
    codes, scale, offset = (payload.array(told[n]) for n in ("codes", "scale", "offset"))
    read = offset[:, None, None] + scale[:, None, None] * codes
    np.testing.assert_allclose(read, maps[order[:24]], atol=float(scale.max()) / 2 + 1e-6)
    added = payload.meta["scene"]["additions"]["layer3.0.add"]["tiles"]
    branch = view.view._session.current.rec["layer3.0.add:branch"][0]
    rms = branch.double().square().mean((1, 2)).sqrt()
    assert added["channels"] == rms.argsort(descending=True, stable=True)[:6].tolist()
    codes, scale, offset = (payload.array(added[n]) for n in ("codes", "scale", "offset"))
    parts = offset[..., None, None] + scale[..., None, None] * codes
    step = float(scale.max())
    np.testing.assert_allclose(parts[0] + parts[1], parts[2], atol=1.5 * step)


def test_the_explanation_names_the_channels_that_speak_for_the_class(
    view: Any, net: Any, images: torch.Tensor, preset: rv.Preset
) -> None:
    sent = listen(view)
    told = ask(view, sent, "explanation", **scene(0, 4))["explanation"]
    table = rv.channel_contributions(net, images[:1], 4, preset=preset)
    for place, tiles in zip(view.view._sending.places, told["tiles"], strict=True):
        own = table[table["layer"] == place.name]
        if place.kind == "stem":
            assert tiles is None
            continue
        best = own.sort_values("contribution", ascending=False, kind="stable")["channel"]
        assert tiles["channels"] == best[:24].tolist()
    lens = rv.logit_lens(net, images[:1], 4, preset=preset)
    known = dict(zip(lens["block"], lens["probability"], strict=True))
    assert list(told["lens"]["classes"])[0] == "4" and len(told["lens"]["classes"]) in (5, 6)
    found = dict(
        zip([p.name for p in view.view._sending.places], told["lens"]["classes"]["4"], strict=True)
    )
    assert found["layer3.0"] == pytest.approx(known["layer3.0"], rel=1e-5)
    assert found["layer1.0"] is None and found["relu"] is None
    words = dict(zip([p.name for p in view.view._sending.places], told["lens"]["why"], strict=True))
    assert words["layer1.0"] == "16 channels; the head takes 64"


def test_what_each_block_does_for_the_prediction(
    view: Any, net: Any, images: torch.Tensor, preset: rv.Preset
) -> None:
    sent = listen(view)
    told = ask(view, sent, "without", **scene(1, off=("layer2.0",)))
    numbers = Payload(told["without"], told["buffers"][0]).array(told["without"]["numbers"])
    names = [view.view._sending.places[at].name for at in told["without"]["places"]]
    assert names == ["layer1.0", "layer3.0"] and told["without"]["failed"] == []
    for name, found in zip(names, numbers, strict=True):
        with rv.drop_blocks(net, ["layer2.0", name], images=images):
            wanted = net.eval()(images[1:2]).softmax(1)[0]
        np.testing.assert_allclose(found, wanted.detach(), rtol=1e-5)
    ticks = [m for m in sent if m["type"] == "progress"]
    assert not ticks or ticks[-1]["total"] == 2


def test_the_scene_is_one_recorded_pass_of_one_photograph(
    view: Any, net: Any, images: torch.Tensor, preset: rv.Preset
) -> None:
    wanted = recorded(net, images[:1], preset=preset, keep=["blocks", "additions"])
    assert view.view._session.current.rec.equals(wanted)


def test_a_class_changes_the_loss_and_keeps_the_maps(
    view: Any, net: Any, images: torch.Tensor, preset: rv.Preset
) -> None:
    sent, before = listen(view), view.view._session.current.rec.tensors
    answer = ask(view, sent, "scene", **scene(0, 4))
    assert answer["scene"]["class"] == 4
    assert view.view._session.current.rec.tensors is before  # the maps are the same
    wanted = recorded(net, images[:1], [4], "logit", preset=preset)
    np.testing.assert_array_equal(
        view.view._session.current.rec.parameters["grad_norm"], wanted.parameters["grad_norm"]
    )


def test_a_block_is_switched_off_and_everything_follows(
    view: Any, net: Any, images: torch.Tensor, preset: rv.Preset
) -> None:
    sent = listen(view)
    off = ("layer2.0",)
    answer = ask(view, sent, "scene", **scene(0, off=off))
    with rv.drop_blocks(net, ["layer2.0"], images=images):
        wanted = recorded(net, images[:1], preset=preset, keep=["blocks", "additions"])
        exp = rv.explain(net, images[:1], methods=["grad_cam"], layers=["layer3.0"], preset=preset)
    assert view.view._session.current.rec.equals(wanted)
    told = answer["scene"]
    assert told["off"] == ["layer2.0"]
    whole = view.view._session.find(Moment(0)).rec
    before = Payload(told, answer["buffers"][0]).array(told["before"])
    np.testing.assert_allclose(before, whole.logits.softmax(1)[0], rtol=1e-5)
    now = Payload(told, answer["buffers"][0]).array(told["numbers"])
    np.testing.assert_allclose(now, wanted.logits.softmax(1)[0], rtol=1e-5)
    assert told["curves"]["gradient"]["whole"] is not None
    ask(view, sent, "explanation", **scene(0, off=off))
    found = view.view._session.current.exp.maps["grad_cam", "layer3.0"]
    torch.testing.assert_close(found, exp.maps["grad_cam", "layer3.0"])
    # a map that the explanation asks for is of the network without the block, too
    asked = {"class": 2, "contrast": None, "method": "grad_cam", "layer": "layer1.0"}
    message = ask(view, sent, "map", **asked, part="signed", moment=scene(0, off=off))
    values = np.frombuffer(message["buffers"][0], "<f4").reshape(message["shape"])
    with rv.drop_blocks(net, ["layer2.0"], images=images):
        exp = rv.explain(
            net, images[:1], 2, methods="grad_cam", layers="layer1.0", relu=False, preset=preset
        )
    np.testing.assert_allclose(values, exp.maps["grad_cam", "layer1.0"][0, 0], rtol=1e-4, atol=1e-7)


def test_all_channels_on_request(view: Any) -> None:
    answer = ask(view, listen(view), "maps", **scene())
    (network,) = answer["maps"]["networks"]
    keys = [(layer["key"], layer["codes"]["shape"][1]) for layer in network["layers"]]
    assert keys == [("relu", 16), ("layer1.0", 16), ("layer2.0", 32), ("layer3.0", 64)]


def test_a_map_is_measured_against_random_ones(view: Any) -> None:
    sent = listen(view)
    told = ask(view, sent, "explanation", **scene())["explanation"]
    asked = {"class": told["page"]["targets"][0][0], "contrast": None, "method": "grad_cam"}
    answer = ask(view, sent, "faithfulness", **asked, layer="layer3.0", moment=scene())
    assert {"deletion", "deletion_random", "insertion", "words"} <= set(answer["row"])


def test_a_photograph_joins_the_others(view: Any, net: Any, preset: rv.Preset) -> None:
    sent = listen(view)
    file = (SAMPLES / "chelsea.png").read_bytes()
    request = {"type": "ask", "id": "f", "what": "photograph", "name": "<b>cat</b>.png"}
    view._received(view, request, [memoryview(file)])
    answer = sent[0]
    assert answer["image"] == 3 and answer["header"]["photographs"][3]["name"] == "<b>cat</b>.png"
    assert answer["header"]["photographs"][3]["picture"]["shape"] == [72, 72, 3]
    torch.testing.assert_close(
        view.view._session.images[3], rv.load_images(SAMPLES / "chelsea.png", net, preset=preset)
    )
    assert ask(view, sent, "scene", **scene(3))["scene"]["image"] == 3


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_picture(view: Any, content: bytes) -> None:
    sent = listen(view)
    request = {"type": "ask", "id": "f", "what": "photograph", "name": "notes.txt"}
    view._received(view, request, [content] if content else [])
    assert sent[0]["type"] == "error" and "explore: " in sent[0]["text"]
    assert "'notes.txt'" in sent[0]["text"] and len(view.view._session.images) == 3


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"image": 9}, "photograph 9 of 3"),
        ({"image": -1}, "photograph -1 of 3"),
        ({"class": 10}, "class 10; 0 to 9"),
        ({"image": "x"}, "invalid literal"),
    ],
)
def test_wrong_questions(view: Any, details: dict[str, Any], message: str) -> None:
    sent = listen(view)
    answer = ask(view, sent, "scene", **(scene() | details))
    assert answer["type"] == "error" and message in answer["text"]


def test_unknown_blocks_are_not_looked_for(view: Any) -> None:
    sent = listen(view)
    ask(view, sent, "scene", **scene(0, off=("layer2.0", "__class__")))
    assert view.view._session.current.moment.off == ("layer2.0",)


def test_a_stopped_scene_is_never_shown(view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import resviz.sessions.session as module

    sent, going, go = listen(view), threading.Event(), threading.Event()
    before, usual = view.view._session.current, module.recorded

    def slow(*args: Any) -> Any:
        going.set()
        assert go.wait(20)
        return usual(*args)

    monkeypatch.setattr(module, "recorded", slow)
    request = {"type": "ask", "what": "scene", **scene(1)}
    view._received(view, {**request, "id": "first"}, [])
    assert going.wait(20)
    view._received(view, {"type": "stop", "id": "first"}, [])
    work = view.view._works["scene"]
    go.set()
    work.join(30)
    assert not work.is_alive() and view.view._session.current is before
    assert not [m for m in sent if m["type"] in ("answer", "error")]
    # and a newer question stops the one before
    going.clear(), go.clear()
    view._received(view, {**request, "id": "second"}, [])
    assert going.wait(20)
    old = view.view._works["scene"]
    view._received(view, {**request, "id": "third", "image": 2}, [])
    go.set()
    assert answered(sent, "third")["type"] == "answer"
    old.join(30)
    assert view.view._session.current.moment.image == 2
    assert [m["id"] for m in sent if m["type"] == "answer"] == ["third"]


@pytest.mark.parametrize(
    ("what", "off", "index"),
    crossed(["scene", "explanation"], [("layer1.0",), ()], [3, None]),
)
def test_progress_ends_at_its_end(
    view: Any, what: str, off: tuple[str, ...], index: int | None
) -> None:
    sent = listen(view)
    ask(view, sent, what, **scene(1, index, off))
    last = [m for m in sent if m["type"] == "progress"][-1]
    assert last["done"] == last["total"] and last["text"].startswith("layers ")


@pytest.mark.thorough
def test_both_lines_are_of_one_class(view: Any) -> None:
    """Without a block another class may be predicted: then the whole network is asked for that."""
    sent = listen(view)
    for image in range(3):
        for off in (("layer1.0",), ("layer2.0", "layer3.0")):
            ask(view, sent, "scene", **scene(image, off=off))
            scene_now = view.view._session.current
            assert int(scene_now.whole.targets[0]) == int(scene_now.rec.targets[0])
            assert int(scene_now.rec.targets[0]) == int(scene_now.rec.logits.argmax())


def test_a_network_that_changed_is_recorded_again(images: torch.Tensor, preset: rv.Preset) -> None:
    net = cifar_resnet(8, seed=0)
    view = explore(net, images, preset=preset)
    sent = listen(view)
    with torch.no_grad():
        net.conv1.weight.mul_(0.5)
    ask(view, sent, "scene", **scene(0, off=("layer1.0",)))
    fresh = rv.record(
        net, images[:1], view.view._session.current.rec.targets, "logit", preset=preset
    )
    whole = view.view._session.current.whole.layers["grad_norm"]
    assert whole.notna().all()
    np.testing.assert_array_equal(whole, fresh.layers["grad_norm"])


def test_a_page_is_of_the_weights_as_they_are(
    images: torch.Tensor, preset: rv.Preset, read: Any
) -> None:
    net = cifar_resnet(8, seed=0)
    view = explore(net, images, preset=preset)
    sent = listen(view)
    ask(view, sent, "without", **scene())
    with torch.no_grad():
        net.linear.weight.neg_()
    told = view.page(lesions=True).payload
    wanted = rv.predict(net, images[:1], preset=preset, top=10).sort_values("index")
    numbers = told.array(told.meta["scene"]["numbers"])
    np.testing.assert_allclose(numbers, wanted["probability"], rtol=1e-5)
    best = int(numbers.argmax())
    seen = told.meta["explained"]["lens"]["classes"][str(best)][-1]
    assert seen == pytest.approx(float(numbers[best]), rel=1e-5)
    assert told.meta["explained"]["lens"]["labels"][-1] == wanted["label"].iloc[best]
    with rv.drop_blocks(net, ["layer1.0"], images=images):
        cut = rv.predict(net, images[:1], preset=preset, top=10).sort_values("index")
    at = told.meta["without"]["places"].index(1)
    np.testing.assert_allclose(
        told.array(told.meta["without"]["numbers"])[at], cut["probability"], rtol=1e-4
    )


def test_of_a_changed_network_all_is_of_the_changed_one(
    images: torch.Tensor, preset: rv.Preset
) -> None:
    """Also when the block that changed it is over."""
    net = cifar_resnet(8, seed=0).eval()
    with rv.scale_branches(net, 0.1, images=images[:1]):
        with torch.no_grad():
            wanted = net(images).softmax(1)
        view = explore(net, images, preset=preset)
    sent, session = listen(view), view.view._session
    for image in (0, 1):
        ask(view, sent, "explanation", **scene(image))
        shown = session.current
        best = int(wanted[image].argmax())
        torch.testing.assert_close(shown.rec.logits.softmax(1)[0], wanted[image])
        torch.testing.assert_close(shown.exp.scores[0, 0], shown.rec.logits[0, best])
        assert shown.rec.provenance["changes"] == shown.exp.provenance["changes"] != []


def test_answers_say_that_the_weights_changed(images: torch.Tensor, preset: rv.Preset) -> None:
    net = cifar_resnet(8, seed=0)
    view = explore(net, images, preset=preset)
    assert view.payload().meta["scene"]["generation"] == 0
    sent = listen(view)
    assert ask(view, sent, "explanation", **scene())["explanation"]["generation"] == 0
    with torch.no_grad():
        net.conv1.weight.mul_(0.5)
    wanted = {"class": 1, "contrast": None, "method": "grad_cam", "layer": "layer3.0"}
    failed = ask(view, sent, "map", moment=scene(), part="positive", **wanted)
    assert failed["type"] == "error" and "network has changed" in failed["text"]
    assert ask(view, sent, "without", **scene())["without"]["generation"] == 1
    assert ask(view, sent, "scene", **scene())["scene"]["generation"] == 1


@pytest.mark.parametrize("how", ["data", "average", "channels last", "half", "running mean"])
def test_every_change_of_weights_is_seen(images: torch.Tensor, preset: rv.Preset, how: str) -> None:
    net = cifar_resnet(8, seed=0)
    view = explore(net, images, preset=preset)
    sent = listen(view)
    assert ask(view, sent, "generation", generation=0)["generation"] == 0
    if how == "data":  # which torch does not count
        net.linear.weight.data.mul_(-1)
    elif how == "average":
        for parameter in net.parameters():
            parameter.data.lerp_(torch.zeros_like(parameter.data), 1e-3)
    elif how == "channels last":
        net.conv1.weight.data = net.conv1.weight.data.contiguous(memory_format=torch.channels_last)
        net.conv1.weight.data[:, 1].add_(1)
    elif how == "half":
        net.half()
    else:
        net.bn1.running_mean.data.add_(1)
    assert ask(view, sent, "generation", generation=0)["generation"] == 1
    assert ask(view, sent, "generation", generation=1)["generation"] == 1


@pytest.mark.parametrize("how", ["hook", "module", "attribute", "forward", "block"])
def test_every_change_of_the_network_is_seen(
    images: torch.Tensor, preset: rv.Preset, how: str
) -> None:
    """No weight is another, and what was measured is of another network."""
    net = cifar_resnet(8, seed=0).eval()
    net.scale = 1.0
    net.linear.register_forward_hook(lambda module, args, output: output * net.scale)
    view = explore(net, images, preset=preset)
    sent = listen(view)
    ask(view, sent, "explanation", **scene())
    assert ask(view, sent, "generation", generation=0)["generation"] == 0
    with Hooks() as hooks:  # of a pass that runs beside
        hooks.forward(net.layer2, lambda *_: None)
        hooks.instead(net.layer3, lambda forward, x: forward(x))
        assert ask(view, sent, "generation", generation=0)["generation"] == 0
    before = view.view._session.current.rec.logits
    if how == "hook":
        net.layer1.register_forward_hook(lambda module, args, output: output * 2)
    elif how == "module":
        net.layer1[0] = nn.Sequential(net.layer1[0], nn.Tanh())
    elif how == "attribute":
        net.scale = 2.0
    elif how == "forward":
        own = net.layer1.forward
        net.layer1.forward = lambda x: own(x).tanh()
    else:
        net.layer1[0] = nn.Tanh()
    answer = ask(view, sent, "scene", **scene())
    assert ask(view, sent, "generation", generation=0)["generation"] == 1
    assert ask(view, sent, "generation", generation=1)["generation"] == 1
    if how in ("module", "block"):
        assert "no additions at 'layer1.0' any more" in answer["text"]
    else:
        assert not torch.equal(view.view._session.current.rec.logits, before)


class Positions(nn.Module):
    """Makes a buffer in its first pass."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cifar_resnet(8, seed=0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "places"):
            self.register_buffer("places", torch.ones(1, 1, *x.shape[2:]), persistent=False)
        return self.net(x * self.places)


@pytest.mark.parametrize("before", [True, False])
def test_a_buffer_that_the_first_pass_makes(
    images: torch.Tensor, preset: rv.Preset, before: bool
) -> None:
    """Nothing else, and under `inference_mode` torch does not count what is written to it."""
    net = Positions().eval()
    if before:
        with torch.inference_mode():
            net(images)
    view = explore(net, images, preset=preset)
    sent = listen(view)
    assert ask(view, sent, "generation", generation=0)["generation"] == 0
    assert ask(view, sent, "scene", **scene(1))["scene"]["generation"] == 0
    with torch.no_grad():
        net.net.conv1.weight.mul_(2)
    assert ask(view, sent, "generation", generation=0)["generation"] == 1


def test_a_question_about_a_scene_that_is_kept_no_more(view: Any) -> None:
    sent = listen(view)
    ask(view, sent, "scene", **scene(1))
    view.view._session._scenes.pop(Moment(0))
    assert "is kept no more" in ask(view, sent, "maps", **scene(0))["text"]
    inner = {"type": "ask", "id": "p", "what": "weight", "network": 0, "class": 1}
    message = {"type": "within", "view": "maps", "scene": 99, "content": inner}
    view._received(view, message, [])
    assert "is kept no more" in sent[-1]["content"]["text"]


def test_nonsense_from_python(view: Any) -> None:
    sent = listen(view)
    for nonsense in ({"views": 5}, {"off": "abc"}, {"depth": "x"}, {"class": "x"}):
        view.selection = view.selection | nonsense
        assert view._repr_mimebundle_()[0]["text/plain"].startswith("Figure: Explore")
    assert ask(view, sent, "scene", **scene(1))["type"] == "answer"


def test_a_network_that_cannot_be_copied(images: torch.Tensor, preset: rv.Preset) -> None:
    net = cifar_resnet(8, seed=0)
    view = explore(net, images, preset=preset)
    net.lock = threading.Lock()
    answer = ask(view, listen(view), "scene", **scene(1))
    assert answer["type"] == "error" and "cannot be copied" in answer["text"]


def test_an_explanation_in_a_thread_leaves_the_warning_filters(view: Any) -> None:
    import warnings

    before = list(warnings.filters)
    with warnings.catch_warnings():
        ask(view, listen(view), "explanation", **scene())
        assert list(warnings.filters) == before
    assert list(warnings.filters) == before


def test_old_scenes_go_when_there_is_no_room(view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resviz.sessions.session._KEPT", view.view._session.current.size * 2)
    sent = listen(view)
    for image in (1, 2, 0):
        ask(view, sent, "scene", **scene(image))
    assert [moment.image for moment in view.view._session._scenes] == [2, 0]


def test_the_network_is_left_as_it_was(net: Any, images: torch.Tensor, preset: rv.Preset) -> None:
    with left_as_found(net):
        view = explore(net, images, preset=preset)
        sent = listen(view)
        ask(view, sent, "scene", **scene(1, 3, ("layer2.0",)))
        ask(view, sent, "explanation", **scene(1, 3, ("layer2.0",)))


def test_the_static_picture(view: Any, read: Any) -> None:
    data, _ = view._repr_mimebundle_()
    assert data["text/plain"].startswith("Figure: Explore toy-net")
    assert "channels of layer3.0" in data["text/plain"] and "grad_cam" not in data["text/plain"]
    plain = read.picture(base64.b64decode(data["image/png"]))
    ask(view, listen(view), "explanation", **scene())
    data, _ = view._repr_mimebundle_()
    assert "grad_cam at layer3.0" in data["text/plain"]
    explained = read.picture(base64.b64decode(data["image/png"]))
    assert len(np.unique(plain)) > 50 and not np.array_equal(plain, explained)
    # a smaller one stays in the notebook, with module and styles
    assert 10_000 < len(view.still) < 100_000
    assert len(view.still) + len(view._esm) + len(view._css) <= 268_100


def test_the_page_explains_first_and_stays_small(view: Any, tmp_path: Path) -> None:
    view.save_html(tmp_path / "explore.html")
    assert view.view._session.current.exp is not None
    text = (tmp_path / "explore.html").read_text(encoding="utf-8")
    assert "rv-data" in text and "http://" not in text.replace("http://www.w3.org", "")
    assert view.page().payload.meta["explained"]["page"] is not None


def test_a_page_of_cut_blocks_has_what_matters_most_first(view: Any) -> None:
    """Before its cut a scene is the whole one's. Other photographs are measured, too."""
    told = view.page(lesions=True).payload.meta
    assert told["left"] == 0
    numbers = view.page(lesions=True).payload.array(told["without"]["numbers"])
    names = [told["scene"]["places"][at]["name"] for at in told["without"]["places"]]
    best = view.view._session.predicted(0)
    wanted = [name for _, name in sorted(zip(numbers[:, best], names, strict=True))]
    cuts = [one["scene"] for one in told["more"] if one["scene"]["off"]]
    assert [one["off"][0] for one in cuts] == wanted
    for one in cuts:
        at = next(n for n, place in enumerate(one["places"]) if place["name"] in one["off"])
        sums = [place["additions"][-1] for place in one["places"] if place["additions"]]
        before = {p["additions"][-1] for p in one["places"][:at] if p["additions"]}
        for name in sums:
            assert (one["additions"][name]["tiles"] is None) == (name in before)
    others = [one for one in told["more"] if not one["scene"]["off"]]
    assert len(others) == 2 and all(len(one["without"]["places"]) == 3 for one in others)


def test_hostile_names_stay_text(
    net: Any, images: torch.Tensor, hostile: str, tmp_path: Path
) -> None:
    half = (0.5, 0.5, 0.5)
    preset = rv.Preset(hostile, hostile, half, half, resize=32, crop=32, classes=(hostile,) * 10)
    view = explore(net, images, preset=preset, names=[hostile] * 3)
    assert view.payload().meta["header"]["photographs"][0]["name"] == hostile
    assert view.payload().meta["header"]["classes"][0] == hostile
    view.save_html(tmp_path / "page.html")
    assert hostile not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_photographs_of_several_sizes(preset: rv.Preset, net: Any) -> None:
    free = dataclasses.replace(preset, resize=None, crop=None)
    pictures = [Image.new("RGB", size, "teal") for size in ((40, 32), (32, 48), (32, 48))]
    view = explore(net, pictures, preset=free)
    told = view.payload().meta["header"]["photographs"]
    assert [one["name"] for one in told] == ["image 0", "image 1", "image 2"]
    assert [tuple(each.shape) for each in view.view._session.images] == [
        *[(1, 3, 32, 40), (1, 3, 48, 32), (1, 3, 48, 32)]
    ]
    assert len(view.page(lesions=False).payload.meta["more"]) == 2
    with pytest.raises(ValueError, match="no sources"):
        explore(net, [], preset=free)


def test_pictures_of_a_stack_have_its_name(tmp_path: Path, preset: rv.Preset, net: Any) -> None:
    stack = tmp_path / "stack.npy"
    np.save(stack, np.zeros((2, 32, 32, 3), np.uint8))
    names = explore(net, [SAMPLES / "chelsea.png", stack], preset=preset).view._sending.names
    assert names == ["chelsea.png", "stack.npy[0]", "stack.npy[1]"]


def test_files_give_the_names(preset: rv.Preset, net: Any) -> None:
    files = [SAMPLES / "chelsea.png", str(SAMPLES / "rocket.jpg")]
    assert explore(net, files, preset=preset).view._sending.names == ["chelsea.png", "rocket.jpg"]
    assert explore(net, files[0], preset=preset).view._sending.names == ["chelsea.png"]
    with Image.open(SAMPLES / "coffee.png") as picture:
        assert explore(net, [picture], preset=preset).view._sending.names == ["image 0"]


def test_figure_is_the_profile_along_depth(view: Any) -> None:
    assert "gradient" in view.figure().layout.title.text
    ask(view, listen(view), "scene", **scene(0, off=("layer1.0",)))
    assert "toy-net, cut<br>without layer1.0" in [trace.name for trace in view.figure().data]


@pytest.mark.parametrize(
    "kind", [thorough("plain"), "no positions", "signals", thorough("transformer"), "densenet"]
)
def test_networks_that_lack_something(kind: str, images: torch.Tensor) -> None:
    made = {
        "plain": lambda: (cifar_resnet(8, shortcut="none", seed=0), images),
        "no positions": lambda: (nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), images),
        "signals": lambda: (signals_resnet(8, channels=3, seed=0), images.flatten(2)[..., :64]),
        "transformer": lambda: (
            torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=10),
            images,
        ),
        "densenet": lambda: (
            torchvision.models.DenseNet(4, (2, 2), 8, num_classes=10).eval(),
            images.repeat(1, 1, 2, 2),
        ),
    }
    net, given = made[kind]()
    view = explore(net.eval(), given)
    told = view.payload().meta["scene"]
    sent = listen(view)
    explained = ask(view, sent, "explanation", **scene())["explanation"]
    if kind == "no positions":
        assert explained["page"] is None
        assert explained["why"].startswith("the network has no layer with positions")
        assert all(tiles is None for tiles in told["tiles"])
    elif kind == "signals":
        assert "rv.plot_explanation(exp) draws this one" in explained["why"]
        assert all(tiles["codes"]["shape"][1] == 1 for tiles in told["tiles"])
    else:
        assert explained["page"]["maps"] and told["tiles"][-1]["channels"]
    names = view.payload().meta["header"]["blocks"]
    if kind == "transformer":
        assert len(names) == 2 and "encoder_layer_0" in names[0]
        assert told["tiles"][-1]["codes"]["shape"][1:] == [4, 4]  # tokens where their patches were
        off = ask(view, sent, "scene", **scene(0, off=(names[1],)))
        assert off["type"] == "answer"
    elif kind != "signals":
        assert names == [] and told["additions"] == {}
    assert view._repr_mimebundle_()[0]["text/plain"].startswith("Figure: Explore")


@pytest.mark.thorough
def test_a_network_without_blocks_is_drawn_by_its_stages(preset: rv.Preset) -> None:
    torch.manual_seed(0)
    net = torchvision.models.vgg11(num_classes=10, init_weights=False).eval()
    view = explore(net, torch.rand(1, 3, 32, 32), preset=preset)
    told = view.payload().meta["scene"]
    assert len(told["places"]) >= 4 and {one["kind"] for one in told["places"]} == {"plain"}
    assert all(tiles["channels"] for tiles in told["tiles"])
    explained = ask(view, listen(view), "explanation", **scene())["explanation"]
    assert explained["layers"] == [one["name"] for one in told["places"]]
    assert "BatchNorm" not in told["conditions"]


class Outside(nn.Module):
    """Sums outside of any block, by convolutions of their own or by one."""

    def __init__(self, shared: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 3)
        self.convolutions = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.order = (0, 0) if shared else (0, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for number in self.order:
            x = x + self.convolutions[number](x).relu()
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("shared", [False, True])
def test_sums_outside_of_blocks(shared: bool, preset: rv.Preset) -> None:
    net, image = Outside(shared).eval(), torch.rand(1, 3, 16, 16)
    view = explore(net, image, preset=preset)
    told = view.payload().meta["scene"]
    assert [place["name"] for place in told["places"]] == ["add", "add_1"]
    assert all(one["tiles"]["channels"] for one in told["additions"].values())
    x = net.stem(image).detach()
    first = (x + net.convolutions[0](x).relu()).detach().requires_grad_()
    second = first + net.convolutions[0 if shared else 1](first).relu()
    second.retain_grad()
    net.head(second.mean((2, 3))).max().backward()
    for curve, wanted in (
        ("gradient", [first.grad.norm(), second.grad.norm()]),
        ("activation", [first.square().mean().sqrt(), second.square().mean().sqrt()]),
    ):
        np.testing.assert_allclose(
            told["curves"][curve]["values"], [each.item() for each in wanted], rtol=1e-4
        )
    told = ask(view, listen(view), "scene", **scene(off=("add",)))["scene"]
    assert all(one["tiles"]["channels"] for one in told["additions"].values())


def test_errors(net: Any, images: torch.Tensor) -> None:
    with pytest.raises(TypeError, match="explore: "):
        explore("resnet50", images)
    with pytest.raises(ValueError, match="explore: images of shape .0, 3"):
        explore(net, images[:0])
    with pytest.raises(ValueError, match="explore: names .*one for each of 3"):
        explore(net, images, names=["one"])
    with pytest.raises(ValueError, match="Linear has no preset"):
        explore(nn.Linear(2, 2), [np.zeros((8, 8), np.uint8)])


def test_a_page_of_bytes_is_a_picture(read: Any) -> None:
    """`fitting` makes pictures smaller, never larger, and leaves small ones alone."""
    from resviz.views.pictures import fitting

    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, format="PNG")
    full = out.getvalue()
    assert fitting(full, len(full)) == full
    small = fitting(full, 40_000)
    assert len(small) <= 40_000 and read.picture(small).shape[1] < 300


class Heads(nn.Module):
    """Two residual blocks, and an output of some kind."""

    def __init__(self, outputs: int, dense: bool = False, flat: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.dense, self.flat = nn.Conv2d(3, 8, 3, padding=1), dense, flat
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Conv2d(8, outputs, 1)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.stem(x).relu()
        for block in self.blocks:
            x = block(x)
        maps = self.head(x)
        wide = maps.mean((2, 3))
        return maps if self.dense else wide[:, 0] if self.flat else wide


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x).relu()


def preset_of_kind(kind: str, **more: Any) -> rv.Preset:
    return rv.Preset("heads", "own", (0.5,) * 3, (0.5,) * 3, 16, 16, output=kind, **more)


@pytest.mark.parametrize(
    ("kind", "outputs", "shape", "word"),
    [
        ("logit", 1, {"flat": True}, "probability"),
        ("labels", 3, {}, "probability"),
        ("values", 1, {"flat": True}, "value"),
        ("values", 3, {}, "value"),
        ("map", 4, {"dense": True}, "share"),
        ("map", 1, {"dense": True}, "share"),
    ],
)
def test_without_a_block_what_is_said_has_a_name(
    kind: str, outputs: int, shape: dict[str, bool], word: str
) -> None:
    units = {"units": "mm"} if kind == "values" else {}
    net, images = Heads(outputs, **shape).eval(), torch.rand(1, 3, 16, 16)
    view = explore(net, images, preset=preset_of_kind(kind, **units))
    answer = ask(view, listen(view), "scene", **scene(off=("blocks.0",)))
    header, told = view.payload().meta["header"], answer["scene"]
    assert (header["word"], header["units"]) == (word, units.get("units", ""))
    table = rv.predict(net, images, preset=preset_of_kind(kind, **units))
    whole = dict(zip(table["index"], table.iloc[:, -1], strict=True))
    with rv.drop_blocks(net, ["blocks.0"], images=images):
        table = rv.predict(net, images, preset=preset_of_kind(kind, **units))
    cut = dict(zip(table["index"], table.iloc[:, -1], strict=True))
    read = Payload(told, answer["buffers"][0])
    now, before = (read.array(told[name]) for name in ("numbers", "before"))
    for index in whole:
        assert before[index] == pytest.approx(whole[index], rel=1e-5)
        assert now[index] == pytest.approx(cut[index], rel=1e-5)


def test_the_first_of_labels_that_are_equal_by_rounding() -> None:
    """Recorded, explained, and the first of the largest numbers that the browser gets."""
    net, images = Heads(3).eval(), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([30.0, 60, 40]))
    view = explore(net, images, preset=preset_of_kind("labels"))
    session = view.view._session
    explained = session.explained(net, session.current.moment)
    assert explained.exp.targets == [[1]] and explained.rec.targets.tolist() == [1]
    assert explained.lens["index"].drop_duplicates().tolist() == [1, 2, 0]
    payload = view.payload()
    numbers = payload.array(payload.meta["scene"]["numbers"])
    assert int(numbers.argmax()) == 1 and numbers == pytest.approx(1, abs=1e-7)


def test_what_has_no_number_to_follow_is_refused_with_the_way_out() -> None:
    net, images = Heads(5).eval(), torch.rand(1, 3, 16, 16)
    message = r"^explore: an output of shape \(1, 5\), and no number .*explore_feature_maps\("
    with pytest.raises(ValueError, match=message):
        explore(net, images, preset=preset_of_kind("none"))
    rec = rv.record(net, images, gradients=False, keep="blocks")
    assert rv.explore_feature_maps(rec).payload().buffer
