"""`nonconvexity`: how often, and how far, a measured landscape bends the wrong way."""

from __future__ import annotations

import pandas as pd

from resviz.analysis.landscape.bends import bends_of
from resviz.analysis.landscape.surface import LossLandscape
from resviz.arguments import public


@public
def nonconvexity(landscape: LossLandscape | pd.DataFrame) -> pd.DataFrame:
    """How far a landscape is from convex, checked at the middle of every pair of its points.

    A convex function obeys f((p + q) / 2) <= (f(p) + f(q)) / 2. All pairs p, q of grid points whose
    middle is a grid point too are checked, near and far and in every direction that the grid has. A
    violation in the plane proves that the loss is not convex; none proves nothing.

    This measure is ours. Li et al. 2018 (https://arxiv.org/abs/1712.09913, section 6) map the ratio
    |smallest / largest| of the Hessian's eigenvalues instead. Compare networks at the same
    ``within`` and step: a loss that grows steeply far out looks convex there, whatever it does near
    the middle.

    Args:
        landscape: a :class:`LossLandscape`, or its table (``alpha``, ``beta``, ``loss``).

    Returns:
        A row per square around the network: ``within`` (|alpha| and |beta| of both points are no
        larger); ``violations``, the share of pairs whose middle lies higher than the mean of the
        two, by more than 1e-6 of it; ``excess``, the mean over all pairs of
        max(0, f(middle) / mean - 1), which also tells how much higher; ``pairs``, how many were
        checked; ``left_out``, how many were not, as a point is missing or not finite. Without pairs
        the shares are NaN.

    Raises:
        TypeError: no landscape.
        ValueError: a table without the columns, empty, or with a point twice.

    Example:
        >>> bowl = pd.DataFrame({"alpha": [-1.0, 0.0, 1.0], "beta": 0.0, "loss": [1.0, 0.5, 1.0]})
        >>> nonconvexity(bowl)["violations"].tolist()
        [0.0]
        >>> nonconvexity(bowl.assign(loss=[1.0, 2.0, 1.0]))["excess"].tolist()
        [1.0]
    """
    return bends_of(landscape.table if isinstance(landscape, LossLandscape) else landscape)
