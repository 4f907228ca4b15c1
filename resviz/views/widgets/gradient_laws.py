"""`laws_of`: lines of theory for `explore_gradients`, at the depths of each network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.analysis.theory import BATCHNORM_EXPLOSION, Theory
from resviz.views.figures.curves import Curve
from resviz.views.widgets.gradient_runs import CALLER, Run

Floats = NDArray[np.float64]

_SUITS = {"layers.grad_rms": BATCHNORM_EXPLOSION}  # the quantity that the law is about


def laws_of(
    theory: Mapping[str, Any],
    runs: Sequence[Run],
    curves: Mapping[tuple[int, str], Curve],
    measured: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Each law at the depths of each network; the browser scales those that have to be."""
    offered: list[tuple[str, Any, str | None]] = [(name, law, None) for name, law in theory.items()]
    offered += [(law.name, law, name) for name, law in _SUITS.items() if name in measured]
    for name, law, quantity in offered:
        through = isinstance(law, Theory)
        lines: dict[str, Any] = {}
        for (number, kind), drawn in curves.items():
            if quantity is not None and quantity.partition(".")[0] != kind:
                continue
            x = np.unique(drawn.rows["x"].to_numpy(dtype=float)[~drawn.aside])
            x = x[np.isfinite(x)]
            known: dict[str, Any] = lines.setdefault(runs[number].network, {})
            if through and len(x):
                away = np.arange(x[0] - x[-1], x[-1] - x[0] + 1)
                known |= {"from": float(away[0]), "y": _values(name, law, away)}
            else:
                known |= {"x": x.tolist(), "y": _values(name, law, x)}
        yield {
            "name": name,
            "quantity": quantity,
            "through": through,
            "source": f"{law.source}. Holds: {law.assumes}." if through else "",
            "lines": lines,
        }


def _values(name: str, law: Callable[[Floats], Any], x: Floats) -> list[float | None]:
    """The law at `x`; None where it has no finite value."""
    with np.errstate(all="ignore"):
        values = np.broadcast_to(np.asarray(law(x), dtype=float), x.shape)
    if len(x) and not np.isfinite(values).any():
        raise ValueError(
            f"{CALLER}: theory {name!r} has no finite value at the depths of the networks; a "
            "function of depth would be right."
        )
    return [float(value) if np.isfinite(value) else None for value in values]
