"""The file of an `Explanation`: its fields as tensors and JSON, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from resviz import storage
from resviz.attribution.channels import Channels
from resviz.attribution.diagnosis import COLUMNS
from resviz.attribution.head import HEAD_TENSORS, AllClasses
from resviz.attribution.split import Split

TENSORS = ("scores", "logits", "pictures", "inputs")  # fields that are one tensor, or None


def write(path: str | os.PathLike[str], fields: Mapping[str, Any]) -> None:
    """Write the fields to one file: :func:`read` gives them back equal."""
    keys, head, parts = list(fields["maps"]), next(iter(fields["heads"]), None), fields["parts"]
    tensors = _tensors_of_maps(fields["maps"])
    tensors |= {f"field/{n}": fields[n] for n in TENSORS if fields[n] is not None}
    tensors |= {f"picture/{name}": value for name, value in fields["other_pictures"].items()}
    tensors |= {f"input/{name}": value for name, value in fields["other_inputs"].items()}
    meta: dict[str, Any] = {
        "keys": [list(key) for key in keys],
        "targets": fields["targets"],
        "target_names": fields["target_names"],
        "provenance": dict(fields["provenance"]),
        "measured": {name: list(values) for name, values in fields["measured"].items()},
        "channels": list(fields["channels"]),
    }
    for number, channels in enumerate(fields["channels"].values()):
        tensors |= {f"channels/{number}/{name}": t for name, t in channels.named().items()}
    if head is not None:
        tensors |= {f"head/{name}": tensor for name, tensor in head.tensors().items()}
        meta["head"] = {"layer": head.layer, "tolerance": head.tolerance}
        meta["head"]["classes"] = list(head.classes)
    if parts is not None:
        tensors |= {f"part/{i}": value for i, value in enumerate(parts.maps.values())}
        table = storage.table_to_json(parts.table)
        meta["parts"] = {"keys": [list(key) for key in parts.maps], "table": table}
    storage.write(path, "explanation", tensors, meta)


def _tensors_of_maps(maps: Mapping[tuple[str, str], Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for i, value in enumerate(maps.values()):
        if isinstance(value, tuple):  # images with different numbers of targets
            tensors |= {f"map/{i}/{n}": each for n, each in enumerate(value)}
        else:
            tensors[f"map/{i}"] = value
    return tensors


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields in a file. Runs no code from it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no explanation.
    """
    tensors, meta = storage.read(path, "explanation")
    try:
        keys = [(method, layer) for method, layer in meta["keys"]]
        return {
            "maps": {key: _map(tensors, i, len(meta["targets"])) for i, key in enumerate(keys)},
            "targets": meta["targets"],
            "target_names": meta["target_names"],
            "scores": tensors["field/scores"],
            **{name: tensors.get(f"field/{name}") for name in TENSORS if name != "scores"},
            "other_pictures": _named(tensors, "picture/"),
            "other_inputs": _named(tensors, "input/"),
            "measured": _measured(meta["measured"]),
            "heads": _heads(tensors, meta.get("head")),
            "parts": _split(tensors, meta.get("parts")),
            "channels": _channels(tensors, meta.get("channels", ())),
            "provenance": meta["provenance"],
        }
    except (ValueError, *storage.WRONG_CONTENT) as error:
        raise storage.damaged(path) from error


def _map(tensors: Mapping[str, Tensor], number: int, images: int) -> Any:
    """(N, T, h, w), or a tuple of (T_n, h, w)."""
    if f"map/{number}" in tensors:
        return tensors[f"map/{number}"]
    return tuple(tensors[f"map/{number}/{image}"] for image in range(images))


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What was stored by name."""
    found = tensors.items()
    return {key.removeprefix(prefix): value for key, value in found if key.startswith(prefix)}


def _measured(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    if set(columns) != set(COLUMNS) or len({len(values) for values in columns.values()}) > 1:
        raise ValueError("not the columns of the evidence")
    return {name: list(columns[name]) for name in COLUMNS}


def _heads(tensors: Mapping[str, Tensor], meta: Mapping[str, Any] | None) -> tuple[AllClasses, ...]:
    if meta is None:
        return ()
    activations, weight, bias = (tensors[f"head/{name}"] for name in HEAD_TENSORS)
    classes, tolerance = tuple(meta["classes"]), float(meta["tolerance"])
    return (AllClasses(meta["layer"], activations, weight, bias, classes, tolerance),)


def _split(tensors: Mapping[str, Tensor], meta: Mapping[str, Any] | None) -> Split | None:
    if meta is None:
        return None
    keys = [(layer, part) for layer, part in meta["keys"]]
    maps = {key: tensors[f"part/{i}"] for i, key in enumerate(keys)}
    return Split(maps, storage.table_from_json(meta["table"], "layer"))


def _channels(tensors: Mapping[str, Tensor], layers: Sequence[str]) -> dict[str, Channels]:
    return {
        layer: Channels(**_named(tensors, f"channels/{number}/"))
        for number, layer in enumerate(layers)
    }
