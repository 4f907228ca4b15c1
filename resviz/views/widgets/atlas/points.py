"""Where images lie by what a layer shows for them, and that, for the browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from resviz.views.payload import Packing

_MOST = 2**21  # values of all points


def packed_points(packing: Packing, scan: Any, table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Append places, classes and activations of images; None without a layout."""
    if table is None:
        return None
    layer, _, vectors = scan.embedding
    room = max(_MOST // max(vectors.shape[1], 1), 1)
    chosen = np.arange(len(table))
    if len(table) > room:
        chosen = np.sort(np.random.default_rng(scan.plan.seed).permutation(len(table))[:room])
    shown = table.iloc[chosen]
    classes = {name: n for n, name in enumerate(scan.plan.classes)}
    by = "label" if scan.plan.by == "label" else "prediction"
    index = [classes.get(name, -1) for name in shown[by].fillna("")]
    return {
        **{"layer": scan.number(layer), "method": table.attrs["method"]},
        "image": packing.add(shown["image"].to_numpy(np.int32)),
        "x": packing.add(shown["x"].to_numpy(np.float32)),
        "y": packing.add(shown["y"].to_numpy(np.float32)),
        "class": packing.add(np.array(index, np.int32)),
        "values": packing.add_pixels(vectors[chosen].T.astype(np.float32), groups=1),
    }
