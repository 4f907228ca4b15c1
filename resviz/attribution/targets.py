"""The targets of a batch, resolved when the output is there, and the scores that they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resviz.arguments import caller, whole
from resviz.attribution.target import Target, spelled, target
from resviz.errors import closest
from resviz.networks.outputs import describe, logits_of, widened

Function = Callable[[Any], Tensor]


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

    Attributes:
        indices: N lists of T class indices, -1 for what is no single class.
        names: their names.
    """

    def __init__(self, given: Any, count: int, classes: Sequence[str]) -> None:
        self.given, self.count, self.classes = given, count, classes
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
            return self._called(aim, output, _rows(output))
        wide = widened(logits_of(output))
        return sum(_part(wide[:, term.index], term) for term in aim)  # type: ignore[return-value]

    def again(self) -> Any:
        """The resolved targets in a form to resolve again; functions as they were given.

        For another network on the same images: the region of a dense output stays the one found
        here, where that network would say the class elsewhere, or nowhere.
        """
        rows = []
        for aims in self._aims:
            terms = [aim for aim in aims if not callable(aim)]
            if len(terms) < len(aims):
                return self.given
            rows.append([Target(tuple((t.index, t.weight, t.mask) for t in aim)) for aim in terms])
        return rows

    def _column(self, output: Any, column: int) -> Tensor:
        aims = [row[column] for row in self._aims]
        first = aims[0]
        if callable(first):
            return self._called(first, output, self.count)
        wide = widened(logits_of(output))
        terms = [aim for aim in aims if not callable(aim)]
        if wide.ndim == 2 and all(len(aim) == 1 and aim[0].weight == 1 for aim in terms):
            indices = torch.tensor([aim[0].index for aim in terms], device=wide.device)
            return wide.gather(1, indices[:, None]).squeeze(1)
        rows = [
            sum(_part(wide[n : n + 1, term.index], term) for term in aim)
            for n, aim in enumerate(terms)
        ]
        return torch.cat(rows)  # type: ignore[arg-type]

    def _called(self, function: Function, output: Any, count: int | None) -> Tensor:
        value = widened(output) if isinstance(output, Tensor) else output
        try:
            score = function(value)
        except (LookupError, ValueError, TypeError, RuntimeError, AttributeError) as err:
            raise ValueError(
                f"{caller()}: the target function raised {type(err).__name__}: {err}, on an "
                f"output of {describe(output)}; a function that finds its score there would be "
                "right. (A detector may have found nothing.)"
            ) from err
        shape = tuple(score.shape) if isinstance(score, Tensor) else None
        if not isinstance(score, Tensor) or score.ndim != 1 or count not in (None, len(score)):
            got = shape if shape is not None else type(score).__name__
            raise ValueError(
                f"{caller()}: the target function returned {got} for "
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
        logits = logits_of(output).detach()
        if logits.ndim not in (2, 4):
            raise ValueError(
                f"{caller()}: the network gives {tuple(logits.shape)}; (N, C) logits would be "
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
        else:
            listed = self.given.tolist() if hasattr(self.given, "tolist") else self.given
            alone = isinstance(listed, str | Target) or not isinstance(listed, Iterable)
            rows = [listed] * self.count if alone else list(listed)
        if len(rows) != self.count:
            raise ValueError(
                f"{caller()}: {len(rows)} targets for {self.count} images; one per image "
                "would be right, or a list of targets per image."
            )
        several = [list(row) if isinstance(row, list | tuple) else [row] for row in rows]
        if len({len(row) for row in several}) != 1 or not several[0]:
            lengths = sorted({len(row) for row in several})
            raise ValueError(
                f"{caller()}: {lengths} targets per image; the same number for every image, "
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
            f"{caller()}: no targets, and the network gives a map per class, "
            f"{tuple(logits.shape)}, so no single class is predicted; a class would be right. Seen "
            f"in the pixels: {', '.join(seen[:5])}."
        )

    def _as_target(self, given: Any) -> Target:
        if isinstance(given, Target):
            return given
        if isinstance(given, bool):
            raise ValueError(f"{caller()}: target {given}; a class index would be right.")
        try:
            return target(given)
        except TypeError as err:
            raise TypeError(
                f"{caller()}: a target of type {type(given).__name__}; a class index, a class "
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
            return index_of(which, self.classes)
        if not 0 <= which < outputs:
            raise ValueError(
                f"{caller()}: target {which} with {outputs} classes; 0 to {outputs - 1} would "
                "be right."
            )
        return which

    def _mask(self, region: Any, logits: Tensor, image: int, index: int) -> Tensor | None:
        """The region of a dense output, (H, W); None for (N, C) logits."""
        if logits.ndim == 2:
            if region is not None:
                raise ValueError(
                    f"{caller()}: a region, and logits of shape {tuple(logits.shape)}; a "
                    "network that gives a map per class, (N, C, H, W), would be right."
                )
            return None
        size = tuple(logits.shape[2:])
        if region is None or (isinstance(region, str) and region == "predicted"):
            mask = logits[image].argmax(0) == index
        elif isinstance(region, str) and region == "all":
            mask = torch.ones(size, dtype=torch.bool, device=logits.device)
        elif isinstance(region, str):
            raise ValueError(f"{caller()}: region {region!r}; 'predicted', 'all' or a mask {size}.")
        else:
            mask = self._given_mask(region, (self.count, *size), logits.device)[image]
        if not bool(mask.any()):
            raise ValueError(
                f"{caller()}: no position of image {image} is in the region of "
                f"{self._name(index)!r}; one that holds some would be right: region='all', or a "
                "mask."
            )
        return mask

    def _given_mask(self, region: Any, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """(N, H, W) of a mask (H, W) or (N, H, W)."""
        try:
            given = torch.as_tensor(region, device=device)
        except (TypeError, ValueError, RuntimeError) as err:
            raise TypeError(
                f"{caller()}: a region of type {type(region).__name__}; 'predicted', 'all' or "
                "a mask (H, W)."
            ) from err
        if tuple(given.shape) not in (shape[1:], shape):
            raise ValueError(
                f"{caller()}: a region of shape {tuple(given.shape)}; {shape[1:]}, as the "
                f"output, or {shape} would be right."
            )
        return (given != 0).expand(shape)

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
        logits = None if self._functions() else logits_of(output).detach()
        if logits is None or logits.ndim != 2 or any(-1 in row for row in self.indices):
            raise ValueError(
                f"{caller()}: finer_cam compares a class with others; targets that are one "
                "class each, of a classifier, would be right."
            )
        whole("references of finer_cam", references, least=1, most=logits.shape[1] - 1)
        new = Targets(self.given, self.count, self.classes)
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


def _rows(output: Any) -> int | None:
    if isinstance(output, Tensor):
        return len(output)
    if isinstance(output, list) and all(isinstance(each, Mapping) for each in output):
        return len(output)  # detections, a dictionary an image
    return None


def index_of(name: str, classes: Sequence[str]) -> int:
    """The index of a class by its name.

    Raises:
        ValueError: no such class, or several.
    """
    found = [index for index, known in enumerate(classes) if known == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{caller()}: class {name!r} is the name of {found}; an index would be right."
        )
    near = closest(name, classes) or "none: the network names no classes"
    raise ValueError(f"{caller()}: no class {name!r}; closest: {near}.")
