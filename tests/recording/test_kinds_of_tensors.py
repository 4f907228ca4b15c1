"""Complex, sparse and quantised tensors, and those without values."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from left_as_found import left_as_found
from resviz.recording.statistics import mean_product, mean_square, measure

Z = torch.tensor([3 + 4j, 0j, 1j, 2 + 0j])
IDS = torch.tensor([[0, 0, 2], [1, 0, 2]])


def numbers(tensor: Tensor) -> dict[str, float]:
    measured = measure(tensor)
    return measured.named([float(value) for value in measured.values])


def test_complex_numbers_by_hand() -> None:
    found = numbers(Z)  # of 5, 0, 1, 2
    assert (found["mean"], found["min"], found["max"], found["zero_fraction"]) == (2, 0, 5, 0.25)
    assert found["rms"] == pytest.approx(7.5**0.5)
    assert mean_square(Z) == pytest.approx(7.5)
    assert mean_product(Z, Z) == pytest.approx(7.5)
    assert mean_product(Z, 1j * Z) == pytest.approx(0, abs=1e-6)


def test_sparse_and_quantised_numbers_by_hand() -> None:
    plain = torch.tensor([[0.0, 2.0], [0.0, -4.0]])
    expected = numbers(plain)
    assert expected["zero_fraction"] == 0.5
    assert numbers(plain.to_sparse()) == expected
    assert mean_product(plain.to_sparse(), plain) == pytest.approx(5)
    with warnings.catch_warnings(action="ignore"):  # torch is about to give them up
        quantised = torch.quantize_per_tensor(plain, 0.5, 8, torch.quint8)
    assert numbers(quantised) == expected


class Spectral(nn.Module):
    """y = Re(sum of w * fft(x)): a complex parameter and a complex activation."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = Filter()
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.filter(x).real)


class Filter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1j, 2, 3 + 4j, 0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x) * self.weight


def test_a_complex_layer_is_recorded(tmp_path: object) -> None:
    net, x = Spectral().eval(), torch.eye(4)[:2]
    rec = rv.record(net, x, [0, 1], "logit", keep=["filter", "filter:grad"])
    output = torch.fft.fft(x) * net.filter.weight.detach()
    row = rec.layers.set_index("layer").loc["filter"]
    assert row["mean"] == pytest.approx(float(output.abs().mean()))
    grad = net.head.weight[[0, 1]].detach()  # of the real part of each
    assert row["grad_norm"] == pytest.approx(float(grad.norm()))
    assert torch.equal(rec["filter"], output)
    parameters = rec.parameters.set_index("parameter")
    assert parameters.loc["filter.weight", "norm"] == pytest.approx(30**0.5)
    logits = net(x)
    own = torch.autograd.grad(logits.diagonal().mean(), net.filter.weight)[0]
    assert parameters.loc["filter.weight", "grad_norm"] == pytest.approx(float(own.abs().norm()))
    rec.save(tmp_path / "spectral.resviz")
    assert torch.equal(rv.load_recording(tmp_path / "spectral.resviz")["filter"], output)


def test_a_map_at_a_complex_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"explain: layer 'filter'.* of torch.complex64; "):
        rv.explain(Spectral().eval(), torch.eye(4), 1, layers="filter")


class Bag(nn.Module):
    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(4, 3, sparse=sparse), nn.Linear(3, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.words(ids).mean(1))


def test_sparse_gradients_are_as_dense_ones() -> None:
    one, other = (rv.record(Bag(sparse).eval(), IDS, [0, 1]) for sparse in (True, False))
    for column in ("norm", "grad_norm"):
        assert one.parameters[column].tolist() == pytest.approx(other.parameters[column].tolist())


class Graph(nn.Module):
    """A sparse parameter, and a module that returns a sparse matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.0, 3], [4, 0]]).to_sparse())
        self.edges, self.head = Edges(), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sparse.mm(self.edges(x), torch.sparse.mm(self.weight, x.T).T))


class Edges(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.eye(len(x)).to_sparse()


def test_sparse_parameters_and_activations() -> None:
    rec = rv.record(Graph().eval(), torch.ones(2, 2), keep=["edges"])
    assert rec.parameters.set_index("parameter").loc["weight", "norm"] == 5
    assert rec.layers.set_index("layer").loc["edges", "zero_fraction"] == 0.5
    assert torch.equal(rec["edges"], torch.eye(2))


@pytest.fixture
def quantised() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with warnings.catch_warnings(action="ignore"):
        return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore:quantized..linear_dynamic. an autograd kernel")
def test_dynamic_int8(quantised: nn.Module) -> None:
    with pytest.warns(rv.ResvizWarning, match="which has no derivative"):
        rec = rv.record(quantised, torch.randn(2, 4))
    assert rec.layers["mean"].notna().all()
    # a quantised layer has no backward: only what follows the last one feels the loss
    assert rec.layers["grad_rms"].notna().tolist() == [False, False, True]


@pytest.mark.parametrize("name", ["record", "predict", "explain", "list_layers", "branch_study"])
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_lazy_network_that_never_ran(name: str) -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(RuntimeError, match=f"^{name}: '0' .LazyConv2d. has no weights before its"):
        getattr(rv, name)(net, torch.zeros(1, 3, 8, 8))
    assert isinstance(net[0], nn.LazyConv2d)
    net(torch.zeros(1, 3, 8, 8))
    assert len(rv.list_layers(net, torch.zeros(1, 3, 8, 8))) == 3


META = ["record", "predict", "explain", "architecture", "gradient_norms", "path_study"]


@pytest.mark.parametrize("name", META)
def test_parameters_without_values(name: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    some = copy.deepcopy(net)
    some[2].to("meta")
    for each, where in ((net.to("meta"), "0.weight"), (some, "2.weight")):
        with pytest.raises(RuntimeError, match=rf"^{name}: '{where}' is on the device 'meta'"):
            getattr(rv, name)(each, torch.zeros(1, 3, 8, 8))


def test_shapes_need_no_values() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)).to("meta")
    assert rv.list_layers(net, torch.zeros(2, 3, 8, 8))["shape"].tolist()[-1] == (1, 2)
    with pytest.raises(ValueError, match="record: images on the device 'meta'"):
        rv.record(nn.Sequential(nn.Linear(4, 2)), torch.zeros(1, 4, device="meta"))


def test_left_as_found() -> None:
    for net, images in ((Spectral().eval(), torch.ones(2, 4)), (Bag(True).eval(), IDS)):
        with left_as_found(net):
            rv.record(net, images)


def test_a_complex_output_takes_a_loss_of_its_own() -> None:
    net, x = nn.Sequential(Filter()).eval(), torch.randn(2, 4, dtype=torch.complex64)
    with pytest.raises(
        TypeError, match=r"record: the network returned \(2, 4\) of complex numbers"
    ):
        rv.record(net, x)
    rec = rv.record(net, x, loss=lambda output, _: output.abs().square().sum(1))
    assert rec.logits is None
    output = net(x).detach()
    assert rec.layers["grad_norm"][0] == pytest.approx(float(2 * output.abs().norm()), rel=1e-5)
    assert len(rv.record(net, x, gradients=False).layers) == 1


@pytest.mark.parametrize("name", ["record", "explain", "list_layers", "branch_study"])
def test_additions_in_int8_are_refused(name: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    with warnings.catch_warnings(action="ignore"):
        net.add_module("skip", torch.ao.nn.quantized.QFunctional())
    with pytest.raises(rv.errors.NotTraceable, match=f"{name}: 'skip' in the network adds in int8"):
        getattr(rv, name)(net, torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("name", ["record", "predict", "explain"])
def test_sparse_images_are_refused(name: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)).eval()
    with pytest.raises(
        ValueError, match=f"^{name}: images in the layout torch.sparse_coo, .*dense"
    ):
        getattr(rv, name)(net, torch.eye(8).expand(1, 3, 8, 8).to_sparse())
