"""What `faithfulness` was asked for, checked: settings, the explanation, its targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import Progress, caller, choice, number, whole
from resviz.arguments import seed as check_seed
from resviz.attribution.about import read_input
from resviz.attribution.explanation import Explanation
from resviz.attribution.places import is_tokens, size_of
from resviz.attribution.scoring import Scorer
from resviz.attribution.subject import token_of
from resviz.attribution.target import Target, target
from resviz.attribution.targets import Targets
from resviz.attribution.trust.removal import averaged, per_channel, ranks_of
from resviz.attribution.trust.rivals import LEAST, NULLS
from resviz.errors import closest
from resviz.given import Inputs
from resviz.hooks import left_as_found
from resviz.networks.first_call import checked
from resviz.networks.outputs import output_of
from resviz.preset import Preset
from resviz.provenance import displayed

CHECKS = ("deletion", "insertion", "road", "drop", "randomisation")
_OF_NUMBERS = ("road", "drop")  # they mix values of neighbours or scale them: no ids can
STEPS = 28
_FILLS = ("mean", "blur")
_ALIKE = 0.05  # of the largest score: another device, dtype or kernel; not another network


@dataclass(frozen=True)
class Settings:
    """Checked; see :func:`resviz.faithfulness`."""

    checks: tuple[str, ...]
    steps: int
    baseline: Any
    reveal: Any
    percentages: tuple[float, ...]
    draws: int
    rivals: int
    null: str
    seed: int
    segments: int | None = None

    @classmethod
    def read(
        cls,
        checks: str | Sequence[str] | None,
        images: Tensor,
        steps: int,
        baseline: Any,
        reveal: Any,
        percentages: Sequence[float],
        draws: int,
        rivals: int,
        null: str,
        seed: int,
        chunk: int | None,
        segments: int | None = None,
    ) -> Settings:
        """Settings, or an error that says what is wrong with them."""
        pixels = math.prod(size_of(images))
        if images.ndim != 4 and steps == STEPS:
            steps = min(steps, pixels)  # a sentence may be shorter
        steps = whole("steps", steps, least=1, most=pixels)
        steps = _read_segments(segments, images) or steps
        whole("draws", draws, least=2)
        whole("rivals", rivals, least=LEAST)
        choice("null", null, NULLS)
        check_seed(seed)
        if chunk is not None:
            whole("chunk", chunk, least=1)
        for name, kind in (("baseline", baseline), ("reveal", reveal)):
            _check_fill(name, kind, images)
        chosen = _read_checks(checks, images)
        shares = _check_percentages(percentages, pixels if "road" in chosen else 100)
        return cls(chosen, steps, baseline, reveal, shares, draws, rivals, null, seed, segments)

    def stated(self, scorer: Scorer) -> Settings:
        """With the id of the token that takes the place of others, where the input is tokens.

        "mean" and "blur", which ids do not have, are the embedding's padding, or id 0.
        """
        if not is_tokens(scorer.inputs):
            return self
        given = [None if isinstance(k, str) else k for k in (self.baseline, self.reveal)]
        baseline, reveal = (token_of(scorer, 0, each) for each in given)
        return replace(self, baseline=baseline, reveal=reveal)

    def ranks(self, values: Tensor) -> Tensor:
        """The place of each position in the order; whole segments where they were asked for."""
        return ranks_of(values if self.segments is None else averaged(values, self.segments))

    def record(self) -> dict[str, Any]:
        """What JSON can hold of them."""
        kinds = {"baseline": self.baseline, "reveal": self.reveal}
        told = {
            name: f"tensor {tuple(kind.shape)}" if isinstance(kind, Tensor) else kind
            for name, kind in kinds.items()
        }
        return {
            "checks": list(self.checks),
            "steps": self.steps,
            **told,
            "percentages": list(self.percentages),
            "draws": self.draws,
            "rivals": self.rivals,
            "null": self.null,
            "seed": self.seed,
            "segments": self.segments,
        }


def _read_segments(segments: int | None, images: Tensor) -> int | None:
    if segments is None:
        return None
    size = size_of(images)
    if len(size) != 1:
        raise ValueError(
            f"{caller()}: segments={segments!r} of inputs {tuple(images.shape)}; signals (N, C, L) "
            "or tokens (N, T), which have an order, would be right. Leave segments out."
        )
    return whole("segments", segments, least=2, most=size[0])


def _read_checks(checks: str | Sequence[str] | None, images: Tensor) -> tuple[str, ...]:
    without = _OF_NUMBERS if is_tokens(images) else ()
    if checks is None:
        return tuple(name for name in CHECKS if name not in without)
    chosen = [checks] if isinstance(checks, str) else list(checks)
    for name in chosen:
        if name not in CHECKS:
            raise ValueError(
                f"{caller()}: no check {name!r}; closest: {closest(str(name), CHECKS)}. There "
                f"are {', '.join(CHECKS)}."
            )
        if name in without:
            raise ValueError(
                f"{caller()}: check {name!r} of tokens {tuple(images.shape)}, whose numbers are "
                "ids; signals or pictures would be right. Of tokens there are deletion, insertion "
                "and randomisation."
            )
    return tuple(name for name in CHECKS if name in chosen)


def _check_fill(name: str, kind: Any, images: Tensor) -> None:
    shape = tuple(images.shape)
    if isinstance(kind, str):
        if kind not in _FILLS:
            near = closest(kind, _FILLS, n=1)
            raise ValueError(
                f"{caller()}: {name}={kind!r}; closest: {near}. Or a number, or a tensor."
            )
    elif is_tokens(images):
        whole(f"{name}, the id of a token,", kind, least=0)
    elif isinstance(kind, Tensor):
        one = per_channel(kind, images)
        try:
            one.expand(shape)
        except RuntimeError as err:
            raise ValueError(
                f"{caller()}: {name} of shape {tuple(kind.shape)} for images {shape}; "
                f"({shape[1]},), {shape[1:]} or {shape} would be right."
            ) from err
        if not bool(kind.isfinite().all()):
            raise ValueError(f"{caller()}: {name} holds NaN or infinity; finite values.")
    elif isinstance(kind, bool) or not isinstance(kind, int | float) or not math.isfinite(kind):
        raise TypeError(
            f"{caller()}: {name}={kind!r}; 'mean', 'blur', a finite number or a tensor."
        )


def _check_percentages(percentages: Sequence[float], pixels: int) -> tuple[float, ...]:
    given = list(percentages)
    if not given:
        raise ValueError(f"{caller()}: no percentages; some between 0 and 100.")
    for share in given:
        number("percentage", share, above=0, most=100)
        if not 0 < round(pixels * share / 100) < pixels:
            raise ValueError(
                f"{caller()}: {share} percent of {pixels} pixels; a share that removes at least "
                "one and leaves at least one, which the others are filled from, would be right."
            )
    return tuple(given)


# ---- the explanation
def check_explanation(exp: object, inputs: Inputs) -> Inputs:
    """The inputs, with the one that the maps are about; raise where the images are others."""
    if not isinstance(exp, Explanation):
        raise TypeError(
            f"{caller()}: exp is a {type(exp).__name__}; an Explanation, as rv.explain gives, "
            "would be right."
        )
    inputs = _about(exp, inputs)
    images, axes = inputs.shape, len(size_of(inputs))
    if not 2 <= len(images) <= 5:
        raise ValueError(
            f"{caller()}: images of shape {images}; (N, C, H, W), signals (N, C, L), tokens (N, T) "
            "or video (N, C, T, H, W) would be right."
        )
    if not exp.maps:
        raise ValueError(f"{caller()}: an explanation without maps; at least one.")
    _check_shape(exp, inputs)
    for key, maps in exp.maps.items():
        if isinstance(maps, tuple):  # images with different numbers of targets
            for one, row in zip(maps, exp.targets, strict=True):
                _check_maps(key, one[None], 1, len(row), axes)
        else:
            _check_maps(key, maps, inputs.count, len(exp.targets[0]), axes)
    return inputs


def _check_shape(exp: Explanation, inputs: Inputs) -> None:
    """Raise ValueError for images of another shape or number than those explained."""
    images, size = inputs.shape, size_of(inputs)
    whole = tuple(exp.provenance.get("input_shape", images))
    if len(whole) != len(images):
        raise ValueError(
            f"{caller()}: images of shape {images} and an explanation of {whole}; the images that "
            "were explained would be right."
        )
    if inputs.count != len(exp.targets):
        raise ValueError(
            f"{caller()}: {inputs.count} images and an explanation of {len(exp.targets)}; the "
            "images that were explained would be right."
        )
    then = whole[-len(size) :]
    if then != size:
        what = "pixels" if len(images) == 4 else "positions"
        raise ValueError(
            f"{caller()}: images of {size} {what} and an explanation of {then}; the images that "
            "were explained would be right."
        )


def _about(exp: Explanation, inputs: Inputs) -> Inputs:
    """Of several inputs the one that every map is about.

    Raises:
        ValueError: maps of several, or an input that is not there.
    """
    names = {name for _, layer in exp.maps if (name := exp.input_of(layer)) is not None}
    if len(names) > 1:
        raise ValueError(
            f"{caller()}: maps about the inputs {', '.join(sorted(names))}; of one input would be "
            "right: rv.explain(..., input=...) for each."
        )
    return read_input(inputs, next(iter(names), None))


def _check_maps(key: tuple[str, str], maps: Any, count: int, columns: int, positions: int) -> None:
    where = f"the map {key!r}"
    if not isinstance(maps, Tensor):
        raise TypeError(f"{caller()}: {where} is a {type(maps).__name__}; a tensor.")
    fits = maps.ndim == 2 + positions and tuple(maps.shape[:2]) == (count, columns)
    right = fits and maps.numel() > 0
    if not right:
        raise ValueError(
            f"{caller()}: {where} has shape {tuple(maps.shape)}; ({count}, {columns}, "
            f"{', '.join(('l', 'hw', 'thw')[positions - 1])}), images and targets of the "
            "explanation, would be right."
        )
    if not maps.is_floating_point() or not bool(maps.isfinite().all()):
        raise ValueError(
            f"{caller()}: {where} holds NaN, infinity or no floating-point numbers; finite "
            "values would be right."
        )


def scorer_for(
    net: nn.Module,
    inputs: Inputs,
    exp: Explanation,
    targets: Any,
    preset: Preset | None,
    chunk: int | None,
    progress: Progress,
) -> Scorer:
    """A scorer of the explanation's targets, after one pass that the scores must agree with.

    Raises:
        ValueError: targets that must be given again, that are others than the explanation's, or
            scores that are others than the explanation's.
    """
    aims = _targets(exp, targets, inputs, preset)
    if exp.provenance.get("batch_stats", False):
        raise ValueError(
            f"{caller()}: an explanation with batch_stats=True; one on running statistics would be "
            "right, since what is removed from one image changes the statistics of all. Explain "
            "with batch_stats=False."
        )
    _check_pictures(exp, inputs, preset)
    with left_as_found(net):
        copies = inputs.copies()
        with checked(net, copies):
            returned = copies.run(net)
        now = aims.scores(returned).double().cpu()
    now = aims.blanked(now)
    aims.warn_of_probabilities(aims.output.tensor_or_none(returned), net, inputs)
    regions = exp.provenance.get("regions", aims.regions)
    if targets is not None and (aims.indices, aims.regions) != (exp.targets, regions):
        raise ValueError(
            f"{caller()}: targets {aims.names} and an explanation of {exp.target_names}; the "
            "targets that were explained would be right."
        )
    then = exp.scores.double().cpu()
    largest = float(then.abs().nan_to_num().max())
    apart = float((now - then).abs().nan_to_num().max()) if now.shape == then.shape else math.inf
    same = now.shape == then.shape and bool((now.isnan() == then.isnan()).all())
    if not same or not apart <= _ALIKE * max(largest, torch.finfo(torch.float32).tiny):
        raise ValueError(
            f"{caller()}: the scores are up to {apart:.3g} away from the explanation's (largest "
            f"{largest:.3g}); the network and the images that were explained would "
            "be right. rv.explain(net, images) explains these."
        )
    return Scorer(net, inputs, aims, chunk, progress)


def _check_pictures(exp: Explanation, inputs: Inputs, preset: Preset | None) -> None:
    """Raise ValueError for other images, as far as the explanation kept its own."""
    then, now = exp.pictures, displayed(inputs, preset)
    if exp.inputs is not None:
        then, now = exp.inputs, inputs.picture.detach().cpu()
    if then is None or now is None or then.shape != now.shape:
        return
    then, now = then.double().nan_to_num(), now.double().nan_to_num()
    apart = (then - now).flatten(1).norm(dim=1) > _ALIKE * then.flatten(1).norm(dim=1)
    if bool(apart.any()):
        raise ValueError(
            f"{caller()}: image {int(apart.int().argmax())} is not the one that was explained; the "
            "images of the explanation would be right. rv.explain(net, images) explains these."
        )


def _targets(exp: Explanation, targets: Any, inputs: Inputs, preset: Preset | None) -> Targets:
    given = _held(exp) if targets is None else targets
    return Targets(given, inputs.count, output_of(preset, inputs))


def _held(exp: Explanation) -> list[list[Target]]:
    """The targets as an explanation holds them.

    Raises:
        ValueError: a sum, a function or a mask, which it does not hold.
    """
    regions = exp.provenance.get("regions") or [[None] * len(row) for row in exp.targets]
    rows: list[list[Target]] = [[] for _ in exp.targets]
    for image, row in enumerate(exp.targets):
        for column, (index, region) in enumerate(zip(row, regions[image], strict=True)):
            if index == -1 or region == "mask":
                what = "no single class" if index == -1 else "about a mask"
                raise ValueError(
                    f"{caller()}: the target {exp.target_names[image][column]!r} is {what}, and an "
                    "explanation does not hold it; the same targets as explain got would be right: "
                    "faithfulness(net, images, exp, targets)."
                )
            rows[image].append(target(index, region=region))
    return rows
