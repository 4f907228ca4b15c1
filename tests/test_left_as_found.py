"""The check that others rely on notices every kind of change, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from left_as_found import assert_left_as_found, left_as_found


@pytest.fixture
def net() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout()).eval()
    net[0].weight.grad = torch.ones_like(net[0].weight)
    net[0].register_forward_hook(lambda *_: None)
    net[0].register_forward_hook(lambda *_: None)
    return net


def set_grad_mode(net):
    torch.set_grad_enabled(False)


def replace_grad(net):
    net[0].weight.grad = net[0].weight.grad.clone()


def reorder_hooks(net):
    net[0]._forward_hooks.move_to_end(next(iter(net[0]._forward_hooks)))


def change_last_bit(net):
    net[0].weight.data.view(torch.int32)[0, 0, 0, 0] ^= 1


def negative_zero(net):
    net[0].weight.grad.zero_().neg_()


CHANGES = {
    "a training mode": (lambda net: net[3].train(), "3.training"),
    "requires_grad": (lambda net: net[0].bias.requires_grad_(False), "0.bias requires_grad"),
    "the last bit of a weight": (change_last_bit, "0.weight bytes"),
    "a buffer": (lambda net: net[1].num_batches_tracked.add_(1), "1.num_batches_tracked bytes"),
    "another buffer object": (
        lambda net: setattr(net[1], "running_mean", net[1].running_mean.clone()),
        "1.running_mean object",
    ),
    "the memory format": (lambda net: net.to(memory_format=torch.channels_last), "0.weight layout"),
    "the value of .grad": (lambda net: net[0].weight.grad.add_(1), "0.weight.grad bytes"),
    "the object .grad": (replace_grad, "0.weight.grad object"),
    "a new .grad": (
        lambda net: setattr(net[0].bias, "grad", net[0].bias.detach() * 0),
        "0.bias.grad",
    ),
    "a forward hook": (lambda net: net[2].register_forward_hook(print), "2._forward_hooks"),
    "a forward-pre hook": (
        lambda net: net[2].register_forward_pre_hook(print, with_kwargs=True),
        "2._forward_pre_hooks_with_kwargs",
    ),
    "a backward hook": (lambda net: net[2].register_full_backward_hook(print), "2._backward_hooks"),
    "a backward-pre hook": (
        lambda net: net[2].register_full_backward_pre_hook(print),
        "2._backward_pre_hooks",
    ),
    "a tensor hook": (lambda net: net[0].weight.register_hook(print), "0.weight hooks"),
    "the order of hooks": (reorder_hooks, "0._forward_hooks"),
    "an attribute left over": (lambda net: setattr(net[2], "note", 1), "2.note"),
    "a replaced module": (lambda net: net.__setitem__(2, nn.ReLU()), "2: "),
    "the random state": (lambda net: torch.rand(1), "random state, cpu"),
    "grad mode": (set_grad_mode, "grad mode"),
    "autocast": (lambda net: torch.set_autocast_enabled("cpu", True), "autocast, cpu"),
}


@pytest.fixture(autouse=True)
def _restore_global_state():
    yield
    torch.set_grad_enabled(True)
    torch.set_autocast_enabled("cpu", False)


@pytest.mark.parametrize("change, named", CHANGES.values(), ids=CHANGES)
def test_notices(net, change, named):
    with pytest.raises(AssertionError, match="not left as found") as caught:
        assert_left_as_found(net, lambda: change(net))
    assert f"\n{named}" in str(caught.value)


def test_notices_the_sign_of_zero(net):
    net[0].weight.grad.zero_()
    with pytest.raises(AssertionError, match="0.weight.grad bytes"), left_as_found(net):
        negative_zero(net)


def test_passes_when_all_is_put_back(net):
    def action():
        handle = net[2].register_forward_hook(lambda *_: None)
        net[3].train()
        with torch.random.fork_rng(), torch.no_grad():
            out = net(torch.randn(2, 3, 8, 8))
        net[3].eval()
        handle.remove()
        return out

    assert assert_left_as_found(net, action).shape == (2, 4, 6, 6)


def test_nan_equals_itself(net):
    net[0].weight.data.fill_(float("nan"))
    with left_as_found(net):
        pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_lets_the_error_of_the_block_through(net, error):
    with pytest.raises(error), left_as_found(net):
        raise error


def test_compares_after_an_interrupt_too(net):
    with pytest.raises(AssertionError, match="3.training"), left_as_found(net):
        net[3].train()
        raise KeyboardInterrupt


@pytest.mark.gpu
def test_notices_the_random_state_of_a_gpu(net):
    net.cuda()
    with pytest.raises(AssertionError, match="random state, cuda:0"), left_as_found(net):
        torch.rand(1, device="cuda")
