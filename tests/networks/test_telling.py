"""`telling`: each layer's call is told, and may end the pass."""

from __future__ import annotations

import pytest
import torch

from left_as_found import assert_left_as_found
from resviz.networks.anatomy.survey import list_layers
from resviz.networks.anatomy.telling import telling
from resviz.networks.cifar import cifar_resnet

IMAGES = torch.zeros(1, 3, 32, 32)


class Enough(Exception):
    pass


def test_every_call_of_a_layer_is_told():
    net, told = cifar_resnet(8, seed=0), []

    def twice() -> None:
        with telling(net, lambda: told.append(1)):
            net(IMAGES)
            net(IMAGES)

    net.eval()
    assert_left_as_found(net, twice)
    leaves = list_layers(net, IMAGES).query("kind == 'leaf'")
    assert len(told) == 2 * len(leaves)
    net(IMAGES)
    assert len(told) == 2 * len(leaves)


def test_an_error_ends_the_pass():
    net, told = cifar_resnet(8, seed=0).eval(), []

    def third() -> None:
        told.append(1)
        if len(told) == 3:
            raise Enough

    def run() -> None:
        with pytest.raises(Enough), telling(net, third):
            net(IMAGES)

    assert_left_as_found(net, run)
    assert len(told) == 3
