"""The targets of a batch, resolved when the output is there, and the scores that they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller, whole
from resviz.attribution.given import rows_of
from resviz.attribution.region import region_of
from resviz.attribution.target import Target, spelled
from resviz.errors import closest
from resviz.given import Inputs
from resviz.networks.outputs import HOW_TO_SAY, UNSAID, Output, describe, widened

Function = Callable[[Any], Tensor]
_REFERENCES = 3  # classes that finer_cam compares with: Zhang et al. 2025


@dataclass(frozen=True)
class Term:
    """One class, resolved: index, weight, and for dense outputs the mask (H, W) of its region."""

    index: int
    weight: float
    mask: Tensor | None = None


class Targets:
    """Targets of N images; resolved when the first output is there.

    Args:
        given: None, one target, N targets, N lists, or functions of the output.
        count: images.
        output: what the network's output means; its kind is known once an output is there.

    Attributes:
        indices: N lists of target indices, -1 for what is no single target.
        names: their names.
        regions: likewise "predicted", "all" or "mask": the positions of a dense output that count.
        classes: how many the output speaks for; 0 where targets are functions.
    """

    def __init__(self, given: Any, count: int, output: Output | None = None) -> None:
        self.given, self.count, self.output = given, count, output or Output()
        self.indices: list[list[int]] = []
        self.names: list[list[str]] = []
        self.regions: list[list[str]] = []
        self.classes = 0
        self._aims: list[list[tuple[Term, ...] | Function]] = []

    @property
    def columns(self) -> int:
        """Targets of each image; of the one that has most, where they differ."""
        return len(self._aims[0])

    @property
    def ragged(self) -> bool:
        """Whether images have different numbers of targets."""
        return len({len(row) for row in self.indices}) > 1

    @property
    def table(self) -> list[list[int]]:
        """The indices with as many columns for each image: where it has fewer, its last again."""
        return [row + row[-1:] * (self.columns - len(row)) for row in self.indices]

    def cut(self, columns: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What is there for each column, (N, T, ...), without columns that an image lacks."""
        if not self.ragged:
            return columns
        return tuple(one[: len(row)] for one, row in zip(columns, self.indices, strict=True))

    def blanked(self, scores: Tensor) -> Tensor:
        """(N, T, ...) with NaN in columns that an image lacks."""
        if not self.ragged:
            return scores
        lacking = [[t >= len(row) for t in range(self.columns)] for row in self.indices]
        where = torch.tensor(lacking, device=scores.device)
        return scores.masked_fill(where[(...,) + (None,) * (scores.ndim - 2)], float("nan"))

    def about(self, logits: Tensor | None) -> dict[str, Any]:
        """What a record holds of the output; of targets that are functions, too."""
        about = (self.output.seen(logits) if self._functions() else self.output).about()
        other = any(set(row) - {"predicted"} for row in self.regions)
        return about | ({"regions": self.regions} if other else {})

    def warn_of_probabilities(self, logits: Tensor | None, net: nn.Module, inputs: Inputs) -> None:
        """Warn where what should be logits are probabilities."""
        if logits is not None and not self._functions():
            output = self.output
            output.warn_of_probabilities(logits, lambda: output.with_graph(net, inputs))

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
        wide = self._read(output)
        return sum(_part(wide[:, term.index], term) for term in aim)  # type: ignore[return-value]

    def probabilities(self, output: Any, image: int) -> Tensor | None:
        """(M, T) of one image's targets, from the output for M variants; None where it has none."""
        if not self.has_probability(image):
            return None
        found = self.output.probabilities(self.output.logits(output))
        return None if found is None else found[:, self.table[image]]

    def has_probability(self, image: int) -> bool:
        """Whether :meth:`probabilities` gives some."""
        single = -1 not in self.table[image] and not self._functions()
        return single and self.output.kind in ("classes", "labels", "logit")

    def _read(self, output: Any) -> Tensor:
        """(M, T) or (M, T, H, W) scores of everything that the output speaks for."""
        return self.output.scores(self.output.logits(output))

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
        return [row[: len(own)] for row, own in zip(rows, self.indices, strict=True)]

    def _column(self, output: Any, column: int) -> Tensor:
        aims = [row[column] for row in self._aims]
        first = aims[0]
        if callable(first):
            return self._called(first, output, self.count)
        wide = self._read(output)
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
        logits = self.output.logits(output).detach()
        self.output = self.output.seen(logits)
        scores = self._scored(logits)
        self.classes = scores.shape[1]
        rows = rows_of(self.given, self.count, self.output, scores)
        self.regions = [[_region(each) for each in row] for row in rows]
        aims = [[self._aim(each, scores, image) for each in row] for image, row in enumerate(rows)]
        self.names = [
            [self._title(*pair) for pair in zip(*both, strict=True)]
            for both in zip(rows, aims, strict=True)
        ]
        self.indices = [[_single(aim) for aim in row] for row in aims]
        most = max(map(len, aims))
        self._aims = [[*row, *row[-1:] * (most - len(row))] for row in aims]

    def _scored(self, logits: Tensor) -> Tensor:
        """(N, T) or (N, T, H, W).

        Raises:
            ValueError: an output that has no targets.
        """
        right = "Pass a function (output) -> (N,) as the target."
        if self.output.kind == "none":
            raise ValueError(
                f"{caller()}: features, as the preset says of the output, have no classes; a "
                f"target of your own would be right. {right}"
            )
        scores = self.output.scores(logits)
        if scores.ndim not in (2, 4) and self.output.kind != "map":
            raise ValueError(
                f"{caller()}: the network gives {tuple(logits.shape)}; (N, C) logits would be "
                f"right for class targets. {right}"
            )
        return scores

    def _functions(self) -> list[Function]:
        if callable(self.given):
            return [self.given]
        if isinstance(self.given, list | tuple) and self.given and all(map(callable, self.given)):
            return list(self.given)
        return []

    def _aim(self, given: Target, scores: Tensor, image: int) -> tuple[Term, ...]:
        terms = []
        for which, weight, region in given.terms:
            index = self._index(which, scores.shape[1])
            mask = region_of(region, scores, image, index, self.output.name(index))
            terms.append(Term(index, weight, mask))
        return tuple(terms)

    def _index(self, which: int | str, outputs: int) -> int:
        if isinstance(which, str):
            return index_of(which, self.output.names)
        if 0 <= which < outputs:
            return which
        if self.output.kind == UNSAID:
            raise ValueError(
                f"{caller()}: target {which} of one output whose meaning nobody said; 0, the "
                f"output itself, would be right, or a preset that says it: {HOW_TO_SAY}."
            )
        raise ValueError(
            f"{caller()}: target {which} with {outputs} classes; 0 to {outputs - 1} would be right."
        )

    def _title(self, given: Target, aim: tuple[Term, ...]) -> str:
        """As ``"sky"`` where it is predicted, ``"sky (all)"``, ``"sky (mask of 64)"``."""
        named = []
        for (_, _, region), term in zip(given.terms, aim, strict=True):
            name = self.output.name(term.index)
            if region is not None and not isinstance(region, str) and term.mask is not None:
                name += f" (mask of {int(term.mask.sum())})"
            elif isinstance(region, str) and region != "predicted":
                name += f" ({region})"
            named.append((name, term.weight))
        return spelled(named)

    # ---- contrast
    def references(self, asked: int | None) -> int:
        """How many classes another is compared with: None is three, or all others if fewer."""
        return min(_REFERENCES, self.classes - 1) if asked is None else asked

    def contrasted(self, output: Any, gamma: float, references: int | None) -> Targets:
        """The same targets, each less `gamma` times the mean of its `references` closest classes.

        Closest by logit: Zhang et al. 2025 (Finer-CAM, arXiv 2501.11309), y_c - gamma mean_d y_d.
        None: three, as there, or all other classes where there are fewer.

        Raises:
            ValueError: a target that is not one class, or fewer classes than that.
        """
        logits = None if self._functions() else self._read(output).detach()
        if logits is None or logits.ndim != 2 or any(-1 in row for row in self.indices):
            raise ValueError(
                f"{caller()}: finer_cam compares a class with others; targets that are one "
                "class each, of a classifier, would be right."
            )
        if logits.shape[1] == 1:
            raise ValueError(
                f"{caller()}: finer_cam compares a class with others, and the network has one "
                "output; grad_cam would be right."
            )
        references = self.references(references)
        whole("references of finer_cam", references, least=1, most=logits.shape[1] - 1)
        new = Targets(self.given, self.count, self.output)
        new.indices, new.names = self.indices, self.names
        for image, row in enumerate(self.table):
            aims: list[tuple[Term, ...] | Function] = []
            for index in row:
                apart = (logits[image] - logits[image, index]).abs()
                apart[index] = float("inf")
                others = apart.argsort(stable=True)[:references].tolist()
                against = tuple(Term(other, -gamma / references) for other in others)
                aims.append((Term(index, 1.0), *against))
            new._aims.append(aims)
        return new


def _region(given: Target) -> str:
    """Which positions count: "mask" too where they differ between the terms."""
    kinds = {
        "predicted" if where is None else where if isinstance(where, str) else "mask"
        for _, _, where in given.terms
    }
    return kinds.pop() if len(kinds) == 1 else "mask"


def _single(aim: tuple[Term, ...] | Function) -> int:
    one = not callable(aim) and len(aim) == 1 and aim[0].weight == 1
    return aim[0].index if one and not callable(aim) else -1


def _part(scores: Tensor, term: Term) -> Tensor:
    """(M,) from (M,) or (M, H, W)."""
    if term.mask is not None:
        scores = (scores * term.mask).flatten(1).sum(1)
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
