"""`branch_study`: by hand, over batches, and the published shapes."""

from __future__ import annotations

import math
import weakref
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from left_as_found import assert_left_as_found, left_as_found
from resviz.analysis import branches
from resviz.analysis.branches import branch_study
from resviz.analysis.residuals import residual_branches
from resviz.networks.cifar import CifarPreActivationBlock, cifar_resnet
from resviz.recording.axes import channel_axis

IMAGES = torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(3))
TARGETS = torch.arange(10)
ADDED = ["position", "stage_position", "branch_var", "shortcut_var", "share", "cos_gradient"]


class Toy(nn.Module):
    """One residual addition, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem, self.conv = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def parts(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(images)
        return x, self.conv(x.relu())

    def forward(self, images: Tensor) -> Tensor:
        x, branch = self.parts(images)
        branch += x  # in place, as torchvision's blocks do
        return self.head(branch.relu_().mean((2, 3)))


def test_by_hand():
    net = Toy()
    row = assert_left_as_found(
        net, lambda: branch_study(net, IMAGES, TARGETS, batch_size=3, progress=False)
    ).iloc[0]
    x = net.stem(IMAGES).detach().requires_grad_()
    branch = net.conv(x.relu())
    logits = net.head((branch + x).relu().mean((2, 3)))
    (g,) = torch.autograd.grad(F.cross_entropy(logits, TARGETS, reduction="sum"), x)
    x, branch = x.detach(), branch.detach()
    variance = [t.double().var((0, 2, 3), correction=0).mean().item() for t in (branch, x)]
    assert [row["branch_var"], row["shortcut_var"]] == pytest.approx(variance, rel=1e-5)
    assert row["share"] == pytest.approx(variance[0] / sum(variance), rel=1e-5)
    cosines = torch.cosine_similarity(branch.flatten(1), g.flatten(1))
    assert row["cos_gradient"] == pytest.approx(cosines.mean().item(), abs=1e-5)
    assert row["ratio"] == pytest.approx((branch.norm() / x.norm()).item(), rel=1e-5)
    right = torch.cosine_similarity(branch.flatten(), x.flatten(), dim=0).item()
    assert row["cosine"] == pytest.approx(right, abs=1e-5)
    assert row["position"] == row["stage_position"] == 1 and row["shape"] == (10, 4, 32, 32)


@pytest.mark.thorough
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_batches_add_up_to_the_table_of_record(shortcut: str):
    net = cifar_resnet(14, shortcut=shortcut, seed=0)
    whole, parts = (branch_study(net, IMAGES, batch_size=size, progress=False) for size in (32, 3))
    known = residual_branches(net, IMAGES)
    assert list(whole) == [*known, *ADDED]
    for column in known:
        if known[column].dtype == float:
            for table in (whole, parts):
                np.testing.assert_allclose(
                    table[column], known[column], rtol=1e-4, atol=1e-6, err_msg=column
                )
        else:
            assert whole[column].tolist() == known[column].tolist(), column
    for column in ADDED:
        np.testing.assert_allclose(whole[column], parts[column], rtol=1e-4, atol=1e-6)
    assert whole["position"].tolist() == [1, 2, 3, 4, 5, 6]
    assert whole["stage_position"].tolist() == [1, 2] * 3
    straight = whole["kind"] == "identity"
    assert whole["cos_gradient"].notna().equals(straight) and (~straight).sum() == 2
    assert parts.attrs["batch_size"] == 3 and parts.attrs["loss"] == "logit"


@pytest.mark.thorough
def test_it_does_not_keep_what_it_has_counted(monkeypatch: pytest.MonkeyPatch):
    """One recording at a time: memory is that of one batch, however many images there are."""
    real, alive = branches.record, []

    def watched(*args: Any, **settings: Any) -> Any:
        assert sum(each() is not None for each in alive) <= 1  # that of one image, for the names
        rec = real(*args, **settings)
        alive.append(weakref.ref(rec))
        return rec

    monkeypatch.setattr(branches, "record", watched)
    branch_study(cifar_resnet(8, seed=0), IMAGES, batch_size=2, progress=False)
    assert len(alive) == 6


@pytest.mark.thorough
def test_one_stage_follows_one_over_l():
    """De & Smith 2020: untrained, pre-activation, one stage, normal inputs, seeds 0 to 2.

    The stem ends in BatchNorm and ReLU, so that x comes in with the variance of half a normal
    distribution. share x l lies in 0.55 to 1.2 at every block, and in 0.7 to 1.2 from the third.
    """
    x = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    products = []
    for seed in range(3):
        torch.manual_seed(seed)
        blocks = [CifarPreActivationBlock(32, 32, 1, "A", True, nn.ReLU) for _ in range(16)]
        stem = [nn.Conv2d(3, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU()]
        net = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        table = branch_study(net, x, batch_stats=True, progress=False)
        assert len(table) == 16
        products.append((table["share"] * table["position"]).to_numpy())
    mean = np.mean(products, axis=0)
    assert ((mean > 0.55) & (mean < 1.2)).all(), mean
    assert ((mean[2:] > 0.7) & (mean[2:] < 1.2)).all(), mean


@pytest.mark.thorough
def test_the_original_order_keeps_a_larger_share():
    shares = [
        branch_study(
            cifar_resnet(20, preactivation=first, seed=0), IMAGES, batch_stats=True, progress=False
        )["share"]
        for first in (True, False)
    ]
    assert (shares[1] > 1.5 * shares[0]).all()


@pytest.mark.thorough
def test_published_resnet56(testdata_module: ModuleType):
    """Jastrzebski et al. 2018 on the first 64 test images: ranges of ratios and cosines."""
    net, look = testdata_module.cifar_net("resnet56")
    images, labels, _ = testdata_module.cifar_images("test")
    table = branch_study(
        net, look(images[:64]), torch.tensor(labels[:64]), data="CIFAR-10 test", progress=False
    )
    one, two, three = (part["ratio"].to_numpy() for _, part in table.groupby("stage"))
    assert one[:2] == pytest.approx([0.39, 0.39], abs=0.02)
    assert one[3:].min() > 0.16 and one[3:].max() < 0.29
    np.testing.assert_allclose(two[1:], 0.21, atol=0.03)
    assert three[1:8].min() > 0.38 and 0.70 < three[8] < 0.82
    assert two[0] > 1.5 * one[-1] and three[0] > 1.5 * two[-1]  # the jump where a stage begins
    cosines = table["cos_gradient"].to_numpy()
    assert np.nanmax(np.abs(cosines[:-2])) < 0.03
    assert cosines[-2] < -0.005 and cosines[-1] < -0.08
    assert table.attrs["data"] == "CIFAR-10 test" and table.attrs["images"] == 64


@pytest.mark.thorough
def test_a_branch_that_is_zero():
    net = cifar_resnet(14, seed=0)
    for name, module in net.named_modules():
        if name.endswith("bn2"):
            nn.init.zeros_(module.weight)
    table = branch_study(net, IMAGES, batch_size=4, progress=False)
    for column in ("share", "ratio", "branch_var", "grad_branch_rms", "grad_branch_share"):
        assert (table[column] == 0).all(), column
    assert table[["cosine", "cos_gradient", "grad_cosine"]].isna().all(axis=None)


def test_a_plain_network_has_no_rows():
    table = branch_study(cifar_resnet(14, shortcut="none", seed=0), IMAGES, progress=False)
    assert len(table) == 0 and set(ADDED) < set(table) and table.attrs["images"] == 10


def test_channels():
    assert channel_axis((8, 64, 56, 56)) == 1 and channel_axis((8, 197, 768)) == 2
    assert channel_axis((8, 56, 56, 96)) == 3 and channel_axis((8, 10)) == 1
    assert channel_axis((8, 7, 7, 7)) == 1 and channel_axis((8,)) == 0


def test_it_refuses_and_leaves_the_network_alone():
    net = cifar_resnet(8, seed=0)
    cases = [
        (lambda: branch_study(net, IMAGES, batch_size=0), ValueError, "branch_study: batch_size 0"),
        (lambda: branch_study(net, IMAGES, batch_size=1.5), TypeError, "branch_study: batch_size"),
        (lambda: branch_study(net, IMAGES, TARGETS[:2]), ValueError, "branch_study: targets of"),
        (lambda: branch_study(net, IMAGES, "abc"), TypeError, "branch_study: targets 'abc'"),
        (lambda: branch_study(net, IMAGES, data=1), TypeError, "branch_study: data 1"),
        (lambda: branch_study(net, "cat.png"), TypeError, "branch_study: images are a str"),
        (lambda: branch_study(net, IMAGES, loss="mse"), ValueError, "loss 'mse'"),
    ]
    for action, error, words in cases:
        with pytest.raises(error, match=words), left_as_found(net):
            action()


def test_left_as_found_after_an_interrupt():
    net, calls = cifar_resnet(8, seed=0), []

    def stop(logits: Tensor, _: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return logits.sum(1)

    with pytest.raises(KeyboardInterrupt), left_as_found(net):
        branch_study(net, IMAGES, loss=stop, batch_size=8, progress=False)
    assert not math.isnan(len(calls)) and len(calls) == 2


class Tokens(nn.Module):
    """Residual additions of tokens in one order of axes or another, also in windows of two."""

    def __init__(self, axes: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.axes, self.patch, self.head = axes, nn.Conv2d(3, 6, 8, 8), nn.Linear(6, 10)
        self.norm, self.mix = nn.LayerNorm(6), nn.Linear(6, 6)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch(images).flatten(2).transpose(1, 2)
        if self.axes == "LNC":
            x = x.transpose(0, 1)
        if self.axes == "windows":
            x = x.reshape(-1, 2, 6)
        x = x + self.mix(self.norm(x)).relu()
        x = x.reshape(len(images), -1, 6) if self.axes == "windows" else x
        return self.head(x.mean(0 if self.axes == "LNC" else 1))


def test_cosines_are_of_images_where_tokens_come_first():
    """One function in two layouts; windows of several images have no cosine of each image."""
    right, found, windows = (
        branch_study(Tokens(axes).eval(), IMAGES, TARGETS, batch_size=4, progress=False).iloc[0]
        for axes in ("NLC", "LNC", "windows")
    )
    assert found["cos_gradient"] == pytest.approx(right["cos_gradient"], rel=1e-4)
    assert [row["shape"] for row in (right, found)] == [(10, 16, 6), (16, 10, 6)]
    assert math.isnan(windows["cos_gradient"]) and windows["shape"] == (80, 2, 6)
    assert windows["ratio"] == pytest.approx(right["ratio"], rel=1e-5)
