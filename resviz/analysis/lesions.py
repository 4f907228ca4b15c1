"""`lesion_study`: what is lost when blocks are deleted or exchanged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.analysis.batches import batches_of, how_measured
from resviz.arguments import Progress, caller, public, whole
from resviz.attribution.explain import explain
from resviz.errors import closest
from resviz.given import Images, Inputs
from resviz.hooks import evaluating
from resviz.networks.anatomy.structure import inside
from resviz.networks.anatomy.survey import Survey, survey
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import WORDS, check_finite, output_of, widened
from resviz.networks.surgery.blocks import drop_blocks, shapes_of, swap_blocks
from resviz.progress import bar
from resviz.provenance import preset_or_none
from resviz.recording.targets import read_targets

_CAM_IMAGES = 8


@dataclass(frozen=True)
class _Lesion:
    """One thing done to the network: blocks deleted, or pairs of them exchanged."""

    what: str
    blocks: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    repeat: int = 0

    def applied(self, net: nn.Module, images: Inputs) -> AbstractContextManager[Any]:
        stack = ExitStack()
        try:
            for first, second in self.pairs:
                stack.enter_context(swap_blocks(net, first, second))
            if self.blocks and not self.pairs:
                stack.enter_context(drop_blocks(net, list(self.blocks), images=images))
        except BaseException:
            stack.close()
            raise
        return stack


@public
def lesion_study(
    net: nn.Module,
    images: Images,
    targets: Tensor | Sequence[int] | None = None,
    blocks: Sequence[str] | None = None,
    *,
    several: int | Sequence[int] = (),
    reorder: int | Sequence[int] = (),
    repeats: int = 5,
    cam: int | bool = False,
    batch_size: int = 64,
    seed: int = 0,
    data: str | None = None,
    progress: Progress = None,
) -> pd.DataFrame:
    """What each block is worth: the network without it, one block at a time.

    The lesion studies of Veit et al. 2016 (https://arxiv.org/abs/1605.06431, sections 4.1 to 4.3):
    delete one block, several, or exchange blocks of equal shapes, and look at the output. A block
    with a shortcut leaves the shortcut; a block of a plain network hands its input on, and where it
    changes the shape, every second position of it with zero channels (see
    :func:`resviz.drop_blocks`). Nothing is trained again.

    Args:
        net: any network, whatever its preset says its output means: (N,), (N, C), a map with
            output="map", or features of any shape with output="none".
        images: as the network wants them.
        targets: for the accuracy: (N,) class indices, or what else the output asks for (see
            :func:`resviz.record`); None: only how many predictions stay as they were.
        blocks: which blocks; None: all residual blocks, in a plain network all blocks, else all
            convolutions.
        several: how many blocks to delete at once, at random: ``(2, 4, 8)``.
        reorder: how many pairs to exchange, one after the other, at random, within blocks of equal
            shapes. None puts back what those before it moved: fewer would not give that order.
        repeats: random draws for each number in `several` and `reorder`.
        cam: also how the Grad-CAM at the last layer with positions changes, on the first 8 images
            (True) or as many as said.
        batch_size: images in one pass.
        seed: of the draws.
        data: name of the data set, for the figure.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A row per lesion, the first ("none") of the network as it is: ``lesion`` ("none", "single",
        "several", "reorder"), ``block`` (paths), ``count``, ``repeat``, ``kind`` of the block's
        shortcut ("plain" without), ``depth``, ``stage``, ``accuracy`` (percent of targets; of
        labels of all marks, of a map of all positions), ``standard_error`` of it (percent, binomial
        over images), ``unchanged`` (percent of predictions that stay), ``logit_change`` (norm of
        the change over norm of the output, whatever it means; of classes both without their mean
        over them; mean over images), ``cam_change`` (1 - cosine of the two maps, mean over images;
        NaN without `cam`). Of values and features nothing is predicted: accuracy and unchanged are
        NaN. Of values ``rmse`` is the root mean squared error and ``value_change`` the root mean
        squared change, both in their units. ``attrs`` say what the output means, in which units,
        and how it was measured.

    Raises:
        ValueError: no such block, no block at all, or more blocks to delete or pairs to exchange
            than there are; `cam` of an output that predicts no one thing; an output of a shape
            that nobody explained.
        TypeError, NotTraceable: as :func:`resviz.record`.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = lesion_study(cifar_resnet(8, seed=0), torch.randn(2, 3, 32, 32), [0, 1])
        >>> table["block"].tolist()
        ['', 'layer1.0', 'layer2.0', 'layer3.0']
    """
    check_hookable(net)
    inputs = check_images(net, images)
    slices = batches_of(inputs, batch_size)
    several, reorder = _counts("several", several), _counts("reorder", reorder)
    repeats, seed = whole("repeats", repeats, least=0), arguments.seed(seed)
    seen = survey(net, inputs)
    known = _blocks(seen, blocks)
    lesions = [_Lesion("none"), *(_Lesion("single", (path,)) for path in known)]
    lesions += _random(net, known, several, reorder, repeats, seed)
    study = _Study(net, inputs, slices, targets, _cam_images(cam))
    rows = study.rows(lesions, seen, progress)
    table = pd.DataFrame(rows)
    table.attrs.update(how_measured(net, inputs, data, batch_stats=False) | study.about())
    table.attrs["seeds"] = [seed] if several or reorder else []
    return table


class _Study:
    """The network as it is, and what differs from it under a lesion."""

    def __init__(
        self,
        net: nn.Module,
        inputs: Inputs,
        slices: Sequence[slice],
        targets: Tensor | Sequence[int] | None,
        cams: int,
    ) -> None:
        self._net, self._inputs, self._slices = net, inputs, slices
        self._cams = cams
        self._one = inputs.one()
        self._output = output_of(preset_or_none(net, None), inputs)
        self._own = check_finite(self._logits())
        self._output = self._output.seen(self._own)
        self._check()
        self._targets = None
        if targets is not None:
            self._targets = read_targets(targets, self._own, self._output)
        self._own_cam = self._cam()

    def rows(
        self, lesions: Sequence[_Lesion], seen: Survey, progress: Progress
    ) -> list[dict[str, Any]]:
        """What each lesion is, and what it does."""
        found = []
        with bar(len(lesions), "lesion study", progress) as shown:
            for lesion in lesions:
                found.append(_described(lesion, seen) | self.measure(lesion))
                shown.update(1)
        return found

    def about(self) -> dict[str, Any]:
        """What the output means."""
        return self._output.about()

    def measure(self, lesion: _Lesion) -> dict[str, float]:
        with lesion.applied(self._net, self._one):
            logits, cam = self._logits(), self._cam()
        said, own = self._said(logits), self._said(self._own)
        right, error = _NONE
        if said is not None and self._targets is not None:
            right, error = _share(torch.eq(said, self._targets))
        measured = {"accuracy": right, "standard_error": error}
        stays = math.nan if said is None or own is None else _share(torch.eq(said, own))[0]
        measured |= {"unchanged": stays}
        if self._output.kind == "values":
            measured |= {"rmse": self._rmse(logits)}
            measured |= {"value_change": float((logits - self._own).square().mean().sqrt())}
        now, before = self._free(logits).flatten(1), self._free(self._own).flatten(1)
        change = (now - before).norm(dim=1) / before.norm(dim=1)
        return measured | {"logit_change": float(change.mean()), "cam_change": self._turned(cam)}

    def _said(self, logits: Tensor) -> Tensor | None:
        """(N,) classes or sides, (N, C) labels, (N, H, W) of a map; None for what says no class.

        -1 where it is no number: NaN has an argmax, and is not above 0.
        """
        kind, finite = self._output.kind, logits.isfinite()
        if kind == "labels":
            return (logits > 0).long().masked_fill(~finite, -1)
        if kind == "map":
            said = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
        elif kind in ("classes", "logit"):
            said = self._output.predicted(self._output.scores(logits))
        else:
            return None
        return said.long().masked_fill(~finite.all(1), -1)

    def _free(self, logits: Tensor) -> Tensor:
        """The logits without what a softmax does not see: their mean over classes."""
        classes = self._output.kind == "map" and logits.shape[1] > 1
        if self._output.kind != "classes" and not classes:
            return logits
        return logits - logits.mean(1, keepdim=True)

    def _rmse(self, logits: Tensor) -> float:
        if self._targets is None:
            return math.nan
        return float((logits - self._targets).square().mean().sqrt())

    def _logits(self) -> Tensor:
        with evaluating(self._net):
            passes = [self._inputs.part(s).copies().run(self._net) for s in self._slices]
        logits = torch.cat([widened(self._output.logits(out)).cpu() for out in passes])
        return logits if logits.ndim > 1 else logits[:, None]

    def _check(self) -> None:
        """Raise ValueError for what cannot be measured of an output of this kind."""
        kind, shape = self._output.kind, tuple(self._own.shape)
        if len(shape) > 2 and kind not in ("map", "none"):
            raise ValueError(
                f"{caller()}: the network gives {shape}, and nobody said what that means; (N, C), "
                "or a preset that says it, would be right: rv.Preset(..., output='map') for a "
                "class at each position, 'none' for features."
            )
        one = kind in ("classes", "labels", "logit") or shape[1:] == (1,)
        if self._cams and (not one or kind in ("map", "none")):
            raise ValueError(
                f"{caller()}: cam={self._cams} of {WORDS[kind]} {shape}, which predict no one "
                "thing that a map could be of; cam=False would be right. rv.explain takes a target "
                "of your own, inside rv.drop_blocks."
            )

    def _cam(self) -> Tensor | None:
        """(n, h, w) Grad-CAM of the classes that the whole network predicts."""
        if not self._cams:
            return None
        some = self._inputs.part(slice(self._cams))
        predicted = self._output.predicted(self._output.scores(self._own[: self._cams])).tolist()
        made = explain(self._net, some, predicted, progress=False)
        maps = next(iter(made.maps.values()))
        return torch.stack([one[0] for one in maps]).flatten(1).double()

    def _turned(self, cam: Tensor | None) -> float:
        if cam is None or self._own_cam is None:
            return math.nan
        cosine = nn.functional.cosine_similarity(cam, self._own_cam, dim=1, eps=0.0)
        return float(1 - cosine.nanmean())


_NONE = (math.nan, math.nan)


def _share(hits: Tensor) -> tuple[float, float]:
    """Percent, and its standard error."""
    share = float(hits.double().mean())
    return 100 * share, 100 * math.sqrt(share * (1 - share) / len(hits))


# ---- which lesions
def _blocks(seen: Survey, blocks: Sequence[str] | None) -> list[str]:
    ran = list(dict.fromkeys(seen.table["layer"]))
    if blocks is not None:
        blocks = [blocks] if isinstance(blocks, str) else list(blocks)
        names = {a.name for a in seen.additions} | {a.owner for a in seen.additions} | set(ran)
        for path in blocks:
            if path not in names and not any(inside(a.name, str(path)) for a in seen.additions):
                raise ValueError(
                    f"{caller()}: no block {path!r}; closest: {closest(str(path), names)}."
                )
        return list(dict.fromkeys(blocks))
    residual = [a.owner or a.name for a in seen.additions]
    plain = seen.table[seen.table["kind"] == "block"]["layer"]
    weighted = seen.table[seen.table["type"].str.startswith("Conv")]["layer"]
    for found in (residual, plain, weighted):
        if len(found):
            return list(dict.fromkeys(found))
    raise ValueError(
        f"{caller()}: a network without blocks or convolutions; paths would be right. Pass "
        "blocks=[...]."
    )


def _random(
    net: nn.Module,
    blocks: list[str],
    several: Sequence[int],
    reorder: Sequence[int],
    repeats: int,
    seed: int,
) -> Iterator[_Lesion]:
    generator = np.random.default_rng(seed)
    for count in several:
        if not 1 <= count <= len(blocks):
            raise ValueError(f"{caller()}: several {count}; 1 to {len(blocks)} blocks.")
        for repeat in range(repeats):
            chosen = sorted(generator.choice(len(blocks), count, replace=False))
            yield _Lesion("several", tuple(blocks[i] for i in chosen), repeat=repeat)
    alike = _alike(net, blocks) if len(reorder) else []
    for count in reorder:
        if not alike:
            raise ValueError(f"{caller()}: reorder, but no two blocks have equal shapes.")
        for repeat in range(repeats):
            pairs = _exchanges(alike, count, generator)
            moved = tuple(dict.fromkeys(path for pair in pairs for path in pair))
            yield _Lesion("reorder", moved, pairs, repeat)


def _exchanges(
    alike: list[tuple[str, str]], count: int, generator: np.random.Generator
) -> tuple[tuple[str, str], ...]:
    """Pairs of which each joins two groups of blocks that were not exchanged with one another."""
    group = {path: {path} for pair in alike for path in pair}
    drawn: list[tuple[str, str]] = []
    for _ in range(count):
        left = [(one, other) for one, other in alike if group[one] is not group[other]]
        if not left:
            raise ValueError(
                f"{caller()}: reorder {count}; 1 to {len(drawn)} pairs of these blocks, as any "
                "more put one back."
            )
        one, other = left[generator.integers(len(left))]
        joined = group[one] | group[other]
        group |= dict.fromkeys(joined, joined)
        drawn.append((one, other))
    return tuple(drawn)


def _cam_images(cam: object) -> int:
    if isinstance(cam, bool):
        return _CAM_IMAGES if cam else 0
    return whole("cam", cam, least=0)


def _counts(name: str, value: object) -> list[int]:
    """How many blocks, as a list."""
    given = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    return [whole(name, count) for count in given]


def _alike(net: nn.Module, blocks: list[str]) -> list[tuple[str, str]]:
    """Pairs of blocks whose parameters have equal shapes."""
    modules = dict(net.named_modules())
    blocks = [path for path in blocks if path in modules]
    shapes = {path: shapes_of(modules[path]) for path in blocks}
    return [
        (one, other)
        for i, one in enumerate(blocks)
        for other in blocks[i + 1 :]
        if shapes[one] and shapes[one] == shapes[other]
    ]


def _described(lesion: _Lesion, seen: Survey) -> dict[str, Any]:
    count = len(lesion.pairs) if lesion.what == "reorder" else len(lesion.blocks)
    row: dict[str, Any] = {"lesion": lesion.what, "block": ", ".join(lesion.blocks)}
    row |= {"count": count, "repeat": lesion.repeat, "kind": "", "depth": math.nan, "stage": ""}
    if lesion.what != "single":
        return row
    path = lesion.blocks[0]
    additions = [a for a in seen.additions if path in (a.name, a.owner) or inside(a.name, path)]
    kinds = dict.fromkeys(a.kind for a in additions)
    rows = seen.table[seen.table["layer"] == (additions[0].owner if additions else path)]
    row["kind"] = ", ".join(kinds) or "plain"
    if additions:
        row["depth"] = additions[-1].depth
    elif len(rows):
        row["depth"] = int(rows["depth"].iloc[-1])
    if len(rows):
        row["stage"] = rows["stage"].iloc[-1]
    return row
