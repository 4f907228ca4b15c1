"""Activations and gradients at the layers asked for, from one forward pass.

The pass runs without gradients up to the earliest of the layers, and builds the autograd graph from
there on: what lies before costs nothing. Each layer's own output is differentiated and a clone is
handed on, so that a later in-place operation (``out += identity``, ``ReLU(inplace=True)``) cannot
turn it into another tensor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.attribution.blocks import BlocksOfPass
from resviz.attribution.layer import PIXELS, Layer
from resviz.attribution.places import size_of
from resviz.attribution.positions import (
    Reading,
    Reshape,
    grid_of,
    read,
    read_by,
)
from resviz.errors import LayerRefused
from resviz.given import Images, Inputs
from resviz.hooks import Hooks, left_as_found, mixes_images, switch_gradients
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.networks.first_call import checked
from resviz.networks.inputs import check_differentiable, dynamic_int8
from resviz.networks.outputs import tensor_or_none
from resviz.torch_private import (
    has_backward_hooks,
    is_of_inference,
    modules_of,
    operation_of,
    unwatched,
    version,
    writes_into_leaf,
)

Scores = Callable[[Any], Tensor]  # output -> (N, T)


@dataclass(frozen=True)
class Captured:
    """What the engine saw.

    Attributes:
        activations: (N, C, h, w) of each layer.
        gradients: T gradients of that shape for each layer; none without a backward pass.
        outputs: what each layer gave, as it gave it. felt: likewise the gradients.
        readings: how each layer's output was read.
        written: the in-place operations that wrote over each layer's output afterwards.
        logits: in what the network returned, None where there are none.
        scores: (N, T).
        output_gradients: T gradients at the logits, None where there are none.
    """

    activations: dict[Layer, Tensor]
    gradients: dict[Layer, list[Tensor]]
    readings: dict[Layer, Reading]
    written: dict[Layer, list[str]]
    logits: Tensor | None
    scores: Tensor
    output_gradients: list[Tensor | None] = field(default_factory=list)
    outputs: dict[Layer, Tensor] = field(default_factory=dict)
    felt: dict[Layer, list[Tensor]] = field(default_factory=dict)


class _GraphMissing(Exception):
    """What the network computed of a layer's output has no graph that leads back to it."""


class _WrittenOver(Exception):
    """The network wrote over a layer's output, which was handed on as it was."""


class _Graph:
    """Hooks that start the autograd graph at the first layer asked for."""

    def __init__(
        self,
        axes: Axes,
        wanted: Sequence[Layer],
        inputs: Inputs,
        reshape: Reshape | None,
        grad: bool,
        about: Mapping[Layer, int],
        blocks: BlocksOfPass | None = None,
        apart: bool = False,
        whole: bool = False,
        cloned: bool = True,
    ) -> None:
        self.found: dict[Layer, Tensor] = {}
        self.handed: dict[Layer, Tensor] = {}
        self.readings: dict[Layer, Reading] = {}
        self.calls: Counter[str] = Counter()
        self.grids: list[tuple[int, int]] = []
        self.inputs = inputs
        self.axes = axes
        self._wanted, self._reshape, self.grad = set(wanted), reshape, grad
        self._about, self.blocks = about, blocks
        self._apart, self.whole, self._cloned = apart, whole, cloned
        self._versions: dict[Layer, int] = {}  # of what was handed on as it was
        self._given: dict[str, list[tuple[Tensor, int]]] = {}  # as it was when the module began
        self.begun: list[Tensor] = []
        self.missing = False
        self.refused: dict[Layer, LayerRefused] = {}

    def before(self, module: nn.Module, args: Any) -> None:
        if isinstance(module, nn.Conv2d) and args and isinstance(args[0], Tensor):
            grid = grid_of(module, args[0])
            if grid is not None:
                self.grids.append(grid)

    def enter(self, path: str, module: nn.Module, args: Any) -> None:
        """A module that may be asked for begins."""
        given = [each for each in tensors_in(args) if not each.is_inference()]
        self._given[path] = [(each, version(each)) for each in given]

    def after(self, path: str, module: nn.Module, args: Any, output: Any) -> Any:
        layer = (path, self.calls[path])
        self.calls[path] += 1
        given = self._given.pop(path, [])
        if layer not in self._wanted:
            return None
        try:
            self.readings[layer] = self._read(layer, module, output)
        except LayerRefused as error:
            if self.blocks is None:
                raise
            self.refused[layer] = error  # which matters where it is a block
            return None
        if not self.grad:
            self.found[layer] = output.detach().clone()
            return None
        self.go_on()
        if any(each is output and written == version(output) for each, written in given):
            # what an empty shortcut gives, or dropout in eval: others read that tensor, too
            output = output.clone()
        if not output.requires_grad:
            # the module itself, or a hook on it, made another tensor of it: self.auxiliary = f(out)
            self.missing |= self.axes.was_read(output)
            output = self._begin(output)
        self.found[layer] = output
        if not self._cloned:
            self._versions[layer] = version(output)
            return output
        handed = self.handed[layer] = output.clone()
        return handed

    def _begin(self, output: Tensor) -> Tensor:
        """Where the graph starts: the tensor itself, of which the network may have kept hold.

        U-Nets read an encoder's output from ``self.features``. Apart from it, what is kept may be
        written over.
        """
        if self._apart:
            return output.detach().requires_grad_()
        self.begun.append(output)
        return output.requires_grad_()

    def go_on(self) -> None:
        """Gradients are on from the first layer to the scores, unless the network switches them."""
        self.missing = self.is_missing()
        switch_gradients(True)

    def is_missing(self) -> bool:
        """The network read a layer before the graph began, or switched gradients off behind it."""
        begun = self.grad and bool(self.found)
        return self.missing or (begun and not torch.is_grad_enabled())

    def check_unwritten(self, layers: Iterable[Layer]) -> None:
        """Raise _WrittenOver where one that was handed on as it was is another now."""
        for layer in layers:
            if self._versions.get(layer, version(self.found[layer])) != version(self.found[layer]):
                raise _WrittenOver

    def end(self) -> None:
        """Leave tensors that the network keeps as they were."""
        while self.begun:
            tensor = self.begun.pop()
            if tensor.is_leaf:
                tensor.requires_grad_(False)

    def choose(self, layers: Sequence[Layer]) -> Sequence[Layer]:
        """The layers, or those of them that turned out to be residual blocks; others are let go.

        Raises:
            LayerRefused: a block whose output cannot be explained.
            NotFoundAtOnce: the blocks are others.
        """
        if self.blocks is None:
            return layers
        chosen = self.blocks.among(layers)
        for layer in chosen:
            if layer in self.refused:
                raise self.refused[layer]
        self.found = {layer: self.found[layer] for layer in chosen}
        self.handed = {layer: self.handed[layer] for layer in chosen if layer in self.handed}
        self.readings = {layer: self.readings[layer] for layer in chosen}
        return chosen

    def written(self) -> dict[Layer, list[str]]:
        """What wrote over the tensors that were handed on, which are let go."""
        found = {layer: _written(tensor) for layer, tensor in self.handed.items()}
        self.handed.clear()
        return found

    def _read(self, layer: Layer, module: nn.Module, output: Any) -> Reading:
        about = self.inputs.about(self._about.get(layer, self.inputs.main))
        if self._reshape is not None and _is_floating(output):
            return read_by(self._reshape, output.detach(), about.count, len(size_of(about)))
        with unwatched():  # shapes that are asked for here are no step of the network's
            reading = self._read_by_shape(layer, module, output, size_of(about))
        if reading is not None:
            return reading
        got = _described(output)
        layout = self.axes.layout_of(output) if isinstance(output, Tensor) else None
        if any(axis.backwards for axis in layout or ()):
            got += ", with positions in reverse order, as behind a flip"
        elif any(axis.reordered for axis in layout or ()):
            got += ", with positions in another order, as behind a roll, an index or a warp"
        raise LayerRefused(
            f"{caller()}: layer {layer[0]!r} ({type(module).__name__}) gives {got}; (N, C, H, W) "
            "with H and W above 1, (N, H, W, C), or tokens of patches (N, T, C) would be right; of "
            "signals (N, C, L), of text (N, T, C), of video (N, C, T, H, W). Choose a layer before "
            "pooling: rv.list_layers(net); or pass reshape=."
        )

    def _read_by_shape(
        self, layer: Layer, module: nn.Module, output: Any, image: tuple[int, ...]
    ) -> Reading | None:
        if not _is_floating(output):
            return None
        self._check_batch(layer, module, output)
        return read(tuple(output.shape), image, self.grids, self.axes.layout_of(output))

    def _check_batch(self, layer: Layer, module: nn.Module, output: Tensor) -> None:
        count = self.inputs.count
        if output.ndim and len(output) != count:
            raise LayerRefused(
                f"{caller()}: layer {layer[0]!r} ({type(module).__name__}) gives "
                f"{tuple(output.shape)} for {count} images; a layer whose first axis is the "
                "images would be right, as in a detector's backbone."
            )


def _is_floating(output: Any) -> bool:
    return isinstance(output, Tensor) and output.is_floating_point()


def _described(output: Any) -> str:
    if not isinstance(output, Tensor):
        return type(output).__name__
    kind = "" if output.is_floating_point() else f" of {output.dtype}"
    return f"{tuple(output.shape)}{kind}"


def capture(
    net: nn.Module,
    inputs: Images,
    layers: Sequence[Layer],
    scores_of: Scores,
    *,
    backward: bool = True,
    unreached: str = "error",
    reshape: Reshape | None = None,
    batch_stats: bool = False,
    part: str | int | None = None,
    about: Mapping[Layer, int] | None = None,
    blocks: bool = False,
) -> Captured:
    """One forward pass, and one backward pass per target.

    Args:
        net: the network; left as found.
        inputs: on its device.
        layers: paths and calls; none for the scores and their gradient at the output.
        scores_of: from the network's output to the scores (N, T) to explain.
        backward: False for the activations alone.
        unreached: "error", or "zero": layers that the score does not depend on have gradient 0.
        reshape: from a layer's output to (N, C, h, w), instead of the reading found by shape.
        batch_stats: BatchNorm on this batch's statistics.
        part: which part of the output is the logits.
        about: the number of the input that a layer's map is about, where it is not the main one.
        blocks: of the layers, take those that this pass shows to be residual blocks.

    Raises:
        NotFoundAtOnce: with `blocks`, the residual blocks are others.
        RuntimeError: parameters that were made under ``inference_mode``.
        ValueError: a layer that never ran, has no positions, or does not reach a target.
    """

    def once(apart: bool = False, whole: bool = False, cloned: bool = True) -> Captured:
        """Apart: what is handed on shares no memory. Whole: the graph begins at the images.

        Not cloned: a layer's output is handed on as it is, and must not be written over.
        """
        frame = left_as_found(net, grad=whole, batch_stats=batch_stats, parameters=whole)
        with frame as hooks:
            given = Inputs.of(inputs)
            axes = Axes(net, hooks)
            watched = BlocksOfPass(net, hooks, axes) if blocks else None
            places = about or {}
            graph = _Graph(
                *(axes, layers, given, reshape, backward, places, watched),
                *(apart, whole, cloned),
            )
            try:
                output = _output(net, graph, layers, hooks)
                if not whole and graph.is_missing():
                    raise _GraphMissing
                logits, scores = tensor_or_none(output, part), scores_of(output)
                mixed = given.count > 1 and (batch_stats or mixes_images(net))
                return _captured(net, graph, layers, output, logits, scores, unreached, mixed)
            finally:
                graph.end()

    modules = modules_of(net)
    hooked = backward and any(has_backward_hooks(modules[path]) for path, _ in layers)
    if hooked:  # a hook on a layer is called with the gradient before it, too
        return once(whole=True)
    # hardly a network writes over what a block gave, and clones of many are dear
    ways: list[Callable[[], Captured]] = [once, partial(once, apart=True)]
    if blocks and backward:
        ways.insert(0, partial(once, cloned=False))
    for way in ways:
        try:
            return way()
        except _GraphMissing:
            return once(whole=True)
        except _WrittenOver:
            continue
        except RuntimeError as error:
            if not writes_into_leaf(error):
                raise
            failure = error
    raise failure


def _captured(
    net: nn.Module,
    graph: _Graph,
    layers: Sequence[Layer],
    output: Any,
    logits: Tensor | None,
    scores: Tensor,
    unreached: str,
    mixed: bool,
) -> Captured:
    layers = graph.choose(layers)
    graph.check_unwritten(layers)
    written = graph.written()
    felt = graph.grad and bool(layers or isinstance(output, Tensor))
    found = _felt(net, graph.found, scores, logits, unreached, mixed) if felt else ({}, [])
    (gradients, at_output), maps = found, graph.readings
    outputs = {layer: graph.found[layer].detach() for layer in layers}
    return Captured(
        {layer: maps[layer].maps(output) for layer, output in outputs.items()},
        {layer: [maps[layer].maps(g) for g in several] for layer, several in gradients.items()},
        maps,
        written,
        None if logits is None else logits.detach(),
        scores.detach(),
        at_output,
        outputs,
        gradients,
    )


def _output(net: nn.Module, graph: _Graph, layers: Sequence[Layer], hooks: Hooks) -> Any:
    """What the network returns for copies of the inputs, watched; with a graph of autograd."""
    modules = modules_of(net)
    inputs = graph.inputs
    # clones of the leaves: the network may write over what it is given
    graph.inputs = inputs.leaves().each(torch.clone) if graph.whole else inputs.copies()
    for module in _where_pictures_enter(modules.values()):
        hooks.before_forward(module, graph.before)
    for path in {path for path, _ in layers}:
        hooks.before_forward(modules[path], partial(graph.enter, path))
        hooks.forward(modules[path], partial(graph.after, path))
    blocks = graph.blocks
    axes = graph.axes.watching(graph.inputs) if layers and blocks is None else nullcontext()
    with checked(net, graph.inputs), axes:
        output = _run(net, graph.inputs, blocks)
    if blocks is None:
        _check_ran(graph, layers)
    if not layers and isinstance(output, Tensor) and output.is_floating_point():
        switch_gradients(True)
        output = output.detach().requires_grad_()
    return output


def _where_pictures_enter(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """The first convolution, and those that cut patches for tokens."""
    convolutions = [m for m in modules if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    patches = [m for m in convolutions if m.kernel_size == m.stride and max(m.stride) > 1]
    return list(dict.fromkeys([*convolutions[:1], *patches]))


def _run(net: nn.Module, inputs: Inputs, blocks: BlocksOfPass | None) -> Any:
    try:
        return inputs.run(net) if blocks is None else blocks.run(inputs)
    except RuntimeError as err:
        if is_of_inference(err):
            check_differentiable(net)
        raise


def _check_ran(graph: _Graph, layers: Sequence[Layer]) -> None:
    for path, call in layers:
        ran = graph.calls[path]
        if (path, call) in graph.found:
            continue
        if ran == 0:
            raise LayerRefused(
                f"{caller()}: layer {path!r} never ran on these images; one that runs would be "
                "right. See rv.list_layers(net)."
            )
        raise LayerRefused(
            f"{caller()}: call {call} of layer {path!r}, which ran {ran} times; 0 to {ran - 1} "
            "would be right."
        )


def _written(handed: Tensor) -> list[str]:
    """In-place operations on the tensor that was handed on, in order: ``["add", "relu"]``."""
    found: list[str] = []
    node: Any = handed.grad_fn
    for _ in range(version(handed)):
        if node is None or operation_of(node) == "clone":
            break
        found.append(operation_of(node))
        node = node.next_functions[0][0] if node.next_functions else None
    return found[::-1]


def _felt(
    net: nn.Module,
    found: dict[Layer, Tensor],
    scores: Tensor,
    logits: Tensor | None,
    unreached: str,
    mixed: bool,
) -> tuple[dict[Layer, list[Tensor]], list[Tensor | None]]:
    """:func:`_gradients`; where there are none because of int8, that is said."""
    try:
        return _gradients(found, scores, logits, unreached, mixed)
    except LayerRefused as error:
        stop = dynamic_int8(net)
        if stop is None:
            raise
        raise ValueError(
            f"{caller()}: {stop!r} computes in int8 (dynamic quantisation), which has no "
            "derivative; the network as it was before quantize_dynamic would be right. Or take "
            "methods without gradients: rv.explanation_methods()."
        ) from error


def _gradients(
    found: dict[Layer, Tensor],
    scores: Tensor,
    logits: Tensor | None,
    unreached: str,
    mixed: bool,
) -> tuple[dict[Layer, list[Tensor]], list[Tensor | None]]:
    """The gradient of each column of scores at each layer: for each image that of its own score.

    The gradient of their sum is that, but where images reach one another: `mixed`.
    """
    result: dict[Layer, list[Tensor]] = {layer: [] for layer in found}
    at_output: list[Tensor | None] = []
    if not scores.requires_grad:
        first = next(iter(found), PIXELS)[0]
        raise LayerRefused(
            f"{caller()}: layer {first!r} does not reach the target; a layer that the "
            "score depends on would be right. Look for a .detach() in the target."
        )
    at_logits = [logits] if logits is not None and bool(logits.requires_grad) else []
    inputs = [*found.values(), *at_logits]
    columns = scores.shape[1]
    for column in range(columns):
        one = scores[:, column]
        own = _each_by_itself if mixed else _of_the_sum
        gradients = own(one, inputs, column < columns - 1)
        at_output.append(gradients[-1] if at_logits else None)
        for (layer, tensor), gradient in zip(found.items(), gradients, strict=False):
            if gradient is None and unreached == "error":
                raise LayerRefused(
                    f"{caller()}: layer {layer[0]!r} does not reach the target; a layer that the "
                    "score depends on would be right."
                )
            result[layer].append(torch.zeros_like(tensor) if gradient is None else gradient)
    return result, at_output


def _of_the_sum(scores: Tensor, inputs: Sequence[Tensor], again: bool) -> Sequence[Tensor | None]:
    return torch.autograd.grad(scores.sum(), inputs, retain_graph=again, allow_unused=True)


def _each_by_itself(
    scores: Tensor, inputs: Sequence[Tensor], again: bool
) -> Sequence[Tensor | None]:
    """A backward pass for each image, of whose gradient its own part is taken."""
    result: list[Tensor | None] = [None] * len(inputs)
    for image, score in enumerate(scores):
        more = again or image < len(scores) - 1
        found = torch.autograd.grad(score, inputs, retain_graph=more, allow_unused=True)
        for number, gradient in enumerate(found):
            if gradient is not None:
                kept = result[number]
                kept = torch.zeros_like(gradient) if kept is None else kept
                kept[image] = gradient[image]
                result[number] = kept
    return result
