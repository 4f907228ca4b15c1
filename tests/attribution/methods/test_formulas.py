"""Every method of `explain` against its formula, written the slow and obvious way in float64.

A and g come from plain autograd on a copy without in-place operations; the formulas are loops over
channels, positions and masks. Then the identities between methods, targets and ways of running.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import resviz as rv
from attribution.one_conv import OneConv
from cases import crossed, thorough_but
from resviz.attribution.engine import capture
from resviz.attribution.methods.registry import METHODS
from resviz.networks.cifar import cifar_resnet

# in small random networks some maps are rightly blank, and said to be
pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")

SAMPLES = Path(__file__).parents[3] / "sample_images"
QUICK: dict[str, dict[str, Any]] = {
    "rise": {"masks": 12, "cells": 3},
    "occlusion": {"window": 4, "stride": 3},
    "smooth_grad": {"samples": 4},
    "integrated_gradients": {"steps": 8},
    "gradient_shap": {"samples": 4},
}
CLASSES = [[1, 4], [0, 2], [3, 3]]  # two targets for each of three images


class Small(nn.Module):
    """A residual block that writes in place, or does not; pooling and one linear layer."""

    def __init__(self, inplace: bool = True) -> None:
        super().__init__()
        self.inplace = inplace
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.relu1 = nn.ReLU(inplace)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(6)
        self.relu2 = nn.ReLU(inplace)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.conv1(x))
        out = self.bn2(self.conv2(x))
        if self.inplace:
            out += x
        else:
            out = out + x
        return self.fc(self.relu2(out).mean((2, 3)))


class Once(nn.Module):
    """Every module runs once: what DeepLIFT asks for."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.conv1, self.act1 = nn.Conv2d(3, 6, 3, padding=1), activation()
        self.conv2, self.act2 = nn.Conv2d(6, 6, 3, padding=1), activation()
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act2(self.conv2(self.act1(self.conv1(x)))).mean((2, 3)))


@pytest.fixture
def net() -> nn.Module:
    net = Small().double().eval()
    net.bn2.running_mean.normal_(0, 0.3)
    net.bn2.running_var.uniform_(0.5, 2)
    nn.init.normal_(net.fc.weight)
    return net


@pytest.fixture
def safe(net: nn.Module) -> nn.Module:
    """The same without in-place operations."""
    twin = Small(inplace=False).double().eval()
    twin.load_state_dict(net.state_dict())
    return twin


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 9, 12, dtype=torch.float64)


def close(one: Tensor, other: Tensor, tolerance: float = 1e-10) -> None:
    """Equal to `tolerance` of the largest value; which is there."""
    scale = float(other.abs().max())
    assert scale > 0
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance * scale)


def plain(net: nn.Module, image: Tensor, layer: str, weights: Tensor) -> tuple[Tensor, Tensor]:
    """A and g (C, h, w) of one image, for the score `logits @ weights`."""
    kept: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(lambda m, a, out: kept.append(out))
    score = net(image[None])[0] @ weights
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    return kept[0][0].detach(), gradient[0]


def one_hot(index: int) -> Tensor:
    return F.one_hot(torch.tensor(index), 5).double()


# ---- slow twins: from A and g, both (C, h, w)
def grad_cam(a: Tensor, g: Tensor) -> Tensor:
    total = torch.zeros_like(a[0])
    for k in range(len(a)):
        total += g[k].mean() * a[k]
    return total


def grad_cam_pp(a: Tensor, g: Tensor) -> Tensor:
    """Eq. 19 with alpha; where its denominator is not positive it has no meaning, and counts 0."""
    total = torch.zeros_like(a[0])
    for k in range(len(a)):
        summed, weight = a[k].sum(), 0.0
        for slope in g[k].flatten():
            below = 2 * slope**2 + summed * slope**3
            if slope > 0 and below > 0:
                weight += slope**2 / below * slope
        total += weight * a[k]
    return total


def hires_cam(a: Tensor, g: Tensor) -> Tensor:
    return sum(g[k] * a[k] for k in range(len(a)))  # type: ignore[return-value]


def xgrad_cam(a: Tensor, g: Tensor) -> Tensor:
    total = torch.zeros_like(a[0])
    for k in range(len(a)):
        if a[k].sum() != 0:
            total += (g[k] * a[k] / a[k].sum()).sum() * a[k]
    return total


def layer_cam(a: Tensor, g: Tensor) -> Tensor:
    return sum(g[k].clamp(min=0) * a[k] for k in range(len(a)))  # type: ignore[return-value]


def first_component(maps: Tensor) -> Tensor:
    """numpy's SVD of (h w, C), with whatever sign it has."""
    u, s, _ = np.linalg.svd(maps.flatten(1).T.numpy(), full_matrices=False)
    return torch.from_numpy(u[:, 0] * s[0]).view(maps.shape[1:])


def eigen_cam(a: Tensor, g: Tensor) -> Tensor:
    """The sign in which the largest value is positive."""
    projected = first_component(a)
    return -projected if -projected.min() > projected.max() else projected


def eigen_grad_cam(a: Tensor, g: Tensor) -> Tensor:
    """The sign in which it agrees with the sum over channels."""
    projected = first_component(g * a)
    return -projected if (projected * (g * a).sum(0)).sum() < 0 else projected


TWINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    f.__name__: f
    for f in (grad_cam, grad_cam_pp, hires_cam, xgrad_cam, layer_cam, eigen_cam, eigen_grad_cam)
}


@pytest.mark.parametrize(
    ("name", "layer", "relu"),
    crossed(TWINS, ["conv1", "relu1", "conv2", "bn2", "relu2"], [True, False]),
)
def test_activations_and_gradients(
    net: nn.Module, safe: nn.Module, images: Tensor, name: str, layer: str, relu: bool
) -> None:
    exp = rv.explain(net, images, CLASSES, methods=name, layers=layer, relu=relu)
    maps = exp.maps[name, layer]
    for n, row in enumerate(CLASSES):
        for t, index in enumerate(row):
            expected = TWINS[name](*plain(safe, images[n], layer, one_hot(index)))
            expected = expected.relu() if relu else expected
            torch.testing.assert_close(maps[n, t], expected, rtol=1e-9, atol=1e-12)
    assert maps.any()


def test_xgrad_cam_of_dead_channels(net: nn.Module, safe: nn.Module, images: Tensor) -> None:
    """No 0 / 0."""
    with torch.no_grad():
        for one in (net, safe):
            one.conv1.weight[2] = 0
            one.conv1.bias[2] = -1
    a, g = plain(safe, images[0], "relu1", one_hot(1))
    assert not a[2].any()
    exp = rv.explain(net, images[:1], 1, methods="xgrad_cam", layers="relu1", relu=False)
    close(exp.maps["xgrad_cam", "relu1"][0, 0], xgrad_cam(a, g))


@pytest.mark.parametrize(("gamma", "references"), [(0.6, 3), (1.0, 1), (0.3, 4)])
def test_finer_cam(
    net: nn.Module, safe: nn.Module, images: Tensor, gamma: float, references: int
) -> None:
    """y_c - gamma mean_d y_d over the classes d whose logits are closest to that of c."""
    options = {"finer_cam": {"gamma": gamma, "references": references}}
    exp = rv.explain(
        net, images, CLASSES, methods="finer_cam", layers="relu1", relu=False, options=options
    )
    logits = safe(images).detach()
    for n, row in enumerate(CLASSES):
        for t, index in enumerate(row):
            others = [d for d in range(5) if d != index]
            others.sort(key=lambda d: abs(float(logits[n, d] - logits[n, index])))
            weights = one_hot(index)
            for d in others[:references]:
                weights = weights - gamma / references * one_hot(d)
            expected = grad_cam(*plain(safe, images[n], "relu1", weights))
            close(exp.maps["finer_cam", "relu1"][n, t], expected)


def test_cam(net: nn.Module, safe: nn.Module, images: Tensor) -> None:
    exp = rv.explain(net, images, CLASSES, methods="cam", layers="relu2", relu=False)
    for n, row in enumerate(CLASSES):
        for t, index in enumerate(row):
            a, _ = plain(safe, images[n], "relu2", one_hot(index))
            expected = sum(safe.fc.weight[index, k].detach() * a[k] for k in range(6))
            close(exp.maps["cam", "relu2"][n, t], expected)


# ---- slow twins: masks
@pytest.mark.parametrize("layer", ["conv1", "bn2", "pool"])
def test_score_cam(net: nn.Module, images: Tensor, layer: str) -> None:
    """Algorithm 1, a channel at a time; "pool" is at a third of the input's resolution."""
    net, safe = (
        nn.Sequential(nn.Sequential(), one) if layer != "pool" else Pooled(one)
        for one in (net, _without_inplace(net))
    )
    path = "pool" if layer == "pool" else f"1.{layer}"
    exp = rv.explain(net, images, CLASSES, methods="score_cam", layers=path, relu=False)
    for n, row in enumerate(CLASSES):
        for t, index in enumerate(row):
            a, _ = plain(safe, images[n], path, one_hot(index))
            base = safe(torch.zeros_like(images[:1]))[0, index]
            gains = []
            for k in range(len(a)):
                up = F.interpolate(a[None, k : k + 1], (9, 12), mode="bilinear")
                spread = up.max() - up.min()
                mask = (up - up.min()) / spread if spread > 0 else torch.zeros_like(up)
                gains.append(safe(images[n : n + 1] * mask)[0, index] - base)
            weights = torch.stack(gains).detach().softmax(0)
            expected = sum(weights[k] * a[k] for k in range(len(a)))
            close(exp.maps["score_cam", path][n, t], expected)


class Pooled(nn.Module):
    """A convolution and a pooling layer whose output is upsampled, then a linear layer."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self.conv, self.fc = other.conv1, other.fc
        self.pool = nn.AvgPool2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.conv(x).relu()).square().mean((2, 3)))


def _without_inplace(net: nn.Module) -> nn.Module:
    twin = copy.deepcopy(net)
    twin.inplace = False
    for module in twin.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return twin


def test_score_cam_of_a_channel_that_is_the_same_everywhere(images: Tensor) -> None:
    """Its mask is 0 and it has the baseline's score; no NaN."""
    net = Once().double().eval()
    with torch.no_grad():
        net.conv1.weight[3] = 0
        net.conv1.bias[3] = 0.7
    exp = rv.explain(net, images, 1, methods="score_cam", layers="act1", relu=False)
    a, _ = plain(net, images[0], "act1", one_hot(1))
    assert torch.equal(a[3], torch.full_like(a[3], 0.7))
    gains = []
    for k in range(6):
        spread = (a[k].max() - a[k].min()).clamp(min=1e-30)
        picture = images[:1] * ((a[k] - a[k].min()) / spread)
        gains.append((net(picture) - net(0 * picture))[0, 1].detach())
    assert float(gains[3]) == 0
    weights = torch.stack(gains).softmax(0)
    close(exp.maps["score_cam", "act1"][0, 0], (weights[:, None, None] * a).sum(0))


def ablated(net: nn.Module, image: Tensor, layer: str, axis: int, index: int) -> Tensor:
    """Weights (C,): a hook zeroes one channel, and the whole network runs."""
    module = net.get_submodule(layer)
    shape: list[int] = []

    def zero(channel: int) -> Callable[..., Tensor]:
        def hook(_: nn.Module, args: Any, output: Tensor) -> Tensor:
            shape[:] = [output.shape[axis]]
            changed = output.clone()
            if channel >= 0:
                changed.select(axis, channel).zero_()
            return changed

        return hook

    def score(channel: int) -> float:
        handle = module.register_forward_hook(zero(channel))
        with torch.no_grad():
            value = float(net(image[None])[0, index])
        handle.remove()
        return value

    whole = score(-1)
    drops = [whole - score(k) for k in range(shape[0])]
    return torch.tensor(drops, dtype=torch.float64) / abs(whole)


def vision_transformer() -> nn.Module:
    net = torchvision.models.VisionTransformer(32, 8, 2, 2, 8, 16, num_classes=5)
    nn.init.normal_(net.heads.head.weight)
    return net


def swin() -> nn.Module:
    return torchvision.models.SwinTransformer([2, 2], 8, [2, 2], [2, 2], [2, 2], num_classes=5)


def densenet() -> nn.Module:
    return torchvision.models.DenseNet(4, (2, 2), 8, num_classes=5)


BUILT: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: cifar_resnet(14, classes=5, seed=0),
    "densenet": densenet,
    "swin": swin,
    "vit": vision_transformer,
}


RESUMED = [
    *[("resnet", layer) for layer in ("conv1", "bn1", "layer1.1.conv1", "layer1.1.bn2")],
    *[("resnet", layer) for layer in ("layer2.0.bn1", "layer2", "layer3.1.bn2", "layer3.1")],
    *[("densenet", layer) for layer in ("features.norm0", "features.norm5")],
    *[("densenet", f"features.denseblock1.denselayer2.{x}") for x in ("conv1", "norm2")],
    *[("swin", layer) for layer in ("features.0", "features.1.1", "features.3.0.norm2")],
    *[("swin", layer) for layer in ("features.1.0.mlp.0", "norm", "permute")],
    *[("vit", f"encoder.layers.encoder_layer_{x}") for x in ("0", "0.ln_2", "1.ln_1")],
]
OF_EACH_FAMILY = [
    ("resnet", "layer1.1.bn2"),
    ("densenet", "features.norm5"),
    ("swin", "features.3.0.norm2"),
    ("vit", "encoder.layers.encoder_layer_0.ln_2"),
]


@pytest.mark.parametrize(("family", "layer"), thorough_but(RESUMED, OF_EACH_FAMILY))
def test_ablation_cam_resumes_from_the_layer(family: str, layer: str) -> None:
    """Inside blocks, before in-place operations, channels last, tokens."""
    net = BUILT[family]().double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    seen = capture(net, (image,), [(layer, 0)], lambda logits: logits[:, 1:2], backward=False)
    axis = {"NCHW": 1, "NHWC": 3, "NTC": 2}[seen.readings[layer, 0].axes]
    exp = rv.explain(
        net, image, [[1, 3]], methods="ablation_cam", layers=layer, relu=False, progress=False
    )
    for t, index in enumerate([1, 3]):
        weights = ablated(net, image[0], layer, axis, index)
        expected = (weights[:, None, None] * seen.activations[layer, 0][0]).sum(0)
        close(exp.maps["ablation_cam", layer][0, t], expected)


@pytest.mark.parametrize("shape", [(9, 12), (16, 16)])
def test_rise(net: nn.Module, shape: tuple[int, int]) -> None:
    """Its masks again, cell by cell; the map is the mean over masks of score and mask."""
    images = torch.randn(2, 3, *shape)
    net = net.float()
    options = {"rise": {"masks": 7, "cells": 3, "keep": 0.4, "seed": 11}}
    exp = rv.explain(
        net, images, [[1, 4], [0, 2]], methods="rise", options=options, layers="relu1", chunk=7
    )
    random = torch.Generator().manual_seed(11)
    grids = (torch.rand(7, 1, 3, 3, generator=random) < 0.4).float()
    tall, wide = -(-shape[0] // 3), -(-shape[1] // 3)
    tops = torch.randint(0, tall, (7,), generator=random)
    lefts = torch.randint(0, wide, (7,), generator=random)
    for n, row in enumerate([[1, 4], [0, 2]]):
        expected = torch.zeros(2, *shape, dtype=torch.float64)
        for grid, top, left in zip(grids, tops, lefts, strict=True):
            large = F.interpolate(grid[None], (4 * tall, 4 * wide), mode="bilinear")
            mask = large[0, 0, top : top + shape[0], left : left + shape[1]]
            scores = net(images[n : n + 1] * mask)[0].detach()
            for t, index in enumerate(row):
                expected[t] += scores[index].double() * mask / (0.4 * 7)
        close(exp.maps["rise", "input"][n].double(), expected, 1e-6)


@pytest.mark.parametrize(("window", "stride"), [(3, 3), (4, 3), (4, 1), (None, None), (2, 5)])
def test_occlusion(net: nn.Module, images: Tensor, window: int | None, stride: int | None) -> None:
    """A pixel's value: the mean fall of the score over the patches that cover it."""
    options = {"occlusion": {"window": window, "stride": stride}}
    exp = rv.explain(
        net, images, CLASSES, methods="occlusion", options=options, layers="relu1", chunk=5
    )
    side = window or 9 // 7
    step = min(stride or max(1, side // 2), side)
    for n, row in enumerate(CLASSES):
        whole = net(images[n : n + 1])[0].detach()
        falls, covers = images.new_zeros(2, 9, 12), images.new_zeros(9, 12)
        for i in range(-(-(9 - side) // step) + 1):
            for j in range(-(-(12 - side) // step) + 1):
                spot = slice(i * step, i * step + side), slice(j * step, j * step + side)
                picture = images[n : n + 1].clone()
                picture[:, :, spot[0], spot[1]] = 0
                fall = whole - net(picture)[0].detach()
                covers[spot] += 1
                for t, index in enumerate(row):
                    falls[t][spot] += fall[index]
        # Captum rounds to float32
        close(exp.maps["occlusion", "input"][n].double(), falls / covers, 1e-6)


# ---- slow twins: gradients at the input
def test_saliency_and_smooth_grad(net: nn.Module, safe: nn.Module, images: Tensor) -> None:
    options = {"smooth_grad": {"samples": 3, "noise": 0.0}}
    methods = ["saliency", "smooth_grad"]
    exp = rv.explain(net, images, CLASSES, methods=methods, options=options, layers="relu1")
    for n, row in enumerate(CLASSES):
        for t, index in enumerate(row):
            picture = images[n : n + 1].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(safe(picture)[0, index], picture)
            expected = gradient[0].abs().amax(0)
            close(exp.maps["saliency", "input"][n, t], expected)
            # without noise; summed in float32
            close(exp.maps["smooth_grad", "input"][n, t].double(), expected, 1e-6)


def test_integrated_gradients(net: nn.Module, safe: nn.Module, images: Tensor) -> None:
    """Twelve points of Gauss and Legendre."""
    options = {"integrated_gradients": {"steps": 12}}
    name = "integrated_gradients"
    exp = rv.explain(net, images, CLASSES, methods=name, options=options, layers="relu1")
    points, weights = np.polynomial.legendre.leggauss(12)
    for n, row in enumerate(CLASSES):
        for t, index in enumerate(row):
            total = torch.zeros_like(images[0])
            for point, weight in zip(points, weights, strict=True):
                picture = (images[n : n + 1] * (point + 1) / 2).requires_grad_()
                (gradient,) = torch.autograd.grad(safe(picture)[0, index], picture)
                total += weight / 2 * gradient[0]
            close(exp.maps[name, "input"][n, t], (images[n] * total).sum(0), 1e-7)


class _Guided(torch.autograd.Function):
    """ReLU whose backward lets only positive gradients through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return gradient.clamp(min=0) * (x > 0)


def test_guided_backprop_and_guided_grad_cam(
    net: nn.Module, safe: nn.Module, images: Tensor
) -> None:
    methods = ["guided_backprop", "guided_grad_cam"]
    exp = rv.explain(net, images, CLASSES, methods=methods, layers=["conv1", "relu2"])
    for n, row in enumerate(CLASSES):
        for t, index in enumerate(row):
            picture = images[n : n + 1].clone().requires_grad_()
            first = _Guided.apply(safe.conv1(picture))
            last = _Guided.apply(safe.bn2(safe.conv2(first)) + first)
            score = safe.fc(last.mean((2, 3)))[0, index]
            (gradient,) = torch.autograd.grad(score, picture)
            close(exp.maps["guided_backprop", "input"][n, t], gradient[0].abs().amax(0))
            cam = grad_cam(*plain(safe, images[n], "relu2", one_hot(index))).relu()
            expected = (gradient[0] * cam).abs().amax(0)
            assert exp.maps["guided_grad_cam", "relu2"].shape == (3, 2, 9, 12)
            torch.testing.assert_close(exp.maps["guided_grad_cam", "relu2"][n, t], expected)


def test_guided_grad_cam_of_half_precision() -> None:
    """The product of two small numbers is a number."""
    torch.manual_seed(1)
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    )
    net, images = net.half().eval(), torch.randn(1, 3, 32, 32).half()
    methods = ["guided_grad_cam", "grad_cam", "guided_backprop"]
    exp = rv.explain(net, images, [[0, 1, 2]], methods=methods, layers="3")
    # Grad-CAM is not negative, so that the largest over the colours is that of the gradient
    expected = exp.maps["grad_cam", "3"] * exp.maps["guided_backprop", "input"]
    assert 0 < float(expected.max()) < 1e-4
    torch.testing.assert_close(exp.maps["guided_grad_cam", "3"], expected, rtol=1e-5, atol=1e-12)


def test_gradients_times_the_input_of_a_linear_network(images: Tensor) -> None:
    """There integrated gradients, DeepLIFT and GradientSHAP (in any noise) are x dy/dx."""
    net = Once(nn.Identity).double().eval()
    methods = ["integrated_gradients", "deep_lift", "gradient_shap"]
    options = {"gradient_shap": {"samples": 3, "noise": 0.0}}
    exp = rv.explain(net, images, 2, methods=methods, options=options, layers="act1")
    picture = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(picture)[:, 2].sum(), picture)
    expected = (images * gradient).sum(1)
    for name in methods:  # GradientSHAP is summed in float32, Captum's steps are float32 too
        close(exp.maps[name, "input"][:, 0].double(), expected, 1e-6)


@pytest.mark.parametrize(
    ("activation", "name", "tolerance"),
    [
        (nn.Tanh, "integrated_gradients", 1e-7),
        (nn.ReLU, "integrated_gradients", 1e-2),
        (nn.ReLU, "deep_lift", 1e-9),
    ],
)
def test_completeness(
    images: Tensor, activation: type[nn.Module], name: str, tolerance: float
) -> None:
    """The map sums to the score less that of the mean colour."""
    net = Once(activation).double().eval()
    options = {name: {"steps": 100}} if name == "integrated_gradients" else {}
    exp = rv.explain(net, images, CLASSES, methods=name, options=options, layers="act1")
    gain = exp.scores - net(torch.zeros_like(images[:1]))[0].detach()[torch.tensor(CLASSES)]
    torch.testing.assert_close(
        exp.maps[name, "input"].sum((2, 3)), gain, rtol=0, atol=tolerance * float(gain.abs().max())
    )


# ---- identities
@pytest.fixture
def cifar() -> nn.Module:
    net = cifar_resnet(20, seed=0).double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    return net


def between_0_and_1(maps: Tensor) -> Tensor:
    low = maps.amin((-2, -1), keepdim=True)
    return (maps - low) / (maps.amax((-2, -1), keepdim=True) - low)


def test_eigen_cam_of_large_numbers() -> None:
    """Whose squares float32 does not hold."""
    maps = torch.randn(2, 3, 4, 5)
    expected = METHODS["eigen_cam"].function(maps, None)
    torch.testing.assert_close(METHODS["eigen_cam"].function(1e25 * maps, None) / 1e25, expected)


@pytest.mark.parametrize("name", ["grad_cam", "hires_cam", "xgrad_cam"])
def test_one_map_at_pooling_and_linear(cifar: nn.Module, name: str) -> None:
    pictures = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    exp = rv.explain(cifar, pictures, 3, methods=["cam", name], layers="layer3", relu=False)
    one, other = (between_0_and_1(exp.maps[m, "layer3"]) for m in ("cam", name))
    assert float((one - other).abs().max()) < 4e-13


@pytest.mark.thorough
def test_one_map_at_pooling_and_linear_of_a_real_network(use_torch_home: Path) -> None:
    net = rv.load_model("resnet18", weights="IMAGENET1K_V1", device="cpu")
    image = rv.load_images([SAMPLES / "chelsea.png"], net)
    methods = ["cam", "grad_cam", "hires_cam", "xgrad_cam"]
    exp = rv.explain(net.double(), image.double(), [[281, 285]], methods=methods, layers="layer4")
    for name in methods[1:]:
        one, other = (between_0_and_1(exp.maps[m, "layer4"]) for m in ("cam", name))
        assert float((one - other).abs().max()) < 4e-13


def test_grad_cam_is_linear_in_the_target(cifar: nn.Module) -> None:
    pictures = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    three, five = rv.target(3), rv.target(5)
    targets = [[three, five, three - five, -three / 2]] * 2
    exp = rv.explain(cifar, pictures, targets, layers=["layer1.1", "layer3"], relu=False)
    for layer in exp.layers:
        one, other, difference, half = exp.maps["grad_cam", layer].unbind(1)
        close(difference, one - other)
        close(half, -one / 2)
        mixed = rv.explain(
            cifar, pictures, lambda z: 2 * z[:, 3] + 7 * z[:, 5] - 1, layers=[layer], relu=False
        )
        close(mixed.maps["grad_cam", layer][:, 0], 2 * one + 7 * other)


def _all_methods(net: nn.Module, pictures: Tensor, targets: Any, **more: Any) -> rv.Explanation:
    names = [name for name in METHODS if name not in ("gradient_shap", "smooth_grad")]
    return rv.explain(
        net,
        pictures,
        targets,
        methods=names,
        layers="act2",
        options={name: QUICK[name] for name in names if name in QUICK},
        progress=False,
        **more,
    )


def test_a_batch_equals_one_by_one(images: Tensor) -> None:
    """Every method that draws no random numbers of its own per image, in float64."""
    net = Once().double().eval()
    together = _all_methods(net, images, CLASSES)
    for n in range(3):
        alone = _all_methods(net, images[n : n + 1], CLASSES[n : n + 1])
        for key, maps in alone.maps.items():
            torch.testing.assert_close(
                together.maps[key][n], maps[0], rtol=1e-9, atol=1e-12, msg=str(key)
            )


@pytest.mark.parametrize("name", ["gradient_shap", "smooth_grad", "rise"])
def test_random_methods_repeat_themselves(name: str) -> None:
    """The seed decides, whatever else draws random numbers, and each image on its own."""
    net = Once(nn.Tanh).eval()
    pictures = torch.randn(2, 3, 9, 12)

    def run(which: Tensor, targets: Any, **more: Any) -> Tensor:
        options = {name: {**QUICK[name], **more}}
        exp = rv.explain(net, which, targets, methods=name, options=options, layers="act2")
        return exp.maps[name, "input"]

    first = run(pictures, [1, 2])
    torch.manual_seed(99)
    np.random.seed(99)
    assert torch.equal(run(pictures, [1, 2]), first)
    torch.testing.assert_close(run(pictures[1:], [2]), first[1:])
    assert not torch.allclose(run(pictures, [1, 2], seed=1), first)


def test_numpys_random_state_is_left_as_found() -> None:
    """Captum's own GradientShap draws from it."""
    net = Once().eval()
    np.random.seed(7)
    before = np.random.get_state()
    rv.explain(net, torch.randn(1, 3, 9, 12), 1, methods="gradient_shap", layers="act2")
    after = np.random.get_state()
    assert before[2] == after[2]
    assert np.array_equal(before[1], after[1])


@pytest.mark.parametrize(
    "name",
    [
        *("score_cam", "ablation_cam", "occlusion", "integrated_gradients"),
        *("rise", "smooth_grad", "gradient_shap"),
    ],
)
def test_chunk_does_not_matter(net: nn.Module, images: Tensor, name: str) -> None:
    options = {name: QUICK[name]} if name in QUICK else {}
    maps = []
    for chunk in (1, 3, 8, 1000):
        exp = rv.explain(
            net, images, CLASSES, methods=name, layers="relu1", options=options, chunk=chunk
        )
        maps.append(next(iter(exp.maps.values())))
    for other in maps[1:]:
        close(other, maps[0], 1e-6 if maps[0].dtype == torch.float32 else 1e-12)


@pytest.mark.thorough
def test_writing_in_place_does_not_matter(net: nn.Module, safe: nn.Module, images: Tensor) -> None:
    methods = [name for name in METHODS if name not in ("cam", "deep_lift", "gradient_shap")]
    layers = ["conv1", "conv2", "bn2", "relu2"]
    options = {name: QUICK[name] for name in QUICK if name in methods}
    both = [
        rv.explain(one, images, CLASSES, methods=methods, layers=layers, options=options)
        for one in (net, safe)
    ]
    for key, maps in both[0].maps.items():
        torch.testing.assert_close(maps, both[1].maps[key], rtol=1e-9, atol=1e-12, msg=str(key))
    written = {each["path"]: each["written_over_by"] for each in both[0].provenance["explained"]}
    assert written["bn2"] == ["add", "relu"]
    assert not any(each["written_over_by"] for each in both[1].provenance["explained"])


def test_gradients_before_an_in_place_addition(net: nn.Module, images: Tensor) -> None:
    """Central differences: the layer's output is nudged, and the network runs on."""
    seen = capture(net, (images[:1],), [("bn2", 0)], lambda logits: logits[:, 4:5])
    gradient, size, step = seen.gradients["bn2", 0][0], 6 * 9 * 12, 1e-5
    nudges = torch.eye(size, dtype=torch.float64).view(size, 6, 9, 12) * step
    scores = []
    for sign in (1, -1):
        handle = net.bn2.register_forward_hook(lambda m, a, out, s=sign: out + s * nudges)
        with torch.no_grad():
            scores.append(net(images[:1].expand(size, -1, -1, -1))[:, 4])
        handle.remove()
    close(gradient.flatten(), (scores[0] - scores[1]) / (2 * step), 1e-7)


@pytest.mark.parametrize("name", ["grad_cam", "xgrad_cam", "layer_cam", "hires_cam", "finer_cam"])
def test_a_factor_of_the_logits_is_a_factor_of_the_map(
    net: nn.Module, images: Tensor, name: str
) -> None:
    one = rv.explain(net, images, CLASSES, methods=name, layers="relu1").maps[name, "relu1"]
    with torch.no_grad():
        net.fc.weight *= 100
        net.fc.bias *= 100
    other = rv.explain(net, images, CLASSES, methods=name, layers="relu1").maps[name, "relu1"]
    close(other, 100 * one)


@pytest.mark.parametrize("name", ["eigen_grad_cam", "ablation_cam", "score_cam", "eigen_cam"])
def test_invariance_of_the_other_methods(net: nn.Module, images: Tensor, name: str) -> None:
    """To a shift (all but Ablation-CAM, which divides by the score) and to a scale where stated."""

    def maps(target: Any) -> Tensor:
        return rv.explain(net, images, target, methods=name, layers="relu1").maps[name, "relu1"]

    plain_map = maps(lambda z: z[:, 1])
    if name != "ablation_cam":
        close(maps(lambda z: z[:, 1] + 7), plain_map)
    if name in ("ablation_cam", "eigen_cam"):
        close(maps(lambda z: 3 * z[:, 1]), plain_map)
    if name == "eigen_grad_cam":
        close(maps(lambda z: 3 * z[:, 1]), 3 * plain_map)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [-4.6, 250.0])
def test_all_classes_is_refused_where_the_numbers_cannot_tell(
    dtype: torch.dtype, bias: float
) -> None:
    """A ReLU follows that is no module; what the maps bring is small next to the bias."""

    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.stem, self.c, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 4)
            nn.init.constant_(self.fc.bias, bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.c(self.stem(x).relu()).relu().mean((2, 3)))

    images = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    net = Biased().eval().to(dtype)
    for method in ("grad_cam", "cam"):
        with pytest.raises(ValueError, match="linear layer"):
            _ = rv.explain(net, images.to(dtype), 0, methods=method, layers="c").all_classes


def test_all_classes_is_grad_cam_of_every_class(cifar: nn.Module) -> None:
    pictures = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    exp = rv.explain(cifar, pictures, [list(range(10))] * 2, layers="layer3")
    for index in range(10):
        torch.testing.assert_close(
            exp.all_classes[index], exp.maps["grad_cam", "layer3"][:, index], rtol=0, atol=1e-14
        )
        torch.testing.assert_close(exp.all_classes.scores(index), exp.logits[:, index].double())
    for a, b in ((3, 5), (0, 9)):
        contrast = rv.target(a) - rv.target(b)
        one = rv.explain(cifar, pictures, contrast, layers="layer3").maps["grad_cam", "layer3"]
        close(exp.all_classes[contrast], one[:, 0])


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_a_block_is_the_sum_of_its_branch_and_shortcut(
    use_torch_home: Path, name: str, dtype: torch.dtype, tolerance: float
) -> None:
    """Of the map before its ReLU, at every block of a real network, as a part of its norm."""
    net = rv.load_model(name, weights="IMAGENET1K_V1", device="cpu")
    image = rv.load_images([SAMPLES / "chelsea.png"], net)[:, :, ::2, ::2]
    exp = rv.explain(
        net.to(dtype), image.to(dtype), [[281, 285]], layers="blocks", relu=False, split=True
    )
    assert len(exp.layers) == {"resnet18": 8, "resnet50": 16}[name]
    for layer in exp.layers:
        whole = exp.maps["grad_cam", layer]
        parts = exp.split().maps[layer, "branch"] + exp.split().maps[layer, "shortcut"]
        assert float((parts - whole).norm() / whole.norm()) < tolerance


# ---- by hand
def test_numbers_by_hand() -> None:
    """`OneConv` on 0 .. 15, class 0: y = ReLU(sum of w ReLU(conv)).

    conv1 is the sum over 3 x 3 less 50 or 75: [[-5, 4], [31, 40]] and [[-30, -21], [6, 15]]; w is 1
    for the first channel and the second's first position, -1 for the rest; g at relu1 is w.
    """
    net = OneConv()
    image = torch.arange(16.0).view(1, 1, 4, 4)
    methods = ["grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam"]
    exp = rv.explain(net, image, 0, methods=methods, layers=["conv1", "relu1"], relu=False)
    first, second = torch.tensor([[0.0, 4.0], [31.0, 40.0]]), torch.tensor([[0.0, 0.0], [6.0, 15]])
    expected = {
        "grad_cam": first - second / 2,
        # 4 / (2 + 75) and 1 / (2 + 21)
        "grad_cam_pp": first * 4 / 77 + second / 23,
        "hires_cam": first - second,
        "xgrad_cam": first - second,
        "layer_cam": first,
    }
    for name, numbers in expected.items():
        torch.testing.assert_close(exp.maps[name, "relu1"][0, 0], numbers)
    first, second = (
        first - torch.tensor([[5.0, 0.0], [0.0, 0.0]]),
        second - torch.tensor([[30.0, 21.0], [0.0, 0.0]]),
    )
    # behind the ReLU g is [[0, 1], [1, 1]] and [[0, 0], [-1, -1]]
    expected = {
        "grad_cam": 0.75 * first - 0.5 * second,
        "hires_cam": torch.tensor([[0.0, 4.0], [25.0, 25.0]]),
        "xgrad_cam": first * 75 / 70 + second * 21 / 30,
        "layer_cam": torch.tensor([[0.0, 4.0], [31.0, 40.0]]),
    }
    for name, numbers in expected.items():
        torch.testing.assert_close(exp.maps[name, "conv1"][0, 0], numbers)
