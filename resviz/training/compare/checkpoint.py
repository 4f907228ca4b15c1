"""The file that a training goes on from: written whole or not at all, read without running code."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
from typing import Any

import pandas as pd
import torch

from resviz import storage
from resviz.arguments import caller

_FORMAT = "resviz-training-1"
# what torch.load, and reading what it gave, raise for files that are cut off or something else
_DAMAGED = (
    *(RuntimeError, ValueError, EOFError, pickle.UnpicklingError, OSError),
    *storage.WRONG_CONTENT,
)


def write(path: pathlib.Path, state: dict[str, Any]) -> None:
    """Write `state`; whoever stops this midway finds the file that was there before.

    Args:
        path: of the file.
        state: tensors, numbers, texts, lists and dicts; under "tables" tables or None.
    """
    tables = [None if table is None else _to_plain(table) for table in state["tables"]]
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        torch.save(state | {"format": _FORMAT, "tables": tables}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read(path: pathlib.Path) -> dict[str, Any]:
    """What :func:`write` wrote, tensors on the CPU.

    Raises:
        ValueError: the file is damaged or something else.
    """
    try:
        state = dict(torch.load(path, map_location="cpu", weights_only=True))
        if state.pop("format") != _FORMAT:
            raise ValueError("another format")
        state["tables"] = [None if t is None else _from_plain(t) for t in state["tables"]]
    except _DAMAGED as error:
        raise ValueError(
            f"{caller()}: {str(path)!r} is damaged or no checkpoint of train_compare; name"
            " another folder, or remove this file to train its network anew."
        ) from error
    return state


def _to_plain(table: pd.DataFrame) -> dict[str, Any]:
    return storage.table_to_json(table) | {"attrs": json.dumps(table.attrs)}


def _from_plain(data: dict[str, Any]) -> pd.DataFrame:
    table = storage.table_from_json(data, "parameter")
    table.attrs.update(json.loads(data["attrs"]))
    return table
