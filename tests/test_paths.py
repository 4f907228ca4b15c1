"""What is no path is refused in words, by whatever takes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import resviz as rv
from resviz.networks.cifar import cifar_resnet

TAKING: dict[str, Callable[[Any], object]] = {
    "load_recording": lambda path: rv.load_recording(path),
    "load_explanation": lambda path: rv.load_explanation(path),
    "load_training_record": lambda path: rv.load_training_record(path),
    "load_scan": lambda path: rv.load_scan(path),
    "TrainingRecorder": lambda path: rv.TrainingRecorder(cifar_resnet(8, seed=0), path),
    "record": lambda path: rv.record(cifar_resnet(8, seed=0), torch.ones(1, 3, 32, 32)).save(path),
}


@pytest.mark.parametrize("value", [None, 3, b"a/file", ["a"]], ids=str)
@pytest.mark.parametrize("function", TAKING)
def test_no_path(function: str, value: object) -> None:
    with pytest.raises(TypeError, match=r"^\w+: \w+ is a \w+; a string or a pathlib.Path would"):
        TAKING[function](value)


def test_an_optimizer_in_place_of_the_path() -> None:
    net = cifar_resnet(8, seed=0)
    with pytest.raises(TypeError, match="^TrainingRecorder: path is a SGD; a string or"):
        rv.TrainingRecorder(net, torch.optim.SGD(net.parameters(), 0.1))


@pytest.mark.parametrize("function", [name for name in TAKING if name != "record"])
def test_a_home_that_there_is_not(function: str) -> None:
    with pytest.raises(FileNotFoundError, match="no home folder for '~nobody-of-that-name"):
        TAKING[function]("~nobody-of-that-name/run.resviz")
