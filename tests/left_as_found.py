"""Does a function leave a network, and torch's global state, exactly as it found them?

    from left_as_found import assert_left_as_found, left_as_found

    def test_success(net, images):
        rec = assert_left_as_found(net, lambda: record(net, images))

    def test_bad_argument(net, images):
        with pytest.raises(ValueError, match="no layer"), left_as_found(net):
            record(net, images, keep=["layer9"])

The comparison also runs after an error or a KeyboardInterrupt, and a difference then takes the
place of that error. Compared, before against after:

- the modules, by dotted name and identity;
- every parameter and buffer: identity, bytes, shape, stride, dtype, device, requires_grad,
  tensor hooks, and of `.grad` the identity, the bytes and the hooks;
- every hook dictionary of every module, in order, hook by hook (forward, forward-pre, backward,
  backward-pre, the with_kwargs and always_called marks, state-dict hooks), and torch's hooks for
  all modules;
- every other attribute of every module (`training` among them): same keys, same objects;
- the random state of the CPU, of every CUDA device and of MPS;
- grad mode, inference mode, anomaly mode, autocast (on or off, dtype, cache), default dtype, and
  the cuDNN and float32-precision switches.

A network that stores something on itself in `forward` does not pass: that is its own doing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

T = TypeVar("T")
DEVICES = torch.cuda.device_count()  # without a driver it looks for one at every call
State = dict[str, Any]


class Same:
    """Equal to another `Same` only if both hold the very same object."""

    def __init__(self, thing: object) -> None:
        self.thing = thing  # held, so that its address is not used again

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.thing is other.thing

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self.thing).__name__} at {id(self.thing):#x}>"


@contextmanager
def left_as_found(net: nn.Module) -> Iterator[None]:
    """Raise AssertionError if the block changes anything listed at the head of this file."""
    before = state_of(net)
    try:
        yield
    finally:
        changes = differences(before, state_of(net))
        if changes:
            more = f"\n... and {len(changes) - 20} more" if len(changes) > 20 else ""
            raise AssertionError("not left as found:\n" + "\n".join(changes[:20]) + more)


def assert_left_as_found(net: nn.Module, action: Callable[[], T]) -> T:
    """Result of ``action()``; AssertionError if it changes anything."""
    with left_as_found(net):
        return action()


def state_of(net: nn.Module) -> State:
    """Everything compared, as a flat dictionary that holds copies and identities."""
    state: State = {}
    for name, module in net.named_modules(remove_duplicate=False):
        state.update(_module_state(name or "(network)", module))
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        state.update(_tensor_state(name, tensor))
    state.update(_global_state())
    return state


def differences(before: State, after: State) -> list[str]:
    """One line for every key that was added, lost or changed."""
    lines = []
    for key in [*before, *(k for k in after if k not in before)]:
        if key not in after:
            lines.append(f"{key}: lost")
        elif key not in before:
            lines.append(f"{key}: added, {_short(after[key])}")
        elif before[key] != after[key]:
            lines.append(f"{key}: {_short(before[key])} -> {_short(after[key])}")
    return lines


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes (hash {hash(value) & 0xFFFF:04x})"
    text = repr(value)
    return text if len(text) < 120 else text[:117] + "..."


def _module_state(name: str, module: nn.Module) -> State:
    state: State = {name: Same(module), f"{name}.__dict__ keys": list(module.__dict__)}
    for key, value in module.__dict__.items():
        state[f"{name}.{key}"] = _held(value) if isinstance(value, Mapping) else Same(value)
    return state


def _held(mapping: Mapping[Any, Any] | None) -> list[tuple[Any, Same]] | None:
    return None if mapping is None else [(key, Same(value)) for key, value in mapping.items()]


def _tensor_state(name: str, tensor: Tensor) -> State:
    state: State = {
        f"{name} object": Same(tensor),
        f"{name} bytes": bytes_of(tensor),
        f"{name} layout": (tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device),
        f"{name} requires_grad": tensor.requires_grad,
        f"{name} hooks": _held(tensor._backward_hooks),
        f"{name} post-accumulate hooks": _held(
            getattr(tensor, "_post_accumulate_grad_hooks", None)
        ),
    }
    if tensor.is_leaf:
        grad = tensor.grad
        state[f"{name}.grad object"] = Same(grad)
        if grad is not None:
            state[f"{name}.grad bytes"] = bytes_of(grad)
            state[f"{name}.grad hooks"] = _held(grad._backward_hooks)
    return state


def bytes_of(tensor: Tensor) -> bytes:
    """The values, bit by bit: NaN equals itself, -0.0 differs from 0.0."""
    with torch.inference_mode():
        flat = tensor.detach().to("cpu").contiguous().flatten()
        return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _global_state() -> State:
    state: State = {
        "random state, cpu": bytes_of(torch.get_rng_state()),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
        "autocast cache": torch.is_autocast_cache_enabled(),
        "default dtype": torch.get_default_dtype(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "cudnn": tuple(
            getattr(torch.backends.cudnn, switch)
            for switch in ("enabled", "benchmark", "deterministic", "allow_tf32")
        ),
    }
    for kind in ("cpu", "cuda"):
        state[f"autocast, {kind}"] = (
            torch.is_autocast_enabled(kind),
            torch.get_autocast_dtype(kind),
        )
    for index in range(DEVICES):
        state[f"random state, cuda:{index}"] = bytes_of(torch.cuda.get_rng_state(index))
    if torch.backends.mps.is_available():
        state["random state, mps"] = bytes_of(torch.mps.get_rng_state())
    for name, value in vars(torch_module).items():
        if name.startswith("_global_") and isinstance(value, Mapping):
            state[f"torch {name}"] = _held(value)
    return state
