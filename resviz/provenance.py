"""Where the numbers come from: network, weights, device, dtype, modes, versions."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.errors import warn
from resviz.given import Images, Inputs
from resviz.images import to_pictures
from resviz.preset import Preset, check_channels, check_preset, preset_of
from resviz.torch_private import AnyBatchNorm, modules_of


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


def displayed(images: Images, preset: Preset | None) -> Tensor | None:
    """(N, H, W, 3) uint8 pictures, or None for inputs that are no pictures or of unknown scale."""
    inputs = Inputs.of(images)
    shape = inputs.shape
    if preset is None or not preset.mean or len(shape) != 4 or not inputs.is_even:
        return None
    if shape[1] != preset.channels:
        warn(
            f"{caller()}: images of shape {tuple(shape)}, and preset {preset.name!r} is of "
            f"{preset.channels} channel(s): no pictures. Preset(channels={shape[1]}, ...) "
            "shows them."
        )
        return None
    return to_pictures(inputs.picture, preset)


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
    net: nn.Module, images: Images, preset: Preset | None, **settings: Any
) -> dict[str, Any]:
    """Everything JSON can hold about how a record was made."""
    inputs = Inputs.of(images)
    first = next(net.parameters(), inputs[0])
    kind = inputs.device.type
    autocast = torch.is_autocast_enabled(kind)
    norms = [each for each in modules_of(net).values() if isinstance(each, AnyBatchNorm)]
    if settings.get("batch_stats") is False and any(n.running_mean is None for n in norms):
        settings["batch_stats"] = True  # it has no others
    return {
        "network": preset.name if preset is not None else type(net).__name__,
        "weights": preset.weights if preset is not None else "own",
        "classes": list(preset.classes) if preset is not None else [],
        "untrained": untrained(net, None if preset is None else preset.weights),
        "batch_norm": bool(norms),
        "changes": list(getattr(net, "resviz_changes", ())),
        "device": str(inputs.device),
        "dtype": str(first.dtype).removeprefix("torch."),
        "autocast": str(torch.get_autocast_dtype(kind)).removeprefix("torch.")
        if autocast
        else None,
        "images": inputs.count,
        "input_shape": list(inputs.shape),
        **_several(inputs),
        "versions": dict(versions()),
        **_bands(preset),
        **settings,
    }


def untrained(net: nn.Module, weights: str | None) -> bool:
    """True where every BatchNorm is as it was made; without any, for random weights by name."""
    kept = [n for n in modules_of(net).values() if isinstance(n, AnyBatchNorm)]
    norms = [norm for norm in kept if norm.running_mean is not None]
    if not norms:
        return weights == "random"
    return _as_made(norms[:1]) and _as_made(norms)  # of a trained network the first one tells


def settings_of(net: nn.Module) -> dict[str, str]:
    """What modules keep as plain attributes, as a rate of dropout that no repr shows.

    Numbers with a point and switches: whole numbers are often counters, texts names.
    """
    return {
        f"{path}.{name}".removeprefix("."): repr(value)
        for path, module in net.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, float | bool) and name != "training" and not name.startswith("_")
    }


def _as_made(norms: Sequence[Any]) -> bool:
    """No statistics, a weight of ones (a branch's last may start at 0) and no bias."""
    weighted = [norm for norm in norms if norm.weight is not None]
    return (
        _hold([norm.running_mean for norm in norms], 0)
        and _hold([norm.running_var for norm in norms], 1)
        and _hold([norm.weight for norm in weighted], 0, 1)
        and _hold([norm.bias for norm in weighted], 0)
    )


def _hold(tensors: Iterable[Tensor], *values: float) -> bool:
    """Nothing but these values."""
    flat = [tensor.detach().flatten().cpu() for tensor in tensors]
    together = torch.cat(flat) if flat else torch.empty(0)
    return bool(torch.stack([together == value for value in values]).any(0).all())


def _bands(preset: Preset | None) -> dict[str, Any]:
    """Which bands the pictures show, where that does not go without saying."""
    plain = ((3, (0, 1, 2)), (1, (0,)))
    if preset is None or not preset.mean or (preset.channels, preset.display) in plain:
        return {}
    return {"bands": list(preset.display)}


def _several(inputs: Inputs) -> dict[str, Any]:
    """Of a network with several inputs: their names and shapes, and which one maps are about."""
    if inputs.listed or len(inputs) == 1:
        return {}
    shapes = {n: list(t.shape) for n, t in zip(inputs.names, inputs, strict=True)}
    return {"inputs": shapes, "input": inputs.names[inputs.main]}
