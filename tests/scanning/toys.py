"""Small networks and data sets of the scan's tests, and the obvious way to every number."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        out += x
        return self.relu(out)


class Toy(nn.Module):
    """A stem, two residual blocks, a pooled head; written in place, as ResNets are."""

    def __init__(self, channels: int = 6, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Block(channels), Block(channels))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer1(self.relu(self.stem(x)))
        return self.fc(x.mean((2, 3)))


def toy(seed: int = 0, dtype: torch.dtype = torch.float64) -> Toy:
    torch.manual_seed(seed)
    return Toy().to(dtype).eval()


def pictures(count: int = 23, size: int = 8, dtype: torch.dtype = torch.float64) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, size, size, generator=generator, dtype=dtype)
    return TensorDataset(images, torch.arange(count) % 3)


def activations(net: nn.Module, layer: str, images: Tensor) -> np.ndarray:
    """(N, C, H, W) of a layer, copied before anything writes over it."""
    kept: list[Tensor] = []
    module = net.get_submodule(layer)
    handle = module.register_forward_hook(lambda _, args, out: kept.append(out.clone()))
    with torch.no_grad():
        net(images.clone())
    handle.remove()
    return kept[0].numpy()


class SequenceFirst(nn.Module):
    """Patches as tokens (L, N, C), and queries (T, C) that no image takes part in."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
        self.queries = nn.Parameter(torch.randn(5, 8))
        self.own = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.layer(self.patch(x).flatten(2).permute(2, 0, 1))
        queries = self.queries + self.own(self.queries)
        return self.head(tokens.mean(0) * queries.mean(0))
