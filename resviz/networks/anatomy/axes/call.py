"""One call of a torch function, as the rules see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from resviz.networks.anatomy.axes.axis import Layout, unknown

LayoutOf = Callable[[Any], Layout | None]


@dataclass(slots=True)
class Call:
    """One call of a torch function, after it has run.

    Attributes:
        name: of the function.
        func: the function itself.
        args, kwargs: what it was given.
        layout_of: of a tensor, None where nothing is known of it.
    """

    name: str
    func: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    layout_of: LayoutOf

    def given(self, place: int, *names: str, default: Any = None) -> Any:
        """An argument by place or by name."""
        if place < len(self.args):
            return self.args[place]
        return next((self.kwargs[name] for name in names if name in self.kwargs), default)

    @property
    def tensor(self) -> Any:
        """The first argument, as a rule the tensor that the function works on."""
        return self.given(0, "input", "self", "query", "tensors", "tensor")

    @property
    def layout(self) -> Layout:
        """Of that tensor."""
        return self.of(self.tensor)

    def of(self, tensor: Tensor) -> Layout:
        """Of any tensor among the arguments."""
        return self.layout_of(tensor) or tuple(unknown(size) for size in tensor.shape)


Rule = Callable[[Call, Tensor, int], Layout | None]  # (call, a result, its number) -> its axes
