"""`explore_feature_maps`: every channel of every kept layer, in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resviz.arguments import Progress, public
from resviz.recording.said import said_by
from resviz.scanning.belonging import check_recording
from resviz.views.channels import has_maps, maps_of, pictures_of
from resviz.views.figure import Figure
from resviz.views.figures.feature_maps import plot_feature_maps
from resviz.views.figures.scanned import check_scan
from resviz.views.payload import Packing, Payload
from resviz.views.pictures import Floats, as_array
from resviz.views.records import is_explanation, is_recording
from resviz.views.widgets.host import Host
from resviz.views.widgets.maps_payload import Head, network_data
from resviz.views.widgets.messages import WeightAnswer
from resviz.views.widgets.strongest import Strongest
from resviz.views.widgets.view import Answered, View

if TYPE_CHECKING:
    from resviz.attribution.explanation import Explanation
    from resviz.recording.recording import Recording
    from resviz.scanning.scan import Scan

_MOST = 64 * 2**20  # bytes of maps in one message
_SEEN_FIRST = 48  # channels of a layer that are shown before "all" is asked for
_ROOM = 3 * 2**20  # bytes of the strongest images of a scan, on a page
_STILL = 24  # channels in the static picture
_CALLER = "explore_feature_maps"


class MapsView(View):
    """The view of :func:`explore_feature_maps`.

    ``selection`` holds ``network``, ``layer``, ``image``, ``channel``, ``class``, ``sort``
    ("contribution", "max", "mean", "index", "dead", "weight"), ``scale`` ("channel", "layer",
    "network"), ``show`` ("strongest", "all"), ``over`` (the photograph), ``colours``, ``compare``
    and ``beside``.
    """

    module = "feature_maps.js"

    def __init__(
        self,
        rec: Any,
        other: Any = None,
        explanation: Any = None,
        images: Any = None,
        strongest: Strongest | None = None,
    ) -> None:
        self._strongest = strongest
        self._records = [rec] if other is None else [rec, other]
        self._layers = [_mapped_layers(record) for record in self._records]
        self._images = [_wanted_images(record, images) for record in self._records]
        self._heads = [_head_of(record, explanation) for record in self._records]
        names = _names(self._records)
        self._names = names
        head = self._heads[0]
        weighed = isinstance(head, Head) and head.layer in self._layers[0]
        layer = head.layer if isinstance(head, Head) and weighed else self._layers[0][0]
        selection = {"network": 0, "layer": layer, "image": 0, "channel": None, "class": None}
        selection |= {"sort": "contribution" if weighed else "max", "scale": "channel"}
        selection |= {"show": "strongest", "over": True, "colours": "viridis"}
        compare = {"compare": "none" if other is None else "network", "beside": None}
        super().__init__(f"Feature maps of {' and '.join(names)}", selection | compare)

    def payload(self) -> Payload:
        """Every kept layer that has maps, one byte a value, with the channels' statistics."""
        packing = Packing()
        parts = zip(
            self._records, self._layers, self._images, self._heads, self._names, strict=True
        )
        networks = [network_data(packing, *part) for part in parts]
        scan = None if self._strongest is None else self._strongest.header()
        return packing.payload({"networks": networks, "scan": scan})

    def page_payload(self, lesions: bool, progress: Progress) -> Payload:
        """With a scan: the strongest images of the channels that the page opens on, too."""
        payload = super().page_payload(lesions, progress)
        if self._strongest is None:
            return payload
        return self._strongest.on_page(payload, self._foremost_channels(), _ROOM)

    def _foremost_channels(self) -> dict[str, list[int]]:
        """Those that are seen at first, of every layer, the chosen photograph's before others'."""
        chosen, images = int(self.selection.get("image") or 0), self._images[0]
        sort = str(self.selection.get("sort"))
        found: dict[str, list[int]] = {}
        for image in [images[chosen], *(each for each in images if each != images[chosen])]:
            for layer in self._layers[0]:
                pictures = pictures_of(self._records[0], layer)
                if pictures is not None:
                    order = self._order(0, layer, pictures.maps[image], sort)[:_SEEN_FIRST]
                    found.setdefault(layer, []).extend(order.tolist())
        return found

    def figure(self) -> Figure:
        """The chosen layer's first channels in the chosen order."""
        chosen = self.selection
        number = int(chosen.get("network") or 0)
        rec, image = self._records[number], self._images[number][int(chosen.get("image") or 0)]
        sort, layer = str(chosen.get("sort")), str(chosen.get("layer"))
        found = pictures_of(rec, layer)
        order = (
            np.arange(0) if found is None else self._order(number, layer, found.maps[image], sort)
        )
        if sort not in ("mean", "max"):
            sort = "index"
        scale = "unit" if chosen.get("scale") == "channel" else "layer"
        listed = [int(channel) for channel in order[:_STILL]] or _STILL
        return plot_feature_maps(rec, _key(layer), image, channels=listed, sort=sort, scale=scale)

    def _order(self, number: int, layer: str, maps: Floats, sort: str) -> NDArray[np.int64]:
        """Channels of (C, h, w) maps as the browser orders them."""
        head, index = self._heads[number], int(self.selection.get("class") or 0)
        if self.selection.get("class") is None and isinstance(head, Head):
            index = self._foremost(number)
        flat = maps.reshape(len(maps), -1)
        if sort in ("weight", "contribution"):
            if not isinstance(head, Head) or head.layer != layer:
                return _largest_first(flat.max(axis=1))
            weight = head.weight[index]
            return _largest_first(weight if sort == "weight" else weight * flat.mean(axis=1))
        keys = {"dead": (flat == 0).mean(axis=1), "mean": flat.mean(axis=1)}
        keys["max"] = flat.max(axis=1)
        return _largest_first(keys[sort]) if sort in keys else np.arange(len(flat))

    def _foremost(self, number: int) -> int:
        """The class that the network says first of the chosen photograph."""
        said = said_by(self._records[number])
        image = self._images[number][int(self.selection.get("image") or 0)]
        return 0 if said is None else int(said.ranked[image, 0])

    def answer(self, what: str, request: dict[str, Any]) -> Answered:
        """The last layer's weights for a class; the images that a channel answers to most."""
        if what == "strongest" and self._strongest is not None:
            return self._strongest.answer(request)
        if what != "weight":
            return super().answer(what, request)
        head = self._heads[int(request["network"])]
        if not isinstance(head, Head):
            raise ValueError(f"{_CALLER}: {head}")
        index = int(request["class"])
        if not 0 <= index < len(head.weight):
            raise ValueError(f"{_CALLER}: class {index}; 0 to {len(head.weight) - 1}.")
        return WeightAnswer({"class": index}), [head.weight[index].tobytes()]


def _largest_first(keys: NDArray[Any]) -> NDArray[np.int64]:
    return np.argsort(-np.nan_to_num(keys, nan=-np.inf), kind="stable")


def _mapped_layers(rec: Any) -> list[str]:
    if not is_recording(rec):
        raise TypeError(f"{_CALLER}: a {type(rec).__name__}; a recording of rv.record.")
    layers = [key for key, tensor in rec.tensors.items() if tensor.numel()]
    layers = [key for key in layers if has_maps(rec, key)]
    if not layers:
        raise ValueError(
            f"{_CALLER}: no feature maps in this recording; kept layers with (N, C, H, W), "
            "(N, C, L) or (N, T, C) would be right. Record with keep='blocks'; of video, "
            "rv.plot_feature_maps(rec, layer, frame=...) draws one frame after the other."
        )
    return layers


def _wanted_images(rec: Any, images: Sequence[int] | None) -> list[int]:
    """Which photographs go to the browser: those asked for, else as many as fit."""
    count = int(rec.provenance["images"])
    if images is None:
        size = sum(rec.tensors[key].numel() for key in _mapped_layers(rec)) // max(1, count)
        return list(range(max(1, min(count, _MOST // max(1, size)))))
    listed = [int(image) for image in images]
    wrong = [image for image in listed if not 0 <= image < count]
    if wrong or not listed:
        raise ValueError(f"{_CALLER}: images {wrong or '[]'}; the recording has 0 to {count - 1}.")
    return listed


def _names(records: Sequence[Any]) -> list[str]:
    names = [str(rec.provenance.get("network", "network")) for rec in records]
    if len(set(names)) < len(names):
        names = [
            f"{name} ({rec.provenance.get('weights')})"
            for name, rec in zip(names, records, strict=True)
        ]
    if len(set(names)) < len(names):
        names = [f"{name}, {which}" for name, which in zip(names, ("first", "second"), strict=True)]
    return names


def _head_of(rec: Any, explanation: Any) -> Head | str:
    """The last linear layer where it weighs a kept layer's channels; else why not."""
    if explanation is None:
        return "pass explanation="
    if not is_explanation(explanation):
        raise TypeError(
            f"{_CALLER}: explanation is a {type(explanation).__name__}; an Explanation, as "
            "rv.explain gives it, is right."
        )
    try:
        head = explanation.all_classes
    except ValueError:
        return "no single linear layer at the end"
    weight, bias = as_array(head.weight), as_array(head.bias)
    said = said_by(rec)
    logits = None if said is None else said.scores
    if logits is None or logits.shape[1:] != bias.shape:
        return "weights of another network" if head.layer in rec.tensors else _unkept(head.layer)
    if not np.isfinite(logits).all():
        return "logits that are not finite"
    # a stage's output is its last block's, which may be what was kept
    for layer in dict.fromkeys([head.layer, *reversed(rec.tensors)]):
        if layer in rec.tensors and _makes(rec, layer, weight, bias, logits):
            return Head(layer, weight)
    return "weights of another network" if head.layer in rec.tensors else _unkept(head.layer)


def _unkept(layer: str) -> str:
    return f"{layer} was not kept"


def _makes(rec: Any, layer: str, weight: Floats, bias: Floats, logits: Floats) -> bool:
    """True where the weights make these logits of this layer's means: the numbers decide."""
    maps = maps_of(rec, layer)[1] if has_maps(rec, layer) else np.empty(0)
    if maps.ndim != 4 or maps.shape[1] != weight.shape[1]:
        return False
    difference = np.abs(maps.mean(axis=(2, 3)) @ weight.T + bias - logits).max()
    return bool(difference <= 1e-2 * np.abs(logits).max())


def _key(key: str) -> Any:
    name, _, call = key.partition("#")
    return (name, int(call)) if call else name


@public
def explore_feature_maps(
    rec: Recording,
    other: Recording | None = None,
    *,
    explanation: Explanation | None = None,
    images: Sequence[int] | None = None,
    scan: Scan | None = None,
) -> Host[MapsView]:
    """A widget to browse the feature maps of a recording, every channel of every kept layer.

    It opens on the 48 strongest channels of a layer, each on its own colour scale over the
    photograph: those with the largest values, or, with `explanation`, those that add most to the
    class. The button "all" shows every channel at once. Tokens of patches stand where the patches
    were; a class token is left out.

    All maps go to the browser once, one byte a value; layers, channels, orders and colour scales
    change there without the kernel, and in the page of ``view.save_html``. Keys: arrows move
    between channels, [ and ] between layers; ? lists all. No network is run.

    A value is read back to half a step, 1/508 of its channel's range; zeros are exact. Means and
    maxima are exact.

    Args:
        rec: a Recording with kept tensors: ``record(net, images, keep="blocks")``.
        other: a second recording to compare with, layer by layer, as of another network.
        explanation: an Explanation of the same network: its last linear weights order the channels
            of the layer in front of them, at which the view opens.
        images: which photographs of the recording; all that fit in 64 MiB where None.
        scan: of :func:`resviz.scan`, of the same network: the channel that is chosen shows the
            images of the data set that it answers to most, cropped to what its maximum saw. A page
            carries those of the channels that it opens on, in 3 MiB at most.

    Raises:
        TypeError: no recording, or no scan.
        ValueError: nothing was kept that has maps, no such photograph, or a scan without top images
            or of another network, as far as its name, weights and channels tell.

    Example:
        >>> import resviz as rv, torch
        >>> net = rv.load_model("cifar10-resnet20", device="cpu")
        >>> rec = rv.record(net, torch.zeros(1, 3, 32, 32), keep="blocks")
        >>> explore_feature_maps(rec).selection["layer"]
        'relu'
    """
    strongest = None
    if scan is not None:
        check_scan(_CALLER, scan)
        _mapped_layers(rec)  # says what is wrong with the recording
        check_recording(scan, rec)
        strongest = Strongest(scan)
    return Host(MapsView(rec, other, explanation, images, strongest))
