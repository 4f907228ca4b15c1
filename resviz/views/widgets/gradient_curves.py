"""The curves of `explore_gradients`: where their points stand, and their numbers over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.views.figures.curves import Curve, curve, select_rows, stage_bounds
from resviz.views.figures.quantities import QUANTITIES
from resviz.views.payload import Packing
from resviz.views.widgets.gradient_runs import CALLER, OWN, Run

Floats = NDArray[np.float64]


class Places:
    """Layers, shapes and stages of the curves, each different list once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], int] = {}
        self._curves: list[Curve] = []

    def index(self, drawn: Curve) -> int:
        """The number of the list that a curve goes along."""
        rows = drawn.rows
        key = (*rows["layer"], *rows["shape"], *rows["x"].fillna(-1), *rows["kind"], *drawn.aside)
        if key not in self._known:
            self._known[key] = len(self._curves)
            self._curves.append(drawn)
        return self._known[key]

    def described(self, packing: Packing) -> list[dict[str, Any]]:
        """All lists, as the browser gets them."""
        return [_place(each, packing) for each in self._curves]


def _place(drawn: Curve, packing: Packing) -> dict[str, Any]:
    rows = drawn.rows
    return {
        "x": packing.add(rows["x"].to_numpy(dtype=np.float32)),
        "layers": rows["layer"].tolist(),
        "shapes": rows["shape"].tolist(),
        "stages": rows["stage"].tolist(),
        "notes": rows["kind"].astype(str).tolist(),
        "aside": drawn.aside.tolist(),
        "bounds": [
            {"name": stage, "from": low, "to": high} for stage, low, high in stage_bounds(drawn)
        ],
    }


def curve_of(run: Run, kind: str, rows: str | Sequence[str] | None) -> Curve:
    """A run along depth: where its points stand, whatever is shown of them."""
    column = next(c for c in run.tables[kind][0] if c in QUANTITIES[kind] or c in OWN)
    chosen = rows if kind == "layers" else None
    try:
        return curve(run.network, run.tables[kind], kind, "depth", column, chosen)
    except ValueError as error:
        raise ValueError(str(error).replace("plot_depth_profile:", f"{CALLER}:")) from error


def over_seeds(run: Run, kind: str, column: str, rows: str | Sequence[str] | None) -> list[Floats]:
    """Median, and with several seeds smallest and largest, of every row; NaN is no value."""
    chosen = rows if kind == "layers" else None
    frames = [select_rows(frame, kind, chosen) for frame in run.tables[kind]]
    values = np.column_stack([frame[column].to_numpy(dtype=float) for frame in frames])
    if values.shape[1] == 1:
        return [values[:, 0]]
    finite = np.where(np.isfinite(values), values, np.nan)
    known = ~np.isnan(finite).all(axis=1)
    found = []
    for function in (np.nanmedian, np.nanmin, np.nanmax):
        out = np.full(len(finite), np.nan)
        out[known] = function(finite[known], axis=1)
        found.append(out)
    return found
