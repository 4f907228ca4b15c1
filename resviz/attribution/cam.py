"""Class activation maps: each method is one function of activations and gradients.

A: (n, C, h, w), the activations; g: the same shape, the gradient of the target's score. Each
returns (n, h, w), as its paper has it up to the last ReLU, which :func:`resviz.explain` applies:
no scaling, no resizing. Of signals and tokens positions are (l,), of video (t, h, w): sums over ij
are over all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from resviz.attribution.places import axes_of
from resviz.attribution.weighted_sum import weighted_sum


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """sum_k w_k A_k, w_k = mean_ij g_k: Selvaraju et al. 2016, arXiv 1610.02391, Eq. 1-2."""
    return weighted_sum(gradients.mean(axes_of(gradients)), activations)


def grad_cam_pp(activations: Tensor, gradients: Tensor) -> Tensor:
    """w_k = sum over g > 0 of g / (2 + S_k g), S_k = sum_ij A_k: arXiv 1710.11063, Eq. 19.

    That is alpha relu(g) with alpha = g^2 / (2 g^2 + S_k g^3), without the division 0 / 0. Where
    2 + S_k g is not positive (S_k < 0) the equation has no meaning and alpha counts as 0.
    """
    over = axes_of(activations)
    half = activations.sum(over, keepdim=True) / 2
    # g / (2 + S g) = 1 / (1 / g + S / 2) / 2: in one tensor's memory, where g = 0 gives 1 / inf
    terms = gradients.relu().reciprocal_().add_(half).reciprocal_().relu_()
    return weighted_sum(terms.sum(over) / 2, activations)


def finer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM of y_c - gamma mean_d y_d over the closest 3 classes d, or all others: Zhang 2025.

    arXiv 2501.11309: the gradients are of that score, see :meth:`Targets.contrasted`.
    """
    return grad_cam(activations, gradients)


def hires_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """sum_k g_k A_k: Draelos and Carin 2020, arXiv 2011.08891."""
    return (gradients * activations).sum(1)


def xgrad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """w_k = sum_ij g A / sum_ij A: Fu et al. 2020, arXiv 2008.02312; 0 for a dead channel."""
    product = (gradients * activations).sum(axes_of(activations))
    total = activations.sum(axes_of(activations))
    return weighted_sum(torch.where(total != 0, product / total, 0.0), activations)


def layer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """sum_k relu(g_k) A_k: Jiang et al. 2021, IEEE TIP 30."""
    return gradients.relu().mul_(activations).sum(1)


def eigen_cam(activations: Tensor, _: Tensor | None = None) -> Tensor:
    """A on its first right singular vector: Muhammad and Yeasin 2020, arXiv 2008.00299.

    A singular vector has no sign of its own. It is the one in which the map's largest value is
    positive, which for activations behind a ReLU makes all of them positive.
    """
    projected = _first_component(activations)
    flat = projected.flatten(1)
    largest = flat.gather(1, flat.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -flat, flat).to(activations.dtype).view_as(projected)


def eigen_grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """G A on its first right singular vector: Eigen-CAM of the weighted activations.

    The sign is the one in which the map agrees with sum_k g_k A_k, the evidence for the target.
    """
    weighted = gradients * activations
    projected = _first_component(weighted)
    agrees = (projected * weighted.sum(1)).flatten(1).sum(1)
    turned = (agrees < 0).view(-1, *[1] * (projected.ndim - 1))
    return torch.where(turned, -projected, projected).to(weighted.dtype)


def _first_component(maps: Tensor) -> Tensor:
    """(n, h, w), float64: U_1 s_1 of the (hw, C) matrix, through its (hw, hw) or (C, C) Gram.

    NaN where the maps hold NaN or infinity.
    """
    flat = maps.double().flatten(2).transpose(1, 2)  # (n, hw, C)
    wide = flat.shape[1] <= flat.shape[2]
    gram = flat @ flat.transpose(1, 2) if wide else flat.transpose(1, 2) @ flat
    lost = ~gram.isfinite().flatten(1).all(1)  # of which there are no vectors
    values, vectors = torch.linalg.eigh(gram.masked_fill(lost.view(-1, 1, 1), 0))
    first = vectors[..., -1]  # eigenvalues ascend
    if wide:
        projected = first * values[:, -1:].clamp_min(0).sqrt()
    else:
        projected = (flat @ first.unsqueeze(2)).squeeze(2)
    return projected.masked_fill(lost[:, None], torch.nan).view(len(maps), *maps.shape[2:])
