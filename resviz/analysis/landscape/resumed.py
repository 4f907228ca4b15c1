"""Going on where an earlier call stopped: what must be the same, and where points are kept."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.analysis.landscape.surface import LossLandscape, load_landscape
from resviz.arguments import caller
from resviz.provenance import settings_of

COLUMNS = ("alpha", "beta", "loss", "error")
Point = tuple[float, float]
# what must be the same for points of two calls to belong to one landscape
_SAME = (
    "network",
    "dimensions",
    "points",
    "extent",
    "directions",
    "seed",
    "batch",
    "batch_stats",
    "device",
    "dtype",
    "autocast",
    "changes",
)


def fingerprint(net: nn.Module, inputs: Iterable[Tensor], targets: Tensor) -> dict[str, str]:
    """SHA-256 of the architecture, its settings, the weights with buffers, images and targets."""
    kinds = [(path, type(module).__qualname__) for path, module in net.named_modules()]
    # what a repr shows, a slope or a stride; an address in it differs between processes
    shown = re.sub(r" at 0x[0-9a-f]+", "", repr(net))
    return {
        "architecture": _hash(repr(kinds)),
        "settings": _hash(f"{shown} {settings_of(net)}"),
        "weights": _digest([*net.named_parameters(), *net.named_buffers()]),
        "images": _digest((str(n), tensor) for n, tensor in enumerate(inputs)),
        "targets": _digest([("targets", targets)]),
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    made = hashlib.sha256()
    for name, tensor in tensors:
        flat = tensor.detach().cpu().contiguous()
        made.update(f"{name} {tuple(flat.shape)} {flat.dtype}".encode())
        if flat.numel():
            made.update(flat.reshape(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()


class Kept:
    """The finished points, in memory and, with a path, in a file that is whole at any moment.

    Args:
        path: of the file, or None.
        provenance: of the landscape, with its fingerprint.

    Raises:
        TypeError: `path` is no path.
        FileNotFoundError: there is no such folder.
        ValueError: the file is damaged, or holds a landscape made with other arguments.
    """

    def __init__(self, path: str | os.PathLike[str] | None, provenance: Mapping[str, Any]) -> None:
        self.points: dict[Point, tuple[float, float]] = {}
        self._path, self._provenance = _checked(path), provenance
        if self._path is not None and self._path.exists():
            before = load_landscape(self._path)
            _check_same(self._path, before.provenance, provenance)
            for alpha, beta, loss, error in before.table[list(COLUMNS)].itertuples(index=False):
                self.points[alpha, beta] = (loss, error)

    def add(self, point: Point, measured: tuple[float, float]) -> None:
        """One more finished point."""
        self.points[point] = measured
        if self._path is not None:
            self.landscape().save(self._path)

    def landscape(self) -> LossLandscape:
        """What is finished so far."""
        rows = [(*point, *measured) for point, measured in sorted(self.points.items())]
        return LossLandscape(pd.DataFrame(rows, columns=list(COLUMNS)), dict(self._provenance))


def _checked(path: Any) -> pathlib.Path | None:
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{caller()}: path is a {type(path).__name__}; a file name or None.")
    file = pathlib.Path(path)
    if not file.parent.is_dir():
        raise FileNotFoundError(
            f"{caller()}: no folder {str(file.parent)!r}; make it first, or give another path."
        )
    return file


def _check_same(path: pathlib.Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    its, mine = (each.get("fingerprint") or {} for each in (there, here))
    same = its.get("architecture") == mine["architecture"]
    if not same or "settings" not in its:  # another one has others; earlier versions kept none
        its = {**its, "settings": mine["settings"]}
    differ = [f"other {name}" for name in mine if its.get(name) != mine[name]]
    differ += [
        f"{name} {there.get(name)!r} instead of {here[name]!r}"
        for name in _SAME
        if there.get(name) != here[name]
    ]
    if differ:
        raise ValueError(
            f"{caller()}: {str(path)!r} holds a landscape with {', '.join(differ)}; the same "
            "arguments would go on with it. Give another path, or delete that file."
        )
