"""Residual additions of one batch: branch, shortcut and their product, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resviz.hooks import Hooks
from resviz.networks.anatomy.additions import Addition
from resviz.networks.anatomy.dataflow import Dataflow
from resviz.networks.anatomy.walk import Walk
from resviz.recording.statistics import dense, widest
from resviz.scanning.batch import AdditionBatch
from resviz.torch_private import unwatched


@dataclass(eq=False)
class _Sum:
    addition: Addition
    values: tuple[Tensor, Tensor, Tensor]  # mean squares and mean product, (N,)
    name: str


class Sums:
    """Finds the residual additions of each pass by its data flow, and reduces them.

    Args:
        net: the network.
        hooks: live as long as the scan.
    """

    def __init__(self, net: nn.Module, hooks: Hooks) -> None:
        self._walk = Walk(net, hooks, check=False)
        self._found: list[_Sum] = []

    def run(self, inputs: Tensor) -> Any:
        """The pass; what the network returned."""
        self._found = []
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
            numbers = torch.stack(found.values).double().cpu().numpy()
            result[found.name] = AdditionBatch(*numbers)
        return result

    def _before(self, addition: Addition, branch: Tensor, shortcut: Tensor) -> None:
        with unwatched():
            one, other = _rows(branch), _rows(shortcut)
            wide = widest(one)
            values = (
                torch.linalg.vector_norm(one, dim=2).to(wide).square().mean(1) / one.shape[2],
                torch.linalg.vector_norm(other, dim=2).to(wide).square().mean(1) / one.shape[2],
                (one * other).sum(2).to(wide).mean(1) / one.shape[2],
            )
        self._found.append(_Sum(addition, values, key_of(addition)))


def key_of(addition: Addition) -> str:
    """The name of an addition, with its call where its module ran several times."""
    return f"{addition.name}#{addition.call}" if addition.call else addition.name


def _rows(x: Tensor) -> Tensor:
    """(N, parts, at most 4096 or so) of one tensor, in float32 or better."""
    x = dense(x.detach())
    x = (x if x.dtype in (torch.float32, torch.float64) else x.float()).flatten(1)
    parts = next(p for p in range(-(-x.shape[1] // 4096), x.shape[1] + 1) if x.shape[1] % p == 0)
    return x.reshape(len(x), parts, -1)
