"""Where the cursor can stand: the network block by block, with what was measured at each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Place:
    """A block, or a layer where there are no blocks; what comes before the first block is the stem.

    Attributes:
        name: of the block or layer, as in ``rv.list_layers``.
        key: of its kept output; "" where none was kept.
        stage: "" where there is none.
        depth: of its end.
        kind: of its shortcut ("identity", "projection", "padded"), "plain" or "stem".
        additions: names of its residual additions, in order.
    """

    name: str
    key: str
    stage: str
    depth: int
    kind: str
    additions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Curve:
    """A quantity along depth.

    Attributes:
        label: what it is, for the axis.
        log: its sizes are compared on a log axis, exact zeros apart.
        source: the table and the column it was read from.
        words: what a reader may want to know of it.
    """

    label: str
    log: bool
    source: tuple[str, str]
    words: str


CURVES: Mapping[str, Curve] = {
    "gradient": Curve(
        "gradient norm",
        True,
        ("layers", "grad_norm"),
        "L2 norm of the gradient of the class's score at the output of each block",
    ),
    "activation": Curve(
        "activation", True, ("layers", "rms"), "root mean square of the output of each block"
    ),
    "ratio": Curve(
        "branch / shortcut",
        True,
        ("residuals", "ratio"),
        "what the branch adds, of what comes along the shortcut: rms over rms",
    ),
    "share": Curve(
        "branch's share of the gradient",
        False,
        ("residuals", "grad_branch_share"),
        "of the gradient at the block's input, the part that came back through the branch",
    ),
}


def places_of(rec: Any) -> list[Place]:
    """The places of a recording, from the input on."""
    kept = [key for key in rec.tensors if ":" not in key]
    additions = _additions(rec)
    depths, places = _depths(rec.layers), list[Place]()
    blocks = rec.layers[rec.layers["kind"] == "block"].drop_duplicates(["layer", "call"])
    named = set()
    for row in blocks.to_dict("records"):
        name, numbered = str(row["layer"]), f"{row['layer']}#{row['call']}"
        key = next((each for each in (numbered, name) if each in kept), "")
        of_block = additions.pop(name, ()) if name not in named else ()
        named.add(name)
        shown = name if int(row["call"]) == 0 else numbered
        kind = str(of_block[-1]["kind"]) if of_block else "plain"
        names = tuple(str(each["addition"]) for each in of_block)
        places.append(Place(shown, key, _stage(row), int(row["depth"]), kind, names))
    for name, rows in additions.items():  # sums of no block
        names = tuple(str(each["addition"]) for each in rows)
        kind, depth = str(rows[-1]["kind"]), max(int(each["depth"]) for each in rows)
        key = f"{names[-1]}:sum"
        found = key if key in rec.tensors else ""
        places.append(Place(name, found, _stage(rows[-1]), depth, kind, names))
    first = min((place.depth for place in places), default=-math.inf)
    known = {place.key for place in places}
    for key in kept:
        depth, stage = depths.get(key, (0, ""))
        stem = depth < first
        if key not in known and (stem or not known):  # else a part of what is there
            kind = "stem" if stem else "plain"
            places.append(Place(key, key, "" if stem else stage, depth, kind))
    return sorted(places, key=lambda place: place.depth)


def _additions(rec: Any) -> dict[str, list[dict[str, Any]]]:
    """Residual additions by block; by their own name where they are in none."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rec.residuals.to_dict("records"):
        if row.get("residual", True):
            found.setdefault(str(row["block"] or row["addition"]), []).append(row)
    return found


def _depths(layers: Any) -> dict[str, tuple[int, str]]:
    found = {}
    for row in layers.to_dict("records"):
        at = int(row["depth"]), _stage(row)
        found[f"{row['layer']}#{row['call']}"] = at
        found[str(row["layer"])] = at
    return found


def _stage(row: Mapping[Any, Any]) -> str:
    stage = row.get("stage")
    return "" if stage is None or pd.isna(stage) else str(stage)


def curves_of(rec: Any, places: list[Place]) -> dict[str, list[float | None]]:
    """Of every quantity that was measured, a number for each place; None where there is none."""
    found = {}
    for name, curve in CURVES.items():
        table, column = curve.source
        frame = getattr(rec, table)
        if column not in frame or frame.empty:
            continue
        if table == "layers":
            read = _of_layers(frame, column, places, _of_sums(rec.residuals, column))
        else:
            read = _of_additions(frame, column, places)
        values = [_finite(value) for value in read]
        if any(value is not None for value in values):
            found[name] = values
    return found


def _of_sums(residuals: Any, column: str) -> dict[str, float]:
    """The same quantity of sums, by their names: what stands for a block where there is none."""
    found = {}
    for row in residuals.to_dict("records"):
        root = math.sqrt(math.prod(row["shape"]))
        of_sum = {"grad_norm": row["grad_sum_rms"] * root, "rms": row["sum_rms"]}
        found[str(row["addition"])] = of_sum[column]
    return found


def _of_layers(
    frame: Any, column: str, places: list[Place], sums: Mapping[str, float]
) -> list[Any]:
    known: dict[str, Any] = dict(sums)
    for layer, call, value in zip(frame["layer"], frame["call"], frame[column], strict=True):
        known[f"{layer}#{call}"] = value
        known.setdefault(str(layer), value)
    return [known.get(place.name, known.get(place.key)) for place in places]


def _of_additions(frame: Any, column: str, places: list[Place]) -> list[Any]:
    known = dict(zip(map(str, frame["addition"]), frame[column], strict=True))
    return [known.get(place.additions[-1]) if place.additions else None for place in places]


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
