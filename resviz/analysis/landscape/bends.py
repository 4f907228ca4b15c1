"""`bends_of`: where a table of points of a landscape is not convex, and its points as a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.arguments import caller

_ROUNDING = 1e-6  # of the mean: float32 cannot tell less


def bends_of(table: pd.DataFrame) -> pd.DataFrame:
    """What :func:`resviz.analysis.landscape.convexity.nonconvexity` says of a landscape's table.

    Raises:
        TypeError: no table.
        ValueError: one without the columns, empty, or with a point twice.
    """
    table = _checked(table)
    reach = np.maximum(table["alpha"].abs(), table["beta"].abs())
    rings = (reach / reach.max()).round(6)  # -1/3 and 1/3 of a step may differ in the last bit
    rows = []
    for ring in sorted(set(rings[rings > 0])):
        square = rings <= ring
        bends = _bends(*_pairs(grid_of(table[square], "loss")))
        rows.append({"within": float(reach[square].max())} | bends)
    return pd.DataFrame(rows, columns=["within", "violations", "excess", "pairs", "left_out"])


def _bends(middle: NDArray[np.float64], mean: NDArray[np.float64]) -> dict[str, float]:
    known = np.isfinite(middle) & np.isfinite(mean)
    middle, mean = middle[known], mean[known]
    over = middle - mean
    higher = over > _ROUNDING * np.abs(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(higher, over / np.abs(mean), 0.0)
    return {
        "violations": float(higher.mean()) if len(mean) else float("nan"),
        "excess": float(excess.mean()) if len(mean) else float("nan"),
        "pairs": len(mean),
        "left_out": int((~known).sum()),
    }


def _checked(table: Any) -> pd.DataFrame:
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"{caller()}: a {type(table).__name__}; a LossLandscape or its table is right. "
            "See rv.loss_landscape."
        )
    missing = [name for name in ("alpha", "beta", "loss") if name not in table]
    if missing:
        raise ValueError(
            f"{caller()}: a table without {', '.join(missing)}; alpha, beta and loss are needed. "
            "See rv.loss_landscape."
        )
    if table.empty or table.duplicated(["alpha", "beta"]).any():
        what = "an empty table" if table.empty else "a table with a point twice"
        raise ValueError(f"{caller()}: {what}; the points of one network's grid are right.")
    return table


def grid_of(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """(alphas, betas): a column of a table of points as an even grid, NaN where one is missing.

    Raises:
        ValueError: the points do not lie on an even grid.
    """
    places = [_places(table[axis].to_numpy(dtype=np.float64)) for axis in ("alpha", "beta")]
    grid = np.full([int(place.max()) + 1 for place in places], np.nan)
    grid[places[0], places[1]] = table[column]
    return grid


def _places(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which step of an even axis each value is."""
    known = np.unique(values)
    if len(known) < 2:
        return np.zeros(len(values), dtype=np.intp)
    steps = (values - known[0]) / np.diff(known).min()
    places = np.rint(steps)
    if not np.abs(steps - places).max() < 0.01:  # also where a value is NaN
        raise ValueError(
            f"{caller()}: values of alpha or beta that are not evenly spaced; those of one grid "
            "are right. See rv.loss_landscape."
        )
    return places.astype(np.intp)


def _pairs(grid: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(value at the middle, mean of the two ends) of every pair that has its middle on the grid."""
    rows, columns = grid.shape
    middles, means = [], []
    for down in range((rows + 1) // 2):
        # half the steps: those in the other direction are the same pairs
        for right in range(-((columns - 1) // 2) if down else 1, (columns + 1) // 2):
            side = abs(right)
            inner = grid[down : rows - down, side : columns - side]
            left, rest = (grid[:, : columns - 2 * side], grid[:, 2 * side :])
            ends = (left, rest) if right >= 0 else (rest, left)
            first = ends[0][: rows - 2 * down]
            last = ends[1][2 * down :]
            middles.append(inner.ravel())
            means.append(((first + last) / 2).ravel())
    if not middles:
        return np.empty(0), np.empty(0)
    return np.concatenate(middles), np.concatenate(means)
