"""What is explained: classes by index or name, differences of classes, functions of the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resviz.errors import closest
from resviz.networks.inputs import logits_of

Function = Callable[[Any], Tensor]


@dataclass(frozen=True, eq=False)
class Target:
    """A sum of class scores, each with a weight: made by :func:`target`, and by ``+ - * /``.

    Attributes:
        terms: (class index or name, weight, region) each.
    """

    terms: tuple[tuple[int | str, float, Any], ...]

    def __add__(self, other: Target) -> Target:
        return Target(self.terms + other.terms) if isinstance(other, Target) else NotImplemented

    def __sub__(self, other: Target) -> Target:
        return self + -other if isinstance(other, Target) else NotImplemented

    def __neg__(self) -> Target:
        return self * -1.0

    def __mul__(self, factor: float) -> Target:
        return Target(tuple((name, weight * factor, where) for name, weight, where in self.terms))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Target:
        return self * (1.0 / divisor)

    def __str__(self) -> str:
        named = [(n if isinstance(n, str) else f"class {n}", w) for n, w, _ in self.terms]
        return spelled(named)


def target(which: int | str, *, region: Any = None) -> Target:
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
    if isinstance(which, bool) or not hasattr(which, "__index__"):
        raise TypeError(
            f"target: a class of type {type(which).__name__}; a class index or a class name."
        )
    return Target(((which.__index__(), 1.0, region),))


@dataclass(frozen=True)
class Term:
    """One class, resolved: index, weight, and for dense outputs the mask (H, W) of its region."""

    index: int
    weight: float
    mask: Tensor | None = None


class Targets:
    """Targets of N images, T each; resolved when the first output is there.

    Args:
        given: None, one target, N targets, N lists of T, or functions of the output.
        count: images.
        classes: names of the network's outputs, empty where nobody knows.
        function: the public function that speaks in an error.

    Attributes:
        indices: N lists of T class indices, -1 for what is no single class.
        names: their names.
    """

    def __init__(
        self, given: Any, count: int, classes: Sequence[str], function: str = "explain"
    ) -> None:
        self.given, self.count, self.classes, self.function = given, count, classes, function
        self.indices: list[list[int]] = []
        self.names: list[list[str]] = []
        self._aims: list[list[tuple[Term, ...] | Function]] = []

    @property
    def columns(self) -> int:
        """Targets of each image."""
        return len(self._aims[0])

    # ---- scores
    def scores(self, output: Any) -> Tensor:
        """(N, T) scores to differentiate, from the output for all images."""
        if not self._aims:
            self.resolve(output)
        return torch.stack([self._column(output, t) for t in range(self.columns)], 1)

    def of(self, output: Any, image: int, column: int) -> Tensor:
        """(M,) scores of one target, from the output for M variants of one image."""
        aim = self._aims[image][column]
        if callable(aim):
            return self._called(aim, output)
        wide = _wide(logits_of(self.function, output))
        return sum(_part(wide[:, term.index], term) for term in aim)  # type: ignore[return-value]

    def _column(self, output: Any, column: int) -> Tensor:
        aims = [row[column] for row in self._aims]
        first = aims[0]
        if callable(first):
            return self._called(first, output)
        wide = _wide(logits_of(self.function, output))
        terms = [aim for aim in aims if not callable(aim)]
        if wide.ndim == 2 and all(len(aim) == 1 and aim[0].weight == 1 for aim in terms):
            indices = torch.tensor([aim[0].index for aim in terms], device=wide.device)
            return wide.gather(1, indices[:, None]).squeeze(1)
        rows = [
            sum(_part(wide[n : n + 1, term.index], term) for term in aim)
            for n, aim in enumerate(terms)
        ]
        return torch.cat(rows)  # type: ignore[arg-type]

    def _called(self, function: Function, output: Any) -> Tensor:
        value = _wide(output) if isinstance(output, Tensor) else output
        try:
            score = function(value)
        except (IndexError, KeyError, ValueError, TypeError, RuntimeError) as err:
            raise ValueError(
                f"{self.function}: the target function raised {type(err).__name__}: {err}, on an "
                f"output of {describe(output)}; a function that finds its score there would be "
                "right. (A detector may have found nothing.)"
            ) from err
        count = _rows(output)
        shape = tuple(score.shape) if isinstance(score, Tensor) else None
        if not isinstance(score, Tensor) or score.ndim != 1 or count not in (None, len(score)):
            got = shape if shape is not None else type(score).__name__
            raise ValueError(
                f"{self.function}: the target function returned {got} for "
                f"{self.count if count is None else count} images; a tensor of shape (N,) would be "
                "right."
            )
        return score

    # ---- resolving
    def resolve(self, output: Any) -> None:
        """Read what was given, now that the number of outputs is known."""
        functions = self._functions()
        if functions:
            self._aims = [list(functions) for _ in range(self.count)]
            self.indices = [[-1] * len(functions) for _ in range(self.count)]
            names = [getattr(f, "__name__", type(f).__name__) for f in functions]
            self.names = [list(names) for _ in range(self.count)]
            return
        logits = logits_of(self.function, output).detach()
        if logits.ndim not in (2, 4):
            raise ValueError(
                f"{self.function}: the network gives {tuple(logits.shape)}; (N, C) logits would be "
                "right for class targets. Pass a function (output) -> (N,) as the target."
            )
        rows = self._rows(logits)
        self._aims = [
            [self._aim(each, logits, image) for each in row] for image, row in enumerate(rows)
        ]
        self.indices = [[_single(aim) for aim in row] for row in self._aims]
        self.names = [[self._title(each, logits.shape[1]) for each in row] for row in rows]

    def _functions(self) -> list[Function]:
        if callable(self.given):
            return [self.given]
        if isinstance(self.given, list | tuple) and self.given and all(map(callable, self.given)):
            return list(self.given)
        return []

    def _rows(self, logits: Tensor) -> list[list[Target]]:
        if self.given is None:
            rows: list[Any] = self._predicted(logits)
        elif isinstance(self.given, str | int | Target) and not isinstance(self.given, bool):
            rows = [self.given] * self.count
        else:
            rows = self.given.tolist() if isinstance(self.given, Tensor) else list(self.given)
        if len(rows) != self.count:
            raise ValueError(
                f"{self.function}: {len(rows)} targets for {self.count} images; one per image "
                "would be right, or a list of targets per image."
            )
        several = [list(row) if isinstance(row, list | tuple) else [row] for row in rows]
        if len({len(row) for row in several}) != 1 or not several[0]:
            lengths = sorted({len(row) for row in several})
            raise ValueError(
                f"{self.function}: {lengths} targets per image; the same number for every image, "
                "at least one, would be right."
            )
        return [[self._as_target(each) for each in row] for row in several]

    def _predicted(self, logits: Tensor) -> list[int]:
        if logits.ndim == 2:
            return logits.argmax(1).tolist()
        shares = logits.argmax(1).flatten().bincount().float() / logits[:, 0].numel()
        seen = [
            f"{self._name(i)} ({shares[i]:.0%})" for i in shares.argsort(descending=True).tolist()
        ]
        raise ValueError(
            f"{self.function}: no targets, and the network gives a map per class, "
            f"{tuple(logits.shape)}, so no single class is predicted; a class would be right. Seen "
            f"in the pixels: {', '.join(seen[:5])}."
        )

    def _as_target(self, given: Any) -> Target:
        if isinstance(given, Target):
            return given
        if isinstance(given, bool):
            raise ValueError(f"{self.function}: target {given}; a class index would be right.")
        try:
            return target(given)
        except TypeError as err:
            raise TypeError(
                f"{self.function}: a target of type {type(given).__name__}; a class index, a class "
                "name, rv.target(...) or, for all images, a function of the output."
            ) from err

    def _aim(self, given: Target, logits: Tensor, image: int) -> tuple[Term, ...]:
        terms = []
        for which, weight, region in given.terms:
            index = self._index(which, logits.shape[1])
            terms.append(Term(index, weight, self._mask(region, logits, image, index)))
        return tuple(terms)

    def _index(self, which: int | str, outputs: int) -> int:
        if isinstance(which, str):
            return index_of(self.function, which, self.classes)
        if not 0 <= which < outputs:
            raise ValueError(
                f"{self.function}: target {which} with {outputs} classes; 0 to {outputs - 1} would "
                "be right."
            )
        return which

    def _mask(self, region: Any, logits: Tensor, image: int, index: int) -> Tensor | None:
        """The region of a dense output, (H, W); None for (N, C) logits."""
        if logits.ndim == 2:
            if region is not None:
                raise ValueError(
                    f"{self.function}: a region, and logits of shape {tuple(logits.shape)}; a "
                    "network that gives a map per class, (N, C, H, W), would be right."
                )
            return None
        size = tuple(logits.shape[2:])
        if region is None or (isinstance(region, str) and region == "predicted"):
            mask = logits[image].argmax(0) == index
        elif isinstance(region, str) and region == "all":
            mask = torch.ones(size, dtype=torch.bool, device=logits.device)
        elif isinstance(region, str):
            raise ValueError(
                f"{self.function}: region {region!r}; 'predicted', 'all' or a mask {size}."
            )
        else:
            given = torch.as_tensor(region, device=logits.device)
            mask = (given[image] if given.ndim == 3 else given) != 0
            if tuple(mask.shape) != size:
                raise ValueError(
                    f"{self.function}: a region of shape {tuple(given.shape)}; {size}, as the "
                    "output, would be right."
                )
        if not bool(mask.any()):
            raise ValueError(
                f"{self.function}: no position of image {image} is in the region of "
                f"{self._name(index)!r}; one that holds some would be right: region='all', or a "
                "mask."
            )
        return mask

    def _name(self, index: int) -> str:
        return self.classes[index] if index < len(self.classes) else f"class {index}"

    def _title(self, given: Target, outputs: int) -> str:
        named = [
            (self._name(self._index(which, outputs)), weight) for which, weight, _ in given.terms
        ]
        return spelled(named)

    # ---- contrast
    def contrasted(self, output: Any, gamma: float, references: int) -> Targets:
        """The same targets, each less `gamma` times the mean of its `references` closest classes.

        Closest by logit: Zhang et al. 2025 (Finer-CAM, arXiv 2501.11309), y_c - gamma mean_d y_d.

        Raises:
            ValueError: a target that is not one class, or fewer classes than that.
        """
        logits = None if self._functions() else logits_of(self.function, output).detach()
        if logits is None or logits.ndim != 2 or any(-1 in row for row in self.indices):
            raise ValueError(
                f"{self.function}: finer_cam compares a class with others; targets that are one "
                "class each, of a classifier, would be right."
            )
        if not 1 <= references < logits.shape[1]:
            raise ValueError(
                f"{self.function}: finer_cam with {references} references; 1 to "
                f"{logits.shape[1] - 1} would be right."
            )
        new = Targets(self.given, self.count, self.classes, self.function)
        new.indices, new.names = self.indices, self.names
        for image, row in enumerate(self.indices):
            aims: list[tuple[Term, ...] | Function] = []
            for index in row:
                apart = (logits[image] - logits[image, index]).abs()
                apart[index] = float("inf")
                others = apart.argsort(stable=True)[:references].tolist()
                against = tuple(Term(other, -gamma / references) for other in others)
                aims.append((Term(index, 1.0), *against))
            new._aims.append(aims)
        return new


def _single(aim: tuple[Term, ...] | Function) -> int:
    one = not callable(aim) and len(aim) == 1 and aim[0].weight == 1
    return aim[0].index if one and not callable(aim) else -1


def _part(scores: Tensor, term: Term) -> Tensor:
    """(M,) from (M,) or (M, H, W)."""
    if term.mask is not None:
        scores = (scores * term.mask).sum((1, 2))
    return scores * term.weight if term.weight != 1 else scores


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _rows(output: Any) -> int | None:
    if isinstance(output, Tensor):
        return len(output)
    if isinstance(output, list) and all(isinstance(each, Mapping) for each in output):
        return len(output)  # detections, a dictionary an image
    return None


def index_of(function: str, name: str, classes: Sequence[str]) -> int:
    """The index of a class by its name.

    Raises:
        ValueError: no such class, or several.
    """
    found = [index for index, known in enumerate(classes) if known == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{function}: class {name!r} is the name of {found}; an index would be right."
        )
    near = closest(name, classes) or "none: the network names no classes"
    raise ValueError(f"{function}: no class {name!r}; closest: {near}.")


def spelled(named: Sequence[tuple[str, float]]) -> str:
    """Names and weights as a sum: ``"tiger cat - 0.5 espresso"``."""
    text = ""
    for position, (name, weight) in enumerate(named):
        size = "" if abs(weight) == 1 else f"{abs(weight):g} "
        sign = ("-" if weight < 0 else "") if position == 0 else (" - " if weight < 0 else " + ")
        text += f"{sign}{size}{name}"
    return text


def describe(value: Any) -> str:
    """The shape of an output in words: ``"a list of 1: {'boxes': (0, 4), 'scores': (0,)}"``."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {describe(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        inside = describe(value[0]) if value else "nothing"
        return f"a {type(value).__name__} of {len(value)}: {inside}"
    return type(value).__name__
