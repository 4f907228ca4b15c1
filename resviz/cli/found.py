"""What a command found, in a few plain lines: the prediction, the evidence, blocks, gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resviz.attribution.explanation import Explanation
    from resviz.recording.recording import Recording

_NAMED = 3  # classes of a picture
_PICTURES = 5  # with lines of their own
_MAPS = 3  # of an explanation with lines of their own


def prediction_lines(record: Any, names: Sequence[str]) -> list[str]:
    """For each picture what the network says of it; one more line where there are more pictures.

    Args:
        record: a Recording or an Explanation.
        names: of the pictures.

    Returns:
        Lines as "cat.png: Egyptian cat 0.86, tabby 0.06, lynx 0.04 (probability)"; none where
        no number of the output is known to be one.
    """
    from resviz.recording.said import said_by

    said = said_by(record)
    if said is None:
        return []
    about = record.provenance
    random = about.get("untrained") or about.get("weights") == "random"
    untrained = ", of untrained weights" if random else ""
    lines = []
    for image, name in enumerate(names[:_PICTURES]):
        numbers = said.numbers[image]
        order = range(len(numbers)) if said.word == "value" else said.ranked[image]
        best = [f"{said.names[at]} {said.words(numbers[at])}" for at in order[:_NAMED]]
        lines.append(f"{name}: {', '.join(best)} ({said.word}{untrained})")
    return lines + _more(len(names) - _PICTURES, "picture")


def evidence_lines(exp: Explanation, names: Sequence[str], last: bool = False) -> list[str]:
    """For each map where its evidence is: of one picture every method, of several the first one.

    Args:
        exp: the explanation.
        names: of the pictures.
        last: of the last layer alone, by the first method that has a map there.
    """
    maps = [(key, values) for key, values in exp.maps.items() if values[0].ndim == 3]
    if last:
        maps = [one for one in maps if one[0][1] == exp.layers[-1]][:1]
    lines = []
    for image, name in enumerate(names):
        for (method, layer), values in maps if len(names) == 1 else maps[:1]:
            for target, label in enumerate(exp.target_names[image]):
                where = _where(values[image][target].double().cpu().numpy())
                whose = "" if len(names) == 1 else f" in {name}"
                lines.append(f"evidence for {label}{whose} ({method} at {layer}): {where}")
    most = _MAPS if len(names) == 1 else _PICTURES
    return lines[:most] + _more(len(lines) - most, "map")


def recording_lines(rec: Recording) -> list[str]:
    """Which residual branch adds most and least, and the gradient at both ends."""
    return [*_additions(rec), *_ends(rec)]


def _additions(rec: Recording) -> list[str]:
    table: Any = rec.residuals
    if len(table) and "residual" in table:
        table = table[table["residual"].astype(bool)]
    table = table[table["ratio"].map(math.isfinite)] if len(table) else table
    if not len(table):
        return ["no residual additions: every block hands on what it makes, and nothing else"]
    most, least = table.loc[table["ratio"].idxmax()], table.loc[table["ratio"].idxmin()]
    line = f"{_block(most)} adds most: its branch is {_ratio(most)} times its shortcut"
    if len(table) == 1:
        return [line]
    return [line, f"{_block(least)} adds least: {_ratio(least)} times"]


def _ratio(row: Any) -> str:
    ratio = row["ratio"]
    return f"{ratio:.2f}" if ratio >= 0.01 else f"{ratio:.2g}"


def _block(row: Any) -> str:
    """The block of an addition; the addition itself where it is in none."""
    return str(row["block"] or row["addition"])


def _ends(rec: Recording) -> list[str]:
    if rec.loss is None:
        return []
    where, table = "the weights", _of_weights(rec)
    if not len(table):  # recorded without theirs
        layers = _measured(rec.layers)
        where, table = "the blocks' outputs", layers[layers["kind"] == "block"]
    if not len(table):
        return []
    ends = [
        f"{row['grad_norm']:.2g} at {row['layer']} (depth {row['depth']})"
        for row in table.iloc[[0, -1] if len(table) > 1 else [0]].to_dict("records")
    ]
    loss = str(rec.provenance.get("loss"))
    of = "the score" if loss == "logit" else loss
    return [f"gradient of {of}, norm at {where}: {', '.join(ends)}"]


def _of_weights(rec: Recording) -> Any:
    table = _measured(rec.parameters)
    return table[table["weighted"] & ~table["projection"] & ~table["gate"]]


def _measured(table: Any) -> Any:
    """Its rows with a gradient, by depth."""
    return table[table["grad_norm"].map(math.isfinite)].sort_values("depth", kind="stable")


def _where(values: Any) -> str:
    """Where half of the positive values of a map (h, w) is, and how much of the picture that is."""
    import numpy as np

    if not np.isfinite(values).all():
        return "the map is not finite"
    positive = np.clip(values, 0, None)
    total = positive.sum()
    if not total > 0:
        return "none: no value of the map is above 0"
    held = np.cumsum(np.sort(positive, axis=None)[::-1])
    count = int(np.searchsorted(held, total / 2 * (1 - 1e-12))) + 1
    share = max(1, round(100 * count / positive.size))
    return f"half of it in {share} % of the picture, most at the {_ninth(positive)}"


def _ninth(values: Any) -> str:
    """The ninth of the picture in which a map (h, w) is largest."""
    row, column = divmod(int(values.argmax()), values.shape[1])
    vertical = ("top", "middle", "bottom")[int(3 * (row + 0.5) / values.shape[0])]
    side = ("left", "", "right")[int(3 * (column + 0.5) / values.shape[1])]
    return f"{vertical} {side}".strip()


def _more(count: int, what: str) -> list[str]:
    if count < 1:
        return []
    return [f"and {count} more {what}{'s' if count > 1 else ''}"]
