"""What the residual branches add to their shortcuts, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.scanning.batch import AdditionBatch, Batch
from resviz.scanning.measures.measure import Accumulator, combine_moments

_MOMENTS = ("ratio", "cosine")


def _names(key: str) -> tuple[str, str, str]:
    """Of count, mean and sum of squared deviations."""
    return f"{key}_n", key, f"{key}_m2"


_KEYS = ("n", "branch", "shortcut", "product", *(n for key in _MOMENTS for n in _names(key)))


class Residuals(Accumulator):
    """Moments over the images of |branch| / |shortcut| and of the cosine between both.

    An image with a zero shortcut has no ratio, one with a zero branch or shortcut no cosine: those
    moments leave it out, and all images of a sum that no axis counts them in. Also mean squares of
    branch and shortcut and their mean product over the whole data set, as
    :func:`resviz.residual_branches` has them of one batch.
    """

    def load(self, state: Mapping[str, Any]) -> None:
        """Become what :meth:`state` was taken of; earlier files count each image in all moments."""
        super().load(state)
        for name in self.names():
            for key in _MOMENTS:
                self.arrays.setdefault(f"{name}/{key}_n", self.arrays[f"{name}/n"])

    def update(self, batch: Batch) -> None:
        """Take one more batch."""
        for name, addition in batch.additions.items():
            self._add(name, _of_batch(addition, len(batch.images)))

    def merge(self, other: Residuals) -> None:
        """Take what another one took."""
        for name in other.names():
            keys = [k for k in other.arrays if k.startswith(f"{name}/")]
            self._add(name, {k.removeprefix(f"{name}/"): other.arrays[k] for k in keys})

    def names(self) -> list[str]:
        """Of the additions, in the order of the plan, which a file does not keep."""
        seen = dict.fromkeys(key.rpartition("/")[0] for key in self.arrays)
        planned = [name for name, *_ in self.plan.additions if name in seen]
        return list(dict.fromkeys([*planned, *seen]))

    def _add(self, name: str, more: dict[str, Any]) -> None:
        if f"{name}/n" not in self.arrays:
            self.arrays |= {f"{name}/{key}": np.array(value) for key, value in more.items()}
            return
        own = {key: self.arrays[f"{name}/{key}"] for key in more}
        for key in _MOMENTS:
            names = _names(key)
            found = combine_moments(*(own[n] for n in names), *(more[n] for n in names))
            own |= zip(names, found, strict=True)
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
            row = {
                "addition": name,
                "block": block,
                "kind": kind,
                "depth": depth,
                "branch_rms": np.sqrt(own["branch"] / n),
                "shortcut_rms": np.sqrt(own["shortcut"] / n),
                "ratio": np.sqrt(own["branch"] / own["shortcut"]) if own["shortcut"] else np.nan,
                "cosine": own["product"] / both if both else np.nan,
            }
            for key in _MOMENTS:
                count = own[f"{key}_n"]
                row[f"{key}_mean"] = own[key] if count else np.nan
                row[f"{key}_std"] = np.sqrt(own[f"{key}_m2"] / count) if count else np.nan
            rows.append(row)
        return pd.DataFrame(rows)


def _of_batch(addition: AdditionBatch, images: int) -> dict[str, NDArray[np.float64]]:
    branch, shortcut, product = addition.branch, addition.shortcut, addition.product
    found = {"n": np.array([images], np.float64)}
    for name, values in (("branch", branch), ("shortcut", shortcut), ("product", product)):
        found[name] = values.mean(keepdims=True) * images
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, cosine = np.sqrt(branch / shortcut), product / np.sqrt(branch * shortcut)
    for name, values in (("ratio", ratio), ("cosine", cosine)):
        known = values[np.isfinite(values) & addition.by_image]
        mean = known.mean(keepdims=True) if len(known) else np.zeros(1)
        moments = np.array([float(len(known))]), mean, np.square(known - mean).sum(keepdims=True)
        found |= zip(_names(name), moments, strict=True)
    return found
