"""Directions through the weights of a network, normalised as in Li et al. 2018.

Source: Li, Xu, Taylor, Studer and Goldstein 2018, "Visualizing the Loss Landscape of Neural Nets",
https://arxiv.org/abs/1712.09913, section 4 and the comparison of normalisations in its appendix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from resviz.arguments import caller
from resviz.networks.outputs import widened
from resviz.torch_private import BatchOrInstanceNorm, TransposedConvolution

_NORMS = (BatchOrInstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
Direction = dict[str, Tensor]


def filters_of(weight: Tensor, owner: nn.Module) -> tuple[Tensor, tuple[int, ...]]:
    """(`weight`, perhaps in another shape; the axes that one filter runs over).

    A filter is what makes one output: a slice along the first axis; along the second in a
    transposed convolution, in each of its groups.
    """
    if isinstance(owner, TransposedConvolution):
        grouped = weight.reshape(owner.groups, -1, *weight.shape[1:])  # (groups, in, out, ...)
        return grouped, (1, *range(3, grouped.ndim))
    return weight, tuple(range(1, weight.ndim))


def _per_filter(direction: Tensor, weight: Tensor, owner: nn.Module) -> Tensor:
    (grown, axes), (of_weight, _) = filters_of(direction, owner), filters_of(weight, owner)
    size = torch.linalg.vector_norm(of_weight, dim=axes, keepdim=True)
    scaled = grown / torch.linalg.vector_norm(grown, dim=axes, keepdim=True) * size
    return scaled.reshape(weight.shape)


def _per_layer(direction: Tensor, weight: Tensor, owner: nn.Module) -> Tensor:
    return direction / torch.linalg.vector_norm(direction) * torch.linalg.vector_norm(weight)


DIRECTIONS: dict[str, Callable[[Tensor, Tensor, nn.Module], Tensor]] = {
    "filter": _per_filter,
    "layer": _per_layer,
    "none": lambda direction, weight, owner: direction,
}


def weights_of(net: nn.Module) -> dict[str, tuple[nn.Parameter, nn.Module]]:
    """The parameters that a direction moves, by name, with the module that owns them.

    Those of two axes or more outside norm layers: BatchNorm's and every bias stay where they are.

    Raises:
        ValueError: there are none, or one is computed from others (a parametrisation, pruning).
    """
    modules = dict(net.named_modules())
    found = {}
    for name, parameter in net.named_parameters():
        owner = modules[name.rpartition(".")[0]]
        if isinstance(owner, parametrize.ParametrizationList):
            raise ValueError(
                f"{caller()}: {name!r} belongs to a parametrisation, from which the weight is "
                "computed; a network with plain weights would be right. "
                "See torch.nn.utils.parametrize.remove_parametrizations."
            )
        if parameter.ndim > 1 and parameter.is_floating_point() and not isinstance(owner, _NORMS):
            _check_used_as_it_is(name, owner)
            found[name] = (parameter, owner)
    if not found:
        raise ValueError(
            f"{caller()}: {type(net).__name__} has no weights of two axes or more; "
            "convolutions or linear layers would be right."
        )
    return found


def _check_used_as_it_is(name: str, owner: nn.Module) -> None:
    """Raise ValueError for ``weight_g`` and its like, from which each call computes ``weight``."""
    made = name.rpartition(".")[2].rpartition("_")[0]
    if made and isinstance(vars(owner).get(made), Tensor):  # no parameter and no buffer
        raise ValueError(
            f"{caller()}: {name!r} is what the layer's {made!r} is computed from in each call; a "
            "network with plain weights would be right. See torch.nn.utils.remove_weight_norm, "
            "remove_spectral_norm and prune.remove."
        )


def random_direction(net: nn.Module, directions: str, generator: torch.Generator) -> Direction:
    """A Gaussian direction over the weights of :func:`weights_of`, float32 or better.

    Drawn and normalised in float64 on the CPU, so that it does not depend on device or dtype.

    Args:
        net: any network.
        directions: "filter": each filter of the direction has the norm of the weights' filter;
            "layer": each layer's part has the norm of the layer's weights; "none": as drawn.
        generator: of the CPU; it goes on from one direction to the next.
    """
    made = {}
    for name, (parameter, owner) in weights_of(net).items():
        weight = parameter.detach().to("cpu", torch.float64)
        drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        scaled = DIRECTIONS[directions](drawn, weight, owner)
        made[name] = scaled.to(parameter.device, widened(parameter.detach()[:0]).dtype)
    return made


def cosine(one: Direction, other: Direction) -> float:
    """Of the angle between two directions; NaN where one is zero."""
    dots = [
        [float((a[name].double() * b[name].double()).sum()) for name in a]
        for a, b in ((one, other), (one, one), (other, other))
    ]
    product, *squares = (sum(each) for each in dots)
    size = (squares[0] * squares[1]) ** 0.5
    return product / size if size else float("nan")


@contextmanager
def displaced(
    net: nn.Module, directions: list[Direction]
) -> Iterator[Callable[[tuple[float, ...]], None]]:
    """A frame in which the network's weights can be moved: ``move((alpha, beta))``.

    The weights are put into memory of their own while it lasts. The network's own memory is not
    written at all: it gets it back at the end, every bit and every version counter as it was, also
    after an error or an interrupt.
    """
    weights = {name: parameter for name, (parameter, _) in weights_of(net).items()}
    own = {name: parameter.data for name, parameter in weights.items()}

    def move(steps: tuple[float, ...]) -> None:
        for name, start in own.items():
            moved: Any = widened(start)
            for step, direction in zip(steps, directions, strict=True):
                moved = moved + step * direction[name]
            moving[name].copy_(moved)

    with torch.no_grad():
        moving = {name: start.clone() for name, start in own.items()}
        try:
            for name, parameter in weights.items():
                parameter.data = moving[name]
            yield move
        finally:
            for name, parameter in weights.items():
                parameter.data = own[name]
