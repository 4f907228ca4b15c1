"""Ways through a network by way of its residual additions, counted and drawn on its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from resviz.arguments import caller
from resviz.errors import NotTraceable
from resviz.networks.anatomy.additions import Addition, Node
from resviz.networks.anatomy.survey import Survey

_END = "the output"


class Ways:
    """The paths from the output to the input: at each addition on it, one takes a side.

    An addition inside a branch is met only by those paths that take this branch, so that a shortcut
    inside a branch makes three ways through its block, not four.

    Args:
        seen: a pass through the network.
        logits: of its output, what the paths start at.

    Attributes:
        counts: how many paths take 0, 1, 2, ... branches.

    Raises:
        NotTraceable: a place where several streams meet otherwise than in an addition.
    """

    def __init__(self, seen: Survey, logits: Tensor | None) -> None:
        self._sums = {a.total.index: a for a in seen.additions if a.total is not None}
        self._ways: dict[Addition | None, list[int]] = {None: [1]}
        self._before: dict[Addition, tuple[Addition | None, Addition | None]] = {}
        for addition in seen.additions:  # in order of execution: what is inside comes first
            shortcut = self._next([addition.shortcut], f"the shortcut of {addition.name!r}")
            branch = self._next([addition.branch], f"the branch of {addition.name!r}")
            self._before[addition] = shortcut, branch
            self._ways[addition] = _added(self._ways[shortcut], [0, *self._ways[branch]])
        end = seen.ends.get(id(logits))
        self._last = self._next([end] if end else list(seen.ends.values()), _END)
        self.counts = self._ways[self._last]

    def draw(self, generator: np.random.Generator, length: int) -> dict[str, bool]:
        """A path of that length, each with the same chance: on the branch or not, by addition."""
        taken, here, left = {}, self._last, length
        while here is not None:
            shortcut, branch = self._before[here]
            around, through = self._count(shortcut, left), self._count(branch, left - 1)
            taken[here.name] = bool(generator.random() * (around + through) >= around)
            here, left = (branch, left - 1) if taken[here.name] else (shortcut, left)
        return taken

    def several(
        self, generator: np.random.Generator, length: int, samples: int
    ) -> list[Mapping[str, bool]]:
        """That many different paths of a length, or all there are."""
        found: dict[tuple[tuple[str, bool], ...], None] = {}
        while len(found) < min(samples, self.counts[length]):
            found[tuple(sorted(self.draw(generator, length).items()))] = None
        return [dict(path) for path in found]

    def _count(self, addition: Addition | None, length: int) -> float:
        counts = self._ways[addition]
        whole = self._ways[self._last]  # numbers of the size of 2^150: shares of the largest
        return counts[length] / max(whole) if 0 <= length < len(counts) else 0.0

    def _next(self, nodes: Sequence[Node], where: str) -> Addition | None:
        """The addition that a gradient meets first on its way from some tensors to the input."""
        met: dict[int, Addition] = {}
        seen, waiting = {node.index for node in nodes}, list(nodes)
        while waiting:
            node = waiting.pop()
            if node.index in self._sums:
                met[node.index] = self._sums[node.index]
                continue
            for parent in (*node.parents, *node.given):
                if parent.index not in seen:
                    seen.add(parent.index)
                    waiting.append(parent)
        if len(met) > 1:
            names = " and ".join(repr(met[index].name) for index in sorted(met)[:2])
            raise NotTraceable(
                f"{caller()}: {where} comes from {names} otherwise than by an addition, where a "
                "path cannot take one side; streams that meet in residual additions alone would "
                "be right. rv.lesion_study looks at any network."
            )
        return next(iter(met.values()), None)


def _added(one: Sequence[int], other: Sequence[int]) -> list[int]:
    size = max(len(one), len(other))
    at = partial(_at, size=size)
    return [a + b for a, b in zip(at(one), at(other), strict=True)]


def _at(counts: Sequence[int], size: int) -> list[int]:
    return [*counts, *[0] * (size - len(counts))]
