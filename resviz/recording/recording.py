"""`Recording`: what one pass through a network showed, as tables, tensors and provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from torch import Tensor

from resviz import storage
from resviz.arguments import caller, public
from resviz.errors import closest
from resviz.storage import Provenance

_TABLES = ("layers", "residuals", "parameters")
_TENSORS = ("logits", "targets", "loss", "pictures")


@dataclass(frozen=True, eq=False)
class Recording:
    """One recorded pass. Made by :func:`resviz.record`; nothing in it refers to the network.

    Attributes:
        layers: a row per leaf-module call (attention is one) and per block output, in order of
            execution.
            ``axes`` says which axis of ``shape`` is which, as the layers have it: "NCHW", "NHWC"
            (channels last), "NLC" (tokens), "?" for an axis of which none says anything.
            ``mean``, ``std``, ``rms``, ``norm``, ``min``, ``max`` are over the whole output tensor
            (``shape``, N included), ``zero_fraction`` is the share of exact zeros. ``grad_rms`` and
            ``grad_norm`` are of the gradient of the losses *summed* over the images. Of complex
            numbers all are of the absolute values; what a sparse tensor leaves out counts as 0.
        residuals: a row per residual addition: rms of branch, shortcut and sum, their ``ratio``
            (branch over shortcut) and ``cosine``; the gradient at the sum, and its two parts at the
            block's input, with their cosine and the branch's share <g_branch, g> / |g|^2; where
            that is NaN, ``grad_reason`` says why. ``residual`` is False for sums of other kinds,
            which are there only where ``record(include=...)`` asked for them.
        parameters: a row per parameter; ``grad_norm`` is of the *mean* loss over the images.
        logits: what the network gave, float32: (N, C) as a rule; None where no part of it is known
            to be the output. targets: as they were read, (N,) class indices as a rule, or what the
            network says, or None. loss: (N,).
        pictures: (N, H, W, 3) uint8, what the network saw, or None where it has no pictures.
        tensors: kept tensors by key; see :meth:`keys`.
        axes: which axis of each kept tensor is which, by key, in the same letters.
        provenance: network, weights, device, dtype, BatchNorm mode, loss, versions.
    """

    layers: pd.DataFrame
    residuals: pd.DataFrame
    parameters: pd.DataFrame
    logits: Tensor | None
    targets: Tensor | None
    loss: Tensor | None
    pictures: Tensor | None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=dict)
    axes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        about = {key: value for key, value in self.provenance.items() if key != "classes"}
        for name in _TABLES:  # a table by itself still says how it was measured
            getattr(self, name).attrs.update(about)

    def keys(self) -> list[str]:
        """Keys of the kept tensors: ``"layer4"``, ``"relu#1"`` (second call), ``"layer4:grad"``."""
        return list(self.tensors)

    def __contains__(self, key: object) -> bool:
        return key in self.tensors

    @public
    def __getitem__(self, key: str | tuple[str, int]) -> Tensor:
        """A kept tensor: ``rec["layer4"]``; ``rec["layer1.0.relu", 1]`` for a second call.

        Raises:
            KeyError: the tensor was not kept, or the module ran several times and no call is given.
        """
        name, call = key if isinstance(key, tuple) else (key, None)
        for candidate in [name] if call in (None, 0) else []:
            if candidate in self.tensors:
                return self.tensors[candidate]
        if call is not None and f"{name}#{call}" in self.tensors:
            return self.tensors[f"{name}#{call}"]
        calls = [k for k in self.tensors if k.partition("#")[0] == name]
        if calls and call is None:
            raise KeyError(
                f"{caller()}: {name!r} ran {len(calls)} times; say which: rec[{name!r}, 0]."
            )
        raise KeyError(
            f"{caller()}: {key!r} was not kept; closest: {closest(name, self.tensors)}."
            f" Ask for it: record(..., keep=[{name!r}])."
        )

    @public
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole record to one file; :func:`load_recording` gives it back equal."""
        tensors = {f"kept/{name}": value for name, value in self.tensors.items()}
        for name in _TENSORS:
            if getattr(self, name) is not None:
                tensors[f"field/{name}"] = getattr(self, name)
        meta: dict[str, Any] = {
            "tables": {name: storage.table_to_json(getattr(self, name)) for name in _TABLES},
            "kept": list(self.tensors),
            "logits": self.logits is not None,
            "axes": dict(self.axes),
            "provenance": dict(self.provenance),
        }
        storage.write(path, "recording", tensors, meta)

    def equals(self, other: Recording) -> bool:
        """True where both hold the same tables, tensors and provenance, NaN equal to NaN."""
        return (
            all(getattr(self, name).equals(getattr(other, name)) for name in _TABLES)
            and all(storage.tensors_equal(getattr(self, n), getattr(other, n)) for n in _TENSORS)
            and list(self.tensors) == list(other.tensors)
            and all(storage.tensors_equal(t, other.tensors[k]) for k, t in self.tensors.items())
            and dict(self.provenance) == dict(other.provenance)
            and dict(self.axes) == dict(other.axes)
        )

    def _title(self) -> str:
        about = self.provenance
        return f"{about.get('network', 'network')} ({about.get('weights', 'own weights')})"

    def __repr__(self) -> str:
        about = self.provenance
        kept = sum(t.numel() * t.element_size() for t in self.tensors.values())
        gradients = f"loss {about.get('loss')}" if self.loss is not None else "no gradients"
        return (
            f"Recording of {self._title()}, {self.provenance.get('images')} inputs, {gradients}, "
            f"{self._mode()}{about.get('device')}, {about.get('dtype')}\n"
            f"  layers      {len(self.layers)} rows, depth {self._depth()}\n"
            f"  residuals   {len(self.residuals)} additions\n"
            f"  parameters  {len(self.parameters)} rows\n"
            f"  tensors     {len(self.tensors)} kept, {kept / 2**20:.1f} MiB"
        )

    def _mode(self) -> str:
        """Of BatchNorm, where there is any."""
        if not self.provenance.get("batch_norm", True):
            return ""
        mode = "batch" if self.provenance.get("batch_stats") else "running"
        return f"BatchNorm on {mode} statistics, "

    def _depth(self) -> int:
        return int(self.layers["depth"].max()) if len(self.layers) else 0

    def _repr_html_(self) -> str:
        import html

        heading = html.escape(repr(self)).replace("\n", "<br>").replace("  ", "&ensp;")
        columns = [
            "layer",
            "type",
            "depth",
            "shape",
            "mean",
            "std",
            "rms",
            "zero_fraction",
            "grad_rms",
        ]
        table = self.layers[columns].to_html(
            index=False, max_rows=12, float_format=lambda v: f"{v:.4g}", na_rep=""
        )
        return f"<div>{heading}</div>{table}"


@public
def load_recording(path: str | os.PathLike[str]) -> Recording:
    """A :class:`Recording` from the file that :meth:`Recording.save` wrote. Runs no code from it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no recording.
    """
    tensors, meta = storage.read(path, "recording")
    try:
        fields: dict[str, Any] = {
            name: storage.table_from_json(meta["tables"][name], required)
            for name, required in zip(_TABLES, ("layer", "addition", "parameter"), strict=True)
        }
        fields |= {name: tensors.get(f"field/{name}") for name in _TENSORS}
        if fields["logits"] is None and meta.get("logits", True):
            raise ValueError("no logits")
        kept = {name: tensors[f"kept/{name}"] for name in meta["kept"]}
        axes = {str(key): str(order) for key, order in meta.get("axes", {}).items()}
        return Recording(**fields, tensors=kept, provenance={**meta["provenance"]}, axes=axes)
    except (ValueError, *storage.WRONG_CONTENT) as error:
        raise storage.damaged(path) from error
