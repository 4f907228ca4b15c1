"""One file for a record: tensors as safetensors, everything else as JSON in its header.

Opening such a file runs no code from it.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from resviz import arguments
from resviz.arguments import caller
from resviz.writing import destination, whole_file

_FORMAT = "resviz-1"
# how a record was made, as JSON has it
Provenance = Mapping[str, Any]
# what reading a file raises whose header was written by somebody else
WRONG_CONTENT = (AttributeError, KeyError, RecursionError, TypeError)


def write(
    path: str | os.PathLike[str],
    kind: str,
    tensors: dict[str, Tensor],
    meta: dict[str, Any],
    durable: bool = False,
) -> None:
    """Write `tensors` and JSON-able `meta` to `path`; a broken write leaves no file.

    Where it is `durable`, a power cut leaves the file as it was before, or as it is now.

    Raises:
        FileNotFoundError: there is no such folder.
        TypeError: a tensor of a dtype that such a file does not hold.
    """
    for name, tensor in tensors.items():
        if tensor.dtype in (torch.complex128, torch.complex32):
            raise TypeError(
                f"{caller()}: {name!r} is of dtype {tensor.dtype}, which the file cannot hold; "
                "torch.complex64 would be right. torch.save writes it to a file of its own."
            )
    header = {"format": _FORMAT, "kind": kind, "meta": json.dumps(meta)}
    with whole_file(destination(path), durable) as part:
        # safetensors refuses tensors that share memory
        save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, part, header
        )
        part.chmod(0o666 & ~_umask())  # as any new file; safetensors lets nobody else read


def _umask() -> int:
    """The process's mask for new files, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`write` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds something else than `kind`.
    """
    path = arguments.path("path", path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{caller()}: no file {os.fspath(path)!r}.")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _check_format(path, header.get("format"))
        if header.get("format") != _FORMAT or header.get("kind") != kind:
            found = header.get("kind", "no resviz record")
            raise ValueError(
                f"{caller()}: {os.fspath(path)!r} holds {found}; a {kind} was expected."
            )
        meta = json.loads(header["meta"])
        if not isinstance(meta, dict):
            raise TypeError("the header is no dictionary")
        return tensors, meta
    except (SafetensorError, json.JSONDecodeError, *WRONG_CONTENT) as error:
        raise damaged(path) from error


def _check_format(path: str | os.PathLike[str], found: str | None) -> None:
    """Raise ValueError, where a later resviz wrote the file."""
    if found is not None and found != _FORMAT and re.fullmatch(r"resviz-\d+", found):
        raise ValueError(
            f"{caller()}: {os.fspath(path)!r} is of the format {found}; this version of resviz "
            f"reads {_FORMAT}. pip install -U resviz."
        )


def damaged(path: str | os.PathLike[str]) -> ValueError:
    """The error for a file whose content makes no sense."""
    return ValueError(f"{caller()}: {os.fspath(path)!r} is damaged or no resviz file.")


def table_to_json(table: pd.DataFrame) -> dict[str, Any]:
    """Columns as lists, with their dtypes; floats keep every bit."""
    return {
        "columns": {str(name): table[name].tolist() for name in table},
        "dtypes": {str(name): str(table[name].dtype) for name in table},
    }


def table_from_json(data: dict[str, Any], required: str) -> pd.DataFrame:
    """The table that :func:`table_to_json` was given; lists come back as tuples.

    Raises:
        ValueError: column `required` is missing, or columns differ in length.
        AttributeError, KeyError, TypeError: `data` is no such table; see WRONG_CONTENT.
    """
    if required not in data["columns"] or len({len(v) for v in data["columns"].values()}) > 1:
        raise ValueError("not a table")
    columns = {}
    for name, values in data["columns"].items():
        restored = [tuple(v) if isinstance(v, list) else v for v in values]
        columns[name] = pd.Series(restored, dtype=data["dtypes"][name])
    return pd.DataFrame(columns)


def table_to_bytes(table: pd.DataFrame) -> Tensor:
    """A table as Apache Parquet, for a long one; bytes as a tensor of uint8."""
    written = io.BytesIO()
    table.to_parquet(written, engine="pyarrow", compression="zstd", index=False)
    return torch.frombuffer(bytearray(written.getvalue()), dtype=torch.uint8)


def table_from_bytes(data: Tensor) -> pd.DataFrame:
    """The table that :func:`table_to_bytes` was given.

    Raises:
        ValueError: the bytes are no Parquet file.
    """
    return pd.read_parquet(io.BytesIO(data.numpy().tobytes()), engine="pyarrow")


def tensors_equal(one: Tensor | None, other: Tensor | None) -> bool:
    """Same dtype, shape and values; NaN equals NaN."""
    if one is None or other is None:
        return one is other
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())
