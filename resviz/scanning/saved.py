"""A scan as one file: arrays as safetensors, the table of images as Parquet, the rest as JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from resviz import storage
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.measures.images import TYPES
from resviz.scanning.plan import Plan

_IMAGES = "table/images"


def write(
    path: str | os.PathLike[str],
    seen: Accumulated,
    names: tuple[str, ...],
    provenance: Mapping[str, Any],
    *,
    durable: bool = False,
) -> None:
    """Write what a scan has seen; :func:`read` gives it back."""
    state = seen.state()
    table = pd.DataFrame({name: state.pop(f"images/{name}") for name in TYPES})
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
    tensors[_IMAGES] = storage.table_to_bytes(table)
    tensors["table/names"] = storage.table_to_bytes(pd.DataFrame({"name": list(names)}))
    meta = {
        "plan": seen.plan.to_json(),
        "skipped": {str(image): reason for image, reason in seen.skipped.items()},
        "provenance": dict(provenance),
    }
    storage.write(path, "scan", tensors, meta, durable)


def read(
    path: str | os.PathLike[str],
) -> tuple[Accumulated, tuple[str, ...], dict[str, Any]]:
    """What is in a file: what was seen, names of the images, provenance.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no scan.
    """
    tensors, meta = storage.read(path, "scan")
    try:
        plan = Plan.from_json(meta["plan"])
        images = storage.table_from_bytes(tensors.pop(_IMAGES))
        names = storage.table_from_bytes(tensors.pop("table/names"))["name"]
        state = {name: tensor.numpy() for name, tensor in tensors.items()}
        state |= {f"images/{name}": images[name].to_numpy() for name in TYPES}
        seen = Accumulated(plan)
        seen.load(state, {int(image): reason for image, reason in meta["skipped"].items()})
        return seen, tuple(names), {**meta["provenance"]}
    except (ValueError, OSError, *storage.WRONG_CONTENT) as error:
        raise storage.damaged(path) from error
