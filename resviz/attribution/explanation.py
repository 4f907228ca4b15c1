"""`Explanation`: maps over the input, raw, with what they explain."""

from __future__ import annotations

import functools
import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd
from torch import Tensor

from resviz import storage
from resviz.arguments import caller, public, public_as
from resviz.attribution.channels import Channels
from resviz.attribution.diagnosis import findings
from resviz.attribution.head import AllClasses
from resviz.attribution.original import origins_of, placed
from resviz.attribution.places import resized, size_in
from resviz.attribution.saved import TENSORS, read, write
from resviz.attribution.split import Split
from resviz.storage import Provenance

# (N, T, *positions); N of (T, *positions) where images have targets in different numbers
Map = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps of several methods at several layers. Made by :func:`resviz.explain`.

    Attributes:
        maps: (method, layer) to (N, T, h, w): N images, T targets each, h x w positions of the
            layer; (N, T, l) of signals and tokens, (N, T, t, h, w) of video. Raw: the method's own
            ReLU, no scaling, no resizing. A second call of a module is the layer
            "layer1.0.relu#1"; maps over the pixels have the layer "input". Where images have
            different numbers of targets, a tuple of N tensors (T_n, h, w) instead.
        targets: indices, N lists of T; -1 for a difference or a function. Of one logit, 0 is its
            negative side and 1 its positive one.
        target_names: their names. scores: (N, T), what is explained: logits as a rule, of the
            negative side of a logit what speaks for it: -z. NaN where an image has fewer targets.
        logits: (N, C), or None for a network that gives something else.
        pictures: (N, H, W, 3) uint8, or None; of several inputs, the one that maps are about.
        other_pictures: by input, where some layers' maps are about others: :meth:`pictures_of`.
        inputs: what the maps lie over where that is no picture: signals (N, C, L), tokens (N, T),
            video (N, C, t, H, W). Else None.
        other_inputs: likewise by input: :meth:`inputs_of`.
        measured: the columns of :attr:`evidence`.
        heads: layers that may be followed by pooling and one linear layer: :attr:`all_classes`.
        parts: see :meth:`split`.
        channels: by layer, what each channel contributes: ``explain(..., channels=True)``.
        provenance: network, weights, device, dtype, versions, layers, options, notes;
            "explained" says which tensor each map belongs to: path, call, shape, how it was read,
            and which in-place operations wrote over it afterwards; "sources" where each image was
            in its photograph, "other_sources" by input, where there are several: see
            :meth:`on_original`.
    """

    maps: Mapping[tuple[str, str], Map]
    targets: list[list[int]]
    target_names: list[list[str]]
    scores: Tensor
    logits: Tensor | None = None
    pictures: Tensor | None = None
    other_pictures: Mapping[str, Tensor] = field(default_factory=dict)
    measured: Mapping[str, Sequence[object]] = field(default_factory=dict)
    heads: Sequence[AllClasses] = ()
    parts: Split | None = None
    provenance: Provenance = field(default_factory=dict)
    inputs: Tensor | None = None
    other_inputs: Mapping[str, Tensor] = field(default_factory=dict)
    channels: Mapping[str, Channels] = field(default_factory=dict)

    @property
    @public
    def all_classes(self) -> AllClasses:
        """Any class's Grad-CAM at the last layer, in closed form: ``exp.all_classes["tabby"]``.

        ``exp.all_classes[target("tiger cat") - target("espresso")]`` is A minus B. No network is
        needed.

        Raises:
            ValueError: no layer of the explanation is followed by pooling and one linear layer.
        """
        if self._head is None:
            raise ValueError(
                f"{caller()}: no layer of this explanation is followed by global pooling and one "
                f"linear layer; there are {', '.join(self.layers)}. Explain the last layer with "
                "positions of such a network: layers='auto'."
            )
        return self._head

    @functools.cached_property
    def _head(self) -> AllClasses | None:
        return next((head for head in self.heads if head.makes(self.logits)), None)

    @functools.cached_property
    def evidence(self) -> pd.DataFrame:
        """What :meth:`diagnose` looks at: a row per layer, image and target.

        dead_channels (share that is 0 at every position), activation_norm and gradient_norm (L2,
        of all that the layer gave), effect_bound
        (their product), output_gradient (largest gradient of the score at a logit),
        top_probability, rounding (what rounding alone does to the score).
        """
        return pd.DataFrame({name: list(values) for name, values in self.measured.items()})

    def diagnose(self) -> pd.DataFrame:
        """Why a map is blank or not to be trusted; an empty table where no such fault is found.

        It is no proof: :func:`resviz.faithfulness` says whether a map beats random ones.

        Returns:
            A row per finding: method, layer, image, target (its name), cause ("no positive
            evidence", "dead channels", "no gradient", "gradient at rounding level", "saturated
            softmax", "untrained weights", "axes by shape") and the reason in words.
        """
        rows = [
            (f.method, f.layer, f.image, self.target_names[f.image][f.column], f.cause, f.words)
            for f in findings(self.maps, self.measured, self.provenance)
        ]
        columns = ["method", "layer", "image", "target", "cause", "words"]
        return pd.DataFrame(rows, columns=columns)

    @public
    def split(self) -> Split:
        """Each block's Grad-CAM divided into what the branch and what the shortcut brought.

        Raises:
            ValueError: it was not asked for: ``explain(..., split=True)``.
        """
        if self.parts is None:
            raise ValueError(
                f"{caller()}: this explanation holds no parts; explain(..., split=True) at block "
                "outputs would be right."
            )
        return self.parts

    @property
    def methods(self) -> list[str]:
        """The methods, in the order asked for."""
        return list(dict.fromkeys(method for method, _ in self.maps))

    @property
    def layers(self) -> list[str]:
        """The layers, in the order asked for."""
        return list(dict.fromkeys(layer for _, layer in self.maps))

    @public_as("Explanation")
    def upsampled(self, method: str, layer: str, size: tuple[int, ...] | None = None) -> Map:
        """(N, T, H, W): a map resized, to the input's size if None.

        Bilinear, align_corners=False; (N, T, L) of signals and tokens linear, (N, T, t, H, W) of
        video trilinear.

        Raises:
            KeyError: no such map.
            ValueError: a size of more or fewer axes, as of a spectrogram's map over its signal.
        """
        if (method, layer) not in self.maps:
            raise KeyError(f"{caller()}: no map {(method, layer)!r}; there are {list(self.maps)}.")
        shape = self._shape_under(layer)
        maps = self.maps[method, layer]
        last = bool(self.provenance.get("channels_last"))
        wanted = size or size_in(shape, last)
        if len(wanted) != maps[0].ndim - 1:
            raise ValueError(
                f"{caller()}: maps {tuple(maps[0].shape)} of an image to the size {wanted}; as "
                "many axes of positions would be right: size=(...)."
            )
        if isinstance(maps, tuple):
            return tuple(resized(each[None], wanted)[0] for each in maps)
        return resized(maps, wanted)

    @public
    def on_original(
        self, method: str | None = None, layer: str | None = None, *, sources: object = None
    ) -> Tensor | list[Tensor]:
        """A map in the coordinates of the photograph: (T, H0, W0) for each image.

        Bilinear (align_corners=False), in one step from the map as it is; NaN where the photograph
        was cropped away and the network saw nothing. The photograph is upright, as a camera's
        rotation says. :func:`resviz.sources_of` names what was seen of it.

        Args:
            method: which; None where there is one.
            layer: likewise.
            sources: where each image was, as :func:`resviz.sources_of` tells; None: as `explain`
                found it. It is not known of a part of what `load_images` gave, nor where that was
                written to.

        Returns:
            (N, T, H0, W0) where all photographs have one size, else a list of N (T, H0, W0).

        Raises:
            KeyError: no such map.
            TypeError: sources of another type.
            ValueError: several maps and none named, maps of signals, text or video, or nobody
                knows where the images were.
        """
        keys = [key for key in self.maps if method in (None, key[0]) and layer in (None, key[1])]
        if not keys:
            raise KeyError(f"{caller()}: no map {(method, layer)}; there are {list(self.maps)}.")
        if len(keys) > 1:
            raise ValueError(
                f"{caller()}: {len(keys)} maps; one. Name its method and layer: {keys}."
            )
        maps = self.maps[keys[0]]
        if maps[0].ndim != 3 or len(self._shape_under(keys[0][1])) != 4:
            raise ValueError(
                f"{caller()}: {keys[0][0]} at {keys[0][1]!r} is a map over no photograph; maps "
                "over pictures (N, C, H, W) would be right. upsampled() brings any map to its "
                "input's size."
            )
        about = self._about_input_of(keys[0][1])
        return placed(list(maps), origins_of(about, len(maps), sources))

    def input_of(self, layer: str) -> str | None:
        """Of several inputs, the name of the one that a layer's maps are about; else None."""
        of_layer = self._explained(layer).get("input", self.provenance.get("input"))
        return None if of_layer is None else str(of_layer)

    def pictures_of(self, layer: str) -> Tensor | None:
        """(N, H, W, 3) uint8: the photographs that a layer's maps lie over, or None."""
        name = self._other_input(layer)
        return self.pictures if name is None else self.other_pictures.get(name)

    def inputs_of(self, layer: str) -> Tensor | None:
        """The signals, tokens or video that a layer's maps lie over; None for pictures."""
        name = self._other_input(layer)
        return self.inputs if name is None else self.other_inputs.get(name)

    def _other_input(self, layer: str) -> str | None:
        """The name of the input that a layer's maps are about, where it is not the main one."""
        name = self.input_of(layer)
        return None if name == self.provenance.get("input") else name

    def _shape_under(self, layer: str) -> tuple[int, ...]:
        """Of the input that a layer's maps are about."""
        return tuple(self._explained(layer).get("input_shape", self.provenance["input_shape"]))

    def _about_input_of(self, layer: str) -> Mapping[str, Any]:
        """The record, with places and shape of the input that a layer's maps are about."""
        own: dict[str, Any] = {"input_shape": self._shape_under(layer)}
        other = self._other_input(layer)
        if other is not None:
            own["sources"] = self.provenance.get("other_sources", {}).get(other, ())
        return {**self.provenance, **own}

    def _explained(self, layer: str) -> Mapping[str, Any]:
        rows = self.provenance.get("explained", ())
        return next((row for row in rows if row["layer"] == layer), {})

    def to_frame(self) -> pd.DataFrame:
        """A row per method, layer, image and target: name, score, and minimum, maximum, mean."""
        rows = []
        for (method, layer), maps in self.maps.items():
            for image, (indices, names) in enumerate(
                zip(self.targets, self.target_names, strict=True)
            ):
                for column, (index, name) in enumerate(zip(indices, names, strict=True)):
                    one = maps[image][column]
                    row = {"method": method, "layer": layer, "image": image, "target": index}
                    row |= {"name": name, "score": float(self.scores[image, column])}
                    row |= {"min": float(one.min()), "max": float(one.max())}
                    rows.append(row | {"mean": float(one.mean())})
        return pd.DataFrame(rows)

    @public
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to one file; :func:`load_explanation` gives it back equal."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        write(path, known | {"heads": () if self._head is None else (self._head,)})

    def equals(self, other: Explanation) -> bool:
        """True where both hold the same maps, targets, measurements and provenance."""
        return (
            _same(self.maps, other.maps)
            and all(storage.tensors_equal(getattr(self, n), getattr(other, n)) for n in TENSORS)
            and _same(self.other_pictures, other.other_pictures)
            and _same(self.other_inputs, other.other_inputs)
            and (self.targets, self.target_names) == (other.targets, other.target_names)
            and self.evidence.equals(other.evidence)
            and _same(_tensors_of(self._head), _tensors_of(other._head))
            and _same(self._part_maps(), other._part_maps())
            and list(self.channels) == list(other.channels)
            and all(_same(c.named(), other.channels[k].named()) for k, c in self.channels.items())
            and dict(self.provenance) == dict(other.provenance)
        )

    def _part_maps(self) -> Mapping[Any, Tensor]:
        return self.parts.maps if self.parts is not None else {}

    def __repr__(self) -> str:
        about = self.provenance
        return (
            f"Explanation of {about.get('network', 'network')} ({about.get('weights', 'own')}), "
            f"{len(self.targets)} images, {_counted(self.targets)}, "
            f"{about.get('device')}, {about.get('dtype')}\n"
            f"  methods  {', '.join(self.methods)}\n"
            f"  layers   {', '.join(self.layers)}"
        )

    def _repr_html_(self) -> str:
        heading = html.escape(repr(self)).replace("\n", "<br>").replace("  ", "&ensp;")
        table = self.to_frame().to_html(
            index=False, max_rows=12, float_format=lambda value: f"{value:.4g}"
        )
        return f"<div>{heading}</div>{table}"


def _counted(targets: Sequence[Sequence[int]]) -> str:
    counts = sorted({len(row) for row in targets})
    return (
        f"{counts[0]} target(s) each"
        if len(counts) == 1
        else f"{counts[0]} to {counts[-1]} targets"
    )


def _same(one: Mapping[Any, Map], other: Mapping[Any, Map]) -> bool:
    return list(one) == list(other) and all(_equal(one[key], other[key]) for key in one)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(storage.tensors_equal, one, other))
    return storage.tensors_equal(one, other)


def _tensors_of(head: AllClasses | None) -> dict[str, Tensor]:
    return {} if head is None else head.tensors()


@public
def load_explanation(path: str | os.PathLike[str]) -> Explanation:
    """An :class:`Explanation` from a file of :meth:`Explanation.save`. Runs no code from it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no explanation.
    """
    return Explanation(**read(path))
