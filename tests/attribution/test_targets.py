"""Targets: what may be asked for, what it is called, and what is refused with which words.

Scores are compared with the network's own output, gradients with `torch.autograd.grad` of the same
sum, so that a target means the number it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

import resviz as rv
from cases import plain
from resviz.attribution.targets import Target, spelled

pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")

HALF = (0.5, 0.5, 0.5)
BIRDS = ("crane", "heron", "crane", "gull", "tern")
NAMES = ("ant", "bee", "cat", "dog", "elk")


class Small(nn.Module):
    """A convolution, ReLU, global pooling, one linear layer: five classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(6, 5)

    def features(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x))

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x).mean((2, 3)))


class Pair(NamedTuple):
    """An output with names, as many libraries return it."""

    logits: Tensor
    features: Tensor


class Returning(Small):
    """The same network, its output packed by a function of (logits, features)."""

    def __init__(self, pack: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.pack = pack

    def forward(self, x: Tensor) -> Any:
        features = self.features(x)
        return self.pack(self.fc(features.mean((2, 3))), features)


class Dense(Small):
    """Five scores at every position: a segmentation, as torchvision returns it."""

    def forward(self, x: Tensor) -> Any:
        features = self.features(x)
        scores = (features.movedim(1, 3) @ self.fc.weight.T + self.fc.bias).movedim(3, 1)
        return {"out": scores, "aux": scores * 2}


class Detector(Small):
    """Imitates a detector: a list with a dictionary per image; `boxes` of them in each."""

    def __init__(self, boxes: int = 2) -> None:
        super().__init__()
        self.boxes = boxes

    def forward(self, x: Tensor) -> Any:
        scores = super().forward(x).softmax(1).sort(1, descending=True)
        return [
            {"boxes": torch.zeros(self.boxes, 4), "scores": one[: self.boxes], "labels": which}
            for one, which in zip(scores.values, scores.indices, strict=True)
        ]


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 8, 10, dtype=torch.float64)


@pytest.fixture
def net() -> nn.Module:
    return Small().double()


def preset(classes: tuple[str, ...]) -> rv.Preset:
    return rv.Preset("small", "own", HALF, HALF, None, None, classes=classes)


def logits_of(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return net(images)


# ---- what a target may be
@pytest.mark.parametrize(
    "given",
    [
        3,
        np.int64(3),
        np.uint8(3),
        torch.tensor(3),
        rv.target(3),
        rv.target(np.int64(3)),
        [3, 3, 3],
        (3, 3, 3),
        [np.int32(3)] * 3,
        np.array([3, 3, 3]),
        torch.tensor([3, 3, 3]),
        torch.tensor([3, 3, 3], dtype=torch.uint8),
        [torch.tensor(3)] * 3,
        [[3], [3], [3]],
        np.array([[3], [3], [3]]),
        torch.tensor([[3], [3], [3]]),
    ],
    ids=repr,
)
def test_all_ways_to_say_class_3(net: nn.Module, images: Tensor, given: Any) -> None:
    exp = rv.explain(net, images, given, layers="relu")
    assert exp.targets == [[3]] * 3
    assert exp.target_names == [["class 3"]] * 3
    assert all(type(index) is int for row in exp.targets for index in row)
    torch.testing.assert_close(exp.scores[:, 0], logits_of(net, images)[:, 3])


def test_none_is_each_images_own_prediction(net: nn.Module, images: Tensor) -> None:
    exp = rv.explain(net, images, layers="relu")
    logits = logits_of(net, images)
    assert [row[0] for row in exp.targets] == logits.argmax(1).tolist()
    torch.testing.assert_close(exp.scores[:, 0], logits.amax(1))


def test_several_targets_an_image(net: nn.Module, images: Tensor) -> None:
    wanted = [[0, 4], [1, 3], [2, 2]]
    exp = rv.explain(net, images, wanted, layers="relu")
    assert exp.targets == wanted
    assert exp.maps["grad_cam", "relu"].shape == (3, 2, 8, 10)
    expected = torch.stack([row[w] for row, w in zip(logits_of(net, images), wanted, strict=True)])
    torch.testing.assert_close(exp.scores, expected)


def test_names_are_read_when_the_call_runs(net: nn.Module, images: Tensor) -> None:
    """One target, made before any network is known, means each network's own class."""
    contrast = rv.target("cat") - 0.5 * rv.target("bee")
    logits = logits_of(net, images)
    exp = rv.explain(net, images, contrast, layers="relu", preset=preset(NAMES))
    torch.testing.assert_close(exp.scores[:, 0], logits[:, 2] - 0.5 * logits[:, 1])
    assert exp.target_names[0] == ["cat - 0.5 bee"]
    assert exp.targets[0] == [-1]
    other = preset(("cat", "bee", "x", "y", "z"))
    exp = rv.explain(net, images, contrast, layers="relu", preset=other)
    torch.testing.assert_close(exp.scores[:, 0], logits[:, 0] - 0.5 * logits[:, 1])


def test_sums_mean_what_they_say(net: nn.Module, images: Tensor) -> None:
    combined = (rv.target(1) + rv.target(2) * 3 - rv.target(0)) / 2
    exp = rv.explain(net, images, [combined, -rv.target(4), 2], layers="relu", relu=False)
    z = logits_of(net, images)
    expected = [(z[0, 1] + 3 * z[0, 2] - z[0, 0]) / 2, -z[1, 4], z[2, 2]]
    torch.testing.assert_close(exp.scores[:, 0], torch.stack(expected))
    assert exp.targets == [[-1], [-1], [2]]
    parts = [rv.explain(net, images, c, layers="relu", relu=False) for c in (0, 1, 2, 4)]
    m0, m1, m2, m4 = (part.maps["grad_cam", "relu"][:, 0] for part in parts)
    maps = exp.maps["grad_cam", "relu"][:, 0]
    torch.testing.assert_close(maps[0], (m1 + 3 * m2 - m0)[0] / 2, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(maps[1], -m4[1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (rv.target("tiger cat") - rv.target("espresso"), "tiger cat - espresso"),
        (rv.target("a") + rv.target("b"), "a + b"),
        (-rv.target("a"), "-a"),
        (-rv.target("a") - rv.target("b"), "-a - b"),
        (2 * rv.target("a") - rv.target("b") / 4, "2 a - 0.25 b"),
        (rv.target(281) - rv.target("b"), "class 281 - b"),
        (-(rv.target("a") - rv.target("b")), "-a + b"),
        (rv.target("a") - (rv.target("b") - rv.target("c")), "a - b + c"),
        (rv.target(np.int64(7)), "class 7"),
    ],
    ids=str,
)
def test_printed_names(made: Target, words: str) -> None:
    assert str(made) == words


def test_spelled_of_nothing_is_nothing() -> None:
    assert spelled([]) == ""


def test_python_s_sum_adds_targets() -> None:
    assert str(sum([rv.target("a"), rv.target("b")])) == "a + b"


@pytest.mark.parametrize("factor", [rv.target("b"), "2", None], ids=repr)
def test_a_target_is_scaled_by_numbers_only(factor: Any) -> None:
    """target * target would be a product of scores, which a sum of terms cannot hold."""
    with pytest.raises(TypeError):
        rv.target("a") * factor
    with pytest.raises(TypeError):
        rv.target("a") / factor


NO_NUMBERS = [True, False, np.True_, np.array(True), torch.tensor(True), torch.tensor(1.0)]


@pytest.mark.parametrize("which", [*NO_NUMBERS, 1.0, np.array([1, 2]), None, [1], 1j])
def test_what_is_no_class(which: Any) -> None:
    with pytest.raises(TypeError, match=r"^target: a class of type \w+; a class index or"):
        rv.target(which)


# ---- refused
def test_a_name_that_two_classes_share_is_refused(net: nn.Module, images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"explain: class 'crane' is the name of \[0, 2\]"):
        rv.explain(net, images, "crane", layers="relu", preset=preset(BIRDS))
    exp = rv.explain(net, images, [[0, 2]] * 3, layers="relu", preset=preset(BIRDS))
    assert exp.target_names[0] == ["crane", "crane"]


def test_imagenet_s_two_cranes_have_names_of_their_own() -> None:
    net = rv.load_model("resnet18", weights="random", seed=0, device="cpu")
    classes = rv.preset_of(net).classes
    assert len(set(classes)) == len(classes) == 1000
    exp = rv.explain(net, torch.randn(2, 3, 64, 64), ["crane bird", "crane"])
    assert exp.targets == [[134], [517]]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (True, (TypeError, ValueError), "target"),
        ([True, False, True], (TypeError, ValueError), "target True"),
        (torch.tensor([True, False, True]), (TypeError, ValueError), "target True"),
        (np.array([True, False, True]), (TypeError, ValueError), "target"),
        (1.5, TypeError, "a target of type float"),
        (3.0, TypeError, "a target of type float"),
        ([1.0, 2.0, 3.0], TypeError, "a target of type float"),
        (torch.tensor([1.0, 2.0, 3.0]), TypeError, "a target of type float"),
        (torch.tensor(1.5), TypeError, "a target of type float"),
        ([None, None, None], TypeError, "a target of type NoneType"),
        ([1, None, 2], TypeError, "a target of type NoneType"),
        ([1, lambda z: z[:, 0], 2], TypeError, "a target of type function"),
        ([[1], [lambda z: z[:, 0]], [2]], TypeError, "a target of type function"),
        (object(), TypeError, "a target of type object"),
        (5, ValueError, "target 5 with 5 classes; 0 to 4 would be right"),
        (-1, ValueError, "target -1 with 5 classes"),
        (np.int64(99), ValueError, "target 99 with 5 classes"),
        (rv.target(1) - rv.target(7), ValueError, "target 7 with 5 classes"),
        ([0, 1], ValueError, "2 targets for 3 images"),
        ([0, 1, 2, 3], ValueError, "4 targets for 3 images"),
        ([], ValueError, "0 targets for 3 images"),
        ([[0], [1], []], ValueError, "no target for image 2; at least one"),
        ([[], [], []], ValueError, "at least one"),
        (torch.eye(5)[:3].long(), ValueError, "all 0 or 1, could be class indices or a mark for"),
        ("cat", ValueError, "no class 'cat'; closest: none: the network names no classes"),
        (rv.target(0, region="all"), ValueError, "a region, and logits of shape (3, 5)"),
    ],
    ids=lambda value: plain(repr(value))[:40],
)
def test_refused(net: nn.Module, images: Tensor, given: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        rv.explain(net, images, given, layers="relu")
    assert str(caught.value).startswith("explain: ")


# ---- functions of the output
@pytest.mark.parametrize(
    ("pack", "score"),
    [
        (lambda z, f: z, lambda out: out[:, 1]),
        (lambda z, f: {"logits": z, "f": f}, lambda out: out["logits"][:, 1]),
        (lambda z, f: {"mine": z}, lambda out: out["mine"][:, 1]),
        (lambda z, f: (z, [f]), lambda out: out[0][:, 1]),
        (lambda z, f: [z, f], lambda out: out[0][:, 1]),
        (lambda z, f: Pair(z, f), lambda out: out.logits[:, 1]),
        (lambda z, f: {"deep": [(f, {"z": z})]}, lambda out: out["deep"][0][1]["z"][:, 1]),
    ],
    ids=["tensor", "dict", "dict of own names", "tuple", "list", "namedtuple", "nested"],
)
def test_functions_of_any_output(images: Tensor, pack: Any, score: Any) -> None:
    torch.manual_seed(0)
    net = Returning(pack).double()
    torch.manual_seed(0)
    plain = Small().double()
    exp = rv.explain(net, images, [score, lambda out: 2 * score(out)], layers="relu")
    reference = rv.explain(plain, images, 1, layers="relu")
    one = reference.maps["grad_cam", "relu"]
    torch.testing.assert_close(exp.maps["grad_cam", "relu"], torch.cat([one, 2 * one], 1))
    assert exp.targets == [[-1, -1]] * 3
    assert exp.scores.shape == (3, 2)


@pytest.mark.parametrize(
    "pack",
    [
        lambda z, f: {"logits": z},
        lambda z, f: {"out": z},
        lambda z, f: (z, [f]),
        lambda z, f: [z],
        lambda z, f: Pair(z, f),
    ],
    ids=["logits", "out", "tuple", "list", "namedtuple"],
)
@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam", "score_cam", "saliency", "cam"])
def test_classes_in_packed_logits(images: Tensor, pack: Any, method: str) -> None:
    """The logits in a dictionary or a tuple are logits: same maps for every method."""
    torch.manual_seed(0)
    net = Returning(pack).double()
    torch.manual_seed(0)
    plain = Small().double()
    one = rv.explain(net, images, [1, 2, 3], methods=method, layers="relu", progress=False)
    two = rv.explain(plain, images, [1, 2, 3], methods=method, layers="relu", progress=False)
    for key, maps in two.maps.items():
        torch.testing.assert_close(one.maps[key], maps, rtol=1e-10, atol=1e-14)
    assert one.targets == two.targets


def _first(found: list[dict[str, Tensor]]) -> Tensor:
    return torch.stack([each["scores"][0] for each in found])


@pytest.mark.parametrize("method", ["grad_cam", "score_cam", "ablation_cam", "saliency"])
def test_one_box_of_a_detector(images: Tensor, method: str) -> None:
    torch.manual_seed(0)
    net = Detector().double()
    torch.manual_seed(0)
    plain = Small().double()
    exp = rv.explain(net, images, _first, methods=method, layers="relu", progress=False)
    best = rv.explain(
        plain, images, lambda z: z.softmax(1).amax(1), methods=method, layers="relu", progress=False
    )
    assert exp.target_names == [["_first"]] * 3
    for key, maps in best.maps.items():
        assert maps.any()
        torch.testing.assert_close(exp.maps[key], maps, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam", "eigen_cam", "saliency"])
def test_a_detection_without_boxes_is_an_error_not_a_blank_map(images: Tensor, method: str) -> None:
    net = Detector(boxes=0).double()
    words = (
        r"explain: the target function raised IndexError: .*on an output of a list of 3: "
        r"\{'boxes': \(0, 4\), 'scores': \(0,\).*A detector may have found nothing"
    )
    with pytest.raises(ValueError, match=words):
        rv.explain(net, images, _first, methods=method, layers="relu", progress=False)


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (lambda out: out[0].sum(), "the target function returned () for"),
        (lambda out: out[0][:1, 0], "the target function returned (1,) for 3 images"),
        (lambda out: out[0], "the target function returned (3, 5) for"),
        (lambda out: 1.0, "the target function returned float for"),
        (lambda out: None, "the target function returned NoneType for"),
        (lambda out: out["scores"], "the target function raised TypeError"),
        (lambda out: out.scores, "the target function raised AttributeError"),
        (lambda out: out[0][:, 0].detach(), "does not reach the target"),
        (lambda out: out[0].argmax(1), "does not reach the target"),
    ],
    ids=["scalar", "one of three", "matrix", "float", "None", "key", "attribute", "detach", "int"],
)
def test_functions_that_give_no_scores(images: Tensor, score: Any, words: str) -> None:
    """On a tuple, whose length is not the number of images."""
    net = Returning(lambda z, f: (z, f)).double()
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        rv.explain(net, images, score, layers="relu")
    assert str(caught.value).startswith("explain: ")


def test_a_blank_map_of_the_second_function_is_told_too(net: nn.Module, images: Tensor) -> None:
    """Two lambdas have the same name; each column's blank maps have a note of their own."""
    with torch.no_grad():
        net.fc.weight[1] = 0.0
        net.fc.weight[0] = net.fc.weight[0].abs()
    with pytest.warns(rv.ResvizWarning, match="is zero"):
        exp = rv.explain(net, images, [lambda z: z[:, 0], lambda z: z[:, 1]], layers="relu")
    assert exp.maps["grad_cam", "relu"][:, 0].any()
    assert not exp.maps["grad_cam", "relu"][:, 1].any()
    assert len(exp.provenance["notes"]) == 3


# ---- segmentation
def test_the_regions_of_a_segmentation(images: Tensor) -> None:
    torch.manual_seed(0)
    net = Dense().double()
    out = logits_of(net, images)["out"]
    predicted = out.argmax(1)
    seen = int(predicted.flatten().mode().values)
    mask = torch.zeros(8, 10)
    mask[2:4, 5:] = 1
    several = torch.stack([mask, 1 - mask, mask.flip(0)])
    cases = {
        "predicted": predicted == seen,
        None: predicted == seen,
        "all": torch.ones(3, 8, 10),
        mask: mask.expand(3, 8, 10),
        several: several,
    }
    for region, positions in cases.items():
        wanted = rv.target(seen, region=region)
        exp = rv.explain(net, images, wanted, methods=["hires_cam", "score_cam"], layers="relu")
        expected = (out[:, seen] * positions).sum((1, 2))
        torch.testing.assert_close(exp.scores[:, 0], expected)
        assert exp.targets == [[seen]] * 3
        outside = exp.maps["hires_cam", "relu"][:, 0][positions == 0]
        assert not outside.any()  # HiResCAM at a pointwise head: only the region counts


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("everywhere", "region 'everywhere'; 'predicted', 'all' or a mask (8, 10)"),
        (torch.ones(8, 9), "a region of shape (8, 9); (8, 10)"),
        (torch.ones(3, 4, 4), "a region of shape (3, 4, 4); (8, 10)"),
        (torch.ones(10), "a region of shape (10,); (8, 10)"),
        (torch.ones(2, 8, 10), "a region of shape (2, 8, 10); "),
        (torch.ones(1, 8, 10), "a region of shape (1, 8, 10); "),
        (torch.ones(7, 8, 10), "a region of shape (7, 8, 10); "),
        (torch.zeros(8, 10), "no position of image 0 is in the region of 'class 2'"),
        (object(), "region"),
    ],
    ids=lambda value: plain(str(getattr(value, "shape", value)))[:30],
)
def test_regions_that_are_refused(images: Tensor, region: Any, words: str) -> None:
    net = Dense().double()
    with pytest.raises((ValueError, TypeError), match=re.escape(words)) as caught:
        rv.explain(net, images, rv.target(2, region=region), layers="relu")
    assert str(caught.value).startswith("explain: ")


def test_a_segmentation_says_what_it_saw(images: Tensor) -> None:
    net = Dense().double()
    words = r"explain: no targets, and the network gives a map per class, \(3, 5, 8, 10\).* Seen"
    with pytest.raises(ValueError, match=words) as caught:
        rv.explain(net, images, layers="relu", preset=preset(NAMES))
    assert any(name in str(caught.value) for name in NAMES)


def test_a_class_that_is_nowhere_predicted(images: Tensor) -> None:
    net = Dense().double()
    with torch.no_grad():
        net.fc.bias[4] = -1e6
    with pytest.raises(ValueError, match=r"no position of image 0 .*'elk'.*region='all'"):
        rv.explain(net, images, "elk", layers="relu", preset=preset(NAMES))


@pytest.mark.thorough
def test_fcn_resnet50() -> None:
    net = torchvision.models.segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=4, aux_loss=True
    )
    images = torch.randn(1, 3, 64, 64)
    exp = rv.explain(net, images, rv.target(1, region="all") - rv.target(2, region="all"))
    net.eval()
    out = logits_of(net, images)["out"]
    torch.testing.assert_close(exp.scores[0, 0], (out[0, 1] - out[0, 2]).sum())
    assert exp.layers == ["backbone.layer4.2"]
    assert exp.logits is None
    exp = rv.explain(net, images, lambda o: o["aux"][:, 1].sum((1, 2)), layers="backbone.layer3")
    torch.testing.assert_close(exp.scores[0, 0], logits_of(net, images)["aux"][0, 1].sum())
    assert exp.maps["grad_cam", "backbone.layer3"].isfinite().all()


@pytest.mark.thorough
def test_faster_rcnn() -> None:
    """A real detector: its pyramid is explained, what holds a map per box is refused."""
    net = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=3, box_score_thresh=0.0
    )
    images = torch.rand(1, 3, 64, 64)
    layer = "backbone.fpn.layer_blocks.0.0"
    exp = rv.explain(net, images, _first, layers=layer)
    assert exp.maps["grad_cam", layer].isfinite().all()
    assert exp.maps["grad_cam", layer].shape[0] == 1
    net.eval()
    torch.testing.assert_close(exp.scores[0, 0], logits_of(net, images)[0]["scores"][0])
    with pytest.raises(ValueError, match=r"layer 'roi_heads.box_roi_pool' .* gives \(\d+, 256"):
        rv.explain(net, images, _first, layers="roi_heads.box_roi_pool")
    net.roi_heads.score_thresh = 2.0  # no box is that sure
    with pytest.raises(ValueError, match="A detector may have found nothing"):
        rv.explain(net, images, _first, layers=layer)


@pytest.mark.thorough
def test_auto_in_faster_rcnn() -> None:
    net = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=3, box_score_thresh=0.0
    )
    exp = rv.explain(net, torch.rand(1, 3, 64, 64), _first)
    assert not exp.layers[0].startswith("roi_heads")


# ---- contrasts
def test_finer_cam_is_grad_cam_of_the_contrast(net: nn.Module, images: Tensor) -> None:
    exp = rv.explain(
        net,
        images[:1],
        2,
        methods=["finer_cam", "grad_cam"],
        layers="relu",
        relu=False,
        options={"finer_cam": {"gamma": 0.7, "references": 2}},
    )
    z = logits_of(net, images[:1])[0]
    near = [i for i in (z - z[2]).abs().argsort().tolist() if i != 2][:2]
    contrast = rv.target(2) - 0.35 * rv.target(near[0]) - 0.35 * rv.target(near[1])
    by_hand = rv.explain(net, images[:1], contrast, layers="relu", relu=False)
    torch.testing.assert_close(exp.maps["finer_cam", "relu"], by_hand.maps["grad_cam", "relu"])
    torch.testing.assert_close(exp.scores[0, 0], z[2])  # the score is the class's own


@pytest.mark.parametrize(("classes", "references"), [(2, 1), (3, 2), (4, 3), (5, 3)])
def test_finer_cam_compares_with_three_classes_or_all_others(classes: int, references: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)
    ).eval()
    images = torch.rand(2, 3, 8, 8)
    asked = {"methods": "finer_cam", "layers": "1", "relu": False}
    exp = rv.explain(net, images, **asked)
    assert exp.provenance["options"] == {"finer_cam": {"gamma": 0.6, "references": references}}
    said = rv.explain(net, images, **asked, options=exp.provenance["options"])
    assert torch.equal(exp.maps["finer_cam", "1"], said.maps["finer_cam", "1"])


def test_finer_cam_of_one_logit_compares_its_two_sides() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 1)
    ).eval()
    images = torch.rand(1, 3, 8, 8)
    asked: dict[str, Any] = {"methods": ["finer_cam", "grad_cam"], "layers": "1", "relu": False}
    with pytest.raises(ValueError, match="the network has one output; grad_cam would be right"):
        rv.explain(net, images, **asked)
    preset = rv.Preset("x", "own", (0.5,) * 3, (0.5,) * 3, output="logit")
    maps = rv.explain(net, images, 1, preset=preset, **asked).maps
    torch.testing.assert_close(maps["finer_cam", "1"], 1.6 * maps["grad_cam", "1"])  # z - 0.6 (-z)


@pytest.mark.parametrize(
    ("targets", "references", "words"),
    [
        (lambda z: z[:, 0], 3, "finer_cam compares a class with others"),
        (rv.target(1) - rv.target(2), 3, "finer_cam compares a class with others"),
        (1, 5, "references of finer_cam 5; 1 to 4"),
        (1, 0, "references of finer_cam 0; 1 or more"),
        (1, 2.5, "references of finer_cam 2.5; a whole number"),
    ],
    ids=["function", "difference", "5 of 5", "0", "2.5"],
)
def test_contrasts_that_are_refused(
    net: nn.Module, images: Tensor, targets: Any, references: Any, words: str
) -> None:
    options = {"finer_cam": {"references": references}}
    with pytest.raises((ValueError, TypeError), match=re.escape(words)) as caught:
        rv.explain(net, images, targets, methods="finer_cam", layers="relu", options=options)
    assert str(caught.value).startswith("explain: ")
