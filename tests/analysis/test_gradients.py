"""`gradient_norms`: the weighted layers of `record`, in order of depth."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cases import thorough
from left_as_found import left_as_found
from resviz.analysis.gradients import gradient_norms
from resviz.networks.cifar import cifar_resnet

COLUMNS = [
    *("layer", "parameter", "type", "depth", "stage", "projection", "gate"),
    *("grad_norm", "weight_norm", "shape"),
]
IMAGES = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(3))
TARGETS = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])


def right(net: nn.Module, loss: str, batch_stats: bool) -> dict[str, float]:
    """Norms by backward on a copy."""
    twin = copy.deepcopy(net).eval()
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(batch_stats)
    logits = twin(IMAGES)
    if loss == "logit":
        logits.gather(1, logits.argmax(1, keepdim=True)).mean().backward()
    elif loss == "cross_entropy":
        F.cross_entropy(logits, TARGETS).backward()
    else:
        logits.square().sum(1).mean().backward()
    return {n: p.grad.double().norm().item() for n, p in twin.named_parameters()}


@pytest.mark.parametrize("loss", ["logit", "cross_entropy", "own"])
@pytest.mark.parametrize("batch_stats", [thorough(False), True])
@pytest.mark.parametrize("shortcut", ["B", thorough("none")])
def test_norms_equal_backward_on_a_copy(loss: str, batch_stats: bool, shortcut: str):
    net = cifar_resnet(14, shortcut=shortcut, seed=0)
    targets = TARGETS if loss == "cross_entropy" else None
    own = (lambda logits, _: logits.square().sum(1)) if loss == "own" else None
    with left_as_found(net):
        table = gradient_norms(net, IMAGES, targets, own, batch_stats=batch_stats)
    norms = right(net, loss, batch_stats)
    assert list(table) == COLUMNS
    for row in table.itertuples():
        assert row.grad_norm == pytest.approx(norms[row.parameter], rel=1e-5), row.parameter
        weight = net.get_parameter(row.parameter)
        assert row.weight_norm == pytest.approx(weight.double().norm().item(), rel=1e-6)
        assert row.shape == tuple(weight.shape) and row.parameter == f"{row.layer}.weight"
    weighted = [n for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sorted(table["layer"]) == sorted(weighted)
    main = table[~table["projection"]]
    assert list(main["depth"]) == list(range(1, 15))
    assert list(table["depth"]) == sorted(table["depth"])
    assert table["projection"].sum() == (2 if shortcut == "B" else 0)


def test_attrs_say_how_it_was_measured():
    table = gradient_norms(cifar_resnet(8, seed=0), IMAGES, batch_stats=True)
    assert table.attrs["loss"] == "logit" and table.attrs["batch_stats"] is True
    assert table.attrs["images"] == 8 and table.attrs["network"] == "CifarResNet"
    assert gradient_norms(cifar_resnet(8, seed=0), IMAGES, TARGETS).attrs["loss"] == "cross_entropy"


def test_attention_and_text():
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.layer(self.embed(ids)).mean(1))

    net = Text().eval()
    table = gradient_norms(net, torch.randint(0, 20, (2, 6)))
    assert set(table["parameter"]) == {
        *("embed.weight", "layer.self_attn.in_proj_weight", "layer.self_attn.out_proj.weight"),
        *("layer.linear1.weight", "layer.linear2.weight", "head.weight"),
    }
    assert table["grad_norm"].notna().all()
    assert list(table["depth"]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("wrap", [nn.utils.parametrizations.weight_norm])
def test_a_layer_whose_weight_is_computed_is_still_there(wrap):
    net = nn.Sequential(wrap(nn.Conv2d(3, 4, 3)), nn.Flatten(), nn.Linear(4 * 30 * 30, 3)).eval()
    with left_as_found(net):
        table = gradient_norms(net, IMAGES)
    assert list(table["depth"].unique()) == [1, 2]
    assert table["layer"].str.startswith("0").any()


def test_zero_gradients_are_zeros():
    net = cifar_resnet(8, shortcut="none", seed=0)
    with torch.no_grad():
        net.linear.weight.zero_()
    table = gradient_norms(net, IMAGES)
    assert (table["grad_norm"].iloc[:-1] == 0).all() and table["grad_norm"].iloc[-1] > 0
