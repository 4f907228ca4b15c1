"""Which layers are explained: paths, "auto", "blocks"."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn

from resviz.arguments import caller
from resviz.attribution.engine import capture
from resviz.attribution.layer import Layer
from resviz.attribution.places import size_in
from resviz.attribution.positions import Reading, read
from resviz.errors import LayerRefused, closest
from resviz.given import Inputs
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.networks.anatomy.survey import Survey, survey
from resviz.networks.outputs import Output
from resviz.networks.surgery.copies import copied
from resviz.torch_private import modules_of

Taken = TypeVar("Taken")
_TRIED = 12  # passes over all images, before "auto" gives up


def read_layers(
    net: nn.Module,
    inputs: Inputs,
    layers: object,
    allowed: Callable[[Layer], bool] = lambda _: True,
) -> list[Layer]:
    """Paths and calls of the layers asked for.

    Args:
        net: the network.
        inputs: on its device; one image is run where "blocks" has to look.
        layers: a path, (path, call), several; or "blocks": the output of every residual block,
            each time that it runs.
        allowed: says which layers may be chosen where "blocks" does.

    Raises:
        TypeError: a layer that is neither a path nor (path, call).
        ValueError: no such layer, no residual blocks.
    """
    if isinstance(layers, str) and layers == "blocks":
        seen = survey(net, inputs)
        found = seen.residual_calls
        if not found:
            where = (
                "residual additions in its own forward alone"
                if seen.additions
                else "no residual additions"
            )
            raise ValueError(
                f"{caller()}: layers='blocks', and {type(net).__name__} has {where}; a network of "
                "modules that add would be right. Or name layers: rv.list_layers(net)."
            )
        return [layer for layer in found if allowed(layer)]
    if isinstance(layers, str) or _is_layer(layers):
        chosen: list[Any] = [layers]
    elif isinstance(layers, Sequence):
        chosen = list(layers)
    else:
        raise TypeError(f"{caller()}: layers {layers!r}; a path, (path, call), or a list of those.")
    if not chosen:
        raise ValueError(f"{caller()}: no layers; a path such as 'layer4', or layers='auto'.")
    paths = [path for path in modules_of(net) if path]
    return list(dict.fromkeys(_read_layer(net, layer, paths) for layer in chosen))


def first_taken(
    choices: Sequence[list[Layer]], passed: Callable[[list[Layer]], Taken]
) -> tuple[Taken, dict[Layer, LayerRefused]]:
    """What the pass gives for the first of several choices of layers that it does not refuse.

    Args:
        choices: the best first.
        passed: what is made at some layers.

    Returns:
        It, and the layers that were refused, with the reason of each.

    Raises:
        LayerRefused: all are, or the first few; as the first was.
    """
    refused: dict[Layer, LayerRefused] = {}
    for layers in choices[:_TRIED]:
        try:
            return passed(layers), refused
        except LayerRefused as error:
            if len(choices) == 1:
                raise
            refused[layers[0]] = error.with_traceback(None)  # which holds on to tensors
    raise next(iter(refused.values()))


def _is_layer(value: object) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and isinstance(value[0], str) and isinstance(value[1], int)  # type: ignore[index]


def _read_layer(net: nn.Module, layer: object, paths: Sequence[str]) -> Layer:
    if isinstance(layer, str):
        before, _, number = layer.rpartition("#")
        path, call = (before, int(number)) if number.isdigit() and before else (layer, 0)
    elif _is_layer(layer):
        path, call = layer  # type: ignore[misc]
    else:
        raise TypeError(f"{caller()}: layer {layer!r}; a path, or (path, call).")
    if path not in paths:
        raise ValueError(
            f"{caller()}: no layer {path!r} in {type(net).__name__}; closest: "
            f"{closest(path, paths)}. See rv.list_layers(net)."
        )
    return path, call


def with_positions(
    net: nn.Module,
    inputs: Inputs,
    output: Output,
    allowed: Callable[[Layer], bool] = lambda _: True,
) -> list[Layer]:
    """Layers whose positions the output still depends on, the last first: what "auto" chooses from.

    Those in the second half of the depth, found from one pass over one image: whether the first is
    taken, the pass over all of them tells (:class:`~resviz.errors.LayerRefused`).

    For a convolutional network: the last output with more than one position that no pooling made.
    For a transformer with a class token: the last token layer whose patch tokens get a gradient, as
    nothing that is done to them afterwards reaches the class token any more. Where the output has
    positions itself, as in segmentation: the last layer, a residual block where there are some, at
    the coarsest resolution, as later layers all but spell out the output. Layers whose axes are
    known come before those where the shape alone decides.

    Raises:
        ValueError: there are none.
    """
    seen = survey(net, inputs, part=output.part)
    found = [each for each in _candidates(seen, inputs.shape) if allowed(each.layer)]
    if any(each.reading.said for each in found):
        found = [each for each in found if each.reading.said]
    dense = _has_positions(seen)
    if dense:
        found = _coarsest(seen, found)
    elif len(inputs.shape) == 4 or any(each.deep for each in found):  # a bag of words has no others
        found = [each for each in found if each.deep]
    layers = [each.layer for each in found][::-1]
    if found and not dense and "T" in found[-1].reading.axes:
        return layers[_first_felt(net, inputs, layers, output) :]
    if found:
        return layers
    raise ValueError(
        f"{caller()}: {type(net).__name__} has no layer with positions (N, C, H, W) in the second "
        "half of its depth; a network that keeps positions, or images large enough to leave more "
        "than one, would be right. Or name a layer: layers=[...]."
    )


class _Candidate(NamedTuple):
    """A layer that can be explained; `deep`: in the second half of the depth."""

    layer: Layer
    reading: Reading
    depth: int
    deep: bool


def _candidates(seen: Survey, images: tuple[int, ...]) -> Iterator[_Candidate]:
    """Layers with positions of each image, of which the output was computed; no pooling."""
    grids: list[tuple[int, int]] = []
    image = size_in(images)
    half, rows = seen.table["depth"].max() / 2, seen.table.to_dict("records")
    known = any(output.reaches for output in seen.outputs)
    for row, output in zip(rows, seen.outputs, strict=True):
        shape, depth = row["shape"], int(row["depth"])
        pooling = row["kind"] == "leaf" and "Pool" in row["type"]
        if output.alone and shape and shape[0] == 1 and not pooling:
            reading = read(shape, image, grids, output.layout)
            if reading is not None and (output.reaches or not known):
                layer = row["layer"], int(row["call"])
                yield _Candidate(layer, reading, depth, depth >= half)
        if row["type"] == "Conv2d" and len(shape) == 4:
            grids.append(shape[2:])


def _has_positions(seen: Survey) -> bool:
    """True where the network gives a class, or a value, for each position."""
    output = next(tensors_in(seen.output), None)
    return output is not None and output.ndim > 2 and math.prod(output.shape[2:]) > 1


def _coarsest(seen: Survey, found: list[_Candidate]) -> list[_Candidate]:
    """Those with the fewest positions before the output's own last layer; blocks, if there are."""
    found = [each for each in found if each.depth < seen.depth]
    blocks = set(seen.residual_blocks)
    found = [each for each in found if each.layer[0] in blocks] or found
    fewest = min((math.prod(each.reading.grid) for each in found), default=0)
    return [each for each in found if math.prod(each.reading.grid) == fewest]


def _first_felt(net: nn.Module, inputs: Inputs, layers: Sequence[Layer], output: Output) -> int:
    """The number of the first of the layers of which the largest logit feels several positions."""

    def best(returned: Any) -> Tensor:
        logits = output.logits(returned)
        return logits.reshape(len(logits), -1).amax(1, keepdim=True)

    layers = layers[:32]  # two or three blocks of a transformer
    if any(parameter.is_inference() for parameter in net.parameters()):
        net = copied(net)  # whose parameters can be differentiated through
    seen = capture(net, inputs.one(), layers, best, unreached="zero", part=output.part)
    # a text has its class token as one of its positions
    felt = (int(seen.gradients[layer][0].flatten(2).any(1).sum()) > 1 for layer in layers)
    return next((number for number, any_ in enumerate(felt) if any_), 0)
