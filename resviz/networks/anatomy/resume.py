"""Running a network again from one layer on: what lies before is not computed a second time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.given import Images, Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy.dataflow import Frame, tensors_in
from resviz.networks.anatomy.walk import Walk
from resviz.torch_private import has_forward_hooks, modules_of

_SAME, _MOST = 1e-3, 1e-2  # of the output's norm, and of its rms: kernels differ with the batch


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
        keep: calls before it whose outputs are wanted, too.

    Attributes:
        activation: (1, ...) what the layer returned.
        output: of the network.
        kept: what the calls in `keep` returned, and the layer itself; those that are tensors.

    Raises:
        RuntimeError: the network gives something else each time it runs.
        ValueError: a layer whose first axis is not the images, or that gives no tensor.
    """

    def __init__(
        self,
        net: nn.Module,
        inputs: Images,
        layer: tuple[str, int],
        keep: Collection[tuple[str, int]] = (),
    ) -> None:
        self._net, self._layer, self._keep = net, layer, {layer, *keep}
        self.kept: dict[tuple[str, int], Tensor] = {}
        self._inputs = Inputs.of(inputs).copies()
        self._modules = modules_of(net)
        self._finished: dict[tuple[str, int], _Finished] = {}
        self._writable = False
        self.output = self._first_pass()
        if layer not in self.kept:
            raise ValueError(f"{caller()}: layer {layer[0]!r} gives no tensor; one would be right.")
        self.activation = self.kept[layer]
        if len(self.activation) != 1:
            raise ValueError(
                f"{caller()}: layer {layer[0]!r} gives {tuple(self.activation.shape)} for one "
                "image; a layer whose first axis is the images would be right for ablation_cam."
            )
        self._settle()

    def _settle(self) -> None:
        """Take the cheapest way that gives the network's own output, twice over."""
        if self._faithful():
            return
        self._writable = True  # something is written in place: it needs memory of its own
        if self._faithful():
            return
        self._finished.clear()
        if not self._faithful(full=True):
            raise RuntimeError(
                f"{caller()}: {type(self._net).__name__} gives another output when it is run again "
                f"from {self._layer[0]!r} on; a network that gives the same every time would be "
                "right. Methods with gradients need one pass only."
            )

    def _faithful(self, full: bool = False) -> bool:
        """Whether a pass gives the network's own output; errors of a full one are its own."""
        twice = self.activation.repeat(2, *[1] * (self.activation.ndim - 1))
        try:
            output = self.run(twice)
        except Exception:
            if full:
                raise
            return False  # what a module keeps beside what it returns may be missing
        return _close(output, _repeated(self.output, 2, writable=False))

    def run(self, activations: Tensor) -> Any:
        """The network's output where the layer returns (M, ...) `activations`; no gradients.

        The network may write over `activations`.
        """
        count = len(activations)
        paths = {self._layer[0], *(path for path, _ in self._finished)}
        hooked = {path for path in paths if has_forward_hooks(self._modules[path])}
        own = self._layer, activations, self._finished, self._writable
        replay = _Replay(*own, hooked, self._modules.values())
        with left_as_found(self._net) as hooks:
            for path in paths:
                hooks.instead(self._modules[path], partial(replay.instead, path))
                hooks.forward(self._modules[path], partial(replay.after, path))
            writable = self._writable or count == 1
            inputs = self._inputs.repeated(count)
            return (inputs.copies() if writable else inputs).run(self._net)

    def _first_pass(self) -> Any:
        ended: list[tuple[str, int]] = []
        before: list[int] = []  # how many calls had ended when each of those under way began
        done = False

        def entered(frame: Frame, args: Any) -> None:
            before.append(len(ended))

        def left(frame: Frame, output: Any) -> None:
            nonlocal done
            inside, call = ended[before.pop() :], (frame.path, frame.call)
            if done:
                return
            for each in inside:  # what a finished module holds inside is never asked again
                self._finished.pop(each, None)
            calls = Counter(path for path, _ in inside)
            self._finished[call] = _Finished(_copied(output), calls)
            ended.append(call)
            if call in self._keep and isinstance(output, Tensor):
                self.kept[call] = output.detach().clone()
            done = call == self._layer

        with left_as_found(self._net) as hooks:
            walk = Walk(self._net, hooks, entered, left)
            return walk.run(self._inputs.copies())


class _Replay:
    """One pass in which modules return what they had returned, and the layer the variants."""

    def __init__(
        self,
        layer: tuple[str, int],
        activations: Tensor,
        finished: dict[tuple[str, int], _Finished],
        writable: bool,
        hooked: Collection[str],
        modules: Collection[nn.Module],
    ) -> None:
        self._layer, self._activations = layer, activations
        self._finished, self._writable, self._hooked = finished, writable, hooked
        self._modules = modules
        self._calls: Counter[str] = Counter()
        self._full = not finished  # nothing is skipped: what modules keep is made anew
        self._given: dict[str, list[Any]] = defaultdict(list)

    def instead(self, path: str, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of a module's forward."""
        call = (path, self._calls[path])
        self._calls[path] += 1
        known = self._finished.get(call)
        if known is not None:
            self._calls.update(known.inside)
        if call == self._layer:
            given = self._activations
        elif known is not None:
            given = _repeated(known.output, len(self._activations), self._writable)
        else:
            given = None
        self._given[path].append(given)
        if given is None:
            return forward(*args, **kwargs)
        if self._full:
            self._keep_instead(forward(*args, **kwargs), given)
        if path in self._hooked and (self._writable or call == self._layer):
            return _mapped(given, torch.clone)  # hooks may write to it; views of one image refuse
        return given

    def _keep_instead(self, output: Any, given: Any) -> None:
        """Where a module keeps what it returns, as U-Nets do, it keeps the variants."""
        for module in self._modules:
            own = vars(module)
            for name in [name for name, each in own.items() if each is output]:
                own[name] = given

    def after(self, path: str, module: nn.Module, args: Any, output: Any) -> Any:
        """After hooks of the user's, which had their say in the first pass already."""
        return self._given[path].pop()


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
    return all(_alike(one, other) for one, other in pairs)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding; NaN and infinity where the other has them."""
    if one.shape != other.shape or not other.numel():
        return one.shape == other.shape
    eps = torch.finfo(other.dtype).eps if other.is_floating_point() else 0.0
    one, other = one.float(), other.float()
    same = (one == other) | (one.isnan() & other.isnan())
    off = (one - other).abs().masked_fill(same, 0)
    room = min(_SAME * other.numel() ** 0.5, max(_MOST, 16 * eps))
    rms = other.where(other.isfinite(), 0).square().mean().sqrt()
    return bool(off.max() <= room * rms)
