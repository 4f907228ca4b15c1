"""What the browser is sent of a scene: places, curves, small pictures, what the network says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from resviz.provenance import displayed
from resviz.recording.said import Said, said_by
from resviz.sessions.scene import Scene
from resviz.views.figures.quantities import conditions_of
from resviz.views.payload import Packing
from resviz.views.pictures import Pixels, as_pixels, shrunk
from resviz.views.widgets.screen.places import CURVES, Place, curves_of
from resviz.views.widgets.screen.tiles import CHANNELS, addition_tiles, channel_tiles, how_many

_SIDE = 72  # pixels of a thumbnail's shorter side
# channels of a place and of an addition, positions a side: where many scenes share a page
FEW = (12, 4, 28)
_MOST = 448  # of the longer side of the photograph
_ADDITION = ("ratio", "cosine", "grad_branch_share", "branch_rms", "shortcut_rms", "sum_rms")


def thumbnail(images: Any, preset: Any) -> Pixels | None:
    """A small picture (h, w, 3) of (1, 3, H, W); None for inputs that are no pictures."""
    from PIL import Image

    shown = displayed(images, preset)
    if shown is None:
        return None
    picture = Image.fromarray(as_pixels(shown)[0])
    factor = _SIDE / min(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    how = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.NEAREST
    return np.asarray(picture.resize(size, how))


def scene_data(
    packing: Packing, scene: Scene, number: int, places: Sequence[Place], few: bool = False
) -> dict[str, Any]:
    """A recorded scene: everything but its explanation.

    `few`: with fewer tiles; of a scene with blocks cut, the photograph is that of the whole one,
    and so are the tiles before the first cut: nothing has changed there.
    """
    rec, moment, said = scene.rec, scene.moment, said_by(scene.rec)
    changed = _changed(scene, places) if few else None
    whole = said_by(scene.whole) if moment.off else None
    pictures = None if few and moment.off else rec.pictures
    return {
        "number": number,
        "image": moment.image,
        "class": moment.target,
        "off": list(moment.off),
        "conditions": _conditions(rec),
        "places": [_placed(place, rec) for place in places],
        "curves": _curves(scene, places),
        "additions": _additions(packing, rec, places, changed),
        "tiles": [None if few else channel_tiles(packing, rec, place) for place in places],
        "picture": None if pictures is None else packing.add(shrunk(as_pixels(pictures)[0], _MOST)),
        "numbers": _numbers(packing, said),
        "before": _numbers(packing, whole),
        "kind": None if said is None else said.kind,
    }


def explained_data(
    packing: Packing, scene: Scene, places: Sequence[Place], few: bool = False
) -> dict[str, Any]:
    """What comes with an explanation: channels that speak for its class, and what the head sees."""
    known, count = {} if scene.exp is None else scene.exp.channels, FEW[0] if few else CHANNELS
    changed = _changed(scene, places) if few else places
    tiles = [
        channel_tiles(
            packing,
            scene.rec,
            place,
            known[place.key].contribution[0, 0].float().numpy(),
            count,
            FEW[2] if few else None,
        )
        if place.key in known and place in changed
        else None
        for place in places
    ]
    layers = [_map_layer(scene.exp, place) for place in places]
    untrained = scene.exp is not None and bool(scene.exp.provenance.get("untrained"))
    told = {"tiles": tiles, "lens": _seen(scene, places), "layers": layers}
    return told | {"untrained": untrained}


def _map_layer(exp: Any, place: Place) -> str | None:
    """The layer whose map stands for a place: its own output, or what says more inside it."""
    if exp is None:
        return None
    within = [layer for layer in exp.layers if layer.startswith(f"{place.name}.")]
    for layer in (place.key, *reversed(within)):
        maps = [values[0][0] for (_, name), values in exp.maps.items() if name == layer]
        if any(bool((values != 0).any()) for values in maps):
            return layer
    return place.key if place.key in exp.layers else None


def _seen(scene: Scene, places: Sequence[Place]) -> dict[str, Any] | None:
    """What the head says of each place's output, and why it cannot where it cannot."""
    if scene.lens is None:
        return None
    column = next(name for name in ("probability", "share", "value") if name in scene.lens)
    rows: dict[int, dict[str, Any]] = {}
    for row in scene.lens.to_dict("records"):
        name, call = str(row["block"]), int(row["call"])
        of_class = rows.setdefault(int(row["index"]), {})
        of_class[f"{name}#{call}"] = row
        of_class.setdefault(name, row)
    found = {index: [known.get(p.name) for p in places] for index, known in rows.items()}
    first = next(iter(found.values()))
    return {
        "classes": {str(index): [_number(row, column) for row in r] for index, r in found.items()},
        "labels": ["" if row is None else str(row["label"]) for row in first],
        "why": ["" if row is None else str(row["why"]) for row in first],
    }


def _number(row: Mapping[str, Any] | None, column: str) -> float | None:
    return None if row is None else _finite(row[column])


def without_data(
    packing: Packing, places: Sequence[Place], without: Mapping[str, Any]
) -> dict[str, Any]:
    """What the network says without each block: (B, T) numbers, and the places of the B blocks."""
    at = {place.name: number for number, place in enumerate(places)}
    rows = [(at[name], said) for name, said in without.items() if name in at and said is not None]
    numbers = np.stack([said for _, said in rows]) if rows else np.zeros((0, 0))
    return {
        "places": [place for place, _ in rows],
        "failed": [at[name] for name, said in without.items() if name in at and said is None],
        "numbers": packing.add(numbers.astype(np.float32)),
    }


def _conditions(rec: Any) -> str:
    """How it was measured, in a reader's words; what is seen on the screen is left out."""
    loss = str(rec.provenance.get("loss"))
    first = {"logit": "gradient of the class's logit"}.get(loss, f"gradient of: {loss}")
    return " · ".join([first, *conditions_of(rec, ("images", "changes", "output", "loss"))])


def _placed(place: Place, rec: Any) -> dict[str, Any]:
    shape = rec.tensors[place.key].shape if place.key in rec.tensors else ()
    return asdict(place) | {"shape": [int(size) for size in shape[1:]]}


def _curves(scene: Scene, places: Sequence[Place]) -> dict[str, Any]:
    now = curves_of(scene.rec, list(places))
    whole = curves_of(scene.whole, list(places)) if scene.moment.off else {}
    return {
        name: {
            **{"label": CURVES[name].label, "log": CURVES[name].log, "words": CURVES[name].words},
            **{"values": values, "whole": whole.get(name)},
        }
        for name, values in now.items()
    }


def _changed(scene: Scene, places: Sequence[Place]) -> list[Place]:
    """The places that a cut may change: from the first block that is cut on."""
    depths = [place.depth for place in places if place.name in scene.moment.off]
    return [place for place in places if place.depth >= min(depths, default=0)]


def _additions(
    packing: Packing, rec: Any, places: Sequence[Place], changed: Sequence[Place] | None
) -> dict[str, Any]:
    """Of each addition numbers and tiles; where `changed` is told, small ones, of those alone."""
    rows = {str(row["addition"]): row for row in rec.residuals.to_dict("records")}
    found = {}
    count, most = (how_many(places), None) if changed is None else FEW[1:]
    for place in places:
        for name in place.additions:
            row = rows[name]
            numbers = {key: _finite(row.get(key)) for key in _ADDITION}
            sent = changed is None or place in changed
            tiles = addition_tiles(packing, rec, name, count, most) if sent else None
            found[name] = {"kind": str(row["kind"]), "tiles": tiles, **numbers}
    return found


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _numbers(packing: Packing, said: Said | None) -> dict[str, Any] | None:
    """What is said, (T,): the largest is that of the target that is said first.

    The browser takes the first of equal ones: those that rounding alone made equal are sent as a
    hair less.
    """
    if said is None:
        return None
    numbers, first = said.numbers[0].astype(np.float32), said.ranked[0, 0]
    equal = (numbers[:first] == numbers[first]) & (numbers[:first] != 0)
    numbers[:first][equal] = np.nextafter(numbers[first], np.float32(-np.inf))
    return packing.add(numbers)
