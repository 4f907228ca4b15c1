"""Residual additions of one batch: branch, shortcut and their product, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resviz.hooks import Hooks
from resviz.networks.anatomy.additions import Addition
from resviz.networks.anatomy.axes.axis import IMAGES, Layout
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.anatomy.dataflow import Dataflow
from resviz.networks.anatomy.walk import Walk
from resviz.recording.statistics import dense, widest
from resviz.scanning.batch import AdditionBatch
from resviz.scanning.reducing import lost
from resviz.torch_private import unwatched


@dataclass(eq=False)
class _Sum:
    addition: Addition
    values: Tensor  # (3, N) mean squares and mean product
    name: str
    by_image: bool


class Sums:
    """Finds the residual additions of each pass by its data flow, and reduces them.

    Args:
        net: the network.
        hooks: live as long as the scan.
    """

    def __init__(self, net: nn.Module, hooks: Hooks) -> None:
        self._axes = Axes(net, hooks)
        self._walk = Walk(net, hooks, check=False, axes=self._axes)
        self._found: list[_Sum] = []
        self._images = 0

    def run(self, inputs: Tensor) -> Any:
        """The pass; what the network returned."""
        self._found, self._images = [], len(inputs)
        flow = Dataflow(self._before)
        try:
            output = self._walk.run(inputs, flow)
            kept = {id(addition) for addition in flow.additions if addition.residual}
            self._found = [found for found in self._found if id(found.addition) in kept]
            return output
        finally:
            flow.end()

    def settled(self) -> dict[str, AdditionBatch]:
        """The numbers of the pass, on the host, by the name of the addition."""
        result = {}
        for found in self._found:
            branch, shortcut, product = found.values.double().cpu().numpy()
            result[found.name] = AdditionBatch(branch, shortcut, product, found.by_image)
        return result

    def _before(self, addition: Addition, branch: Tensor, shortcut: Tensor) -> None:
        of_images = not (addition.branch.constant and addition.shortcut.constant)
        with unwatched():
            axis = None
            if of_images:
                # of one that is broadcast nothing is known
                known = filter(None, map(self._axes.layout_of, (branch, shortcut)))
                axis = _axis_of_images(next(known, None), branch, self._images)
            one, other = (_rows(each, axis, self._images) for each in (branch, shortcut))
            values = _means(one, other)
        by_image = axis is not None or (of_images and self._images == 1)
        self._found.append(_Sum(addition, values, key_of(addition), by_image))


def key_of(addition: Addition) -> str:
    """The name of an addition, with its call where its module ran several times."""
    return f"{addition.name}#{addition.call}" if addition.call else addition.name


def _axis_of_images(layout: Layout | None, tensor: Tensor, images: int) -> int | None:
    """The axis that counts images, slowest; None for none, as of one row for all of them.

    It may count windows of each image as well. Where it is not known, it is the first that fits.
    """
    if layout is not None:
        for number, axis in enumerate(layout):
            if axis.atoms and axis.atoms[0].name == IMAGES and axis.atoms[0].size == images:
                return number if not axis.before and not axis.after else None
    return 0 if tensor.ndim and len(tensor) == images else None


def _means(one: Tensor, other: Tensor) -> Tensor:
    """(3, N) mean squares of two, (N, parts, M) each, and means of their product, in float64."""
    wide = widest(one)
    if one.device.type != "cpu":
        return _means_of(one.to(wide), other.to(wide))
    found = _means_of(one, other)
    again = lost(found).any(0)
    if again.any():
        found[:, again] = _means_of(one[again].to(wide), other[again].to(wide))
    return found


def _means_of(one: Tensor, other: Tensor) -> Tensor:
    norms = (torch.linalg.vector_norm(each, dim=2) for each in (one, other))
    totals = [*(norm.to(widest(one)).square() for norm in norms), (one * other).sum(2)]
    return torch.stack([total.to(widest(one)).mean(1) for total in totals]) / one.shape[2]


def _rows(x: Tensor, axis: int | None, images: int) -> Tensor:
    """(N, parts, at most 4096 or so) of one tensor, in float32 or better; all in one row of None.

    `axis` counts images.
    """
    x = dense(x.detach())
    x = x if x.dtype in (torch.float32, torch.float64) else x.float()
    x = x.reshape(1, -1) if axis is None else x.movedim(axis, 0).reshape(images, -1)
    parts = next(p for p in range(-(-x.shape[1] // 4096), x.shape[1] + 1) if x.shape[1] % p == 0)
    return x.reshape(len(x), parts, -1)
