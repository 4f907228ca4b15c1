"""`explain`: numbers by hand, identities, other people's code, errors."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
import torchvision
from captum.attr import LayerGradCam
from torch import Tensor, nn

import resviz as rv
from attribution.one_conv import OneConv
from cases import thorough
from left_as_found import left_as_found
from resviz.attribution import cam
from resviz.attribution.methods.registry import METHODS
from resviz.networks.cifar import cifar_resnet

# in small random networks some maps are rightly blank, and said to be
pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")


GRADIENT_METHODS = [name for name, row in METHODS.items() if row.kind == "gradients"]


class PoolAndLinear(nn.Module):
    """A convolution, a block that adds in place, global pooling, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 5)
        self.unused = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        out = self.bn2(self.conv2(x))
        out += x
        out = self.relu(out)
        return self.fc(self.drop(out.mean((2, 3))))


@pytest.fixture
def net() -> nn.Module:
    net = PoolAndLinear().train()
    net.bn2.running_mean.normal_()
    net.bn2.running_var.uniform_(0.5, 2)
    return net


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 12, 12)


def test_numbers_by_hand() -> None:
    net = OneConv()
    image = torch.arange(16.0).view(1, 1, 4, 4)
    exp = rv.explain(net, image, 0, layers=["conv1", "relu1"])
    expected = {"conv1": [[11.25, 13.5], [20.25, 22.5]], "relu1": [[0.0, 4.0], [28.0, 32.5]]}
    for layer, numbers in expected.items():
        torch.testing.assert_close(exp.maps["grad_cam", layer][0, 0], torch.tensor(numbers))


@pytest.mark.parametrize(
    "layer", [thorough("layer1.1"), "layer2.0", thorough("layer3"), "layer4.1"]
)
def test_agrees_with_captum_at_block_outputs(layer: str) -> None:
    net = torchvision.models.resnet18(weights=None).eval()
    image = torch.randn(2, 3, 64, 64)
    exp = rv.explain(net, image, [3, 7], layers=layer)
    target = dict(net.named_modules())[layer]
    other = LayerGradCam(net, target).attribute(image, torch.tensor([3, 7]), relu_attributions=True)
    ours = exp.maps["grad_cam", layer]
    torch.testing.assert_close(ours, other.detach(), rtol=1e-5, atol=1e-6 * float(ours.max()))


@pytest.mark.parametrize(
    "layer", ["bn1", thorough("layer1.0.bn1"), "layer1.0.bn2", thorough("layer2.0.downsample.1")]
)
def test_layers_that_are_written_over_afterwards(layer: str) -> None:
    """The reference is a copy without in-place operations, and plain autograd."""
    net = torchvision.models.resnet18(weights=None).eval()
    image = torch.randn(1, 3, 64, 64)
    ours = rv.explain(net, image, 3, layers=layer).maps["grad_cam", layer][0, 0]
    safe = copy.deepcopy(net)
    for module in safe.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    kept: list[Tensor] = []
    handle = dict(safe.named_modules())[layer].register_forward_hook(
        lambda _, args, out: (kept.append(out), out.clone())[1]
    )
    score = safe(image)[0, 3]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    expected = cam.grad_cam(kept[0].detach(), gradient)[0].relu()
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6 * float(expected.max()))


def test_gradients_are_central_differences() -> None:
    net = cifar_resnet(8, seed=0).double()
    image = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    stem = nn.Sequential(net.conv1, net.bn1, nn.ReLU())(image).detach()
    tail = nn.Sequential(net.layer1, net.layer2, net.layer3, net.avgpool, nn.Flatten(), net.linear)
    step, gradient = 1e-6, torch.zeros_like(stem)
    chosen = torch.randperm(stem.numel())[:60]
    for i in chosen.tolist():
        nudge = torch.zeros_like(stem).view(-1)
        nudge[i] = step
        nudge = nudge.view_as(stem)
        with torch.no_grad():
            difference = tail(stem + nudge)[0, 2] - tail(stem - nudge)[0, 2]
        gradient.view(-1)[i] = difference / (2 * step)
    from resviz.attribution.engine import capture

    seen = capture(net, (image,), [("relu", 0)], lambda logits: logits[:, 2:3])
    torch.testing.assert_close(seen.activations["relu", 0], stem)
    ours = seen.gradients["relu", 0][0].view(-1)[chosen]
    torch.testing.assert_close(ours, gradient.view(-1)[chosen], rtol=1e-5, atol=1e-9)


def test_methods_agree_at_pooling_and_linear(net: nn.Module, images: Tensor) -> None:
    """There g is constant over positions: Grad-CAM and HiResCAM are one map, up to nothing."""
    net, images = net.double(), images.double()
    exp = rv.explain(net, images, 1, methods=["grad_cam", "hires_cam"], layers=[("relu", 1)])
    one, other = exp.maps["grad_cam", "relu#1"], exp.maps["hires_cam", "relu#1"]
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


def test_hires_cam_sums_to_the_logit_without_bias(net: nn.Module, images: Tensor) -> None:
    from resviz.attribution.engine import capture

    net, images = net.double(), images.double()
    seen = capture(net, (images,), [("relu", 1)], lambda logits: logits[:, 1:2])
    signed = (seen.activations["relu", 1] * seen.gradients["relu", 1][0]).sum((1, 2, 3))
    torch.testing.assert_close(signed, seen.logits[:, 1] - net.fc.bias[1].detach())
    exp = rv.explain(net, images, 1, methods="hires_cam", layers=[("relu", 1)], relu=False)
    summed = exp.maps["hires_cam", "relu#1"].sum((1, 2, 3)).double()
    torch.testing.assert_close(summed, exp.scores[:, 0] - net.fc.bias[1].detach())


def test_batch_equals_one_by_one(net: nn.Module, images: Tensor) -> None:
    net, images = net.double(), images.double()
    together = rv.explain(net, images, [[0, 4], [1, 3], [2, 2]], methods=GRADIENT_METHODS)
    for i, targets in enumerate([[0, 4], [1, 3], [2, 2]]):
        alone = rv.explain(net, images[i : i + 1], [targets], methods=GRADIENT_METHODS)
        for key, maps in alone.maps.items():
            torch.testing.assert_close(together.maps[key][i], maps[0], rtol=1e-12, atol=1e-14)


def test_several_layers_equal_one_at_a_time() -> None:
    net = cifar_resnet(20, seed=0).double()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    layers: list[Any] = ["conv1", "layer1.0.bn2", "layer1.1", ("layer2.0.relu", 1), "layer3"]
    together = rv.explain(net, images, 3, layers=layers)
    for layer, key in zip(layers, together.layers, strict=True):
        alone = rv.explain(net, images, 3, layers=[layer])
        torch.testing.assert_close(
            together.maps["grad_cam", key], alone.maps["grad_cam", key], rtol=1e-10, atol=1e-14
        )


def test_grad_cam_does_not_depend_on_a_scale_of_the_logit(net: nn.Module, images: Tensor) -> None:
    one = rv.explain(net, images, lambda logits: logits[:, 1]).maps["grad_cam", "relu#1"]
    ten = rv.explain(net, images, lambda logits: 10 * logits[:, 1]).maps["grad_cam", "relu#1"]
    torch.testing.assert_close(10 * one, ten)


# ---- targets
def test_targets(net: nn.Module, images: Tensor) -> None:
    predicted = rv.explain(net, images)
    net.eval()
    with torch.no_grad():
        logits = net(images)
    assert [row[0] for row in predicted.targets] == logits.argmax(1).tolist()
    torch.testing.assert_close(predicted.scores[:, 0], logits.max(1).values)
    assert predicted.layers == ["relu#1"]
    by_index = rv.explain(net, images, torch.tensor([1, 0, 2])).maps["grad_cam", "relu#1"]
    by_list = rv.explain(net, images, [[1, 4], [0, 4], [2, 4]]).maps["grad_cam", "relu#1"]
    torch.testing.assert_close(by_list[:, :1], by_index)
    both = rv.explain(net, images, [lambda z: z[:, 0], lambda z: z[:, 4]])
    torch.testing.assert_close(both.maps["grad_cam", "relu#1"][:, 1], by_list[:, 1])
    assert both.targets[0] == [-1, -1]


def test_targets_by_name() -> None:
    net = rv.load_model("cifar10-resnet20", weights="random", seed=0, device="cpu")
    images = torch.randn(2, 3, 32, 32)
    exp = rv.explain(net, images, "cat")
    assert exp.target_names == [["cat"], ["cat"]]
    assert exp.targets == [[3], [3]]
    with pytest.raises(ValueError, match=r"no class 'cats'; closest: 'cat'"):
        rv.explain(net, images, ["cats", "dog"])


# ---- states a network may be in
@pytest.mark.parametrize("mode", ["no_grad", "inference_mode", "frozen", "train", "bfloat16"])
def test_states(net: nn.Module, images: Tensor, mode: str) -> None:
    reference = rv.explain(net, images, 1, layers="conv2").maps["grad_cam", "conv2"]
    if mode == "no_grad":
        with torch.no_grad(), left_as_found(net):
            maps = rv.explain(net, images, 1, layers="conv2").maps["grad_cam", "conv2"]
    elif mode == "inference_mode":
        with torch.inference_mode():
            maps = rv.explain(net, images + 0, 1, layers="conv2").maps["grad_cam", "conv2"]
    elif mode == "bfloat16":
        half = copy.deepcopy(net).bfloat16()
        maps = rv.explain(half, images.bfloat16(), 1, layers="conv2").maps["grad_cam", "conv2"]
        assert maps.dtype == torch.float32
        assert float((maps - reference).abs().max()) < 0.05 * float(reference.abs().max())
        return
    else:
        net.requires_grad_(mode != "frozen")
        maps = rv.explain(net, images, 1, layers="conv2").maps["grad_cam", "conv2"]
    torch.testing.assert_close(maps, reference)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_left_as_found(net: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    net.conv1.weight.grad = torch.ones_like(net.conv1.weight)
    net.conv2.weight.requires_grad_(False)
    before = images.clone()
    with left_as_found(net):
        rv.explain(net, images, 1, methods=GRADIENT_METHODS, layers=["conv1", "bn2"])
    assert torch.equal(images, before)
    with pytest.raises(ValueError, match="no layer"), left_as_found(net):
        rv.explain(net, images, layers="layer9")
    with pytest.raises(ValueError, match="target 9"), left_as_found(net):
        rv.explain(net, images, 9)
    failing = copy.deepcopy(net)
    failing.drop.register_forward_hook(_interrupt)
    with pytest.raises(KeyboardInterrupt), left_as_found(failing):
        rv.explain(failing, images, layers="conv1")
    backward = copy.deepcopy(net)
    backward.fc.register_full_backward_hook(_interrupt)
    with pytest.raises(KeyboardInterrupt), left_as_found(backward):
        rv.explain(backward, images, layers="conv1")
    monkeypatch.setattr("resviz.attribution.engine.read", _interrupt)
    with pytest.raises(KeyboardInterrupt), left_as_found(net):
        rv.explain(net, images, layers="conv1")


# ---- errors
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": "layer9.conv"}, ValueError, "no layer 'layer9.conv' in PoolAndLinear; closest"),
        ({"layers": "unused"}, ValueError, "layer 'unused' never ran"),
        ({"layers": [("relu", 7)]}, ValueError, "call 7 of layer 'relu', which ran 2 times"),
        ({"layers": "fc"}, ValueError, "layer 'fc' (Linear) gives (3, 5); (N, C, H, W)"),
        ({"layers": [3]}, TypeError, "layer 3; a path"),
        ({"methods": "gradcam"}, ValueError, "no method 'gradcam'; closest: 'grad_cam'"),
        ({"targets": 5}, ValueError, "target 5 with 5 classes; 0 to 4"),
        ({"targets": -1}, ValueError, "target -1 with 5 classes"),
        ({"targets": [1, 2]}, ValueError, "2 targets for 3 images"),
        ({"targets": [[1], [2], []]}, ValueError, "no target for image 2; at least one for each"),
        ({"targets": [1.5, 2, 3]}, TypeError, "a target of type float"),
        ({"targets": lambda logits: logits.sum()}, ValueError, "target function returned ()"),
        ({"targets": lambda z: z[:, 0].detach()}, ValueError, "does not reach the target"),
    ],
)
def test_bad_arguments(
    net: nn.Module, images: Tensor, arguments: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        rv.explain(net, images, **arguments)
    assert str(caught.value).startswith("explain: ")


def test_bad_images(net: nn.Module, images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"images\[None\]"):
        rv.explain(net, images[0], 1, layers="conv1")
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\) would be right"):
        rv.explain(net, images[:, :2], 1, layers="conv1")
    images[0, 0, 0, 0] = float("nan")
    with pytest.raises(rv.NonFinite, match="holds NaN or infinity"):
        rv.explain(net, images, 1, layers="conv1")


def test_a_layer_that_does_not_reach_the_target() -> None:
    class TwoHeads(PoolAndLinear):
        def forward(self, x: Tensor) -> Tensor:
            self.unused(x)
            return super().forward(x)

    with pytest.raises(ValueError, match="'unused' does not reach the target"):
        rv.explain(TwoHeads(), torch.randn(1, 3, 12, 12), 0, layers=["unused", "conv1"])


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4.1"),
        thorough("densenet121", "features.norm5"),
        ("mobilenet_v2", "features.18.2"),
        thorough("vgg11", "features.19"),
        thorough("swin_t", "permute"),
        thorough("convnext_tiny", "features.7.2"),
    ],
)
def test_auto_is_the_last_layer_with_positions(name: str, layer: str) -> None:
    net = torchvision.models.get_model(name, weights=None)
    assert rv.explain(net, torch.randn(1, 3, 96, 96), 1).layers == [layer]


def test_auto_in_a_transformer_is_the_last_layer_its_class_token_reads() -> None:
    net = torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=5)
    nn.init.normal_(net.heads.head.weight)
    exp = rv.explain(net, torch.randn(2, 3, 32, 32), 0)
    assert exp.layers == ["encoder.layers.encoder_layer_2.ln_1"]
    assert exp.maps["grad_cam", exp.layers[0]].shape == (2, 1, 4, 4)


def test_a_blank_map_says_why(net: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        net.fc.weight[0] = -1.0
        net.fc.weight[1] = 0.0
    with pytest.warns(rv.ResvizWarning, match="no position speaks for this class"):
        against = rv.explain(net, images, 0)
    assert not against.maps["grad_cam", "relu#1"].any()
    with pytest.warns(rv.ResvizWarning, match="gradient is exactly 0"):
        rv.explain(net, images, 1)
    with torch.no_grad():
        net.conv1.weight.zero_()
        net.conv1.bias.fill_(-1.0)
    with pytest.warns(rv.ResvizWarning, match="channels are dead"):
        exp = rv.explain(net, images, 2, layers="relu")
    assert len(exp.provenance["notes"]) == 3


# ---- the record
def test_saved_and_loaded(net: nn.Module, images: Tensor, tmp_path: Any) -> None:
    exp = rv.explain(net, images, [[0, 1]] * 3, methods=["grad_cam", "layer_cam"], layers="conv2")
    exp.save(tmp_path / "cat.resviz")
    again = rv.load_explanation(tmp_path / "cat.resviz")
    assert again.equals(exp)
    assert again.upsampled("layer_cam", "conv2").shape == (3, 2, 12, 12)
    assert len(exp.to_frame()) == 3 * 2 * 2
    assert "grad_cam, layer_cam" in repr(exp)
    assert "<table" in exp._repr_html_()
    with pytest.raises(KeyError, match="no map"):
        exp.upsampled("grad_cam", "conv1")
    rv.record(net, images).save(tmp_path / "rec.resviz")
    with pytest.raises(ValueError, match="holds recording; a explanation was expected"):
        rv.load_explanation(tmp_path / "rec.resviz")


def test_names_with_markup_are_escaped(net: nn.Module, images: Tensor) -> None:
    classes = ("<script>alert(1)</script>", "b", "c", "d", "e")
    preset = rv.Preset("<b>mine</b>", "own", (0.5,) * 3, (0.5,) * 3, None, None, classes=classes)
    shown = rv.explain(net, images, 0, preset=preset)._repr_html_()
    assert "<script>" not in shown
    assert "<b>mine" not in shown


@pytest.mark.gpu
def test_gpu_agrees_with_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    net = torchvision.models.resnet18(weights=None).eval()
    images = torch.randn(2, 3, 64, 64)
    layers = ["layer1", "layer4"]
    one = rv.explain(net, images, [3, 7], methods=GRADIENT_METHODS, layers=layers)
    other = rv.explain(net.cuda(), images.cuda(), [3, 7], methods=GRADIENT_METHODS, layers=layers)
    for key, maps in one.maps.items():
        scale = float(maps.abs().max())
        torch.testing.assert_close(other.maps[key], maps, rtol=1e-4, atol=1e-4 * scale)
