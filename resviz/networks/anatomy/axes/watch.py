"""`Axes`: which axis of each tensor is which, seen while a network runs."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resviz.hooks import Hooks
from resviz.networks.anatomy.axes.axis import Layout, given, unknown
from resviz.networks.anatomy.axes.rules import Call, Rule, of_layouts, plain, rule_of
from resviz.torch_private import modules_of

_MOST = 4096  # answers that are kept
_answers: dict[Any, Layout] = {}  # of rules that look at nothing but layouts and the result's shape


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
        self._known: dict[int, tuple[weakref.ref[Tensor], Layout]] = {}
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
            with self if alone else nullcontext():
                for tensor in inputs:
                    if isinstance(tensor, Tensor):
                        self._note(tensor, given(tensor.shape))
                yield
        finally:
            self._known.clear()

    def layout_of(self, value: Any) -> Layout | None:
        """The axes of a tensor; None where nothing that was seen made it."""
        reference, layout = self._known.get(id(value), (None, ()))
        if reference is None or reference() is not value or not isinstance(value, Tensor):
            return None
        return layout if len(layout) == value.ndim else None

    def _note(self, tensor: Tensor, layout: Layout) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), layout)

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
        made = (out,) if isinstance(out, Tensor) else _tensors(out)
        if made:  # most calls ask for a shape or a version
            name, rule = _rule(getattr(func, "__name__", ""))
            question = self._question(name, rule, args, kwargs, out)
            known = _answers.get(question)
            if known is not None:
                self._note(out, known)
                return
            call = Call(name, func, args, kwargs, self.layout_of)
            for number, tensor in enumerate(made):
                self._note_result(call, rule, tensor, number)
            if question is not None:
                self._keep(question, self.layout_of(out))

    def _note_result(self, call: Call, rule: Rule | None, tensor: Tensor, number: int) -> None:
        layout = _said(rule, call, tensor, number) if rule is not None else None
        if layout is not None and any(axis.names - {"?"} for axis in layout):
            self._note(tensor, layout)
        elif any(self.layout_of(each) is not None for each in call.args if each is not tensor):
            self._note(tensor, tuple(map(unknown, tensor.shape)))  # seen, and not understood

    def _question(
        self, name: str, rule: Rule | None, args: tuple[Any, ...], kwargs: Any, out: Any
    ) -> Any:
        """All that the answer depends on; None where it depends on more than layouts."""
        if not (of_layouts(rule) and isinstance(out, Tensor)):
            return None
        named = tuple(name for name, each in kwargs.items() if isinstance(each, Tensor))
        tensors = [each for each in args if isinstance(each, Tensor)]
        tensors += [kwargs[name] for name in named]
        return (name, out.shape, named), tuple(map(self.layout_of, tensors))

    def _keep(self, question: Any, answer: Layout | None) -> None:
        """For the next such call; but an axis like no other is made anew each time."""
        if answer is None:
            return
        given = itertools.chain.from_iterable(filter(None, question[1]))
        before = {atom for axis in given for atom in axis.atoms}
        if all(atom in before or atom.name[0] != "?" for axis in answer for atom in axis.atoms):
            if len(_answers) >= _MOST:
                _answers.clear()
            _answers[question] = answer


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
