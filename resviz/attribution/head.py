"""Pooling and one linear layer after a layer: there every class's map has a closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resviz.arguments import caller, public_as
from resviz.attribution.places import axes_of
from resviz.attribution.target import Target, target
from resviz.attribution.targets import index_of
from resviz.attribution.weighted_sum import weighted_sum
from resviz.networks.outputs import Output, in_full
from resviz.torch_private import modules_of

_SAME = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}
_ROUNDED = {tolerance: 4 * torch.finfo(dtype).eps for dtype, tolerance in _SAME.items()}
_TELLS = 0.1  # of what the maps bring: where more is rounded off, the numbers tell nothing

HEAD_TENSORS = ("activations", "weight", "bias")


@dataclass(frozen=True, eq=False)
class AllClasses:
    """Grad-CAM of every class from the activations and the last weights, without the network.

    With y_c = b_c + sum_k w_ck mean_ij A_k the gradient is w_ck / (h w) everywhere, so Grad-CAM is
    ReLU(sum_k w_ck A_k) / (h w): CAM (Zhou et al. 2015, arXiv 1512.04150) up to that factor.

    Attributes:
        layer: whose output is pooled.
        activations: (N, C, *positions) of it. weight: (K, C). bias: (K,).
        classes: names of the K outputs, empty where nobody knows.
        tolerance: how far the logits may be off, of what the maps bring to the largest: by dtype.
    """

    layer: str
    activations: Tensor
    weight: Tensor
    bias: Tensor
    classes: tuple[str, ...] = ()
    tolerance: float = 1e-4

    def tensors(self) -> dict[str, Tensor]:
        """What it is made of, by name."""
        return {name: getattr(self, name) for name in HEAD_TENSORS}

    def makes(self, logits: Tensor | None) -> bool:
        """Whether (N, K) logits are the linear layer of the mean over positions.

        By the numbers, so that dropout, flatten and the like in between do not matter, and a ReLU
        or a second layer does. False also where a large bias leaves too few digits to tell.
        """
        if logits is None:
            return False
        with in_full(self.weight):
            found = self._pooled() @ self.weight.T + self.bias
        wanted = logits.reshape(len(logits), -1).to(found)
        found = found[:, -wanted.shape[1] :]  # of the two sides of a logit the second is the logit
        reach = float((wanted - self.bias[-wanted.shape[1] :]).abs().max())
        rounded = _ROUNDED.get(self.tolerance, self.tolerance) * float(wanted.abs().max())
        off = float((found - wanted).abs().max())
        return rounded <= _TELLS * reach and off <= max(self.tolerance * reach, rounded)

    def __getitem__(self, which: int | str | Target) -> Tensor:
        """(N, h, w): the Grad-CAM map of a class, or of ``target("a") - target("b")``.

        Raises:
            TypeError, ValueError: no such class.
        """
        return self.map(which)

    @public_as("all_classes")
    def map(self, which: int | str | Target, *, relu: bool = True) -> Tensor:
        """(N, h, w); ``relu=False`` keeps the evidence against the class."""
        weights = self._weights(which)
        maps = weighted_sum(weights.expand(len(self.activations), -1), self.activations)
        maps = maps / maps[0].numel()
        return maps.relu() if relu else maps

    @public_as("all_classes")
    def scores(self, which: int | str | Target) -> Tensor:
        """(N,) the logit of a class, or the sum of logits that a target is."""
        terms = self._terms(which)
        bias = sum(weight * self.bias[index] for index, weight in terms)
        with in_full(self.weight):
            return self._pooled() @ self._weights(which) + bias

    def _terms(self, which: int | str | Target) -> list[tuple[int, float]]:
        given = which if isinstance(which, Target) else target(which)
        return [(self._index(name), weight) for name, weight, _ in given.terms]

    def _pooled(self) -> Tensor:
        return self.activations.mean(axes_of(self.activations))

    def _weights(self, which: int | str | Target) -> Tensor:
        rows = [self.weight[index] * weight for index, weight in self._terms(which)]
        return torch.stack(rows).sum(0)

    def _index(self, which: int | str) -> int:
        if isinstance(which, str):
            return index_of(which, self.classes)
        if not 0 <= which < len(self.weight):
            raise ValueError(
                f"{caller()}: class {which} of {len(self.weight)}; 0 to {len(self.weight) - 1} "
                "would be right."
            )
        return which

    def __len__(self) -> int:
        return len(self.weight)

    def __repr__(self) -> str:
        return f"AllClasses: {len(self)} classes at {self.layer!r}, {len(self.activations)} images"


def find_heads(
    net: nn.Module, activations: Mapping[str, Tensor], logits: Tensor | None, output: Output
) -> dict[str, AllClasses]:
    """Copies of what the closed form would need, for layers that a linear layer's sizes allow.

    Whether that linear layer makes the logits of the layer's mean over positions is for
    :meth:`AllClasses.makes` to say: it costs a pass over the weights.

    Args:
        net: the network.
        activations: (N, C, h, w) by layer.
        logits: (N, K), or (N,), or None.
        output: what they mean; one logit has a map for each of its two sides.
    """
    if logits is None or logits.ndim > 2 or not logits.is_floating_point():
        return {}
    logits = logits[:, None] if logits.ndim == 1 else logits
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    copies = [
        _sides(output, module.weight.detach().to(wide, copy=True), _bias(module, wide))
        for module in modules_of(net).values()
        if isinstance(module, nn.Linear) and module.out_features == logits.shape[1]
    ]
    heads: dict[str, AllClasses] = {}
    for layer, maps in activations.items():
        several = [
            AllClasses(layer, maps.to(wide, copy=True), *pair, output.names, _SAME[logits.dtype])
            for pair in copies
            if pair[0].shape[1] == maps.shape[1]
        ]
        fitting = several if len(several) == 1 else [h for h in several if h.makes(logits)]
        if fitting:
            heads[layer] = fitting[0]
    return heads


def _sides(output: Output, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The linear layer of every target: of a logit, of -z and z."""
    if output.kind != "logit":
        return weight, bias
    return torch.cat([-weight, weight]), torch.cat([-bias, bias])


def _bias(head: nn.Linear, dtype: torch.dtype) -> Tensor:
    bias: Tensor | None = head.bias
    if bias is None:
        return torch.zeros(head.out_features, dtype=dtype, device=head.weight.device)
    return bias.detach().to(dtype, copy=True)
