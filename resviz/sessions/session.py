"""`Session`: a network and its photographs, and the scenes that were computed of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from resviz.arguments import Progress
from resviz.networks.anatomy.additions import Addition
from resviz.networks.state import state_of
from resviz.networks.surgery.altering import additions_of
from resviz.networks.surgery.copies import lasting
from resviz.progress import bar
from resviz.sessions.scene import (
    KEEP,
    Moment,
    Scene,
    foremost,
    keep_of,
    recorded,
    with_explanation,
    without_each,
)

_KEPT = 512 * 2**20  # bytes of tensors in scenes that may be asked for again


class Session:
    """What a view computes with while it is open.

    Scenes stay while there is room, and as long as the network stays as it is.

    Args:
        net: the network; whoever computes beside a cell hands in a copy of it instead.
        images: one (1, 3, H, W) for each photograph; more may be appended.
        preset: names and scale of the pictures; None for the network's own.

    Attributes:
        current: the scene that is shown.
        generation: how often the network was found to be another.
    """

    def __init__(self, net: Any, images: Sequence[Any], preset: Any) -> None:
        self.net, self.images, self.preset = lasting(net), list(images), preset
        self._keep: Sequence[str] = KEEP
        self._additions: list[Addition] | None = None  # found where one is first needed
        self._scenes: dict[Moment, Scene] = {}
        self.generation = 0
        self.current = self._first()
        self._weights = state_of(self.net)  # now: the first pass may make buffers

    def _first(self) -> Scene:
        """The first photograph; what is kept of the network is decided by its layers."""
        first = self.net, self.images[0], Moment(0), self.preset, None, None
        scene = recorded(*first)
        self._keep = keep_of(scene.rec)
        if self._keep != KEEP and not set(self._keep) <= set(scene.rec.tensors):
            scene = recorded(*first, self._keep)
        self._scenes[scene.moment] = scene
        return scene

    # ---- what is there
    def find(self, moment: Moment) -> Scene | None:
        """A scene that was computed and kept."""
        return self._scenes.get(moment)

    def moments(self) -> list[Moment]:
        """What was computed and kept, the newest first."""
        return list(reversed(self._scenes))

    def predicted(self, image: int) -> int:
        """The class that the whole network predicts; of values the first."""
        return foremost(self.scene(self.net, Moment(image)).rec)

    def show(self, scene: Scene) -> None:
        """Show this scene from now on; older ones stay while there is room."""
        self._scenes.pop(scene.moment, None)
        self._scenes[scene.moment] = self.current = scene
        while len(self._scenes) > 1 and sum(s.size for s in self._scenes.values()) > _KEPT:
            self._scenes.pop(next(iter(self._scenes)))

    def forget_another_network(self) -> None:
        """Drop what was recorded before a weight, hook or module changed."""
        if self._weights != state_of(self.net):
            self._scenes, self._weights = {}, state_of(self.net)
            self._additions = None
            self.generation += 1

    # ---- what is computed, on `net`
    def scene(self, net: Any, moment: Moment) -> Scene:
        """The scene, as far as it is not there already."""
        found = self._scenes.get(moment)
        if found is not None:
            return found
        whole = self._whole(moment)
        kept = None if whole is None else whole.rec
        images, alike = self.images[moment.image], self._alike(moment)
        cut = self._found(net, moment.image) if moment.off else ()
        made = recorded(net, images, moment, self.preset, alike, kept, self._keep, cut)
        same = {} if alike is None else alike.without
        return dataclasses.replace(made, without=same)

    def explained(self, net: Any, moment: Moment) -> Scene:
        """The scene with its explanation, or with the reason why there is none."""
        scene = self.scene(net, moment)
        if scene.exp is not None or scene.why:
            return scene
        cut = self._found(net, moment.image) if moment.off else ()
        return with_explanation(net, self.images[moment.image], scene, self.preset, cut)

    def measured(
        self, net: Any, moment: Moment, blocks: Sequence[str], progress: Progress = None
    ) -> Scene:
        """:meth:`without`, under a bar."""
        with bar(len(blocks), "blocks cut, one at a time", progress) as shown:
            return self.without(net, moment, blocks, shown.update)

    def without(
        self, net: Any, moment: Moment, blocks: Sequence[str], tick: Callable[[], object]
    ) -> Scene:
        """The scene with what is said when one more block is cut; `tick` is called at each."""
        scene = self.scene(net, moment)
        if scene.without:
            return scene
        found, images = {}, self.images[moment.image]
        cut = self._found(net, moment.image)
        for block, said in without_each(net, images, scene, blocks, self.preset, cut):
            found[block] = said
            tick()
        return dataclasses.replace(scene, without=found)

    def passes(self, what: str, moment: Moment) -> int:
        """How often the network will run; one pass finds the blocks, once for all scenes."""
        passes = 2 if what == "explanation" else 0
        passes += bool(moment.off) and self._additions is None
        if moment not in self._scenes:
            passes += 1 + (bool(moment.off) and self._whole(moment) is None)
        return passes

    def _found(self, net: Any, image: int) -> list[Addition]:
        """The additions of the network, which are the same in all its copies."""
        if self._additions is None:
            self._additions = additions_of(net, self.images[image])
        return self._additions

    def _whole(self, moment: Moment) -> Scene | None:
        """The scene of the same photograph and class with no block cut, where it was kept."""
        found = self._scenes.get(dataclasses.replace(moment, off=()))
        predicted = self._scenes.get(Moment(moment.image))
        if found is None and predicted is not None and moment.target is not None:
            return predicted if foremost(predicted.rec) == moment.target else None
        return found

    def _alike(self, moment: Moment) -> Scene | None:
        """A scene with the same tensors: of the same photograph and blocks, for another class."""
        same = [
            s for m, s in self._scenes.items() if (m.image, m.off) == (moment.image, moment.off)
        ]
        return same[-1] if same else None
