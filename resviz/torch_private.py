"""What torch and Captum do not promise: the only place that touches it, a name for each touch.

Each says what it gives and why what is promised does not do. All of it was seen to hold in
torch 2.15.0 and Captum 0.9.0; tests/test_torch_private.py shows what is relied on, so that another
version fails there, by name, and not in a notebook.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.overrides import handle_torch_function, has_torch_function

# ---- classes of modules: torch exports the members of a family, but not what they share, and a
# list of members would miss the lazy, the synchronised, the quantised and a user's own
AnyBatchNorm = _BatchNorm
BatchOrInstanceNorm = _NormBase
AnyConvolution = _ConvNd
TransposedConvolution = _ConvTransposeNd

ORIGINAL = "_orig_mod"
"""Where a network that ``torch.compile`` wrapped keeps the network; a prefix of its keys."""


def is_wrapped_by_compile(module: nn.Module) -> bool:
    """True for what ``torch.compile(net)`` returns.

    Told by its name: the class is not exported, and to import where it lives takes seconds.
    """
    return type(module).__name__ == "OptimizedModule"


def is_compiled_in_place(module: nn.Module) -> bool:
    """True after ``module.compile()``, of which nothing public tells."""
    return getattr(module, "_compiled_call_impl", None) is not None


def has_compiled_forward(module: nn.Module) -> bool:
    """True after ``module.forward = torch.compile(module.forward)``, or under such a decorator.

    What ``torch.compile`` returns for a function is a plain function; it keeps the original.
    """
    return getattr(module.forward, "_torchdynamo_orig_callable", None) is not None


def is_exported(module: nn.Module) -> bool:
    """True for what ``torch.export`` gives: a graph of operators, not of torch functions.

    Told by the operators' class, which is not exported; torch.fx keeps functions and modules.
    """
    if "graph" not in module.__dict__ and not hasattr(type(module), "graph"):
        return False  # to ask the module itself for what it has not takes ten times as long
    nodes = getattr(module.graph, "nodes", ())
    return any(type(getattr(node, "target", None)).__name__ == "OpOverload" for node in nodes)


def is_static_int8(module: nn.Module) -> bool:
    """True for modules whose activations are quantised; told by where they live.

    Not so for those of dynamic quantisation, which take and give floating point.
    """
    where, name = type(module).__module__, type(module).__name__
    if ".quantized." not in where:
        return False
    static = where.startswith(("torch.ao.nn.quantized.", "torch.ao.nn.intrinsic.quantized."))
    helper = name.endswith(("FloatFunctional", "PackedParams"))
    return static and ".dynamic" not in where and not helper


def is_dynamic_int8(module: nn.Module) -> bool:
    """True for the modules of dynamic quantisation, through which no gradient goes."""
    return ".quantized.dynamic" in type(module).__module__


def is_inside_vmap(tensor: Tensor) -> bool:
    """True for what ``torch.vmap`` and its like hand to a function in place of a tensor."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def is_activation(module: nn.Module) -> bool:
    """True for torch's activation functions, which share no class: told by where they live."""
    return type(module).__module__ == "torch.nn.modules.activation"


def is_made_by_sigmoid(tensor: Tensor) -> bool:
    """Whether a sigmoid or softmax made it, or what it is a view of; False without a graph.

    Told by the names of autograd's functions, which torch does not promise.
    """
    step = tensor.grad_fn
    if step is None:
        return False
    views = (
        *("Squeeze", "Unsqueeze", "View", "UnsafeView", "ReshapeAlias", "Select", "Slice"),
        *("AsStrided", "Permute", "Transpose", "Clone", "Alias", "ToCopy"),
    )
    while step.name().startswith(views) and step.next_functions and step.next_functions[0][0]:
        step = step.next_functions[0][0]
    return step.name().startswith(("SigmoidBackward", "SoftmaxBackward"))


def reset_of(module: nn.Module) -> Callable[[], None] | None:
    """What draws a module's parameters afresh; None where it has no such method.

    A convention, promised nowhere; attention and transformers have it with an underscore.
    """
    private = getattr(module, "_reset_parameters", None)
    return getattr(module, "reset_parameters", private)


@torch.no_grad()
def measure_spectral_norm(module: nn.Module, random: torch.Generator) -> None:
    """Let ``spectral_norm``, old or new, find the norm of the weights that are there now.

    It divides by a norm along two vectors, which only passes in train mode turn towards those of
    the weights. They start afresh here.

    Args:
        module: a list of parametrisations, or a module whose hooks compute its weight.
        random: of the CPU, for the vectors to start from.
    """
    turns = range(100)  # after the 15 of a fresh one the norm may still be a twentieth too small

    def restart(vectors: Iterable[Tensor]) -> None:
        for each in vectors:
            each.copy_(torch.randn(each.shape, generator=random))

    if isinstance(module, ParametrizationList):
        for each in (each for each in module if isinstance(each, _SpectralNorm)):
            restart(each.buffers())
            each.train()
            for _ in turns:
                module()
            each.eval()
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm):
            restart(getattr(module, f"{hook.name}_{end}") for end in "uv")
            for _ in turns:
                weight = hook.compute_weight(module, do_power_iteration=True)
            setattr(module, hook.name, weight)


# ---- what a module holds: its own dictionaries, to put something in place of what is there and
# to put that back. Assigning an attribute would run a user's `__setattr__` and torch's hooks of
# registration, and ``named_parameters()`` and its like leave out what comes a second time.
def parameters_of(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The module's own parameters by name: the dictionary itself."""
    return module._parameters


def buffers_of(module: nn.Module) -> dict[str, Tensor | None]:
    """The module's own buffers by name: the dictionary itself."""
    return module._buffers


def children_of(module: nn.Module) -> dict[str, nn.Module | None]:
    """The module's children by name: the dictionary itself."""
    return module._modules


def modules_of(net: nn.Module) -> dict[str, nn.Module]:
    """``dict(net.named_modules())`` in a tenth of its time, which passes ask for again and again.

    torch runs as many nested generators as a module lies deep, for each of them.
    """
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    left: list[tuple[str, nn.Module | None]] = [("", net)]
    while left:
        path, module = left.pop()
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        found[path] = module
        children = module._modules
        if children:
            start = f"{path}." if path else ""
            for name, child in reversed(children.items()):
                left.append((start + name, child))
    return found


def with_versions_of(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> OrderedDict[str, Tensor]:
    """`state` with the versions of its modules that `own`, a ``state_dict()``, carries.

    Modules read them when they load (MNASNet asks for one), and no public name leads to them.
    """
    versioned = OrderedDict(state)
    versioned._metadata = getattr(own, "_metadata", {})  # type: ignore[attr-defined]
    return versioned


# ---- tensors
def version(tensor: Tensor) -> int:
    """How often a tensor's memory was written to, by itself or by a view of it.

    Nothing public tells that a tensor is another than a moment ago; to compare values would read
    them all.

    Raises:
        RuntimeError: a tensor made under ``inference_mode``, which does not count.
    """
    return tensor._version


def versions_of(tensors: Iterable[Tensor]) -> dict[int, int]:
    """:func:`version` of each, by its id; -1 for one made under ``inference_mode``."""
    return {id(each): -1 if each.is_inference() else each._version for each in tensors}


def whole_of(tensor: Tensor) -> Tensor | None:
    """The tensor that this one is a view of; None for one that is no view.

    ``is_view`` is not promised either, and does not say of which.
    """
    return tensor._base


def has_no_hook_table(tensor: Tensor) -> bool:
    """True where no hook was ever registered on a leaf: no dictionary of them was made yet."""
    return tensor._backward_hooks is None


def drop_hook_table(tensor: Tensor) -> None:
    """Take the dictionary of hooks from a leaf; the handle of a hook leaves it there, empty."""
    tensor._backward_hooks = None


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether something is called with what a module returns."""
    return bool(module._forward_hooks or torch.nn.modules.module._global_forward_hooks)


def has_backward_hooks(module: nn.Module) -> bool:
    """Whether something is called with the gradient at what a module is given."""
    return bool(module._backward_hooks)


def hooks_of(module: nn.Module) -> list[dict[int, Any]]:
    """Functions that are called with what goes in and out, forward and backward: by id."""
    forward = module._forward_hooks, module._forward_pre_hooks
    return [*forward, module._backward_hooks, module._backward_pre_hooks]


def drop_backward_hooks(net: nn.Module) -> None:
    """Take all that is called in backward passes from the modules of a network."""
    for module in net.modules():
        module._backward_hooks.clear()
        module._backward_pre_hooks.clear()
        module._is_full_backward_hook = None  # of both kinds, old and full, one may be set again


def norms(tensors: Sequence[Tensor], dtype: torch.dtype) -> Sequence[Tensor]:
    """L2 norms, each summed in `dtype`: one fused kernel on a GPU, where a loop launches many.

    ``nn.utils.get_total_norm`` uses it too, and gives only the norm of them all. On a CPU it sums
    in float32 whatever `dtype` is.
    """
    return torch._foreach_norm(list(tensors), 2, dtype=dtype)


def unwatched() -> AbstractContextManager[None]:
    """A block whose torch functions no ``TorchFunctionMode`` sees.

    ``torch.overrides`` can only take the modes off the stack one by one, slower and by private
    names as well.
    """
    return torch._C.DisableTorchFunction()


_call_scripted = torch.jit.ScriptFunction.__call__
_watching = [0]  # blocks under way, in all threads
_swapping = threading.Lock()


def scripted(function: Any, *args: Any, **kwargs: Any) -> Any:
    """The call of a function under ``@torch.jit.script``, as modes see it."""
    if has_torch_function((*args, *kwargs.values())):
        return handle_torch_function(scripted, args, function, *args, **kwargs)
    return _call_scripted(function, *args, **kwargs)


@contextmanager
def scripted_functions_seen() -> Iterator[None]:
    """A block in which modes see the calls of scripted functions, too: as :func:`scripted`.

    torch tells modes of none of them, nor of what runs inside.
    """
    with _swapping:
        _watching[0] += 1
        torch.jit.ScriptFunction.__call__ = scripted  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        with _swapping:
            _watching[0] -= 1
            if not _watching[0]:
                torch.jit.ScriptFunction.__call__ = _call_scripted  # type: ignore[method-assign]


def is_pointwise(name: str) -> bool:
    """True for an operation of torch that works on each element alone: "add", "relu", "gelu".

    Torch tags its operators so; where they are kept is not promised.
    """
    packet = getattr(torch.ops.aten, name, None) if name.isidentifier() else None
    if not isinstance(packet, torch._ops.OpOverloadPacket):
        return False
    overloads = packet.overloads()  # type: ignore[no-untyped-call]
    return any(torch.Tag.pointwise in getattr(packet, each).tags for each in overloads)


# ---- autograd
def after_this_backward(call: Callable[[], None]) -> None:
    """Let `call` run at the end of the backward pass that runs now: every ``.grad`` is filled.

    To be called during a backward pass; from such a call itself, it comes after those that wait.
    A public hook of a tensor or a parameter fires before the pass is over, and knows no last one.
    """
    torch.autograd.Variable._execution_engine.queue_callback(call)


def inside_backward() -> bool:
    """True in what a backward pass calls: a hook of a tensor, a node, or a parameter.

    Nothing public tells that autograd is under way in this thread.
    """
    return torch._C._current_graph_task_id() != -1


def operation_of(node: Any) -> str:
    """The operation of an autograd node: "add", "relu", "clone". Its name is public, as text."""
    return node.name().partition("Backward")[0].lower()


def is_of_leaf(node: Any) -> bool:
    """True for the node where autograd adds to a leaf's ``.grad``; its class is not exported."""
    return node.name().endswith("AccumulateGrad")


def leads_to(node: Any, leaves: Container[int]) -> bool:
    """Whether a leaf with one of these ids lies behind an autograd node: a gradient gets there.

    Which leaf a node belongs to is documented for hooks alone, and ``next_functions`` nowhere.
    """
    waiting, seen = deque([node]), {node}
    while waiting:
        for before, _ in waiting.popleft().next_functions:  # the nearest first: a layer's weight
            if before is None or before in seen:
                continue
            if is_of_leaf(before) and id(before.variable) in leaves:
                return True
            seen.add(before)
            waiting.append(before)
    return False


def made_at(node: Any) -> int:
    """A number that grows as a forward pass makes nodes; nothing else tells which was earlier.

    For a leaf's node it is larger than any other's.
    """
    return node._sequence_nr()


def divides_in_kernel(optimizer: object) -> bool:
    """True inside a step in which a fused optimiser itself divides gradients by a scaler's scale.

    The scaler hands the scale over as an attribute, which is documented nowhere.
    """
    return getattr(optimizer, "grad_scale", None) is not None


# ---- counts
def operations_of_attention() -> dict[Any, Callable[..., int]]:
    """What counts attention in its kernel on a CPU: a ``custom_mapping`` of ``FlopCounterMode``.

    torch 2.11 does not count it, and nothing promises the kernel's name.
    """

    def count(query: Any, key: Any, value: Any, *options: Any, **more: Any) -> int:
        *heads, positions, channels = query  # the shapes
        return 2 * math.prod(heads) * positions * key[-2] * (channels + value[-1])

    return {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: count}


# ---- errors that only their text tells from others of the same class
def is_of_inference(error: Exception) -> bool:
    """True where autograd met a tensor that was made under ``inference_mode``."""
    return "Inference tensors" in str(error)


def writes_into_leaf(error: Exception) -> bool:
    """True where a tensor that a graph starts at, or a view of it, was to be written over."""
    return "leaf Variable that requires grad" in str(error)


def is_of_reentrant_checkpoint(error: Exception) -> bool:
    """True where ``autograd.grad`` met a checkpoint with ``use_reentrant=True``."""
    return "use_reentrant" in str(error)


def is_of_more_than_weights(error: Exception) -> bool:
    """True where ``torch.load(weights_only=True)`` found objects or code in the file."""
    text = str(error)
    return "Weights only load failed" in text and "GLOBAL" in text or "TorchScript" in text


def is_of_incomplete_download(error: Exception) -> bool:
    """True where ``torch.hub`` got a file with another checksum than its name says."""
    return "invalid hash value" in str(error)


# ---- Captum
def deep_lift_rules() -> Collection[type[nn.Module]]:
    """The activation modules that Captum's DeepLIFT has a rule for; it takes others as linear."""
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    return SUPPORTED_NON_LINEAR.keys()
