"""Running a network again from one layer on: what lies before is not computed a second time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resviz.hooks import left_as_found
from resviz.networks.dataflow import tensors_in

_SAME = 1e-3  # of the output's rms: other kernels serve other batch sizes


@dataclass
class _Finished:
    """A module call that was over before the layer's: its output, and the calls inside it."""

    output: Any
    inside: Counter[str] = field(default_factory=Counter)


class Resume:
    """A network from the output of one layer call on, for variants of one input.

    The first pass keeps what every module had returned when the layer was done. In the passes after
    it those modules return that again instead of running, and the layer returns the variants; the
    code between modules runs as it is. Where that does not give the network's own output (a forward
    whose course depends on values), the passes run in full and only the layer is replaced.

    Args:
        net: the network; left as found after every pass.
        inputs: one image each, on its device.
        layer: dotted path and call.

    Attributes:
        activation: (1, ...) what the layer returned.
        output: of the network.
    """

    def __init__(self, net: nn.Module, inputs: tuple[Tensor, ...], layer: tuple[str, int]) -> None:
        self._net, self._inputs, self._layer = net, inputs, layer
        self._modules = dict(net.named_modules())
        self._finished: dict[tuple[str, int], _Finished] = {}
        self.activation = torch.empty(0)
        self._writable = False
        self.output = self._first_pass()
        if not self._faithful():
            self._finished.clear()

    def _faithful(self) -> bool:
        """Does a pass from the layer on give the network's own output, twice over?"""
        twice = self.activation.repeat(2, *[1] * (self.activation.ndim - 1))
        try:
            output = self.run(twice)
        except RuntimeError:  # something is written in place: it needs memory of its own
            self._writable = True
            output = self.run(twice)
        return _close(output, _repeated(self.output, 2, writable=False))

    def run(self, activations: Tensor) -> Any:
        """The network's output where the layer returns (M, ...) `activations`; no gradients."""
        count = len(activations)
        calls: Counter[str] = Counter()
        paths = {self._layer[0], *(path for path, _ in self._finished)}
        with left_as_found(self._net) as hooks:
            for path in paths:
                replay = partial(self._replay, path, calls, activations)
                hooks.instead(self._modules[path], replay)
            return self._net(*(tensor.expand(count, *tensor.shape[1:]) for tensor in self._inputs))

    def _replay(
        self,
        path: str,
        calls: Counter[str],
        activations: Tensor,
        forward: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        call = calls[path]
        calls[path] += 1
        known = self._finished.get((path, call))
        if (path, call) == self._layer:
            if known is not None:
                calls.update(known.inside)
            return activations
        if known is None:
            return forward(*args, **kwargs)
        calls.update(known.inside)
        return _repeated(known.output, len(activations), self._writable)

    def _first_pass(self) -> Any:
        calls: Counter[str] = Counter()
        running: list[tuple[str, int, list[tuple[str, int]], Counter[str]]] = []
        done = False

        def enter(path: str, module: nn.Module, args: Any) -> None:
            running.append((path, calls[path], [], Counter()))
            calls[path] += 1

        def leave(path: str, module: nn.Module, args: Any, output: Any) -> None:
            nonlocal done
            _, call, children, inside = running.pop()
            if done:
                return
            for child in children:  # what a finished module holds inside is never asked again
                self._finished.pop(child, None)
            self._finished[path, call] = _Finished(_copied(output), inside)
            if running:
                running[-1][2].append((path, call))
                for frame in running:
                    frame[3][path] += 1
            if (path, call) == self._layer:
                self.activation = output.detach().clone()
                done = True

        with left_as_found(self._net) as hooks:
            for path, module in self._modules.items():
                if path:
                    hooks.before_forward(module, partial(enter, path))
                    hooks.forward(module, partial(leave, path))
            return self._net(*(tensor.clone() for tensor in self._inputs))


def _copied(value: Any) -> Any:
    """The tensors of an output as copies: a later in-place operation leaves them alone."""
    return _mapped(value, lambda tensor: tensor.detach().clone())


def _repeated(value: Any, count: int, writable: bool) -> Any:
    """Outputs for one image as outputs for `count` of them: views, or copies to write to."""

    def repeat(tensor: Tensor) -> Tensor:
        if tensor.ndim and len(tensor) == 1:
            tensor = tensor.expand(count, *tensor.shape[1:])
        return tensor.clone() if writable else tensor

    return _mapped(value, repeat)


def _mapped(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(each, function) for each in value))
    if isinstance(value, tuple | list):
        return type(value)(_mapped(each, function) for each in value)
    if isinstance(value, dict):
        return {key: _mapped(each, function) for key, each in value.items()}
    return value


def _close(output: Any, expected: Any) -> bool:
    pairs = list(zip(tensors_in(output), tensors_in(expected), strict=False))
    return all(
        one.shape == other.shape
        and bool((one.float() - other.float()).abs().max() <= _SAME * other.float().norm())
        for one, other in pairs
        if other.numel()
    )
