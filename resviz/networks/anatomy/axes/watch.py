"""`Axes`: which axis of each tensor is which, seen while a network runs."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resviz.hooks import Hooks
from resviz.networks.anatomy.axes.axis import Layout, given, unknown
from resviz.networks.anatomy.axes.call import Call, Rule
from resviz.networks.anatomy.axes.rules import of_layouts, plain, rule_of
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.torch_private import modules_of, scripted_functions_seen, versions_of

_MOST = 4096  # answers, and layouts, that are kept
_Told = tuple[Layout, object]  # the object stands for the layout in questions
_tokens: dict[Layout, object] = {}
_answers: dict[Any, _Told] = {}  # of rules that look at nothing but layouts and the result's shape


@functools.cache
def _rule(name: str) -> tuple[str, Rule | None]:
    bare = plain(name)
    return bare, rule_of(bare)


class Axes(TorchFunctionMode):
    """Watches a forward pass, inside :meth:`watching`.

    Args:
        net: the network. Its modules that are not torch's own may compute what no mode sees, as
            scripted ones do; one without children whose result has its input's shape keeps the
            order of axes.
        hooks: live during the pass.
    """

    def __init__(self, net: nn.Module, hooks: Hooks) -> None:
        super().__init__()
        self._known: dict[int, tuple[weakref.ref[Tensor], _Told]] = {}
        self._read: dict[int, int] = {}  # id(tensor) -> its version when a function read it
        for module in modules_of(net).values():
            own = not type(module).__module__.startswith("torch.nn.")
            if own and next(module.children(), None) is None:
                hooks.forward(module, self._kept)

    @contextmanager
    def watching(self, inputs: Iterable[Any], alone: bool = True) -> Iterator[None]:
        """A pass over these inputs; nothing is known before it, and nothing of it afterwards.

        Not `alone`: another mode that sees the torch functions tells :meth:`saw` of them.
        """
        try:
            with scripted_functions_seen(), self if alone else nullcontext():
                for tensor in inputs:
                    if isinstance(tensor, Tensor):
                        self._note(tensor, given(tensor.shape))
                yield
        finally:
            self._known.clear()
            self._read.clear()

    def layout_of(self, value: Any) -> Layout | None:
        """The axes of a tensor; None where nothing that was seen made it."""
        told = self._told(value) if isinstance(value, Tensor) else None
        return None if told is None else told[0]

    def was_read(self, tensor: Tensor) -> bool:
        """Another tensor was computed of this one, as it is now."""
        return versions_of((tensor,)).items() <= self._read.items()

    def _told(self, tensor: Tensor) -> _Told | None:
        entry = self._known.get(id(tensor))
        if entry is None or entry[0]() is not tensor:
            return None
        return entry[1] if len(entry[1][0]) == tensor.ndim else None

    def _note(self, tensor: Tensor, layout: Layout) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), (layout, _token_of(layout)))

    def _kept(self, module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and self.layout_of(output) is None and args:
            layout = self.layout_of(args[0])
            if layout is not None and args[0].shape == output.shape:
                self._note(output, layout)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.saw(func, args, kwargs, out)
        return out

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """A torch function that has run."""
        made = [out] if isinstance(out, Tensor) else _tensors(out)
        if not made:  # most calls ask for a shape or a version
            return
        name = getattr(func, "__name__", "")
        given = [each for each in args if isinstance(each, Tensor)]
        named: tuple[str, ...] = ()
        if kwargs:
            named = tuple(name for name, each in kwargs.items() if isinstance(each, Tensor))
            given += [kwargs[name] for name in named]
        self._note_read(given or list(tensors_in(args)), made)
        if made[0] is out:
            question = (name, out.shape, named, *map(self._token_in, given))
            answer = _answers.get(question)
            if answer is not None:
                self._known[id(out)] = (weakref.ref(out), answer)
                return
        bare, rule = _rule(name)
        call = Call(bare, func, args, kwargs, self.layout_of)
        for number, tensor in enumerate(made):
            self._note_result(call, rule, tensor, number)
        if made[0] is out and of_layouts(rule):
            self._keep(question, list(map(self.layout_of, given)), self._told(out))

    def _note_read(self, given: Iterable[Tensor], made: Iterable[Tensor]) -> None:
        """Who was read; what is new was not, whatever stood at its address before."""
        versions = versions_of(given)
        for tensor in made:
            number = id(tensor)
            if number in versions:  # written in place, or handed on
                del versions[number]
            else:
                self._read.pop(number, None)
        self._read.update(versions)

    def _token_in(self, tensor: Tensor) -> object:
        """What stands for its layout."""
        told = self._told(tensor)
        return None if told is None else told[1]

    def _note_result(self, call: Call, rule: Rule | None, tensor: Tensor, number: int) -> None:
        layout = _said(rule, call, tensor, number) if rule is not None else None
        if layout is not None and any(axis.names - {"?"} for axis in layout):
            self._note(tensor, layout)
        elif any(self.layout_of(each) is not None for each in call.args if each is not tensor):
            self._note(tensor, tuple(map(unknown, tensor.shape)))  # seen, and not understood

    def _keep(self, question: Any, given: list[Layout | None], answer: _Told | None) -> None:
        """For the next such call; but an axis like no other is made anew each time."""
        if answer is None:
            return
        before = {atom for layout in given if layout for axis in layout for atom in axis.atoms}
        if all(atom in before or atom.name[0] != "?" for axis in answer[0] for atom in axis.atoms):
            if len(_answers) >= _MOST:
                _answers.clear()
            _answers[question] = answer


def _token_of(layout: Layout) -> object:
    if len(_tokens) >= _MOST:
        _tokens.clear()  # what is kept under an old one is asked for once more
    return _tokens.setdefault(layout, object())


def _tensors(out: Any) -> list[Tensor]:
    return [each for each in out if isinstance(each, Tensor)] if isinstance(out, tuple) else []


def _said(rule: Rule, call: Call, tensor: Tensor, number: int) -> Layout | None:
    """The axes by a rule; None where it was called in a way that the rule does not know."""
    try:
        layout = rule(call, tensor, number)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None
    fits = layout is not None and [axis.size for axis in layout] == list(tensor.shape)
    return layout if fits else None
