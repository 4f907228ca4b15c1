"""Where the numbers come from: network, weights, device, dtype, modes, versions."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.errors import warn
from resviz.images import to_pictures
from resviz.preset import Preset, check_channels, check_preset, preset_of


def preset_or_none(net: nn.Module, preset: Preset | None) -> Preset | None:
    """The given preset, else the network's own, else None.

    Raises:
        TypeError: no preset.
        ValueError: the given one says other channels than the network takes.
    """
    if preset is not None:
        check_preset(preset)
        if preset != getattr(net, "resviz_preset", None):
            check_channels(net, preset)
        return preset
    try:
        return preset_of(net)
    except ValueError:
        return None


def displayed(images: Tensor, preset: Preset | None) -> Tensor | None:
    """(N, H, W, 3) uint8 pictures, or None for inputs that are no pictures or of unknown scale."""
    if preset is None or not preset.mean or images.ndim != 4:
        return None
    if images.shape[1] != preset.channels:
        warn(
            f"{caller()}: images of shape {tuple(images.shape)}, and preset {preset.name!r} is of "
            f"{preset.channels} channel(s): no pictures. Preset(channels={images.shape[1]}, ...) "
            "shows them."
        )
        return None
    return to_pictures(images, preset)


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of what the numbers depend on."""
    found = {}
    for package in ("resviz", "torch", "torchvision"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found | {"torch": torch.__version__}


def provenance(
    net: nn.Module, inputs: Sequence[Tensor], preset: Preset | None, **settings: Any
) -> dict[str, Any]:
    """Everything JSON can hold about how a record was made."""
    first = next(net.parameters(), inputs[0])
    kind = inputs[0].device.type
    autocast = torch.is_autocast_enabled(kind)
    return {
        "network": preset.name if preset is not None else type(net).__name__,
        "weights": preset.weights if preset is not None else "own",
        "classes": list(preset.classes) if preset is not None else [],
        "changes": list(getattr(net, "resviz_changes", ())),
        "device": str(inputs[0].device),
        "dtype": str(first.dtype).removeprefix("torch."),
        "autocast": str(torch.get_autocast_dtype(kind)).removeprefix("torch.")
        if autocast
        else None,
        "images": len(inputs[0]),
        "input_shape": list(inputs[0].shape),
        "versions": dict(versions()),
        **_bands(preset),
        **settings,
    }


def _bands(preset: Preset | None) -> dict[str, Any]:
    """Which bands the pictures show, where that does not go without saying."""
    plain = ((3, (0, 1, 2)), (1, (0,)))
    if preset is None or not preset.mean or (preset.channels, preset.display) in plain:
        return {}
    return {"bands": list(preset.display)}
