"""Gates: layers that only say how much of a tensor goes on, as squeeze-and-excitation does.

The way through them is no main path and adds nothing to the depth (Hu et al. 2017,
arXiv 1709.01507, Eq. 4), as a projection on a shortcut adds nothing to it.
"""

from __future__ import annotations

from typing import NamedTuple

from resviz.networks.anatomy.additions import Node
from resviz.networks.anatomy.judging import comes_without

_PRODUCTS = {"mul", "mul_", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__"}


class Gate(NamedTuple):
    """x * gate(x), where the gate is broadcast.

    Attributes:
        gated: x.
        way: what was made of it, the gate too.
    """

    gated: Node
    way: list[Node]


def gate_of(product: Node) -> Gate | None:
    """The gate in a product; None where it has none, as where both operands have one size.

    Those of one position all have: there the gate is what was pooled of the other.
    """
    if product.operation not in _PRODUCTS or len(product.parents) != 2:
        return None
    gate, gated = sorted(product.parents, key=lambda node: node.numel)
    if gated.numel != product.numel:
        return None
    if gate.numel == gated.numel:
        return _gate_at_one_position(product)
    way = _way_back(gate, gated)
    return Gate(gated, way) if way else None


def _gate_at_one_position(product: Node) -> Gate | None:
    if len(product.shape) < 3 or sum(size > 1 for size in product.shape[1:]) > 1:
        return None
    for gate, gated in (product.parents, product.parents[::-1]):
        way = _way_back(gate, gated)
        if way and not comes_without(gate, gated, "reduce", "pool"):
            return Gate(gated, way)
    return None


def _way_back(node: Node, root: Node) -> list[Node]:
    """What was made of the root on the way to a node, the node itself too; empty: nothing was."""
    way, seen, waiting, found = list[Node](), {node.index}, [node], False
    while waiting:
        one = waiting.pop()
        way.append(one)
        for parent in one.parents:
            found = found or parent is root
            if parent.index > root.index and parent.index not in seen:
                seen.add(parent.index)
                waiting.append(parent)
    return way if found else []
