"""What the residual branches add to their shortcuts, image by image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.scanning.batch import AdditionBatch, Batch
from resviz.scanning.measures.measure import Accumulator, combine_moments

_MOMENTS = ("ratio", "cosine")


class Residuals(Accumulator):
    """Moments over the images of |branch| / |shortcut| and of the cosine between both.

    Also mean squares of branch and shortcut and their mean product over the whole data set, as
    :func:`resviz.residual_branches` has them of one batch.
    """

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        for name, addition in batch.additions.items():
            self._add(name, _of_batch(addition))

    def merge(self, other: Residuals) -> None:
        """Take what another one took."""
        for name in other.names():
            keys = [k for k in other.arrays if k.startswith(f"{name}/")]
            self._add(name, {k.removeprefix(f"{name}/"): other.arrays[k] for k in keys})

    def names(self) -> list[str]:
        """Of the additions, in order of execution."""
        return list(dict.fromkeys(key.rpartition("/")[0] for key in self.arrays))

    def _add(self, name: str, more: dict[str, Any]) -> None:
        if f"{name}/n" not in self.arrays:
            self.arrays |= {f"{name}/{key}": np.array(value) for key, value in more.items()}
            return
        own = {key: self.arrays[f"{name}/{key}"] for key in more}
        for key in _MOMENTS:
            found = combine_moments(
                own["n"], own[key], own[f"{key}_m2"], more["n"], more[key], more[f"{key}_m2"]
            )
            _, own[key], own[f"{key}_m2"] = found
        for key in ("n", "branch", "shortcut", "product"):
            own[key] = own[key] + more[key]
        self.arrays |= {f"{name}/{key}": value for key, value in own.items()}

    def table(self) -> pd.DataFrame:
        """A row per residual addition."""
        rows = []
        about = {name: (block, kind, depth) for name, block, kind, depth in self.plan.additions}
        for name in self.names():
            block, kind, depth = about.get(name, ("", "", 0))
            own = {key: float(self.arrays[f"{name}/{key}"][0]) for key in _KEYS}
            n = max(own["n"], 1)
            both = np.sqrt(own["branch"] * own["shortcut"])
            rows.append(
                {
                    "addition": name,
                    "block": block,
                    "kind": kind,
                    "depth": depth,
                    "branch_rms": np.sqrt(own["branch"] / n),
                    "shortcut_rms": np.sqrt(own["shortcut"] / n),
                    "ratio": np.sqrt(own["branch"] / own["shortcut"])
                    if own["shortcut"]
                    else np.nan,
                    "cosine": own["product"] / both if both else np.nan,
                    "ratio_mean": own["ratio"],
                    "ratio_std": np.sqrt(own["ratio_m2"] / n),
                    "cosine_mean": own["cosine"],
                    "cosine_std": np.sqrt(own["cosine_m2"] / n),
                }
            )
        return pd.DataFrame(rows)


_KEYS = (*("n", "branch", "shortcut", "product"), *_MOMENTS, *(f"{key}_m2" for key in _MOMENTS))


def _of_batch(addition: AdditionBatch) -> dict[str, NDArray[np.float64]]:
    branch, shortcut, product = addition.branch, addition.shortcut, addition.product
    found = {"n": np.array([len(branch)], np.float64)}
    for name, values in (("branch", branch), ("shortcut", shortcut), ("product", product)):
        found[name] = values.sum(keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, cosine = np.sqrt(branch / shortcut), product / np.sqrt(branch * shortcut)
    for name, values in (("ratio", ratio), ("cosine", cosine)):
        found[name] = values.mean(keepdims=True)
        found[f"{name}_m2"] = np.square(values - values.mean()).sum(keepdims=True)
    return found
