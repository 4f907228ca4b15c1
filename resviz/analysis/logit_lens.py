"""`logit_lens`: what the head says of each block's output."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.arguments import caller, public
from resviz.attribution.target import Wanted
from resviz.attribution.targets import Targets
from resviz.given import Images, Inputs
from resviz.hooks import left_as_found, mixes_images
from resviz.networks.anatomy.resume import Resume
from resviz.networks.anatomy.survey import steps_in, survey
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import check_finite, output_of
from resviz.preset import Preset
from resviz.provenance import preset_or_none, provenance
from resviz.recording.axes import channel_axis
from resviz.recording.recording import Recording

Call = tuple[str, int]
_SAME = 1e-3  # of the scores' norm: other kernels serve other batch sizes
_EXACT = 1e-3  # of it, below which the scores' dtype rounds
# what a head says to an output that it cannot take
_REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, AssertionError)


@dataclass(frozen=True)
class _Reading:
    """What the head says of a block: (N, T) of the targets, (N, C) of all; on the CPU.

    `first` is what it says above all, (N,).
    """

    scores: Tensor
    numbers: Tensor
    first: Tensor


@public
def logit_lens(
    net: nn.Module, images: Images, targets: Wanted = None, *, preset: Preset | None = None
) -> pd.DataFrame:
    """What the head says of each block's output: how the prediction forms along depth.

    What runs after the last block (norm, pooling, linear layer) is run on the outputs of the blocks
    before it, as if those after were not there. For language models nostalgebraist 2020, "the logit
    lens" (https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru); for residual networks Jastrzebski
    et al. 2018 (https://arxiv.org/abs/1710.04773, section 5). The head was trained on the last
    block alone: a low probability early on says that this head does not find the class there, not
    that it is not there (Belrose et al. 2023, https://arxiv.org/abs/2303.08112).

    Blocks are residual blocks; without any, the other blocks; else the last layer of each stage.
    The head is given outputs of the last block's shape: those of its stage, in ViT all. Where
    blocks are not residual, nothing makes their channels mean what those of the last one mean.
    One pass keeps the outputs, a second runs the head on all of them; where the rest of the network
    does not take them together, one pass each.

    Args:
        net: any network with an output; left as found.
        images: as :func:`resviz.record` takes them.
        targets: as :func:`resviz.explain` takes them; None: each image's predicted class.
        preset: for the names of classes and what the output means, instead of the network's own.

    Returns:
        A row per image, block and target, in this order: ``image``, ``block``, ``call``, ``type``,
        ``depth``, ``stage``, ``target`` (name), ``index`` (-1 for what is no single class),
        ``probability`` of the target ("value", or of a map "share" of the positions, in its place,
        as :func:`resviz.predict`), ``score`` (its logit or value), ``label``: what the head says
        first, and ``label_probability``; of values "". ``reads``: whether the head can take the
        block's output; where not, ``why`` says what it is and the numbers are NaN. The last block's
        rows are the network's own prediction.

    Raises:
        NonFinite, NotTraceable, TypeError: as :func:`resviz.record`.
        ValueError: a network without blocks or stages; targets out of range or too few; features.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = logit_lens(cifar_resnet(20, seed=0), torch.ones(1, 3, 32, 32), 3)
        >>> table[["block", "reads", "why"]].values.tolist()[5:7]
        [['layer2.2', False, '32 channels; the head takes 64'], ['layer3.0', True, '']]
    """
    return lens_of(net, images, targets, preset)


def lens_of(
    net: nn.Module,
    images: Images,
    targets: Wanted = None,
    preset: Preset | None = None,
    rec: Recording | None = None,
) -> pd.DataFrame:
    """:func:`logit_lens`; with a recording of the network no pass is needed to find its blocks."""
    check_hookable(net)
    inputs, known = check_images(net, images), preset_or_none(net, preset)
    aims = Targets(targets, inputs.count, output_of(known, inputs))
    blocks = survey(net, inputs, part=aims.output.part).steps if rec is None else _steps_of(rec)
    if not len(blocks):
        raise ValueError(
            f"{caller()}: no blocks or stages in {type(net).__name__}; a network with layers "
            "before its head would be right. See rv.list_layers(net)."
        )
    calls = list(zip(blocks["layer"], blocks["call"].map(int), strict=True))
    head = _Head(net, inputs, calls, _refused(blocks), aims)
    head.read()
    table = pd.DataFrame(_rows(head, blocks.to_dict("records"), calls))
    about = provenance(net, inputs, known, batch_stats=False) | aims.about(head.logits)
    table.attrs.update({key: value for key, value in about.items() if key != "classes"})
    return table


def _steps_of(rec: Recording) -> pd.DataFrame:
    residual = rec.residuals.loc[rec.residuals["residual"].astype(bool), "block"]
    return steps_in(
        rec.layers, set(residual), set(rec.parameters["layer"]), rec.layers["depth"].max()
    )


def _refused(blocks: pd.DataFrame) -> list[str]:
    """Why the head cannot take the output of each; "" for those of the last one's shape."""
    sizes = [_size(*each) for each in zip(blocks["shape"], blocks["axes"], strict=True)]
    channels, positions = sizes[-1]
    return [
        f"{own[0]:,} channels; the head takes {channels:,}"
        if own[0] != channels
        else (
            "" if own[1] == positions else f"{own[1] or 'no'} positions; the head takes {positions}"
        )
        for own in sizes
    ]


def _size(shape: tuple[int, ...], axes: str) -> tuple[int, str]:
    """(channels, positions in words) of an output."""
    axis = channel_axis(shape, axes)
    return shape[axis], " x ".join(f"{n:,}" for i, n in enumerate(shape) if i not in (0, axis))


class _Passes:
    """A first pass that keeps the outputs of blocks, and others in which the last one is replaced.

    Args:
        net: left as found after every pass.
        inputs: on its device.
        layer: the last block's call.
        keep: those of the blocks whose outputs are wanted.

    Attributes:
        output: what the network returned.
        kept: the outputs that are tensors, or tuples that begin with one.
    """

    def __init__(self, net: nn.Module, inputs: Inputs, layer: Call, keep: Collection[Call]) -> None:
        self._net, self._inputs, self._layer, self._keep = net, inputs, layer, set(keep)
        self._modules = dict(net.named_modules())
        self.kept: dict[Call, Tensor] = {}
        self.output = self._pass({path for path, _ in keep}, self._store)

    def _store(self, call: Call, output: Any) -> None:
        state = output[0] if isinstance(output, tuple) and output else output
        if call in self._keep and isinstance(state, Tensor):
            self.kept[call] = state.detach().clone()

    def run(self, states: Tensor) -> Any:
        """What the network returns where its last block gives `states`."""

        def replaced(call: Call, output: Any) -> Any:
            if call != self._layer:
                return None
            own = states.clone()  # it may be written to
            return (own, *output[1:]) if isinstance(output, tuple) else own

        return self._pass({self._layer[0]}, replaced)

    def _pass(self, paths: set[str], after: Callable[[Call, Any], Any]) -> Any:
        """What the network returns; `after` gets calls and outputs, and may give others."""
        calls: Counter[str] = Counter()

        def left(path: str, module: nn.Module, args: Any, output: Any) -> Any:
            call = (path, calls[path])
            calls[path] += 1
            return after(call, output)

        with left_as_found(self._net) as hooks:
            for path in paths:
                hooks.forward(self._modules[path], partial(left, path))
            return self._inputs.copies().run(self._net)


def _passes(net: nn.Module, inputs: Inputs, layer: Call, keep: Sequence[Call]) -> _Passes | Resume:
    """Of one image the later passes begin at the last block, where the network allows that."""
    if inputs.count == 1 and not inputs.listed and len(keep) > 1:
        try:
            return Resume(net, inputs, layer, keep)
        except _REFUSALS:
            pass
    return _Passes(net, inputs, layer, keep)


class _Head:
    """What runs after the last block of a network, on the outputs of others.

    Args:
        net: left as found after every pass.
        inputs: on its device.
        calls: of the blocks, in order.
        refused: why not, for each; "" where its output is to be tried.
        aims: the targets; resolved by the first pass.

    Attributes:
        logits: (N, C) the network's own. output: what they mean. word: what its numbers are.
        found: what the head says of each block's output, or why it says nothing.
    """

    def __init__(
        self,
        net: nn.Module,
        inputs: Inputs,
        calls: Sequence[Call],
        refused: Sequence[str],
        aims: Targets,
    ) -> None:
        self._inputs, self.targets, self._last = inputs, aims, calls[-1]
        self._mixed = mixes_images(net)
        self.found: dict[Call, _Reading | str] = {
            call: why for call, why in zip(calls, refused, strict=True) if why
        }
        wanted = [call for call in calls if call not in self.found]
        self._passes = _passes(net, inputs, self._last, wanted)
        self._states = self._passes.kept
        self.logits = check_finite(aims.output.logits(self._passes.output).detach())
        scores = aims.scores(self._passes.output)
        self.output = aims.output.seen(self.logits)
        self.word, numbers = self.output.numbers(self.logits)
        first = self.output.ranked(self.logits, numbers)[:, 0]
        self.own = _Reading(scores.detach().cpu(), numbers.cpu(), first.cpu())
        aims.warn_of_probabilities(self.logits, net, inputs)
        odd = f"an output that is no tensor of {inputs.count} images"
        self.found |= {call: odd for call in wanted if call not in self._states}

    # ---- reading
    def read(self) -> None:
        """Run the head on every output that was kept."""
        self.found[self._last] = self.own
        earlier = [call for call in self._states if call != self._last]
        if earlier and not self._read_together(earlier):
            for call in earlier:
                self.found[call] = self._read_alone(call)

    def _read_together(self, calls: Sequence[Call]) -> bool:
        """In one pass, if the last block's output gives the network's own scores there."""
        if self._mixed:
            return False
        states = [self._states[call] for call in (*calls, self._last)]
        if {len(state) for state in states} != {self._inputs.count}:
            return False
        try:
            readings = self._readings(states)
        except _REFUSALS:
            return False
        own, again = self.own.scores, readings[-1].scores
        self.found |= dict(zip(calls, readings, strict=False))
        apart = own - own.mean(0) if len(own) > 1 else own  # not what all images have in common
        return bool((again - own).norm() <= _SAME * max(apart.norm(), _EXACT * own.norm()))

    def _read_alone(self, call: Call) -> _Reading | str:
        try:
            return self._readings([self._states[call]])[0]
        except _REFUSALS as error:
            return f"the head refuses it: {_first_line(error)}"

    def _readings(self, states: Sequence[Tensor]) -> list[_Reading]:
        """What the network says with each of the states in place of its last block's output."""
        count = len(states)
        returned = self._passes.run(torch.cat(list(states)) if count > 1 else states[0])
        parts = (each.chunk(count) for each in self._said(returned, count))
        return [_Reading(*each) for each in zip(*parts, strict=True)]

    def _said(self, returned: Any, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """What a :class:`_Reading` holds, of `count` times as many images."""
        given = self.targets.again()
        given = given * count if count > 1 and self.targets.indices and _is_rows(given) else given
        aims = Targets(given, count * self._inputs.count, self.targets.output)
        logits = aims.output.logits(returned).detach()
        numbers = self.output.numbers(logits)[1]
        first = self.output.ranked(logits, numbers)[:, 0]
        return aims.scores(returned).detach().cpu(), numbers.cpu(), first.cpu()


def _is_rows(given: Any) -> bool:
    """False for targets that are functions, which are for any number of images."""
    return isinstance(given, list) and not any(map(callable, given))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:80] or type(error).__name__


# ---- the table
def _rows(
    head: _Head, blocks: Sequence[dict[Any, Any]], calls: Sequence[Call]
) -> Iterator[dict[str, Any]]:
    targets = head.targets
    for image in range(targets.count):
        for block, call in zip(blocks, calls, strict=True):
            place = {"image": image, "block": block["layer"], "call": call[1]}
            place |= {name: block[name] for name in ("type", "depth", "stage")}
            for column, index in enumerate(targets.indices[image]):
                aim = {"target": targets.names[image][column], "index": index}
                yield place | aim | _numbers(head, head.found[call], image, column, index)


def _numbers(
    head: _Head, found: _Reading | str, image: int, column: int, index: int
) -> dict[str, Any]:
    """Of one target: its number, its score, and what is said first."""
    names = (head.word, "score", "label", f"label_{head.word}")
    if isinstance(found, str):
        unread = dict(zip(names, (math.nan, math.nan, "", math.nan), strict=True))
        return unread | {"reads": False, "why": found}
    numbers = found.numbers[image]
    of_target = float(numbers[index]) if index >= 0 else math.nan
    first, label = math.nan, ""
    if head.word != "value":
        best = int(found.first[image])
        first, label = float(numbers[best]), head.output.name(best)
    values = (of_target, float(found.scores[image, column]), label, first)
    return dict(zip(names, values, strict=True)) | {"reads": True, "why": ""}
