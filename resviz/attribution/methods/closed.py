"""Maps in closed form, where pooling and one linear layer follow the layer."""

from __future__ import annotations

import torch
from torch import Tensor

from resviz.arguments import caller
from resviz.attribution.layer import Layer
from resviz.attribution.places import axes_of
from resviz.attribution.shared_pass import SharedPass
from resviz.networks.outputs import in_full


def cam(shared: SharedPass, layer: Layer) -> Tensor:
    """sum_k w_ck A_k, w_ck the last linear layer's weights: Zhou et al. 2015, arXiv 1512.04150.

    Raises:
        ValueError: the logits are not that, or a target is not one class.
    """
    head = shared.head(layer)
    if head is None:
        raise ValueError(
            f"{caller()}: cam at {layer[0]!r}, and the logits are not one linear layer of its "
            "mean over positions; the last layer of a network that ends in global pooling and "
            "one linear layer would be right. grad_cam needs neither."
        )
    factor = head.activations[0, 0].numel()  # CAM has no 1 / (h w)
    columns = []
    for column in range(shared.columns):
        rows = [factor * head.map(_class(shared, n, column), relu=False)[n] for n in shared.images]
        columns.append(torch.stack(rows))
    return torch.stack(columns, 1)


def _class(shared: SharedPass, image: int, column: int) -> int:
    index = shared.aims.table[image][column]
    if index < 0:
        raise ValueError(
            f"{caller()}: cam of {shared.aims.names[image][column]!r}; one class would be right. "
            "Explanation.all_classes takes differences."
        )
    return index


def ablated(shared: SharedPass, layer: Layer) -> Tensor | None:
    """Ablation-CAM without further passes; None where there is no closed form.

    Without channel k the score falls by w_ck mean_ij A_k there.
    """
    head, indices = shared.head(layer), torch.tensor(shared.aims.table)
    if head is None or bool((indices < 0).any()):
        return None
    drop = head.weight[indices.to(head.weight.device)]  # (N, T, C)
    drop = drop * head.activations.mean(axes_of(head.activations)).unsqueeze(1)
    scores = shared.seen.scores[:, : shared.columns].to(drop)
    scale = torch.where(scores == 0, torch.ones_like(scores), scores.abs())
    with in_full(drop):
        return torch.einsum("ntk,nk...->nt...", drop / scale.unsqueeze(2), head.activations)
