"""The pass that all methods of one `explain` share, and what they make of it together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import Progress
from resviz.attribution.channels import Channels, channels_of
from resviz.attribution.engine import Captured, capture
from resviz.attribution.fused import fused
from resviz.attribution.head import AllClasses, find_heads
from resviz.attribution.layer import Layer, key_of
from resviz.attribution.norms import Norms
from resviz.attribution.positions import Reshape
from resviz.attribution.scoring import Scorer
from resviz.attribution.targets import Targets
from resviz.given import Inputs
from resviz.networks.outputs import widened

_CACHE = 4 * 2**20  # bytes of activations that a CPU keeps close while it makes maps of them

Formula = Callable[..., Tensor]  # (activations, gradients) -> (n, h, w)
Contrast = Callable[[Targets, Any], Targets]  # other scores to differentiate, from the output


@dataclass
class SharedPass:
    """One forward pass and a backward pass per score, at all layers; run when it is made.

    Attributes:
        net: the network. inputs: on its device. aims: the targets.
        layers: where; none for methods over the pixels alone.
        formulas: of activations and gradients, with the scores to differentiate in place of the
            targets' own, or None. Those of the same scores are made together, at the first that is
            asked for: they read the same tensors.
        backward: whether gradients are wanted.
        about: the number of the input that a layer's map is about, where it is not the main one.
        blocks: of the layers, keep those that the pass shows to be residual blocks.
        batch_stats, reshape, chunk, progress: see :func:`resviz.explain`.
        seen: what the pass saw. norms: of that. heads: what closed forms would need, by layer.
    """

    net: nn.Module
    inputs: Inputs
    aims: Targets
    layers: Sequence[Layer]
    formulas: Sequence[tuple[Formula, Contrast | None]] = ()
    backward: bool = True
    batch_stats: bool = False
    reshape: Reshape | None = None
    chunk: int | None = None
    progress: Progress = None
    about: Mapping[Layer, int] = field(default_factory=dict)
    blocks: bool = False
    seen: Captured = field(init=False)
    norms: Norms = field(init=False)
    heads: dict[str, AllClasses] = field(init=False)
    _made: dict[tuple[Layer, Contrast | None], dict[Formula, Tensor]] = field(
        init=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        self.seen = capture(
            self.net,
            self.inputs,
            self.layers,
            self._scores,
            backward=self.backward,
            reshape=self.reshape,
            batch_stats=self.batch_stats,
            part=self.aims.output.part,
            about=self.about,
            blocks=self.blocks,
        )
        self.norms = Norms(self.seen)
        self.layers = list(self.seen.activations) if self.blocks else self.layers
        activations = {key_of(layer): maps for layer, maps in self.seen.activations.items()}
        self.heads = find_heads(self.net, activations, self.seen.logits, self.aims.output)

    @property
    def columns(self) -> int:
        """Targets of each image."""
        return self.aims.columns

    @property
    def images(self) -> range:
        """Their numbers in the batch."""
        return range(self.inputs.count)

    @functools.cached_property
    def scorer(self) -> Scorer:
        """For methods that run passes of their own."""
        return self._scorer_about(self.inputs.main)

    def scorer_of(self, layer: Layer) -> Scorer:
        """The same, for variants of the input that a layer's map is about."""
        number = self.about.get(layer, self.inputs.main)
        return self.scorer if number == self.inputs.main else self._scorer_about(number)

    def _scorer_about(self, number: int) -> Scorer:
        inputs = self.inputs.about(number)
        return Scorer(self.net, inputs, self.aims, self.chunk, self.progress)

    @functools.cached_property
    def _contrasts(self) -> list[Contrast]:
        return list(dict.fromkeys(contrast for _, contrast in self.formulas if contrast))

    def _scores(self, output: Any) -> Tensor:
        """(N, T) of the targets, and as many columns for each contrast."""
        scores = self.aims.scores(output)
        others = [contrast(self.aims, output).scores(output) for contrast in self._contrasts]
        return torch.cat([scores, *others], 1) if others else scores

    # ---- what methods ask for
    def activations(self, layer: Layer) -> Tensor:
        """(N, C, h, w), in float32 or better."""
        return widened(self.seen.activations[layer])

    def head(self, layer: Layer) -> AllClasses | None:
        """The closed form at a layer, where there is one."""
        head = self.heads.get(key_of(layer))
        return head if head is not None and head.makes(self.seen.logits) else None

    def channels(self) -> dict[Layer, Channels]:
        """What each channel contributes at each layer; with gradients alone."""
        blanked = self.aims.blanked
        return {x: channels_of(self.seen, x, self.columns, blanked) for x in self.layers}

    def of_activations(self, formula: Formula, layer: Layer) -> Tensor:
        """(N, T, h, w) of a formula of the activations alone: the same for every target."""
        activations = self.seen.activations[layer]
        (one,) = _in_parts([formula], activations, activations)
        return one.unsqueeze(1).expand(-1, self.columns, *one.shape[1:])

    def of_gradients(
        self, formula: Formula, layer: Layer, contrast: Contrast | None = None
    ) -> Tensor:
        """(N, T, h, w) of a formula of activations and gradients."""
        made = self._made.setdefault((layer, contrast), {})
        if formula not in made:
            announced = [each for each, scores in self.formulas if scores is contrast]
            together = [each for each in dict.fromkeys([formula, *announced]) if each not in made]
            columns = [self._made_of(together, layer, n) for n in self._columns_of(contrast)]
            stacked = [torch.stack(maps, 1) for maps in zip(*columns, strict=True)]
            made |= dict(zip(together, stacked, strict=True))
        return made[formula]

    def _columns_of(self, contrast: Contrast | None) -> range:
        """The numbers of the targets' own scores, or of a contrast's."""
        start = 0 if contrast is None else self.columns * (1 + self._contrasts.index(contrast))
        return range(start, start + self.columns)

    def _made_of(self, formulas: Sequence[Formula], layer: Layer, column: int) -> list[Tensor]:
        """(N, h, w) of each formula of one gradient."""
        activations, gradient = self.seen.activations[layer], self.seen.gradients[layer][column]
        together = fused(formulas, activations, gradient)
        made = {} if together is None else dict(together.maps)
        if together is not None:
            self.norms.keep(layer, column, together.squares)
        left = [each for each in formulas if each not in made]
        if left:
            made |= dict(zip(left, _in_parts(left, activations, gradient), strict=True))
        return [made[each] for each in formulas]


def _in_parts(functions: Sequence[Formula], activations: Tensor, gradient: Tensor) -> list[Tensor]:
    """(N, h, w) of each function; on a CPU image by image where a batch would leave its cache."""
    whole = activations.numel() * activations.element_size()
    size = len(activations)
    if activations.device.type == "cpu" and whole > _CACHE:
        size = max(1, size * _CACHE // whole)
    pairs = zip(torch.split(activations, size), torch.split(gradient, size), strict=True)
    parts = [[function(*pair) for function in functions] for pair in _each_widened(pairs)]
    return [torch.cat(maps) for maps in zip(*parts, strict=True)]


def _each_widened(pairs: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    for activations, gradient in pairs:
        yield widened(activations), widened(gradient)
