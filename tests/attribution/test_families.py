"""Every torchvision family of classifiers: "auto" and "blocks" work, and give the right numbers.

Grad-CAM is compared with plain autograd at the module's own output, read on axes by hand: channels
last for Swin, tokens for ViT, channels first for the rest. The smallest member of each family, at
the smallest picture that leaves positions.
"""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

import resviz as rv
from cases import every_method, families
from left_as_found import left_as_found
from of_torchvision import made
from resviz.attribution.methods.registry import METHODS

pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")

# name: (side, the layer "auto" finds, number of blocks)
FAMILIES: dict[str, tuple[int, str, int]] = {
    "resnet18": (64, "layer4.1", 8),
    "resnext50_32x4d": (64, "layer4.2", 16),
    "wide_resnet50_2": (64, "layer4.2", 16),
    "densenet121": (64, "features.norm5", 0),
    "googlenet": (64, "inception5b", 0),
    "inception_v3": (128, "Mixed_7c", 0),
    "mobilenet_v2": (64, "features.18.2", 10),
    "mobilenet_v3_small": (64, "features.12.2", 6),
    "shufflenet_v2_x0_5": (64, "conv5.2", 0),
    "squeezenet1_1": (64, "classifier.2", 0),
    "efficientnet_b0": (64, "features.8.2", 9),
    "efficientnet_v2_s": (64, "features.7.2", 35),
    "regnet_y_400mf": (64, "trunk_output.block4.block4-5", 16),
    "convnext_tiny": (64, "features.7.2", 18),
    "mnasnet0_5": (64, "layers.16", 10),
    "vgg11": (64, "features.19", 0),
    "alexnet": (96, "features.11", 0),
    "swin_t": (64, "permute", 12),
    "swin_v2_t": (64, "permute", 12),
    "vit_b_32": (224, "encoder.layers.encoder_layer_11.ln_1", 12),
    "maxvit_t": (224, "", 0),
}
QUICK = ("resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "squeezenet1_1")
ALL = families(FAMILIES, QUICK, ("resnet18", "squeezenet1_1"))
BOTH = [n for n in FAMILIES if FAMILIES[n][2]]
BLOCKS = families(BOTH, QUICK)


def build(name: str) -> tuple[nn.Module, Tensor]:
    """Random weights, BatchNorm and heads that let something through; an even picture size."""
    torch.manual_seed(2)
    net = made(name, 10)
    if name.startswith("vit"):
        nn.init.normal_(net.heads.head.weight, std=0.1)  # zeros as torchvision makes it
    side = FAMILIES[name][0]
    return net.train(), torch.randn(2, 3, side, side)


def as_maps(tensor: Tensor, layer: str, name: str) -> Tensor:
    """(N, C, h, w) by hand."""
    if tensor.ndim == 3:
        side = int((tensor.shape[1] - 1) ** 0.5)
        return tensor[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    if name.startswith("swin") and layer != "permute":
        return tensor.permute(0, 3, 1, 2)
    return tensor


def by_autograd(net: nn.Module, images: Tensor, layers: list[str], name: str) -> dict[str, Tensor]:
    """Grad-CAM of class 1 at each layer, all from one pass with everything differentiable."""
    kept: dict[str, Tensor] = {}

    def keep(layer: str):
        def hook(module: nn.Module, args: object, output: Tensor) -> Tensor:
            kept.setdefault(layer, output)
            return output.clone()

        return hook

    handles = [net.get_submodule(x).register_forward_hook(keep(x)) for x in layers]
    net.eval()
    score = net(images)[:, 1].sum()
    gradients = torch.autograd.grad(score, [kept[x] for x in layers])
    for handle in handles:
        handle.remove()
    result = {}
    for layer, gradient in zip(layers, gradients, strict=True):
        maps = as_maps(kept[layer].detach(), layer, name)
        weights = as_maps(gradient, layer, name).mean((2, 3))
        result[layer] = torch.einsum("nc,nchw->nhw", weights, maps)
    return result


def check(name: str, layers: str) -> rv.Explanation:
    net, images = build(name)
    methods = ["grad_cam", "eigen_cam"]
    with left_as_found(net):
        exp = rv.explain(net, images, 1, methods=methods, layers=layers, relu=False)
    for maps in exp.maps.values():
        assert maps.shape[:2] == (2, 1)
        assert maps.isfinite().all()
    for layer, expected in by_autograd(net, images, exp.layers, name).items():
        ours = exp.maps["grad_cam", layer][:, 0]
        assert ours.shape == expected.shape, layer
        scale = float(expected.abs().max())
        unread = name == "vit_b_32" and layer.endswith("_11")  # only its class token is read
        assert (scale > 0) != unread, f"nothing reaches {layer}: this test would prove nothing"
        assert float((ours - expected).abs().max()) <= 1e-4 * scale, layer
        assert exp.maps["eigen_cam", layer].any()
    return exp


@pytest.mark.parametrize("name", ALL)
def test_auto(name: str) -> None:
    exp = check(name, "auto")
    expected = FAMILIES[name][1]
    assert not expected or exp.layers == [expected]
    assert min(exp.maps["grad_cam", exp.layers[0]].shape[2:]) > 1


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name: str) -> None:
    exp = check(name, "blocks")
    assert len(exp.layers) == FAMILIES[name][2]


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, (_, _, blocks) in FAMILIES.items() if not blocks])
def test_no_blocks(name: str) -> None:
    if name == "maxvit_t":
        pytest.skip("has residual additions of its own: see test_maxvit")
    net, images = build(name)
    with pytest.raises(ValueError, match=r"explain: layers='blocks', and \w+ has no residual"):
        rv.explain(net, images, 1, layers="blocks")


@pytest.mark.slow
def test_maxvit() -> None:
    """Its windows (N, windows, tokens, C) have four axes and no positions: never read as maps."""
    net, images = build("maxvit_t")
    images = images[:1]
    block = "blocks.0.layers.0.layers"
    for inside in ("window_attention.attn_layer", "grid_attention.mlp_layer"):
        with pytest.raises(ValueError, match=r"explain: layer .* would be right"):
            rv.explain(net, images, 1, layers=f"{block}.{inside}")
    exp = rv.explain(net, images, 1, layers=["blocks.0", "blocks.3", f"{block}.MBconv"])
    assert {about["axes"] for about in exp.provenance["explained"]} == {"NCHW"}


# methods that need further passes: one convolutional network and one transformer in full
@pytest.mark.parametrize(
    "method",
    every_method(
        [n for n in METHODS if n not in ("deep_lift", "guided_backprop", "guided_grad_cam")]
    ),
)
@pytest.mark.parametrize("name", ["mobilenet", "swin"])
def test_every_method(name: str, method: str) -> None:
    """The others need nn.ReLU modules that run once, which neither has."""
    if name == "swin":
        net: nn.Module = torchvision.models.SwinTransformer(
            [2, 2], 16, [2, 2], [2, 2], [4, 4], num_classes=10
        )
    else:
        net = torchvision.models.mobilenet_v2(weights=None, width_mult=0.25, num_classes=10)
    images = torch.randn(1, 3, 64, 64)
    options = {
        "rise": {"masks": 8},
        "smooth_grad": {"samples": 2},
        "gradient_shap": {"samples": 2},
        "integrated_gradients": {"steps": 2},
        "occlusion": {"window": 32},
    }
    last = method == "cam"  # which is defined there only; earlier there are fewer channels
    layer = "permute" if name == "swin" else "features.18" if last else "features.12"
    chosen = {k: v for k, v in options.items() if k == method}
    with left_as_found(net):
        exp = rv.explain(net, images, 1, methods=method, layers=layer, options=chosen)
    assert all(maps.isfinite().all() for maps in exp.maps.values())
