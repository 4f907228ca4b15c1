"""Receptive fields hold every pixel that a position depends on, by its gradient, or are unknown."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resviz.given import Inputs
from resviz.networks.anatomy.receptive import receptive_fields

SIZE = 24


def space_to_depth(x):
    n, c, h, w = x.shape
    return (
        x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 3, 5, 1, 2, 4).reshape(n, -1, h // 4, w // 4)
    )


def turned(x):
    grid = F.affine_grid(torch.tensor([[[0.0, 1, 0], [-1, 0, 0]]]), x.shape, align_corners=False)
    return F.grid_sample(x, grid.to(x), align_corners=False)


def flipped(x: torch.Tensor) -> torch.Tensor:
    return x.flip(2)


ELSEWHERE = {
    "scripted": lambda x: torch.jit.script(flipped)(x),
    "scaled down": lambda x: F.interpolate(x, size=(SIZE // 2, SIZE // 2)),
    "space to depth": space_to_depth,
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "narrow": lambda x: x.narrow(2, 6, 12),
    "index_select": lambda x: x.index_select(2, torch.arange(SIZE - 1, -1, -1)),
    "index_select of an order": lambda x: x.index_select(2, (torch.arange(SIZE) * 5) % SIZE),
    "circular": lambda x: F.pad(x, (1, 1, 1, 1), "circular"),
    "diff": lambda x: torch.diff(x, dim=2),
    "logcumsumexp": lambda x: torch.logcumsumexp(x, 2),
    "grid_sample": turned,
    "transposed": lambda x: x.mT,
    "lp_pool2d": lambda x: F.lp_pool2d(x, 2, 3, 2),
    "two beside each other": lambda x: torch.cat([x, x], 2),
}
IN_PLACE = {
    "channels last": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    "repeated channels": lambda x: x.repeat(1, 2, 1, 1)[:, 1:5],
    "resized to its own size": lambda x: F.interpolate(x, size=(SIZE, SIZE), mode="bilinear"),
    "channels shuffled": lambda x: x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2),
    "max pooling": lambda x: F.max_pool2d(x, 3, 2, 1),
    "every second row": lambda x: x[:, :, 1::2],
}


class Around(nn.Module):
    def __init__(self, function, width: int) -> None:
        super().__init__()
        self.first, self.function = nn.Conv2d(3, 4, 3, padding=1), function
        self.second = nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, x):
        return self.second(self.function(self.first(x)))


def field_and_pixels(function, row: int, column: int):
    """What is said of a position, and the edges of what its gradient touches."""
    torch.manual_seed(0)
    width = function(torch.zeros(1, 4, SIZE, SIZE)).shape[1]
    net, x = Around(function, width).double(), torch.randn(1, 3, SIZE, SIZE).double()
    field = receptive_fields(net, Inputs.of(x)).get(("second", 0))
    (touched,) = torch.autograd.grad(net(x.requires_grad_())[0, :, row, column].sum(), x)
    places = touched[0].abs().sum(0).nonzero()
    return field, (*places.amin(0).tolist(), *(places.amax(0) + 1).tolist())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_moves_positions_has_no_known_field(name):
    assert field_and_pixels(ELSEWHERE[name], 2, 3)[0] is None


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_keeps_positions_keeps_the_field(name):
    field, (top, left, bottom, right) = field_and_pixels(IN_PLACE[name], 5, 6)
    said = field.box(5, 6)
    assert said[0] <= top and said[1] <= left and said[2] >= bottom and said[3] >= right
    if name != "max pooling":  # whose gradient touches the largest alone
        assert said == (top, left, bottom, right)
