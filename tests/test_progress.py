"""Progress: a bar, nothing, or a function that is told of each step."""

from __future__ import annotations

import pytest
import torch

import resviz as rv
from left_as_found import assert_left_as_found
from resviz.networks.cifar import cifar_resnet
from resviz.progress import bar

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Enough(Exception):
    pass


def test_a_function_is_told():
    told: list[tuple[int, int, str]] = []
    with bar(5, "steps", lambda *how: told.append(how), done=1) as shown:
        shown.update(3)
        shown.update()
    assert told == [(1, 5, "steps"), (4, 5, "steps"), (5, 5, "steps")]


def test_a_study_tells():
    told: list[tuple[int, int, str]] = []
    net = cifar_resnet(8, seed=0)
    rv.lesion_study(net, IMAGES, progress=lambda *how: told.append(how))
    assert [done for done, _, _ in told] == [0, 1, 2, 3, 4]
    assert {how[1:] for how in told} == {(4, "lesion study")}


def test_an_error_ends_the_work():
    net = cifar_resnet(8, seed=0)

    def stop(done: int, total: int, what: str) -> None:
        if done == 2:
            raise Enough

    def study() -> None:
        with pytest.raises(Enough):
            rv.refinement_study(net, IMAGES, batch_size=1, progress=stop)

    assert_left_as_found(net, study)


def test_faithfulness_tells_of_every_picture():
    net, told = cifar_resnet(8, seed=0), set()
    exp = rv.explain(net, IMAGES[:1], 1, layers="layer3", relu=False)
    rv.faithfulness(
        net, IMAGES[:1], exp, checks="deletion", draws=2, progress=lambda *how: told.add(how[2])
    )
    assert told
