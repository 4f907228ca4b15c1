"""`list_layers`: rows, depth and stage; agrees with `record`; images, presets and refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import resviz as rv
from left_as_found import left_as_found
from resviz.given import Inputs
from resviz.networks.anatomy.survey import list_layers, survey
from resviz.networks.cifar import cifar_resnet
from resviz.preset import set_preset
from resviz.recording.recorder import record

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize("depth", [8, 20, 56])
@pytest.mark.parametrize("shortcut", ["A", "B", "none"])
def test_depth_of_the_family(depth: int, shortcut: str):
    net = cifar_resnet(depth, shortcut=shortcut, seed=0)
    with left_as_found(net):
        table = list_layers(net, torch.zeros(1, 3, 32, 32))
    assert int(table["depth"].max()) == depth
    assert table["layer"].iloc[-1] == "linear" and table["depth"].iloc[-1] == depth
    blocks = table.query("kind == 'block'")
    assert len(blocks) == (depth - 2) // 2
    assert list(blocks["depth"]) == list(range(3, depth, 2))


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
def test_the_same_rows_as_record(shortcut: str):
    net, images = cifar_resnet(14, shortcut=shortcut, seed=0), torch.randn(2, 3, 32, 32)
    listed, recorded = list_layers(net, images), record(net, images, gradients=False).layers
    for column in ("layer", "call", "type", "kind", "depth", "stage", "block"):
        assert listed[column].equals(recorded[column]), column
    assert [s[1:] for s in listed["shape"]] == [s[1:] for s in recorded["shape"]]


def test_columns_and_parameters():
    net = cifar_resnet(8, seed=0)
    table = list_layers(net, torch.zeros(1, 3, 32, 32))
    assert list(table) == [
        *("layer", "call", "type", "kind", "depth", "stage", "block", "shape"),
        *("axes", "parameters"),
    ]
    leaves = table.query("kind == 'leaf'").drop_duplicates("layer")
    assert leaves["parameters"].sum() == sum(p.numel() for p in net.parameters())
    assert set(table["stage"]) == {"stem", "layer1", "layer2", "layer3", "head"}


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm])
def test_what_a_weight_is_made_of_counts_to_its_layer(norm):
    def net(change) -> nn.Sequential:
        convolutions = [nn.Conv2d(3, 3, 3, 2, 1, bias=False) for _ in range(3)]
        return nn.Sequential(*map(change, convolutions))

    images = torch.zeros(1, 3, 16, 16)
    before, after = (
        survey(each, Inputs.of(images)) for each in (net(lambda layer: layer), net(norm))
    )
    extra = 3 if norm is weight_norm else 0  # a length for each filter
    parameters = before.table["parameters"] + extra
    assert after.table["parameters"].tolist() == parameters.tolist()
    assert after.steps["layer"].tolist() == before.steps["layer"].tolist() != []


def test_size_from_the_preset_or_as_told():
    net = cifar_resnet(8, seed=0)
    set_preset(net, rv.Preset("mine", "own", HALF, HALF, 32, (32, 48)))
    assert list_layers(net)["shape"].iloc[0] == (1, 16, 32, 48)
    assert list_layers(net, size=64)["shape"].iloc[0] == (1, 16, 64, 64)
    assert list_layers(net.double())["shape"].iloc[0] == (1, 16, 32, 48)


def test_without_images_and_without_a_preset():
    with pytest.raises(ValueError, match=r"list_layers: Sequential has no preset.*; images"):
        list_layers(nn.Sequential(nn.Conv2d(3, 4, 3)))


def test_the_cifar_family_says_itself_what_its_images_look_like():
    assert list_layers(cifar_resnet(8, seed=0))["shape"].iloc[0] == (1, 16, 32, 32)


@pytest.mark.parametrize("net", ["resnet18", None])
def test_no_network(net: object):
    with pytest.raises(TypeError, match="list_layers: .*nn.Module"):
        list_layers(net)


def test_images_of_a_wrong_type():
    with pytest.raises(TypeError, match="list_layers: images are a str; "):
        list_layers(cifar_resnet(8, seed=0), "cat.png")


class Waits(nn.Module):
    """Two inputs, tokens and a mask; a leaf that returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(20, 8), nn.LSTM(8, 8, 2, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        out, _ = self.lstm(self.embed(ids) * mask.unsqueeze(2))
        return self.head(out[:, -1])


def test_two_inputs_and_a_leaf_that_returns_a_tuple():
    net, inputs = Waits().eval(), (torch.randint(0, 20, (3, 5)), torch.ones(3, 5))
    with left_as_found(net):
        table = list_layers(net, inputs)
    recorded = record(net, inputs)
    assert list(recorded.layers["layer"]) == ["embed", "lstm", "head"]
    assert list(table["layer"]) == ["embed", "lstm", "head"]
    assert len(recorded.residuals) == 0
    assert recorded.parameters["grad_norm"].notna().all()


class Gated(nn.Module):
    """A convolution, a way of scaling what it gives, and another convolution."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.place = nn.Conv2d(8, 1, 3, padding=1)

    def scaled(self, x: Tensor) -> Tensor:
        if self.kind == "channels":  # squeeze and excitation
            gate = self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
            return gate * x
        if self.kind == "in place":
            gate = self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
            return x.mul_(gate)
        if self.kind == "places":  # spatial attention
            return torch.mul(x, self.place(x).sigmoid())
        if self.kind == "equal":  # a highway's: nothing is broadcast
            return x * self.last(x).sigmoid()
        return x.mean((2, 3), keepdim=True) * self.first.weight.new_ones(1, 8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.scaled(self.first(x)))


@pytest.mark.parametrize(
    ("kind", "depth", "gates"),
    [
        ("channels", 2, {"squeeze": 2, "excite": 3}),
        ("in place", 2, {"squeeze": 2, "excite": 3}),
        ("places", 2, {"place": 2}),
        ("equal", 3, {}),
        ("pooled", 2, {}),
    ],
)
@pytest.mark.parametrize("size", [8, 1])
def test_a_gate_is_no_main_path(size: int, kind: str, depth: int, gates: dict[str, int]):
    rec = record(Gated(kind), torch.rand(2, 3, size, size), loss=lambda y, _: y.sum((1, 2, 3)))
    weights = rec.parameters[rec.parameters["weighted"] & rec.parameters["grad_norm"].notna()]
    last = rec.layers[rec.layers["layer"] == "last"].iloc[-1]
    assert last["depth"] == depth
    found = weights[weights["gate"]]
    assert dict(zip(found["layer"], found["depth"], strict=True)) == gates


@pytest.mark.parametrize(
    ("name", "depth"),
    # stem; expansion, depthwise and projection in each block, no expansion in the first; head
    [("efficientnet_b0", 1 + 2 + 15 * 3 + 2), ("mobilenet_v3_small", 1 + 2 + 10 * 3 + 3)],
)
def test_depth_with_squeeze_and_excitation(name: str, depth: int):
    net = rv.load_model(name, weights="random", device="cpu")
    for size in (64, 16):  # whose last maps have one position
        assert int(list_layers(net, torch.zeros(1, 3, size, size))["depth"].max()) == depth
