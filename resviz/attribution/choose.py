"""Which layers are explained: paths, "auto", "blocks"."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.attribution.engine import capture
from resviz.attribution.layer import Layer
from resviz.attribution.positions import Reading, is_channels_last, read
from resviz.errors import closest
from resviz.given import Inputs
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.networks.anatomy.survey import Survey, survey
from resviz.networks.outputs import Output


def read_layers(
    net: nn.Module,
    inputs: Inputs,
    layers: object,
    output: Output,
    allowed: Callable[[Layer], bool] = lambda _: True,
) -> list[Layer]:
    """Paths and calls of the layers asked for.

    Args:
        net: the network.
        inputs: on its device; one image is run where "auto" or "blocks" has to look.
        layers: a path, (path, call), several, "auto": the last layer with positions, see
            :func:`last_with_positions`; or "blocks": the output of every residual block.
        output: what the network's output means.
        allowed: says which layers may be chosen where "auto" or "blocks" does.

    Raises:
        TypeError: a layer that is neither a path nor (path, call).
        ValueError: no such layer, none with positions, no residual blocks.
    """
    if isinstance(layers, str) and layers == "auto":
        return [last_with_positions(net, inputs, output, allowed)]
    if isinstance(layers, str) and layers == "blocks":
        found = survey(net, inputs).residual_blocks
        if not found:
            raise ValueError(
                f"{caller()}: layers='blocks', and {type(net).__name__} has no residual additions; "
                "a residual network would be right. Or name layers: rv.list_layers(net)."
            )
        return [(path, 0) for path in found if allowed((path, 0))]
    if isinstance(layers, str) or _is_layer(layers):
        chosen: list[Any] = [layers]
    elif isinstance(layers, Sequence):
        chosen = list(layers)
    else:
        raise TypeError(f"{caller()}: layers {layers!r}; a path, (path, call), or a list of those.")
    if not chosen:
        raise ValueError(f"{caller()}: no layers; a path such as 'layer4', or layers='auto'.")
    return list(dict.fromkeys(_read_layer(net, layer) for layer in chosen))


def _is_layer(value: object) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and isinstance(value[0], str) and isinstance(value[1], int)  # type: ignore[index]


def _read_layer(net: nn.Module, layer: object) -> Layer:
    if isinstance(layer, str):
        before, _, number = layer.rpartition("#")
        path, call = (before, int(number)) if number.isdigit() and before else (layer, 0)
    elif _is_layer(layer):
        path, call = layer  # type: ignore[misc]
    else:
        raise TypeError(f"{caller()}: layer {layer!r}; a path, or (path, call).")
    paths = [name for name, _ in net.named_modules() if name]
    if path not in paths:
        raise ValueError(
            f"{caller()}: no layer {path!r} in {type(net).__name__}; closest: "
            f"{closest(path, paths)}. See rv.list_layers(net)."
        )
    return path, call


def last_with_positions(
    net: nn.Module,
    inputs: Inputs,
    output: Output,
    allowed: Callable[[Layer], bool] = lambda _: True,
) -> Layer:
    """The last layer whose positions the output still depends on, in the second half of the depth.

    For a convolutional network: the last output with more than one position that no pooling made.
    For a transformer with a class token: the last token layer whose patch tokens get a gradient, as
    nothing that is done to them afterwards reaches the class token any more. Where the output has
    positions itself, as in segmentation: the last residual block, as later layers all but spell out
    the output.
    """
    seen = survey(net, inputs)
    table = seen.table
    dense = _before_dense_output(seen)
    if dense is not None and allowed(dense):
        return dense
    readings = _readings(net, table, inputs.shape)
    deep = table["depth"] * 2 >= table["depth"].max()
    calls = zip(table["layer"], table["call"], strict=True)
    usable = [
        reading is not None and far and allowed((path, call))
        for reading, far, (path, call) in zip(readings, deep, calls, strict=True)
    ]
    rows = table[pd.Series(usable, index=table.index) & ~table["type"].str.contains("Pool")]
    last = readings[int(rows.index[-1])] if len(rows) else None
    if last is not None and last.axes == "NTC":
        return _last_felt(net, inputs, rows, output)
    if last is not None:
        return str(rows["layer"].iloc[-1]), int(rows["call"].iloc[-1])
    raise ValueError(
        f"{caller()}: {type(net).__name__} has no layer with positions (N, C, H, W) in the second "
        "half of its depth; a network that keeps positions, or images large enough to leave more "
        "than one, would be right. Or name a layer: layers=[...]."
    )


def _best_logit(output: Output, returned: Any) -> Tensor:
    logits = output.logits(returned)
    return logits.reshape(len(logits), -1).amax(1, keepdim=True)


def _before_dense_output(seen: Survey) -> Layer | None:
    """The last residual block before an output (N, C, H, W), which does not give C channels too."""
    output = next(tensors_in(seen.output), None)
    if output is None or output.ndim != 4:
        return None
    shapes = seen.table.drop_duplicates("layer", keep="last").set_index("layer")["shape"]
    blocks = [b for b in seen.residual_blocks if shapes[b][1] != output.shape[1]]
    return (blocks[-1], 0) if blocks else None


def _readings(net: nn.Module, table: pd.DataFrame, images: tuple[int, ...]) -> list[Reading | None]:
    """How each row of a table of layers is read; (index of the table is 0, 1, ...)."""
    grids: list[tuple[int, int]] = []
    readings = []
    image = images[2:] if len(images) == 4 else None
    for row in table.to_dict("records"):
        order = partial(is_channels_last, net, row["layer"])
        readings.append(read(row["shape"], image, grids, order))
        if row["type"] == "Conv2d" and len(row["shape"]) == 4:
            grids.append(row["shape"][2:])
    return readings


def _last_felt(net: nn.Module, inputs: Inputs, rows: pd.DataFrame, output: Output) -> Layer:
    last = rows.tail(32)  # two or three blocks of a transformer
    layers = [(row["layer"], int(row["call"])) for row in last.to_dict("records")]
    if any(parameter.is_inference() for parameter in net.parameters()):
        net = copy.deepcopy(net)  # whose parameters can be differentiated through
    best = partial(_best_logit, output)
    seen = capture(net, inputs.one(), layers, best, unreached="zero", part=output.part)
    for layer in reversed(layers):
        if bool(seen.gradients[layer][0].any()):
            return layer
    return layers[-1]
