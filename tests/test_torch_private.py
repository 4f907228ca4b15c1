"""torch_private.py: what resviz relies on holds in the torch and Captum that are installed.

A test that fails with a new version names the touch that no longer holds, and the version in which
it was last seen to.
"""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import math
import pickle
import weakref
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from resviz import torch_private as private

ROOT = Path(__file__).resolve().parents[1]


def seen(package: str, number: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a test with the version in which it was last seen to pass; a failure names both."""

    def marked(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            try:
                test(*args, **kwargs)
            except Exception as error:
                here = f"this is {package} {metadata.version(package)}"
                error.add_note(f"resviz relies on this; it held in {package} {number}, {here}.")
                raise

        run.package, run.number = package, number
        return run

    return marked


# ---- classes of modules
NORMS = [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm]


@seen("torch", "2.15.0")
def test_every_batch_norm_has_one_base_and_no_other_norm_has_it():
    for kind in (*NORMS, nn.LazyBatchNorm2d):
        assert issubclass(kind, private.AnyBatchNorm)
    for kind in (nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm):
        assert not issubclass(kind, private.AnyBatchNorm)


@seen("torch", "2.15.0")
def test_batch_and_instance_norm_have_one_base():
    for kind in (*NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d):
        assert issubclass(kind, private.BatchOrInstanceNorm)
    for kind in (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm):
        assert not issubclass(kind, private.BatchOrInstanceNorm)


@seen("torch", "2.15.0")
def test_every_convolution_has_one_base_and_the_transposed_another():
    plain = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    assert all(issubclass(kind, private.AnyConvolution) for kind in plain + transposed)
    assert all(issubclass(kind, private.TransposedConvolution) for kind in transposed)
    assert not any(issubclass(kind, private.TransposedConvolution) for kind in plain)
    assert not issubclass(nn.Linear, private.AnyConvolution)


@seen("torch", "2.15.0")
def test_a_wrapper_of_compile_is_told_by_its_name_and_holds_the_network():
    net = nn.Sequential(nn.Linear(2, 2))
    wrapper = torch.compile(net, backend="eager")
    assert private.is_wrapped_by_compile(wrapper) and not private.is_wrapped_by_compile(net)
    assert not private.is_compiled_in_place(wrapper)
    assert getattr(wrapper, private.ORIGINAL) is net
    assert list(wrapper.state_dict()) == [
        f"{private.ORIGINAL}.0.weight",
        f"{private.ORIGINAL}.0.bias",
    ]


@seen("torch", "2.15.0")
def test_a_module_that_was_compiled_in_place_says_so():
    net = nn.Linear(2, 2)
    assert not private.is_compiled_in_place(net)
    net.compile(backend="eager")
    assert private.is_compiled_in_place(net) and not private.is_wrapped_by_compile(net)


@seen("torch", "2.15.0")
def test_a_compiled_forward_keeps_the_original():
    net = nn.Linear(2, 2)
    assert not private.has_compiled_forward(net)
    net.forward = torch.compile(net.forward, backend="eager")
    assert private.has_compiled_forward(net)


@seen("torch", "2.15.0")
def test_an_exported_module_is_a_graph_of_operators():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert private.is_exported(torch.export.export(net, (torch.ones(1, 2),)).module())
    assert not private.is_exported(net) and not private.is_exported(torch.fx.symbolic_trace(net))


@seen("torch", "2.15.0")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_quantised_modules_are_told_by_where_they_live():
    import torch.ao.nn.quantized as static
    import torch.ao.nn.quantized.dynamic as dynamic

    assert private.is_static_int8(static.Conv2d(1, 1, 1))
    for module in (static.FloatFunctional(), nn.Conv2d(1, 1, 1), dynamic.Linear(1, 1)):
        for part in module.modules():
            assert not private.is_static_int8(part)
    assert private.is_dynamic_int8(dynamic.Linear(1, 1))
    assert not private.is_dynamic_int8(nn.Linear(1, 1))


@seen("torch", "2.15.0")
def test_what_vmap_hands_on_is_told_from_a_tensor():
    found = []

    def look(x: Tensor) -> Tensor:
        found.append(private.is_inside_vmap(x))
        return x

    torch.vmap(look)(torch.ones(2, 2))
    assert found == [True] and not private.is_inside_vmap(torch.ones(2, 2))


@seen("torch", "2.15.0")
def test_what_works_on_each_element_is_tagged_so():
    for name in ("add", "mul", "sub", "relu", "gelu", "silu", "sigmoid", "clamp", "where", "pow"):
        assert private.is_pointwise(name), name
    for name in ("conv2d", "transpose", "softmax", "cumsum", "matmul", "view", "", "no such", "x"):
        assert not private.is_pointwise(name), name


@seen("torch", "2.15.0")
def test_what_a_sigmoid_made_is_told_by_its_graph():
    x = torch.rand(2, 1, requires_grad=True)
    for made in (x.sigmoid(), nn.Sigmoid()(x)[:, 0], x.sigmoid().squeeze(1).float(), x.softmax(0)):
        assert private.is_made_by_sigmoid(made)
    for made in (x, x[:, 0], x.sigmoid() * 2, x.relu(), x.detach().sigmoid()):
        assert not private.is_made_by_sigmoid(made)


@seen("torch", "2.15.0")
def test_activations_live_in_one_file():
    for kind in (nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Softmax, nn.PReLU, nn.Hardswish):
        assert private.is_activation(kind())
    for module in (nn.Linear(1, 1), nn.Dropout(), nn.BatchNorm2d(1), nn.Identity()):
        assert not private.is_activation(module)


@seen("torch", "2.15.0")
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(3, 3),
        lambda: nn.Conv2d(3, 3, 3),
        lambda: nn.BatchNorm2d(3),
        lambda: nn.LayerNorm(3),
        lambda: nn.MultiheadAttention(4, 2),
    ],
    ids=["linear", "convolution", "batch norm", "layer norm", "attention"],
)
def test_a_reset_draws_afresh(make: Callable[[], nn.Module]):
    one, other = make(), make()
    for module in (one, other):
        with torch.no_grad():
            for parameter in module.parameters(recurse=False):
                parameter.fill_(7)
        torch.manual_seed(0)
        private.reset_of(module)()
        assert not any((p == 7).any() for p in module.parameters(recurse=False))
    pairs = zip(one.parameters(recurse=False), other.parameters(recurse=False), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@seen("torch", "2.15.0")
def test_what_has_no_parameters_has_no_reset():
    assert private.reset_of(nn.ReLU()) is None


# ---- what a module holds
class Strict(nn.Module):
    """A user's module that counts what is assigned to it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("count", torch.zeros(1), persistent=False)
        self.register_buffer("absent", None)

    def __setattr__(self, name: str, value: object) -> None:
        if "ready" in self.__dict__:
            raise AssertionError(f"{name} was assigned")
        super().__setattr__(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.weight + self.count


@seen("torch", "2.15.0")
@pytest.mark.parametrize("wrap", [nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_a_spectral_norm_of_other_weights_is_measured_anew(wrap: Callable[..., nn.Module]):
    layer, random = wrap(nn.Linear(6, 4)).eval(), torch.Generator().manual_seed(0)
    [(_, original)] = [(n, p) for n, p in layer.named_parameters() if p.ndim > 1]
    nn.init.normal_(original.data, std=7.0)
    state = torch.get_rng_state()
    for module in layer.modules():
        private.measure_spectral_norm(module, random)
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module.training for module in layer.modules())
    layer(torch.zeros(1, 6))
    expected = original / torch.linalg.matrix_norm(original, 2)
    assert torch.allclose(layer.weight, expected, rtol=0.001)


@seen("torch", "2.15.0")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_modules_are_those_that_torch_names_in_its_order():
    shared = nn.ReLU()
    inner = nn.Sequential(nn.Linear(2, 2), shared)
    net = nn.Sequential(inner, shared, inner, nn.ModuleDict({"a": nn.Linear(2, 2), "b": shared}))
    net.register_module("absent", None)
    for each in (net, nn.Linear(2, 2), torch.jit.trace(inner, torch.ones(1, 2))):
        assert list(private.modules_of(each).items()) == list(each.named_modules())
    gone = nn.Linear(2, 2)
    private.modules_of(gone)
    reference = weakref.ref(gone)
    gc.disable()
    try:
        del gone
        assert reference() is None, "something goes round in circles and holds the network"
    finally:
        gc.enable()


@seen("torch", "2.15.0")
def test_a_module_reads_its_parameters_buffers_and_children_from_its_own_dictionaries():
    net = Strict()
    net.__dict__["ready"] = True
    parts = {
        private.parameters_of: ("weight", nn.Parameter(torch.full((2,), 3.0))),
        private.buffers_of: ("count", torch.full((1,), 5.0)),
        private.children_of: ("inner", nn.Identity()),
    }
    before = {held: dict(held(net)) for held in parts}
    for held, (name, new) in parts.items():
        assert held(net) is held(net) and held(net)[name] is getattr(net, name)
        held(net)[name] = new
        assert getattr(net, name) is new
    assert net(torch.ones(1, 2)).tolist() == [[8.0, 8.0]]
    assert private.buffers_of(net)["absent"] is None
    for held, (name, _) in parts.items():
        held(net)[name] = before[held][name]
        assert list(held(net).items()) == list(before[held].items()), "other order"


@seen("torch", "2.15.0")
def test_a_module_that_loads_sees_the_version_of_its_state():
    class Versioned(nn.Linear):
        _version = 3
        told: Any = None

        def _load_from_state_dict(self, state: Any, prefix: str, local: Any, *rest: Any) -> None:
            self.told = local.get("version")
            super()._load_from_state_dict(state, prefix, local, *rest)

    net = Versioned(2, 2)
    plain = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.load_state_dict(plain)
    assert net.told is None
    net.load_state_dict(private.with_versions_of(plain, net.state_dict()))
    assert net.told == 3


# ---- tensors
@seen("torch", "2.15.0")
def test_the_version_counts_writes_in_place_and_nothing_else():
    tensor = torch.ones(4)
    start = private.version(tensor)
    tensor + 1, tensor.sum(), tensor[:2], tensor.detach(), tensor.contiguous()
    assert private.version(tensor) == start
    tensor.add_(1)
    tensor[:2] = 0
    nn.functional.relu(tensor, inplace=True)
    tensor[2:].mul_(2)
    tensor.detach().zero_()
    assert private.version(tensor) == start + 5
    assert private.version(tensor[:2]) == start + 5, "a view counts with its whole"


@seen("torch", "2.15.0")
def test_versions_of_several_and_of_one_that_has_none():
    one = torch.ones(2).add_(1)
    with torch.inference_mode():
        other = torch.ones(2)
    assert private.versions_of([one, other]) == {id(one): private.version(one), id(other): -1}


@seen("torch", "2.15.0")
def test_data_and_the_kernels_of_batch_norm_do_not_raise_the_version():
    norm = nn.BatchNorm1d(2).train()
    before, mean = private.version(norm.running_mean), norm.running_mean.clone()
    norm(torch.randn(8, 2))
    assert not torch.equal(norm.running_mean, mean)
    assert private.version(norm.running_mean) == before
    weight = nn.Parameter(torch.ones(2))
    weight.data = torch.zeros(2)
    assert private.version(weight) == 0


@seen("torch", "2.15.0")
def test_a_tensor_of_inference_mode_counts_nothing():
    with torch.inference_mode():
        tensor = torch.ones(2)
    with pytest.raises(RuntimeError, match="do not track version counter"):
        private.version(tensor)


@seen("torch", "2.15.0")
def test_a_view_knows_its_whole():
    batch = torch.zeros(2, 3, 4)
    assert private.whole_of(batch) is None
    assert private.whole_of(batch[0]) is batch
    assert private.whole_of(batch[0].flatten()[1:]) is batch, "of views of views, the first"
    assert private.whole_of(batch[0].copy_(torch.ones(3, 4))) is batch
    assert private.whole_of(batch.clone()) is None


@seen("torch", "2.15.0")
def test_a_leaf_gets_a_table_of_hooks_with_its_first_and_keeps_it():
    leaf = nn.Parameter(torch.ones(2))
    assert private.has_no_hook_table(leaf)
    handle = leaf.register_hook(lambda g: g * 2)
    assert not private.has_no_hook_table(leaf)
    handle.remove()
    assert not private.has_no_hook_table(leaf)
    private.drop_hook_table(leaf)
    assert private.has_no_hook_table(leaf)
    (leaf * 3).sum().backward()
    assert leaf.grad.tolist() == [3.0, 3.0]
    leaf.register_hook(lambda g: g * 2)
    (leaf * 3).sum().backward()
    assert leaf.grad.tolist() == [9.0, 9.0], "a hook after that fires"


@seen("torch", "2.15.0")
def test_hooks_of_a_module():
    module = nn.Linear(1, 1)
    assert not private.has_forward_hooks(module) and not any(private.hooks_of(module))
    assert not private.has_backward_hooks(module)
    function = lambda *_: None  # noqa: E731
    for register in (
        module.register_forward_hook,
        module.register_forward_pre_hook,
        module.register_full_backward_hook,
        module.register_full_backward_pre_hook,
    ):
        register(function)
    assert [list(each.values()) for each in private.hooks_of(module)] == [[function]] * 4
    assert private.has_forward_hooks(module) and private.has_backward_hooks(module)
    handle = torch.nn.modules.module.register_module_forward_hook(function)
    assert private.has_forward_hooks(nn.Linear(1, 1))
    handle.remove()
    assert not private.has_forward_hooks(nn.Linear(1, 1))


@seen("torch", "2.15.0")
def test_hooks_of_backward_passes_are_dropped():
    net, called = nn.Sequential(nn.ReLU()), []
    net[0].register_full_backward_hook(lambda *_: called.append("full"))
    net[0].register_full_backward_pre_hook(lambda *_: called.append("before"))
    private.drop_backward_hooks(net)
    net[0].register_full_backward_hook(lambda *_: called.append("later"))
    net(torch.ones(1, requires_grad=True)).sum().backward()
    assert called == ["later"]


@seen("torch", "2.15.0")
def test_norms_of_several_tensors_in_a_dtype():
    tensors = [torch.tensor([3.0, 4.0]), torch.full((2, 8), 2.0)]
    assert [norm.tolist() for norm in private.norms(tensors, torch.float32)] == [5.0, 8.0]
    (norm,) = private.norms([torch.tensor([3e4, 4e4], dtype=torch.float16)], torch.float32)
    assert norm.dtype == torch.float32 and float(norm) == pytest.approx(5e4, rel=1e-3)


@pytest.mark.gpu
@seen("torch", "2.15.0")
def test_norms_on_a_gpu_are_summed_in_the_dtype():
    tensors = [torch.full((10_000_019,), 1e-3, device="cuda"), torch.ones(3, device="cuda")]
    got = [norm.item() for norm in private.norms(tensors, torch.float64)]
    each = float(torch.tensor(1e-3))
    assert got == pytest.approx([each * math.sqrt(10_000_019), math.sqrt(3)], rel=1e-12)


class Names(TorchFunctionMode):
    """Notes the torch functions that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


@seen("torch", "2.15.0")
def test_no_mode_sees_what_runs_unwatched():
    tensor = torch.ones(2)
    with Names() as mode:
        torch.exp(tensor)
        with private.unwatched():
            torch.log(tensor)
            tensor.mul(2)
        torch.sin(tensor)
    assert mode.names == ["exp", "sin"]


@seen("torch", "2.15.0")
def test_an_error_ends_what_runs_unwatched():
    with Names() as mode:
        with pytest.raises(KeyError), private.unwatched():
            raise KeyError
        torch.exp(torch.ones(1))
    assert "exp" in mode.names


def tanh_and_sum(one: Tensor, other: Tensor) -> Tensor:
    return torch.tanh(one) + other


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
@seen("torch", "2.15.0")
def test_modes_see_calls_of_scripted_functions_inside_the_block_alone():
    one, other, scripted_sum = torch.ones(2), torch.zeros(2), torch.jit.script(tanh_and_sum)
    with Names() as mode:
        scripted_sum(one, other)
        with private.scripted_functions_seen():
            with private.scripted_functions_seen():
                value = scripted_sum(one, other=other)
            scripted_sum(one, other)
        scripted_sum(one, other)
    assert mode.names == [private.scripted.__name__] * 2
    assert torch.equal(value, torch.tanh(one)) and not private._watching[0]
    assert not private._swapping.locked()
    assert torch.jit.ScriptFunction.__call__ == private._call_scripted


# ---- autograd
@seen("torch", "2.15.0")
def test_a_call_queued_in_a_backward_finds_every_gradient():
    first, last = (nn.Parameter(torch.ones(2)) for _ in range(2))
    hidden = first * 2
    found: list[Any] = []

    def look() -> None:
        found.append([p.grad.tolist() for p in (first, last)])

    hidden.register_hook(lambda g: private.after_this_backward(look))
    for round_ in (1, 2):  # accumulation
        (hidden * last).sum().backward(retain_graph=True)
        assert found[-1] == [[2.0 * round_] * 2, [2.0 * round_] * 2]
    assert len(found) == 2
    (first * last).sum().backward()
    assert len(found) == 2, "it was for that pass alone"


@seen("torch", "2.15.0")
def test_a_call_queued_by_a_call_comes_after_those_that_wait():
    order: list[str] = []

    def first() -> None:
        order.append("first")
        private.after_this_backward(lambda: order.append("queued by first"))

    def hook(_: Tensor) -> None:
        for call in (first, lambda: order.append("second")):
            private.after_this_backward(call)

    leaf = torch.ones(2, requires_grad=True)
    leaf.register_hook(hook)
    leaf.sum().backward()
    assert order == ["first", "second", "queued by first"]


@seen("torch", "2.15.0")
def test_outside_a_backward_nothing_can_be_queued():
    with pytest.raises(RuntimeError, match="backward pass"):
        private.after_this_backward(lambda: None)


@seen("torch", "2.15.0")
def test_nodes_are_called_by_their_operation_and_begin_with_what_they_write_to():
    x = torch.ones(2, requires_grad=True)
    copied = x.clone()
    assert private.operation_of(copied.grad_fn) == "clone"
    copied += x * 2
    copied.relu_()
    nodes = [copied.grad_fn]
    while nodes[-1].next_functions:
        nodes.append(nodes[-1].next_functions[0][0])
    assert [private.operation_of(n) for n in nodes[:3]] == ["relu", "add", "clone"]
    assert [private.is_of_leaf(node) for node in nodes] == [False, False, False, True]


@seen("torch", "2.15.0")
def test_a_node_leads_to_the_leaves_behind_it():
    weight, other = (torch.ones(2, requires_grad=True) for _ in range(2))
    x = torch.ones(2, requires_grad=True)
    alone, weighed = x.relu().sum(), (x.relu() * weight + other.detach()).relu()
    assert private.leads_to(weighed.grad_fn, {id(weight)})
    assert private.leads_to(alone.grad_fn, {id(weight), id(x)})
    assert not private.leads_to(alone.grad_fn, {id(weight)})
    assert not private.leads_to(weighed.grad_fn, {id(other)})


@seen("torch", "2.15.0")
def test_what_runs_inside_a_backward_pass():
    found = []
    x = torch.ones(2, requires_grad=True)
    x.register_post_accumulate_grad_hook(lambda _: found.append(private.inside_backward()))
    before = private.inside_backward()
    (x * 2).sum().backward()
    assert (before, found, private.inside_backward()) == (False, [True], False)
    x.register_hook(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        (x * 2).sum().backward()
    assert not private.inside_backward()


@seen("torch", "2.15.0")
def test_nodes_are_numbered_as_they_are_made():
    x = torch.ones(2, requires_grad=True)
    results = [x * 2]
    for _ in range(3):
        results.append(results[-1].relu())
    numbers = [private.made_at(result.grad_fn) for result in results]
    assert numbers == sorted(set(numbers))
    leaf = results[0].grad_fn.next_functions[0][0]
    assert private.is_of_leaf(leaf) and private.made_at(leaf) > numbers[-1]


class Fused(torch.optim.SGD):
    """An optimiser that says it divides by the scale itself, and notes what it can tell then."""

    def __init__(self, parameters: Any, tell: Callable[[object], bool]) -> None:
        super().__init__(parameters, lr=0.1)
        self._step_supports_amp_scaling = True
        self._tell = tell
        self.told: list[Any] = []

    def step(self, closure: Any = None) -> None:
        self.told.append((self._tell(self), float(self.grad_scale)))


@seen("torch", "2.15.0")
def test_a_scaler_hands_its_scale_to_an_optimiser_that_divides_for_the_step_alone():
    parameter = nn.Parameter(torch.ones(2))
    fused = Fused([parameter], private.divides_in_kernel)
    plain = torch.optim.SGD([parameter], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(parameter.sum()).backward()
    scaler.step(fused)
    assert fused.told == [(True, 8.0)]
    assert not private.divides_in_kernel(fused) and not private.divides_in_kernel(plain)


# ---- counts
@seen("torch", "2.15.0")
def test_attention_on_a_cpu_is_counted():
    query = torch.ones(2, 3, 5, 7)
    key, value = torch.ones(2, 3, 11, 7), torch.ones(2, 3, 11, 7)
    counter = FlopCounterMode(display=False, custom_mapping=private.operations_of_attention())
    with torch.no_grad(), counter:
        nn.functional.scaled_dot_product_attention(query, key, value)
    # two products, of 5 and 11 positions with 7 channels; each multiply-add is two operations
    assert counter.get_total_flops() == 2 * 2 * (2 * 3 * 5 * 11 * 7)
    assert next(iter(private.operations_of_attention())) in counter.get_flop_counts()["Global"]


# ---- errors that only their text tells
def raised(kind: type[Exception], function: Callable[[], Any]) -> Exception:
    with pytest.raises(kind) as caught:
        function()
    return caught.value


@seen("torch", "2.15.0")
def test_the_error_of_tensors_from_inference_mode():
    with torch.inference_mode():
        layer = nn.Linear(2, 2)
    x = torch.ones(1, 2, requires_grad=True)
    assert private.is_of_inference(raised(RuntimeError, lambda: layer(x)))
    assert not private.is_of_inference(raised(RuntimeError, lambda: nn.Linear(3, 2)(x)))


@seen("torch", "2.15.0")
def test_the_error_of_writing_over_a_leaf():
    x = torch.ones(2, requires_grad=True)
    assert private.writes_into_leaf(raised(RuntimeError, lambda: x.add_(1)))
    assert private.writes_into_leaf(raised(RuntimeError, lambda: x[:1].mul_(2)))
    assert not private.writes_into_leaf(raised(RuntimeError, lambda: x @ torch.ones(3)))


@seen("torch", "2.15.0")
def test_the_error_of_a_reentrant_checkpoint():
    x = torch.ones(2, requires_grad=True)
    out = torch.utils.checkpoint.checkpoint(lambda t: t * 2, x, use_reentrant=True)
    error = raised(RuntimeError, lambda: torch.autograd.grad(out.sum(), [x]))
    assert private.is_of_reentrant_checkpoint(error)
    other = raised(RuntimeError, lambda: torch.autograd.grad(torch.ones(()), [x]))
    assert not private.is_of_reentrant_checkpoint(other)


@seen("torch", "2.15.0")
def test_the_errors_of_files_with_more_than_weights(tmp_path: Path):
    whole, damaged = tmp_path / "whole.pth", tmp_path / "damaged.pth"
    torch.save(nn.Linear(2, 2), whole)
    damaged.write_bytes(b"no weights at all")

    def load(file: Path) -> Callable[[], Any]:
        return lambda: torch.load(file, weights_only=True)

    assert private.is_of_more_than_weights(raised(pickle.UnpicklingError, load(whole)))
    assert not private.is_of_more_than_weights(raised(Exception, load(damaged)))


@seen("torch", "2.15.0")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # the same, up to torch 2.12
def test_the_error_of_a_torchscript_file(tmp_path: Path):
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "script.pt")
    error = raised(Exception, lambda: torch.load(tmp_path / "script.pt", weights_only=True))
    assert private.is_of_more_than_weights(error)


@seen("torch", "2.15.0")
def test_the_error_of_an_incomplete_download(tmp_path: Path):
    (tmp_path / "served").write_bytes(b"half of the weig")
    address, file = (tmp_path / "served").as_uri(), str(tmp_path / "net-01234567.pth")

    def fetch() -> None:
        torch.hub.download_url_to_file(address, file, "01234567", progress=False)

    assert private.is_of_incomplete_download(raised(RuntimeError, fetch))
    assert not private.is_of_incomplete_download(RuntimeError("invalid magic number"))


# ---- Captum
@seen("captum", "0.9.0")
def test_captum_lists_the_activations_that_deep_lift_has_a_rule_for():
    rules = private.deep_lift_rules()
    assert {nn.ReLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.LeakyReLU} <= set(rules)
    assert nn.GELU not in rules and nn.SiLU not in rules and nn.Hardswish not in rules


def test_torch_private_does_not_load_captum():
    loaded = {
        name.partition(".")[0]
        for node in ast.parse(inspect.getsource(private)).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None), *(alias.name for alias in node.names))
        if name
    }
    assert "torch" in loaded and "captum" not in loaded


# ---- the file and this one
def touches() -> set[str]:
    """The names that torch_private.py gives to the rest."""
    tree = ast.parse(inspect.getsource(private))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return functions | names


def test_each_touch_has_a_test_that_names_a_version():
    tested: set[str] = set()
    for test in [value for name, value in globals().items() if name.startswith("test_")]:
        if hasattr(test, "number"):
            tree = ast.parse(inspect.getsource(inspect.unwrap(test)))
            tested |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert len(touches()) > 20
    assert touches() - tested == set()


def test_a_failure_names_the_version(monkeypatch: pytest.MonkeyPatch):
    @seen("torch", "1.2.3")
    def failing() -> None:
        raise AssertionError("no")

    monkeypatch.setattr(metadata, "version", lambda name: "9.9")
    error = raised(AssertionError, failing)
    assert error.__notes__ == ["resviz relies on this; it held in torch 1.2.3, this is torch 9.9."]
