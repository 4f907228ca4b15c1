"""`explore_explanation`: what a prediction rests on; where the head allows it, for any class."""

from __future__ import annotations

import copy
import dataclasses
import html
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from resviz.arguments import public
from resviz.attribution.explain import explain
from resviz.attribution.methods.registry import METHODS
from resviz.attribution.target import target
from resviz.attribution.trust.faithfulness import faithfulness
from resviz.errors import quiet
from resviz.hooks import Hooks
from resviz.networks.anatomy.survey import survey
from resviz.networks.inputs import check_hookable, check_images
from resviz.recording.said import said_by
from resviz.sessions.explaining import altered, check_maps, explained
from resviz.sessions.work import Work
from resviz.views.figure import Figure
from resviz.views.figures.explanation import plot_explanation
from resviz.views.figures.quantities import conditions
from resviz.views.overlays import Whole
from resviz.views.payload import Packing, Payload
from resviz.views.pictures import as_array, as_pixels
from resviz.views.records import is_explanation
from resviz.views.widgets.explanation_payload import (
    CHECKS,
    HEAD_METHODS,
    check_rows,
    check_words,
    classes_of,
    head_of,
    head_payload,
)
from resviz.views.widgets.originals import packed, wholes_of
from resviz.views.widgets.page_view import PageView

_CALLER = "explore_explanation"
_QUICK = tuple(name for name, row in METHODS.items() if row.kind in ("gradients", "activations"))
_CHECKED = {"method", "layer", "image", "target"}  # columns of a table of faithfulness
_KNOWN = 256  # maps kept after they were asked for
# of a faithfulness: the first pass; a picture, two ends; 27 steps of each curve, for four maps; 3
# steps of each, for 39 rivals
_PICTURES = 1 + 3 + 2 * 27 * (1 + 3) + 2 * 3 * 39


class ExplanationPage(PageView):
    """The view of :func:`explore_explanation`."""

    module = "explanation.js"
    compact = False  # fewer bytes for the head's numbers, at a stated error

    def __init__(
        self,
        exp: Any,
        net: Any = None,
        images: Any = None,
        preset: Any = None,
        table: Any = None,
        names: Sequence[str] | None = None,
        without: Sequence[str] = (),
        originals: Sequence[Whole | None] = (),
    ) -> None:
        self._without = list(without)
        self._originals = list(originals)
        self._names = _names(names, len(exp.targets))
        self._exp, self._net, self._images, self._preset = exp, net, images, preset
        self._checks, self._checked = check_rows(table), check_words(table)
        self._head = head_of(exp)
        self._classes = classes_of(exp, self._head)
        self._asked: dict[tuple[Any, ...], Any] = {}
        self._work: Work | None = None
        method, layer = self._beginning()
        first = int(exp.targets[0][0])
        named = 0 <= first < len(self._classes)
        selection: dict[str, Any] = {
            "image": 0,
            "class": first if named else None,
            "contrast": None,
        }
        selection |= {"recorded": None if named else 0, "method": method, "layer": layer}
        selection |= {"part": "positive", "opacity": 0.6, "colours": "viridis", "under": "seen"}
        network = exp.provenance.get("network", "network")
        super().__init__(f"Explanation of {network}", selection)

    @property
    def explanation(self) -> Any:
        """What it shows."""
        return self._exp

    def _beginning(self) -> tuple[str, str]:
        """Grad-CAM at the head where it is recorded; else the last layer of the first method."""
        if self._head is not None and ("grad_cam", self._head.layer) in self._exp.maps:
            return "grad_cam", str(self._head.layer)
        first = self._exp.methods[0]
        return next(key for key in reversed(list(self._exp.maps)) if key[0] == first)

    # ---- what is sent
    def payload(self) -> Payload:
        """The record's maps, one byte a value; the head's numbers; the checks that were given."""
        exp, packing = self._exp, Packing()
        pictures = None if exp.pictures is None else packing.add(as_pixels(exp.pictures))
        about = {**exp.provenance}
        said = said_by(exp)
        known = None if said is None else said.scores
        scores = None if known is None else packing.add(known.astype(np.float32))
        words = [html.unescape(each) for each in conditions(about).values()]
        return packing.payload(
            {
                "network": str(about.get("network", "network")),
                "conditions": " · ".join(words),
                "classes": self._classes,
                "images": len(exp.targets),
                "image_names": self._names,
                "pictures": pictures,
                "over": self._over(packing),
                "originals": [packed(packing, each) for each in self._originals],
                "size": list(about.get("input_shape") or (0, 0, 0, 0))[-2:],
                "logits": scores,
                "said": None if said is None else {"word": said.word, "units": said.units},
                "output": None if said is None else said.kind,
                "targets": [[int(index) for index in row] for row in exp.targets],
                "names": [[str(name) for name in row] for row in exp.target_names],
                "maps": [
                    {
                        "method": method,
                        "layer": layer,
                        "signed": self._is_signed(method),
                        "blank": self._blank(method, layer),
                        **packing.add_pixels(_table(values), groups=2),
                    }
                    for (method, layer), values in exp.maps.items()
                ],
                "head": self._head and head_payload(packing, self._head, self.compact),
                "asks": self._asks(),
                "checks": self._checks,
                "checked": self._checked,
            }
        )

    def _over(self, packing: Packing) -> dict[str, Any]:
        """Of several inputs: the photographs of layers whose maps are about another."""
        exp, known = self._exp, dict[str, Any]()
        over: dict[str, Any] = {}
        for layer in exp.layers:
            name = exp.input_of(layer)
            if name is None or self._is_of_main(layer):
                continue
            if name not in known:
                pictures = exp.pictures_of(layer)
                known[name] = None if pictures is None else packing.add(as_pixels(pictures))
            shape = exp.provenance["inputs"][name]
            over[layer] = {"pictures": known[name], "size": list(shape)[-2:]}
        return over

    def _is_signed(self, method: str) -> bool:
        row = METHODS.get(method)
        return self._exp.provenance.get("relu") is False or (row is not None and row.signed)

    def _blank(self, method: str, layer: str) -> list[str]:
        """Why maps of this method and layer are zero, in the record's own words."""
        start = f"{method} at {layer}, "
        notes = self._exp.provenance.get("notes") or ()
        return [str(note) for note in notes if str(note).startswith(start)]

    def _asks(self) -> dict[str, list[str]] | None:
        """What the kernel can be asked for; None where there is no network."""
        if self._net is None:
            return None
        layers = [layer for layer in self._exp.layers if layer != "input"]
        return {"methods": list(_QUICK), "layers": layers}

    # ---- what the browser asks for
    def answer(self, what: str, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """A map that is not in the record."""
        if what != "map":
            return super().answer(what, request)
        values = as_array(self._explained(self._wanted(request)).maps_of_one)
        return {"shape": list(values.shape)}, [values.tobytes()]

    def _wanted(self, request: Mapping[str, Any]) -> _Wanted:
        """The question, read with care: it comes from outside."""
        if self._net is None:
            raise ValueError(
                f"{_CALLER}: this explanation came without its network; "
                f"{_CALLER}(net, images) computes more."
            )
        image, outputs = int(request["image"]), len(self._classes)
        classes = [request.get("class"), request.get("contrast")]
        given = [int(each) for each in classes if each is not None]
        if not 0 <= image < len(self._exp.targets):
            raise ValueError(f"{_CALLER}: image {image} of {len(self._exp.targets)}.")
        if classes[0] is None or not all(0 <= index < outputs for index in given):
            raise ValueError(f"{_CALLER}: class {classes[0]}; 0 to {outputs - 1}.")
        asks = self._asks() or {}
        method, layer = str(request["method"]), str(request["layer"])
        recorded = (method, layer) in self._exp.maps
        if not recorded and (method not in asks["methods"] or layer not in asks["layers"]):
            raise ValueError(f"{_CALLER}: no {method} at {layer}.")
        relu = request.get("part") != "signed"
        return _Wanted(image, given[0], given[1] if len(given) > 1 else None, method, layer, relu)

    def _explained(self, wanted: _Wanted) -> _One:
        key = dataclasses.astuple(wanted)
        if key not in self._asked:
            made = self._explain(self._net, wanted)
            while len(self._asked) >= _KNOWN:
                self._asked.pop(next(iter(self._asked)))
            self._asked[key] = made
        return _One(self._asked[key], wanted)

    def _explain(self, net: Any, wanted: _Wanted) -> Any:
        with quiet(), self._altered(net):  # the view says why a map is blank
            return explain(
                net,
                self._one_image(wanted.image),
                wanted.target(),
                methods=wanted.method,
                layers="auto" if wanted.layer == "input" else _layer(wanted.layer),
                relu=wanted.relu,
                preset=self._preset,
                progress=False,
            )

    def _altered(self, net: Any) -> AbstractContextManager[None]:
        """The network as it was explained: some of its blocks may have been switched off."""
        return altered(net, self._without, self._one_image(0))

    def _one_image(self, image: int) -> Any:
        return check_images(self._net, self._images).one(image)

    # ---- long work: the checks of one map, beside the kernel's own work
    def _answer(self, request: dict[str, Any]) -> None:
        if request.get("what") == "faithfulness":
            self._start(request)
        else:
            super()._answer(request)

    def _start(self, request: dict[str, Any]) -> None:
        number = str(request.get("id"))
        try:
            make, total, words = self.measuring(request)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            self.send({"type": "error", "id": number, "text": str(error.args[0])})
            return
        if self._work is not None:
            self._work.stop()
        self._work = Work(self, number, make, total, words)
        self._work.start()

    def measuring(
        self, request: Mapping[str, Any]
    ) -> tuple[Callable[[Work], tuple[dict[str, Any], list[bytes]]], int, str]:
        """What measures a map's faithfulness, on a copy: a cell may be using the network.

        Returns:
            (a function of the :class:`Work` that runs it, its ticks, what they count).
        """
        wanted = dataclasses.replace(self._wanted(request), relu=True)
        net = copy.deepcopy(self._net)
        return partial(self._measure, net, wanted), _PICTURES, "faithfulness: pictures"

    def _measure(self, net: Any, wanted: _Wanted, work: Work) -> tuple[dict[str, Any], list[bytes]]:
        """`faithfulness` of one map, on a copy of the network; kept for the exported page."""
        exp = self._explain(net, wanted)
        with self._altered(net), Hooks() as hooks:
            hooks.before_forward(net, lambda _, args: work.tick(len(args[0])))
            table = faithfulness(
                net,
                self._one_image(wanted.image),
                exp,
                wanted.target() if wanted.contrast is not None else None,
                checks=CHECKS,
                preset=self._preset,
                progress=False,
            )
        row = check_rows(table)[0] | {"image": wanted.image, "part": "method"}
        checked = check_words(table)
        work.settle(partial(self._keep_check, row, checked))
        return {"row": row, "checked": checked}, []

    def _keep_check(self, row: dict[str, Any], checked: str) -> None:
        self._checks, self._checked = [*self._checks, row], checked
        self._payload = None

    def stop(self, request: str) -> None:
        """Give up the measurement that this question began."""
        if self._work is not None and self._work.number == request:
            self._work.stop()

    def give_up(self) -> None:
        """Stop the measurement: nobody looks at this explanation any more."""
        if self._work is not None:
            self._work.stop()

    # ---- without a kernel
    def figure(self) -> Figure:
        """The chosen map over the photograph."""
        chosen = self.selection
        image, part = int(chosen.get("image") or 0), str(chosen.get("part"))
        shown = self._shown(image)
        (key, values), *_ = shown.maps.items()
        maps = values if part == "signed" else values.clip(min=0)
        whole = self._originals[image] if image < len(self._originals) else None
        wanted = chosen.get("under") == "file" and self._is_of_main(key[1])
        return plot_explanation(
            dataclasses.replace(shown, maps={key: maps}),
            0,
            opacity=float(chosen.get("opacity", 0.6)),
            magnitude=str(chosen.get("colours", "viridis")).capitalize(),
            name=f"image {image}",
            original=whole if wanted else None,
        )

    def _is_of_main(self, layer: str) -> bool:
        """Of several inputs, whether a layer's map is about the one whose photograph is known."""
        name = self._exp.input_of(layer)
        return name is None or name == self._exp.provenance.get("input")

    def _shown(self, image: int) -> Any:
        """An Explanation of the one chosen map: of the record, of the head, or as asked for."""
        chosen, exp = self.selection, self._exp
        if not 0 <= image < len(exp.targets):
            raise ValueError(f"{_CALLER}: image {image} of {len(exp.targets)}.")
        key = (str(chosen.get("method")), str(chosen.get("layer")))
        position = self._position(image)
        signed = chosen.get("part") == "signed"
        usable = position is not None and key in exp.maps
        if usable and (not signed or self._is_signed(key[0])):
            return self._single(image, key, exp.maps[key][image][position], position)
        if chosen.get("class") is not None and self._at_head(key):
            which = target(int(chosen["class"]))
            if chosen.get("contrast") is not None:
                which = which - target(int(chosen["contrast"]))
            values = self._head.map(which, relu=False)[image] * self._factor(key[0])
            return self._single(image, key, values, None)
        if self._net is not None and chosen.get("class") is not None:
            wanted = self._wanted({**chosen, "image": image})
            return self._single(image, key, self._explained(wanted).maps_of_one, None)
        if usable:
            return self._single(image, key, exp.maps[key][image][position], position)
        raise ValueError(f"{_CALLER}: no {key[0]} at {key[1]} for this target in the record.")

    def _position(self, image: int) -> int | None:
        """Of the chosen target among the image's recorded ones."""
        chosen, known = self.selection, self._exp.targets[image]
        if chosen.get("recorded") is not None:
            position = int(chosen["recorded"])
            return position if 0 <= position < len(known) else None
        if chosen.get("contrast") is not None or chosen.get("class") not in known:
            return None
        return int(known.index(chosen["class"]))

    def _at_head(self, key: tuple[str, str]) -> bool:
        return self._head is not None and key[1] == self._head.layer and key[0] in HEAD_METHODS

    def _factor(self, method: str) -> float:
        """`AllClasses.map` is Grad-CAM; CAM has no mean over the positions."""
        return float(np.prod(self._head.activations.shape[2:])) if method == "cam" else 1.0

    def _single(self, image: int, key: tuple[str, str], values: Any, position: int | None) -> Any:
        exp = self._exp
        name = self._name() if position is None else exp.target_names[image][position]
        return dataclasses.replace(
            exp,
            maps={key: values[None, None]},
            targets=[[-1]],
            target_names=[[name]],
            scores=exp.scores[image : image + 1, :1],
            logits=None,
            pictures=None if exp.pictures is None else exp.pictures[image : image + 1],
            heads=(),
            parts=None,
        )

    def _name(self) -> str:
        named = [self.selection.get("class"), self.selection.get("contrast")]
        return " - ".join(self._classes[int(each)] for each in named if each is not None)


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """One map that is asked for."""

    image: int
    index: int
    contrast: int | None
    method: str
    layer: str
    relu: bool

    def target(self) -> Any:
        """As `explain` takes it."""
        if self.contrast is None:
            return self.index
        return target(self.index) - target(self.contrast)


@dataclasses.dataclass(frozen=True)
class _One:
    """An explanation of one image and target by one method at one layer."""

    exp: Any
    wanted: _Wanted

    @property
    def maps_of_one(self) -> Any:
        """(h, w)."""
        return next(iter(self.exp.maps.values()))[0, 0]


def _table(values: Any) -> Any:
    """(N, T, h, w); zeros, which no picture shows, where an image has fewer targets."""
    if not isinstance(values, tuple):
        return as_array(values)
    rows = [as_array(each) for each in values]
    most = max(map(len, rows))
    return np.stack([np.pad(r, ((0, most - len(r)), (0, 0), (0, 0))) for r in rows])


def _layer(key: str) -> Any:
    name, _, call = key.partition("#")
    return [(name, int(call))] if call else key


# ---- the public function
@public
def explore_explanation(
    net_or_exp: Any,
    images: Any = None,
    *,
    preset: Any = None,
    faithfulness: Any = None,
    explanation: Any = None,
    names: Sequence[str] | None = None,
    originals: Any = None,
) -> ExplanationPage:
    """A widget on the reasons for a prediction: photograph, class, method and layer to choose.

    Where global pooling and one linear layer end the network, the browser itself computes the
    Grad-CAM of any class there, and of one class minus another, from the layer's activations and
    the linear weights. What else the explanation holds changes there without the kernel, too, and
    in the page of ``view.save_html``. The rest is asked of the kernel, with a network only.

    Maps are raw; colours reach from 0 to the map's largest value, or, signed, from blue over white
    at 0 to red. Recorded maps are read back to half a step, 1/508 of the map's range; the head's
    numbers go as float32 up to 4 MiB, as float16 up to 32 MiB, else as one byte each: the view
    says which, and how far the maps made of them are off at most (0.04 % of the map's largest
    value over ResNet-50's 1000 classes on a photograph).

    Args:
        net_or_exp: an Explanation, to browse what it holds; or a network.
        images: with a network: (N, 3, H, W) as it wants them. The predicted classes are explained
            at once, by the methods of one shared pass, at every residual block.
        preset: with a network: names of classes and scale of the pictures, instead of its own.
        faithfulness: a table of :func:`resviz.faithfulness`, whose lines stand under the pictures.
            With a network, a button measures those that are missing.
        explanation: with a network: what was explained already, shown instead.
        names: of the photographs, in place of "image 0" and so on.
        originals: the photographs that the images of :func:`load_images` were cut from (files, PIL
            images, arrays), one for each, or None: maps can then be seen, and exported, over the
            whole of them, as :meth:`Explanation.on_original` places them.

    Raises:
        TypeError: neither, or a network without images, or no such table.
        UnreadableImage: an original that is no picture.
        ValueError: the network has no layer with positions, or they are not rows and columns:
            :func:`resviz.plot_explanation` draws maps of signals, text and video; originals of
            other images, or nobody knows where the images were in them.

    Example:
        >>> import resviz as rv, torch
        >>> net = rv.load_model("cifar10-resnet20", device="cpu")
        >>> exp = rv.explain(net, torch.zeros(1, 3, 32, 32), 3)
        >>> explore_explanation(exp).selection["class"]
        3
    """
    table = faithfulness
    if table is not None and not (isinstance(table, pd.DataFrame) and set(table) >= _CHECKED):
        raise TypeError(
            f"{_CALLER}: faithfulness is a {type(table).__name__}; a table of rv.faithfulness "
            "would be right."
        )
    if is_explanation(net_or_exp):
        check_maps(net_or_exp)
        wholes = wholes_of(net_or_exp, None, originals, _CALLER)
        return ExplanationPage(net_or_exp, table=table, names=names, originals=wholes)
    if not hasattr(net_or_exp, "forward") or images is None:
        raise TypeError(
            f"{_CALLER}: a {type(net_or_exp).__name__}"
            f"{'' if images is not None else ' and no images'}; an Explanation, or a network and "
            "images, would be right."
        )
    if explanation is not None and not is_explanation(explanation):
        raise TypeError(
            f"{_CALLER}: explanation is a {type(explanation).__name__}; an Explanation."
        )
    exp = explanation if explanation is not None else _first(net_or_exp, images, preset)
    check_maps(exp)
    wholes = wholes_of(exp, images, originals, _CALLER)
    return ExplanationPage(exp, net_or_exp, images, preset, table, names, originals=wholes)


def _names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [f"image {number}" for number in range(count)]
    if isinstance(names, str) or len(names) != count:
        raise ValueError(f"{_CALLER}: names {names!r}; one for each of {count} photographs.")
    return [str(name) for name in names]


def _first(net: Any, images: Any, preset: Any) -> Any:
    """The predicted classes at every block, by the methods that one pass serves."""
    check_hookable(net)
    inputs = check_images(net, images)
    return explained(net, inputs, None, preset, survey(net, inputs).table)
