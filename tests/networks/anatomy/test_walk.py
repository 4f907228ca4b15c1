"""The walk through a network: which call runs, for which time, and images that do not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from left_as_found import left_as_found
from resviz.hooks import Hooks
from resviz.networks.anatomy.dataflow import Dataflow, Frame
from resviz.networks.anatomy.walk import Walk
from resviz.networks.cifar import cifar_resnet


class Twice(nn.Module):
    """Runs its first child, then its second inside the third, then the first again."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 3)
        self.outer = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.one(self.outer(self.one(x)))


class Walked:
    """What a walk told: each event with the stack as it was then."""

    def __init__(self, net: nn.Module, hooks: Hooks) -> None:
        self.events: list[tuple[str, str, int]] = []
        self.stacks: list[list[str]] = []
        self.walk = Walk(net, hooks, self.entered, self.left)

    def entered(self, frame: Frame, args: Any) -> None:
        assert isinstance(args[0], Tensor)
        self.note("in", frame)

    def left(self, frame: Frame, output: Any) -> None:
        assert isinstance(output, Tensor)
        self.note("out", frame)

    def note(self, word: str, frame: Frame) -> None:
        self.events.append((word, frame.path, frame.call))
        self.stacks.append([each.path for each in self.walk.running])


EVENTS = [
    ("in", "one", 0),
    ("out", "one", 0),
    ("in", "outer", 0),
    ("in", "outer.0", 0),
    ("out", "outer.0", 0),
    ("in", "outer.1", 0),
    ("out", "outer.1", 0),
    ("out", "outer", 0),
    ("in", "one", 1),
    ("out", "one", 1),
]


def test_calls_in_order_with_their_numbers() -> None:
    with Hooks() as hooks:
        walked = Walked(Twice(), hooks)
        walked.walk.run((torch.zeros(2, 3),))
    assert walked.events == EVENTS
    assert walked.stacks[3] == ["outer", "outer.0"]
    assert walked.stacks[4] == ["outer"]
    assert walked.stacks[7] == []


def test_each_pass_counts_from_the_start_and_calls_between_do_not_count() -> None:
    net = Twice()
    with Hooks() as hooks:
        walked = Walked(net, hooks)
        net(torch.zeros(2, 3))
        assert walked.events == []
        for _ in range(2):
            walked.events.clear()
            walked.walk.run((torch.zeros(2, 3),))
            net.outer(torch.zeros(2, 3))
            assert walked.events == EVENTS


def test_a_pass_after_one_that_failed_starts_afresh() -> None:
    with Hooks() as hooks:
        walked = Walked(Twice(), hooks)
        with pytest.raises(ValueError, match="would be right for Linear"):
            walked.walk.run((torch.zeros(2, 4),))
        assert walked.events == EVENTS[:1]  # the pass that looks for the layer is not told of
        assert walked.walk.running == []
        walked.events.clear()
        walked.walk.run((torch.zeros(2, 3),))
    assert walked.events == EVENTS


def test_frames_say_what_a_module_is() -> None:
    frames: dict[str, Frame] = {}
    with Hooks() as hooks:
        walk = Walk(cifar_resnet(8), hooks, lambda f, _: frames.setdefault(f.path, f))
        walk.run((torch.zeros(1, 3, 8, 8),))
    assert frames["conv1"] == ("conv1", 0, "Conv2d", True, False)
    assert frames["layer1.0"][2:] == ("CifarBlock", False, True)
    assert frames["layer1"][2:] == ("Sequential", False, False)


def test_the_dataflow_knows_whose_addition_it_is() -> None:
    flow = Dataflow()
    with Hooks() as hooks:
        Walk(cifar_resnet(8), hooks).run((torch.zeros(1, 3, 8, 8),), flow)
    assert [a.name for a in flow.additions] == [f"layer{i}.0.add" for i in (1, 2, 3)]


def test_one_image_is_run_and_is_a_copy() -> None:
    images = torch.ones(3, 3)
    seen: list[Tensor] = []
    with Hooks() as hooks:
        net = nn.Sequential(nn.ReLU(inplace=True))
        walk = Walk(net, hooks, lambda _, args: seen.append(args[0]))
        walk.run_one((images.negative(),))
        walk.run_one((images,))
    assert [tuple(each.shape) for each in seen] == [(1, 3), (1, 3)]
    assert seen[1].data_ptr() != images.data_ptr()


# ---- images that the first layer cannot take
def _study(function: str, *args: Any, **kwargs: Any) -> Callable[[nn.Module, Tensor], Any]:
    return lambda net, images: getattr(rv, function)(net, *args, images=images, **kwargs)


def _of(function: str, **kwargs: Any) -> Callable[[nn.Module, Tensor], Any]:
    return lambda net, images: getattr(rv, function)(net, images, **kwargs)


def _dropped(net: nn.Module, images: Tensor) -> None:
    with rv.drop_blocks(net, ["layer1.0"], images=images):
        pass


ENTRIES: dict[str, tuple[str, Callable[[nn.Module, Tensor], Any]]] = {
    "list_layers": ("list_layers", _of("list_layers")),
    "architecture": ("architecture", _of("architecture")),
    "record": ("record", _of("record")),
    "record-blocks": ("record", _of("record", keep="blocks")),
    "explain-auto": ("explain", _of("explain", layers="auto")),
    "explain-blocks": ("explain", _of("explain", layers="blocks")),
    "explain-named": ("explain", _of("explain", layers="layer2")),
    "explain-split": ("explain", _of("explain", layers="layer2", split=True)),
    "explore_explanation": ("explore_explanation", _of("explore_explanation")),
    "plain_twin": ("plain_twin", _study("plain_twin")),
    "drop_blocks": ("drop_blocks", _dropped),
    "lesion_study": ("lesion_study", _of("lesion_study", targets=[0] * 4)),
    "gradient_correlation": ("gradient_correlation", _of("gradient_correlation")),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("shape", [(4, 2, 16, 16), (3, 16, 16)], ids=str)
def test_images_that_do_not_fit(entry: str, shape: tuple[int, ...]) -> None:
    function, call = ENTRIES[entry]
    net = cifar_resnet(8, seed=0)
    words = f"{function}: images of shape {shape}; (N, 3, H, W) would be right."
    with left_as_found(net), pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        call(net, torch.zeros(shape))


def test_images_of_another_dtype() -> None:
    with pytest.raises(TypeError, match="^list_layers: images of torch.float64 in a network of"):
        rv.list_layers(cifar_resnet(8), torch.zeros(1, 3, 16, 16, dtype=torch.float64))
