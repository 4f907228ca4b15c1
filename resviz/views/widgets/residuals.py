"""`explore_residuals`: what each residual block adds to its shortcut, in numbers and channels."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from resviz.arguments import public
from resviz.views.channels import has_maps, pictures_of
from resviz.views.figure import Figure
from resviz.views.figures.curves import about, as_table, curve, stage_bounds, table_of
from resviz.views.figures.quantities import conditions, conditions_of
from resviz.views.figures.residuals import plot_residual_branches
from resviz.views.payload import Packing, Payload
from resviz.views.pictures import Floats
from resviz.views.records import is_recording
from resviz.views.widgets.host import Host
from resviz.views.widgets.view import View

if TYPE_CHECKING:
    from resviz.recording.recording import Recording

PARTS = ("shortcut", "branch", "sum")
COLUMNS = (
    *("branch_rms", "shortcut_rms", "sum_rms", "ratio", "cosine"),
    *("grad_sum_rms", "grad_branch_rms", "grad_shortcut_rms", "grad_cosine", "grad_branch_share"),
)
_CALLER = "explore_residuals"  # its public name
_MOST = 64 * 2**20  # bytes of maps in one message


class AnatomyView(View):
    """The view of :func:`explore_residuals`.

    ``selection`` holds ``addition``, ``image``, ``channel``, ``sort`` ("branch", "index",
    "shortcut", "sum", "ratio"), ``scale`` ("together", "each") and ``show`` ("strongest", "all").
    """

    module = "residuals.js"

    def __init__(self, rec: Any, images: Sequence[int] | None) -> None:
        self._rec = as_table(rec, _CALLER)
        self._frame = table_of(self._rec, "residuals").reset_index(drop=True)
        if self._frame.empty:
            raise ValueError(f"{_CALLER}: no residual additions; a plain network has none.")
        missing = [c for c in ("addition", "kind", "depth", "ratio") if c not in self._frame]
        if missing:
            raise ValueError(
                f"{_CALLER}: no column {missing[0]!r}; a Recording, or a table of "
                "rv.residual_branches, would be right."
            )
        self._kept = _kept(self._rec, self._frame["addition"])
        self._images = _wanted(self._rec, self._kept, images)
        first = next(iter(self._kept), str(self._frame["addition"].iloc[0]))
        network = str(about(self._rec).get("network", ""))
        super().__init__(
            about=f"Residual additions{': ' + network if network else ''}",
            selection={
                "addition": first,
                "image": 0,
                "channel": None,
                "sort": "branch",
                "scale": "together",
                "show": "strongest",
            },
        )

    def figure(self) -> Figure:
        """All additions along depth, as :func:`resviz.plot_residual_branches` draws them."""
        return plot_residual_branches(self._rec)

    def payload(self) -> Payload:
        """The table, and the kept channels one byte a value."""
        packing = Packing()
        frame = self._frame
        depth = frame["depth"].to_numpy(dtype=float)
        bounds = stage_bounds(curve("", [frame], "residuals", "depth", "ratio", None))
        columns = [c for c in COLUMNS if c in frame and frame[c].notna().any()]
        words = self._words()
        count = about(self._rec).get("images", 0)
        if self._images and len(self._images) < count:
            words.append(f"{len(self._images)} of {count} photographs, by images=")
        meta = {
            "about": self.about,
            "conditions": " · ".join(words),
            "additions": [_described(row) for row in frame.to_dict("records")],
            "depth": packing.add(depth.astype(np.float32)),
            # float64, because gradients underflow float32 and would look like exact zeros
            "columns": {
                c: packing.add(np.ascontiguousarray(frame[c], dtype="<f8").view("<i4"))
                for c in columns
            },
            "stages": [{"name": s, "from": low, "to": high} for s, low, high in bounds],
            "images": [f"image {image}" for image in self._images],
            "kept": {name: self._parts(packing, name) for name in self._kept},
            "recorded": is_recording(self._rec),
        }
        return packing.payload(meta)

    def _words(self) -> list[str]:
        """How it was measured."""
        if is_recording(self._rec):
            return conditions_of(self._rec, ("output",))
        return [html.unescape(each) for each in conditions(about(self._rec)).values()]

    def _parts(self, packing: Packing, addition: str) -> dict[str, Any]:
        """Shortcut, branch and sum of an addition, one byte a value."""
        return {
            part: _maps(packing, self._rec, key, self._images) for part, key in self._kept[addition]
        }


def _described(row: dict[Any, Any]) -> dict[str, Any]:
    shape, stage = row.get("shape"), row.get("stage")
    sizes = " × ".join(map(str, shape)) if isinstance(shape, (tuple, list)) else ""
    return {
        "name": str(row["addition"]),
        "block": str(row.get("block", "")),
        "kind": str(row["kind"]),
        "stage": "" if stage is None or pd.isna(stage) else str(stage),
        "shape": sizes,
    }


def _kept(rec: Any, additions: pd.Series[Any]) -> dict[str, list[tuple[str, str]]]:
    """Of every addition with kept maps: (part, key), in the order they are shown."""
    tensors = rec.tensors if is_recording(rec) else {}
    found = {}
    for name in map(str, additions):
        keys = [(part, f"{name}:{part}") for part in PARTS]
        has = [(part, key) for part, key in keys if key in tensors and has_maps(rec, key)]
        shapes = {tuple(tensors[k].shape) for _, k in has}
        if len(shapes) == 1:  # the same channels, side by side
            found[name] = has
    return found


def _wanted(
    rec: Any, kept: dict[str, list[tuple[str, str]]], images: Sequence[int] | None
) -> list[int]:
    """Which photographs go to the browser: those asked for, else as many as fit."""
    if not kept:
        return []
    count = int(rec.provenance["images"])
    if images is None:
        size = sum(rec.tensors[key].numel() for has in kept.values() for _, key in has) // count
        return list(range(max(1, min(count, _MOST // max(1, size)))))
    listed = [int(image) for image in images]
    wrong = [image for image in listed if not 0 <= image < count]
    if wrong or not listed:
        raise ValueError(f"{_CALLER}: images {wrong or '[]'}; the recording has 0 to {count - 1}.")
    return listed


def _maps(packing: Packing, rec: Any, key: str, images: list[int]) -> dict[str, Any]:
    """Codes (N, C, H, W) with a scale per channel, and the exact rms of each channel."""
    found = pictures_of(rec, key)
    if found is None:
        raise ValueError(f"{_CALLER}: {key!r} has no channels to show; ask has_maps first.")
    maps: Floats = found.maps[images]
    flat = maps.reshape(*maps.shape[:2], -1).astype(np.float64)
    finite = flat[np.isfinite(flat)]
    with np.errstate(over="ignore", invalid="ignore"):
        rms = np.sqrt((flat**2).mean(axis=2)).astype(np.float32)
    return {
        "low": float(finite.min()) if finite.size else 0.0,
        "high": float(finite.max()) if finite.size else 0.0,
        "rms": packing.add(rms),
        **packing.add_pixels(maps, groups=2),
    }


@public
def explore_residuals(
    rec: Recording | pd.DataFrame, *, images: Sequence[int] | None = None
) -> Host[AnatomyView]:
    """A view on the residual additions of a network: sizes, gradient split, channels.

    One cursor over depth chooses the block: its shortcut, branch and sum stand side by side for the
    same channels, on one colour scale: at first the 24 to which the branch adds most. Every
    interaction runs in the browser.

    Args:
        rec: a Recording, or a table of :func:`resviz.residual_branches`, which has no channels.
            Channels are shown where they were kept: ``rv.record(net, images,
            keep=["layer1.0.add:shortcut", "layer1.0.add:branch", "layer1.0.add:sum"])``.
        images: which photographs of the recording; all that fit in 64 MiB where None.

    Raises:
        TypeError: something else than a table or a recording.
        ValueError: several networks, no residual additions, or no such photograph.

    Example:
        >>> import resviz as rv, torch
        >>> net = rv.load_model("cifar10-resnet20", device="cpu")
        >>> explore_residuals(rv.record(net, torch.zeros(1, 3, 32, 32))).selection["addition"]
        'layer1.0.add'
    """
    return Host(AnatomyView(rec, images))
