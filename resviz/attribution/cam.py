"""Class activation maps: each method is one function of activations and gradients.

A: (N, C, h, w), the activations; g: the same shape, the gradient of the target's score. Each
returns (N, h, w), with the ReLU its paper has and nothing else: no scaling, no resizing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """ReLU(sum_k w_k A_k), w_k = mean_ij g_k: Selvaraju et al. 2016, arXiv 1610.02391, Eq. 1-2."""
    weights = gradients.mean((2, 3), keepdim=True)
    return (weights * activations).sum(1).relu()


def hires_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """ReLU(sum_k g_k A_k): Draelos and Carin 2020, arXiv 2011.08891."""
    return (gradients * activations).sum(1).relu()


def layer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """ReLU(sum_k relu(g_k) A_k): Jiang et al. 2021, IEEE TIP 30."""
    return (gradients.relu() * activations).sum(1).relu()


@dataclass(frozen=True)
class Method:
    """A row of the registry: the function, and where it comes from."""

    function: Callable[[Tensor, Tensor], Tensor]
    source: str
    signed: bool = False


METHODS = {
    "grad_cam": Method(grad_cam, "Selvaraju et al. 2016, arXiv 1610.02391"),
    "hires_cam": Method(hires_cam, "Draelos and Carin 2020, arXiv 2011.08891"),
    "layer_cam": Method(layer_cam, "Jiang et al. 2021, IEEE TIP 30"),
}
