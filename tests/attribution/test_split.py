"""The split of a block's Grad-CAM: branch and shortcut add up to the map, in every kind of block.

To 5e-6 of the parts' maximum in float32 and to 1e-12 in float64 (Grad-CAM before its ReLU).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn

import resviz as rv
from cases import thorough, thorough_but
from recording import toys
from resviz.networks.cifar import cifar_resnet

pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")


def _vit() -> nn.Module:
    net = torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=5)
    nn.init.normal_(net.heads.head.weight)
    return net


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (lambda: torchvision.models.resnet18(weights=None), 64),
    "resnet50": (lambda: torchvision.models.resnet50(weights=None), 64),
    "preactivation": (lambda: cifar_resnet(20, preactivation=True, seed=0), 32),
    "padded": (lambda: cifar_resnet(20, shortcut="A", seed=0), 32),
    "projected": (lambda: cifar_resnet(14, shortcut="C", seed=0), 32),
    "no BatchNorm": (lambda: cifar_resnet(14, norm=False, seed=0), 32),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(weights=None), 64),
    "efficientnet_b0": (lambda: torchvision.models.efficientnet_b0(weights=None), 64),
    "convnext": (
        lambda: torchvision.models.ConvNeXt(
            [
                torchvision.models.convnext.CNBlockConfig(8, 16, 2),
                torchvision.models.convnext.CNBlockConfig(16, None, 2),
            ],
            layer_scale=0.5,
            num_classes=5,
        ),
        64,
    ),
    "swin": (
        lambda: torchvision.models.SwinTransformer(
            [2, 2], 8, [2, 2], [2, 4], [4, 4], num_classes=5
        ),
        32,
    ),
    "vit": (_vit, 32),
}


LARGE = {"resnet50", "mobilenet_v2", "efficientnet_b0"}


def build(name: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    make, side = NETWORKS[name]
    net = make().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.to(dtype), torch.randn(2, 3, side, side, dtype=dtype)


@pytest.mark.parametrize(
    "dtype", [torch.float32, thorough(torch.float64)], ids=["float32", "float64"]
)
@pytest.mark.parametrize("name", thorough_but(NETWORKS, NETWORKS.keys() - LARGE))
def test_the_parts_add_up(name: str, dtype: torch.dtype) -> None:
    net, images = build(name, dtype)
    exp = rv.explain(net, images, [[1, 3], [2, 0]], layers="blocks", split=True, relu=False)
    allowed = 5e-6 if dtype == torch.float32 else 1e-12
    parts = exp.split()
    assert exp.layers, "no blocks were found"
    for layer in exp.layers:
        whole = exp.maps["grad_cam", layer]
        summed = parts.maps[layer, "branch"] + parts.maps[layer, "shortcut"]
        assert summed.shape == whole.shape
        assert summed.dtype == whole.dtype
        scale = float(torch.stack([parts.maps[layer, p].abs().max() for p in PARTS]).max())
        assert float((summed - whole).abs().max()) <= allowed * max(scale, 1e-30), layer


PARTS = ("branch", "shortcut")


@pytest.mark.parametrize(
    "name", [thorough("resnet18"), "padded", "preactivation", thorough("mobilenet_v2")]
)
def test_ratios_are_those_of_residual_branches(name: str) -> None:
    net, images = build(name, torch.float32)
    images = images[:1]
    table = rv.explain(net, images, 1, layers="blocks", split=True).split().table
    other = rv.residual_branches(net, images).set_index("addition")
    assert len(table) == len(other)
    for row in table.to_dict("records"):
        expected = other.loc[row["addition"]]
        assert row["kind"] == expected["kind"]
        for column in ("ratio", "branch_rms", "shortcut_rms"):
            assert row[column] == pytest.approx(expected[column], rel=1e-5)


def test_the_table_is_made_of_the_maps() -> None:
    net, images = build("resnet18", torch.float32)
    exp = rv.explain(net, images, [[1, 3], [2, 0]], layers=["layer1.1", "layer3"], split=True)
    parts = exp.split()
    table = parts.table.set_index(["layer", "image", "target"])
    assert len(table) == 2 * 2 * 2
    for (layer, image, column), row in table.iterrows():
        branch, shortcut = (float(parts.maps[layer, p][image, column].sum()) for p in PARTS)
        assert row["branch"] == pytest.approx(branch, rel=1e-5)
        assert row["shortcut"] == pytest.approx(shortcut, rel=1e-5)
        assert row["branch_share"] == pytest.approx(branch / (branch + shortcut), rel=1e-4)
    assert table.loc["layer3", "addition"].unique().tolist() == ["layer3.1.add"]
    seen = exp.evidence.set_index(["layer", "image", "target"])["gradient_norm"]
    for key, row in table.iterrows():
        assert row["grad_norm"] == pytest.approx(seen[key], rel=1e-5)


@pytest.mark.parametrize("batch_stats", [thorough(False), True])
def test_parts_belong_to_the_pass_that_was_explained(batch_stats: bool) -> None:
    """With the batch's own statistics the block gives another tensor, and so do its parts."""
    net, images = build("resnet18", torch.float64)
    exp = rv.explain(
        net, images, 1, layers=["layer1", "layer2"], split=True, relu=False, batch_stats=batch_stats
    )
    for layer in exp.layers:
        whole = exp.maps["grad_cam", layer]
        summed = sum(exp.split().maps[layer, part].double() for part in PARTS)
        torch.testing.assert_close(
            summed, whole.double(), rtol=1e-5, atol=1e-6 * float(whole.abs().max())
        )


@pytest.mark.parametrize("method", ["eigen_cam", "saliency", "ablation_cam"])
def test_a_split_needs_no_grad_cam_beside_it(method: str) -> None:
    net, images = build("padded", torch.float32)
    images = images[:1]
    one = rv.explain(net, images, 1, methods=method, layers="layer3", split=True, progress=False)
    two = rv.explain(net, images, 1, layers="layer3", split=True)
    for key, maps in two.split().maps.items():
        torch.testing.assert_close(one.split().maps[key], maps)


@pytest.mark.parametrize("block", thorough_but(toys.KINDS, toys.OF_EACH_KIND))
def test_every_way_to_write_a_block(block: type[nn.Module]) -> None:
    net = toys.net_of(block).double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    exp = rv.explain(net, images, 1, layers="block", split=True, relu=False)
    whole = exp.maps["grad_cam", "block"]
    summed = sum(exp.split().maps["block", part] for part in PARTS)
    torch.testing.assert_close(summed.double(), whole, rtol=1e-5, atol=1e-6)
    assert exp.split().table["kind"].unique().tolist() == [toys.KINDS[block]]


@pytest.mark.thorough
def test_layers_that_are_no_blocks() -> None:
    net, images = build("resnet18", torch.float32)
    with pytest.raises(ValueError, match=r"explain: split=True, and none of conv1, bn1 ends in a"):
        rv.explain(net, images, 1, layers=["conv1", "bn1"], split=True)
    mixed = rv.explain(net, images, 1, layers=["conv1", "layer1"], split=True)
    assert {layer for layer, _ in mixed.split().maps} == {"layer1"}
    with pytest.raises(ValueError, match=r"explain: split=True, and no layer is explained; block"):
        rv.explain(net, images, 1, methods="saliency", split=True)
    with pytest.raises(ValueError, match=r"explain\(\.\.\., split=True\)"):
        rv.explain(net, images, 1, layers="layer1").split()
    plain = cifar_resnet(8, shortcut="none", seed=0)
    with pytest.raises(ValueError, match=r"explain: layers='blocks', and CifarResNet has no resid"):
        rv.explain(plain, torch.randn(1, 3, 32, 32), 1, layers="blocks", split=True)


class Sigmoid(toys.Block):
    """A block that ends in another function of its sum."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.branch(x) + self.shortcut(x))


def test_a_block_that_ends_in_another_activation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'block' gives neither its residual sum nor the ReLU"):
        rv.explain(toys.net_of(Sigmoid), torch.randn(1, 3, 8, 8), 1, layers="block", split=True)
