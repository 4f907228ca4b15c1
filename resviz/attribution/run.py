"""One call of `explain`: the shared pass, and the maps that are made from it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from resviz.attribution.engine import Captured, capture
from resviz.attribution.head import AllClasses, find_heads
from resviz.attribution.layer import Layer, key_of
from resviz.attribution.methods.registry import METHODS, Asked
from resviz.attribution.positions import Reshape
from resviz.attribution.scoring import Scorer
from resviz.attribution.targets import Targets
from resviz.networks.inputs import widened

INPUT = "input"  # the layer name of maps over the pixels themselves
_CACHE = 4 * 2**20  # bytes of activations that a CPU keeps close while it makes maps of them

Maps = dict[tuple[str, str], Tensor]


@dataclass
class Run:
    """The shared pass, and maps made from it; see :func:`resviz.explain` for the settings."""

    net: nn.Module
    inputs: tuple[Tensor, ...]
    aims: Targets
    asked: dict[str, Asked]
    layers: list[Layer]
    relu: bool = True
    split: bool = False
    batch_stats: bool = False
    reshape: Reshape | None = None
    chunk: int | None = None
    progress: bool | None = None
    heads: dict[str, AllClasses] = field(default_factory=dict)
    _made: dict[Layer, dict[str, Tensor]] = field(default_factory=dict)
    seen: Captured = field(init=False)

    @property
    def columns(self) -> int:
        """Targets of each image."""
        return self.aims.columns

    @functools.cached_property
    def scorer(self) -> Scorer:
        """For methods that run passes of their own."""
        return Scorer(self.net, self.inputs, self.aims, self.chunk, self.progress)

    def pass_through(self) -> None:
        """The one forward pass, and the backward passes that the methods need."""
        kinds = {asked.method.kind for asked in self.asked.values()}
        guided = "guided_grad_cam" in self.asked
        self.seen = capture(
            self.net,
            self.inputs,
            self.layers,
            self._scores,
            backward="gradients" in kinds or guided or self.split or not self.layers,
            reshape=self.reshape,
            batch_stats=self.batch_stats,
        )
        activations = {key_of(layer): maps for layer, maps in self.seen.activations.items()}
        self.heads = find_heads(self.net, activations, self.seen.logits, self.aims.classes)

    def _head(self, layer: Layer) -> AllClasses | None:
        """The closed form at a layer, where there is one."""
        head = self.heads.get(key_of(layer))
        return head if head is not None and head.makes(self.seen.logits) else None

    def _scores(self, output: Any) -> Tensor:
        scores = self.aims.scores(output)
        if "finer_cam" in self.asked:
            contrast = self.aims.contrasted(output, **self.asked["finer_cam"].options)
            scores = torch.cat([scores, contrast.scores(output)], 1)
        return scores

    def maps(self, name: str) -> dict[str, Tensor]:
        """The method's maps by layer."""
        asked = self.asked[name]
        method, options = asked.method, asked.options
        if method.at == "input":
            images = range(len(self.inputs[0]))
            parts = [method.function(self.scorer, image, **options) for image in images]
            return {INPUT: _ready(torch.stack(parts))}
        maps = {}
        for layer in self.layers:
            values = self._at(asked, layer)
            maps[key_of(layer)] = _ready(
                values.relu() if self.relu and not method.signed else values
            )
        return maps

    def _at(self, asked: Asked, layer: Layer) -> Tensor:
        """(N, T, h, w) of a method at a layer."""
        seen, method = self.seen, asked.method
        activations = seen.activations[layer]
        images = range(len(activations))
        if method.kind == "gradients":
            return self._by_gradients(layer)[asked.name]
        if method.kind == "activations":
            (one,) = _in_parts([method.function], activations, activations)
            return one.unsqueeze(1).expand(-1, self.columns, -1, -1)
        if method.kind == "head":
            return self._cam(layer)
        closed = self._ablated(layer) if asked.name == "ablation_cam" else None
        if closed is not None:
            return closed
        activations = widened(activations)
        if asked.name == "guided_grad_cam":
            cams = self._by_gradients(layer)["grad_cam"].relu()
            return torch.stack([method.function(self.scorer, i, cams[i]) for i in images])
        more = (layer, seen.readings[layer]) if asked.name == "ablation_cam" else ()
        return torch.stack([method.function(self.scorer, i, activations, *more) for i in images])

    def _by_gradients(self, layer: Layer) -> dict[str, Tensor]:
        """(N, T, h, w) of every method asked that is made of activations and gradients."""
        if layer not in self._made:
            names = [name for name, each in self.asked.items() if each.method.kind == "gradients"]
            names += ["grad_cam"] if "guided_grad_cam" in self.asked else []
            contrast = [name for name in dict.fromkeys(names) if name == "finer_cam"]
            shared = [name for name in dict.fromkeys(names) if name not in contrast]
            gradients = self.seen.gradients[layer]
            self._made[layer] = {
                **self._together(layer, shared, gradients[: self.columns]),
                **self._together(layer, contrast, gradients[self.columns :]),
            }
        return self._made[layer]

    def _together(
        self, layer: Layer, names: list[str], gradients: list[Tensor]
    ) -> dict[str, Tensor]:
        functions = [METHODS[name].function for name in names]
        columns = [_in_parts(functions, self.seen.activations[layer], g) for g in gradients]
        made = [torch.stack(maps, 1) for maps in zip(*columns, strict=True)]
        return dict(zip(names, made, strict=True)) if names else {}

    def _ablated(self, layer: Layer) -> Tensor | None:
        """Ablation-CAM without further passes, where pooling and one linear layer follow.

        Without channel k the score falls by w_ck mean_ij A_k there.
        """
        head, indices = self._head(layer), torch.tensor(self.aims.indices)
        if head is None or bool((indices < 0).any()):
            return None
        drop = head.weight[indices.to(head.weight.device)]  # (N, T, C)
        drop = drop * head.activations.mean((2, 3)).unsqueeze(1)
        scores = self.seen.scores[:, : self.columns].to(drop)
        scale = torch.where(scores == 0, torch.ones_like(scores), scores.abs())
        return torch.einsum("ntk,nkhw->nthw", drop / scale.unsqueeze(2), head.activations)

    def _cam(self, layer: Layer) -> Tensor:
        head = self._head(layer)
        if head is None:
            raise ValueError(
                f"explain: cam at {layer[0]!r}, and the logits are not one linear layer of its "
                "mean over positions; the last layer of a network that ends in global pooling and "
                "one linear layer would be right. grad_cam needs neither."
            )
        factor = head.activations[0, 0].numel()  # CAM has no 1 / (h w)
        columns = []
        for column in range(self.columns):
            rows = [
                factor * head.map(self._class(n, column), relu=False)[n]
                for n in range(len(self.inputs[0]))
            ]
            columns.append(torch.stack(rows))
        return torch.stack(columns, 1)

    def _class(self, image: int, column: int) -> int:
        index = self.aims.indices[image][column]
        if index < 0:
            raise ValueError(
                f"explain: cam of {self.aims.names[image][column]!r}; one class would be right. "
                "Explanation.all_classes takes differences."
            )
        return index


def _in_parts(
    functions: Sequence[Callable[[Tensor, Tensor], Tensor]], activations: Tensor, gradient: Tensor
) -> list[Tensor]:
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


def _ready(maps: Tensor) -> Tensor:
    """On the CPU, contiguous, in float32 or float64."""
    return widened(maps.detach()).cpu().contiguous()
