"""Very deep networks: 1202 layers build and record, and cost grows linearly with depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from resviz.networks.cifar import cifar_resnet
from resviz.recording.recorder import record

TABLE = Path(__file__).parents[2] / "benchmarks" / "depth_cost.csv"


@pytest.mark.thorough
def test_1202_layers_are_built_and_recorded():
    """He et al. 2015, Table 6: the deepest of the CIFAR networks."""
    net = cifar_resnet(1202, seed=0)
    assert sum(p.numel() for p in net.parameters()) == 19_421_274  # 19.4 M
    # on running statistics nothing normalises an untrained network, and 600 additions overflow
    rec = record(net, torch.randn(8, 3, 16, 16), batch_stats=True)
    assert len(rec.residuals) == 600
    assert rec.parameters["depth"].max() == 1202
    assert np.isfinite(rec.residuals["grad_branch_share"]).all()


def test_the_committed_table_is_linear_in_depth():
    """A fourfold depth costs fourfold, within the noise of a shared machine (a factor of 1.6)."""
    table = pd.read_csv(TABLE)
    assert table["depth"].tolist() == [20, 56, 110, 302, 602, 1202]
    per_layer = table["record_s"] / table["depth"]
    assert per_layer.max() / per_layer.min() < 1.6
    assert table["peak_GiB"].max() < 24
