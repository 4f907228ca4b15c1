"""One target: a class, by index or name, and sums and differences of classes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TypeAlias

from torch import Tensor

from resviz.arguments import caller, public
from resviz.given import Numbers

Region: TypeAlias = "str | Numbers"  # of an output with positions: 'predicted', 'all', a mask


@dataclass(frozen=True, eq=False)
class Target:
    """A sum of class scores, each with a weight: made by :func:`target`, and by ``+ - * /``.

    Attributes:
        terms: (class index or name, weight, region) each.
    """

    terms: tuple[tuple[int | str, float, Region | None], ...]

    def __add__(self, other: Target) -> Target:
        return Target(self.terms + other.terms) if isinstance(other, Target) else NotImplemented

    def __radd__(self, other: int) -> Target:
        return self if other == 0 else NotImplemented  # sum([...]) starts with 0

    def __sub__(self, other: Target) -> Target:
        return self + -other if isinstance(other, Target) else NotImplemented

    def __neg__(self) -> Target:
        return self * -1.0

    def __mul__(self, factor: object) -> Target:
        if isinstance(factor, bool) or not isinstance(factor, Real):
            return NotImplemented
        return Target(
            tuple((name, weight * float(factor), where) for name, weight, where in self.terms)
        )

    __rmul__ = __mul__

    def __truediv__(self, divisor: object) -> Target:
        if isinstance(divisor, bool) or not isinstance(divisor, Real):
            return NotImplemented
        return self * (1.0 / float(divisor))

    def __str__(self) -> str:
        named = [(n if isinstance(n, str) else f"class {n}", w) for n, w, _ in self.terms]
        return spelled(named)


# what a user may give as `targets`: one for all images, one each, or several each
Goal = int | str | Target | Callable[..., Tensor]
Wanted = Goal | Tensor | Numbers | Sequence[Goal | Sequence[Goal]] | None


@public
def target(which: int | str, *, region: Region | None = None) -> Target:
    """One class as a target that can be calculated with.

    ``target("tiger cat") - target("espresso")`` explains what speaks for the one and against the
    other; ``-target("espresso")`` what speaks against it (the counterfactual map of Grad-CAM,
    arXiv 1610.02391, section 7). Names are looked up in the network's preset when the target is
    used.

    Args:
        which: class index or name.
        region: for a network that gives a map per class, (N, C, H, W): the positions over which the
            class's scores are summed (Seg-Grad-CAM, Vinogradova et al. 2020, arXiv 2002.11434).
            "predicted" (the default there): where the network says this class; "all"; or a mask
            (H, W) or (N, H, W).

    Raises:
        TypeError: neither a class index nor a name.

    Example:
        >>> str(target("tiger cat") - target("espresso"))
        'tiger cat - espresso'
    """
    if isinstance(which, str):
        return Target(((which, 1.0, region),))
    if not _is_index(which):
        raise TypeError(
            f"{caller()}: a class of type {type(which).__name__}; a class index or a class name."
        )
    return Target(((operator.index(which), 1.0, region),))


def _is_index(which: object) -> bool:
    """True for whole numbers of Python, NumPy and torch, but no truth values.

    Those of NumPy before 2 and of torch can be used as an index, too.
    """
    if isinstance(which, bool) or str(getattr(which, "dtype", "")).endswith("bool"):
        return False
    try:
        operator.index(which)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return False
    return True


def spelled(named: Sequence[tuple[str, float]]) -> str:
    """Names and weights as a sum: ``"tiger cat - 0.5 espresso"``."""
    text = ""
    for position, (name, weight) in enumerate(named):
        size = "" if abs(weight) == 1 else f"{abs(weight):g} "
        sign = ("-" if weight < 0 else "") if position == 0 else (" - " if weight < 0 else " + ")
        text += f"{sign}{size}{name}"
    return text
