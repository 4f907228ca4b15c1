"""What every class activation map is at bottom: feature maps, each times a weight, added up."""

from __future__ import annotations

import torch
from torch import Tensor

from resviz.networks.outputs import in_full


def weighted_sum(weights: Tensor, activations: Tensor) -> Tensor:
    """sum_k w_k A_k: weights (n, C), activations (n, C, *positions)."""
    flat = activations.flatten(2)
    with in_full(flat):
        return torch.bmm(weights.unsqueeze(1), flat).view(len(flat), *activations.shape[2:])
