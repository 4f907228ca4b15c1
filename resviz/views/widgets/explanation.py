"""`explore_explanation`: what a prediction rests on; where the head allows it, for any class."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from resviz.arguments import public
from resviz.attribution.methods.registry import METHODS
from resviz.recording.said import said_by
from resviz.sessions.explaining import check_maps, explained_first
from resviz.sessions.maps import PICTURES, Maps
from resviz.sessions.work import Job, Work
from resviz.views.figure import Figure
from resviz.views.figures.explanation import plot_explanation
from resviz.views.figures.quantities import conditions
from resviz.views.overlays import Whole
from resviz.views.payload import Packing, Payload
from resviz.views.pictures import as_array, as_pixels
from resviz.views.records import is_explanation
from resviz.views.widgets.explanation_payload import (
    check_rows,
    check_words,
    classes_of,
    head_of,
    head_payload,
)
from resviz.views.widgets.host import Host
from resviz.views.widgets.messages import FaithfulnessAnswer, MapAnswer
from resviz.views.widgets.originals import packed, wholes_of
from resviz.views.widgets.view import Answered, View

if TYPE_CHECKING:
    from resviz.attribution.explanation import Explanation
    from resviz.given import Images, Network
    from resviz.images.loading import Sources
    from resviz.preset import Preset

_CALLER = "explore_explanation"
_CHECKED = {"method", "layer", "image", "target"}  # columns of a table of faithfulness


class ExplanationPage(View):
    """The view of :func:`explore_explanation`."""

    module = "explanation.js"
    weight = True  # whether the head's weights are sent
    pictured = True  # whether the photographs are
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
        self._originals = list(originals)
        self._names = _names(names, len(exp.targets))
        self._exp, self._net = exp, net
        self._checks, self._checked = check_rows(table), check_words(table)
        self._head = head_of(exp)
        self._classes = classes_of(exp, self._head)
        self._maps = Maps(exp, self._classes, self._head, net, images, preset, without)
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
        pictures = exp.pictures if self.pictured else None
        pictures = None if pictures is None else packing.add(as_pixels(pictures))
        about = {**exp.provenance}
        said = said_by(exp)
        known = None if said is None else said.scores
        scores = None if known is None else packing.add(known.astype(np.float32))
        words = [html.unescape(each) for each in conditions(about).values()]
        return packing.payload(
            {
                "network": str(about.get("network", "network")),
                "conditions": " · ".join(words),
                "untrained": bool(about.get("untrained")),
                "methods": {
                    name: f"{row.definition} ({row.paper})" for name, row in METHODS.items()
                },
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
                        "signed": self._maps.is_signed(method),
                        "blank": self._blank(method, layer),
                        **packing.add_pixels(_table(values), groups=2),
                    }
                    for (method, layer), values in exp.maps.items()
                ],
                "head": self._head and head_payload(packing, self._head, self.compact, self.weight),
                "asks": self._maps.asks,
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

    def _blank(self, method: str, layer: str) -> list[str]:
        """Why maps of this method and layer are zero, in the record's own words."""
        start = f"{method} at {layer}, "
        notes = self._exp.provenance.get("notes") or ()
        return [str(note) for note in notes if str(note).startswith(start)]

    # ---- what the browser asks for
    def answer(self, what: str, request: dict[str, Any]) -> Answered:
        """A map that is not in the record."""
        if what != "map":
            return super().answer(what, request)
        values = as_array(self._maps.map_of(self._maps.wanted(request)))
        return MapAnswer(shape=list(values.shape)), [values.tobytes()]

    def job(self, what: str, request: dict[str, Any]) -> Job | None:
        """The checks of one map, on a copy of the network: a cell may be using it."""
        if what != "faithfulness":
            return None
        wanted = self._maps.wanted(request)
        measured = self._maps.measuring(wanted)

        def make(work: Work) -> tuple[FaithfulnessAnswer, list[bytes]]:
            table = measured(work.tick)
            row = check_rows(table)[0] | {"image": wanted.image, "part": "method"}
            checked = check_words(table)
            work.settle(partial(self._keep_check, row, checked))
            return FaithfulnessAnswer(row=row, checked=checked), []

        return Job(make, PICTURES, "faithfulness: pictures")

    def _keep_check(self, row: dict[str, Any], checked: str) -> None:
        self._checks, self._checked = [*self._checks, row], checked
        self._packed = None

    # ---- without a kernel
    def figure(self) -> Figure:
        """The chosen map over the photograph."""
        chosen = self.selection
        image, part = int(chosen.get("image") or 0), str(chosen.get("part"))
        shown = self._maps.shown(image, chosen)
        (key, values), *_ = shown.maps.items()
        maps = values if part == "signed" else values.clip(min=0)
        whole = self._originals[image] if image < len(self._originals) else None
        wanted = chosen.get("under") == "file" and self._is_of_main(key[1])
        return plot_explanation(
            dataclasses.replace(shown, maps={key: maps}),
            0,
            opacity=float(chosen.get("opacity", 0.6)),
            magnitude=str(chosen.get("colours", "viridis")).capitalize(),
            name=self._names[image],
            original=whole if wanted else None,
        )

    def _is_of_main(self, layer: str) -> bool:
        """Of several inputs, whether a layer's map is about the one whose photograph is known."""
        name = self._exp.input_of(layer)
        return name is None or name == self._exp.provenance.get("input")


def _table(values: Any) -> Any:
    """(N, T, h, w); zeros, which no picture shows, where an image has fewer targets."""
    if not isinstance(values, tuple):
        return as_array(values)
    rows = [as_array(each) for each in values]
    most = max(map(len, rows))
    return np.stack([np.pad(r, ((0, most - len(r)), (0, 0), (0, 0))) for r in rows])


# ---- the public function
@public
def explore_explanation(
    net_or_exp: Network | Explanation,
    images: Images | None = None,
    *,
    preset: Preset | None = None,
    faithfulness: pd.DataFrame | None = None,
    explanation: Explanation | None = None,
    names: Sequence[str] | None = None,
    originals: Sources | None = None,
) -> Host[ExplanationPage]:
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
        return Host(ExplanationPage(net_or_exp, table=table, names=names, originals=wholes))
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
    exp = explanation if explanation is not None else explained_first(net_or_exp, images, preset)
    check_maps(exp)
    wholes = wholes_of(exp, images, originals, _CALLER)
    view = ExplanationPage(exp, net_or_exp, images, preset, table, names, originals=wholes)
    return Host(view)


def _names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [f"image {number}" for number in range(count)]
    if isinstance(names, str) or len(names) != count:
        raise ValueError(f"{_CALLER}: names {names!r}; one for each of {count} photographs.")
    return [str(name) for name in names]
