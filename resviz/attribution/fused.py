"""Formulas of activations and gradients that C makes together, in one pass over both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from resviz.attribution import cam
from resviz.compiled.class_maps import class_maps
from resviz.compiled.sums import is_direct

_NAMES = {
    cam.grad_cam: "grad_cam",
    cam.finer_cam: "grad_cam",  # of the gradients of another score
    cam.grad_cam_pp: "grad_cam_pp",
    cam.hires_cam: "hires_cam",
    cam.xgrad_cam: "xgrad_cam",
    cam.layer_cam: "layer_cam",
}
_LOW, _HIGH = 1e-30, 1e30  # mean squares between which float32 loses nothing of a sum of squares


class Fused(NamedTuple):
    """What one pass gave.

    Attributes:
        maps: (N, *positions) of each formula that it knows.
        squares: (N, C, 2), sums of squares of the activations and of the gradient.
    """

    maps: dict[Callable[..., Tensor], Tensor]
    squares: Tensor


def fused(
    formulas: Sequence[Callable[..., Tensor]], activations: Tensor, gradient: Tensor
) -> Fused | None:
    """Maps of one gradient; None where C cannot read these tensors, or torch is to judge.

    That is also where an image has no gradient or no activation at all, or one that is not finite.

    Args:
        formulas: those that C does not know are left out.
        activations: (N, C, *positions).
        gradient: of that shape.
    """
    known = [each for each in formulas if each in _NAMES]
    direct = activations.shape == gradient.shape and all(map(is_direct, (activations, gradient)))
    compiled = class_maps() if known and direct else None
    if compiled is None:
        return None
    maps, squares = compiled([_NAMES[each] for each in known], activations, gradient)
    means = squares.sum(1) / activations[0].numel()
    if not bool(((means > _LOW) & (means < _HIGH)).all()):
        return None
    return Fused(dict(zip(known, maps, strict=True)), squares)
