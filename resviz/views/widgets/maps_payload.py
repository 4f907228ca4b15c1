"""What the browser gets of feature maps: codes, exact statistics, and the weights of a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.recording.said import Said, said_by
from resviz.views.channels import Pictures, pictures_of
from resviz.views.figures.quantities import conditions_of
from resviz.views.payload import Packing
from resviz.views.pictures import Floats, as_pixels

_NAMED = 5  # classes per photograph whose weights come along
_SEEN = ("images", "output", "loss")  # conditions that do not change a feature map


@dataclass(frozen=True)
class Head:
    """The last linear layer: the layer whose channels it weighs, and (K, C) weights."""

    layer: str
    weight: Floats


def network_data(
    packing: Packing, rec: Any, layers: list[str], images: list[int], head: Head | str, name: str
) -> dict[str, Any]:
    """A network: its photographs, the maps of its layers, and the weights of its head."""
    about = {**rec.provenance}
    pictures = None if rec.pictures is None else packing.add(as_pixels(rec.pictures)[images])
    words = conditions_of(rec, _SEEN)
    count = int(about["images"])
    if len(images) < count:
        words.append(f"{len(images)} of {count} photographs, others by images=")
    said = said_by(rec)
    shown = _shown_images(said, images)
    return {
        "name": name,
        "conditions": " · ".join(words),
        "classes": [] if said is None else said.names,
        "images": shown,
        "pictures": pictures,
        "layers": [
            _layer(packing, found, key, images)
            for key in layers
            if (found := pictures_of(rec, key)) is not None
        ],
        "weight": _weight(packing, head, shown),
    }


def _shown_images(said: Said | None, images: list[int]) -> list[dict[str, Any]]:
    if said is None:
        return [{"number": n, "label": f"image {n}", "predicted": []} for n in images]
    shown: list[dict[str, Any]] = []
    for image in images:
        row = said.numbers[image]
        if not np.isfinite(row).all():
            label = f"image {image}: not finite"
            shown.append({"number": image, "label": label, "predicted": []})
            continue
        predicted = [
            {
                "index": int(index),
                "label": said.names[index],
                "probability": round(float(row[index]), 4),
            }
            for index in said.ranked[image, :_NAMED]
        ]
        first = predicted[0]
        label = f"image {image}: {first['label']} {said.words(row[first['index']])}"
        shown.append({"number": image, "label": label, "predicted": predicted})
    return shown


def _weight(packing: Packing, head: Head | str, shown: list[dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(head, Head):
        return {"layer": None, "classes": [], "rows": None, "reason": head}
    known = sorted({each["index"] for image in shown for each in image["predicted"]})
    rows = packing.add(head.weight[known])
    return {"layer": head.layer, "classes": known, "rows": rows, "reason": None}


def _layer(packing: Packing, found: Pictures, key: str, images: list[int]) -> dict[str, Any]:
    """Codes (N, C, H, W) and the exact statistics of each channel; the scale is its own."""
    maps = found.maps[images]
    flat = maps.reshape(*maps.shape[:2], -1)
    finite = flat[np.isfinite(flat)]
    packed = packing.add_pixels(maps, groups=2)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = flat.mean(axis=2, dtype=np.float64).astype(np.float32)
    statistics = {"mean": mean, "maximum": flat.max(axis=2), "zeros": _zeros(flat)}
    return {
        "key": key,
        "axes": found.axes,
        "position": found.position,
        "left_out": found.left_out,
        "low": float(finite.min()) if finite.size else 0.0,
        "high": float(finite.max()) if finite.size else 0.0,
        **packed,
        **{name: packing.add(values) for name, values in statistics.items()},
    }


def _zeros(flat: Floats) -> NDArray[np.uint16]:
    """Share of exact zeros in 65535ths; 0 only where there are none, 65535 only where all are."""
    share = (flat == 0).mean(axis=2)
    between = np.clip(np.rint(share * 65535), 1, 65534)
    return np.where(share == 0, 0, np.where(share == 1, 65535, between)).astype(np.uint16)
