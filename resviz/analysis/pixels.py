"""Gradients at the images, whichever way a network takes them."""

from __future__ import annotations

import torch
from torch import Tensor

from resviz.arguments import caller
from resviz.errors import NonFinite
from resviz.given import Inputs


def check_differentiable(inputs: Inputs) -> None:
    """Raise where there is no gradient at the images, or no one size of it.

    Raises:
        TypeError: images that are no floating point numbers.
        ValueError: a list of images of different sizes.
    """
    images = inputs.picture
    if images.ndim < 2 or not images.is_floating_point():
        raise TypeError(
            f"{caller()}: images of {images.dtype}; floating point, to be differentiated."
        )


def check_finite(*tensors: Tensor, what: str = "losses or gradients") -> None:
    """Raise NonFinite where one of them holds NaN or infinity."""
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise NonFinite(f"{caller()}: {what} hold NaN or infinity; finite ones are right.")


def at_images(start: Tensor, leaves: Inputs, weights: Tensor | None = None) -> Tensor | None:
    """(N, ...): the gradient of a tensor at the images, those of a list stacked.

    Args:
        start: what is differentiated; its graph stays.
        leaves: what went in; of one size where they are a list.
        weights: of the elements of `start`; None where it is a single number.

    Returns:
        The gradient, or None where `start` does not depend on the images.
    """
    wanted = leaves.tensors if leaves.listed else (leaves[leaves.main],)
    found = torch.autograd.grad(start, wanted, weights, retain_graph=True, allow_unused=True)
    known = [
        torch.zeros_like(leaf) if gradient is None else gradient
        for gradient, leaf in zip(found, wanted, strict=True)
    ]
    if all(gradient is None for gradient in found):
        return None
    return torch.stack(known) if leaves.listed else known[0]
