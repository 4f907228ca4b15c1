"""The network is left as found, whatever happens: success, bad arguments, errors, interrupts.

The same cases for every function that runs a network: record, gradient_norms, residual_branches,
list_layers, predict.
"""

from __future__ import annotations

import copy
import gc
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from cases import crossed, thorough_but
from left_as_found import bytes_of, left_as_found
from recording import toys
from resviz.networks.cifar import cifar_resnet
from resviz.recording import measuring, statistics
from resviz.recording.recorder import record

FUNCTIONS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "record": lambda net, x: rv.record(net, x),
    "record, forward only": lambda net, x: rv.record(net, x, gradients=False),
    "record, everything kept": lambda net, x: rv.record(
        net, x, keep=["blocks", "block:grad", "block.add:branch", "block.add:grad_shortcut"]
    ),
    "record, batch statistics": lambda net, x: rv.record(net, x, batch_stats=True),
    "gradient_norms": lambda net, x: rv.gradient_norms(net, x),
    "gradient_norms, batch statistics": lambda net, x: rv.gradient_norms(net, x, batch_stats=True),
    "residual_branches": lambda net, x: rv.residual_branches(net, x),
    "list_layers": lambda net, x: rv.list_layers(net, x),
    "predict": lambda net, x: rv.predict(net, x),
}
RECORDERS = [name for name in FUNCTIONS if name[:3] in ("rec", "gra", "res")]
BACKWARD = [name for name in RECORDERS if "forward" not in name]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def net() -> nn.Module:
    net = toys.net_of(toys.InPlaceThenReLU)
    net.block.body.append(nn.Dropout(0.5))
    return net


@pytest.fixture
def images() -> Tensor:
    return torch.randn(8, 3, 8, 8)


def frozen(net: nn.Module) -> nn.Module:
    net.stem.requires_grad_(False)
    net.block.body[1].weight.requires_grad_(False)
    return net


def all_frozen(net: nn.Module) -> nn.Module:
    return net.requires_grad_(False)


def with_grad(net: nn.Module) -> nn.Module:
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    return net


def with_hooks(net: nn.Module) -> nn.Module:
    for module in net.modules():
        module.register_forward_hook(lambda m, a, out: None)
        module.register_forward_pre_hook(lambda m, a: None)
        module.register_forward_hook(lambda m, a, kw, out: None, with_kwargs=True)
        module.register_forward_hook(lambda m, a, out: None, always_call=True)
    net.stem.weight.register_hook(lambda g: g)
    net.head.weight.register_post_accumulate_grad_hook(lambda p: None)
    return net


def with_tensor_backward_hooks(net: nn.Module) -> nn.Module:
    net.head.register_full_backward_hook(lambda m, gi, go: None)
    return net


def training(net: nn.Module) -> nn.Module:
    return net.train()


def mixed_modes(net: nn.Module) -> nn.Module:
    net.train()
    net.block.body[1].eval()
    return net


def half_precision(net: nn.Module) -> nn.Module:
    return net.to(torch.bfloat16)


def double_precision(net: nn.Module) -> nn.Module:
    return net.double()


STATES = [
    *(frozen, all_frozen, with_grad, with_hooks, with_tensor_backward_hooks, training),
    *(mixed_modes, half_precision, double_precision, lambda net: net),
]


@pytest.mark.parametrize(
    ("state", "function"), crossed(STATES, FUNCTIONS), ids=lambda s: getattr(s, "__name__", s)
)
def test_after_success(function: str, state: Callable, net: nn.Module, images: Tensor):
    net = state(net)
    images = images.to(next(net.parameters()).dtype)
    before = bytes_of(images), images._version, images.requires_grad
    with left_as_found(net):
        FUNCTIONS[function](net, images)
    assert (bytes_of(images), images._version, images.requires_grad) == before


CONTEXTS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize(("context", "function"), crossed(CONTEXTS, FUNCTIONS))
def test_under_a_callers_mode(function: str, context: str, net: nn.Module, images: Tensor):
    with CONTEXTS[context](), left_as_found(net):
        FUNCTIONS[function](net, images)


@pytest.mark.parametrize("context", ["no_grad", "inference_mode"])
def test_a_callers_mode_changes_no_number(context: str, net: nn.Module, images: Tensor):
    plain = record(net, images)
    with CONTEXTS[context]():
        rec = record(net, images)
        inside = record(net, images.clone())  # under inference_mode, an inference tensor
    for other in (rec, inside):
        assert other.layers.equals(plain.layers)
        assert other.residuals.equals(plain.residuals)
        assert other.parameters.equals(plain.parameters)
    assert not any(t.is_inference() for t in (rec.logits, rec.loss, inside.logits, inside.loss))


@pytest.mark.parametrize("own", [True, False])
def test_targets_made_under_inference_mode(own: bool, net: nn.Module, images: Tensor):
    """A loss saves its targets for the backward pass, which torch refuses for such tensors."""
    loss = partial(nn.functional.cross_entropy, reduction="none") if own else None
    with torch.inference_mode():
        targets = torch.arange(len(images)) % 2
    plain = record(net, images, targets.tolist(), loss=loss)
    assert record(net, images, targets, loss=loss).layers.equals(plain.layers)


@pytest.mark.parametrize("function", RECORDERS)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_when_the_forward_fails(function: str, error: type, net: nn.Module, images: Tensor):
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise error("in the forward")

    net.block.body.append(Fails())
    with pytest.raises(error, match="in the forward"), left_as_found(net.train()):
        FUNCTIONS[function](net, images)


@pytest.mark.parametrize("function", ["list_layers", "predict"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_when_the_forward_fails_elsewhere(
    function: str, error: type, net: nn.Module, images: Tensor
):
    test_when_the_forward_fails(function, error, net, images)


@pytest.mark.parametrize("function", RECORDERS)
@pytest.mark.parametrize("at", [1, 4, 9])
def test_when_a_hook_is_interrupted(
    function: str, at: int, net: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
):
    count = 0

    def interrupted(x: Tensor) -> statistics.Measured:
        nonlocal count
        count += 1
        if count == at:
            raise KeyboardInterrupt("in a hook")
        return statistics.measure(x)

    monkeypatch.setattr(measuring, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt, match="in a hook"), left_as_found(net.train()):
        FUNCTIONS[function](net, images)


@pytest.mark.parametrize("function", BACKWARD)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_when_a_backward_hook_is_interrupted(
    function: str,
    error: type,
    net: nn.Module,
    images: Tensor,
    monkeypatch: pytest.MonkeyPatch,
):
    seen: list[int] = []

    def interrupted(x: Tensor) -> float:
        seen.append(1)
        if len(seen) > 3:
            raise error("in the backward")
        return 1.0

    monkeypatch.setattr(measuring, "mean_square", interrupted)
    with pytest.raises(error, match="in the backward"), left_as_found(frozen(net).train()):
        FUNCTIONS[function](net, images)


class Raises(torch.autograd.Function):
    error: type[BaseException] = RuntimeError

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise Raises.error("in the backward")


@pytest.mark.parametrize("function", BACKWARD)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_when_the_backward_fails(function: str, error: type, net: nn.Module, images: Tensor):
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            Raises.error = error
            return Raises.apply(x)

    net.block.body.append(Fails())
    with pytest.raises(error, match="in the backward"), left_as_found(frozen(net).train()):
        FUNCTIONS[function](net, images)


BAD: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "layer": lambda net, x: record(net, x, keep=["nothing"]),
    "never ran": lambda net, x: record(net, x, keep=["block.add_7:branch"]),
    "targets": lambda net, x: record(net, x, targets=[99] * 8),
    "few targets": lambda net, x: rv.gradient_norms(net, x, targets=[0]),
    "loss": lambda net, x: record(net, x, loss="mse"),
    "loss function": lambda net, x: record(net, x, loss=lambda logits, targets: 3.0),
    "loss that raises": lambda net, x: record(net, x, loss=lambda logits, targets: 1 / 0),
    "shape": lambda net, x: rv.residual_branches(net, x[:, :2]),
    "type": lambda net, x: rv.list_layers(net, "cat.png"),
    "no images": lambda net, x: record(net, x[:0]),
    "nan": lambda net, x: record(net, x * float("nan")),
}


@pytest.mark.parametrize("bad", list(BAD))
def test_after_a_bad_argument(bad: str, net: nn.Module, images: Tensor):
    with pytest.raises(Exception), left_as_found(frozen(net).train()):  # noqa: B017
        BAD[bad](net, images)


def test_buffers_after_batch_statistics(images: Tensor):
    net = cifar_resnet(8, seed=0).train()
    with torch.no_grad():
        net(images)
    tracked = [b for n, b in net.named_buffers() if n.endswith("num_batches_tracked")]
    before = [int(b) for b in tracked]
    with left_as_found(net):
        record(net, images, batch_stats=True)
        rv.gradient_norms(net, images, batch_stats=True)
    assert [int(b) for b in tracked] == before == [1] * len(before)


@pytest.mark.parametrize("data", [False, True])
def test_a_network_that_writes_its_buffers(data: bool, images: Tensor):
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = toys.net_of(toys.Block)
            self.register_buffer("count", torch.zeros(()))
            self.register_buffer("last", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            (self.count.data if data else self.count).add_(1)
            self.last = x.detach().mean((0, 2, 3))
            return self.net(x)

    net = Counts().eval()
    with left_as_found(net):
        record(net, images)


class Frozen(nn.Module):
    """A module whose output is its own parameter, as a class token or a position embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, toys.WIDTH, 8, 8))

    def forward(self) -> Tensor:
        return self.token


def test_a_module_that_returns_its_parameter(images: Tensor):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.frozen = nn.Conv2d(3, toys.WIDTH, 3, 1, 1), Frozen()

        def forward(self, x: Tensor) -> Tensor:
            return (self.stem(x) + self.frozen()).mean((2, 3))

    net = Net().eval()
    with left_as_found(net):
        rec = record(net, images, keep=["frozen", "frozen:grad"])
    twin = copy.deepcopy(net)
    twin(images).max(1).values.sum().backward()
    row = rec.layers.query("layer == 'frozen'").iloc[0]
    assert row["grad_norm"] == pytest.approx(twin.frozen.token.grad.norm().item(), rel=1e-5)
    assert torch.allclose(rec["frozen:grad"], twin.frozen.token.grad)


def test_a_network_that_writes_into_its_input(images: Tensor):
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = toys.net_of(toys.Block)

        def forward(self, x: Tensor) -> Tensor:
            x.sub_(0.5)
            x[:, 0] = 0
            return self.net(x.mul_(2))

    net = Writes().eval()
    before = images.clone()
    for function in FUNCTIONS:
        if "kept" not in function:
            FUNCTIONS[function](net, images)
            assert torch.equal(images, before), function


def test_images_that_require_grad_are_not_touched(net: nn.Module, images: Tensor):
    images.requires_grad_(True)
    leaf = images * 1  # part of the caller's own graph
    record(net, leaf)
    assert images.grad is None
    leaf.sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))


def test_the_callers_graph_still_works_afterwards(net: nn.Module, images: Tensor):
    """A forward before, a recording, then the backward of the former: nothing was written."""
    net.train()
    loss = net(images).sum()
    record(net, images)
    record(net, images, batch_stats=True)
    rv.list_layers(net, images)
    loss.backward()
    assert all(p.grad is not None for p in net.parameters())


def test_training_goes_on_inside_autocast(net: nn.Module, images: Tensor):
    """Autocast's cache of cast weights is neither used nor left behind."""
    frozen(net)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            net(images)  # fills the cache with weights that know no gradient
        rec = record(net, images)
        assert rec.parameters["grad_norm"].notna().all()
        assert (rec.parameters["grad_norm"] > 0).any()
        loss = net(images).float().sum()
    loss.backward()
    assert net.head.weight.grad is not None
    assert net.stem.weight.grad is None


def tensors_alive() -> int:
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("function", thorough_but(FUNCTIONS, ["record"]))
def test_no_memory_stays_behind(function: str, net: nn.Module, images: Tensor):
    """Without the garbage collector: what is left would stay until it runs."""
    for _ in range(2):
        FUNCTIONS[function](net, images)
    gc.collect()
    gc.disable()
    try:
        before = tensors_alive()
        for _ in range(20):
            FUNCTIONS[function](net, images)
        after = tensors_alive()
    finally:
        gc.enable()
    assert after - before <= 3


@pytest.mark.thorough
def test_activations_are_freed_when_the_record_is_returned(net: nn.Module, images: Tensor):
    alive: list[weakref.ref[Tensor]] = []
    net.block.register_forward_hook(lambda m, a, out: alive.append(weakref.ref(out)))
    gc.collect()
    gc.disable()
    try:
        rec = record(net, images)
        assert [ref() for ref in alive] == [None]
        net_of_record = weakref.ref(net)
    finally:
        gc.enable()
    assert not any(isinstance(value, nn.Module) for value in vars(rec).values())
    assert net_of_record() is net


def test_an_error_keeps_no_hook_even_while_its_traceback_lives(net: nn.Module, images: Tensor):
    held = None
    try:
        record(net, images, targets=[99] * 8)
    except ValueError as error:
        held = error
    assert held is not None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize("state", [training, mixed_modes], ids=lambda s: s.__name__)
def test_modes_do_not_change_the_numbers(state: Callable, net: nn.Module, images: Tensor):
    plain = record(net, images)
    rec = record(state(copy.deepcopy(net)), images)
    assert rec.layers.equals(plain.layers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = record(net, images, batch_stats=True)
    assert not batch.layers["mean"].equals(plain.layers["mean"])


def test_batch_statistics_are_those_of_the_batch(images: Tensor):
    net = cifar_resnet(8, seed=0)
    rec = record(net, images, batch_stats=True)
    twin = copy.deepcopy(net).train()
    assert torch.allclose(rec.logits, twin(images), atol=1e-5)
    for row in rec.layers.query("type == 'BatchNorm2d'").itertuples():
        assert row.mean == pytest.approx(0, abs=1e-5) and row.std == pytest.approx(1, abs=1e-2)
    assert rec.provenance["batch_stats"] is True


def test_twice_gives_the_same_record(net: nn.Module, images: Tensor):
    with left_as_found(net):
        first, second = record(net, images), record(net, images)
    assert first.equals(second)
