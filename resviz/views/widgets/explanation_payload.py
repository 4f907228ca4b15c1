"""What the explanation view sends: the head's numbers, as exact as their size allows; checks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from resviz.recording.said import said_by
from resviz.sessions.maps import CHECKS, HEAD_METHODS
from resviz.views.payload import Packing, quantised
from resviz.views.pictures import Floats, as_array

_EXACT = 4 * 2**20  # bytes up to which numbers of the head go as float32
_HALF = 32 * 2**20  # bytes up to which they go as float16; above, one byte each
_TRIED = 2**31  # products for which the error of the head's numbers is measured


def head_of(exp: Any) -> Any:
    """Its :class:`AllClasses`; None where there is none, or none that a page can hold."""
    try:
        head = exp.all_classes
    except ValueError:
        return None
    size = as_array(head.weight).size + as_array(head.activations).size
    return head if size <= 2 * _HALF else None


def classes_of(exp: Any, head: Any) -> list[str]:
    """A name for each logit."""
    said = said_by(exp)
    if said is None:
        return []
    known = [str(each) for each in head.classes] if head is not None else []
    named = bool(exp.provenance.get("classes")) or len(known) != len(said.names)
    return said.names if named else known


def head_payload(
    packing: Packing, head: Any, compact: bool = False, weight: bool = True
) -> dict[str, Any]:
    """The numbers from which the browser makes any class's map, and how exact they are.

    `compact`: one byte each where there are many, in a page that has to stay small. `weight`:
    whether the weights come along; of another explanation of the same network they are the same.
    """
    given = as_array(head.activations), as_array(head.weight)
    half = 0 if compact else _HALF
    apart = Packing()
    packings = (packing, packing if weight else apart)
    kept = [
        _numbers(into, values, groups, half)
        for into, values, groups in zip(packings, given, (2, 1), strict=True)
    ]
    cells = float(np.prod(given[0].shape[2:]))
    return {
        "layer": head.layer,
        "activations": kept[0][0],
        "weight": kept[1][0] if weight else None,
        "error": _largest_error(given, (kept[0][1], kept[1][1])),
        "methods": {name: 1.0 if name == "cam" else 1 / cells for name in HEAD_METHODS},
    }


def _numbers(
    packing: Packing, values: Floats, groups: int, half: int
) -> tuple[dict[str, Any], Floats]:
    """float32 where it is small, float16 times `factor` up to `half` bytes, else one byte each.

    Also the numbers as the browser will read them.
    """
    shape = list(values.shape)
    if values.nbytes <= _EXACT:
        return {"kind": "float32", "shape": shape, "values": packing.add(values)}, values
    if values.nbytes / 2 <= half:
        factor = float(np.abs(values).max()) or 1.0
        halves = (values / factor).astype(np.float16)
        kept = {"values": packing.add(halves.view(np.uint16)), "factor": factor}
        read: Floats = halves.astype(np.float32) * np.float32(factor)
        return {"kind": "float16", "shape": shape, **kept}, read
    codes, scale, offset = quantised(values, groups)
    wide = (*scale.shape, *[1] * (values.ndim - groups))
    read = (offset.reshape(wide) + scale.reshape(wide) * codes).astype(np.float32)
    pixels = {"codes": packing.add(codes), "scale": packing.add(scale)}
    return {"kind": "one byte", "shape": shape, **pixels, "offset": packing.add(offset)}, read


def _largest_error(given: tuple[Floats, Floats], read: tuple[Floats, Floats]) -> float:
    """How far the browser's maps are off, of each map's largest value: the worst of all classes."""
    if all(one is other for one, other in zip(given, read, strict=True)):
        return 0.0
    worst, rows = 0.0, max(1, _TRIED // given[0].size)
    for one, other in zip(given[0], read[0], strict=True):
        exact, found = (
            weight[:rows] @ maps.reshape(len(maps), -1)
            for weight, maps in ((given[1], one), (read[1], other))
        )
        most = np.abs(exact).max(axis=1)
        off = np.abs(found - exact).max(axis=1)
        worst = max(worst, float((off[most > 0] / most[most > 0]).max(initial=0.0)))
    return worst


def check_rows(table: Any) -> list[dict[str, Any]]:
    """A faithfulness table as the lines that stand under the pictures."""
    if table is None:
        return []
    numbers = [f"{name}{end}" for name in CHECKS for end in ("", "_random")]
    rows = []
    for row in table.to_dict("records"):
        line: dict[str, Any] = {name: str(row[name]) for name in ("method", "layer", "target")}
        line |= {"image": int(row["image"]), "words": str(row.get("words", ""))}
        if "index" in row:  # names may be those of several classes
            line["index"] = int(row["index"])
        line |= {name: _finite(row.get(name)) for name in numbers}
        rows.append(line)
    return rows


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def check_words(table: Any) -> str:
    """How the checks were made."""
    about = {} if table is None else table.attrs.get("provenance", {})
    words = [
        f"{about[n]} {w}" for n, w in (("steps", "steps"), ("draws", "random maps")) if n in about
    ]
    if "score" in about:
        words.append(f"score: {about['score']}")
    return ", ".join(words)
