"""How far a pass is, layer by layer: for whoever waits for it, and may end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from resviz.hooks import Hooks
from resviz.networks.anatomy.structure import is_leaf
from resviz.torch_private import modules_of


@contextmanager
def telling(net: nn.Module, tell: Callable[[], object]) -> Iterator[None]:
    """Call ``tell()`` before each call of a layer (a module without others in it).

    Through any number of passes, until the block ends; an error that `tell` raises ends the pass
    and comes out of it.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> with telling(net, lambda: print("layer")):
        ...     _ = net(torch.zeros(1, 2))
        layer
        layer
    """

    def before(module: nn.Module, args: object) -> None:
        tell()

    with Hooks() as hooks:
        for module in modules_of(net).values():
            if is_leaf(module):
                hooks.before_forward(module, before)
        yield
