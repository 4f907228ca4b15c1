"""Which axis of what was recorded is which: tables, kept tensors, files, and the views of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

import resviz as rv
from resviz.recording.axes import channel_axis, order_of


class Turning(nn.Module):
    """A residual block on (N, C, H, W), and one on (N, H, W, C), every size the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.same = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.mix, self.fc = nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.act(x + self.same(x)).permute(0, 2, 3, 1)
        x = self.act(x + self.mix(self.norm(x)))
        return self.fc(x.mean((1, 2)))


@pytest.fixture(scope="module")
def rec() -> Any:
    keep = ["conv", "norm", "act", "mix:grad", "additions", "add:grad_sum", "add_1:grad_branch"]
    return rv.record(Turning(), torch.randn(2, 3, 8, 8), keep=keep)


def test_tables_and_kept_tensors_say_it(rec: Any) -> None:
    rows = rec.layers.to_dict("records")
    found = {(row["layer"], row["call"]): row["axes"] for row in rows}
    assert found == {
        **{("conv", 0): "NCHW", ("same", 0): "NCHW", ("act", 0): "NCHW"},
        **{("norm", 0): "NHWC", ("mix", 0): "NHWC", ("act", 1): "NHWC", ("fc", 0): "NC"},
    }
    first = {
        "conv",
        "act#0",
        *(f"add:{part}" for part in ("branch", "shortcut", "sum", "grad_sum")),
    }
    assert set(rec.axes) == set(rec.keys())
    assert {key for key, axes in rec.axes.items() if axes == "NCHW"} == first
    assert {axes for key, axes in rec.axes.items() if key not in first} == {"NHWC"}


class TurnedBefore(Turning):
    """The block turns what it is given before it adds."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x).permute(0, 2, 3, 1))
        x = x.permute(0, 3, 1, 2) + self.same(self.norm(x).permute(0, 3, 1, 2))
        return self.fc(x.mean((2, 3)))


def test_parts_of_a_gradient_lie_as_the_input_of_the_block_does() -> None:
    keep = [f"add:grad_{part}" for part in ("branch", "shortcut", "sum")]
    rec = rv.record(TurnedBefore(), torch.randn(2, 3, 4, 6), keep=keep)
    found = [(rec.axes[key], tuple(rec[key].shape)) for key in keep]
    assert found == [("NHWC", (2, 4, 6, 8))] * 2 + [("NCHW", (2, 8, 4, 6))]


def test_views_read_it(rec: Any) -> None:
    for key, first in (("conv", True), ("norm", False), (("act", 0), True), (("act", 1), False)):
        maps = rec[key] if first else rec[key].permute(0, 3, 1, 2)
        figure = rv.plot_feature_maps(rec, key, 1, channels=8)
        tiles = [t.z for t in figure.data if t.type == "heatmap" and t.name]
        np.testing.assert_array_equal(np.stack(tiles), maps[1].numpy())
        assert ("NCHW" if first else "NHWC") in figure.layout.title.text
        assert "by the shape alone" not in figure.layout.title.text


def test_a_file_keeps_it_and_an_old_one_opens(rec: Any, tmp_path: Path) -> None:
    rec.save(tmp_path / "a.resviz")
    again = rv.load_recording(tmp_path / "a.resviz")
    assert again.equals(rec) and dict(again.axes) == dict(rec.axes)
    old = dataclasses.replace(rec, axes={}, layers=rec.layers.drop(columns="axes"))
    assert not old.equals(rec)
    old.save(tmp_path / "old.resviz")
    opened = rv.load_recording(tmp_path / "old.resviz")
    figure = rv.plot_feature_maps(opened, "conv", channels=8)
    assert "(axes by the shape alone)" in figure.layout.title.text


def test_orders(rec: Any) -> None:
    def order(axes: str, *shape: int) -> Any:
        changed = dataclasses.replace(rec, tensors={"a": torch.zeros(shape)}, axes={"a": axes})
        return order_of(changed, "a")

    assert order("NCWH", 1, 2, 3, 4) == ("NCWH", True)
    assert order("NCLL", 1, 2, 9, 9) == ("NCHW", True)  # attention, as pictures
    assert order("NLC", 1, 9, 4) == ("NLC", True)
    assert order("NWC", 1, 9, 4) == ("NLC", True)
    assert order("NLCC", 1, 9, 2, 2) == ("NCHW", False)
    assert order("?CHW", 1, 9, 9, 2) == ("NHWC", False)
    assert order("", 1, 9) is None


def test_channel_axis() -> None:
    assert channel_axis((2, 8, 8, 32), "NCHW") == 1 and channel_axis((2, 8, 8, 32)) == 3
    assert channel_axis((2, 8, 16, 8), "NHWC") == 3 and channel_axis((2, 8, 16, 8)) == 1
    assert channel_axis((2, 9, 9), "NCL") == 1 and channel_axis((2, 9, 9), "NLC") == 2


def test_variances_are_of_channels_whatever_the_sizes() -> None:
    """(N, 8, 8, 32): by its shape, channels would be last."""
    net, images = Turning().eval(), torch.randn(3, 3, 8, 32)
    table = rv.branch_study(net, images, progress=False).set_index("addition")
    with torch.no_grad():
        branch = net.same(net.conv(images))
    expected = float(branch.var((0, 2, 3), unbiased=False).mean())
    assert table.loc["add", "branch_var"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.thorough
def test_swin_is_read_at_every_layer() -> None:
    net = torchvision.models.SwinTransformer([4, 4], 8, [2, 2], [2, 4], [4, 4], num_classes=5)
    layers = rv.list_layers(net.eval(), torch.randn(1, 3, 48, 32))
    maps = layers[layers["shape"].map(len) == 4]
    first = maps["layer"].isin(["features.0.0", "permute", "avgpool", "features.0.1"])
    assert set(maps.loc[~first & (maps["type"] != "Permute"), "axes"]) == {"NHWC"}
    assert set(maps.loc[maps["layer"].isin(["features.0.0", "permute"]), "axes"]) == {"NCHW"}
