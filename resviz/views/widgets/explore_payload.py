"""What the head of `explore` shows: blocks, places along depth, predictions, thumbnails."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np

from resviz.provenance import displayed
from resviz.views.figures.quantities import conditions
from resviz.views.pictures import Pixels, as_pixels
from resviz.views.said import said_by
from resviz.views.widgets.explore_scene import Scene

_SIDE = 72  # pixels of a thumbnail's shorter side
_NAMED = 5  # classes with their probabilities


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


def blocks_of(rec: Any) -> list[dict[str, Any]]:
    """The residual blocks, in order: what can be switched off, and where it stands."""
    blocks: dict[str, dict[str, Any]] = {}
    for row in rec.residuals.to_dict("records"):
        name = str(row["block"] or row["addition"])
        stage = row.get("stage")
        known = blocks.setdefault(
            name, {"name": name, "stage": str(stage or ""), "kind": str(row["kind"]), "depth": 0}
        )
        known["depth"] = max(known["depth"], int(row["depth"]))
    return sorted(blocks.values(), key=lambda block: block["depth"])


def places_of(scene: Scene) -> dict[str, list[tuple[str, int]]]:
    """Of every part its layers with their depth, from the input on."""
    depths: dict[str, int] = {}
    for row in scene.rec.layers.to_dict("records"):
        name, call, depth = str(row["layer"]), int(row["call"]), int(row["depth"])
        depths[f"{name}#{call}"] = depth
        depths[name] = max(depths.get(name, 0), depth)
    maps = [key for key in scene.rec.tensors if ":" not in key]
    explained = [] if scene.exp is None else list(scene.exp.layers)
    additions = scene.rec.residuals
    return {
        "maps": _in_order([(key, depths[key]) for key in maps if key in depths]),
        "explanation": _in_order([(key, depths[key]) for key in explained if key in depths]),
        "residuals": _in_order(
            [
                (str(name), int(depth))
                for name, depth in zip(additions["addition"], additions["depth"], strict=True)
            ]
        ),
    }


def _in_order(places: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(places, key=lambda place: place[1])


def header_of(scene: Scene, number: int) -> dict[str, Any]:
    """Names of the classes, and what the scene is."""
    about, moment = {**scene.rec.provenance}, scene.moment
    said = said_by(scene.rec)
    words = [html.unescape(each) for each in conditions(about).values()]
    return {
        "classes": [] if said is None else said.names,
        "said": None if said is None else {"word": said.word, "units": said.units},
        "scene": {
            "number": number,
            "image": moment.image,
            "class": moment.target,
            "off": list(moment.off),
            "predicted": _predicted(scene),
            "conditions": " · ".join([str(about["network"]), *words]),
        },
    }


def _predicted(scene: Scene) -> list[dict[str, Any]]:
    """The most probable classes, or the first values; with blocks off, also those of all blocks."""
    both = said_by(scene.rec), said_by(scene.whole)
    now, before = (np.zeros(0) if said is None else said.numbers[0] for said in both)
    values = both[0] is not None and both[0].kind == "values"
    order = np.arange(len(now)) if values else np.argsort(-now, kind="stable")
    best = [int(index) for index in order[:_NAMED]]
    wanted = scene.moment.target
    listed = best if wanted is None or wanted in best else [*best, wanted]
    return [
        {
            "index": index,
            "probability": _finite(now[index]),
            "before": _finite(before[index]) if scene.moment.off else None,
        }
        for index in listed
    ]


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0
