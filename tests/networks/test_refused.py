"""Networks in which hooks see nothing, or no tensors, are refused; what can be recorded is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from left_as_found import left_as_found
from resviz.errors import NotTraceable

pytestmark = [  # torch's own
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated"),
    pytest.mark.filterwarnings("ignore:quantized..linear_dynamic"),
]
IMAGES = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def exported() -> nn.Module:
    return torch.export.export(plain(), (IMAGES,)).module()


def compiled() -> nn.Module:
    net = plain()
    net.forward = torch.compile(net.forward, backend="eager")
    return net


def compiled_inside() -> nn.Module:
    net = plain()
    net[0].forward = torch.compile(net[0].forward, backend="eager")
    return net


def static() -> nn.Module:
    import torch.ao.nn.quantized as quantized

    return nn.Sequential(quantized.Linear(8, 8))


class Mapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.vmap(self.f)(x)


@pytest.mark.parametrize("function", [rv.record, rv.list_layers, rv.residual_branches])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (exported, "the network was made by torch.export.*the Python module it was made from"),
        (compiled, "the forward of the network is compiled.*del net.forward"),
        (compiled_inside, "the forward of '0' in the network is compiled"),
        (static, "'0' in the network is quantised to int8"),
        (Mapped, "'f' runs inside torch.vmap"),
    ],
)
def test_refused_in_plain_words(function, make, message: str):
    with pytest.raises(NotTraceable, match=f"{function.__name__}: {message}"):
        function(make(), IMAGES)


def test_dynamic_int8_is_recorded_without_the_gradients_that_it_has_not():
    net = torch.ao.quantization.quantize_dynamic(plain(), {nn.Linear}, dtype=torch.qint8)
    with left_as_found(net), pytest.warns(UserWarning, match="'0' computes in int8"):
        layers = rv.record(net, IMAGES).layers
    assert layers["rms"].notna().all()
    assert layers["grad_rms"].notna().tolist() == [False, False, True]
    assert len(rv.record(net, IMAGES, gradients=False).layers) == 3


def test_an_explanation_through_dynamic_int8_is_refused_with_the_reason():
    torch.manual_seed(0)
    first = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    float_ = nn.Sequential(*first, nn.Linear(4, 3)).eval()
    net = torch.ao.quantization.quantize_dynamic(float_, {nn.Linear}, dtype=torch.qint8)
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"explain: '4' computes in int8 .*explanation_methods"):
        rv.explain(net, images)
    exp = rv.explain(net, images, methods=["eigen_cam", "ablation_cam"], progress=False)
    assert exp.layers == ["1"]


def test_made_under_inference_mode():
    with torch.inference_mode():
        net = plain()
    with pytest.raises(
        RuntimeError, match="record: parameter '0.weight' was made under.*gradients"
    ):
        rv.record(net, IMAGES)
    assert len(rv.record(net, IMAGES, gradients=False).layers) == 3


class Words(nn.Module):
    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(50, 8, sparse=sparse), nn.Linear(8, 5)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embed(ids).mean(1))


def test_sparse_gradients_have_the_norms_of_dense_ones():
    ids, targets = torch.randint(0, 50, (4, 6)), torch.tensor([0, 1, 2, 3])
    sparse, dense = (rv.record(Words(s), ids, targets).parameters for s in (True, False))
    assert sparse["grad_norm"].tolist() == pytest.approx(dense["grad_norm"].tolist())
