"""hooks.py: whatever happens inside a frame, everything is as before at its end."""

from __future__ import annotations

import copy
import io
import threading
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from left_as_found import left_as_found as unchanged
from resviz.hooks import Hooks, batch_norms, evaluating, gradients, left_as_found
from resviz.networks.cifar import cifar_resnet


@pytest.fixture
def net() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)).train()
    net[1].eval()
    net[0].bias.requires_grad_(False)
    return net


IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, Stop])
@pytest.mark.parametrize("batch_stats", [False, True])
def test_everything_is_put_back(net: nn.Module, error: type[BaseException] | None, batch_stats):
    settings = {"grad": True, "batch_stats": batch_stats, "parameters": True}

    def inside() -> None:
        with left_as_found(net, **settings) as hooks:
            hooks.forward(net[0], lambda m, a, out: None)
            hooks.before_forward(net[1], lambda m, a: None)
            out = net(IMAGES)
            hooks.gradient(out, lambda g: None)
            hooks.node(out.grad_fn, lambda gi, go: None)
            out.sum().backward(inputs=[out])
            torch.rand(3)
            if error is not None:
                raise error

    with unchanged(net):
        if error is None:
            inside()
        else:
            with pytest.raises(error):
                inside()


def test_modes_inside(net: nn.Module):
    with left_as_found(net):
        assert not any(m.training for m in net.modules())
    with left_as_found(net, batch_stats=True):
        assert [m.training for m in net] == [False, True, False, False]
    assert [m.training for m in net] == [True, False, True, True]


def test_running_statistics_survive_batch_statistics():
    net = cifar_resnet(8, seed=0)
    before = copy.deepcopy(net.state_dict())
    with left_as_found(net, batch_stats=True):
        net(torch.randn(8, 3, 16, 16))
        inside = net.bn1.running_mean.clone()
    assert not torch.equal(inside, before["bn1.running_mean"])
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_buffer_of_two_modules_stays_one():
    one, other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    other.running_mean = one.running_mean
    net = nn.Sequential(one, other)
    with unchanged(net), left_as_found(net, batch_stats=True):
        assert one.running_mean is other.running_mean
        net(torch.randn(4, 4, 3, 3))


class Keeping(nn.Linear):
    """Keeps what it computes, and a mean that moves."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        self.mean, self.kept = torch.zeros(2), None

    def forward(self, x: Tensor) -> Tensor:
        self.kept = self.latest = super().forward(x)
        self.mean = 0.9 * self.mean + 0.1 * self.kept.detach().mean(0)
        return self.kept


@pytest.mark.parametrize("error", [None, Stop])
def test_what_modules_keep_of_a_pass_is_theirs(error: type[BaseException] | None):
    net = nn.Sequential(Keeping())
    mean = net[0].mean
    with pytest.raises(error) if error else nullcontext(), left_as_found(net, grad=True):
        net(torch.ones(1, 3))
        assert net[0].latest.requires_grad
        if error:
            raise error
    assert net[0].mean is mean and net[0].kept is None and not hasattr(net[0], "latest")
    copy.deepcopy(net)  # which the graph of a pass would not allow


class Lazy(nn.Linear):
    """Makes what it needs for a size when that comes first; keeps what it saw."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        self.made_for: int | None = None
        self.flip, self.seen, self.latest = False, list[Tensor](), dict[str, Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        if self.made_for != len(x):
            self.scale, self.made_for = torch.arange(1.0, len(x) + 1)[:, None], len(x)
        self.flip = not self.flip
        y = super().forward(x) * self.scale * (-1 if self.flip else 1)
        self.seen.append(y)
        self.latest["y"] = y
        return y


def test_a_size_and_what_was_made_for_it_stay_together():
    net, images = nn.Sequential(Lazy()), torch.ones(2, 3)
    for count in (4, 2):
        with unchanged(net), left_as_found(net, grad=True):
            net(torch.ones(count, 3))
        first, again = net(images), net(images)
        assert torch.equal(first, -again)  # as if nobody had looked meanwhile
        net[0].seen.clear(), net[0].latest.clear()
        copy.deepcopy(net)
    with torch.no_grad():
        net(images)
    assert len(net[0].seen) == 1  # of its own passes it keeps all


def test_two_threads_wait_for_one_another():
    """Else one puts back under the other what that one took for the network's own."""
    inside, left = threading.Event(), threading.Event()

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)
            self.register_buffer("scale", torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            inside.set()
            left.wait(0.3)  # what the first one does not see while the second has a frame
            return self.drop(x) * self.scale

    net, found = Slow().train(), list[Tensor]()
    scale = net.scale

    def look() -> None:
        with left_as_found(net):
            found.append(net(torch.ones(50)))
        left.set()

    with unchanged(net):
        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
            assert inside.wait(10)
        for thread in threads:
            thread.join(10)
    assert len(found) == 2 and all(bool((each == 1).all()) for each in found)
    assert net.training and net.scale is scale


def test_gradient_mode(net: nn.Module):
    for outside in (torch.no_grad, torch.enable_grad, torch.inference_mode):
        with outside():
            with left_as_found(net, grad=True):
                assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
                assert net(IMAGES.clone()).requires_grad
            with left_as_found(net):
                assert not torch.is_grad_enabled()
                assert not net(IMAGES).requires_grad
            with gradients(True):
                assert torch.is_grad_enabled()
            with evaluating(net):
                assert not torch.is_grad_enabled() and not net.training


def test_frozen_parameters_are_differentiable_inside(net: nn.Module):
    with left_as_found(net, grad=True, parameters=True):
        assert net[0].bias.requires_grad
        out = net(IMAGES)
        (grad,) = torch.autograd.grad(out.sum(), [net[0].bias])
        assert grad is not None
    assert not net[0].bias.requires_grad and net[0].weight.requires_grad


def test_integer_parameters_are_left_alone():
    net = nn.Module()
    net.table = nn.Parameter(torch.arange(3), requires_grad=False)
    with unchanged(net), left_as_found(net, grad=True, parameters=True):
        assert not net.table.requires_grad


def test_the_random_state_is_the_callers(net: nn.Module):
    torch.manual_seed(4)
    right = torch.rand(3)
    torch.manual_seed(4)
    with left_as_found(net):
        torch.rand(100)
    assert torch.equal(torch.rand(3), right)


def test_another_thread_does_not_rewind_the_random_state(net: nn.Module):
    begun, drawn = threading.Event(), threading.Event()

    def look() -> None:
        with left_as_found(net):
            begun.set()
            assert drawn.wait(10)

    torch.manual_seed(4)
    right = torch.rand(6)
    torch.manual_seed(4)
    beside = threading.Thread(target=look)
    beside.start()
    assert begun.wait(10)
    first = torch.rand(3)
    drawn.set()
    beside.join(10)
    assert torch.equal(torch.cat([first, torch.rand(3)]), right)


def test_a_gradient_hook_binds_to_the_tensor_as_it_is():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    seen: list[Tensor] = []
    with Hooks() as hooks:
        hooks.gradient(y, seen.append)
        y.mul_(5)
        y.sum().backward()
    assert [g.tolist() for g in seen] == [[5.0] * 3]
    assert x.grad.tolist() == [10.0] * 3


def test_a_hook_on_a_parameter_leaves_no_dictionary():
    for own in (None, lambda g: g):
        parameter = nn.Parameter(torch.ones(2))
        if own is not None:
            parameter.register_hook(own)
        before = parameter._backward_hooks
        with Hooks() as hooks:
            hooks.gradient(parameter, lambda g: None)
            hooks.gradient(parameter, lambda g: None)
        assert parameter._backward_hooks is before
        (parameter * 2).sum().backward()
        assert parameter.grad.tolist() == [2.0, 2.0]


def test_node_hooks_see_both_sides_and_end():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    seen = []
    with Hooks() as hooks:
        hooks.node(y.grad_fn, lambda gi, go: seen.append((gi[0].tolist(), go[0].tolist())))
        y.sum().backward(retain_graph=True)
    y.sum().backward()
    assert seen == [([2.0] * 3, [1.0] * 3)]


def test_nested_frames(net: nn.Module):
    with unchanged(net), left_as_found(net, batch_stats=True, grad=True):
        with left_as_found(net):
            assert not net[1].training and not torch.is_grad_enabled()
            net(IMAGES)
        assert net[1].training and torch.is_grad_enabled()


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0]])
def test_forwards_come_back_in_any_order(net: nn.Module, order: list[int]):
    """As of callbacks, whose ends come in the order of their beginnings."""
    called: list[int] = []
    with unchanged(net):
        frames = [Hooks() for _ in range(3)]
        for number, hooks in enumerate(frames):

            def instead(forward, x, number: int = number):
                called.append(number)
                return forward(x)

            hooks.instead(net, instead)
        for count, number in enumerate(order):
            frames[number].__exit__(None, None, None)
            called.clear()
            net.eval()(IMAGES)
            assert sorted(called) == sorted(order[count + 1 :])
        assert "forward" not in vars(net)
        net.train()[1].eval()


def test_a_forward_that_others_set_meanwhile_stays_theirs(net: nn.Module):
    with Hooks() as hooks:
        hooks.instead(net, lambda forward, x: forward(x) * 0)
        own = net.forward = lambda x: x + 1
    assert net.forward is own


def plus_one(module: nn.Module, args: object, output: Tensor) -> Tensor:
    return output + 1


def test_copies_and_files_have_no_hidden_hooks(net: nn.Module):
    net[0].register_forward_hook(plus_one)
    right = net.eval()(IMAGES)
    called: list[int] = []
    with unchanged(net), Hooks(hidden=True) as one, Hooks(hidden=True) as two:
        for hooks in (one, two):
            hooks.forward(net[0], lambda m, args, out: called.append(1))
            hooks.before_forward(net[2], lambda m, args: called.append(2))
            hooks.instead(net, lambda forward, x: forward(x) * 2)
        copied = copy.deepcopy(net)
        one.__exit__(None, None, None)
        again = copy.deepcopy(net)
        file = io.BytesIO()
        torch.save(net, file)
    file.seek(0)
    for other in (copied, again, torch.load(file, weights_only=False)):
        assert torch.equal(other(IMAGES), right) and "forward" not in vars(other)
        assert [len(m._forward_hooks) for m in other] == [1, 0, 0, 0]
        assert not any(m._forward_pre_hooks or "__getstate__" in vars(m) for m in other.modules())
    assert not called


def test_batch_norms():
    net = nn.Sequential(nn.BatchNorm1d(2), nn.LayerNorm(2), nn.BatchNorm3d(2), nn.SyncBatchNorm(2))
    assert batch_norms(net) == [net[0], net[2], net[3]]


class MonteCarlo(nn.Module):
    """Goes to training mode in its own forward, as Monte Carlo dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.train()
        return self.norm(x)


def test_statistics_of_a_network_that_goes_to_training_mode() -> None:
    net = MonteCarlo()
    mean, count = net.norm.running_mean, net.norm.num_batches_tracked
    with left_as_found(net):
        net(torch.randn(4, 3) + 5)
    assert net.norm.running_mean is mean and not mean.any()
    assert net.norm.num_batches_tracked is count and int(count) == 0
