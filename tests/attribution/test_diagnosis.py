"""`Explanation.diagnose`: each cause, made on purpose, is found; healthy maps are left in peace."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import resviz as rv
from resviz.attribution.methods.registry import METHODS
from resviz.networks.cifar import cifar_resnet
from resviz.provenance import untrained

pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")

SAMPLES = Path(__file__).resolve().parents[2] / "sample_images"
GRADIENT_METHODS = [name for name, row in METHODS.items() if row.kind == "gradients"]


class Small(nn.Module):
    """Forty channels, ReLU, pooling, a linear layer; healthy until a test breaks it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 40, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(40, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture
def net() -> Small:
    net = Small()
    with torch.no_grad():
        net.conv.bias.fill_(0.2)
        net.fc.weight[0].abs_()  # class 0: everything speaks for it
    return net


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 8, 8)


def causes(exp: rv.Explanation, **where: Any) -> list[str]:
    table = exp.diagnose()
    for column, value in where.items():
        table = table[table[column] == value]
    return sorted(set(table["cause"]))


def test_a_healthy_map(net: Small, images: Tensor) -> None:
    exp = rv.explain(net, images, 0, methods=[*GRADIENT_METHODS, "eigen_cam"], layers="relu")
    assert exp.diagnose().empty
    assert list(exp.diagnose().columns) == ["method", "layer", "image", "target", "cause", "words"]
    assert exp.provenance["notes"] == []


def test_no_positive_evidence(net: Small, images: Tensor) -> None:
    with torch.no_grad():
        net.fc.weight[1] = -net.fc.weight[1].abs()
    with pytest.warns(rv.ResvizWarning, match="no position speaks for this class"):
        exp = rv.explain(net, images, [[0, 1]] * 2, layers="relu")
    assert causes(exp) == ["no positive evidence"]
    assert causes(exp, target="class 0") == []
    signed = rv.explain(net, images, 1, layers="relu", relu=False)
    assert signed.maps["grad_cam", "relu"].any()
    assert signed.diagnose().empty


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_what_the_words_promise_helps(net: Small, images: Tensor, method: str) -> None:
    """Where a blank map says "relu=False shows that", it does."""
    with torch.no_grad():
        net.fc.weight[1] = -net.fc.weight[1].abs()
    exp = rv.explain(net, images, 1, methods=method, layers="relu")
    if exp.maps[method, "relu"].any():
        return
    words = " ".join(exp.diagnose()["words"])
    assert words, "a blank map without a reason"
    signed = rv.explain(net, images, 1, methods=method, layers="relu", relu=False)
    shown = bool(signed.maps[method, "relu"].any())
    assert shown == ("relu=False shows" in words)


def test_dead_channels_all(net: Small, images: Tensor) -> None:
    with torch.no_grad():
        net.conv.bias.fill_(-100.0)
    with pytest.warns(rv.ResvizWarning, match="its channels are dead here"):
        exp = rv.explain(net, images, 0, layers="relu")
    assert causes(exp) == ["dead channels"]
    assert exp.evidence["dead_channels"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("alive", "found"), [(1, True), (20, False)])
def test_dead_channels_most(net: Small, images: Tensor, alive: int, found: bool) -> None:
    """39 of 40 (97 %) are worth a word, 20 of 40 are how ReLU networks are."""
    with torch.no_grad():
        net.conv.bias[alive:] = -100.0
    exp = rv.explain(net, images, 0, layers="relu")
    assert exp.maps["grad_cam", "relu"].any()
    assert exp.evidence["dead_channels"].tolist() == pytest.approx([1 - alive / 40] * 2)
    assert causes(exp) == (["dead channels"] if found else [])
    if found:
        assert "98% of the channels" in exp.diagnose()["words"].iloc[0]


def test_no_gradient(net: Small, images: Tensor) -> None:
    with torch.no_grad():
        net.fc.weight[2] = 0.0
    with pytest.warns(rv.ResvizWarning, match="its gradient is exactly 0"):
        exp = rv.explain(net, images, 2, layers="relu")
    assert causes(exp) == ["no gradient"]


def test_a_layer_whose_class_token_alone_is_read() -> None:
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5).eval()
    nn.init.normal_(net.heads.head.weight)
    images = torch.randn(2, 3, 32, 32)
    first, last = (f"encoder.layers.encoder_layer_{number}" for number in (0, 1))
    with pytest.warns(rv.ResvizWarning, match="the score reads the class token of .*_1 alone: at"):
        exp = rv.explain(net, images, 0, layers=[first, last], split=True)
    assert causes(exp) == ["no gradient"] and causes(exp, layer=first) == []
    split = exp.split().table.set_index(["layer", "image"])
    for layer in (first, last):
        kept: list[Tensor] = []
        module = net.get_submodule(layer)
        handle = module.register_forward_hook(lambda m, a, out, kept=kept: kept.append(out))
        (felt,) = torch.autograd.grad(net(images)[:, 0].sum(), kept)
        handle.remove()
        rows = exp.evidence[exp.evidence["layer"] == layer]
        slopes = felt.flatten(1).norm(dim=1)
        sizes = kept[0].detach().flatten(1).norm(dim=1)
        assert rows["gradient_norm"].tolist() == pytest.approx(slopes.tolist(), rel=1e-4)
        assert rows["effect_bound"].tolist() == pytest.approx((slopes * sizes).tolist(), rel=1e-4)
        assert split.loc[layer, "grad_norm"].tolist() == pytest.approx(slopes.tolist(), rel=1e-4)


@pytest.mark.parametrize("method", ["saliency", "smooth_grad", "occlusion", "integrated_gradients"])
def test_blank_maps_over_the_pixels(net: Small, images: Tensor, method: str) -> None:
    """They have no last ReLU that could hide evidence against the class."""
    with torch.no_grad():
        net.fc.weight[2] = 0.0
    options = {"smooth_grad": {"samples": 2}, "integrated_gradients": {"steps": 3}}
    exp = rv.explain(
        net,
        images,
        2,
        methods=method,
        layers="relu",
        progress=False,
        options={k: v for k, v in options.items() if k == method},
    )
    assert not exp.maps[method, "input"].any()
    words = " ".join(exp.diagnose()["words"])
    assert words, "a blank map without a reason"
    assert "relu=False" not in words
    assert "no positive evidence" not in causes(exp)


def test_gradient_at_rounding_level(net: Small, images: Tensor) -> None:
    with torch.no_grad():
        net.fc.weight[3] = 1e-12
        net.fc.bias.fill_(10.0)
    exp = rv.explain(net, images, 3, layers="relu")
    assert causes(exp) == ["gradient at rounding level"]
    assert "try float64" in exp.diagnose()["words"].iloc[0]
    fine = rv.explain(net.double(), images.double(), 3, layers="relu")
    assert fine.diagnose().empty


def _softmax_of_0(logits: Tensor) -> Tensor:
    return logits.softmax(1)[:, 0]


def test_a_saturated_softmax(net: Small, images: Tensor) -> None:
    with torch.no_grad():
        net.fc.bias[0] = 40.0
        net.fc.weight[1:] = 0.0  # so that what is left of the gradient speaks for class 0
    exp = rv.explain(net, images, _softmax_of_0, layers="relu")
    assert causes(exp) == ["saturated softmax"]
    assert "explain the logit instead" in exp.diagnose()["words"].iloc[0]
    assert rv.explain(net, images, 0, layers="relu").diagnose().empty
    with torch.no_grad():
        net.fc.bias[0] = 0.0
    assert rv.explain(net, images, _softmax_of_0, layers="relu").diagnose().empty


class Packed(Small):
    def forward(self, x: Tensor) -> Any:
        return {"logits": super().forward(x)}


def test_a_saturated_softmax_in_a_dictionary(images: Tensor) -> None:
    net = Packed()
    with torch.no_grad():
        net.fc.bias[0] = 40.0
    exp = rv.explain(net, images, lambda out: _softmax_of_0(out["logits"]), layers="relu")
    assert causes(exp) in (["saturated softmax"], ["gradient at rounding level"])


# ---- untrained
def test_untrained_by_the_presets_word() -> None:
    net = rv.load_model("cifar10-resnet20", weights="random", seed=0, device="cpu")
    exp = rv.explain(net, torch.randn(1, 3, 32, 32), 1)
    assert "untrained weights" in causes(exp)
    assert exp.provenance["untrained"] is True


def test_random_by_name_and_trained_since() -> None:
    net = rv.load_model("cifar10-resnet20", weights="random", seed=0, device="cpu").train()
    with torch.no_grad():
        net(torch.randn(4, 3, 32, 32))
    exp = rv.explain(net.eval(), torch.randn(1, 3, 32, 32), 1)
    assert exp.provenance["untrained"] is False and "untrained weights" not in causes(exp)


def test_untrained_by_the_state_of_batchnorm() -> None:
    net = torchvision.models.resnet18(weights=None).eval()
    assert untrained(net, None)
    exp = rv.explain(net, torch.randn(2, 3, 64, 64), 1, methods=["grad_cam", "eigen_cam"])
    table = exp.diagnose()
    assert set(table.loc[table["cause"] == "untrained weights", "method"]) == set(exp.methods)
    net.train()(torch.randn(4, 3, 64, 64))  # one step of training moves the statistics
    assert not untrained(net.eval(), None)


def test_without_batchnorm_nobody_knows(net: Small, images: Tensor) -> None:
    assert not untrained(net, None)
    assert not untrained(cifar_resnet(8, norm=False, seed=0), None)


def test_a_folded_batchnorm_is_not_untrained(testdata_module: ModuleType) -> None:
    """Running statistics 0 and 1, as in a new network, but scale and shift were learned."""
    net = testdata_module.imagenet_net("resnet18", bn="folded")
    assert all(not m.running_mean.any() for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    assert not untrained(net, None)


def test_a_batchnorm_fused_into_its_convolution_is_not_untrained() -> None:
    """torch's own fusion leaves Identity modules: no BatchNorm is there to ask."""
    conv, norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    norm.running_mean.normal_()
    fused = torch.nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm.eval())
    assert not untrained(nn.Sequential(fused, nn.Identity()), None)


# ---- silence on real maps
LAYERS = ["layer1", "layer2", "layer3", "layer4"]


@pytest.mark.thorough
@pytest.mark.parametrize("photograph", ["chelsea.png", "coffee.png"])
def test_silence_on_photographs(use_torch_home: Path, photograph: str) -> None:
    net = rv.load_model("resnet18", weights="IMAGENET1K_V1", device="cpu")
    images = rv.load_images([SAMPLES / photograph], net)
    methods = [*GRADIENT_METHODS, "eigen_cam", "integrated_gradients"]
    options = {"integrated_gradients": {"steps": 8}}
    exp = rv.explain(net, images, methods=methods, layers=LAYERS, options=options, progress=False)
    table = exp.diagnose()
    assert table.empty, table.to_string()


@pytest.mark.parametrize("name", ["resnet20", "resnet56_projection"])
def test_silence_on_cifar(testdata_module: ModuleType, name: str) -> None:
    net, normalise = testdata_module.cifar_net(name)
    pictures, labels, _ = testdata_module.cifar_images()
    images = normalise(pictures[:8])
    exp = rv.explain(net, images, methods="hires_cam", layers=["layer1", "layer3"], relu=False)
    assert exp.diagnose().empty, exp.diagnose().to_string()
    assert not exp.provenance["untrained"]


def test_it_is_all_still_known_after_loading(net: Small, images: Tensor, tmp_path: Path) -> None:
    with torch.no_grad():
        net.fc.weight[2] = 0.0
        net.fc.weight[1] = -net.fc.weight[1].abs()
    exp = rv.explain(net, images, [[0, 1, 2]] * 2, layers="relu")
    exp.save(tmp_path / "why.resviz")
    again = rv.load_explanation(tmp_path / "why.resviz")
    assert again.diagnose().equals(exp.diagnose())
    assert causes(again) == ["no gradient", "no positive evidence"]
