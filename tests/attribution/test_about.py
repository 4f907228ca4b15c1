"""Several inputs: which one a map is about, against the network with the others held fixed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from resviz.attribution.about import dependence
from resviz.given import Inputs

G = torch.Generator().manual_seed(0)
RGB, TABLE = torch.rand(2, 3, 12, 12, generator=G), torch.rand(2, 5, generator=G)
DEPTH = torch.rand(2, 3, 8, 16, generator=G)  # of other proportions
PRESET = rv.Preset("toy", "own", (0.5,) * 3, (0.5,) * 3, resize=None, crop=None)


def encoder() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))


class TwoBranches(nn.Module):
    """Colour and depth, each with an encoder of its own, and a table that weighs nothing much."""

    def __init__(self) -> None:
        super().__init__()
        self.colour, self.depth, self.head = encoder(), encoder(), nn.Linear(13, 3)

    def forward(self, rgb: Tensor, depth: Tensor, table: Tensor) -> Tensor:
        seen = self.colour((rgb - 0.5) / 0.5), self.depth(depth * 2)
        return self.head(torch.cat([*(each.mean((2, 3)) for each in seen), table], 1))


class Siamese(nn.Module):
    """One backbone for both."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = encoder(), nn.Linear(4, 3)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        one, other = (self.backbone(each).mean((2, 3)) for each in (first, second))
        return self.head(one * other)


class Fixed(nn.Module):
    """A network of one input, the others being what they were; image by image."""

    def __init__(self, net: nn.Module, inputs: tuple[Tensor, ...], number: int) -> None:
        super().__init__()
        self.net, self.inputs, self.number = net, inputs, number

    def forward(self, picture: Tensor) -> Tensor:
        others = [tensor[:1].expand(len(picture), *tensor.shape[1:]) for tensor in self.inputs]
        others[self.number] = picture
        return self.net(*others)


@pytest.fixture(scope="module")
def two() -> nn.Module:
    return TwoBranches().eval()


@pytest.fixture(scope="module")
def siamese() -> nn.Module:
    return Siamese().eval()


GIVEN = (RGB, DEPTH, TABLE)
NAMED = {"table": TABLE, "depth": DEPTH, "rgb": RGB}


def test_what_depends_on_what(two: nn.Module, siamese: nn.Module) -> None:
    found = dependence(two, Inputs.of(GIVEN))
    assert found["colour", 0] == found["colour.2", 0] == {0}
    assert found["depth.1", 0] == {1}
    assert found["head", 0] == {0, 1, 2}
    found = dependence(siamese, Inputs.of((RGB, DEPTH)))
    assert (found["backbone", 0], found["backbone", 1]) == ({0}, {1})


@pytest.mark.parametrize("images", [GIVEN, NAMED], ids=["tuple", "dict"])
def test_the_layer_says_which(two: nn.Module, images: object) -> None:
    how = {"layers": ["colour.2", "depth.2"], "relu": False, "preset": PRESET}
    exp = rv.explain(two, images, 1, **how)
    names = ("0", "1") if isinstance(images, tuple) else ("rgb", "depth")
    assert (exp.input_of("colour.2"), exp.input_of("depth.2")) == names
    assert exp.upsampled("grad_cam", "colour.2").shape[2:] == (12, 12)
    assert exp.upsampled("grad_cam", "depth.2").shape[2:] == (8, 16)
    assert exp.pictures_of("colour.2").shape == (2, 12, 12, 3)
    assert exp.pictures_of("depth.2").shape == (2, 8, 16, 3)
    assert exp.provenance["input_chosen"] == "that the layer depends on"


def test_each_call_of_a_shared_backbone(siamese: nn.Module, tmp_path: object) -> None:
    layers = [("backbone.2", 0), ("backbone.2", 1)]
    exp = rv.explain(siamese, (RGB, DEPTH), 1, layers=layers, relu=False, preset=PRESET)
    assert [exp.input_of(layer) for layer in exp.layers] == ["0", "1"]
    rows = exp.provenance["explained"]
    assert [row["input_shape"] for row in rows] == [[2, 3, 12, 12], [2, 3, 8, 16]]
    exp.save(tmp_path / "pair.resviz")
    again = rv.load_explanation(tmp_path / "pair.resviz")
    assert again.equals(exp)
    assert torch.equal(again.pictures_of("backbone.2#1"), exp.pictures_of("backbone.2#1"))
    figure = rv.plot_explanation(again)
    assert [trace.type for trace in figure.data].count("image") == 3
    assert "maps over input 0 and input 1" in figure.layout.title.text


def test_the_view_has_the_photographs_of_both(two: nn.Module) -> None:
    layers = ["colour.2", "depth.2"]
    exp = rv.explain(two, NAMED, 1, layers=layers, relu=False, preset=PRESET)
    meta = rv.explore_explanation(exp).payload().meta
    assert meta["pictures"]["shape"] == [2, 8, 16, 3]
    assert {layer: one["size"] for layer, one in meta["over"].items()} == {"colour.2": [12, 12]}
    assert meta["over"]["colour.2"]["pictures"]["shape"] == [2, 12, 12, 3]


METHODS = ["grad_cam", "score_cam", "saliency", "occlusion", "guided_grad_cam"]


@pytest.mark.parametrize(
    ("number", "layer"), [(0, "colour.2"), (1, "depth.2")], ids=["colour", "depth"]
)
@pytest.mark.parametrize("asked", [True, False])
def test_equal_to_the_network_of_that_input(
    two: nn.Module, number: int, layer: str, asked: bool
) -> None:
    one = tuple(tensor[:1] for tensor in GIVEN)
    how = {"methods": METHODS, "layers": layer, "relu": False, "progress": False}
    exp = rv.explain(two, one, 1, input=number if asked else None, **how)
    alone = Fixed(two, one, number).eval()
    expected = rv.explain(alone, one[number], 1, **how | {"layers": f"net.{layer}"})
    for (method, _), values in exp.maps.items():
        at = "input" if (method, "input") in expected.maps else f"net.{layer}"
        torch.testing.assert_close(values, expected.maps[method, at])
    assert exp.provenance["input"] == str(number)
    checks = {"checks": ["deletion", "drop"], "steps": 4, "progress": False}
    table = rv.faithfulness(two, one, exp, **checks)
    other = rv.faithfulness(alone, one[number], expected, **checks)
    for column in ("deletion", "drop"):
        assert table[column].tolist() == pytest.approx(other[column].tolist(), abs=1e-6)


def test_the_input_that_was_asked_for(two: nn.Module, siamese: nn.Module) -> None:
    exp = rv.explain(two, NAMED, 1, methods=["saliency"], input="depth", progress=False)
    assert exp.maps["saliency", "input"].shape == (2, 1, 8, 16)
    assert (exp.provenance["input"], exp.provenance["input_chosen"]) == ("depth", "as asked")
    first = rv.explain(two, NAMED, 1, methods=["saliency"], progress=False)
    assert (first.provenance["input"], first.provenance["input_chosen"]) == (
        "depth",
        "the first picture",
    )
    auto = {
        name: rv.explain(two, NAMED, 1, relu=False, input=name).layers for name in ("rgb", "depth")
    }
    assert auto == {"rgb": ["colour.2"], "depth": ["depth.2"]}
    calls = [rv.explain(siamese, (RGB, DEPTH), 1, relu=False, input=n).layers for n in (0, 1)]
    assert calls == [["backbone.2"], ["backbone.2#1"]]


def test_a_table_beside_a_picture(two: nn.Module) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.head = encoder(), nn.Linear(9, 3)

        def forward(self, table: Tensor, picture: Tensor) -> Tensor:
            return self.head(torch.cat([table, self.features(picture).mean((2, 3))], 1))

    exp = rv.explain(Mixed().eval(), (TABLE, RGB), 1, relu=False)
    assert exp.provenance["input"] == "1"
    assert exp.provenance["inputs"] == {"0": [2, 5], "1": [2, 3, 12, 12]}
    assert exp.provenance["input_chosen"] == "the only picture"
    assert exp.upsampled("grad_cam", exp.layers[0]).shape == (2, 1, 12, 12)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"input": 3}, ValueError, "input 3; 0 to 2"),
        ({"input": "dept"}, ValueError, "input 'dept'; one of table, depth, rgb.*'depth'"),
        ({"input": 1.5}, TypeError, "input 1.5; its position, or its keyword"),
        (
            {"input": "rgb", "layers": "depth.2"},
            ValueError,
            "layer 'depth.2' depends on depth and not on 'rgb'.*colour.2",
        ),
    ],
)
def test_what_cannot_be(two: nn.Module, how: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=f"^explain: {words}"):
        rv.explain(two, NAMED, 1, **how)


def test_checks_are_of_one_input(two: nn.Module) -> None:
    exp = rv.explain(two, GIVEN, 1, layers=["colour.2", "depth.2"], relu=False)
    with pytest.raises(ValueError, match="faithfulness: maps about the inputs 0, 1; of one"):
        rv.faithfulness(two, GIVEN, exp)


def test_one_input_says_nothing(two: nn.Module) -> None:
    net = nn.Sequential(encoder(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    exp = rv.explain(net, RGB, 1, layers="0", relu=False)
    assert exp.input_of("0") is None
    assert not {"input", "inputs", "input_chosen"} & set(exp.provenance)
