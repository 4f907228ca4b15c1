"""Why a map is blank or not to be trusted, in words, from what was measured with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resviz.attribution.engine import Captured
from resviz.attribution.layer import INPUT, PIXELS, key_of
from resviz.attribution.methods.registry import METHODS
from resviz.attribution.norms import Norms
from resviz.attribution.targets import Targets
from resviz.networks.outputs import HOW_TO_SAY, UNSAID, Output, noun_of

COLUMNS = (
    *("layer", "image", "target", "dead_channels", "activation_norm", "gradient_norm"),
    *("effect_bound", "output_gradient", "top_probability", "rounding"),
)
_DEAD = 0.95  # of the channels
_SURE, _FLAT = 0.999, 1e-3


def evidence(seen: Captured, norms: Norms, aims: Targets) -> dict[str, list[Any]]:
    """What :func:`findings` look at, as columns with a row per layer, image and target.

    dead_channels: share of channels that are 0 at every position. activation_norm, gradient_norm:
    L2, class tokens too. effect_bound: their product, which no first-order effect of the layer on
    the score exceeds. output_gradient: largest gradient of the score at the network's output.
    top_probability: the largest, of outputs that have probabilities. rounding: what rounding the
    logits and the score itself does to the score.
    """
    columns, probability = aims.columns, _top(seen.logits, aims.output)
    eps, size_of_output = _precision(seen.logits)
    columns_of: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    nothing = (seen.scores.new_full((len(seen.scores),), float("nan")),) * 2
    for layer in seen.activations or [PIXELS]:  # the pixels, where no layer was asked for
        known = layer in seen.activations
        dead, size = (_dead(norms.activations(layer)), norms.output(layer)) if known else nothing
        felt = bool(seen.gradients.get(layer))
        for column in range(columns):
            slope = norms.gradient(layer, column) if felt else torch.full_like(size, float("nan"))
            out = _largest(seen.output_gradients, column, len(size))
            score = seen.scores[:, column].abs().tolist()
            table = torch.stack([dead, size, slope, size * slope], 1).cpu().tolist()
            for image, measured in enumerate(table):
                if column >= len(aims.indices[image]):
                    continue
                sized = bool(size_of_output) and out[image] == out[image]
                moved = out[image] * size_of_output[image] if sized else 0.0
                sure = probability[image] if probability else float("nan")
                row = [key_of(layer), image, column, *measured, out[image], sure]
                for name, value in zip(COLUMNS, [*row, eps * (score[image] + moved)], strict=True):
                    columns_of[name].append(value)
    return columns_of


def _dead(channels: Tensor) -> Tensor:
    """(N,) share of dead channels, from norms (N, C)."""
    return (channels == 0).float().mean(1)


def _top(logits: Tensor | None, output: Output) -> list[float]:
    if logits is None or logits.ndim > 2:
        return []
    found = output.seen(logits).probabilities(logits)
    return [] if found is None else found.amax(1).cpu().tolist()


def _precision(logits: Tensor | None) -> tuple[float, list[float]]:
    """(machine epsilon, largest logit of each image); none where logits are no (N, C)."""
    if logits is not None and logits.ndim in (1, 2) and logits.is_floating_point():
        sizes = logits.float().abs().reshape(len(logits), -1).amax(1)
        return torch.finfo(logits.dtype).eps, sizes.cpu().tolist()
    return torch.finfo(torch.float32).eps, []


def _largest(gradients: Sequence[Tensor | None], column: int, count: int) -> list[float]:
    known = gradients[column] if column < len(gradients) else None
    if known is None:
        return [float("nan")] * count
    return known.float().reshape(count, -1).abs().amax(1).cpu().tolist()


class Finding(NamedTuple):
    """One reason why one map is blank or not to be trusted."""

    method: str
    layer: str
    image: int
    column: int
    cause: str
    words: str


def findings(
    maps: Mapping[tuple[str, str], Tensor | Sequence[Tensor]],
    table: Mapping[str, Sequence[Any]],
    about: Mapping[str, Any],
) -> Iterator[Finding]:
    """Every reason there is, map by map; none for maps without such a fault.

    Args:
        maps: as in an Explanation.
        table: its evidence.
        about: its provenance.
    """
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    known: dict[tuple[str, int, int], Mapping[Any, Any]] = {
        (row["layer"], row["image"], row["target"]): row for row in rows
    }
    for (method, layer), values in maps.items():
        for image, several in enumerate(values):
            for column, one in enumerate(several):
                row = known.get((layer, image, column)) or _of_any_layer(known, image, column)
                for cause, words in _causes(method, one, row, layer, about):
                    yield Finding(method, layer, image, column, cause, words)


def _of_any_layer(
    known: Mapping[tuple[str, int, int], Mapping[Any, Any]], image: int, column: int
) -> Mapping[Any, Any]:
    """What is the same for every layer: for maps over the input."""
    for (_, i, t), row in known.items():
        if (i, t) == (image, column):
            nan = float("nan")
            return {**row, "dead_channels": nan, "gradient_norm": nan, "effect_bound": nan}
    return {}


def _causes(
    method: str, values: Tensor, row: Mapping[Any, Any], layer: str, about: Mapping[str, Any]
) -> Iterable[tuple[str, str]]:
    if about.get("untrained"):
        yield (
            "untrained weights",
            "the network's weights are as initialised; the map shows the architecture, not what "
            "was learned.",
        )
    if about.get("output") == UNSAID:
        yield (
            "unsaid output",
            "nobody said what the network's one output means; the map speaks for a larger output, "
            f"whatever that is. Say it: {HOW_TO_SAY}.",
        )
    for each in about.get("explained", ()):
        if each["layer"] == layer and not each.get("axes_said", True):
            yield "axes by shape", by_shape(each)
    alone = layer in about.get("by_class_tokens", ())
    if alone:
        yield (
            "no gradient",
            f"the score reads the class token of {layer} alone: at the positions of the map the "
            "gradient is exactly 0. An earlier layer, or layers='auto', has a map.",
        )
    yield from _of_score(row, layer)
    dead, slope = row.get("dead_channels", 0.0), row.get("gradient_norm", float("nan"))
    if dead == 1:
        yield "dead channels", f"every activation of {layer} is 0: its channels are dead here."
    elif dead > _DEAD:
        yield (
            "dead channels",
            f"{dead:.0%} of the channels of {layer} are 0 everywhere on this image; the map rests "
            "on the few others.",
        )
    elif not bool(values.any()) and slope != 0 and not alone:
        yield _nothing(method, layer, about)


def by_shape(explained: Mapping[str, Any]) -> str:
    """What is said of a tensor whose axes no layer told apart."""
    return (
        f"its axes are read as {explained['read_as']}, as no layer says which is which; pass "
        "reshape= if the map lies elsewhere than it should."
    )


def _of_score(row: Mapping[Any, Any], layer: str) -> Iterator[tuple[str, str]]:
    """Why the score does not feel the layer."""
    dead, slope = row.get("dead_channels", 0.0), row.get("gradient_norm", float("nan"))
    if row.get("output_gradient", 1.0) < _FLAT and row.get("top_probability", 0.0) > _SURE:
        yield (
            "saturated softmax",
            f"the score hardly depends on the logits (largest gradient "
            f"{row['output_gradient']:.1g}) at a probability of {row['top_probability']:.6f}; "
            "explain the logit instead: targets by class index or name.",
        )
    elif slope == 0:
        yield "no gradient", f"the score does not depend on {layer}: its gradient is exactly 0."
    elif dead < 1 and row.get("effect_bound", 1.0) < row.get("rounding", 0.0):
        yield (
            "gradient at rounding level",
            f"gradient times activation at {layer} is at most {row['effect_bound']:.1g}, less than "
            f"what rounding does to the score ({row['rounding']:.1g}); try float64.",
        )


def _nothing(method: str, layer: str, about: Mapping[str, Any]) -> tuple[str, str]:
    """Why a map is 0 everywhere though the score feels the layer."""
    if layer == INPUT:
        return "no gradient", "the score does not change with the pixels, as this method asks."
    noun = noun_of(str(about.get("output")))
    words = f"no position speaks for this {noun}, only against it"
    if method in METHODS and METHODS[method].positive:
        return "no positive evidence", (
            f"{words}: positive gradients alone count here, and what they weigh is not positive."
        )
    hint = "; relu=False shows that" if about.get("relu", True) else ""
    return "no positive evidence", f"{words}{hint}."
