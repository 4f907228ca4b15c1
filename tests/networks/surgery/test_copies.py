"""Copies of networks whose forward was replaced run themselves, not the original."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from resviz.networks.surgery.copies import copied

kept: Any = None  # as a cell of a notebook keeps it


def by_closure(net: nn.Module) -> None:
    forward = net.forward
    net.forward = lambda x: forward(x / 2)


def by_global(net: nn.Module) -> None:
    global kept
    kept = net.forward
    net.forward = lambda x: kept(x / 2)


def by_default(net: nn.Module) -> None:
    net.forward = lambda x, forward=net.forward: forward(x / 2)


def by_partial(net: nn.Module) -> None:
    def halved(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return forward(x / 2)

    net.forward = functools.partial(halved, net.forward)


def by_method(net: nn.Module) -> None:
    def halved(self: nn.Module, x: Tensor) -> Tensor:
        return nn.Sequential.forward(self, x / 2)

    net.forward = types.MethodType(halved, net)


def by_decorator(net: nn.Module) -> None:
    def halving(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        @functools.wraps(forward)
        def halved(x: Tensor) -> Tensor:
            return forward(x / 2)

        return halved

    net.forward = halving(halving(net.forward))


def in_a_layer(net: nn.Module) -> None:
    by_closure(net[0])


REPLACED = [by_closure, by_global, by_default, by_partial, by_method, by_decorator, in_a_layer]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("replace", REPLACED)
def test_a_copy_runs_its_own_layers(replace: Callable[[nn.Module], None]) -> None:
    net = network()
    replace(net)
    before = net(IMAGES)
    twin = copied(net)
    torch.testing.assert_close(twin(IMAGES), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert twin(IMAGES).abs().sum() == 0
    torch.testing.assert_close(net(IMAGES), before)


def in_an_attribute(net: nn.Module) -> None:
    first = net[0]
    net.functions = {"shifted": [lambda x: first.bias.view(-1, 1, 1) + x[:, :1]]}
    net[0].register_forward_hook(lambda module, args, out: net.functions["shifted"][0](args[0]))


def in_a_hook(net: nn.Module) -> None:
    net.adapter = nn.Conv2d(3, 4, 3)
    adapter = net.adapter
    net[0].register_forward_hook(lambda module, args, out: out + adapter(args[0]))


class FirstFour(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return self[3](self[2](self[1](self[0](x))))


@pytest.mark.parametrize("add", [in_an_attribute, in_a_hook])
def test_functions_held_by_a_copy_run_the_copy(add: Callable[[nn.Module], None]) -> None:
    torch.manual_seed(0)
    net = FirstFour(*network())
    add(net)
    twin = copied(net)
    before = twin(IMAGES)
    torch.testing.assert_close(before, net(IMAGES))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    torch.testing.assert_close(twin(IMAGES), before)
    twin(IMAGES).sum().backward()
    assert all(parameter.grad is None for parameter in net.parameters())


def test_what_holds_itself_is_copied() -> None:
    net = network()
    net.loop = loop = [lambda x: net[1](x)]
    loop.append(loop)
    twin = copied(net)
    assert twin.loop[1] is twin.loop and twin.loop is not loop


def test_weights_that_hooks_compute_are_copied() -> None:
    net = network()
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(net[0])
    net(IMAGES).sum().backward()  # its weight is a result now, which deepcopy refuses
    torch.testing.assert_close(copied(net)(IMAGES), net(IMAGES))


def test_a_function_of_nothing_that_was_copied_stays_itself() -> None:
    net = network()
    net.forward = lambda x: x.mean((1, 2, 3), keepdim=True)
    assert copied(net).forward is net.forward


def test_a_function_that_holds_itself() -> None:
    net = network()
    forward = net.forward

    def twice(x: Tensor, again: bool = True) -> Tensor:
        return twice(x / 2, False) if again else forward(x)

    net.forward = twice
    twin = copied(net)
    nn.init.zeros_(twin[0].weight), nn.init.zeros_(twin[0].bias)
    assert twin(IMAGES).abs().sum() == 0 and net(IMAGES).abs().sum() > 0


def test_what_is_made_on_copies() -> None:
    """Guided backpropagation, weights permuted for trust, and untrained twins."""
    net = nn.Sequential(*network(), nn.Linear(4, 3)).eval()
    plain = rv.explain(net, IMAGES, 1, methods=["guided_backprop"])
    forward = net.forward
    net.forward = lambda x: forward(x)
    exp = rv.explain(net, IMAGES, 1, methods=["guided_backprop"])
    key = ("guided_backprop", "input")
    torch.testing.assert_close(exp.maps[key], plain.maps[key])
    assert not torch.allclose(rv.untrained_copy(net, seed=3)(IMAGES), net(IMAGES))
