"""`ExploreView`: a network, block by block, with what it makes of one photograph, on one screen."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resviz.arguments import Progress
from resviz.provenance import preset_or_none
from resviz.recording.said import said_by
from resviz.sessions.scene import Moment, Scene, Watched
from resviz.sessions.session import Session
from resviz.sessions.work import Work
from resviz.views.export import Page, save_html
from resviz.views.figure import Figure
from resviz.views.figures.depth import plot_depth_profile
from resviz.views.overlays import Whole
from resviz.views.payload import Packing, Payload
from resviz.views.static import framed
from resviz.views.widgets.explanation import ExplanationPage
from resviz.views.widgets.feature_maps import MapsView
from resviz.views.widgets.messages import (
    ExplanationAnswer,
    Failure,
    Fields,
    MapsAnswer,
    PhotographAnswer,
    SceneAnswer,
    WithinTold,
    WithoutAnswer,
)
from resviz.views.widgets.originals import Source
from resviz.views.widgets.page_view import PageView
from resviz.views.widgets.screen.added import photograph_of
from resviz.views.widgets.screen.data import explained_data, scene_data, thumbnail, without_data
from resviz.views.widgets.screen.page import (
    ROOM,
    add_scenes,
    channels_of,
    moments_of,
    room_left,
    small,
)
from resviz.views.widgets.screen.places import Place, places_of
from resviz.views.widgets.screen.still import still_of
from resviz.views.widgets.strongest import Strongest

_CALLER = "explore"
STRONGEST_ROOM = 1_100_000  # compressed bytes of a page for the images of a scan, twice if free
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
Answered = tuple[Fields, list[bytes]]


class ExploreView(PageView):
    """The view of :func:`explore`.

    ``selection`` holds ``image``, ``class`` (None: the predicted one), ``off`` (names of blocks),
    ``depth`` (the cursor), ``channel``, ``curve`` ("gradient", "activation", "ratio", "share"),
    ``method``, ``contrast`` (a class whose map is taken away, or None) and ``opacity``.
    """

    module = "explore.js"
    cuts_blocks = True  # a page of it can be written with them cut

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
        self._names = list(names)
        self._photographs = [*photographs, *[None] * (len(images) - len(photographs))]
        self._session = Session(net, images, preset_or_none(net, preset))
        self._thumbnails = [thumbnail(each, self._session.preset) for each in images]
        self._works: dict[str, Work] = {}
        self._whole: tuple[Source | None, Whole | None] = (None, None)  # that was shown last
        self._views: dict[tuple[str, Moment], PageView] = {}
        self._number = 0
        self._shown: dict[int, Moment] = {}  # by the number that the browser knows a scene by
        first = self._session.current
        self._places = places_of(first.rec)
        self._calls = int((first.rec.layers["kind"] == "leaf").sum())
        deepest = max((place.depth for place in self._places), default=None)
        super().__init__(
            about=f"Explore {first.rec.provenance['network']}",
            selection={"image": 0, "class": None, "off": [], "depth": deepest, "channel": None}
            | {"curve": "gradient", "method": "grad_cam", "contrast": None, "opacity": 0.6},
        )

    # ---- what is sent
    def payload(self) -> Payload:
        """The photographs, and the scene that is shown."""
        packing = Packing()
        meta = {"header": self._header(packing), "scene": self._scene_data(packing)}
        return packing.payload(meta)

    def _header(self, packing: Packing) -> dict[str, Any]:
        """What all scenes have in common."""
        photographs = zip(self._names, self._thumbnails, strict=False)  # one may be joining
        pictures = [
            {"name": name, "picture": None if picture is None else packing.add(picture)}
            for name, picture in photographs
        ]
        rec = self._session.current.rec
        said = said_by(rec)
        return {
            "scan": None if self._strongest is None else self._strongest.header(),
            "network": str(rec.provenance["network"]),
            "photographs": pictures,
            "classes": [] if said is None else said.names,
            "word": None if said is None else said.word,
            "units": "" if said is None else said.units,
            "blocks": [place.name for place in self._blocks()],
        }

    def save_html(
        self, path: str | os.PathLike[str], *, lesions: bool = False, progress: Progress = None
    ) -> None:
        """Write the view to one HTML file; see :func:`resviz.save_html`.

        Args:
            path: of the file.
            lesions: cut every block, one at a time, for the page: its readers can do so, too. Takes
                about four passes of the network for each block.
            progress: how far it is; see :func:`resviz.save_html`.
        """
        save_html(self, path, lesions=lesions, progress=progress)

    @property
    def scene(self) -> Scene:
        """What was recorded and explained of what is shown."""
        return self._session.current

    def _blocks(self) -> list[Place]:
        """The places that can be cut: those with residual additions."""
        return [place for place in self._places if place.additions]

    def _scene_data(self, packing: Packing, scene: Scene | None = None) -> dict[str, Any]:
        shown = self._session.current if scene is None else scene
        self._number += 1
        self._shown[self._number] = shown.moment
        return scene_data(packing, shown, self._number, self._places)

    def page(self, lesions: bool = False, progress: Progress = None) -> Page:
        """What :func:`resviz.save_html` needs; explained first where that was not done yet.

        Args:
            lesions: whether each block is cut for the page, one at a time.
            progress: how far it is.
        """
        session = self._session
        session.show(session.explained(session.net, session.current.moment))
        packing = Packing()
        meta: dict[str, Any] = {"header": self._header(packing)}
        meta |= {"scene": self._scene_data(packing)}
        meta |= {"explained": self._explained_data(packing, session.current, compact=True)}
        names = [place.name for place in self._blocks()]
        if names:
            session.show(session.measured(session.net, session.current.moment, names, progress))
            meta["without"] = without_data(packing, self._places, session.current.without)
        wanted = moments_of(session, names, lesions)
        room = ROOM if self._strongest is None else ROOM - STRONGEST_ROOM
        meta["more"], left = add_scenes(packing, session, wanted, self._small, progress, room)
        meta["left"] = len(left)
        self._payload = packing.payload(meta)
        if self._strongest is not None:
            left_over = room_left(self._payload, STRONGEST_ROOM)
            channels = channels_of(meta, self._places)
            self._payload = self._strongest.on_page(self._payload, channels, left_over)
        try:
            return super().page()
        finally:
            self._payload = None

    def _small(self, scene: Scene) -> Payload:
        """A scene beside the one that a page is about: fewer pictures, one method."""
        packing, scene = Packing(), small(scene)
        self._number += 1
        told = scene_data(packing, scene, self._number, self._places, few=True)
        explained: dict[str, Any] = {"why": scene.why, "page": None}
        if scene.exp is not None:
            view = self._page_of(scene, None)
            view.compact, view.weight, view.pictured = True, False, False
            page = view.payload()
            explained |= {"page": page.meta, "base": packing.add_bytes(page.buffer)}
        explained |= explained_data(packing, scene, self._places, few=True)
        return packing.payload({"scene": told, "explained": explained})

    def _data(self) -> Payload:
        return self._payload or self.payload()

    def _explained_data(
        self, packing: Packing, scene: Scene, compact: bool = False
    ) -> dict[str, Any]:
        """The maps of a scene, as the page of an explanation has them; or why there are none."""
        if scene.exp is None:
            return {"why": scene.why, "page": None} | explained_data(packing, scene, self._places)
        view = self._explanation(scene)
        view.compact, view.pictured = compact, False  # the scene has the photograph
        page = view.payload()
        sent = explained_data(packing, scene, self._places)
        return sent | {"why": "", "page": page.meta, "base": packing.add_bytes(page.buffer)}

    # ---- the parts that have answers of their own
    def _explanation(self, scene: Scene) -> ExplanationPage:
        known = self._views.get(("explanation", scene.moment))
        if isinstance(known, ExplanationPage) and known.explanation is scene.exp:
            return known
        view = self._page_of(scene, self._original(scene.moment.image))
        self._keep_view("explanation", scene.moment, view)
        return view

    def _page_of(self, scene: Scene, original: Whole | None) -> ExplanationPage:
        moment = scene.moment
        return ExplanationPage.inside(
            self,
            "explanation",
            scene.exp,
            self._session.net,
            self._session.images[moment.image],
            self._session.preset,
            names=[self._names[moment.image]],
            without=moment.off,
            originals=[original],
        )

    def _maps(self, scene: Scene) -> MapsView:
        """All channels of all places, as :func:`resviz.explore_feature_maps` has them."""
        known = self._views.get(("maps", scene.moment))
        if isinstance(known, MapsView):
            return known
        blocks = {key: t for key, t in scene.rec.tensors.items() if ":" not in key}
        rec = dataclasses.replace(scene.rec, tensors=blocks)
        view = MapsView.inside(self, "maps", rec, None, scene.exp, None, self._strongest)
        self._keep_view("maps", scene.moment, view)
        return view

    def _keep_view(self, name: str, moment: Moment, view: PageView) -> None:
        """One of each name: the work of the one before is of a scene that is shown no more."""
        for key in [key for key in self._views if key[0] == name]:
            self._views.pop(key).give_up()
        self._views[name, moment] = view

    def _original(self, image: int) -> Whole | None:
        """The photograph that an image was cut from, where it is there."""
        source = self._photographs[image]
        if not isinstance(source, Source):
            return source
        if self._whole[0] is not source:
            self._whole = source, source.whole()
        return self._whole[1]

    # ---- what the browser asks for
    def _received(self, widget: Any, content: Any, buffers: Any) -> None:
        if isinstance(content, dict) and content.get("type") == "within":
            self._within(content, buffers)
            return
        super()._received(widget, content, buffers)

    def _within(self, message: dict[str, Any], buffers: Any) -> None:
        """Hand a message on to the part that it is for, as of the scene that the browser shows."""
        moment = self._shown.get(int(message.get("scene") or 0))
        scene, inner = None, message.get("content")
        if moment is not None:
            scene = self._session.find(moment)
        view: PageView | None = None
        if scene is not None and message.get("view") == "explanation" and scene.exp is not None:
            view = self._explanation(scene)
        elif scene is not None and message.get("view") == "maps":
            view = self._maps(scene)
        if view is not None:
            view._received(view, inner, buffers)
        elif isinstance(inner, dict) and inner.get("type") == "ask":
            text = "explore: this was of a scene that is kept no more; choose it again."
            error = Failure(type="error", id=str(inner.get("id")), text=text)
            self.send(WithinTold(type="within", view=str(message.get("view")), content=error))

    def _answer(self, request: dict[str, Any]) -> None:
        what = str(request.get("what"))
        if what in _WORDS or what == "faithfulness":
            try:
                if what == "faithfulness":
                    self._check(request)
                else:
                    self._begin(what, request)
            except (ValueError, TypeError, KeyError, RuntimeError) as error:
                self.failed(str(request.get("id")), str(error.args[0] if error.args else error))
        else:
            super()._answer(request)

    def answer(self, what: str, request: dict[str, Any]) -> Answered:
        """All channels of the scene; or a photograph that was dropped in: it joins the others."""
        if what == "map":
            return self._explanation(self._kept(request["moment"])).answer(what, _of_one(request))
        if what == "strongest" and self._strongest is not None:
            return self._strongest.answer(request)
        if what == "maps":
            scene = self._kept(request)
            payload = self._maps(scene).payload()
            chosen = self._maps(scene).selection
            return MapsAnswer(maps=payload.meta, chosen=chosen), [payload.buffer]
        if what != "photograph":
            return super().answer(what, request)
        name = str(request.get("name") or "photograph")
        session = self._session
        images, photograph = photograph_of(
            name, request.get("buffers") or [], session.net, session.preset
        )
        picture = thumbnail(images, session.preset)
        session.images.append(images)
        self._photographs.append(photograph)
        self._thumbnails.append(picture)
        self._names.append(name)
        packing = Packing()
        fields = PhotographAnswer(header=self._header(packing), image=len(session.images) - 1)
        return fields, [packing.payload({}).buffer]

    def _kept(self, request: Mapping[str, Any]) -> Scene:
        """The scene that a question is about, which the browser shows."""
        scene = self._session.find(self._moment(request))
        if scene is None:
            raise ValueError(f"{_CALLER}: this scene is kept no more; choose it again.")
        return scene

    def _moment(self, request: Mapping[str, Any]) -> Moment:
        """The question, read with care: it comes from outside."""
        image, index = int(request["image"]), request.get("class")
        known = [place.name for place in self._blocks()]
        off = tuple(name for name in known if name in set(request.get("off") or ()))
        count = len(self._session.images)
        if not 0 <= image < count:
            raise ValueError(f"{_CALLER}: photograph {image} of {count}.")
        said = said_by(self._session.current.rec)
        outputs = 0 if said is None else len(said.names)
        if index is not None and not 0 <= int(index) < outputs:
            raise ValueError(f"{_CALLER}: class {index}; 0 to {outputs - 1} would be right.")
        return Moment(image, None if index is None else int(index), off)

    def _begin(self, what: str, request: Mapping[str, Any]) -> None:
        """Start the work on a scene, on its explanation, or on what each block does for it."""
        moment, number = self._moment(request), str(request["id"])
        net, session = Watched(self._session.net), self._session
        session.forget_other_weights()

        def make(work: Work) -> Answered:
            packing = Packing()
            if what == "without":
                blocks = [place.name for place in self._blocks()]
                scene = session.without(net.net, moment, blocks, work.tick)
                meta = without_data(packing, self._places, scene.without)
            else:
                with net.telling(work):
                    computed = session.scene if what == "scene" else session.explained
                    scene = computed(net.net, moment)
                described = self._scene_data if what == "scene" else self._explained_data
                meta = described(packing, scene)
            work.settle(lambda: self._settle(scene))
            return _ANSWERS[what](meta), [packing.payload({}).buffer]

        total = session.passes(what, moment) * self._calls
        if what == "without":
            total = len(self._blocks()) - len(moment.off)
        self._start(what, Work(self, number, make, total, _WORDS[what]))

    def _check(self, request: Mapping[str, Any]) -> None:
        """Start to measure whether a map can be trusted."""
        view = self._explanation(self._kept(request["moment"]))
        make, total, words = view.measuring(_of_one(request))
        self._start("faithfulness", Work(self, str(request["id"]), make, total, words))

    def _start(self, what: str, work: Work) -> None:
        """A newer question of a kind takes the place of the one before."""
        if what in self._works:
            self._works[what].stop()
        self._works[what] = work
        work.start()

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

    def stop(self, request: str) -> None:
        """Give up the work that this question began."""
        for work in self._works.values():
            if work.number == request:
                work.stop()

    def give_up(self) -> None:
        """Stop all work, that of the parts, too."""
        for work in self._works.values():
            work.stop()
        for view in self._views.values():
            view.give_up()

    # ---- without a kernel
    def figure(self) -> Figure:
        """The gradient norms along depth, as :func:`resviz.plot_depth_profile` draws them."""
        scene = self._session.current
        network = str(scene.rec.provenance["network"])
        tables = {network: scene.whole}
        if scene.moment.off:
            tables[f"{network}, cut"] = scene.rec  # the plot itself says which blocks
        return plot_depth_profile(tables, "grad_norm")

    def picture(self, kind: str) -> bytes:
        """Photograph, map, channels and profile, as in a saved notebook: "png", "svg" or "pdf"."""
        return framed(self._still()[0], kind)

    def _still(self) -> tuple[bytes, str]:
        depth = self.selection.get("depth")
        at = float(depth) if isinstance(depth, (int, float)) else None
        return still_of(self.about, self._session.current, self._places, at)


def _of_one(request: Mapping[str, Any]) -> dict[str, Any]:
    """A question to the explanation of one photograph."""
    return {**request, "image": 0}
