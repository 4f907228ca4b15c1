"""Which input of a network a map is about, where there are several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from resviz.arguments import caller
from resviz.attribution.layer import Layer, key_of
from resviz.attribution.places import is_tokens
from resviz.errors import closest
from resviz.given import Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy.additions import Node
from resviz.networks.anatomy.dataflow import Dataflow, Frame
from resviz.networks.anatomy.walk import Walk

_NONE: frozenset[int] = frozenset()


@dataclass
class About:
    """The input that each map belongs to: the photograph under it, and its proportions.

    The one that was asked for. Else, of several that could be pictures or tokens, the one that the
    layer depends on alone, as in the branches of a network for colour and depth, or in one of two
    calls of a shared backbone. Else the first picture, or without pictures the tokens.

    Attributes:
        net: the network.
        inputs: on its device.
        asked: the number of the input asked for, or None.
        layers: that maps are at.
    """

    net: nn.Module
    inputs: Inputs
    asked: int | None = None
    layers: dict[Layer, int] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """True where no other input could be meant."""
        return self.inputs.listed or len(self.inputs) == 1

    @cached_property
    def _pictures(self) -> frozenset[int]:
        numbers = enumerate(self.inputs)
        return frozenset(number for number, tensor in numbers if _like_a_picture(tensor))

    @cached_property
    def _possible(self) -> frozenset[int]:
        numbers = enumerate(self.inputs)
        return self._pictures | {number for number, tensor in numbers if is_tokens(tensor)}

    @cached_property
    def _needs(self) -> Mapping[Layer, frozenset[int]]:
        return dependence(self.net, self.inputs)

    def allows(self, layer: Layer) -> bool:
        """False for a layer that does not depend on the input that was asked for."""
        return self.asked is None or self.alone or self.asked in self._needs.get(layer, _NONE)

    def settle(self, layers: Sequence[Layer]) -> Inputs:
        """Find the input of every layer; the inputs with the one that most maps are about.

        Raises:
            ValueError: a layer that does not depend on the input that was asked for.
        """
        for layer in layers:
            if not self.allows(layer):
                self._refuse(layer)
        self.layers = {layer: self._of(layer) for layer in layers}
        found = set(self.layers.values())
        return self.inputs.about(found.pop()) if len(found) == 1 else self.inputs

    def _of(self, layer: Layer) -> int:
        if self.asked is not None or self.alone or len(self._possible) < 2:
            return self.inputs.main
        found = self._needs.get(layer, _NONE) & self._possible
        return next(iter(found)) if len(found) == 1 else self.inputs.main

    def _refuse(self, layer: Layer) -> None:
        names = self.inputs.names
        needed = [names[number] for number in sorted(self._needs.get(layer, _NONE))]
        others = [key_of(each) for each, needs in self._needs.items() if self.asked in needs]
        raise ValueError(
            f"{caller()}: layer {key_of(layer)!r} depends on {', '.join(needed) or 'no input'} and "
            f"not on {names[self.inputs.main]!r}, which the map is to be about; one that does "
            f"would be right. The last: {', '.join(others[-3:])}."
        )

    def chosen(self) -> str:
        """How the input was found, for the record."""
        if self.asked is not None:
            return "as asked"
        if any(number != self.inputs.main for number in self.layers.values()):
            return "that the layer depends on"
        if self.inputs.main in self._pictures:
            return "the only picture" if len(self._pictures) == 1 else "the first picture"
        return "the tokens" if is_tokens(self.inputs) else "the first"


def _like_a_picture(tensor: Tensor) -> bool:
    """True for pictures, signals and clips; False for tables and tokens."""
    return tensor.ndim > 2 and tensor.is_floating_point()


def read_input(inputs: Inputs, asked: int | str | None) -> Inputs:
    """The inputs, with maps about the one asked for.

    Raises:
        TypeError: neither a number nor a name.
        ValueError: no such input.
    """
    if asked is None:
        return inputs
    if isinstance(asked, bool) or not isinstance(asked, int | str):
        raise TypeError(f"{caller()}: input {asked!r}; its position, or its keyword.")
    names = [str(number) for number in range(len(inputs))] if inputs.listed else inputs.names
    if inputs.listed or (isinstance(asked, int) and not 0 <= asked < len(names)):
        several = "a list of images is one input" if inputs.listed else f"0 to {len(names) - 1}"
        raise ValueError(f"{caller()}: input {asked!r}; {several}.")
    if isinstance(asked, str) and asked not in names:
        raise ValueError(
            f"{caller()}: input {asked!r}; one of {', '.join(names)} would be right. Closest: "
            f"{closest(asked, names, n=1) or 'none'}."
        )
    return inputs.about(asked if isinstance(asked, int) else list(names).index(asked))


# ---- what depends on what
def dependence(net: nn.Module, inputs: Inputs) -> dict[Layer, frozenset[int]]:
    """The inputs that each module call depends on, by their numbers, from one pass."""
    found: dict[Layer, frozenset[int]] = {}
    known: dict[int, frozenset[int]] = {}
    flow = Dataflow()

    def left(frame: Frame, output: object) -> None:
        node = flow.node_of(output)
        sources = _NONE if node is None else _sources(node, known)
        found[frame.path, frame.call] = frozenset(n for n in sources if n < len(inputs))

    with left_as_found(net) as hooks:
        Walk(net, hooks, left=left).run_one(inputs, flow)
    flow.end()
    return found


def _sources(node: Node, known: dict[int, frozenset[int]]) -> frozenset[int]:
    """Numbers of the inputs that a tensor comes from: those are the first nodes of a pass."""
    waiting = [node]
    while waiting:
        last = waiting[-1]
        open_ = [parent for parent in last.parents if parent.index not in known]
        if open_ and last.index not in known:
            waiting += open_
            continue
        waiting.pop()
        own = _NONE if last.parents else frozenset([last.index - 1])
        known[last.index] = own | _joined(known[parent.index] for parent in last.parents)
    return known[node.index]


def _joined(several: Iterable[frozenset[int]]) -> frozenset[int]:
    return _NONE.union(*several)
