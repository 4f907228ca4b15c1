"""A channel whose preference is planted is found."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

import resviz as rv

PLANTED = 5
PRESET = rv.Preset("planted", "own", (0.5,) * 3, (0.5,) * 3, classes=("noise", "dots", "stripes"))


class Planted(nn.Module):
    """Channel 5 answers to diagonal stripes of period 4; the others are random, but not to them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 8, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 3)
        with torch.no_grad():
            seen = torch.stack([stripes(8, phase).flatten() for phase in range(4)]).T
            basis = torch.linalg.svd(seen, full_matrices=False).U[:, :2]
            flat = self.conv.weight.flatten(1)
            self.conv.weight.copy_((flat - flat @ basis @ basis.T).view_as(self.conv.weight))
            self.conv.weight[PLANTED] = stripes(8, 0) / 100

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.relu(self.conv(x)).amax((2, 3)))


def stripes(size: int, phase: int) -> torch.Tensor:
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.sign(torch.cos((row + column + phase) * np.pi / 2 + 0.1)).expand(3, -1, -1)


def textures(count: int = 20) -> TensorDataset:
    """Noise, dots, and stripes that fill a quarter of the picture somewhere."""
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(3 * count, 3, 32, 32, generator=generator) * 0.6 - 0.3
    for n in range(count):
        images[count + n, :, ::4, ::4] = 1
        top, left = torch.randint(0, 17, (2,), generator=generator).tolist()
        images[2 * count + n, :, top : top + 16, left : left + 16] = stripes(16, n)
    return TensorDataset(images, torch.arange(3).repeat_interleave(count))


def test_the_search_finds_the_planted_channel_and_where_it_looks():
    data = textures()
    scan = rv.scan(Planted(), data, layers=["relu"], preset=PRESET, progress=False)
    found = scan.find("stripes")
    assert found["channel"][0] == PLANTED
    assert found["selectivity"].idxmax() == 0
    table = scan.channels.set_index("channel").loc[PLANTED]
    assert table["best_class"] == "stripes" and table["selectivity"] > 0.5
    top = scan.top("relu", PLANTED)
    assert (top["label"] == "stripes").all()
    for rank in top["rank"]:
        crop = scan.crop("relu", PLANTED, rank).astype(float) / 127.5 - 1
        assert np.abs(crop).min() > 0.9  # stripes from edge to edge, nothing of the noise
