"""The methods asked for, each run on the shared pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from resviz.arguments import caller
from resviz.attribution.layer import PIXELS, key_of
from resviz.attribution.methods.method import Asked
from resviz.attribution.shared_pass import Contrast, Formula, SharedPass
from resviz.errors import NonFinite
from resviz.networks.outputs import widened

Maps = dict[tuple[str, str], Tensor]


def needs_of(asked: Iterable[Asked]) -> tuple[list[tuple[Formula, Contrast | None]], bool]:
    """What methods need of the shared pass: formulas, and whether a backward pass."""
    rows = list(asked)
    formulas = [(each.function, each.contrast) for each in rows if each.method.form.formula]
    return formulas, any(each.method.form.gradients for each in rows)


def maps_of(shared: SharedPass, asked: Mapping[str, Asked], relu: bool) -> Maps:
    """(N, T, h, w) by method and layer, raw but for the last ReLU of the methods that have one.

    Raises:
        NonFinite: a map holds NaN or infinity.
    """
    maps = {}
    for name, each in asked.items():
        for layer in [PIXELS] if each.method.at == "input" else shared.layers:
            values = each.run(shared, layer)
            cut = relu and not each.method.signed
            maps[name, key_of(layer)] = _ready(values.relu() if cut else values)
    _check_finite(maps)
    return maps


def _check_finite(maps: Maps) -> None:
    for (method, layer), values in maps.items():
        if not bool(values.isfinite().all()):
            raise NonFinite(
                f"{caller()}: {method} at {layer!r} holds NaN or infinity; finite activations "
                "and gradients would be right. rv.record names the layer where they begin."
            )


def _ready(maps: Tensor) -> Tensor:
    """On the CPU, contiguous, in float32 or float64."""
    return widened(maps.detach()).cpu().contiguous()
