"""Images laid out in a plane by what a layer shows for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resviz.arguments import caller, choice

METHODS = ("pca", "umap")


def placed(vectors: NDArray[np.floating], method: str, seed: int) -> NDArray[np.float32]:
    """(M, 2) places of (M, C) vectors: by the two axes of largest variance, or by neighbourhoods.

    A single one lies at the origin.

    Raises:
        ImportError: "umap" where `umap-learn` is not installed.
        ValueError: another method.
    """
    choice("method", method, METHODS)
    known = np.asarray(vectors, np.float32)
    if len(known) < 2:
        return np.zeros((len(known), 2), np.float32)
    if method == "umap":
        return _by_neighbours(known, seed)
    from sklearn.decomposition import PCA

    count = min(2, *known.shape)
    found = np.zeros((len(known), 2), np.float32)
    if count:
        axes = PCA(count, svd_solver="covariance_eigh", random_state=seed)
        found[:, :count] = axes.fit_transform(known)
    return found


def _by_neighbours(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """McInnes, Healy & Melville 2018 (https://arxiv.org/abs/1802.03426)."""
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError(
            f"{caller()}: method 'umap' without umap-learn; 'pca' needs nothing more. "
            "pip install resviz[umap]."
        ) from error
    return np.asarray(UMAP(random_state=seed, n_jobs=1).fit_transform(vectors), np.float32)
