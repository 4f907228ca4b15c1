"""Residual blocks found in the very pass that explains them, so that none is run to find them.

Every module that could be a block is taken as one; which are is seen from the additions of the same
pass. What was learned from another pass is never used: a forward may change its mind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from resviz.attribution.layer import Layer
from resviz.given import Inputs
from resviz.hooks import Hooks
from resviz.networks.anatomy.additions import blocks_of
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.anatomy.dataflow import Dataflow
from resviz.networks.anatomy.structure import may_be_block
from resviz.networks.anatomy.walk import Walk
from resviz.torch_private import modules_of


class NotFoundAtOnce(Exception):
    """Residual additions happen elsewhere than in what looked like a block, or nowhere."""


def likely_blocks(net: nn.Module) -> list[Layer]:
    """The modules that compute something of their own out of several children."""
    return [(path, 0) for path, module in modules_of(net).items() if may_be_block(path, module)]


class BlocksOfPass:
    """Watches one pass for its residual blocks.

    Args:
        net: the network.
        hooks: live during the pass; whatever hooks are set later see what these see.
        axes: which axis is which, noted in the same pass.
    """

    def __init__(self, net: nn.Module, hooks: Hooks, axes: Axes) -> None:
        self._net, self._flow = net, Dataflow()
        self._walk = Walk(net, hooks, axes=axes, check=False, leaves=False)

    def run(self, inputs: Inputs) -> Any:
        """The pass; what the network returned."""
        return self._walk.around(lambda: inputs.run(self._net), inputs, self._flow)

    def among(self, layers: Iterable[Layer]) -> list[Layer]:
        """Those of the layers that are residual blocks, in the order of their additions.

        Raises:
            NotFoundAtOnce: there are none, or others than these.
        """
        found: list[Layer] = blocks_of(self._flow.residual)
        self._flow.end()
        if not found or not set(found) <= set(layers):
            raise NotFoundAtOnce
        return found
