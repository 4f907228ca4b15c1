"""The torch functions that add two tensors: which they add, and as what.

``x + f``, ``x += f``, ``torch.add(x, f, alpha=a)``, ``x - f``, ``torch.lerp(x, f, w)``,
``torch.rsub(f, x)``, ``torch.addcmul(x, f, g)``, ``torch.addcdiv``, and ``.sum(0)`` and
``.mean(0)`` of ``torch.stack([x, f])``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

_ADD = ("add", "add_", "__add__", "__radd__", "__iadd__")
_SUB = ("sub", "sub_", "__sub__", "__isub__", "subtract", "subtract_")
FAMILIES = {  # a function, and what its additions are called
    **dict.fromkeys(_ADD, "add"),
    **dict.fromkeys(_SUB, "sub"),
    **dict.fromkeys(("lerp", "lerp_"), "lerp"),
    **dict.fromkeys(("addcmul", "addcmul_"), "addcmul"),
    **dict.fromkeys(("addcdiv", "addcdiv_"), "addcdiv"),
    **{"rsub": "rsub", "sum": "sum", "mean": "mean"},
}
STACKED = ("sum", "mean")  # families that add what was stacked
FAMILY_NAMES = frozenset(FAMILIES.values())


@dataclass(frozen=True)
class Term:
    """One of the tensors that are added.

    Attributes:
        made_of: the tensors that it is computed of; itself where it is added as it is.
        factor: what it is multiplied with before it is added; None for what is no one number.
        value: gives it as it is added.
    """

    made_of: tuple[Tensor, ...]
    factor: float | None
    value: Callable[[], Tensor]


def terms(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], stacked: int | None = None
) -> tuple[Term, ...]:
    """What a function adds, in order; none where it does not add tensors.

    Args:
        name: of the function.
        args: what it was called with.
        kwargs: what it was called with by name.
        stacked: for "sum" and "mean": along which axis the operand was stacked, None where not.
    """
    family = FAMILIES[name]
    if family in STACKED:
        return _slices(family, args, kwargs, stacked)
    names = ("input", "other", "end", "tensor1", "tensor2", "weight")
    given = [*args, *(kwargs[k] for k in names if k in kwargs)]
    if len(given) < 2 or not all(isinstance(tensor, Tensor) for tensor in given[:2]):
        return ()
    if family in ("add", "sub"):
        alpha = kwargs.get("alpha", 1) * (1 if family == "add" else -1)
        return _as_is(given[0]), _scaled(given[1], alpha)
    if family == "rsub":
        return _scaled(given[0], -kwargs.get("alpha", 1)), _as_is(given[1])
    if family == "lerp":
        return _between(given[0], given[1], given[2])
    return _as_is(given[0]), _product(family, given, kwargs.get("value", 1))


def _as_is(tensor: Tensor) -> Term:
    return Term((tensor,), 1.0, lambda: tensor)


def _scaled(tensor: Tensor, alpha: float) -> Term:
    if alpha == 1:
        return _as_is(tensor)
    return Term((tensor,), float(alpha), lambda: tensor * alpha)


def _between(start: Tensor, end: Tensor, weight: Tensor | float) -> tuple[Term, Term]:
    """(1 - w) start + w end."""
    if not isinstance(weight, Tensor):
        return _scaled(start, 1 - weight), _scaled(end, weight)
    return (
        Term((start, weight), None, lambda: start * (1 - weight)),
        Term((end, weight), None, lambda: end * weight),
    )


def _product(family: str, given: Sequence[Any], value: float) -> Term:
    one, other = given[1], given[2]
    if family == "addcmul":
        return Term((one, other), None, lambda: value * one * other)
    return Term((one, other), None, lambda: value * one / other)


def _slices(
    family: str, args: Sequence[Any], kwargs: Mapping[str, Any], stacked: int | None
) -> tuple[Term, ...]:
    """The tensors of ``torch.stack(...).sum(dim)`` and ``.mean(dim)``."""
    whole = summed_in(args, kwargs)
    dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis"))
    dim = dim[0] if isinstance(dim, tuple | list) and len(dim) == 1 else dim
    if stacked is None or not isinstance(whole, Tensor) or not isinstance(dim, int):
        return ()
    keep = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
    if keep or dim % whole.ndim != stacked % whole.ndim:
        return ()
    share = 1 / whole.shape[dim] if family == "mean" else 1
    return tuple(_scaled(each, share) for each in whole.unbind(dim))


def summed_in(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The operand of a function that may sum along an axis."""
    return args[0] if args else kwargs.get("input")


def stacked_along(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
    """The axis that ``torch.stack`` makes; None for other functions."""
    if name != "stack":
        return None
    dim: int = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    return dim


def writes(name: str) -> bool:
    """True where the sum is written into the first operand."""
    return name.startswith("__i") or (name.endswith("_") and not name.startswith("__"))


def addition_name(path: str, number: int, family: str = "add") -> str:
    """Torchvision's name of the n-th addition in a module: "layer1.0.add", "layer1.0.add_1"."""
    return (f"{path}." if path else "") + (family if number == 0 else f"{family}_{number}")
