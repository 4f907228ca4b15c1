"""`faithfulness`: the table, its words, errors, networks of all kinds, left as found."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from left_as_found import assert_left_as_found, left_as_found
from resviz.attribution.trust.removal import area, filled, ranks_of, resized, steps_of
from resviz.attribution.trust.verdict import beats_random, standing, summaries, words_of
from resviz.networks.cifar import cifar_resnet

pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")
FAST = ["deletion", "insertion", "road", "drop"]


@pytest.fixture
def net() -> nn.Module:
    return cifar_resnet(8, seed=0)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 24, 16)


@pytest.fixture
def exp(net: nn.Module, images: Tensor) -> rv.Explanation:
    methods = ["layer_cam", "integrated_gradients"]
    options = {"integrated_gradients": {"steps": 4}}
    return rv.explain(
        net, images, [[1, 2], [3, 4]], methods=methods, layers=["layer1", "layer2"], options=options
    )


def test_the_table(net: nn.Module, images: Tensor, exp: rv.Explanation) -> None:
    table = rv.faithfulness(net, images, exp, steps=5, boxes=[[0, 0, 8, 8], [4, 4, 16, 24]])
    keys = [("layer_cam", "layer1"), ("layer_cam", "layer2"), ("integrated_gradients", "input")]
    assert list(zip(table["method"], table["layer"], strict=True))[::4] == keys
    assert list(table["image"]) == [0, 0, 1, 1] * 3
    assert list(table["target"]) == ["class 1", "class 2", "class 3", "class 4"] * 3
    assert list(table.columns) == [
        *("method", "layer", "image", "target", "index", "score"),
        *("deletion", "deletion_random", "insertion", "insertion_random", "p_random", "road"),
        *("drop", "increase", "pointing", "energy", "iou"),
        *("randomised_head", "randomised_upper", "randomised"),
        *("deletion_curve", "deletion_random_curve", "insertion_curve", "insertion_random_curve"),
        *("randomisation_curve", "words"),
    ]
    with torch.no_grad():
        probability = net.eval()(images).softmax(1)
    np.testing.assert_allclose(table["score"][:4], probability[[0, 0, 1, 1], [1, 2, 3, 4]], 1e-5)
    for row in table.to_dict("records"):
        assert len(row["deletion_curve"]) == len(row["insertion_random_curve"]) == 6
        assert row["deletion_curve"][0] == row["insertion_curve"][-1] == row["score"]
        assert row["deletion"] == pytest.approx(area(row["deletion_curve"]))
    assert json.dumps(table.attrs)
    assert table.attrs["provenance"]["score"] == "probability"
    assert list(table.attrs["words"]) == [f"{m} at {layer}" for m, layer in keys]


@pytest.mark.thorough
def test_fast_agrees_with_the_obvious_way(net: nn.Module, images: Tensor) -> None:
    """Each picture made by hand and run alone, in float64."""
    net, images = net.double(), images.double()
    exp = rv.explain(net, images, [1, 2], methods="layer_cam", layers="layer2")
    target = rv.target(1) - rv.target(2)
    both = rv.explain(net, images, target, methods="layer_cam", layers="layer2")
    for e, given, seen in (
        (exp, None, lambda out, i: out.float().softmax(1)[0, i + 1]),
        (both, target, lambda out, i: out[0, 1] - out[0, 2]),
    ):
        table = rv.faithfulness(net, images, e, given, checks=FAST, steps=6, chunk=5)
        one = rv.faithfulness(net, images, e, given, checks=FAST, steps=6, chunk=1)
        for column in ("deletion", "insertion", "road", "drop", "deletion_random"):
            np.testing.assert_allclose(table[column], one[column], rtol=1e-5, atol=1e-9)
        for image in range(2):
            values = resized(e.maps["layer_cam", "layer2"][image], (24, 16))[0]
            ranks, picture = ranks_of(values), images[image]
            blur = filled("blur", images)[image]
            for name, base in (("deletion", torch.zeros_like(picture)), ("insertion", blur)):
                curve = []
                for count in steps_of(24 * 16, 6):
                    variant = picture.clone()
                    chosen = ranks < count if name == "deletion" else ranks >= count
                    variant[:, chosen] = base[:, chosen]
                    with torch.no_grad():
                        curve.append(float(seen(net(variant[None]), image)))
                np.testing.assert_allclose(table[f"{name}_curve"][image], curve, rtol=1e-6)


@pytest.mark.thorough
def test_rows_do_not_depend_on_the_other_images(
    net: nn.Module, images: Tensor, exp: rv.Explanation
) -> None:
    """Nor on which checks are asked for; the first image alone gives its rows."""
    table = rv.faithfulness(net, images, exp, checks=FAST, steps=4)
    part = dataclasses.replace(
        exp,
        maps={key: maps[:1] for key, maps in exp.maps.items()},
        targets=exp.targets[:1],
        target_names=exp.target_names[:1],
        scores=exp.scores[:1],
    )
    alone = rv.faithfulness(net, images[:1], part, checks=["deletion"], steps=4)
    rows = table[table["image"] == 0]
    np.testing.assert_allclose(alone["deletion"], rows["deletion"], rtol=1e-4)
    np.testing.assert_allclose(alone["deletion_random"], rows["deletion_random"], rtol=1e-4)
    assert "insertion" not in alone and "road" not in alone and "increase" not in alone
    again = rv.faithfulness(net, images, exp, checks=FAST, steps=4)
    assert table.equals(again)
    other = rv.faithfulness(net, images, exp, checks="deletion", steps=4, seed=1)
    assert not other["deletion_random"].equals(table["deletion_random"])
    assert other["deletion"].equals(table["deletion"])


def test_maps_of_one_resolution_share_their_random_maps(
    net: nn.Module, images: Tensor, exp: rv.Explanation
) -> None:
    maps = exp.maps["layer_cam", "layer2"]
    two = dataclasses.replace(exp, maps={("a", "layer2"): maps, ("b", "layer2"): maps.flip(3)})
    table = rv.faithfulness(net, images, two, checks="insertion", steps=4)
    assert list(table["insertion_random"][:4]) == list(table["insertion_random"][4:])


def test_blank_maps_have_no_order(net: nn.Module, images: Tensor, exp: rv.Explanation) -> None:
    blank = dataclasses.replace(exp, maps={("layer_cam", "layer2"): torch.zeros(2, 2, 6, 4)})
    table = rv.faithfulness(net, images, blank, steps=4, boxes=[[0, 0, 4, 4]] * 2)
    for column in ("deletion", "insertion", "road", "drop", "energy", "iou", "randomised_upper"):
        assert table[column].isna().all(), column
    assert table["deletion_random"].notna().all()
    assert set(table["deletion_curve"]) == set(table["randomisation_curve"]) == {()}
    assert not table["pointing"].any() and not table["increase"].any()
    assert table["words"].str.contains("the same everywhere").all()


# ---- left as found
def test_left_as_found(net: nn.Module, images: Tensor, exp: rv.Explanation) -> None:
    net.train()
    net.conv1.weight.grad = torch.ones_like(net.conv1.weight)
    assert_left_as_found(net, lambda: rv.faithfulness(net, images, exp, steps=3))
    with pytest.raises(ValueError, match="no check"), left_as_found(net):
        rv.faithfulness(net, images, exp, checks="deletions")


@pytest.mark.parametrize("at", [2, 9, 20, 40])
def test_left_as_found_after_an_interrupt(
    net: nn.Module, images: Tensor, exp: rv.Explanation, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the n-th pass of the network or of its copy."""
    calls, forward = 0, type(net).forward

    def interrupted(self: nn.Module, x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return forward(self, x)

    monkeypatch.setattr(type(net), "forward", interrupted)
    with pytest.raises(KeyboardInterrupt), left_as_found(net):
        rv.faithfulness(net, images, exp, steps=4, chunk=8)


@pytest.mark.thorough
def test_under_no_grad_and_inference_mode(
    net: nn.Module, images: Tensor, exp: rv.Explanation
) -> None:
    table = rv.faithfulness(net, images, exp, steps=3)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert rv.faithfulness(net, images, exp, steps=3).equals(table)


# ---- networks of other kinds
class TwoInputs(nn.Module):
    """A picture and a number; a tuple as the output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.conv(x)) * extra[:, :, None, None]
        return self.fc(x.mean((2, 3))), x


def test_several_inputs() -> None:
    net, inputs = TwoInputs(), (torch.rand(3, 1, 9, 7), torch.rand(3, 1))
    rv.set_preset(net, rv.Preset("two", "own", 0.5, 0.5, None, None, logits=0))
    exp = rv.explain(net, inputs, [0, 1, 2], methods="hires_cam", layers="conv", relu=False)
    table = rv.faithfulness(net, inputs, exp, steps=3)
    assert len(table) == 3 and table["randomised"].notna().all()
    with torch.no_grad():
        expected = net(*inputs)[0].softmax(1).diagonal()
    np.testing.assert_allclose(table["score"], expected, rtol=1e-5)


class Dense(nn.Module):
    """A map per class."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.top = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(torch.relu(self.conv(x)))


def test_dense_outputs_keep_their_region() -> None:
    """The region where the trained network says the class, in the randomised copies too."""
    net, image = Dense(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        seen = int(net(image).argmax(1).flatten().mode().values)
    exp = rv.explain(net, image, seen, methods="layer_cam", layers="conv")
    table = rv.faithfulness(net, image, exp, steps=3)
    assert table["score"][0] == pytest.approx(float(exp.scores[0, 0]), rel=1e-5)
    assert table.attrs["provenance"]["score"] == "score"


def test_any_seed_that_a_generator_takes(net: nn.Module, images: Tensor) -> None:
    exp = rv.explain(net, images[:1], 1, methods="layer_cam", layers="layer2")
    rv.faithfulness(net, images[:1], exp, checks="deletion", steps=2, seed=2**64 - 1)


def test_regions_are_those_that_were_explained() -> None:
    net, image = Dense(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        net.top.bias[1] += 0.45
    mask = torch.zeros(8, 8)
    mask[:4] = 1
    whole, part = rv.target(1, region="all"), rv.target(1, region=mask)
    exp = rv.explain(net, image, [[whole, part, 1]], layers="conv")
    assert exp.target_names == [["class 1 (all)", "class 1 (mask of 32)", "class 1"]]
    with pytest.raises(ValueError, match=r"'class 1 \(mask of 32\)' is about a mask, and an expl"):
        rv.faithfulness(net, image, exp)
    alone = rv.explain(net, image, whole, layers="conv", relu=False)
    for targets in (None, whole):
        table = rv.faithfulness(net, image, alone, targets, checks="deletion", steps=3)
        assert table["score"][0] == pytest.approx(float(alone.scores), rel=1e-5)
    for other in (1, part):
        with pytest.raises(ValueError, match=r"and an explanation of \[\['class 1 \(all\)'\]\]"):
            rv.faithfulness(net, image, alone, other, checks="deletion", steps=3)


@pytest.mark.thorough
def test_functions_and_differences_are_given_again(net: nn.Module, images: Tensor) -> None:
    def margin(output: Tensor) -> Tensor:
        return output[:, 1] - output[:, 2]

    exp = rv.explain(net, images, margin, methods="layer_cam", layers="layer2")
    with pytest.raises(ValueError, match="faithfulness: the target 'margin' is no single class"):
        rv.faithfulness(net, images, exp)
    table = rv.faithfulness(net, images, exp, margin, steps=3)
    same = rv.target(1) - rv.target(2)
    difference = rv.explain(net, images, same, methods="layer_cam", layers="layer2")
    other = rv.faithfulness(net, images, difference, same, steps=3)
    numbers = ["score", "deletion", "insertion", "road", "randomised"]
    np.testing.assert_allclose(table[numbers], other[numbers], rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_bfloat16(net: nn.Module, images: Tensor) -> None:
    net, images = net.bfloat16(), images.bfloat16()
    exp = rv.explain(net, images, [1, 2], methods="layer_cam", layers="layer2")
    table = rv.faithfulness(net, images, exp, steps=3)
    assert table["deletion"].between(0, 1).all()


@pytest.mark.gpu
def test_gpu_agrees_with_the_cpu(images: Tensor) -> None:
    tables = []
    for device in ("cpu", "cuda"):
        net = cifar_resnet(8, seed=0).to(device)
        exp = rv.explain(net, images.to(device), [1, 2], methods="layer_cam", layers="layer2")
        tables.append(
            assert_left_as_found(
                net,
                lambda net=net, exp=exp, device=device: rv.faithfulness(
                    net, images.to(device), exp, steps=6
                ),
            )
        )
    numbers = ["score", "deletion", "insertion", "deletion_random", "road", "drop", "randomised"]
    np.testing.assert_allclose(tables[0][numbers], tables[1][numbers], rtol=0.02, atol=0.02)


# ---- words
def test_words() -> None:
    row = {"score": 0.9, "deletion": 0.12, "deletion_random": 0.35}
    row |= {"insertion": 0.61, "insertion_random": 0.4, "randomised_upper": 0.1}
    start = "deletion 0.12 against 0.35 for a random map, insertion 0.61 against 0.40"
    assert words_of(row, "clearly", False, True) == (
        f"{start}, changes when the weights do: passes both checks"
    )
    assert words_of(row, "no", False, True).endswith("no better than a random map")
    assert words_of(row, "worse", False, True).endswith("worse than a random map")
    stuck = {**row, "randomised_upper": 0.8}
    assert words_of(stuck, "clearly", False, True) == (
        f"{start}, stays much the same when the weights change (correlation 0.80): "
        "not to be trusted"
    )
    faint = {**row, "score": 0.01}
    assert words_of(faint, "hardly", False, True).endswith(
        "not clearly better than a random map (with a score of 0.01 the curves have little room)"
    )


def test_a_difference_that_no_one_would_notice_is_none() -> None:
    """A rank test is sure of a ten thousandth of a probability; the words are not."""
    row = {"score": 0.9999, "p_random": 0.025, "randomised_upper": 0.1}
    row |= {"deletion": 0.9992, "deletion_random": 0.9998}
    row |= {"insertion": 0.9997, "insertion_random": 0.9998}
    names = [f"{name}{kind}" for name in ("deletion", "insertion") for kind in ("", "_random")]
    row |= {f"{name}_curve": [0.9999, 0.9990] for name in names}
    for p_random in (0.025, 0.3, 0.7, 0.99):  # better or worse: nothing moves
        assert standing(row | {"p_random": p_random}, True) == "still"
    assert words_of(row, "still", False, True).endswith("so that no map can be judged by it")
    values = {"score": 10.0, "p_random": 1.0, "deletion_curve": (10.0, 10.0)}
    assert standing(values, False) == "still"
    assert standing(values | {"deletion_curve": (10.0, 9.9)}, False) == "worse"
    moves = row | {f"{name}_curve": [0.9999, 0.1] for name in names}
    found = [standing(moves | {"p_random": p}, True) for p in (0.025, 0.3, 0.7, 0.99)]
    assert found == ["moot", "moot", "no", "moot"]
    assert words_of(moves, "moot", False, True).endswith(
        "too little apart from a random map to matter"
    )
    table = pd.DataFrame([{"method": "layer_cam", "layer": "a", "image": 0} | row] * 3)
    (line,) = summaries(table, ["still", "moot", "clearly"], 39, "noise").values()
    assert "clearly better than a random map on 1 of 3, on 2 too little apart" in line
    assert standing(moves | {"deletion": 0.9}, True) == "clearly"
    assert standing(row | {"score": 0.01}, True) == "clearly"  # its room is said already
    assert standing(row, False) == "clearly"  # a score has units that nobody knows


def test_the_verdict_by_hand() -> None:
    verdicts = [beats_random(p) for p in (0.025, 0.05, 0.075, 0.5, 0.525, 0.95, 0.975)]
    assert verdicts == ["clearly", "clearly", "hardly", "hardly", "no", "no", "worse"]
    assert beats_random(float("nan")) == ""


def test_the_words_state_the_test(net: nn.Module, images: Tensor, exp: rv.Explanation) -> None:
    """Draws, level and p in each row, and over all images in each summary."""
    table = rv.faithfulness(net, images, exp, checks=["deletion", "insertion"], rivals=19)
    for row in table.to_dict("records"):
        behind = 20 - round(row["p_random"] * 20)
        said = f"ahead of {behind} of 19 random maps of its resolution (rank test, one-sided, "
        said += f"over the first 4/7 of the curves, p {row['p_random']:.3f}, level 0.05)"
        assert said in row["words"]
    for line in table.attrs["words"].values():
        assert "(over all p " in line
        assert line.endswith(
            "; one-sided rank test of each, over the first 4/7 of the curves, against 19 random "
            "maps of its resolution, level 0.05)"
        )
    assert table.attrs["provenance"]["rivals"] == 19


def against_noise(net: nn.Module, images: Tensor, layer: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of Grad-CAM and of a random map put in by hand, with `lead`: insertion minus deletion,
    less that of random maps.
    """
    exp = rv.explain(net, images, methods="grad_cam", layers=layer)
    shape = exp.maps["grad_cam", layer].shape
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    mixed = dataclasses.replace(exp, maps={**exp.maps, ("random", layer): noise})
    checks = ["deletion", "insertion", "randomisation"]
    table = rv.faithfulness(net, images, mixed, checks=checks, steps=10)
    print(*table["words"], sep="\n")
    apart = table["insertion"] - table["deletion"]
    random = table["insertion_random"] - table["deletion_random"]
    good, bad = (
        rows for _, rows in table.assign(lead=apart - random).groupby("method", sort=False)
    )
    return good, bad


@pytest.mark.thorough
def test_real_maps_beat_random_ones(testdata: Path) -> None:
    """On 20 images of CIFAR-10; a random map would be called better on one of them."""
    net = rv.load_model("cifar10-resnet20", device="cpu")
    stored = np.load(testdata / "cifar10" / "cifar10_test_lossless_502.npz")
    preset = rv.preset_of(net)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (preset.mean, preset.std))
    pixels = torch.from_numpy(stored["images"][:500:25]).permute(0, 3, 1, 2).float() / 255
    good, bad = against_noise(net, (pixels - mean) / std, "layer3")
    assert good["lead"].mean() > 3 * good["lead"].sem()
    assert good["words"].str.endswith("passes both checks").sum() >= 4  # by chance in 1.6 %
    assert bad["words"].str.endswith("passes both checks").sum() <= 3


@pytest.mark.slow
@pytest.mark.long  # a minute, and again what is seen on CIFAR
def test_real_maps_of_photographs_beat_random_ones(use_torch_home: Path, testdata: Path) -> None:
    net = rv.load_model("resnet18", weights="IMAGENET1K_V1", device="cpu")
    images = rv.load_images(sorted((testdata / "imagenet").glob("*.jpg"))[7:100:40], net)
    good, bad = against_noise(net, images, "layer4")
    assert good["lead"].mean() > 0.2
    assert good["words"].str.endswith("passes both checks").sum() >= 2
    assert bad["words"].str.endswith("than a random map").all()
    assert bad["words"].str.contains("no better|not clearly better|worse").all()


# ---- errors
@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"checks": "deletoin"}, ValueError, "closest: 'deletion'"),
        ({"steps": 0}, ValueError, "steps 0; 1 to 384"),
        ({"steps": 1000}, ValueError, "1 to 384"),
        ({"steps": 2.0}, TypeError, "steps 2.0"),
        ({"draws": 1}, ValueError, "draws 1; 2 or more"),
        ({"rivals": 18}, ValueError, "rivals 18; 19 or more"),
        ({"null": "nois"}, ValueError, "null 'nois'; one of noise, spectrum"),
        ({"seed": -1}, ValueError, "seed -1"),
        ({"chunk": 0}, ValueError, "chunk 0"),
        ({"baseline": "meen"}, ValueError, "baseline='meen'; closest: 'mean'"),
        ({"reveal": None}, TypeError, "reveal=None"),
        ({"reveal": float("nan")}, TypeError, "reveal=nan"),
        ({"baseline": torch.zeros(5)}, ValueError, r"shape \(5,\)"),
        ({"baseline": torch.full((3,), float("inf"))}, ValueError, "finite"),
        ({"percentages": ()}, ValueError, "no percentages"),
        ({"percentages": (0,)}, ValueError, "percentage 0; a finite number above 0"),
        ({"percentages": (99.99,)}, ValueError, "leaves at least one"),
        ({"percentages": ("a",)}, TypeError, "percentage 'a'"),
        ({"boxes": [[0, 0, 17, 4]] * 2}, ValueError, "whole pixels"),
        ({"targets": [[1, 2], [3, 5]]}, ValueError, "targets that were explained"),
    ],
)
def test_bad_settings(
    net: nn.Module,
    images: Tensor,
    exp: rv.Explanation,
    settings: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=f"faithfulness: .*{words}"):
        rv.faithfulness(net, images, exp, **settings)


def test_batch_statistics_are_of_all_images(net: nn.Module, images: Tensor) -> None:
    exp = rv.explain(net, images.repeat(4, 1, 1, 1), 1, batch_stats=True)
    with pytest.raises(ValueError, match="faithfulness: an explanation with batch_stats=True"):
        rv.faithfulness(net, images.repeat(4, 1, 1, 1), exp)


def test_other_images_with_scores_alike() -> None:
    """A regression around 250,000: scores tell nothing."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = nn.Sequential(*net, nn.Linear(4, 1)).eval()
    nn.init.constant_(net[-1].bias, 250_000.0)
    preset = rv.Preset(
        "price", mean=(0.5,) * 3, std=(0.5,) * 3, classes=("price",), output="values"
    )
    one, other = torch.rand(2, 1, 3, 12, 12) * 2 - 1
    exp = rv.explain(net, one, 0, layers="0", preset=preset)
    with pytest.raises(ValueError, match="faithfulness: image 0 is not the one that was explained"):
        rv.faithfulness(net, other, exp, preset=preset)
    assert (
        len(rv.faithfulness(net, one + 1e-4, exp, checks="deletion", steps=2, preset=preset)) == 1
    )


def test_another_network_or_other_images(
    net: nn.Module, images: Tensor, exp: rv.Explanation
) -> None:
    with pytest.raises(ValueError, match="faithfulness: 1 images and an explanation of 2"):
        rv.faithfulness(net, images[:1], exp)
    with pytest.raises(ValueError, match="faithfulness: images of .* pixels"):
        rv.faithfulness(net, images[..., :8], exp)
    for other, given in ((cifar_resnet(8, seed=1), images), (net, images.flip(0))):
        with pytest.raises(ValueError, match="faithfulness: the scores are up to"):
            rv.faithfulness(other, given, exp)
    with pytest.raises(TypeError, match="faithfulness: exp is a dict"):
        rv.faithfulness(net, images, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        ({}, "without maps"),
        ({("a", "b"): torch.rand(2, 1, 3, 3)}, r"\(2, 2, h, w\)"),
        ({("a", "b"): torch.rand(2, 2, 0, 3)}, r"\(2, 2, h, w\)"),
        ({("a", "b"): torch.full((2, 2, 3, 3), float("nan"))}, "finite"),
        ({("a", "b"): torch.ones(2, 2, 3, 3, dtype=torch.int64)}, "floating-point"),
    ],
)
def test_bad_maps(
    net: nn.Module, images: Tensor, exp: rv.Explanation, maps: dict[Any, Tensor], words: str
) -> None:
    with pytest.raises(ValueError, match=f"faithfulness: .*{words}"):
        rv.faithfulness(net, images, dataclasses.replace(exp, maps=maps))


def test_a_network_that_cannot_be_copied(images: Tensor) -> None:
    net = cifar_resnet(8, seed=0)
    exp = rv.explain(net, images, [1, 2], methods="layer_cam", layers="layer2")
    net.held = threading.Lock()  # which deepcopy refuses
    with pytest.raises(RuntimeError, match="faithfulness: the network cannot be copied"):
        rv.faithfulness(net, images, exp, steps=2)
    assert len(rv.faithfulness(net, images, exp, steps=2, checks="deletion")) == 2
