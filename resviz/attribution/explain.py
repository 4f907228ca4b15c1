"""`explain`: where in the picture the evidence for a class is."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resviz.attribution.cam import METHODS
from resviz.attribution.engine import Captured, Layer, capture, read_layers
from resviz.attribution.explanation import Explanation
from resviz.attribution.targets import Targets
from resviz.errors import NonFinite, ResvizWarning, closest
from resviz.networks.inputs import check_hookable, check_images
from resviz.preset import Preset
from resviz.provenance import displayed, preset_or_none, provenance


def explain(
    net: nn.Module,
    images: Tensor | tuple[Tensor, ...],
    targets: Any = None,
    *,
    methods: str | Sequence[str] = "grad_cam",
    layers: str | Sequence[str | Layer] = "auto",
    preset: Preset | None = None,
) -> Explanation:
    """Maps of several methods at several layers, from one forward pass and one backward per target.

    The map of a layer explains exactly the tensor that the module returned, before any later
    in-place operation. The network is run in eval mode and left as it was; ``.grad`` is never
    touched. Works under ``no_grad``, with frozen parameters, and in any dtype: maps are computed in
    float32 or better.

    Args:
        net: any network whose chosen layers give (N, C, H, W).
        images: (N, 3, H, W) as the network wants them; a tuple for several inputs.
        targets: None, each image's predicted class; one class (index or name) for all; N classes;
            N lists of T classes; a function (logits) -> (N,), or a list of functions.
        methods: "grad_cam", "layer_cam", "hires_cam", or several.
        layers: dotted paths, (path, call) for a module that runs several times, or "auto": the last
            layer with positions.
        preset: for class names and pictures, instead of the network's own.

    Returns:
        An :class:`Explanation`; ``maps[method, layer]`` is (N, T, h, w), raw.

    Raises:
        NonFinite: a map holds NaN or infinity.
        NotTraceable: a scripted or compiled network.
        TypeError: arguments of a wrong type.
        ValueError: an unknown method or layer, one that never ran, has no positions or does not
            reach the target; targets out of range or too few; images of a wrong shape.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> exp = explain(cifar_resnet(20, seed=0), torch.ones(1, 3, 32, 32), 3, layers="layer3")
        >>> exp.maps["grad_cam", "layer3"].shape
        torch.Size([1, 1, 8, 8])
    """
    check_hookable("explain", net)
    chosen = _read_methods(methods)
    inputs = check_images("explain", net, images)
    known = preset_or_none("explain", net, preset)
    wanted = read_layers(net, inputs, layers)
    asked = Targets(targets, len(inputs[0]), known.classes if known is not None else ())
    seen = capture(net, inputs, wanted, asked.scores)
    maps = _maps(seen, chosen, wanted)
    notes = _notes(maps, seen)
    about = provenance(net, inputs, known, methods=chosen, notes=notes)
    about["layers"] = [_key(layer) for layer in wanted]
    about["layers_chosen"] = "last with positions" if layers == "auto" else "as asked"
    return Explanation(
        maps=maps,
        targets=asked.indices or [],
        target_names=asked.names or [],
        scores=seen.scores.cpu(),
        logits=seen.logits.float().cpu(),
        pictures=displayed(inputs[0], known),
        provenance=about,
    )


def _read_methods(methods: str | Sequence[str]) -> list[str]:
    chosen = [methods] if isinstance(methods, str) else list(methods)
    for method in chosen:
        if method not in METHODS:
            raise ValueError(
                f"explain: no method {method!r}; closest: {closest(str(method), METHODS)}."
            )
    if not chosen:
        raise ValueError(f"explain: no methods; one of {', '.join(METHODS)}.")
    return chosen


def _key(layer: Layer) -> str:
    path, call = layer
    return path if call == 0 else f"{path}#{call}"


def _maps(
    seen: Captured, methods: Sequence[str], layers: Sequence[Layer]
) -> dict[tuple[str, str], Tensor]:
    maps = {}
    for method in methods:
        for layer in layers:
            activations = _wide(seen.activations[layer])
            columns = [
                METHODS[method].function(activations, _wide(gradient))
                for gradient in seen.gradients[layer]
            ]
            result = torch.stack(columns, 1).cpu()
            if not bool(result.isfinite().all()):
                raise NonFinite(
                    f"explain: {method} at {layer[0]!r} holds NaN or infinity; finite activations "
                    "and gradients would be right. rv.record names the layer where they begin."
                )
            maps[method, _key(layer)] = result
    return maps


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _notes(maps: dict[tuple[str, str], Tensor], seen: Captured) -> list[str]:
    """A sentence, with the reason, for every map that is zero everywhere; warned about, too."""
    notes = []
    by_key = {_key(layer): layer for layer in seen.activations}
    for (method, key), result in maps.items():
        blank = (result == 0).flatten(2).all(2).nonzero().tolist()
        for image, target in blank:
            layer = by_key[key]
            why = _reason(seen.activations[layer][image], seen.gradients[layer][target][image])
            notes.append(f"{method} at {key}, image {image}, target {target} is zero: {why}")
    if notes:
        more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
        warnings.warn(f"explain: {notes[0]}{more}", ResvizWarning, stacklevel=3)
    return notes


def _reason(activations: Tensor, gradient: Tensor) -> str:
    if not bool(gradient.any()):
        return "the target's gradient is exactly 0 here; the score does not feel this layer."
    if not bool(activations.any()):
        return "every activation of the layer is 0; its channels are dead on this image."
    return "no position speaks for this class, only against it."
