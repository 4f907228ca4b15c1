"""`Scene`: one photograph, one class, some blocks switched off; recorded, then explained."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resviz.errors import UnknownOutput
from resviz.hooks import Hooks
from resviz.networks.anatomy.structure import is_leaf
from resviz.recording.recorder import record
from resviz.views.said import said_by
from resviz.views.widgets.explanation import altered, explained
from resviz.views.widgets.working import Work

KEEP = ("blocks", "additions")


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
    """

    moment: Moment
    rec: Any
    whole: Any
    exp: Any = None
    why: str = ""

    @property
    def size(self) -> int:
        """Bytes of the kept tensors."""
        return sum(t.numel() * t.element_size() for t in self.rec.tensors.values())


def recorded(
    net: Any, images: Any, moment: Moment, preset: Any, known: Scene | None, whole: Any
) -> Scene:
    """One recorded pass; and one more of the whole network where blocks are off.

    Args:
        net: the network, as it was given.
        images: (1, 3, H, W), the photograph of the moment.
        moment: what is wanted.
        preset: names and scale of the pictures; None for the network's own.
        known: a scene of the same photograph and blocks: its tensors need not be kept again.
        whole: a recording of the whole network for the same photograph, where there is one.

    Raises:
        UnknownOutput: a network without a number that could be followed back through it.
    """
    targets = None if moment.target is None else [moment.target]
    if targets is None and preset is not None and preset.output == "values":
        targets = [0]  # nothing is predicted of values: the first
    loss = None if targets is None else "logit"  # what `record` takes without targets, too
    keep: Sequence[str] = KEEP if known is None else ()
    with altered(net, moment.off, images):
        rec = _followed(net, images, targets, loss, keep, preset)
    if known is not None:
        rec = dataclasses.replace(rec, tensors=known.rec.tensors)
    if not moment.off:
        return Scene(moment, rec, rec)
    # without a block another class may be the predicted one: both lines are of that class
    same = targets or [_foremost(rec)]
    if whole is None or not _is_of(whole, same[0]):
        whole = record(net, images, same, "logit", preset=preset)
    return Scene(moment, rec, whole)


def _followed(net: Any, images: Any, targets: Any, loss: Any, keep: Any, preset: Any) -> Any:
    """The recording, or the way out where there is nothing to differentiate."""
    try:
        return record(net, images, targets, loss, keep=keep, preset=preset)
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


def _foremost(rec: Any) -> int:
    """The target that the network says above all others; of values the first."""
    said = said_by(rec)
    if said is None or said.kind == "values":
        return 0
    return int(said.numbers[0].argmax())


def with_explanation(net: Any, images: Any, scene: Scene, preset: Any) -> Scene:
    """The scene with its explanation: one more forward pass, and one backward."""
    moment = scene.moment
    targets = [_foremost(scene.rec) if moment.target is None else moment.target]
    try:
        with altered(net, moment.off, images):
            exp = explained(net, images, targets, preset, scene.rec.layers)
    except (ValueError, TypeError, RuntimeError) as error:
        return dataclasses.replace(scene, why=str(error.args[0]))
    return dataclasses.replace(scene, exp=exp)


class Watched:
    """A copy of a network whose layers tell a :class:`Work` that they begin.

    The copy is made where this is: before the thread starts, since a cell may use the original.

    Raises:
        ValueError: the network cannot be copied.
    """

    def __init__(self, net: Any) -> None:
        try:
            self.net = copy.deepcopy(net)
        except Exception as error:  # a network's own __deepcopy__ can raise anything
            raise ValueError(
                f"explore: this network cannot be copied ({error}); one that copy.deepcopy takes "
                "would be right, since other photographs, classes and blocks run on a copy."
            ) from error
        self.leaves = [module for module in self.net.modules() if is_leaf(module)]

    def telling(self, work: Work) -> Hooks:
        """Hooks that count every layer's call, and end the work when it was given up."""
        hooks = Hooks()
        for leaf in self.leaves:
            hooks.before_forward(leaf, lambda _, __: work.tick())
        return hooks
