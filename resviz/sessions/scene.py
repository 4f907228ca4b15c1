"""`Scene`: one photograph, one class, some blocks switched off; recorded, then explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from resviz.analysis.logit_lens import lens_of
from resviz.errors import UnknownOutput, words_of
from resviz.networks.anatomy.additions import Addition
from resviz.networks.anatomy.survey import stage_ends
from resviz.networks.anatomy.telling import telling
from resviz.networks.inputs import check_images
from resviz.networks.outputs import output_of
from resviz.networks.predict import logits_for
from resviz.networks.surgery.blocks import blocks_dropped
from resviz.networks.surgery.copies import copied
from resviz.provenance import preset_or_none
from resviz.recording.recorder import record
from resviz.recording.said import said_by, said_of
from resviz.sessions.explaining import CALLER, altered, explained
from resviz.sessions.work import Work

KEEP = ("blocks", "additions")
FOREMOST = 5  # classes whose probability is followed along depth
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moment:
    """What is looked at.

    Attributes:
        image: number of the photograph.
        target: a class; None for the predicted one.
        off: blocks whose branches are taken away.
    """

    image: int
    target: int | None = None
    off: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """What was recorded of a moment.

    Attributes:
        rec: of this photograph alone, with block outputs and the parts of all additions.
        whole: the same of the network with all its blocks; `rec` itself where none is off.
        exp: every block explained; None as long as nobody asked for it.
        why: the reason why there is no explanation.
        lens: the table of :func:`logit_lens`; None where there is none.
        without: by block, what the network says (T,) when that block's branch is cut, too; empty
            as long as nobody asked for it.
    """

    moment: Moment
    rec: Any
    whole: Any
    exp: Any = None
    why: str = ""
    lens: Any = None
    without: Mapping[str, Floats | None] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the kept tensors."""
        return sum(t.numel() * t.element_size() for t in self.rec.tensors.values())


def keep_of(rec: Any) -> Sequence[str]:
    """What to keep of a network, by its first recording, so that there is a picture of it.

    Block outputs and additions; of a network without either (VGG, AlexNet) its stages' ends.
    """
    if len(rec.residuals) or (rec.layers["kind"] == "block").any():
        return KEEP
    return stage_ends(rec.layers) or KEEP  # named, so that no pass looks for them once more


def recorded(
    net: Any,
    images: Any,
    moment: Moment,
    preset: Any,
    known: Scene | None,
    whole: Any,
    keep: Sequence[str] = KEEP,
    additions: Sequence[Addition] = (),
) -> Scene:
    """One recorded pass; and one more of the whole network where blocks are off.

    Args:
        net: the network, as it was given.
        images: (1, 3, H, W), the photograph of the moment.
        moment: what is wanted.
        preset: names and scale of the pictures; None for the network's own.
        known: a scene of the same photograph and blocks: its tensors need not be kept again.
        whole: a recording of the whole network for the same photograph, where there is one.
        keep: what of it is kept.
        additions: of the network, where they are known.

    Raises:
        UnknownOutput: a network without a number that could be followed back through it.
    """
    targets = None if moment.target is None else [moment.target]
    if targets is None and preset is not None and preset.output == "values":
        targets = [0]  # nothing is predicted of values: the first
    loss = None if targets is None else "logit"  # what `record` takes without targets, too
    with altered(net, moment.off, images, additions):
        rec = _followed(net, images, targets, loss, keep if known is None else (), preset)
    if known is not None:
        rec = dataclasses.replace(rec, tensors=known.rec.tensors)
    if not moment.off:
        return Scene(moment, rec, rec)
    # without a block another class may be the predicted one: both lines are of that class
    same = targets or [foremost(rec)]
    if whole is None or not _is_of(whole, same[0]):
        whole = record(net, images, same, "logit", "activations", preset=preset)
    return Scene(moment, rec, whole)


def _followed(net: Any, images: Any, targets: Any, loss: Any, keep: Any, preset: Any) -> Any:
    """The recording, or the way out where there is nothing to differentiate.

    The gradients of the weights, a third of its time, are left out: nothing shows them.
    """
    try:
        rec = record(net, images, targets, loss, "activations", keep=keep, preset=preset)
        if len(rec.layers) and rec.layers["grad_norm"].isna().all():  # the images reach nothing
            rec = record(net, images, targets, loss, keep=keep, preset=preset)
        return rec
    except UnknownOutput as error:
        got = str(error.args[0]).partition(": ")[2].partition(";")[0]
        for end in (", and no part", " and no loss"):
            got = got.partition(end)[0]
        raise UnknownOutput(
            f"explore: {got}, and no number in it that could be followed back through the network; "
            "(N, C) logits, or a preset that says what the output means, would be right: "
            "rv.Preset(..., output=, logits=). Without one: rv.explore_feature_maps(rv.record(net, "
            "images, gradients=False, keep='blocks'))."
        ) from error


def _is_of(rec: Any, target: int) -> bool:
    """Whether it was recorded for this target of its one image."""
    return rec.targets is not None and rec.targets.ndim == 1 and int(rec.targets[0]) == target


def foremost(rec: Any) -> int:
    """The target that the network says above all others; of values the first."""
    said = said_by(rec)
    if said is None or said.kind == "values":
        return 0
    return int(said.ranked[0, 0])


def with_explanation(
    net: Any, images: Any, scene: Scene, preset: Any, additions: Sequence[Addition] = ()
) -> Scene:
    """The scene with its explanation: a forward and a backward pass; then what the head sees."""
    moment = scene.moment
    targets = [foremost(scene.rec) if moment.target is None else moment.target]
    with altered(net, moment.off, images, additions):
        scene = dataclasses.replace(scene, lens=_seen(net, images, targets[0], preset, scene.rec))
        try:
            exp = explained(net, images, targets, preset, scene.rec.layers, every_block=True)
        except (ValueError, TypeError, RuntimeError) as error:
            return dataclasses.replace(scene, why=words_of(error).removeprefix(f"{CALLER}: "))
    return dataclasses.replace(scene, exp=exp)


def _seen(net: Any, images: Any, target: int, preset: Any, rec: Any) -> Any:
    """How the prediction forms along depth; None where no head can be put on the blocks.

    Of the class that is meant, which comes first, and of those that are predicted above all.
    """
    said = said_by(rec)
    best = [] if said is None else said.ranked[0, :FOREMOST].tolist()
    try:
        return lens_of(net, images, [list(dict.fromkeys([target, *best]))], preset, rec)
    except (ValueError, TypeError, RuntimeError):
        return None


def without_each(
    net: Any,
    images: Any,
    scene: Scene,
    blocks: Sequence[str],
    preset: Any,
    additions: Sequence[Addition],
) -> Iterator[tuple[str, Floats | None]]:
    """What the network says when the branch of one more block is cut, block by block.

    Each is one forward pass of the network as the scene has it.

    Args:
        net: a network that may run here and now.
        images: (1, 3, H, W), the photograph of the scene.
        scene: what is shown.
        blocks: names; those that are off already are left out.
        preset: names and scale of the pictures; None for the network's own.
        additions: of the network.

    Yields:
        The block and (T,) numbers as :func:`said_by` has them; None where the network cannot run
        without it.
    """
    inputs, off = check_images(net, images), scene.moment.off
    output = output_of(preset_or_none(net, preset), inputs)
    for block in blocks:
        if block in off:
            continue
        try:
            with blocks_dropped(net, [*off, block], list(additions)):
                logits = logits_for(net, inputs, output)
            said = said_of(output.seen(logits), logits)
        except (ValueError, RuntimeError):
            said = None
        yield block, None if said is None else said.numbers[0].astype(np.float64)


class Watched:
    """A copy of a network whose layers tell a :class:`Work` that they begin.

    The copy is made where this is: before the thread starts, since a cell may use the original.

    Raises:
        ValueError: the network cannot be copied.
    """

    def __init__(self, net: Any) -> None:
        try:
            self.net = copied(net)
        except Exception as error:  # a network's own __deepcopy__ can raise anything
            raise ValueError(
                f"explore: this network cannot be copied ({error}); one that copy.deepcopy takes "
                "would be right, since other photographs, classes and blocks run on a copy."
            ) from error

    def telling(self, work: Work) -> AbstractContextManager[None]:
        """Every layer's call is counted, and the work ends there when it was given up."""
        return telling(self.net, work.tick)
