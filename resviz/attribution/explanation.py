"""`Explanation`: maps over the input, raw, with what they explain."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch.nn.functional as F
from torch import Tensor

from resviz import storage

_TENSORS = ("scores", "logits", "pictures")


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps of several methods at several layers. Made by :func:`resviz.explain`.

    Attributes:
        maps: (method, layer) to (N, T, h, w): N images, T targets each, h x w positions of the
            layer. Raw: the method's own ReLU, no scaling, no resizing. A second call of a module
            is the layer "layer1.0.relu#1".
        targets: class indices, N lists of T; -1 for a function.
        target_names: their names. scores: (N, T), the logits that are explained.
        logits: (N, C) as a rule. pictures: (N, H, W, 3) uint8, or None.
        provenance: network, weights, device, dtype, versions, layers, notes.
    """

    maps: Mapping[tuple[str, str], Tensor]
    targets: list[list[int]]
    target_names: list[list[str]]
    scores: Tensor
    logits: Tensor | None = None
    pictures: Tensor | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """The methods, in the order asked for."""
        return list(dict.fromkeys(method for method, _ in self.maps))

    @property
    def layers(self) -> list[str]:
        """The layers, in the order asked for."""
        return list(dict.fromkeys(layer for _, layer in self.maps))

    def upsampled(self, method: str, layer: str, size: tuple[int, int] | None = None) -> Tensor:
        """(N, T, H, W): a map resized (bilinear, align_corners=False), to the input's size if None.

        Raises:
            KeyError: no such map.
        """
        if (method, layer) not in self.maps:
            raise KeyError(f"Explanation: no map {(method, layer)!r}; there are {list(self.maps)}.")
        wanted = size or tuple(self.provenance["input_shape"][-2:])
        return F.interpolate(self.maps[method, layer], wanted, mode="bilinear", align_corners=False)

    def to_frame(self) -> pd.DataFrame:
        """A row per method, layer, image and target: name, score, and minimum, maximum, mean."""
        rows = []
        for (method, layer), maps in self.maps.items():
            for image, (indices, names) in enumerate(
                zip(self.targets, self.target_names, strict=True)
            ):
                for column, (index, name) in enumerate(zip(indices, names, strict=True)):
                    one = maps[image, column]
                    row = {"method": method, "layer": layer, "image": image, "target": index}
                    row |= {"name": name, "score": float(self.scores[image, column])}
                    row |= {"min": float(one.min()), "max": float(one.max())}
                    rows.append(row | {"mean": float(one.mean())})
        return pd.DataFrame(rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to one file; :func:`load_explanation` gives it back equal."""
        tensors = {f"map/{i}": value for i, value in enumerate(self.maps.values())}
        for name in _TENSORS:
            if getattr(self, name) is not None:
                tensors[f"field/{name}"] = getattr(self, name)
        meta = {
            "keys": [list(key) for key in self.maps],
            "targets": self.targets,
            "target_names": self.target_names,
            "provenance": dict(self.provenance),
        }
        storage.write(path, "explanation", tensors, meta)

    def equals(self, other: Explanation) -> bool:
        """True where both hold the same maps, targets and provenance."""
        return (
            list(self.maps) == list(other.maps)
            and all(storage.tensors_equal(m, other.maps[k]) for k, m in self.maps.items())
            and all(storage.tensors_equal(getattr(self, n), getattr(other, n)) for n in _TENSORS)
            and (self.targets, self.target_names) == (other.targets, other.target_names)
            and dict(self.provenance) == dict(other.provenance)
        )

    def __repr__(self) -> str:
        about = self.provenance
        return (
            f"Explanation of {about.get('network', 'network')} ({about.get('weights', 'own')}), "
            f"{len(self.targets)} images, {len(self.targets[0])} target(s) each, "
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


def load_explanation(path: str | os.PathLike[str]) -> Explanation:
    """An :class:`Explanation` from a file of :meth:`Explanation.save`. Runs no code from it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no explanation.
    """
    tensors, meta = storage.read(path, "explanation")
    keys = [(method, layer) for method, layer in meta["keys"]]
    return Explanation(
        maps={key: tensors[f"map/{i}"] for i, key in enumerate(keys)},
        targets=meta["targets"],
        target_names=meta["target_names"],
        scores=tensors["field/scores"],
        logits=tensors.get("field/logits"),
        pictures=tensors.get("field/pictures"),
        provenance=meta["provenance"],
    )
