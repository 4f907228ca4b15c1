"""`explore`: profiles along depth, feature maps, explanation and residual anatomy, linked."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import traitlets

from resviz.arguments import public
from resviz.images import load_images
from resviz.networks.inputs import check_images
from resviz.preset import check_network
from resviz.provenance import preset_or_none
from resviz.torch_private import version
from resviz.views.export import Page
from resviz.views.figure import Figure
from resviz.views.overlays import Whole
from resviz.views.payload import Packing, Payload
from resviz.views.said import said_by
from resviz.views.static import framed
from resviz.views.widgets.explanation import ExplanationPage
from resviz.views.widgets.explore_payload import blocks_of, header_of, places_of, thumbnail
from resviz.views.widgets.explore_scene import (
    Moment,
    Scene,
    Watched,
    recorded,
    with_explanation,
)
from resviz.views.widgets.explore_still import still_of
from resviz.views.widgets.feature_maps import MapsView
from resviz.views.widgets.gradient_runs import read_runs
from resviz.views.widgets.gradients import DepthView
from resviz.views.widgets.originals import Source, sources
from resviz.views.widgets.page_view import PageView
from resviz.views.widgets.residuals import AnatomyView
from resviz.views.widgets.working import Work

_CALLER = "explore"
_PARTS = ("gradients", "maps", "explanation", "residuals")
_KEPT = 512 * 2**20  # bytes of tensors in scenes that may be asked for again
_PAGE_CHANNELS = 2 * 2**20  # bytes of additions' channels in an exported page


class ExploreView(PageView):
    """The view of :func:`explore`.

    ``selection`` holds ``image``, ``class`` (None: the predicted one), ``off`` (names of blocks),
    ``depth`` (the cursor), ``channel``, ``open`` (the parts that are unfolded) and ``views``: the
    selections of the four parts, as their own views have them.
    """

    module = "explore.js"

    def __init__(
        self,
        net: Any,
        images: Sequence[Any],
        names: Sequence[str],
        preset: Any = None,
        photographs: Sequence[Source | Whole | None] = (),
    ) -> None:
        self._net, self._images, self._names = net, list(images), list(names)
        self._photographs = [*photographs, *[None] * (len(self._images) - len(photographs))]
        self._preset = preset_or_none(net, preset)
        self._thumbnails = [thumbnail(each, self._preset) for each in self._images]
        self._scenes: dict[Moment, Scene] = {}
        self._works: dict[str, Work] = {}
        self._whole: tuple[Source | None, Whole | None] = (None, None)  # that was shown last
        self._number = 0
        self._views: dict[str, PageView | str] = {}
        first = recorded(net, self._images[0], Moment(0), self._preset, None, None)
        self._blocks = blocks_of(first.rec)
        self._deepest = max((block["depth"] for block in self._blocks), default=None)
        self._calls = int((first.rec.layers["kind"] == "leaf").sum())
        self._weights = _state_of(net)
        self._shown: dict[int, Moment] = {}  # by the number that the browser knows a scene by
        self._show(first, self._made(first))
        network = str(first.rec.provenance["network"])
        super().__init__(
            about=f"Explore {network}",
            selection={"image": 0, "class": None, "off": [], "depth": self._deepest, "channel": 0}
            | {"open": list(_PARTS), "views": {}},
        )

    # ---- the four parts of a scene
    def _show(self, scene: Scene, views: dict[str, PageView | str]) -> None:
        """Show this scene from now on; older ones stay while there is room."""
        self._scenes.pop(scene.moment, None)
        self._scenes[scene.moment] = self._scene = scene
        while len(self._scenes) > 1 and sum(s.size for s in self._scenes.values()) > _KEPT:
            self._scenes.pop(next(iter(self._scenes)))
        for view in self._views.values():
            if isinstance(view, PageView) and view not in views.values():
                view.give_up()
        self._views = views
        self._follow(None)

    def _made(self, scene: Scene) -> dict[str, PageView | str]:
        """Views by name; where a view cannot be, the reason."""
        making: dict[str, Callable[[], PageView | str]] = {
            "gradients": lambda: self._profiles(scene),
            "maps": lambda: self._maps(scene),
            "explanation": lambda: self._explanation(scene),
            "residuals": lambda: self._anatomy(scene),
        }
        made: dict[str, PageView | str] = {}
        for name, make in making.items():
            try:
                made[name] = make()
            except (ValueError, TypeError) as error:
                made[name] = str(error.args[0])
        return made

    def _profiles(self, scene: Scene) -> PageView:
        network = str(scene.rec.provenance["network"])
        tables = {network: scene.whole}
        if scene.moment.off:
            tables[f"without {', '.join(scene.moment.off)}"] = scene.rec
        runs, words, step = read_runs(tables)
        return DepthView.inside(self, "gradients", runs, None, {}, None, words, step)

    def _maps(self, scene: Scene) -> PageView:
        blocks = {key: t for key, t in scene.rec.tensors.items() if ":" not in key}
        rec = dataclasses.replace(scene.rec, tensors=blocks)
        return MapsView.inside(self, "maps", rec, None, scene.exp)

    def _anatomy(self, scene: Scene) -> PageView:
        view = AnatomyView.inside(self, "residuals", scene.rec, None, at_once=False)
        last = scene.rec.residuals["addition"].iloc[-1]
        view.selection = {**view.selection, "addition": str(last)}
        view.sent = [name for name in view.kept if name == last]
        return view

    def _explanation(self, scene: Scene) -> PageView | str:
        if scene.exp is None:
            return scene.why or "being explained …"
        moment = scene.moment
        return ExplanationPage.inside(
            self,
            "explanation",
            scene.exp,
            self._net,
            self._images[moment.image],
            self._preset,
            names=[self._names[moment.image]],
            without=moment.off,
            originals=[self._original(moment.image)],
        )

    def _original(self, image: int) -> Whole | None:
        """The photograph that an image was cut from, where it is there."""
        source = self._photographs[image]
        if not isinstance(source, Source):
            return source
        if self._whole[0] is not source:
            self._whole = source, source.whole()
        return self._whole[1]

    @traitlets.observe("selection")
    def _follow(self, _: Any) -> None:
        """The parts' selections, as the browser has them."""
        views = self.selection.get("views")
        for name, chosen in views.items() if isinstance(views, dict) else ():
            view = self._views.get(name)
            if isinstance(view, PageView) and chosen and isinstance(chosen, dict):
                view.selection = dict(chosen)

    # ---- what is sent
    def payload(self) -> Payload:
        """The shown scene: its header, and every part that there is."""
        return self._packed(self._scene, self._views, _PARTS)

    def _packed(
        self, scene: Scene, views: Mapping[str, PageView | str], names: Sequence[str]
    ) -> Payload:
        packing = Packing()
        header = self._header(packing, scene)
        buffer = packing.payload({}).buffer
        sent: dict[str, Any] = {}
        for name in names:
            view = views[name]
            if isinstance(view, str):
                sent[name] = {"reason": view}
                continue
            part = view.payload()
            sent[name] = {"meta": part.meta, "at": len(buffer), "size": len(part.buffer)}
            sent[name]["selection"] = dict(view.selection)
            buffer += part.buffer
        meta: dict[str, Any] = {"header": header, "views": sent, "explain": False}
        if "explanation" in names and scene.exp is None and not scene.why:
            sent.pop("explanation")
            meta["explain"] = True
        return Payload(meta, buffer)

    def _header(self, packing: Packing, scene: Scene) -> dict[str, Any]:
        photographs = zip(self._names, self._thumbnails, strict=False)  # one may be joining
        pictures = [
            {"name": name, "picture": None if picture is None else packing.add(picture)}
            for name, picture in photographs
        ]
        self._number += 1
        self._shown[self._number] = scene.moment
        return {
            "photographs": pictures,
            "blocks": self._blocks,
            "deepest": self._deepest,
            "places": places_of(scene),
        } | header_of(scene, self._number)

    def page(self) -> Page:
        """What :func:`resviz.save_html` needs; explained first where that was not done yet."""
        if self._scene.exp is None and not self._scene.why:
            moment = self._scene.moment
            explained = with_explanation(
                self._net, self._images[moment.image], self._scene, self._preset
            )
            self._show(explained, self._made(explained))
        explanation, anatomy = self._views["explanation"], self._views["residuals"]
        if isinstance(anatomy, AnatomyView):
            anatomy.send_up_to(_PAGE_CHANNELS)
        if isinstance(explanation, ExplanationPage):
            explanation.compact = True
        try:
            self._payload = self.payload()
            return super().page()
        finally:
            self._payload = None
            if isinstance(explanation, ExplanationPage):
                explanation.compact = False

    def _data(self) -> Payload:
        return self._payload or self.payload()

    # ---- what the browser asks for
    def _received(self, widget: Any, content: Any, buffers: Any) -> None:
        if isinstance(content, dict) and content.get("type") == "within":
            self._within(content, buffers)
            return
        super()._received(widget, content, buffers)

    def _within(self, message: dict[str, Any], buffers: Any) -> None:
        """Hand a message on to the part that it is for, as of the scene that the browser shows."""
        shown, inner = self._shown.get(message.get("scene") or 0), message.get("content")
        if shown is not None and shown != self._scene.moment and shown in self._scenes:
            scene = self._scenes[shown]  # an answer was not wanted any more when it came
            self._show(scene, self._made(scene))
        view = self._views.get(str(message.get("view")))
        if isinstance(view, PageView) and shown in (None, self._scene.moment):
            view._received(view, inner, buffers)
        elif isinstance(inner, dict) and inner.get("type") == "ask":
            text = "explore: this was of a scene that is shown no more."
            error = {"type": "error", "id": inner.get("id"), "text": text}
            self.send({"type": "within", "view": message.get("view"), "content": error})

    def _answer(self, request: dict[str, Any]) -> None:
        if request.get("what") in ("scene", "explanation"):
            try:
                self._begin(str(request["what"]), request)
            except (ValueError, TypeError, KeyError, RuntimeError) as error:
                text = str(error.args[0] if error.args else error)
                self.send({"type": "error", "id": request.get("id"), "text": text})
        else:
            super()._answer(request)

    def answer(self, what: str, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """A photograph that was dropped in or chosen from a disk: it joins the others."""
        if what != "photograph":
            return super().answer(what, request)
        name = str(request.get("name") or "photograph")
        loaded = _decoded(name, request.get("buffers") or [], self._net, self._preset)
        images, photograph = loaded
        picture = thumbnail(images, self._preset)
        self._images.append(images)
        self._photographs.append(photograph)
        self._thumbnails.append(picture)
        self._names.append(name)
        packing = Packing()
        header = self._header(packing, self._scene)
        fields = {"header": header, "image": len(self._images) - 1}
        return fields, [packing.payload({}).buffer]

    def _moment(self, request: Mapping[str, Any]) -> Moment:
        """The question, read with care: it comes from outside."""
        image, index = int(request["image"]), request.get("class")
        known = [block["name"] for block in self._blocks]
        off = tuple(name for name in known if name in set(request.get("off") or ()))
        if not 0 <= image < len(self._images):
            raise ValueError(f"{_CALLER}: photograph {image} of {len(self._images)}.")
        said = said_by(self._scene.rec)
        outputs = 0 if said is None else len(said.names)
        if index is not None and not 0 <= int(index) < outputs:
            raise ValueError(f"{_CALLER}: class {index}; 0 to {outputs - 1} would be right.")
        return Moment(image, None if index is None else int(index), off)

    def _begin(self, what: str, request: Mapping[str, Any]) -> None:
        """Start the work on a scene, or on its explanation."""
        moment, number = self._moment(request), str(request["id"])
        net = Watched(self._net)
        if self._weights != _state_of(self._net):  # what was recorded is of another network now
            self._scenes, self._weights = {}, _state_of(self._net)
        passes = self._passes(what, moment)
        before = self._shown.get(int(request.get("shown") or 0))

        def make(work: Work) -> tuple[dict[str, Any], list[bytes]]:
            with net.telling(work):
                scene = self._computed(net.net, moment, what == "explanation")
            views = self._made(scene)
            meta, buffer = self._answered(what, scene, views, before)
            work.settle(lambda: self._show(scene, views))
            return {"scene": meta}, [buffer]

        if what in self._works:
            self._works[what].stop()
        words = "layers explained:" if what == "explanation" else "layers recorded:"
        self._works[what] = Work(self, number, make, passes * self._calls, words)
        self._works[what].start()

    def _passes(self, what: str, moment: Moment) -> int:
        """How often the network will run; switching blocks off takes one pass to find them."""
        passes = 1 + bool(moment.off) if what == "explanation" else 0
        if moment not in self._scenes:
            passes += 1 + bool(moment.off)
            passes += bool(moment.off) and dataclasses.replace(moment, off=()) not in self._scenes
        return passes

    def _computed(self, net: Any, moment: Moment, explained: bool) -> Scene:
        """The scene, as far as it is not there already."""
        scene, images = self._scenes.get(moment), self._images[moment.image]
        if scene is None:
            whole = self._scenes.get(dataclasses.replace(moment, off=()))
            kept = None if whole is None else whole.rec
            scene = recorded(net, images, moment, self._preset, self._alike(moment), kept)
        if explained and scene.exp is None and not scene.why:
            scene = with_explanation(net, images, scene, self._preset)
        return scene

    def _answered(
        self,
        what: str,
        scene: Scene,
        views: Mapping[str, PageView | str],
        before: Moment | None,
    ) -> tuple[dict[str, Any], bytes]:
        """What changes in the browser, which shows the moment `before`."""
        now = scene.moment
        if what == "scene":
            same = before is not None and (before.image, before.off) == (now.image, now.off)
            names = tuple(name for name in _PARTS if name != "maps" or not same)
            packed = self._packed(scene, views, names)
            return packed.meta, packed.buffer
        packed = self._packed(scene, views, ("explanation",))
        meta, buffer, maps = packed.meta, packed.buffer, views["maps"]
        if isinstance(maps, MapsView):  # the last layer's weights came with the explanation
            weight = maps.weights()
            meta["weight"] = {"meta": weight.meta, "at": len(buffer), "size": len(weight.buffer)}
            buffer += weight.buffer
        return meta, buffer

    def _alike(self, moment: Moment) -> Scene | None:
        """A scene with the same tensors: of the same photograph and blocks, for another class."""
        same = [
            s for m, s in self._scenes.items() if (m.image, m.off) == (moment.image, moment.off)
        ]
        return same[-1] if same else None

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
            if isinstance(view, PageView):
                view.give_up()

    # ---- without a kernel
    def figure(self) -> Figure:
        """The profile along depth, in its present state."""
        view = self._views["gradients"]
        if isinstance(view, str):
            raise ValueError(view)
        return view.figure()

    def picture(self, kind: str) -> bytes:
        """Photograph, map, channels and profile, as in a saved notebook: "png", "svg" or "pdf"."""
        return framed(self._still()[0], kind)

    def _still(self) -> tuple[bytes, str]:
        views = {name: view for name, view in self._views.items() if isinstance(view, PageView)}
        depth = self.selection.get("depth")
        at = float(depth) if isinstance(depth, (int, float)) else None
        return still_of(self.about, self._scene, views, at)


def _decoded(name: str, buffers: Sequence[Any], net: Any, preset: Any) -> tuple[Any, Whole | None]:
    """(1, 3, H, W) of a file's bytes, and the photograph."""
    from PIL import Image, UnidentifiedImageError

    if not buffers:
        raise ValueError(f"{_CALLER}: no bytes of {name!r} came; choose the file again.")
    try:
        picture = Image.open(io.BytesIO(bytes(buffers[0])))
        picture.load()
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{_CALLER}: {name!r} cannot be read as a picture; a PNG or JPEG file would be right."
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{_CALLER}: {name!r} is not readable ({error}); a picture that Pillow opens."
        ) from error
    images = load_images(picture, net, preset=preset)
    source = next(iter(sources(images, picture)), None)
    return images, None if source is None else source.whole()


def _state_of(net: Any) -> tuple[tuple[int, int], ...]:
    """Changes when a weight does: where each tensor lies, and how often it was written to."""
    tensors = [*net.parameters(), *net.buffers()]
    return tuple((tensor.data_ptr(), version(tensor)) for tensor in tensors)


@public
def explore(
    net: Any, images: Any, *, preset: Any = None, names: Sequence[str] | None = None
) -> ExploreView:
    """Look into a network: four linked views of one photograph, one class, one cursor over depth.

    Profiles along depth (:func:`explore_gradients`), feature maps (:func:`explore_feature_maps`),
    the explanation (:func:`explore_explanation`) and residual anatomy (:func:`explore_residuals`)
    of one recorded pass. A layer or a class chosen in one of them is chosen in all. A residual
    block can be switched off (:func:`drop_blocks`), and everything follows. Photographs can be
    added from the disk. The network itself is left as it was: what takes longer runs on a copy,
    says how far it is, and can be stopped.

    The gradients are of the logit of the chosen class, for the chosen photograph alone.

    Args:
        net: a network whose output means something (see :class:`Preset`): classes, labels, a logit,
            values (the first until another is chosen), a map. For features and detections there
            is :func:`explore_feature_maps`.
        images: as :func:`record` takes them; or what :func:`load_images` takes: files, a
            folder, PIL images. Of files and PIL images maps can be seen over the whole photograph.
        preset: names of classes and scale of the pictures, instead of the network's own.
        names: of the photographs; file names, or "image 0" and so on.

    Raises:
        TypeError: no network, or names that are no list.
        ValueError: no images, another number of names, or what :func:`record` refuses.
        UnreadableImage: a file that is no picture.

    Example:
        >>> import resviz as rv, torch
        >>> net = rv.load_model("cifar10-resnet20", device="cpu")
        >>> explore(net, torch.zeros(1, 3, 32, 32)).selection["off"]
        []
    """
    check_network(net)
    photographs: list[Source | None] = []
    if not _are_tensors(images):
        names = names if names is not None else _file_names(images)
        given, images = images, load_images(images, net, preset=preset)
        photographs = sources(images, given)
    inputs = check_images(net, images)
    if names is None or len(names) == 0:
        names = [f"image {number}" for number in range(inputs.count)]
    if isinstance(names, str) or len(names) != inputs.count:
        raise ValueError(f"{_CALLER}: names {names!r}; one for each of {inputs.count} images.")
    each = [inputs.one(number) for number in range(inputs.count)]
    return ExploreView(net, each, [str(name) for name in names], preset, photographs)


def _are_tensors(images: Any) -> bool:
    """True for what a network takes; False for files and pictures to be loaded."""
    several = isinstance(images, tuple | list) and any(map(_are_tensors, images))
    return several or isinstance(images, Mapping) or hasattr(images, "detach")


def _file_names(sources: Any) -> list[str] | None:
    """Names of files where every source is one; None for what load_images has to unpack."""
    listed = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    if not isinstance(listed, (list, tuple)):
        return None
    if not all(isinstance(s, (str, os.PathLike)) and not os.path.isdir(s) for s in listed):
        return None
    return [os.path.basename(os.fspath(source)) for source in listed]
