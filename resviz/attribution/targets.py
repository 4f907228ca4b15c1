"""What is explained: class indices, class names, or functions of the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resviz.errors import closest

Target = int | str | Callable[[Tensor], Tensor]


@dataclass
class Targets:
    """Targets of N images, T each, resolved when the logits are there.

    Args:
        given: None, one target, N targets, N lists of T, or functions of the logits.
        count: images.
        classes: names of the network's outputs, "" where nobody knows.
    """

    given: Any
    count: int
    classes: Sequence[str]
    indices: list[list[int]] | None = None
    names: list[list[str]] | None = None

    def scores(self, logits: Tensor) -> Tensor:
        """(N, T) scores to differentiate; sets `indices` and `names`."""
        wide = logits if logits.dtype == torch.float64 else logits.float()
        functions = self._functions()
        if functions:
            columns = [_score(function, wide) for function in functions]
            names = [getattr(f, "__name__", type(f).__name__) for f in functions]
            self.indices = [[-1] * len(functions) for _ in range(self.count)]
            self.names = [list(names) for _ in range(self.count)]
            return torch.stack(columns, 1)
        if wide.ndim != 2:
            raise ValueError(
                f"explain: the network gives {tuple(logits.shape)}; (N, C) logits would be right "
                "for class targets. Pass a function (logits) -> (N,) as the target."
            )
        self.indices = self._indices(wide)
        self.names = [[self._name(index) for index in row] for row in self.indices]
        return wide.gather(1, torch.tensor(self.indices, device=wide.device))

    def _functions(self) -> list[Callable[[Tensor], Tensor]]:
        if callable(self.given):
            return [self.given]
        if isinstance(self.given, list | tuple) and self.given and all(map(callable, self.given)):
            return list(self.given)
        return []

    def _indices(self, logits: Tensor) -> list[list[int]]:
        if self.given is None:
            rows: list[Any] = logits.detach().argmax(1).tolist()
        elif isinstance(self.given, str | int) and not isinstance(self.given, bool):
            rows = [self.given] * self.count
        else:
            rows = self.given.tolist() if isinstance(self.given, Tensor) else list(self.given)
        if len(rows) != self.count:
            raise ValueError(
                f"explain: {len(rows)} targets for {self.count} images; one per image would be "
                "right, or a list of targets per image."
            )
        several = [list(row) if isinstance(row, list | tuple) else [row] for row in rows]
        if len({len(row) for row in several}) != 1 or not several[0]:
            lengths = sorted({len(row) for row in several})
            raise ValueError(
                f"explain: {lengths} targets per image; the same number for every image, at least "
                "one, would be right."
            )
        return [[self._index(target, logits.shape[1]) for target in row] for row in several]

    def _index(self, target: Any, outputs: int) -> int:
        if isinstance(target, str):
            if target not in self.classes:
                near = closest(target, self.classes) or "none: the network names no classes"
                raise ValueError(f"explain: no class {target!r}; closest: {near}.")
            return list(self.classes).index(target)
        try:
            index = int(target.__index__())
        except (AttributeError, TypeError) as err:
            raise TypeError(
                f"explain: a target of type {type(target).__name__}; a class index, a class name "
                "or a function of the logits."
            ) from err
        if isinstance(target, bool) or not 0 <= index < outputs:
            raise ValueError(
                f"explain: target {target} with {outputs} classes; 0 to {outputs - 1} would be "
                "right."
            )
        return index

    def _name(self, index: int) -> str:
        return self.classes[index] if index < len(self.classes) else f"class {index}"


def _score(function: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    score = function(logits)
    if not isinstance(score, Tensor) or score.shape != logits.shape[:1]:
        got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
        raise ValueError(
            f"explain: the target function returned {got} for {len(logits)} images; a tensor of "
            "shape (N,) would be right."
        )
    return score
