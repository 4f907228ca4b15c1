"""`residual_branches`: the residuals of `record`, with how they were measured."""

from __future__ import annotations

import pytest
import torch

from cases import crossed
from left_as_found import left_as_found
from resviz.analysis.residuals import residual_branches
from resviz.networks.cifar import cifar_resnet
from resviz.recording.recorder import record

IMAGES = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("gradients", "batch_stats"), crossed([False, True], [False, True]))
def test_it_is_the_table_of_record(batch_stats: bool, gradients: bool):
    net = cifar_resnet(14, seed=0)
    with left_as_found(net):
        table = residual_branches(net, IMAGES, gradients=gradients, batch_stats=batch_stats)
    rec = record(net, IMAGES, gradients=gradients, batch_stats=batch_stats)
    assert table.equals(rec.residuals)
    assert table.attrs == rec.provenance
    assert table.filter(like="grad_").notna().all(axis=None) == gradients


def test_a_plain_network_has_none():
    table = residual_branches(cifar_resnet(14, shortcut="none", seed=0), IMAGES)
    assert len(table) == 0 and "branch_rms" in table


def test_a_branch_that_is_zero():
    """gamma = 0 in the last BatchNorm: the block is the identity (Goyal et al. 2017)."""
    net = cifar_resnet(14, seed=0)
    for name, module in net.named_modules():
        if name.endswith("bn2"):
            torch.nn.init.zeros_(module.weight)
    table = residual_branches(net, IMAGES)
    assert (table["branch_rms"] == 0).all() and (table["ratio"] == 0).all()
    assert table["cosine"].isna().all()  # a zero vector has no direction
    assert (table["grad_branch_rms"] == 0).all() and (table["grad_branch_share"] == 0).all()
    assert table["grad_cosine"].isna().all()


def test_a_scaled_shortcut_scales_its_gradient():
    """lambda on the shortcut multiplies its gradient by lambda (He et al. 2016)."""

    class Scaled(torch.nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale, self.conv = scale, torch.nn.Conv2d(3, 3, 3, 1, 1)
            torch.nn.init.constant_(self.conv.weight, 0.01)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x * 1.0
            return (self.scale * x + self.conv(x)).mean((2, 3))

    one, half = (residual_branches(Scaled(scale), IMAGES).iloc[0] for scale in (1.0, 0.5))
    assert half["kind"] == "scaled"
    assert half["grad_shortcut_rms"] == pytest.approx(0.5 * one["grad_sum_rms"], rel=1e-6)
    assert half["grad_branch_rms"] == pytest.approx(one["grad_branch_rms"], rel=1e-6)
