"""Cases of parametrised tests: ids that every process writes alike, and which cases are fast.

- `plain(text)`: for `ids=`: without an object's address, which differs from process to process.
- `thorough(*values)`: values as cases of the thorough tier.
- `thorough_but(values, kept)`: all values as cases, those outside `kept` for the thorough tier.
- `crossed(*axes)`: all combinations as cases; in the fast tier each value of each axis.
- `families(names, small)`: networks as cases: one of them fast, small ones thorough, others slow;
  those of `LARGE` long.
- `every_method()`: the methods of `explain` as cases; in the fast tier some of each kind.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable
from typing import Any

import pytest

from resviz.attribution.methods.registry import METHODS

# One of each kind, and of "masks" one at a layer and one at the input.
OF_EACH_KIND = ("grad_cam", "eigen_cam", "cam", "ablation_cam", "occlusion", "saliency")

# Over 40 million parameters, of the same classes as another: resnet50, or vgg11 and vgg16.
LARGE = ("resnet101", "resnet152", "wide_resnet50_2", "vgg19")


def plain(text: str) -> str:
    """`text` without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def thorough(*values: Any) -> Any:
    """A case of one or more values for the thorough tier."""
    return pytest.param(*values, marks=pytest.mark.thorough)


def thorough_but(values: Iterable[Any], kept: Collection[Any]) -> list[Any]:
    """`values` as cases: those of `kept` run in the fast tier, the others in the thorough one.

    A tuple is a case of several values.
    """
    listed = list(values)
    unknown = [value for value in kept if value not in listed]
    assert not unknown, f"no case {unknown}"
    return [value if value in kept else _thorough(value) for value in listed]


def _thorough(value: Any) -> Any:
    return thorough(*value) if isinstance(value, tuple) else thorough(value)


def crossed(*axes: Iterable[Any]) -> list[Any]:
    """Every combination of the values of several axes as cases.

    In the fast tier each value once or more: the first of each, the second of each, ..., where a
    shorter axis begins again. The others are thorough.
    """
    lists = [list(axis) for axis in axes]
    longest = max(map(len, lists))
    kept = {tuple(i % len(each) for each in lists) for i in range(longest)}
    places = itertools.product(*(range(len(each)) for each in lists))
    return [
        pytest.param(
            *(each[i] for each, i in zip(lists, place, strict=True)),
            marks=() if place in kept else pytest.mark.thorough,
        )
        for place in places
    ]


def families(
    names: Iterable[str], small: Collection[str], kept: Collection[str] = ("resnet18",)
) -> list[Any]:
    """Networks as cases: those of `kept` are fast, those of `small` thorough, the others slow.

    Those of `LARGE` are for `make check-all`.
    """

    def marks(name: str) -> list[Any]:
        if name in kept:
            return []
        tier = pytest.mark.thorough if name in small else pytest.mark.slow
        return [tier, pytest.mark.long] if name in LARGE else [tier]

    return [pytest.param(name, marks=marks(name)) for name in names]


def every_method(names: Collection[str] = tuple(METHODS)) -> list[Any]:
    """`names` of methods as cases: in the fast tier those of `OF_EACH_KIND`."""
    return thorough_but(names, [name for name in OF_EACH_KIND if name in names])
