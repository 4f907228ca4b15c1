"""`ExploreView`: a network, block by block, with what it makes of one photograph, on one screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resviz.arguments import Progress
from resviz.provenance import preset_or_none
from resviz.recording.said import said_by
from resviz.sessions.scene import Moment, Scene, Watched
from resviz.sessions.session import Session
from resviz.sessions.work import Job, Work
from resviz.views.figure import Figure
from resviz.views.figures.depth import plot_depth_profile
from resviz.views.overlays import Whole
from resviz.views.payload import Packing, Payload
from resviz.views.static import framed
from resviz.views.widgets.explanation import ExplanationPage
from resviz.views.widgets.messages import (
    ExplanationAnswer,
    Fields,
    GenerationAnswer,
    MapsAnswer,
    PhotographAnswer,
    SceneAnswer,
    WithoutAnswer,
)
from resviz.views.widgets.originals import Source
from resviz.views.widgets.screen.added import photograph_of
from resviz.views.widgets.screen.data import thumbnail
from resviz.views.widgets.screen.page import page_payload
from resviz.views.widgets.screen.parts import Parts
from resviz.views.widgets.screen.sending import Sending
from resviz.views.widgets.screen.still import still_of
from resviz.views.widgets.strongest import Strongest
from resviz.views.widgets.view import Answered, View

_CALLER = "explore"
_WORDS = {
    "scene": "layers recorded:",
    "explanation": "layers explained:",
    "without": "blocks cut, one at a time:",
}
_ANSWERS: dict[str, Callable[[dict[str, Any]], Fields]] = {
    "scene": lambda meta: SceneAnswer(scene=meta),
    "explanation": lambda meta: ExplanationAnswer(explanation=meta),
    "without": lambda meta: WithoutAnswer(without=meta),
}


class ExploreView(View):
    """The view of :func:`explore`.

    ``selection`` holds ``image``, ``class`` (None: the predicted one), ``off`` (names of blocks),
    ``depth`` (the cursor), ``channel``, ``curve`` ("gradient", "activation", "ratio", "share"),
    ``method``, ``contrast`` (a class whose map is taken away, or None) and ``opacity``.
    """

    module = "explore.js"

    def __init__(
        self,
        net: Any,
        images: Sequence[Any],
        names: Sequence[str],
        preset: Any = None,
        photographs: Sequence[Source | Whole | None] = (),
        strongest: Strongest | None = None,
    ) -> None:
        self._strongest = strongest
        self._session = Session(net, images, preset_or_none(net, preset))
        self._sending = Sending(self._session, names, strongest)
        self._parts = Parts(self._session, photographs, strongest)
        first = self._session.current
        self._calls = int((first.rec.layers["kind"] == "leaf").sum())
        deepest = max((place.depth for place in self._sending.places), default=None)
        super().__init__(
            about=f"Explore {first.rec.provenance['network']}",
            selection={"image": 0, "class": None, "off": [], "depth": deepest, "channel": None}
            | {"curve": "gradient", "method": "grad_cam", "contrast": None, "opacity": 0.6},
        )

    # ---- what is sent
    def payload(self) -> Payload:
        """The photographs, and the scene that is shown."""
        packing, sending = Packing(), self._sending
        meta = {"header": sending.header(packing)}
        meta |= {"scene": sending.scene(packing, self._session.current)}
        return packing.payload(meta)

    def data(self) -> Payload:
        """Of the scene that is shown now: it is not made once."""
        return self.payload()

    @property
    def scene(self) -> Scene:
        """What was recorded and explained of what is shown."""
        return self._session.current

    def page_payload(self, lesions: bool, progress: Progress) -> Payload:
        """The scene and others; explained first where that was not done yet."""

        def pages(scene: Scene, shown: bool) -> ExplanationPage | None:
            return self._explanation(scene) if shown else self._once(scene)

        session, sending, strongest = self._session, self._sending, self._strongest
        return page_payload(session, sending, pages, lesions, progress, strongest)

    # ---- the explanation of a scene, where there is one
    def _explanation(self, scene: Scene) -> ExplanationPage | None:
        name = self._sending.names[scene.moment.image]
        return None if scene.exp is None else self._parts.explanation(scene, name)

    def _once(self, scene: Scene) -> ExplanationPage | None:
        name = self._sending.names[scene.moment.image]
        return None if scene.exp is None else self._parts.page_of(scene, name)

    def _explained(self, request: Mapping[str, Any]) -> ExplanationPage:
        """That of the scene that a question is about."""
        found = self._explanation(self._kept(request))
        if found is None:
            raise ValueError(f"{_CALLER}: this scene is not explained; choose it again.")
        return found

    # ---- what the browser asks for
    def part(self, name: str, scene: int) -> View:
        """The explanation, or all channels, of a scene that the browser shows."""
        moment = self._sending.shown(scene)
        found = None if moment is None else self._session.find(moment)
        part: View | None = None
        if found is not None and name == "explanation":
            part = self._explanation(found)
        elif found is not None and name == "maps":
            part = self._parts.maps(found)
        if part is None:
            raise ValueError(
                f"{_CALLER}: this was of a scene that is kept no more; choose it again."
            )
        return part

    def answer(self, what: str, request: dict[str, Any]) -> Answered:
        """All channels of the scene; or a photograph that was dropped in: it joins the others."""
        if what == "generation":
            self._session.forget_another_network()
            return GenerationAnswer(generation=self._session.generation), []
        if what == "map":
            return self._explained(request["moment"]).answer(what, _of_one(request))
        if what == "strongest" and self._strongest is not None:
            return self._strongest.answer(request)
        if what == "maps":
            maps = self._parts.maps(self._kept(request))
            payload = maps.payload()
            return MapsAnswer(maps=payload.meta, chosen=maps.selection), [payload.buffer]
        if what != "photograph":
            return super().answer(what, request)
        name = str(request.get("name") or "photograph")
        session = self._session
        images, photograph = photograph_of(
            name, request.get("buffers") or [], session.net, session.preset
        )
        picture = thumbnail(images, session.preset)
        session.images.append(images)
        self._parts.photographs.append(photograph)
        self._sending.join(name, picture)
        packing = Packing()
        header = self._sending.header(packing)
        fields = PhotographAnswer(header=header, image=len(session.images) - 1)
        return fields, [packing.payload({}).buffer]

    def _kept(self, request: Mapping[str, Any]) -> Scene:
        """The scene that a question is about, which the browser shows."""
        self._session.forget_another_network()
        scene = self._session.find(self._moment(request))
        if scene is None:
            raise ValueError(
                f"{_CALLER}: this scene is kept no more, as where the network has changed; choose "
                "the photograph again."
            )
        return scene

    def _moment(self, request: Mapping[str, Any]) -> Moment:
        """The question, read with care: it comes from outside."""
        image, index = int(request["image"]), request.get("class")
        known = [place.name for place in self._sending.blocks()]
        off = tuple(name for name in known if name in set(request.get("off") or ()))
        count = len(self._session.images)
        if not 0 <= image < count:
            raise ValueError(f"{_CALLER}: photograph {image} of {count}.")
        said = said_by(self._session.current.rec)
        outputs = 0 if said is None else len(said.names)
        if index is not None and not 0 <= int(index) < outputs:
            raise ValueError(f"{_CALLER}: class {index}; 0 to {outputs - 1} would be right.")
        return Moment(image, None if index is None else int(index), off)

    def job(self, what: str, request: dict[str, Any]) -> Job | None:
        """A scene, its explanation, what each block does for it; whether a map can be trusted."""
        if what == "faithfulness":
            return self._explained(request["moment"]).job(what, _of_one(request))
        return self._on_scene(what, self._moment(request)) if what in _WORDS else None

    def _on_scene(self, what: str, moment: Moment) -> Job:
        net, session, sending = Watched(self._session.net), self._session, self._sending
        session.forget_another_network()
        generation = {"generation": session.generation}

        def make(work: Work) -> Answered:
            packing = Packing()
            if what == "without":
                blocks = [place.name for place in sending.blocks()]
                scene = session.without(net.net, moment, blocks, work.tick)
                meta = sending.without(packing, scene)
            elif what == "scene":
                with net.telling(work):
                    scene = session.scene(net.net, moment)
                meta = sending.scene(packing, scene)
            else:
                with net.telling(work):
                    scene = session.explained(net.net, moment)
                meta = sending.explained(packing, scene, self._explanation(scene))
            work.settle(lambda: self._settle(scene))
            return _ANSWERS[what](meta | generation), [packing.payload({}).buffer]

        total = session.passes(what, moment) * self._calls
        if what == "without":
            total = len(sending.blocks()) - len(moment.off)
        return Job(make, total, _WORDS[what])

    def _settle(self, scene: Scene) -> None:
        """Keep what was computed: with what else is known of the same scene by now."""
        known = self._session.find(scene.moment)
        if known is not None:
            scene = dataclasses.replace(
                scene,
                exp=scene.exp or known.exp,
                why=scene.why or known.why,
                lens=known.lens if scene.lens is None else scene.lens,
                without=scene.without or known.without,
            )
        self._session.show(scene)

    def give_up(self) -> None:
        """Stop all work, that of the parts, too."""
        super().give_up()
        self._parts.give_up()

    # ---- without a kernel
    def figure(self) -> Figure:
        """The gradient norms along depth, as :func:`resviz.plot_depth_profile` draws them."""
        scene = self._session.current
        network = str(scene.rec.provenance["network"])
        tables = {network: scene.whole.layers}
        if scene.moment.off:
            tables[f"{network}, cut"] = scene.rec.layers  # the plot itself says which blocks
        return plot_depth_profile(tables, "grad_norm")

    def picture(self, kind: str) -> bytes:
        """Photograph, map, channels and profile, as in a saved notebook: "png", "svg" or "pdf"."""
        return framed(self.still()[0], kind)

    def still(self) -> tuple[bytes, str]:
        """Photograph, map, channels and profile, and a line of text."""
        depth = self.selection.get("depth")
        at = float(depth) if isinstance(depth, (int, float)) else None
        return still_of(self.about, self._session.current, self._sending.places, at)


def _of_one(request: Mapping[str, Any]) -> dict[str, Any]:
    """A question to the explanation of one photograph."""
    return {**request, "image": 0}
