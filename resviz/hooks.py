"""Hooks, modes and gradient state: the only place that touches them, and puts them back.

Everything here is a context manager. Whatever happens inside, an error or an interrupt included,
the network leaves as it came: hooks, training modes, ``requires_grad``, buffers, random state.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import is_
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from resviz.torch_private import (
    AnyBatchNorm,
    after_this_backward,
    buffers_of,
    drop_hook_table,
    has_no_hook_table,
    hooks_of,
    modules_of,
)

# DistributedDataParallel averages in a callback of its own that it queues during the backward
_AFTER_OTHERS = 2
_OURS = ("forward", "__getstate__")  # attributes that Hooks gives modules, and takes back
_TORCHS = frozenset(vars(nn.Module()))
_frames = threading.RLock()
_ours: set[int] = set()  # numbers of the hooks on modules that are set now


class _Instead:
    """What a module runs in place of its forward; when that has ended, its forward again.

    Args:
        function: called with (forward, *args, **kwargs).
        forward: the module's own.
        own: what the module had in its dictionary as forward, None for nothing.
        hidden: not for copies of the module.
    """

    def __init__(self, function: Callable[..., Any], forward: Any, own: Any, hidden: bool) -> None:
        self.function: Callable[..., Any] | None = function
        self.forward, self.own, self.hidden = forward, own, hidden

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.function is None:
            return self.forward(*args, **kwargs)
        return self.function(self.forward, *args, **kwargs)

    def end(self, module: nn.Module) -> None:
        """Give `module` back what it had; where others came to lie over this, they do it later."""
        self.function = None
        if module.__dict__.get("forward") is not self:
            return
        left: Any = self
        while isinstance(left, _Instead) and left.function is None:
            left = left.own
        if left is None:
            del module.forward
        else:
            module.forward = left


class _Bare:
    """``__getstate__`` of a module with hidden hooks: copies and files of it have none of them."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.hidden: dict[Hooks, set[int]] = {}

    def __call__(self) -> Any:
        own: Any = type(self._module)
        state = own.__getstate__(self._module)
        if not isinstance(state, dict):
            return state
        bare = {key: value for key, value in state.items() if key != "__getstate__"}
        for key in ("_forward_hooks", "_forward_pre_hooks"):
            hidden = set[int]().union(*self.hidden.values())
            hooks = bare[key].items()
            bare[key] = OrderedDict(
                (number, hook) for number, hook in hooks if number not in hidden
            )
        forward = bare.pop("forward", None)
        while isinstance(forward, _Instead) and forward.hidden:
            forward = forward.own
        return bare if forward is None else bare | {"forward": forward}

    def end(self, hooks: Hooks) -> None:
        """Those of `hooks` are gone."""
        self.hidden.pop(hooks, None)
        if not self.hidden:
            self._module.__dict__.pop("__getstate__", None)


class Hooks:
    """Hooks that live as long as one ``with`` block.

    Args:
        hidden: a copy that is made of a module inside, or a file that it is saved to, has none.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2))
        >>> with Hooks() as hooks:
        ...     hooks.forward(net[0], lambda module, args, output: print(tuple(output.shape)))
        ...     _ = net(torch.zeros(1, 2))
        (1, 2)
        >>> len(net[0]._forward_hooks)
        0
    """

    def __init__(self, hidden: bool = False) -> None:
        self._hidden, self._bare = hidden, dict[int, _Bare]()
        self._handles: list[Any] = []
        self._untouched: list[Tensor] = []
        self._replaced: list[tuple[nn.Module, _Instead]] = []

    def __enter__(self) -> Hooks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._handles:
            handle = self._handles.pop()
            handle.remove()
            _ours.discard(getattr(handle, "id", -1))
        while self._untouched:
            drop_hook_table(self._untouched.pop())
        while self._replaced:
            module, instead = self._replaced.pop()
            instead.end(module)
        while self._bare:
            _, bare = self._bare.popitem()
            bare.end(self)

    def forward(self, module: nn.Module, hook: Callable[[nn.Module, Any, Any], Any]) -> None:
        """Call ``hook(module, args, output)`` after each call; a result replaces the output."""
        self._of(module, module.register_forward_hook(hook))

    def before_forward(self, module: nn.Module, hook: Callable[[nn.Module, Any], Any]) -> None:
        """Call ``hook(module, args)`` before each call."""
        self._of(module, module.register_forward_pre_hook(hook))

    def _of(self, module: nn.Module, handle: Any) -> None:
        self._handles.append(handle)
        _ours.add(handle.id)
        if self._hidden:
            self._hide(module).add(handle.id)

    def _hide(self, module: nn.Module) -> set[int]:
        """The numbers of the module's hooks that are hidden."""
        bare = module.__dict__.setdefault("__getstate__", _Bare(module))
        if not isinstance(bare, _Bare):  # the module's own
            return set()
        self._bare[id(module)] = bare
        return bare.hidden.setdefault(self, set())

    def gradient(self, tensor: Tensor, hook: Callable[[Tensor], Tensor | None]) -> None:
        """Call ``hook(gradient)`` when the gradient of `tensor`, as it is now, is complete.

        Not where a function that has no derivative, as one in int8, sends none back.
        Bound to the version of `tensor` at this moment: a later in-place write does not move it.
        """
        if tensor.is_leaf and has_no_hook_table(tensor):  # a parameter without a dictionary
            self._untouched.append(tensor)

        def called(gradient: Tensor | None) -> Tensor | None:
            return None if gradient is None else hook(gradient)

        # None comes from operations without a backward, as those of a quantised layer
        self._handles.append(tensor.register_hook(called))  # type: ignore[no-untyped-call]

    def instead(self, module: nn.Module, function: Callable[..., Any]) -> None:
        """Let calls of `module` run ``function(forward, *args, **kwargs)`` in place of `forward`.

        `forward` is the module's own.
        """
        own, hidden = module.__dict__.get("forward"), self._hidden
        instead = _Instead(function, module.forward, own, hidden)
        if hidden:
            self._hide(module)
        self._replaced.append((module, instead))
        module.forward = instead

    def node(self, node: Any, hook: Callable[[tuple[Any, ...], tuple[Any, ...]], None]) -> None:
        """Call ``hook(grad_inputs, grad_outputs)`` after an autograd node has run."""
        self._handles.append(node.register_hook(hook))

    def before_update(
        self, optimizer: torch.optim.Optimizer, hook: Callable[[Any, Any], tuple[Any, Any] | None]
    ) -> None:
        """Call ``hook(args, kwargs)`` before each ``optimizer.step()``; a pair replaces them."""
        self._handles.append(
            optimizer.register_step_pre_hook(lambda _, args, kwargs: hook(args, kwargs))
        )

    def before_any_update(
        self, hook: Callable[[torch.optim.Optimizer, Any, Any], tuple[Any, Any] | None]
    ) -> None:
        """Call ``hook(optimizer, args, kwargs)`` before a step of whichever optimiser there is."""
        self._handles.append(register_optimizer_step_pre_hook(hook))

    def after_backward(self, hook: Callable[[], None]) -> None:
        """Call ``hook()`` once, when the backward pass that runs now has filled every ``.grad``.

        To be called from a gradient hook.
        """

        def queue(rounds: int) -> None:
            call = partial(queue, rounds - 1) if rounds else hook
            after_this_backward(call)

        queue(_AFTER_OTHERS)


def hung_on(module: nn.Module) -> tuple[int, ...]:
    """What others have hung on a module: numbers of hooks, and the id of a forward set on it.

    Example:
        >>> net = nn.ReLU()
        >>> _ = net.register_forward_hook(lambda module, args, output: output + 1)
        >>> with Hooks() as hooks:
        ...     hooks.forward(net, lambda module, args, output: None)
        ...     len(hung_on(net)), len(net._forward_hooks)
        (1, 2)
    """
    numbers = [number for table in hooks_of(module) for number in table if number not in _ours]
    forward = module.__dict__.get("forward")
    while isinstance(forward, _Instead):
        forward = forward.own
    return tuple(numbers) if forward is None else (*numbers, id(forward))


def batch_norms(net: nn.Module) -> list[nn.Module]:
    """The BatchNorm modules of a network, in order."""
    return [module for module in modules_of(net).values() if isinstance(module, AnyBatchNorm)]


def mixes_images(net: nn.Module) -> bool:
    """True where images of a batch reach one another in eval mode: BatchNorm that keeps nothing.

    Example:
        >>> mixes_images(nn.BatchNorm2d(3)), mixes_images(nn.BatchNorm2d(3, affine=False,
        ...     track_running_stats=False))
        (False, True)
    """
    return any(module.running_mean is None for module in batch_norms(net))


@contextmanager
def _modes(modules: Iterable[nn.Module], batch_stats: bool) -> Iterator[None]:
    """Every module in eval mode, BatchNorm alone in train mode where `batch_stats` says so."""
    before = [(module, module.training) for module in modules]
    try:
        for module, mode in before:
            wanted = batch_stats and isinstance(module, AnyBatchNorm)
            if mode != wanted:  # setting an attribute of a module is slow
                module.training = wanted
        yield
    finally:
        for module, mode in before:
            if module.training is not mode:
                module.training = mode


@contextmanager
def _buffers(modules: Iterable[nn.Module]) -> Iterator[None]:
    """The block works on copies of the buffers; the network gets its own back.

    Its own are not written at all, which would break a graph the caller has not used yet; nor
    would version counters tell of it, as BatchNorm's kernels do not raise them. Not even in eval
    mode: a forward may call ``train()``, as of Monte Carlo dropout.
    """
    own = [
        (buffers_of(module), name, buffer)
        for module in modules
        for name, buffer in buffers_of(module).items()
        if buffer is not None
    ]
    try:
        with torch.no_grad():
            copies = {id(buffer): buffer.detach().clone() for _, _, buffer in own}
        for buffers, name, buffer in own:
            buffers[name] = copies[id(buffer)]
        yield
    finally:
        for buffers, name, buffer in own:
            buffers[name] = buffer


@contextmanager
def _requires_grad(net: nn.Module) -> Iterator[None]:
    """Every floating parameter differentiable; frozen ones are frozen again at the end."""
    frozen = [p for p in net.parameters() if not p.requires_grad and p.is_floating_point()]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _random_devices(net: nn.Module) -> list[int]:
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return []
    devices = {p.device for p in net.parameters()} | {b.device for b in net.buffers()}
    return sorted({d.index or 0 for d in devices if d.type == "cuda"})


def _new_lock() -> None:
    """In a process that was forked: the thread that had the lock is not there."""
    global _frames
    _frames = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


@contextmanager
def _attributes(modules: Sequence[nn.Module]) -> Iterator[None]:
    """What a forward keeps, as ``self.attention``: else the graph of a pass stays there.

    All of it, not tensors alone: of a mask and the size that it was made for, the size would stay.
    Of what it keeps in lists and dictionaries, those with parts of a graph are as they were.
    """
    before = [(own, dict(own)) for own in map(vars, modules)]
    held = [(each, each.copy()) for each in _containers(modules)]
    try:
        yield
    finally:
        for own, kept in before:
            same = len(own) == len(kept) and all(map(is_, own, kept))
            if same and all(map(is_, own.values(), kept.values())):  # nearly always
                continue
            for name in [name for name in own if name not in kept and name not in _OURS]:
                del own[name]
            for name, each in kept.items():
                if name not in _OURS and own.get(name, _OURS) is not each:
                    own[name] = each
        for now, then in held:
            if _has_graph(now) and not _has_graph(then):
                now.clear()
                now.extend(then) if isinstance(now, list) else now.update(then)


def _containers(modules: Iterable[nn.Module]) -> Iterator[Any]:
    """Lists and dictionaries that modules of the user's own keep."""
    for module in modules:
        if not type(module).__module__.startswith("torch.nn."):
            for name, each in vars(module).items():
                if type(each) in (list, dict) and name not in _TORCHS:
                    yield each


def _has_graph(container: list[Any] | dict[Any, Any]) -> bool:
    values = container if isinstance(container, list) else container.values()
    return any(isinstance(each, Tensor) and each.grad_fn is not None for each in values)


@contextmanager
def left_as_found(
    net: nn.Module, *, grad: bool = False, batch_stats: bool = False, parameters: bool = False
) -> Iterator[Hooks]:
    """A frame in which a network may be run and watched; everything is put back at its end.

    Inside: eval mode (BatchNorm in train mode with `batch_stats`), gradients on or off as `grad`
    says, also under a caller's ``no_grad`` or ``inference_mode``; with `parameters`, frozen
    parameters can be differentiated. Afterwards modes, hooks, ``requires_grad``, buffers,
    attributes of modules, the random state of CPU and CUDA, and the gradient mode are as before.
    ``.grad`` is never touched. What a forward writes in place stays, but for buffers: into a plain
    attribute, a list, or a weight, as ``Embedding(max_norm=...)`` does.

    One frame at a time: another thread waits, whichever network it has. Two would take each other's
    modes for the network's own.
    In another thread than the main one the random state is left alone: it belongs to all threads,
    and to put it back would rewind what the others drew meanwhile.

    Yields:
        A :class:`Hooks` whose hooks end with the frame.

    Example:
        >>> net = nn.Dropout(0.5)
        >>> with left_as_found(net) as hooks:
        ...     net.training
        False
        >>> net.training
        True
    """
    with ExitStack() as stack:
        stack.enter_context(_frames)
        stack.enter_context(torch.inference_mode(False))
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(torch.random.fork_rng(devices=_random_devices(net)))
        modules = list(modules_of(net).values())
        stack.enter_context(_modes(modules, batch_stats))
        stack.enter_context(_buffers(modules))
        stack.enter_context(_attributes(modules))
        if parameters:
            stack.enter_context(_requires_grad(net))
        stack.enter_context(torch.set_grad_enabled(grad))
        yield stack.enter_context(Hooks())


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients, for a plain forward pass; put back afterwards."""
    with left_as_found(net):
        yield


@contextmanager
def gradients(enabled: bool) -> Iterator[None]:
    """Gradients on or off for one block, whatever the caller's mode is."""
    with torch.inference_mode(False), torch.set_grad_enabled(enabled):
        yield


def switch_gradients(enabled: bool) -> None:
    """Gradients on or off from here on: only inside :func:`left_as_found`, whose end undoes it."""
    torch.set_grad_enabled(enabled)
