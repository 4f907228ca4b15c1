"""The parts of a network that a training record is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import nn

from resviz.arguments import caller
from resviz.errors import closest
from resviz.networks.anatomy.structure import inside


@dataclass(frozen=True)
class Parts:
    """Chosen modules with all that is in them.

    Attributes:
        paths: of the modules; None: the whole network.
    """

    paths: tuple[str, ...] | None = None

    @classmethod
    def read(cls, layers: str | Sequence[str] | None, net: nn.Module) -> Parts:
        """From what a user gave.

        Raises:
            TypeError: no path, nor several.
            ValueError: a path that the network does not have; none at all.
        """
        if layers is None:
            return cls()
        if not isinstance(layers, str | Iterable):
            raise TypeError(f"{caller()}: layers {layers!r}; a path such as 'layer4', or a list.")
        paths = (layers,) if isinstance(layers, str) else tuple(layers)
        known = [path for path, _ in net.named_modules() if path]
        for path in paths:
            if not isinstance(path, str):
                raise TypeError(f"{caller()}: layer {path!r}; a path such as 'layer4'.")
            if path not in known:
                raise ValueError(
                    f"{caller()}: no layer {path!r} in {type(net).__name__}; closest: "
                    f"{closest(path, known)}. See rv.list_layers(net)."
                )
        if not paths:
            raise ValueError(f"{caller()}: no layers; a path such as 'layer4', or None for all.")
        return cls(paths)

    def has(self, path: str) -> bool:
        """True for a chosen module, and for what lies in it."""
        return self.paths is None or any(path == p or inside(path, p) for p in self.paths)

    def parameters(self, net: nn.Module) -> list[tuple[str, nn.Parameter]]:
        """The parameters in them; one that is there under several names by the first in them."""
        found: dict[int, tuple[str, nn.Parameter]] = {}
        for name, parameter in net.named_parameters(remove_duplicate=False):
            if self.has(name.rpartition(".")[0]):
                found.setdefault(id(parameter), (name, parameter))
        return list(found.values())

    def blocks(self, layers: pd.DataFrame) -> pd.DataFrame:
        """The rows of block outputs; of layers in a part, or in a network, that has no block."""
        is_block = layers["kind"] == "block"
        shown = pd.Series(False, index=layers.index)
        for path in self.paths or ("",):
            part = Parts((path,) if path else None)
            here = layers["layer"].map(part.has).astype(bool)
            shown |= here & is_block if (here & is_block).any() else here
        return layers[shown].reset_index(drop=True)

    def residuals(self, residuals: pd.DataFrame) -> pd.DataFrame:
        """The rows of residual additions."""
        here = residuals["addition"].map(self.has).astype(bool)
        return residuals[here].reset_index(drop=True)
