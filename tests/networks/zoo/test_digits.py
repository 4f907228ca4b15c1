"""`digits_resnet`: depth, weights shared between plain and residual, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from resviz.networks.anatomy.survey import list_layers
from resviz.networks.digits import digits_resnet


@pytest.mark.parametrize("depth", [4, 10, 28])
@pytest.mark.parametrize("shortcut", ["A", "none"])
def test_depth_is_the_count_of_weighted_layers(depth: int, shortcut: str) -> None:
    net = digits_resnet(depth, shortcut=shortcut, width=4, seed=0)
    weighted = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(weighted) == depth
    layers = list_layers(net, images=torch.zeros(1, 3, 8, 8))
    assert layers["depth"].max() == depth


def test_plain_and_residual_have_the_same_weights_and_another_function() -> None:
    before = torch.get_rng_state()
    plain, residual = (digits_resnet(10, shortcut=s, seed=3) for s in ("none", "A"))
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(plain.state_dict().values(), residual.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(plain(x), residual(x))
    std = plain.layer1[0].conv1.weight.std().item()
    assert abs(std / (2 / (16 * 9)) ** 0.5 - 1) < 0.05  # 2,304 draws: standard error 1.5 %


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"depth": 9}, ValueError, "digits_resnet: depth 9; depths are 2n"),
        ({"depth": 2}, ValueError, "depth 2"),
        ({"depth": 10.0}, TypeError, "depth 10.0; a whole number"),
        ({"shortcut": "B"}, ValueError, "shortcut 'B'; one of A, none"),
        ({"width": 0}, ValueError, "width 0; 1 or more"),
        ({"seed": "x"}, TypeError, "seed 'x'"),
    ],
)
def test_errors(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        digits_resnet(**wrong)
