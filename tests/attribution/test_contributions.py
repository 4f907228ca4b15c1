"""Channels that speak for a class: sums by hand, the identity at a linear head, one pass."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import SwinTransformer, VisionTransformer

import resviz as rv
from left_as_found import assert_left_as_found
from resviz.attribution.contributions import channel_contributions
from resviz.networks.cifar import cifar_resnet

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def sums(table: Any) -> list[float]:
    return table.groupby(["image", "index"], sort=False)["contribution"].sum().tolist()


def by_hand(
    net: nn.Module, layer: str, target: int, axis: int = 1, images: Tensor = IMAGES
) -> Tensor:
    """(N, C) of gradient times activation, summed over all other axes."""
    kept: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(lambda _, args, out: kept.append(out))
    score = net(images)[:, target].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept)
    return (kept[0] * gradient).detach().movedim(axis, 1).flatten(2).sum(2)


def table_of(table: Any, layer: str, column: str = "contribution") -> Tensor:
    values = torch.tensor(table.loc[table["layer"] == layer, column].to_numpy())
    return values.reshape(2, -1)


def test_they_add_up_to_the_logit_less_the_bias():
    net = cifar_resnet(20, seed=0).double()
    images = IMAGES.double()
    targets = [[1, 4], [7, 2]]
    table = assert_left_as_found(net, lambda: channel_contributions(net, images, targets, "layer3"))
    assert len(table) == 2 * 2 * 64 and table["channel"].tolist()[:64] == list(range(64))
    with torch.no_grad():
        logits = net(images) - net.linear.bias
    wanted = [float(logits[n, c]) for n, row in enumerate(targets) for c in row]
    assert sums(table) == pytest.approx(wanted, rel=1e-12)
    kept = rv.record(net, images, gradients=False, keep=["layer3"])["layer3"].flatten(2)
    first = table[(table["image"] == 0) & (table["index"] == 4)]
    weight = net.linear.weight[4].detach()
    assert first["weight"].tolist() == pytest.approx((weight / 64).tolist())
    assert first["mean"].tolist() == pytest.approx(kept[0].mean(1).tolist())
    assert first["max"].tolist() == pytest.approx(kept[0].amax(1).tolist())


def test_every_block_by_hand():
    net = cifar_resnet(8, seed=0).eval()
    table = channel_contributions(net, IMAGES, 3)
    assert table["layer"].unique().tolist() == ["layer1.0", "layer2.0", "layer3.0"]
    assert table["target"].unique().tolist() == ["class 3"]
    for layer in table["layer"].unique():
        wanted = by_hand(net, layer, 3).double()
        torch.testing.assert_close(table_of(table, layer), wanted, rtol=1e-4, atol=1e-6)
    assert table.attrs["output"] == "classes" and "classes" not in table.attrs


def test_class_tokens_count():
    torch.manual_seed(0)
    net = VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=5).double().eval()
    nn.init.normal_(net.heads.head.weight)
    images = IMAGES.double()
    table = assert_left_as_found(net, lambda: channel_contributions(net, images, 3))
    layers = [f"encoder.layers.encoder_layer_{n}" for n in range(3)]
    assert table["layer"].unique().tolist() == layers
    for layer in layers:
        torch.testing.assert_close(table_of(table, layer), by_hand(net, layer, 3, 2, images))
    assert (table_of(table, layers[-1], "weight") == 0).all()  # the class token alone is read


def test_channels_last():
    torch.manual_seed(0)
    net = SwinTransformer([2, 2], 16, [1, 1], [2, 2], [4, 4], num_classes=5).double().eval()
    images = IMAGES.double()
    table = channel_contributions(net, images, 3)
    assert table["layer"].unique().tolist() == ["features.1.0", "features.3.0"]
    for layer in table["layer"].unique():
        torch.testing.assert_close(table_of(table, layer), by_hand(net, layer, 3, 3, images))


def test_without_residual_blocks():
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(6, 5)),
    ).double()
    table = channel_contributions(net, IMAGES.double(), [1, 2])
    assert table.groupby("layer", sort=False).size().to_dict() == {"1": 16, "4": 12}
    with torch.no_grad():
        logits = net(IMAGES.double()) - net[-1].bias
    wanted = [float(logits[0, 1]), float(logits[1, 2])]
    assert sums(table[table["layer"] == "4"]) == pytest.approx(wanted)
    with pytest.raises(ValueError, match="^channel_contributions: no blocks or stages in Seq"):
        channel_contributions(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4)), IMAGES)


def passes_of(net: nn.Module, action: Any) -> tuple[Any, int]:
    """What it gives, and how often the network ran."""
    count = 0

    def ran(*_: Any) -> None:
        nonlocal count
        count += 1

    handle = net.register_forward_hook(ran)
    try:
        return action(), count
    finally:
        handle.remove()


def test_explain_has_them_from_its_own_passes(tmp_path: Path):
    net = cifar_resnet(8, seed=0)
    layers = ["layer2", "layer3"]
    targets = [[1, 2], [3]]
    with torch.no_grad():
        exp, passes = passes_of(
            net,
            lambda: rv.explain(
                net, IMAGES, targets, methods="hires_cam", layers=layers, relu=False, channels=True
            ),
        )
    assert passes == 1 and list(exp.channels) == layers
    table = channel_contributions(net, IMAGES, targets, layers)
    for layer, channels in exp.channels.items():
        own = table[table["layer"] == layer]
        assert channels.contribution.shape == channels.weight.shape == (2, 2, len(channels.mean[0]))
        known = channels.contribution.double().flatten()
        assert known[~known.isnan()].tolist() == own["contribution"].tolist()
        assert channels.contribution[1, 1].isnan().all() and channels.weight[1, 1].isnan().all()
        map_sums = torch.stack([exp.maps["hires_cam", layer][0][t].sum() for t in (0, 1)])
        torch.testing.assert_close(channels.contribution[0].sum(1), map_sums)
    exp.save(tmp_path / "a.resviz")
    again = rv.load_explanation(tmp_path / "a.resviz")
    assert again.equals(exp) and list(again.channels) == layers
    assert not rv.explain(net, IMAGES, 1, layers=layers, relu=False).equals(exp)


def test_a_reading_of_ones_own():
    net = cifar_resnet(8, seed=0)
    half = rv.explain(
        net,
        IMAGES,
        1,
        layers="layer3",
        relu=False,
        channels=True,
        reshape=lambda x: x[:, :32].contiguous(),
    )
    whole = rv.explain(net, IMAGES, 1, layers="layer3", relu=False, channels=True)
    torch.testing.assert_close(
        half.channels["layer3"].contribution, whole.channels["layer3"].contribution[..., :32]
    )


def test_channels_is_true_or_false():
    with pytest.raises(TypeError, match="^explain: channels 'all'; True or False"):
        rv.explain(cifar_resnet(8, seed=0), IMAGES, channels="all")


def test_half_precision_is_summed_in_float32():
    net = cifar_resnet(8, seed=0).bfloat16()
    exp = rv.explain(net, IMAGES.bfloat16(), 1, layers="layer3", relu=False, channels=True)
    assert {tensor.dtype for tensor in exp.channels["layer3"].named().values()} == {torch.float32}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["resnet18", "vgg11", "densenet121", "swin_t", "vit_b_16", "convnext_tiny"]
)
def test_torchvision(name: str):
    torch.manual_seed(0)
    net = getattr(models, name)(weights=None).eval()
    images = torch.randn(2, 3, 224, 224)
    table = channel_contributions(net, images, 7)
    assert table["contribution"].notna().all()
    if name == "resnet18":
        with torch.no_grad():
            logits = net(images)[:, 7] - net.fc.bias[7]
        assert sums(table[table["layer"] == "layer4.1"]) == pytest.approx(logits.tolist(), rel=1e-3)


@pytest.mark.thorough
def test_the_strongest_channel_speaks_for_the_class(testdata_module: ModuleType):
    net, normalise = testdata_module.cifar_net("resnet56")
    images = normalise(testdata_module.cifar_images()[0][:8])
    table = channel_contributions(net, images, layers="layer3.8")
    best = table.loc[table.groupby("image")["contribution"].idxmax()]
    assert (best["weight"] > 0).all()
    whole = net(images).max(1).values
    with torch.no_grad():
        kept = rv.record(net, images, gradients=False, keep=["layer3.8"])["layer3.8"]
        for row in best.itertuples():
            kept[row.image, row.channel] = 0
        less = whole - net.linear(kept.mean((2, 3)))[range(8), best["index"].tolist()]
    assert less.tolist() == pytest.approx(best["contribution"].tolist(), rel=1e-3)
