"""`explain` leaves everything as it found it: every method, whatever happens on the way.

The network (see left_as_found.py for what is compared), the images, and the random states of torch,
NumPy and Python; after success, a bad argument, and an interrupt in a forward pass, in a hook of
the user's, or in a backward pass.
"""

from __future__ import annotations

import copy
import random
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from cases import every_method
from left_as_found import bytes_of, left_as_found
from resviz.attribution.methods.registry import METHODS
from resviz.networks.anatomy.resume import Resume

pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")

QUICK: dict[str, dict[str, Any]] = {
    "rise": {"masks": 12},
    "smooth_grad": {"samples": 6},
    "gradient_shap": {"samples": 6},
    "integrated_gradients": {"steps": 6},
    "occlusion": {"window": 4},
}
LAYER = ("relu2", 0)
EARLIER = ("relu1", 0)  # where Ablation-CAM has no closed form and runs the network again
# passes of the network in one call, at least: the shared one, and those of the method itself
SEVERAL = ["score_cam", "ablation_cam", "rise", "occlusion", "smooth_grad", "gradient_shap"]
SEVERAL += ["integrated_gradients", "guided_backprop", "guided_grad_cam"]
BACKWARD = [n for n, m in METHODS.items() if m.kind in ("gradients", "captum")]


class OnceEach(nn.Module):
    """Two convolutions, BatchNorm, dropout, pooling and a linear layer; each module runs once.

    The residual addition is in place, and so is the second ReLU. `passes` grows by one a pass; it
    is a list, as a module's attributes must stay the same objects.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.relu2 = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 5)
        self.interrupt_at: list[int] = []
        self.passes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        self.passes.append(1)
        if len(self.passes) in self.interrupt_at:
            raise KeyboardInterrupt
        out = self.conv2(x)
        out += x
        return self.fc(self.drop(self.relu2(out).mean((2, 3))))


def _keep(module: nn.Module, args: Any, output: Any) -> None:
    """A hook of the user's that only looks."""


def _keep_before(module: nn.Module, args: Any) -> None:
    """Likewise, before the module runs."""


def trained_state(net: OnceEach) -> OnceEach:
    """In the middle of a training: modes mixed, parameters frozen, gradients there, hooks set."""
    net.train()
    net.bn1.eval()
    net.conv1.weight.requires_grad_(False)
    net.fc.bias.requires_grad_(False)
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn_like(parameter)
    net.conv2.register_forward_hook(_keep)
    net.conv2.register_forward_pre_hook(_keep_before)
    net.relu1.register_full_backward_hook(lambda module, grad_in, grad_out: None)
    net.conv2.weight.register_hook(lambda gradient: None)
    return net


@pytest.fixture
def net() -> OnceEach:
    net = OnceEach()
    net.bn1.running_mean.normal_()
    net.bn1.running_var.uniform_(0.5, 2)
    return net


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 8, 8)


@contextmanager
def unchanged(net: nn.Module, images: Tensor) -> Iterator[None]:
    """Raise AssertionError for a change of the network, the images or a random state."""
    before, version = images.detach().clone(), images._version
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with left_as_found(net):
            yield
    finally:
        assert bytes_of(images) == bytes_of(before), "the images changed"
        assert images._version == version, "the images were written to"
        assert images.grad is None
        after = np.random.get_state()
        assert after[2] == numpy_state[2], "NumPy's random state moved"
        assert np.array_equal(after[1], numpy_state[1]), "NumPy's random state changed"
        assert random.getstate() == python_state, "Python's random state changed"


def explain(net: nn.Module, images: Tensor, method: str, **more: Any) -> rv.Explanation:
    options = {method: QUICK[method]} if method in QUICK else None
    settings: dict[str, Any] = {"layers": [LAYER], "options": options, "chunk": 2}
    return rv.explain(net, images, [[1, 2]] * len(images), methods=method, **settings | more)


# ---- success
@pytest.mark.parametrize("method", every_method())
def test_success(net: OnceEach, images: Tensor, method: str) -> None:
    trained_state(net)
    with unchanged(net, images):
        exp = explain(net, images, method)
    assert all(maps.isfinite().all() for maps in exp.maps.values())


@pytest.mark.parametrize("method", every_method())
def test_hooks_that_watch_change_no_map(net: OnceEach, images: Tensor, method: str) -> None:
    """Of every kind: Captum's DeepLIFT took a ReLU with a hook of its own for a linear layer."""
    expected = explain(net, images, method).maps
    net.relu1.register_full_backward_hook(lambda module, grad_in, grad_out: None)
    net.relu1.register_full_backward_pre_hook(lambda module, grad_out: None)
    net.conv2.register_forward_hook(_keep)
    net.relu2.register_forward_pre_hook(_keep_before)
    maps = explain(net, images, method).maps
    for key, values in expected.items():
        torch.testing.assert_close(maps[key], values)


@pytest.mark.parametrize("method", every_method())
def test_the_default_type_changes_no_map(net: OnceEach, images: Tensor, method: str) -> None:
    expected = explain(net, images, method).maps
    torch.set_default_dtype(torch.float64)
    try:
        maps = explain(net, images, method).maps
    finally:
        torch.set_default_dtype(torch.float32)
    for key, values in expected.items():
        torch.testing.assert_close(maps[key], values, check_dtype=False)


@pytest.mark.parametrize("method", every_method())
def test_images_that_require_gradients(net: OnceEach, images: Tensor, method: str) -> None:
    images.requires_grad_()
    with unchanged(net, images):
        exp = explain(net, images, method)
    assert images.requires_grad
    assert images.grad is None
    assert not any(maps.requires_grad for maps in exp.maps.values())
    assert not exp.scores.requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("method", every_method())
def test_gradient_modes_of_the_caller(
    net: OnceEach, images: Tensor, method: str, mode: Callable[[], Any]
) -> None:
    expected = explain(net, images, method).maps
    with mode():
        given = images.clone()  # under inference_mode an inference tensor
        with left_as_found(net):
            maps = explain(net, given, method).maps
    for key, values in expected.items():
        torch.testing.assert_close(maps[key], values)


@pytest.mark.parametrize("method", every_method())
def test_a_random_state_of_the_caller_changes_nothing(
    net: OnceEach, images: Tensor, method: str
) -> None:
    """Methods that draw have a seed of their own; the same call gives the same maps."""
    one = explain(net, images, method).maps
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    two = explain(net, images, method).maps
    for key, values in one.items():
        assert torch.equal(two[key], values)


@pytest.mark.parametrize("method", every_method())
def test_chunks_change_nothing(net: OnceEach, images: Tensor, method: str) -> None:
    """A CPU runs 8 variants at once and a GPU 64: they must draw the same ones."""
    net, images = net.double(), images.double()
    small, large = (explain(net, images, method, chunk=chunk).maps for chunk in (1, 5))
    for key, values in large.items():
        torch.testing.assert_close(small[key], values, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", ["smooth_grad", "gradient_shap", "rise"])
def test_no_other_device_is_seeded(
    net: OnceEach, images: Tensor, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torch.manual_seed` seeds every CUDA device, whose state nobody keeps for a CPU network."""
    seeded: list[object] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    explain(net, images, method)
    assert not seeded


class WritesOnItsInput(nn.Module):
    """Normalises the pictures in place, as some networks do, then convolves."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5).add_(0.1)
        return self.fc(self.relu2(self.conv1(self.first(x))).mean((2, 3)))


class WritesOnACopy(WritesOnItsInput):
    """The same function of the picture."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.clone())


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("method", every_method())
def test_a_network_that_writes_on_its_input(images: Tensor, method: str, count: int) -> None:
    net = WritesOnItsInput()
    polite = WritesOnACopy()
    polite.load_state_dict(net.state_dict())
    images = images[:count].clone()
    with unchanged(net, images):
        maps = explain(net, images, method).maps
    for key, values in explain(polite, images, method).maps.items():
        torch.testing.assert_close(maps[key], values)


# ---- bad arguments
@pytest.mark.parametrize("method", every_method())
@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": "layer9"},
        {"layers": [("relu2", 3)]},
        {"layers": "fc"},
        {"chunk": 0},
        {"options": {"every": {"no such": 1}}},
    ],
    ids=["layer", "call", "no positions", "chunk", "option"],
)
def test_bad_arguments(net: OnceEach, images: Tensor, method: str, wrong: dict[str, Any]) -> None:
    trained_state(net)
    if "options" in wrong:
        wrong = {"options": {method: {"no such": 1}}}
    with pytest.raises(ValueError, match=r"^explain: "), unchanged(net, images):
        explain(net, images, method, **wrong)


@pytest.mark.parametrize("method", every_method())
def test_bad_targets_and_images(net: OnceEach, images: Tensor, method: str) -> None:
    trained_state(net)
    with pytest.raises(ValueError, match=r"^explain: "), unchanged(net, images):
        rv.explain(net, images, 9, methods=method, layers=[LAYER])
    with pytest.raises(ValueError, match=r"^explain: "), unchanged(net, images):
        rv.explain(net, images[:, :2], 1, methods=method, layers=[LAYER])


# ---- interrupts
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("method", every_method())
def test_interrupt_in_a_forward_pass(net: OnceEach, images: Tensor, method: str, at: int) -> None:
    """In the first, second and third pass: before, between and inside the method's own."""
    trained_state(net)
    net.interrupt_at.append(at)
    net.passes.clear()
    interrupted = False
    try:
        # `passes` grows by design: the list is the same object, so nothing counts as changed
        with unchanged(net, images):
            explain(net, images, method, layers=[EARLIER if method == "ablation_cam" else LAYER])
    except KeyboardInterrupt:
        interrupted = True
    assert interrupted or at > len(net.passes)
    assert interrupted or (method not in SEVERAL and at > 1)


@pytest.mark.parametrize("method", every_method())
def test_interrupt_in_a_hook_of_the_users(net: OnceEach, images: Tensor, method: str) -> None:
    """In the third pass where there is one, else in the first."""
    trained_state(net)
    calls: list[int] = []
    limit = 3 if method in SEVERAL else 1

    def hook(*_: Any) -> None:
        calls.append(1)
        if len(calls) == limit:
            raise KeyboardInterrupt

    net.drop.register_forward_hook(hook)
    with pytest.raises(KeyboardInterrupt), unchanged(net, images):
        explain(net, images, method, layers=[EARLIER if method == "ablation_cam" else LAYER])


class InterruptedBackward(torch.autograd.Function):
    """The identity, whose gradient is an interrupt."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise KeyboardInterrupt


class Interrupting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return InterruptedBackward.apply(x)


@pytest.mark.parametrize("method", every_method(BACKWARD))
def test_interrupt_in_a_backward_pass(net: OnceEach, images: Tensor, method: str) -> None:
    net.drop = Interrupting()
    trained_state(net)
    with pytest.raises(KeyboardInterrupt), unchanged(net, images):
        explain(net, images, method)


def test_interrupt_while_the_hooks_are_being_set(
    net: OnceEach, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third registration fails: the first two hooks, the modes and the buffers go back."""
    trained_state(net)
    register, count = nn.Module.register_forward_hook, [0]

    def failing(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        return register(self, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "register_forward_hook", failing)
    with pytest.raises(KeyboardInterrupt), unchanged(net, images):
        rv.explain(net, images, 1, layers=["conv1", "bn1", "relu1"])


# ---- forwards that are replaced while a pass is resumed
def test_a_forward_of_the_instance_is_put_back(net: OnceEach, images: Tensor) -> None:
    """Others replace forwards too (accelerate, torchao): same object, same place in __dict__."""
    calls: list[int] = []

    def own(self: nn.Module, x: Tensor) -> Tensor:
        calls.append(1)
        return type(self).forward(self, x) * 2

    net.conv1.forward = types.MethodType(own, net.conv1)
    net.relu2.forward = types.MethodType(own, net.relu2)
    net.conv1.after = "an attribute set later"
    with unchanged(net, images):
        explain(net, images, "ablation_cam")
    assert calls
    with torch.no_grad():
        whole = net.eval()(images[:1])
        resumed = Resume(net, (images[:1],), LAYER)
        torch.testing.assert_close(resumed.output, whole)
        torch.testing.assert_close(resumed.run(resumed.activation), whole)


def test_forwards_are_put_back_after_an_interrupt(net: OnceEach, images: Tensor) -> None:
    trained_state(net)
    resumed = Resume(net, (images[:1],), LAYER)
    net.interrupt_at.append(len(net.passes) + 1)
    with pytest.raises(KeyboardInterrupt), unchanged(net, images):
        resumed.run(resumed.activation)
    assert not any("forward" in module.__dict__ for module in net.modules())


# ---- a training that goes on
def test_a_graph_of_the_callers_can_still_be_used(net: OnceEach, images: Tensor) -> None:
    """explain between a forward and its backward pass: same gradients as without it."""
    net.train()
    net.drop.p = 0.0
    twin = copy.deepcopy(net)
    loss = net(images).square().sum()
    for method in METHODS:
        explain(net, images, method)
    loss.backward()
    twin(images).square().sum().backward()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    assert torch.equal(net.bn1.running_mean, twin.bn1.running_mean)


def test_batch_statistics_leave_the_buffers_alone(net: OnceEach, images: Tensor) -> None:
    trained_state(net)
    methods = [n for n, m in METHODS.items() if m.kind in ("gradients", "activations", "head")]
    with unchanged(net, images):
        rv.explain(net, images, 1, methods=methods, layers=[LAYER], batch_stats=True)


def test_a_split_leaves_everything(net: OnceEach, images: Tensor) -> None:
    class Wrapped(nn.Module):
        """A block and a head, so that the block is a module of its own."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)
            self.block = Adds()

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.block(self.stem(x)).mean((2, 3)))

    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            out = self.bn(self.conv(x))
            out += x
            return out

    wrapped = Wrapped().train()
    wrapped.block.conv.weight.requires_grad_(False)
    with unchanged(wrapped, images):
        rv.explain(wrapped, images, 1, layers="blocks", split=True)
