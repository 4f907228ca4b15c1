"""How a layer is named: the path of a module, and which of its calls."""

from __future__ import annotations

Layer = tuple[str, int]  # dotted path, call

INPUT = "input"  # the layer name of maps over the pixels themselves
PIXELS: Layer = (INPUT, 0)


def key_of(layer: Layer) -> str:
    """``"layer1.0.relu#1"`` for a second call, ``"layer4"`` for a first."""
    path, call = layer
    return path if call == 0 else f"{path}#{call}"
