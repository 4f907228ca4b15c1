"""Activations and gradients at the layers asked for, from one forward pass.

The pass runs without gradients up to the earliest of the layers, and builds the autograd graph from
there on: what lies before costs nothing. Each layer's own output is differentiated and a clone is
handed on, so that a later in-place operation (``out += identity``, ``ReLU(inplace=True)``) cannot
turn it into another tensor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resviz.errors import closest
from resviz.hooks import left_as_found, switch_gradients
from resviz.networks.inputs import check_first_call, logits_of
from resviz.networks.layers import list_layers

Layer = tuple[str, int]  # dotted path, call
Scores = Callable[[Tensor], Tensor]  # logits -> (N, T)


@dataclass(frozen=True)
class Captured:
    """What the engine saw: per layer the activations (N, C, h, w) and T gradients of that shape."""

    activations: dict[Layer, Tensor]
    gradients: dict[Layer, list[Tensor]]
    logits: Tensor
    scores: Tensor


class _Graph:
    """Hooks that start the autograd graph at the first layer asked for."""

    def __init__(self, wanted: Sequence[Layer], inputs: Sequence[Tensor]) -> None:
        self.found: dict[Layer, Tensor] = {}
        self.calls: Counter[str] = Counter()
        self._wanted, self._inputs = set(wanted), inputs

    def before(self, module: nn.Module, args: Any) -> None:
        check_first_call("explain", module, args, self._inputs)

    def after(self, path: str, module: nn.Module, args: Any, output: Any) -> Any:
        layer = (path, self.calls[path])
        self.calls[path] += 1
        if layer not in self._wanted:
            return None
        _check_spatial(layer, module, output)
        switch_gradients(True)
        if not output.requires_grad:
            output = output.detach().requires_grad_()
        self.found[layer] = output
        return output.clone()


def _check_spatial(layer: Layer, module: nn.Module, output: Any) -> None:
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    where = f"explain: layer {layer[0]!r} ({type(module).__name__}) gives {shape}"
    right = "; (N, C, H, W) with H and W above 1 would be right."
    if not isinstance(output, Tensor) or output.ndim != 4 or min(output.shape[2:]) < 2:
        raise ValueError(f"{where}{right} Choose a layer before pooling: rv.list_layers(net).")
    if output.shape[1] == output.shape[2] != output.shape[3]:
        raise ValueError(f"{where}, channels last as in Swin{right} Permute them in a wrapper.")


def capture(
    net: nn.Module, inputs: tuple[Tensor, ...], layers: Sequence[Layer], scores_of: Scores
) -> Captured:
    """One forward pass, and one backward pass per target.

    Args:
        net: the network; left as found.
        inputs: on its device.
        layers: paths and calls.
        scores_of: from the logits, (N, C) as a rule, to the scores (N, T) to explain.

    Raises:
        ValueError: a layer that never ran, has no positions, or does not reach a target.
    """
    graph = _Graph(layers, inputs)
    modules = dict(net.named_modules())
    with left_as_found(net) as hooks:
        inputs = graph._inputs = tuple(tensor.detach().clone() for tensor in inputs)
        for module in modules.values():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                hooks.before_forward(module, graph.before)
        for path in {path for path, _ in layers}:
            hooks.forward(modules[path], partial(graph.after, path))
        logits = logits_of("explain", net(*inputs))
        _check_ran(graph, layers)
        scores = scores_of(logits)
        gradients = _gradients(graph.found, scores)
    found = {layer: graph.found[layer].detach() for layer in layers}
    return Captured(found, gradients, logits.detach(), scores.detach())


def _check_ran(graph: _Graph, layers: Sequence[Layer]) -> None:
    for path, call in layers:
        ran = graph.calls[path]
        if (path, call) in graph.found:
            continue
        if ran == 0:
            raise ValueError(
                f"explain: layer {path!r} never ran on these images; one that runs would be "
                "right. See rv.list_layers(net)."
            )
        raise ValueError(
            f"explain: call {call} of layer {path!r}, which ran {ran} times; 0 to {ran - 1} would "
            "be right."
        )


def _gradients(found: dict[Layer, Tensor], scores: Tensor) -> dict[Layer, list[Tensor]]:
    """The gradient of each column of scores, summed over the images, at each layer."""
    result: dict[Layer, list[Tensor]] = {layer: [] for layer in found}
    if not scores.requires_grad:
        raise ValueError(
            f"explain: layer {next(iter(found))[0]!r} does not reach the target; a layer that the "
            "score depends on would be right. Look for a .detach() in the target."
        )
    columns = scores.shape[1]
    for column in range(columns):
        gradients = torch.autograd.grad(
            scores[:, column].sum(),
            list(found.values()),
            retain_graph=column < columns - 1,
            allow_unused=True,
        )
        for layer, gradient in zip(found, gradients, strict=True):
            if gradient is None:
                raise ValueError(
                    f"explain: layer {layer[0]!r} does not reach the target; a layer that the "
                    "score depends on would be right."
                )
            result[layer].append(gradient)
    return result


def read_layers(
    net: nn.Module, inputs: tuple[Tensor, ...], layers: str | Sequence[str | Layer]
) -> list[Layer]:
    """Paths and calls of the layers asked for; "auto" is the last one with positions.

    "auto" runs the network once on one image to see which that is: the last output (N, C, H, W)
    with more than one position that no pooling made, in the second half of the depth.

    Raises:
        TypeError: a layer that is neither a path nor (path, call).
        ValueError: no such layer, or none with positions.
    """
    if isinstance(layers, str) and layers == "auto":
        return [_last_spatial(net, inputs)]
    chosen = [layers] if isinstance(layers, str) or _is_layer(layers) else list(layers)
    if not chosen:
        raise ValueError("explain: no layers; a path such as 'layer4', or layers='auto'.")
    return [_read_layer(net, layer) for layer in chosen]


def _is_layer(value: object) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and isinstance(value[0], str) and isinstance(value[1], int)  # type: ignore[index]


def _read_layer(net: nn.Module, layer: object) -> Layer:
    if isinstance(layer, str):
        path, call = layer, 0
    elif _is_layer(layer):
        path, call = layer  # type: ignore[misc]
    else:
        raise TypeError(f"explain: layer {layer!r}; a path, or (path, call).")
    paths = [name for name, _ in net.named_modules() if name]
    if path not in paths:
        raise ValueError(
            f"explain: no layer {path!r} in {type(net).__name__}; closest: {closest(path, paths)}."
            " See rv.list_layers(net)."
        )
    return path, call


def _last_spatial(net: nn.Module, inputs: tuple[Tensor, ...]) -> Layer:
    table = list_layers(net, inputs)
    for row in reversed(table.to_dict("records")):
        shape = row["shape"]
        positions = len(shape) == 4 and min(shape[2:]) > 1 and "Pool" not in row["type"]
        if positions and not (shape[1] == shape[2] != shape[3]):
            if 2 * row["depth"] < table["depth"].max():  # a patch embedding, and then tokens
                break
            return row["layer"], row["call"]
    raise ValueError(
        f"explain: {type(net).__name__} has no layer with positions (N, C, H, W) in the second "
        "half of its depth; a convolutional network, or images large enough to leave more than one "
        "position, would be right. Or name a layer: layers=[...]."
    )
