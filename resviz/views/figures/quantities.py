"""What each column of a table measures, in the words that a plot prints."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resviz.errors import closest


@dataclass(frozen=True)
class Quantity:
    """A measured column: its title, its axis label, whether it is a size (log axis), and a note."""

    title: str
    axis: str
    magnitude: bool
    note: str = ""


_SUMMED = "gradient of the losses summed over the images"
_MEAN = "gradient of the mean loss over the images"
_SPLIT = "gradient parts at the block's input; " + _SUMMED

# what an output means, see resviz.Preset
_OUTPUTS = {
    "classes": "classes",
    "labels": "independent labels",
    "logit": "one logit",
    "values": "values",
    "map": "a map",
    "none": "features",
    "unsaid": "meaning unsaid",
}

QUANTITIES: dict[str, dict[str, Quantity]] = {
    "parameters": {
        "grad_norm": Quantity("Weight gradients", "L2 norm of the weight gradient", True, _MEAN),
        "weight_norm": Quantity("Weights", "L2 norm of the weight", True),
    },
    "layers": {
        "mean": Quantity("Activations: mean", "mean", False),
        "std": Quantity("Activations: standard deviation", "standard deviation", True),
        "rms": Quantity("Activations: size", "root mean square", True),
        "norm": Quantity("Activations: norm", "L2 norm", True),
        "min": Quantity("Activations: minimum", "minimum", False),
        "max": Quantity("Activations: maximum", "maximum", False),
        "zero_fraction": Quantity("Activations: exact zeros", "share of exact zeros", False),
        "grad_rms": Quantity(
            "Activation gradients", "rms of the activation gradient", True, _SUMMED
        ),
        "grad_norm": Quantity(
            "Activation gradients", "L2 norm of the activation gradient", True, _SUMMED
        ),
    },
    "residuals": {
        "branch_rms": Quantity("Branch at each addition", "branch, rms", True),
        "shortcut_rms": Quantity("Shortcut at each addition", "shortcut, rms", True),
        "sum_rms": Quantity("Sum at each addition", "sum, rms", True),
        "ratio": Quantity("Branch over shortcut", "rms of branch / rms of shortcut", True),
        "cosine": Quantity("Branch against shortcut", "cosine of branch and shortcut", False),
        "grad_sum_rms": Quantity("Gradient at each sum", "rms of the gradient", True, _SUMMED),
        "grad_branch_rms": Quantity("Gradient through the branch", "rms", True, _SPLIT),
        "grad_shortcut_rms": Quantity("Gradient through the shortcut", "rms", True, _SPLIT),
        "grad_cosine": Quantity("Gradient parts", "cosine of the two parts", False, _SPLIT),
        "grad_branch_share": Quantity("Gradient parts", "share of the branch", False, _SPLIT),
    },
}


def quantity_of(
    table: str, column: str, columns: Sequence[str], others: Sequence[str] = ()
) -> Quantity:
    """What `column` of `table` measures; a column of the user's own is named by itself.

    Args:
        table: the kind of table.
        column: the wanted column.
        columns: those it has.
        others: columns that may have been meant, beside these.

    Raises:
        ValueError: there is no such column.
    """
    if column not in columns:
        measured = [name for each in QUANTITIES.values() for name in each]
        offered = dict.fromkeys([*columns, *others])
        known = [name for name in offered if name in measured or name == "depth"] or list(offered)
        raise ValueError(
            f"plot_depth_profile: no column {column!r} in the table of {table};"
            f" closest: {closest(column, known)}."
        )
    return QUANTITIES[table].get(column, Quantity(column, column, False))


def conditions(about: Mapping[str, Any]) -> dict[str, str]:
    """How a table was measured, as short words; never none.

    Data set, loss, meaning of the output, BatchNorm mode, images, seeds, dtype, weights, bands
    shown.
    """
    words: dict[str, str] = {}
    if about.get("data"):
        words["data"] = str(about["data"])
    if about.get("loss"):
        words["loss"] = f"loss: {about['loss']}"
    if about.get("output"):
        units = f" in {about['units']}" if about.get("units") else ""
        words["output"] = f"output: {_OUTPUTS[about['output']]}{units}"
    if about.get("batch_stats") is not None and about.get("batch_norm", True):
        mode = "batch" if about["batch_stats"] else "running"
        words["batch_stats"] = f"BatchNorm on {mode} statistics"
    if about.get("images"):
        plural = "" if about["images"] == 1 else "s"
        words["images"] = f"{about['images']} image{plural}"
    if about.get("seeds"):
        seeds = about["seeds"]
        words["seeds"] = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    for name in ("dtype", "weights"):
        if about.get(name):
            value = str(about[name]).removeprefix("torch.")
            words[name] = value if name == "dtype" else f"weights: {value}"
    if about.get("bands"):
        words["bands"] = _bands(about["bands"])
    if about.get("changes"):
        words["changes"] = ", ".join(about["changes"])
    return words or {"unknown": "how it was measured is not known"}


_OF_SEEDS = ("seeds", "images", "data", "weights")  # tables of several seeds may differ in these


def together(caller: str, name: str, abouts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What may be said of the tables of one network together: not in what they differ.

    Raises:
        ValueError: they were measured in different ways.
    """
    first, *others = [conditions(about) for about in abouts]
    merged = dict(abouts[0])
    for other in others:
        for key in {*first, *other}:
            one, two = first.get(key), other.get(key)
            if one == two:
                continue
            if key not in _OF_SEEDS:
                raise ValueError(
                    f"{caller}: the tables of {name!r} were measured in different ways: "
                    f"{one or 'nothing said'}, and {two or 'nothing said'}; a list holds one "
                    "network under several seeds. Give others a name of their own."
                )
            merged.pop(key, None)
    return merged


def conditions_of(rec: Any, seen: Sequence[str] = ()) -> list[str]:
    """How a recording was measured, as plain text: no word on BatchNorm where there is none.

    Args:
        rec: a Recording.
        seen: names of conditions that are left out: what the view shows anyway.
    """
    about = {**rec.provenance}
    if not rec.layers["type"].str.contains("BatchNorm").any():
        about.pop("batch_stats", None)
    words = conditions(about)
    return [html.unescape(each) for name, each in words.items() if name not in seen]


def _bands(bands: Sequence[int]) -> str:
    """Which bands a picture shows."""
    if len(bands) == 1:
        return f"the picture shows band {bands[0]}"
    return f"the picture shows bands {', '.join(map(str, bands))} as red, green, blue"


def shared_conditions(abouts: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """(what all have in common as one line, what is particular to each)."""
    words = [conditions(about) for about in abouts]
    names = dict.fromkeys(name for each in words for name in each)
    common = [n for n in names if len({each.get(n, "") for each in words}) == 1]
    own = [", ".join(w for n, w in each.items() if n not in common) for each in words]
    return " · ".join(words[0][n] for n in common) if words else "", own
