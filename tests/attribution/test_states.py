"""States a network may be in, records of what was explained, and errors of arguments.

The reference is the same network in float32, trainable, in eval mode, on the same images.
"""

from __future__ import annotations

import copy
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import resviz as rv
from cases import every_method, plain
from left_as_found import left_as_found
from resviz.attribution.methods.registry import METHODS
from resviz.networks.cifar import cifar_resnet

pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")

QUICK: dict[str, dict[str, Any]] = {
    "rise": {"masks": 12},
    "smooth_grad": {"samples": 4},
    "gradient_shap": {"samples": 4},
    "integrated_gradients": {"steps": 6},
    "occlusion": {"window": 4},
}
LAYER = "relu2"
# guided methods and DeepLIFT replace gradients, gradient_shap draws: see test_unchanged.py
STEADY = [n for n in METHODS if n not in ("gradient_shap",)]


class OnceEach(nn.Module):
    """Two convolutions, BatchNorm, pooling and a linear layer; each module runs once."""

    def __init__(self, colours: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(colours, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Any:
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.fc(self.drop(self.relu2(self.conv2(x) + x).mean((2, 3))))


@pytest.fixture
def net() -> OnceEach:
    torch.manual_seed(0)
    net = OnceEach().eval()
    net.bn1.running_mean.normal_()
    net.bn1.running_var.uniform_(0.5, 2)
    return net


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 8, 8)


def explain(net: nn.Module, images: Any, method: str = "grad_cam", **more: Any) -> rv.Explanation:
    options = {method: QUICK[method]} if method in QUICK else None
    settings = {"layers": LAYER, "options": options, "targets": 1} | more
    return rv.explain(net, images, methods=method, **settings)


def assert_same(one: rv.Explanation, other: rv.Explanation, **tolerance: float) -> None:
    assert list(one.maps) == list(other.maps)
    for key, maps in other.maps.items():
        torch.testing.assert_close(one.maps[key], maps, **tolerance)


# ---- modes and dtypes
@pytest.mark.parametrize("state", ["train", "frozen", "channels_last", "no_grad", "inference"])
@pytest.mark.parametrize("method", every_method(STEADY))
def test_states_change_nothing(net: OnceEach, images: Tensor, method: str, state: str) -> None:
    reference = explain(net, images, method)
    other = copy.deepcopy(net)
    given = images.clone()
    if state == "train":
        other.train()
    elif state == "frozen":
        other.requires_grad_(False)
    elif state == "channels_last":
        other = other.to(memory_format=torch.channels_last)
        given = given.to(memory_format=torch.channels_last)
    around = {"no_grad": torch.no_grad, "inference": torch.inference_mode}.get(state)
    if around is None:
        result = explain(other, given, method)
    else:
        with around():
            result = explain(other, given + 0, method)
    assert_same(result, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", every_method())
def test_float64_maps_are_float64_where_the_method_computes_in_it(
    net: OnceEach, images: Tensor, method: str
) -> None:
    reference = explain(net, images, method)
    double = explain(copy.deepcopy(net).double(), images.double(), method)
    for key, maps in double.maps.items():
        assert maps.dtype in (torch.float32, torch.float64)
        if METHODS[method].kind in ("gradients", "activations", "head"):
            assert maps.dtype == torch.float64
        if method != "gradient_shap":
            torch.testing.assert_close(maps.float(), reference.maps[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", every_method())
def test_bfloat16(net: OnceEach, images: Tensor, method: str) -> None:
    reference = explain(net, images, method)
    half = copy.deepcopy(net).bfloat16()
    with left_as_found(half):
        exp = explain(half, images.bfloat16(), method)
    for key, maps in exp.maps.items():
        assert maps.dtype == torch.float32
        assert maps.isfinite().all()
        if method in ("grad_cam", "hires_cam", "layer_cam", "eigen_cam"):
            scale = float(reference.maps[key].abs().max())
            assert float((maps - reference.maps[key]).abs().max()) < 0.1 * scale
    assert exp.provenance["dtype"] == "bfloat16"
    assert exp.scores.dtype == torch.float32


@pytest.mark.parametrize("method", every_method())
def test_autocast(net: OnceEach, images: Tensor, method: str) -> None:
    reference = explain(net, images, method)
    with torch.autocast("cpu", torch.bfloat16), left_as_found(net):
        exp = explain(net, images, method)
    for key, maps in exp.maps.items():
        assert maps.dtype == torch.float32
        assert maps.isfinite().all()
        if method in ("grad_cam", "hires_cam", "layer_cam", "eigen_cam"):
            scale = float(reference.maps[key].abs().max())
            assert float((maps - reference.maps[key]).abs().max()) < 0.1 * scale
    assert exp.provenance["autocast"] == "bfloat16"


def test_under_autocast_what_follows_the_passes_is_in_full(net: OnceEach, images: Tensor) -> None:
    """At the last layer Grad-CAM and its kin are one map, and no numbers of bfloat16."""
    methods = ["grad_cam", "hires_cam", "ablation_cam", "eigen_cam", "score_cam"]
    with torch.autocast("cpu", torch.bfloat16):
        exp = rv.explain(net, images, 1, methods=methods, layers=LAYER, relu=False)
        every = exp.all_classes[1]
    maps = {name: exp.maps[name, LAYER][:, 0] for name in methods}
    torch.testing.assert_close(maps["grad_cam"], maps["hires_cam"])
    torch.testing.assert_close(every, maps["grad_cam"].relu(), rtol=0.02, atol=1e-4)
    for values in (*maps.values(), every):
        assert not torch.equal(values, values.bfloat16().float())


@pytest.mark.parametrize("method", ["eigen_cam", "eigen_grad_cam", "ablation_cam"])
def test_what_is_not_finite_is_named(net: OnceEach, images: Tensor, method: str) -> None:
    images[0, 0, 0, 0] = torch.nan
    with pytest.raises(rv.NonFinite, match=f"{method} at 'conv1' holds NaN or infinity"):
        rv.explain(net, images, 1, methods=method, layers="conv1")


@pytest.mark.parametrize("method", every_method())
def test_a_network_made_under_inference_mode(images: Tensor, method: str) -> None:
    """Methods of gradients say why they cannot; the others work, and those on a copy."""
    torch.manual_seed(0)
    with torch.inference_mode():
        net = OnceEach().eval()
    on_a_copy = method in ("guided_backprop", "deep_lift")  # whose parameters are made anew
    if METHODS[method].kind in ("gradients", "captum") and not on_a_copy:
        words = r"explain: parameter 'conv1.weight' was made under torch.inference_mode"
        with pytest.raises(RuntimeError, match=words), left_as_found(net):
            explain(net, images, method)
        return
    torch.manual_seed(0)
    reference = explain(OnceEach().eval(), images, method)
    with left_as_found(net):
        assert_same(explain(net, images, method), reference)


def test_auto_in_a_transformer_made_under_inference_mode() -> None:
    """Eigen-CAM needs no gradients, and the search for its layer must not ask for them either."""
    with torch.inference_mode():
        net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
    exp = rv.explain(net, torch.randn(1, 3, 32, 32), 1, methods="eigen_cam")
    assert exp.maps["eigen_cam", exp.layers[0]].isfinite().all()


def test_batch_statistics_are_those_of_training(net: OnceEach, images: Tensor) -> None:
    reference = copy.deepcopy(net)
    for module in reference.modules():
        module.training = isinstance(module, nn.BatchNorm2d)
    reference.bn1.track_running_stats = False
    reference.bn1.running_mean = reference.bn1.running_var = None
    expected = explain(reference, images)
    with left_as_found(net):
        ours = explain(net, images, batch_stats=True)
    assert_same(ours, expected)
    assert ours.provenance["batch_stats"] is True
    assert not torch.allclose(
        ours.maps["grad_cam", LAYER], explain(net, images).maps["grad_cam", LAYER]
    )


# ---- inputs and outputs
class TwoInputs(OnceEach):
    """The second input, (N, 4), scales the channels."""

    def forward(self, x: Tensor, scale: Tensor) -> Any:
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.conv2(x) * scale[:, :, None, None])
        return self.fc(self.drop(x.mean((2, 3))))


@pytest.mark.parametrize("around", [torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("method", every_method(STEADY))
def test_several_inputs(images: Tensor, method: str, around: Callable[[], Any]) -> None:
    """Each image keeps its own second input in every pass."""
    torch.manual_seed(0)
    net = TwoInputs().eval()
    scale = torch.rand(2, 4) + 0.5
    with around(), left_as_found(net):
        together = explain(net, (images + 0, scale + 0), method)
    for n in range(2):
        alone = explain(net, (images[n : n + 1], scale[n : n + 1]), method)
        for key, maps in alone.maps.items():
            torch.testing.assert_close(together.maps[key][n : n + 1], maps, rtol=1e-4, atol=1e-6)
    assert together.provenance["input_shape"] == [2, 3, 8, 8]


def test_inputs_of_different_lengths(images: Tensor) -> None:
    net = TwoInputs().eval()
    with pytest.raises(ValueError, match=r"^explain: "):
        explain(net, (images, torch.rand(3, 4)))


class Named(NamedTuple):
    logits: Tensor
    features: Tensor


class Packed(OnceEach):
    def __init__(self, pack: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.pack = pack

    def forward(self, x: Tensor) -> Any:
        return self.pack(super().forward(x))


@pytest.mark.parametrize(
    "pack",
    [lambda z: {"logits": z}, lambda z: (z, [z * 2]), lambda z: Named(z, z), lambda z: [z]],
    ids=["dict", "tuple", "namedtuple", "list"],
)
@pytest.mark.parametrize(
    "method",
    every_method(["grad_cam", "finer_cam", "cam", "ablation_cam", "rise", "saliency", "deep_lift"]),
)
def test_packed_outputs(images: Tensor, method: str, pack: Callable[[Tensor], Any]) -> None:
    torch.manual_seed(0)
    net = Packed(pack).eval()
    torch.manual_seed(0)
    plain = OnceEach().eval()
    ours, reference = explain(net, images, method), explain(plain, images, method)
    assert_same(ours, reference)
    assert ours.targets == reference.targets
    if method == "grad_cam":
        assert ours.logits is not None
        assert torch.equal(ours.logits, reference.logits)
        assert ours.all_classes[1].shape == (2, 8, 8)


@pytest.mark.parametrize("method", every_method())
def test_one_colour(method: str) -> None:
    net = OnceEach(colours=1).eval()
    images = torch.randn(2, 1, 8, 8)
    with left_as_found(net):
        exp = explain(net, images, method)
    assert all(maps.isfinite().all() for maps in exp.maps.values())
    assert exp.pictures is None


# ---- how networks are built
class SharedReLU(nn.Module):
    """One ReLU, in place, that runs three times, and one convolution that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.fc = nn.ReLU(inplace=True), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        for _ in range(2):
            x = self.relu(self.conv(x))
        return self.fc(x.mean((2, 3)))


def test_a_relu_that_runs_three_times(images: Tensor) -> None:
    net = SharedReLU().double().eval()
    images = images.double()
    with torch.no_grad():
        net.conv.bias.fill_(0.5)
    layers = [("relu", 0), ("relu", 1), ("relu", 2), ("conv", 0), ("conv", 1)]
    exp = rv.explain(net, images, 1, methods=["hires_cam", "ablation_cam"], layers=layers)
    steps = {"relu": net.stem(images).relu()}
    steps["conv"] = net.conv(steps["relu"])
    steps["relu#1"] = steps["conv"].relu()
    steps["conv#1"] = net.conv(steps["relu#1"])
    steps["relu#2"] = steps["conv#1"].relu()
    score = net.fc(steps["relu#2"].mean((2, 3)))[:, 1].sum()
    for key, tensor in steps.items():
        (gradient,) = torch.autograd.grad(score, tensor, retain_graph=True)
        expected = (gradient * tensor).sum(1).relu().detach()
        torch.testing.assert_close(exp.maps["hires_cam", key][:, 0], expected)
    for method, words in (("deep_lift", "'relu' runs 3 times"), ("deep_lift", "integrated")):
        with pytest.raises(ValueError, match=words):
            rv.explain(net, images, 1, methods=method, layers=[("relu", 2)])


@pytest.mark.parametrize("method", every_method())
def test_parametrised_weights(net: OnceEach, images: Tensor, method: str) -> None:
    reference = explain(net, images, method)
    torch.nn.utils.parametrizations.weight_norm(net.conv1)
    torch.nn.utils.parametrizations.weight_norm(net.conv2)
    with left_as_found(net):
        ours = explain(net, images, method)
    if method != "gradient_shap":
        assert_same(ours, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam", "guided_backprop", "deep_lift"])
def test_tied_weights(net: OnceEach, images: Tensor, method: str) -> None:
    net.conv3 = nn.Conv2d(4, 4, 3, padding=1)
    net.conv3.weight = net.conv2.weight
    with left_as_found(net):
        explain(net, images, method)
    assert net.conv3.weight is net.conv2.weight


class Checkpointed(OnceEach):
    """Both convolutions inside torch's activation checkpointing."""

    reentrant = False

    def forward(self, x: Tensor) -> Any:
        x = self.relu1(self.bn1(self.conv1(x)))
        x = checkpoint(self.second, x, use_reentrant=self.reentrant)
        return self.fc(self.drop(x.mean((2, 3))))

    def second(self, x: Tensor) -> Tensor:
        return self.relu2(self.conv2(x) + x)


@pytest.mark.parametrize("layers", ["relu2", "conv2", "relu1", ["relu1", "conv2", "relu2"]])
@pytest.mark.parametrize("method", ["grad_cam", "eigen_cam", "ablation_cam"])
def test_activation_checkpointing(
    net: OnceEach, images: Tensor, method: str, layers: str | list[str]
) -> None:
    checkpointed = Checkpointed().eval()
    checkpointed.load_state_dict(net.state_dict())
    with left_as_found(checkpointed):
        ours = explain(checkpointed, images, method, layers=layers)
    assert_same(ours, explain(net, images, method, layers=layers))


@pytest.mark.parametrize("method", ["grad_cam", "cam", "ablation_cam", "saliency", "deep_lift"])
def test_data_parallel(net: OnceEach, images: Tensor, method: str) -> None:
    """Without GPUs it runs its module as it is."""
    wrapped = nn.DataParallel(net)
    with left_as_found(wrapped):
        ours = explain(wrapped, images, method, layers=f"module.{LAYER}")
    reference = explain(net, images, method)
    for maps, expected in zip(ours.maps.values(), reference.maps.values(), strict=True):
        torch.testing.assert_close(maps, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("method", every_method())
def test_gpu_agrees_with_cpu(
    net: OnceEach, images: Tensor, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for methods that draw: the seed means the same on every device."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    one = explain(net, images, method)
    with left_as_found(net.cuda()):
        other = explain(net, images.cuda(), method)
    for key, maps in one.maps.items():
        assert other.maps[key].device.type == "cpu"
        scale = float(maps.abs().max())
        torch.testing.assert_close(other.maps[key], maps, rtol=1e-3, atol=1e-4 * scale)


# ---- the record
def test_a_record_with_everything_is_saved_and_loaded(tmp_path: Path) -> None:
    net = cifar_resnet(8, seed=0)
    images = torch.randn(2, 3, 16, 16)
    exp = rv.explain(net, images, [[1, 2]] * 2, layers=["layer2", "layer3"], split=True)
    exp.save(tmp_path / "all.resviz")
    again = rv.load_explanation(tmp_path / "all.resviz")
    assert again.equals(exp)
    assert exp.equals(again)
    assert again.evidence.equals(exp.evidence)
    assert again.split().table.equals(exp.split().table)
    assert list(again.split().maps) == list(exp.split().maps)
    assert again.all_classes.layer == exp.all_classes.layer == "layer3"
    assert again.all_classes.classes == exp.all_classes.classes
    torch.testing.assert_close(again.all_classes[3], exp.all_classes[3], rtol=0, atol=0)
    assert again.provenance == exp.provenance
    bare = rv.explain(net, images, 1, layers="layer1")
    bare.save(tmp_path / "bare.resviz")
    loaded = rv.load_explanation(tmp_path / "bare.resviz")
    assert loaded.equals(bare)
    assert not loaded.equals(exp)
    assert loaded.heads == ()
    assert loaded.parts is None
    for asked in (loaded.split, lambda: loaded.all_classes):
        with pytest.raises(ValueError, match=r"^(split|all_classes): "):
            asked()


@pytest.mark.parametrize("options", [{"rise": {"masks": 4}}, {"occlusion": {"window": 4}}])
def test_options_are_saved(net: OnceEach, images: Tensor, options: Any, tmp_path: Path) -> None:
    exp = rv.explain(net, images, 1, methods=list(options), layers=LAYER, options=options)
    exp.save(tmp_path / "o.resviz")
    assert rv.load_explanation(tmp_path / "o.resviz").equals(exp)
    (name,) = options
    assert exp.provenance["options"][name].items() >= options[name].items()


def test_equals_sees_every_part(net: OnceEach, images: Tensor) -> None:
    one = explain(net, images)
    assert one.equals(explain(net, images))
    assert not one.equals(explain(net, images, targets=2))
    assert not one.equals(explain(net, images, layers="relu1"))
    assert not one.equals(explain(net, images + 1))
    assert not one.equals(explain(net, images, relu=False))


@pytest.mark.parametrize("damage", ["cut", "byte", "empty", "text", "other zip"])
def test_damaged_files_are_refused(
    net: OnceEach, images: Tensor, damage: str, tmp_path: Path
) -> None:
    path = tmp_path / "cat.resviz"
    explain(net, images).save(path)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "byte":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    elif damage == "other zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("meta.json", json.dumps({"keys": []}))
    else:
        path.write_bytes(b"" if damage == "empty" else b"no explanation")
    try:
        rv.load_explanation(path)
    except ValueError as error:
        assert "cat.resviz" in str(error)
    else:
        assert damage == "byte", "a damaged file was read"


def test_missing_files() -> None:
    with pytest.raises(FileNotFoundError):
        rv.load_explanation("no/such/file.resviz")


@pytest.mark.parametrize(
    ("name", "layer", "written"),
    [
        ("resnet18", "layer1.0.bn2", ["add", "relu"]),
        ("resnet18", "layer1.0.bn1", ["relu"]),
        ("resnet18", "layer1.0", []),
        ("resnet18", "layer1.0.relu#1", []),
        ("densenet121", "features.norm5", ["relu"]),
    ],
)
def test_provenance_names_the_tensor(name: str, layer: str, written: list[str]) -> None:
    net = torchvision.models.get_model(name, weights=None).eval()
    exp = rv.explain(net, torch.randn(1, 3, 64, 64), 1, layers=layer)
    (about,) = exp.provenance["explained"]
    path, _, call = layer.partition("#")
    assert (about["layer"], about["path"], about["call"]) == (layer, path, int(call or 0))
    assert about["axes"] == "NCHW"
    assert about["written_over_by"] == written
    assert about["shape"][0] == 1
    json.dumps(exp.provenance)


def test_all_classes_only_at_the_head(net: OnceEach, images: Tensor) -> None:
    exp = explain(net, images, layers=["conv2", "relu1"])
    with pytest.raises(ValueError, match=r"^all_classes: no layer .*there are conv2, relu1"):
        _ = exp.all_classes
    head = explain(net, images, layers=["relu1", LAYER]).all_classes
    assert head.layer == LAYER
    for index in range(5):
        one = explain(net, images, targets=index)
        torch.testing.assert_close(head[index], one.maps["grad_cam", LAYER][:, 0])
        torch.testing.assert_close(head.scores(index), one.scores[:, 0])
    for wrong in (5, -1, "cat", 1.5, None, True):
        with pytest.raises((ValueError, TypeError)):
            head[wrong]  # type: ignore[index]


# ---- errors
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"methods": []}, "no methods; one of grad_cam"),
        ({"methods": "grad cam"}, "no method 'grad cam'; closest: 'grad_cam'"),
        ({"methods": ["grad_cam", "lime"]}, "no method 'lime'; closest"),
        ({"methods": None}, "method"),
        ({"methods": 3}, "method"),
        ({"methods": [3]}, "no method 3"),
        ({"methods": [["grad_cam"]]}, "method"),
        ({"options": {"rise": {"mask": 1}}, "methods": "rise"}, "no option 'mask' of rise; clos"),
        ({"options": {"grad_cam": {"a": 1}}}, "no option 'a' of grad_cam; closest: it has none"),
        ({"options": {"rize": {"masks": 1}}}, "no method 'rize'"),
        ({"options": {"rise": {"mask": 1}}}, "rise"),
        ({"options": {"rise": 5}, "methods": "rise"}, "option"),
        ({"options": 5}, "option"),
        ({"chunk": 0}, "chunk 0; 1 or more"),
        ({"chunk": -1}, "chunk -1; 1 or more"),
        ({"chunk": 2.0}, "chunk 2.0; a whole number"),
        ({"chunk": True}, "chunk True; a whole number"),
        ({"methods": "score_cam", "batch_stats": True}, "batch_stats=True with score_cam"),
        ({"methods": "saliency", "batch_stats": True}, "batch_stats=True with saliency"),
        ({"methods": "cam", "layers": "relu1"}, "cam at 'relu1', and the logits are not"),
        ({"methods": "cam", "targets": rv.target(1) - rv.target(2)}, "cam of 'class 1 - class 2'"),
        ({"methods": "cam", "targets": lambda z: z[:, 0]}, "cam of"),
        ({"methods": "rise", "options": {"rise": {"masks": 0}}}, "masks"),
        ({"methods": "rise", "options": {"rise": {"cells": 0}}}, "cells"),
        ({"methods": "rise", "options": {"rise": {"keep": 0.0}}}, "keep"),
        ({"methods": "rise", "options": {"rise": {"keep": 2.0}}}, "keep"),
        ({"methods": "occlusion", "options": {"occlusion": {"window": 9}}}, "window"),
        ({"methods": "occlusion", "options": {"occlusion": {"window": 0}}}, "window"),
        ({"methods": "occlusion", "options": {"occlusion": {"window": -3}}}, "window"),
        ({"methods": "occlusion", "options": {"occlusion": {"stride": -1}}}, "stride"),
        ({"methods": "smooth_grad", "options": {"smooth_grad": {"samples": 0}}}, "samples"),
        ({"methods": "smooth_grad", "options": {"smooth_grad": {"noise": -1.0}}}, "noise"),
        ({"methods": "gradient_shap", "options": {"gradient_shap": {"samples": 0}}}, "samples"),
        (
            {"methods": "integrated_gradients", "options": {"integrated_gradients": {"steps": 0}}},
            "steps",
        ),
        (
            {"methods": "finer_cam", "options": {"finer_cam": {"references": 9}}},
            "references of finer_cam 9; 1",
        ),
    ],
    ids=lambda value: plain(str(value))[:70],
)
def test_bad_arguments(
    net: OnceEach, images: Tensor, arguments: dict[str, Any], words: str
) -> None:
    settings = {"targets": 1, "layers": LAYER} | arguments
    with pytest.raises((ValueError, TypeError), match=re.escape(words)) as caught:
        rv.explain(net, images, **settings)
    assert str(caught.value).startswith("explain: ")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("cat.png", TypeError, "images are a str"),
        (None, TypeError, "images are a NoneType"),
        (torch.randn(0, 3, 8, 8), ValueError, "images of shape (0, 3, 8, 8); at least one"),
        (torch.randn(3, 8, 8), ValueError, "images[None]"),
        (torch.randn(1, 4, 8, 8), ValueError, "(N, 3, H, W) would be right"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "images of torch.uint8 in a netw"),
        (torch.randn(1, 3, 8, 8, dtype=torch.float64), TypeError, "images of torch.float64 in a"),
        ((), ValueError, "no images"),
    ],
    ids=lambda value: str(getattr(value, "shape", value))[:40],
)
def test_bad_images(net: OnceEach, given: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        explain(net, given)
    assert str(caught.value).startswith("explain: ")


def test_no_network(images: Tensor) -> None:
    for wrong in (None, "resnet18", OnceEach, lambda x: x):
        with pytest.raises(TypeError, match=r"^explain: "):
            explain(wrong, images)  # type: ignore[arg-type]


@pytest.mark.thorough
def test_methods_that_a_network_does_not_allow() -> None:
    image = torch.randn(1, 3, 64, 64)
    resnet = torchvision.models.resnet18(weights=None)
    with pytest.raises(ValueError, match=r"explain: deep_lift, and 'layer1.0.relu' runs 2 times"):
        rv.explain(resnet, image, 1, methods="deep_lift", layers="layer4")
    densenet = torchvision.models.densenet121(weights=None)
    words = "explain: guided backpropagation, and the network has 1 ReLUs that are no modules"
    for method in ("guided_backprop", "guided_grad_cam"):
        with pytest.raises(ValueError, match=words), left_as_found(densenet):
            rv.explain(densenet, image, 1, methods=method, layers="features")
    mobilenet = torchvision.models.mobilenet_v2(weights=None)  # ReLU6
    with pytest.raises(ValueError, match="the network has no ReLU modules"):
        rv.explain(mobilenet, image, 1, methods="guided_backprop", layers="features")


class FunctionalReLU(OnceEach):
    def forward(self, x: Tensor) -> Any:
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.fc(self.relu2(self.conv2(x) + x).mean((2, 3)))


def test_deep_lift_sums_to_the_difference_of_the_score(net: OnceEach, images: Tensor) -> None:
    """Summation-to-delta, which fails unless every nonlinearity is a module that is known."""
    net, images = net.double(), images.double()
    exp = explain(net, images, "deep_lift")
    with torch.no_grad():
        delta = net(images)[:, 1] - net(torch.zeros_like(images))[:, 1]
    torch.testing.assert_close(exp.maps["deep_lift", "input"].sum((1, 2, 3)), delta)
    functional = FunctionalReLU().double().eval()
    words = r"^explain: deep_lift, and the network has calls of relu\(\), which are no modules"
    with pytest.raises(ValueError, match=words):
        explain(functional, images, "deep_lift")


class Twice(nn.Module):
    """Each ReLU reads what another one, or a sum, reads too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
        self.relu, self.again, self.third = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x - 0.4 * self.relu(x)
        return self.fc(self.third(self.again(x)).mean((2, 3)))


def test_deep_lift_of_activations_that_share_what_they_read(images: Tensor) -> None:
    """Against the rule by hand: f(x) - f(0) over x - 0, for each activation."""
    net = Twice().double().eval()
    images = images.double()

    def rule(a: Tensor, b: Tensor) -> Tensor:
        step = a - b
        return torch.where(step.abs() < 1e-12, (a > 0).double(), (a.relu() - b.relu()) / step)

    with torch.no_grad():
        one, zero = net.conv(images), net.conv(torch.zeros_like(images))
        factor = 1 - 0.4 * rule(one, zero)
        one, zero = one - 0.4 * one.relu(), zero - 0.4 * zero.relu()
        factor = factor * rule(one, zero) * rule(one.relu(), zero.relu())
        weight = net.fc.weight[1].view(1, 4, 1, 1) * factor / one[0, 0].numel()
        expected = (nn.functional.conv_transpose2d(weight, net.conv.weight) * images).sum(1)
    exp = rv.explain(net, images, 1, methods="deep_lift", layers="third")
    torch.testing.assert_close(exp.maps["deep_lift", "input"][:, 0], expected)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (torch.tanh, "tanh"),
        (torch.nn.functional.elu, "elu"),
        (lambda x: x * torch.sigmoid(x), "sigmoid"),
        (lambda x: x.clamp_(min=0), "clamp_"),
    ],
)
def test_deep_lift_of_functions_that_it_would_take_for_linear(
    images: Tensor, function: Callable[[Tensor], Tensor], name: str
) -> None:
    class Curved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(function(self.conv(x)).mean((2, 3)))

    with pytest.raises(ValueError, match=rf"has calls of {name}\(\), which are no modules"):
        rv.explain(Curved().eval(), images, 1, methods="deep_lift")


class Scaled(nn.Module):
    """Known activation functions, and `last` over what they give."""

    def __init__(self, last: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 5)
        self.last, self.gate = last, nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        return self.head((x * self.gate(self.last(x))).mean((2, 3)))


@pytest.mark.parametrize("last", [lambda x: x, nn.GroupNorm(2, 4)], ids=["gate", "norm"])
def test_deep_lift_that_does_not_sum_to_the_difference(
    images: Tensor, last: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"deep_lift, and the map of image 0 sums to .* rises by"):
        rv.explain(Scaled(last).eval(), images, 1, methods="deep_lift")


@pytest.mark.parametrize(
    "function", [lambda x: x.clamp(min=0), lambda x: x.clamp_(0), lambda x: F.threshold(x, 0, 0)]
)
def test_guided_backprop_of_relus_by_another_name(
    images: Tensor, function: Callable[[Tensor], Tensor]
) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Called(function), nn.Flatten()).eval()
    with pytest.raises(ValueError, match="the network has 1 ReLUs that are no modules"):
        rv.explain(net, images, 1, methods="guided_backprop")
    bounded = nn.Sequential(*net[:2], Called(lambda x: x.clamp(max=6)), nn.Flatten()).eval()
    assert rv.explain(bounded, images, 1, methods="guided_backprop").maps


class Called(nn.Module):
    """A function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.forward = function  # type: ignore[method-assign]


class Spectral(nn.Module):
    """Of complex inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([x.real, x.imag], 1)
        return self.head(self.conv(both).relu().mean((2, 3)))


@pytest.mark.parametrize(
    "method", ["integrated_gradients", "smooth_grad", "gradient_shap", "score_cam"]
)
def test_complex_inputs_are_not_scaled(method: str) -> None:
    spectrum = torch.fft.fft2(torch.rand(2, 1, 8, 8))
    with pytest.raises(ValueError, match=f"{method} of inputs of torch.complex64"):
        rv.explain(Spectral().eval(), spectrum, 1, methods=method, layers="conv")
    exp = rv.explain(Spectral().eval(), spectrum, 1, methods="saliency", layers="conv")
    assert exp.maps["saliency", "input"].dtype == torch.float32


def test_integrated_gradients_sum_to_the_difference_too(net: OnceEach, images: Tensor) -> None:
    net, images = net.double(), images.double()
    exp = rv.explain(
        net, images, 1, methods="integrated_gradients", layers=LAYER,
        options={"integrated_gradients": {"steps": 200}}, chunk=7,
    )  # fmt: skip
    with torch.no_grad():
        delta = net(images)[:, 1] - net(torch.zeros_like(images))[:, 1]
    summed = exp.maps["integrated_gradients", "input"].sum((1, 2, 3)).double()
    torch.testing.assert_close(summed, delta, rtol=1e-2, atol=1e-3)


class Viewed(OnceEach):
    """Flattens with `.view`, which needs memory in the usual order."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.fc(x.view(len(x), -1).view(len(x), 4, -1).mean(2))


def test_masked_pictures_of_a_network_that_views(images: Tensor) -> None:
    """Masked pictures run channels last on a CPU; not where the network does not allow it."""
    torch.manual_seed(0)
    net = Viewed().eval()
    flat = torch.nn.Sequential(net.conv1, net.bn1, torch.nn.ReLU())
    exp = rv.explain(net, images, 1, methods=["score_cam", "rise"], layers="relu1", progress=False)
    assert exp.maps["score_cam", "relu1"].shape[2:] == flat(images).shape[2:]


class Bytes(nn.Module):
    """A network that takes bytes and divides them itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(x.float() / 255)).mean((2, 3)))


@pytest.mark.parametrize(
    "method", ["saliency", "integrated_gradients", "smooth_grad", "deep_lift", "guided_backprop"]
)
def test_bytes_have_no_gradient(method: str) -> None:
    net, given = Bytes().eval(), torch.full((1, 3, 8, 8), 7, dtype=torch.uint8)
    words = f"^explain: {method} of images of torch.uint8: whole numbers have no gradient; methods"
    with pytest.raises(ValueError, match=words), left_as_found(net):
        rv.explain(net, given, 0, methods=method, progress=False)
    assert rv.explain(net, given, 0, layers="relu").maps["grad_cam", "relu"].shape == (1, 1, 6, 6)


@pytest.mark.parametrize("method", ["rise", "score_cam"])
def test_masks_of_bytes_are_no_bytes(method: str) -> None:
    torch.manual_seed(0)
    net, given = Bytes().eval(), torch.full((1, 3, 16, 16), 200, dtype=torch.uint8)
    given[:, :, 4:9, 2:8] = 40
    options = {"rise": {"masks": 40}} if method == "rise" else {}
    how: dict[str, Any] = {"methods": method, "options": options, "layers": "relu", "relu": False}
    ((_, ours),) = rv.explain(net, given, 0, **how).maps.items()
    ((_, expected),) = rv.explain(net, given.float(), 0, **how).maps.items()
    span = float(expected.max() - expected.min())
    torch.testing.assert_close(ours, expected, rtol=0, atol=0.02 * span)  # rounded pixels
