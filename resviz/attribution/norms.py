"""L2 norms of activations and gradients, each taken once."""

from __future__ import annotations

import torch
from torch import Tensor

from resviz.attribution.engine import Captured
from resviz.attribution.layer import Layer
from resviz.networks.outputs import widened


class Norms:
    """Of what a pass saw.

    Args:
        seen: by the pass.
    """

    def __init__(self, seen: Captured) -> None:
        self._seen = seen
        self._squares: dict[tuple[Layer, int], Tensor] = {}  # (N, C, 2)

    @property
    def how(self) -> str:
        """Either "compiled", where some came with maps that C made, or "eager"."""
        return "compiled" if self._squares else "eager"

    def keep(self, layer: Layer, column: int, squares: Tensor) -> None:
        """What was found on the way: (N, C, 2), of the activations and of one gradient."""
        self._squares[layer, column] = squares

    def activations(self, layer: Layer) -> Tensor:
        """(N, C), over the positions of each channel."""
        squares = self._squares.get((layer, 0))
        if squares is not None:
            return squares[:, :, 0].sqrt()
        return _of_channels(self._seen.activations[layer])

    def output(self, layer: Layer) -> Tensor:
        """(N,), over all that the layer gave, class tokens too."""
        if self._has_more(layer):
            return _of_images(self._seen.outputs[layer])
        return torch.linalg.vector_norm(self.activations(layer), dim=1)

    def gradient(self, layer: Layer, column: int) -> Tensor:
        """(N,), over all that the layer gave, class tokens too."""
        if self._has_more(layer):
            return _of_images(self._seen.felt[layer][column])
        return self._at_positions(layer, column)

    def by_class_tokens(self, layer: Layer, columns: int) -> bool:
        """The score feels the layer's class tokens alone: no position of the map has a gradient."""
        if not self._has_more(layer) or not self._seen.gradients.get(layer):
            return False
        felt = [self.gradient(layer, n) for n in range(columns)]
        shown = [self._at_positions(layer, n) for n in range(columns)]
        return bool(torch.stack(felt).any()) and not bool(torch.stack(shown).any())

    def _has_more(self, layer: Layer) -> bool:
        """It gave more than its maps show; of a reading of the caller's own only that counts."""
        own = self._seen.readings[layer].own is not None
        return not own and self._seen.outputs[layer].numel() > self._seen.activations[layer].numel()

    def _at_positions(self, layer: Layer, column: int) -> Tensor:
        """(N,), over channels and positions of the map."""
        squares = self._squares.get((layer, column))
        if squares is not None:
            return squares[:, :, 1].sum(1).sqrt()
        return torch.linalg.vector_norm(_of_channels(self._seen.gradients[layer][column]), dim=1)


def _of_images(tensor: Tensor) -> Tensor:
    return torch.linalg.vector_norm(widened(tensor).flatten(1), dim=1)


def _of_channels(tensor: Tensor) -> Tensor:
    """One pass over the tensor, in float32 or better."""
    return torch.linalg.vector_norm(widened(tensor).flatten(2), dim=2)
