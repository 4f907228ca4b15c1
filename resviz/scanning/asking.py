"""What a scan is to do, decided before its first image: the plan, and how batches are run."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from resviz.arguments import caller, choices, whole
from resviz.errors import warn
from resviz.given import Inputs
from resviz.networks.anatomy.survey import Survey
from resviz.networks.inputs import check_differentiable, check_images
from resviz.networks.outputs import output_of
from resviz.preset import Preset
from resviz.scanning.batch import Ints
from resviz.scanning.labels import classes_of
from resviz.scanning.measures.embedding import scrambled
from resviz.scanning.measures.registry import MEASURES
from resviz.scanning.plan import Plan
from resviz.scanning.runner import Settings
from resviz.scanning.sites import choose_sites
from resviz.scanning.sources import Source, Stream
from resviz.scanning.sums import key_of

_BATCH, _BYTES = 128, 2**26  # images at most; bytes of the largest activation
_FIRST = 100  # images that are tried, to know what to expect
_AMP = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Prepared:
    """What is known before the first image.

    Attributes:
        plan: layers, measures, classes.
        source: with labels as the plan counts them.
        first: one image as the network takes it.
        batch: how many images at a time where the caller does not say.
    """

    plan: Plan
    source: Source
    first: Inputs
    batch: int


def prepare(
    net: nn.Module,
    source: Source,
    preset: Preset | None,
    measures: str | Iterable[str] | None,
    layers: str | Iterable[str] | None,
    sample: int,
    **limits: Any,
) -> Prepared:
    """The plan of a scan, from a pass over its first image.

    Raises:
        TypeError, ValueError: no such measure or layer, or a first image that does not fit.
    """
    chosen = read_measures(measures)
    if "gradients" in chosen:
        check_differentiable(net, "leave out the measure 'gradients'")
    image, label = first_image(source)
    if label < 0:  # the first one has none, others may
        label = _any_label(source)
    first = check_images(net, image[None])
    sites, seen = choose_sites(net, first, layers)
    output = output_of(preset, first).tensor_or_none(seen.output)
    kind = "none" if output is None else output_of(preset, first).seen(output).kind
    counted = {"classes": 0 if output is None or output.ndim < 2 else output.shape[1], "logit": 2}
    outputs = _output_names(preset, counted.get(kind, 0))
    named = preset is not None and outputs == preset.classes
    source, classes, judged = _classes(source, outputs, label, named)
    if judged and not named:
        outputs = classes
    by = "label" if label >= 0 and classes else "prediction" if outputs else ""
    plan = Plan(
        sites=tuple(sites),
        measures=tuple(chosen),
        additions=_additions(seen) if "residuals" in chosen else (),
        classes=classes if by == "label" else outputs,
        by=by,
        judged=judged and by == "label",
        outputs=outputs,
        sampled=_sampled(source, sample, limits["seed"]) if "faithfulness" in chosen else (),
        **limits,
    )
    return Prepared(plan, source, first, _batch_size(seen))


def read_measures(measures: str | Iterable[str] | None) -> list[str]:
    """Those asked for, in the order of the registry; None: the default ones, "all": all."""
    if measures is None:
        return [name for name, row in MEASURES.items() if row.default]
    if measures == "all":
        return list(MEASURES)
    named: Any = measures
    asked = set(choices("measure", named, list(MEASURES)))
    return [name for name in MEASURES if name in asked]


def first_image(source: Source) -> tuple[torch.Tensor, int]:
    """(input, label) of the data set's first image that can be read, whatever part is scanned.

    So all parts of a data set have one plan, and can be merged.

    Raises:
        ValueError: none of the first ones can.
    """
    if isinstance(source, Stream):
        return source.item(0)
    chosen = source.positions()[:_FIRST].tolist()
    tried = dict.fromkeys([*range(min(source.count, _FIRST)), *chosen])
    error: Exception | None = None
    for position in tried:
        try:
            return source.item(position)
        except Exception as err:  # noqa: BLE001  # a user's data set may raise anything
            error = error or err
    raise ValueError(
        f"{caller()}: not one of {len(tried)} images can be read ({error}); images or "
        "tensors would be right."
    ) from error


def _any_label(source: Source) -> int:
    """Of an image that has one; -1: none that is known or, where classes have names, read soon."""
    known = _known_labels(source)
    if len(known) or not source.classes or isinstance(source, Stream):
        return int(known.max(initial=-1)) if (known < 0).any() else -1
    for position in range(min(source.count, _FIRST)):
        with suppress(Exception):  # a user's data set may raise anything
            label = source.item(position)[1]
            if label >= 0:
                return label
    return -1


def _sampled(source: Source, sample: int, seed: int) -> tuple[int, ...]:
    """Of a Subset, or all images, whichever part of them is scanned; of a stream the first."""
    if isinstance(source, Stream):
        return tuple(range(sample))
    images = source.drawn()
    order = np.argsort(scrambled(images, seed), kind="stable")[:sample]
    chosen = np.sort(images[order])
    if not np.isin(chosen, source.positions()).any():
        warn(
            f"{caller()}: no image of only= is among the {len(chosen)} of {len(images)} that "
            f"faithfulness is measured on, {chosen[0]} for example; the parts that have them, a "
            "larger sample=, or a Subset in place of only= would be right."
        )
    return tuple(chosen.tolist())


def _additions(seen: Survey) -> tuple[tuple[str, str, str, int], ...]:
    return tuple((key_of(a), a.owner, a.kind, a.depth) for a in seen.additions if a.residual)


def _output_names(preset: Preset | None, count: int) -> tuple[str, ...]:
    names = preset.classes if preset is not None else ()
    return names if len(names) == count else tuple(f"class {n}" for n in range(count))


def _classes(
    source: Source, outputs: tuple[str, ...], label: int, named: bool
) -> tuple[Source, tuple[str, ...], bool]:
    """The source with labels as they are counted, their names, and whether they can be right.

    They can where labels are numbers of outputs, or names of them; where outputs have no names,
    also where there are as many names of labels.
    """
    if label < 0:
        # one that comes later has no name here, least of all that of an output
        nothing = np.empty(0, np.int64) if source.classes else source.renumbered
        return dataclasses.replace(source, renumbered=nothing), (), False
    if source.classes and source.classes == outputs:
        return source, outputs, True
    if not source.classes:
        count = _known_labels(source, floats=2).max(initial=-1) + 1
        return source, outputs or tuple(f"class {n}" for n in range(count)), bool(outputs)
    if not named:
        judged = len(source.classes) == len(outputs)
        return source, source.classes, judged
    found = _places(source.classes, outputs)
    if min(found) >= 0:
        return dataclasses.replace(source, renumbered=np.array(found)), outputs, True
    missing = source.classes[found.index(-1)]
    warn(
        f"{caller()}: labels have names that are none of the network's classes, or of several, "
        f"{missing!r} among them, so that accuracy is not counted; the same names would be right. "
        "Labels without names are taken for numbers of classes."
    )
    return source, source.classes, False


def _places(names: tuple[str, ...], outputs: tuple[str, ...]) -> list[int]:
    """Of each name among the outputs, by its exact spelling first; -1: none, or not one alone."""
    found = [-1] * len(names)
    for spelt in (str, _plain):
        taken = set(found)
        left = [n for n, place in enumerate(found) if place < 0]
        free = {n: spelt(name) for n, name in enumerate(outputs) if n not in taken}
        here, there = Counter(spelt(names[n]) for n in left), Counter(free.values())
        at = {name: n for n, name in free.items()}
        for n in left:
            name = spelt(names[n])
            if here[name] == 1 == there[name]:
                found[n] = at[name]
    return found if len(names) != len(outputs) else _in_order(found, names, outputs)


def _in_order(found: list[int], names: tuple[str, ...], outputs: tuple[str, ...]) -> list[int]:
    """With names that several classes have, where all others stand in the order of the outputs.

    ImageNet has two cranes, one of which torchvision calls "crane bird".
    """
    several = Counter(map(_plain, names))
    same = [
        several[_plain(name)] > 1 and _plain(output).startswith(_plain(name))
        for name, output in zip(names, outputs, strict=True)
    ]
    filled = [n if place < 0 and same[n] else place for n, place in enumerate(found)]
    return filled if all(place in (n, -1) for n, place in enumerate(found)) else found


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()


def _known_labels(source: Source, floats: int = 2**31) -> Ints:
    """The labels of all images, where they can be had without reading images."""
    given = source.labels if source.labels is not None else getattr(source.items, "targets", None)
    return np.empty(0, np.int64) if given is None else classes_of(given, source.count, floats)


def _batch_size(seen: Survey) -> int:
    """As many images as keep the largest activation small."""
    largest = max((4 * math.prod(shape) for shape in seen.table["shape"]), default=1)
    return int(2 ** math.floor(math.log2(min(max(_BYTES / largest, 1), _BATCH))))


def read_settings(
    net: nn.Module,
    first: Inputs,
    batch: int,
    amp: object,
    channels_last: object,
    on_error: str,
) -> Settings:
    """How batches are run.

    Raises:
        TypeError, ValueError: settings that make no sense.
    """
    parameter = next(net.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    dtype: torch.dtype | None = None
    if amp is not None and amp is not False:
        name = "bfloat16" if amp is True else str(amp).removeprefix("torch.")
        if name not in _AMP:
            raise ValueError(f"{caller()}: amp {amp!r}; True, 'bfloat16', 'float16' or None.")
        dtype = _AMP[name]
    if channels_last not in (None, True, False):
        raise TypeError(f"{caller()}: channels_last {channels_last!r}; True, False or None.")
    last = bool(channels_last) if channels_last is not None else device.type == "cuda"
    size = whole("batch_size", batch, least=1)
    shape = tuple(first[first.main].shape[1:])
    return Settings(device, size, dtype, last, on_error == "raise", shape)
