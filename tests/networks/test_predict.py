"""`predict`: the table, whatever the network and its mode; errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from left_as_found import assert_left_as_found, left_as_found
from resviz.networks.cifar import cifar_resnet

NAMES = ("cat", "dog", "fox", "owl")
COLUMNS = ["image", "rank", "index", "label", "probability"]


def preset(classes: tuple[str, ...] | None = None, **about: Any) -> rv.Preset:
    names = (() if about else NAMES) if classes is None else classes
    return rv.Preset("mine", "own", (0, 0, 0), (1, 1, 1), None, None, classes=names, **about)


class Constant(nn.Module):
    """Gives the logits it was made with, one row per image."""

    def __init__(self, logits: Any) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Any:
        return self.logits


class Raising(nn.Module):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        self.conv(x)
        raise self.error


@pytest.fixture
def net() -> nn.Module:
    net = cifar_resnet(8, classes=4, seed=0)
    rv.set_preset(net, preset())
    return net


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 32, 32)


def test_the_table_by_hand() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0], [3.0, 0.0, 0.0, 4.0]])
    table = rv.predict(Constant(logits), torch.zeros(2, 3, 4, 4), top=2, preset=preset())
    assert table.columns.tolist() == COLUMNS
    assert table[["image", "rank", "index", "label"]].values.tolist() == [
        [0, 1, 1, "dog"],
        [0, 2, 2, "fox"],
        [1, 1, 3, "owl"],
        [1, 2, 0, "cat"],
    ]
    e = 2.718281828459045
    total = 1 + e**2 + e + 1 / e
    assert table.probability[0] == pytest.approx(e**2 / total, rel=1e-6)
    assert table.probability[1] == pytest.approx(e / total, rel=1e-6)
    assert table.index.tolist() == [0, 1, 2, 3]


def test_all_classes_in_order_of_probability(net: nn.Module, images: Tensor) -> None:
    table = rv.predict(net, images, top=99)
    assert len(table) == 12 and table["rank"].tolist() == [1, 2, 3, 4] * 3
    with torch.no_grad():
        expected = net(images).softmax(1)
    for image, rows in table.groupby("image"):
        assert rows.probability.is_monotonic_decreasing
        assert rows.probability.sum() == pytest.approx(1, abs=1e-6)
        assert sorted(rows["index"]) == [0, 1, 2, 3]
        assert rows.label.tolist() == [NAMES[index] for index in rows["index"]]
        for index, probability in zip(rows["index"], rows.probability, strict=True):
            assert probability == pytest.approx(expected[image, index].item(), abs=1e-6)


@pytest.mark.parametrize(
    ("logits", "about", "order"),
    [
        ([200.0, 20, 50, 40, 30, -4, 60], {}, [0, 6, 2, 3, 4, 1, 5]),
        ([18.0, 40, 30, 25, 2], {"output": "labels"}, [1, 2, 3, 0, 4]),
        ([18.0, 40, 40, 18, 50], {"output": "labels"}, [4, 1, 2, 0, 3]),
    ],
    ids=["classes", "labels", "equal ones"],
)
def test_probabilities_that_are_equal_by_rounding(
    logits: list[float], about: dict[str, Any], order: list[int]
) -> None:
    """In float32 a sigmoid is 1 from 17.4 on, a softmax 0 from 104 below the largest on."""
    net, said = Constant(torch.tensor([logits])), preset((), **about)
    table = rv.predict(net, torch.zeros(1, 3, 4, 4), top=7, preset=said)
    assert table["index"].tolist() == order
    assert table.probability.is_monotonic_decreasing
    assert rv.predict(net, torch.zeros(1, 3, 4, 4), 1, said)["index"].tolist() == order[:1]


def test_five_by_default_and_names_where_nobody_knows_them(images: Tensor) -> None:
    net = cifar_resnet(8, seed=0)
    table = rv.predict(net, images)
    assert len(table) == 15
    assert table.label.tolist() == [f"class {index}" for index in table["index"]]
    rv.set_preset(net, preset(()))
    assert rv.predict(net, images).label.str.startswith("class ").all()


def test_the_modes_of_the_network_do_not_matter(net: nn.Module, images: Tensor) -> None:
    expected = rv.predict(net, images)
    net.train()
    net.layer2.eval()
    net.linear.weight.grad = torch.ones_like(net.linear.weight)
    net.conv1.register_forward_hook(lambda *_: None)
    table = assert_left_as_found(net, lambda: rv.predict(net, images))
    assert table.equals(expected)
    with torch.inference_mode():
        assert assert_left_as_found(net, lambda: rv.predict(net, images)).equals(expected)
    images.requires_grad_()
    assert assert_left_as_found(net, lambda: rv.predict(net, images)).equals(expected)
    assert images.grad is None


def test_dropout_is_off() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, 4)).train()
    images = torch.randn(2, 3, 2, 2)
    assert rv.predict(net, images).equals(rv.predict(net, images))
    assert net.training


def test_a_network_that_changes_its_input_changes_a_copy() -> None:
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(12, 4))
    images = torch.randn(2, 3, 2, 2)
    before = images.clone()
    rv.predict(net, images)
    assert torch.equal(images, before)


def test_half_precision(images: Tensor) -> None:
    net = cifar_resnet(8, seed=0).bfloat16()
    table = rv.predict(net, images.bfloat16(), top=10)
    assert table.groupby("image").probability.sum().tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_networks_on_something_else_than_pictures() -> None:
    audio = nn.Sequential(nn.Conv1d(1, 4, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    assert len(rv.predict(audio, torch.randn(2, 1, 50), top=1)) == 2
    text = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 4))
    assert len(rv.predict(text, torch.randint(9, (2, 3)), top=1)) == 2


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_the_network_is_left_as_found_after_an_error(error: BaseException, images: Tensor) -> None:
    net = Raising(error).train()
    with pytest.raises(type(error)), left_as_found(net):
        rv.predict(net, images)


@pytest.mark.parametrize(
    ("options", "kind", "what"),
    [
        ({"images": "cat.png"}, TypeError, "images are a str; a tensor .*rv.load_images"),
        ({"images": torch.zeros(3, 32, 32)}, ValueError, r"shape \(3, 32, 32\).*images\[None\]"),
        ({"images": torch.zeros(0, 3, 32, 32)}, ValueError, r"shape \(0, 3, 32, 32\)"),
        ({"images": torch.zeros(5)}, ValueError, r"images of shape \(5,\)"),
        ({"images": torch.zeros(1, 3, 8, 8).byte()}, TypeError, "images of torch.uint8 in a netw"),
        ({"top": 0}, ValueError, "top 0; 1 or more"),
        ({"top": -1}, ValueError, "top -1; "),
        ({"top": 2.5}, TypeError, "top 2.5; a whole number"),
        ({"top": True}, TypeError, "top True; "),
        ({"preset": "resnet50"}, TypeError, "a preset of type str; an rv.Preset"),
        ({"preset": preset(("a", "b"))}, ValueError, "names 2 classes and the network has 4"),
        ({"net": "resnet50"}, TypeError, "a network of type str; an nn.Module"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
def test_bad_arguments(
    net: nn.Module, images: Tensor, options: dict[str, Any], kind: type[Exception], what: str
) -> None:
    with pytest.raises(kind, match=f"^predict: .*{what}"), left_as_found(net.train()):
        rv.predict(**{"net": net, "images": images, **options})


@pytest.mark.parametrize(
    "logits",
    [torch.zeros(2, 3, 4), torch.zeros(3, 4), torch.zeros(2), torch.zeros(2, 1), torch.zeros(2, 5)],
    ids=lambda value: f"{tuple(value.shape)}",
)
@pytest.mark.parametrize("names", [(), ("a", "b", "c")])
def test_networks_that_give_something_else(logits: Tensor, names: tuple[str, ...]) -> None:
    """Rows that are no images, an output whose meaning is open, names of other outputs."""
    if logits.shape == (2, 5) and not names:
        names = ("a",)
    with pytest.raises(ValueError, match=r"^predict: .*the network (gives|has)"):
        rv.predict(Constant(logits), torch.zeros(2, 3, 4, 4), preset=preset(names))


@pytest.mark.parametrize("returned", [None, (torch.zeros(2, 4), torch.zeros(2, 9)), "logits"])
def test_networks_of_which_no_part_is_known_to_be_the_output(returned: Any) -> None:
    with pytest.raises(TypeError, match=r"^predict: the network returned .*; a tensor, a field"):
        rv.predict(Constant(returned), torch.zeros(2, 3, 4, 4))


def test_the_part_that_the_preset_picks() -> None:
    """Never believed, also where the first of two tensors could be logits: said once."""
    features, logits = torch.rand(2, 16), torch.tensor([[0.0, 1.0], [3.0, 0.0]])
    said = preset(("cat", "dog"), logits=1)
    table = rv.predict(Constant((features, logits)), torch.zeros(2, 3, 4, 4), 1, said)
    assert table["label"].tolist() == ["dog", "cat"]
    named = preset(("cat", "dog"), logits="scores")
    again = rv.predict(Constant({"scores": logits}), torch.zeros(2, 3, 4, 4), 1, named)
    assert again["label"].tolist() == ["dog", "cat"]


def test_what_each_kind_of_output_says() -> None:
    """Sigmoids, two sides, values and shares, against the numbers by hand."""
    images = torch.zeros(1, 3, 4, 4)

    def said(logits: Any, **about: Any) -> tuple[list[str], list[float]]:
        table = rv.predict(Constant(torch.tensor(logits)), images, preset=preset(**about))
        return table["label"].tolist(), table.iloc[:, -1].round(6).tolist()

    half = math.log(3)  # a probability of 3/4
    assert said([[half, -half, 0.0]], output="labels", classes=("a", "b", "c")) == (
        ["a", "c", "b"],
        [0.75, 0.5, 0.25],
    )
    sides = ("healthy", "ill")
    for logits in ([[-half]], [-half]):
        assert said(logits, output="logit", classes=sides) == (["healthy", "ill"], [0.75, 0.25])
    assert said([[half]], classes=sides) == (["ill", "healthy"], [0.75, 0.25])  # two names tell
    assert said([[-4.0]], output="values") == (["value 0"], [-4.0])
    assert said([[2.0, 7.0]], output="values", classes=("x", "y")) == (["y", "x"], [7.0, 2.0])
    one = [[[[1.0, -1.0], [2.0, 3.0]]]]
    assert said(one, output="map") == (["class 0"], [0.75])
    two = [[[[1.0, -1.0], [2.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]]]
    assert said(two, output="map") == (["class 0", "class 1"], [0.75, 0.25])


def test_what_a_table_says_of_the_output() -> None:
    years = preset(output="values", units="years")
    table = rv.predict(Constant(torch.ones(1, 1)), torch.zeros(1, 3, 4, 4), preset=years)
    assert table.columns.tolist() == ["image", "rank", "index", "label", "value"]
    assert table.attrs == {"output": "values", "output_said": True, "units": "years"}
    with pytest.raises(ValueError, match="features, as the preset says"):
        rv.predict(
            Constant(torch.ones(1, 8)), torch.zeros(1, 3, 4, 4), preset=preset(output="none")
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite(value: float) -> None:
    logits = torch.zeros(3, 4)
    logits[1, 2] = value
    with pytest.raises(rv.NonFinite, match=r"^predict: .* for image 1 \(1 of 3 images\); finite"):
        rv.predict(Constant(logits), torch.zeros(3, 3, 4, 4))


def test_what_is_a_probability_already_is_said() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Softmax(1))
    images = torch.randn(2, 3, 2, 2)
    for call in (rv.predict, rv.record):
        with pytest.warns(rv.ResvizWarning, match="sum to 1, as probabilities do"):
            call(net, images)
    rv.predict(net[:2], images)


def test_a_network_that_squeezes_a_single_image() -> None:
    class Squeezes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(12, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(1)).squeeze()

    torch.manual_seed(0)
    net, images = Squeezes(), torch.randn(3, 3, 2, 2)
    preset = rv.Preset("mine", "own", output="values")
    found = rv.predict(net, images[:1], preset=preset)["value"].tolist()
    assert found == pytest.approx(net(images)[:1].tolist())
    loss = rv.record(net, images[:1], [1.0], preset=preset).loss
    assert loss.tolist() == pytest.approx(((net(images)[:1] - 1) ** 2).tolist())


def test_one_number_for_several_images_is_refused() -> None:
    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(1)).mean()

    for call in (rv.predict, rv.record):
        with pytest.raises(ValueError, match="for 2 images"):
            call(Loss(), torch.randn(2, 3, 2, 2))


@pytest.mark.parametrize("about", [{"output": "logit"}, {"output": "labels"}])
def test_a_sigmoid_in_the_network_is_said(about: dict[str, str]) -> None:
    """A second sigmoid would follow; a linear layer whose outputs lie so is left in peace."""
    torch.manual_seed(0)
    linear = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    ).eval()
    with torch.no_grad():
        linear[4].weight.fill_(0.01)  # type: ignore[union-attr, operator]
        linear[4].bias.fill_(0.5)  # type: ignore[union-attr, operator]
    images, known = torch.rand(2, 3, 4, 4), preset(**about)
    side = int(about["output"] == "logit")
    net = nn.Sequential(*linear, nn.Sigmoid()).eval()
    sure = "come from a sigmoid, as probabilities do"
    assert rv.predict(linear, images, preset=known)["probability"].max() < 1
    rv.explain(linear, images, side, layers="1", preset=known)
    with pytest.warns(rv.ResvizWarning, match=f"predict: .*{sure}.* without its sigmoid"):
        rv.predict(net, images, preset=known)
    with pytest.warns(rv.ResvizWarning, match=f"record: .*{sure}"):
        rv.record(net, images, preset=known)
    with pytest.warns(rv.ResvizWarning, match=f"explain: .*{sure}"):
        exp = rv.explain(net, images, side, layers="1", preset=known)
    with pytest.warns(rv.ResvizWarning, match=f"faithfulness: .*{sure}"):
        rv.faithfulness(
            net, images, exp, preset=known, checks=["deletion"], steps=2, progress=False
        )


class Sure(nn.Module):
    """Ends in a sigmoid, over a map or over labels; its input is scaled in place."""

    def __init__(self, channels: int, pooled: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.pooled = nn.Conv2d(3, channels, 3, padding=1), pooled

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x.sub_(0.5).div_(0.25))
        return (maps.mean((2, 3)) if self.pooled else maps).sigmoid()


@pytest.mark.parametrize(
    ("channels", "pooled", "known", "more"),
    [
        (1, False, None, "sigmoid would be right[.]"),
        (4, True, None, r'right with rv[.]Preset[(]output="labels"[)][.]'),
        (4, True, "labels", "sigmoid would be right[.]"),
    ],
)
def test_a_sigmoid_over_maps_and_over_labels_nobody_named(
    channels: int, pooled: bool, known: str | None, more: str
) -> None:
    about = {} if known is None else {"preset": preset(output=known)}
    with pytest.warns(rv.ResvizWarning, match=f"come from a sigmoid.*{more}"):
        rv.predict(Sure(channels, pooled).eval(), torch.rand(2, 3, 8, 8), **about)


def test_a_softmax_over_a_map() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Softmax(1)).eval()
    with pytest.warns(rv.ResvizWarning, match="sum to 1.*without its softmax"):
        rv.predict(net, torch.rand(2, 3, 8, 8))
