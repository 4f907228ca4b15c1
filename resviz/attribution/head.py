"""Pooling and one linear layer after a layer: there every class's map has a closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resviz.attribution.cam import weighted_sum
from resviz.attribution.target import Target, target
from resviz.attribution.targets import index_of

_SAME = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}


@dataclass(frozen=True, eq=False)
class AllClasses:
    """Grad-CAM of every class from the activations and the last weights, without the network.

    With y_c = b_c + sum_k w_ck mean_ij A_k the gradient is w_ck / (h w) everywhere, so Grad-CAM is
    ReLU(sum_k w_ck A_k) / (h w): CAM (Zhou et al. 2015, arXiv 1512.04150) up to that factor.

    Attributes:
        layer: whose output is pooled.
        activations: (N, C, h, w) of it. weight: (K, C). bias: (K,).
        classes: names of the K outputs, empty where nobody knows.
    """

    layer: str
    activations: Tensor
    weight: Tensor
    bias: Tensor
    classes: tuple[str, ...] = ()

    def __getitem__(self, which: int | str | Target) -> Tensor:
        """(N, h, w): the Grad-CAM map of a class, or of ``target("a") - target("b")``.

        Raises:
            TypeError, ValueError: no such class.
        """
        return self.map(which)

    def map(self, which: int | str | Target, *, relu: bool = True) -> Tensor:
        """(N, h, w); ``relu=False`` keeps the evidence against the class."""
        weights = self._weights(which)
        maps = weighted_sum(weights.expand(len(self.activations), -1), self.activations)
        maps = maps / maps[0].numel()
        return maps.relu() if relu else maps

    def scores(self, which: int | str | Target) -> Tensor:
        """(N,) the logit of a class, or the sum of logits that a target is."""
        terms = self._terms(which)
        bias = sum(weight * self.bias[index] for index, weight in terms)
        return self.activations.mean((2, 3)) @ self._weights(which) + bias

    def _terms(self, which: int | str | Target) -> list[tuple[int, float]]:
        given = which if isinstance(which, Target) else target(which)
        return [(self._index(name), weight) for name, weight, _ in given.terms]

    def _weights(self, which: int | str | Target) -> Tensor:
        rows = [self.weight[index] * weight for index, weight in self._terms(which)]
        return torch.stack(rows).sum(0)

    def _index(self, which: int | str) -> int:
        if isinstance(which, str):
            return index_of("all_classes", which, self.classes)
        if not 0 <= which < len(self.weight):
            raise ValueError(
                f"all_classes: class {which} of {len(self.weight)}; 0 to {len(self.weight) - 1} "
                "would be right."
            )
        return which

    def __len__(self) -> int:
        return len(self.weight)

    def __repr__(self) -> str:
        return f"AllClasses: {len(self)} classes at {self.layer!r}, {len(self.activations)} images"


def find_head(net: nn.Module, activations: Tensor, logits: Tensor | None) -> nn.Linear | None:
    """The linear layer that makes these logits out of the layer's mean over positions, or None.

    Found by its numbers, so that dropout, flatten and the like in between do not matter, and a ReLU
    or a second layer does.
    """
    if logits is None or logits.ndim != 2:
        return None
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    pooled, wanted = activations.to(wide).mean((2, 3)), logits.to(wide)
    allowed = _SAME.get(logits.dtype, 1e-4) * float(wanted.abs().max())
    for module in net.modules():
        if not isinstance(module, nn.Linear):
            continue
        if (module.out_features, module.in_features) == (wanted.shape[1], pooled.shape[1]):
            weight, bias = _parts(module, pooled)
            if float((pooled @ weight.T + bias - wanted).abs().max()) <= allowed:
                return module
    return None


def all_classes(
    layer: str, activations: Tensor, head: nn.Linear, classes: tuple[str, ...]
) -> AllClasses:
    """Copies of what the closed form needs."""
    weight, bias = _parts(head, activations)
    return AllClasses(layer, activations.clone(), weight.clone(), bias.clone(), classes)


def _parts(head: nn.Linear, like: Tensor) -> tuple[Tensor, Tensor]:
    weight = head.weight.detach().to(like.dtype)
    bias = head.bias.detach().to(like.dtype) if head.bias is not None else weight.new_zeros(())
    return weight, bias.expand(len(weight))
