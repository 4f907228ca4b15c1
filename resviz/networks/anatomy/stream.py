"""Whether a sum goes on as the stream: what only the end of a pass tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resviz.networks.anatomy.additions import Addition, Node
from resviz.networks.anatomy.judging import between


def settle(additions: list[Addition], ends: Sequence[Node]) -> None:
    """Take back "residual" from sums that do not go on as the stream.

    Args:
        additions: of a pass that is over; sums of weights are taken out.
        ends: the tensors that the network returned.
    """
    every = _reached(ends, stream=False)
    stream = _reached(ends, stream=True)
    fed = _feeding(every)
    for addition in list(additions):
        total = addition.total
        if total is None or not addition.residual:
            continue
        known = total.index in every
        heads = addition.kind == "projection" and known and _is_of_heads(total, fed)
        if total.constant and not known:
            additions.remove(addition)
        elif _is_inner(addition, total, known and total.index not in stream):
            addition.kind, addition.residual = "inner", False
        elif heads or _is_of_levels(addition, every.values()):
            addition.kind, addition.residual = "fusion", False


def _is_inner(addition: Addition, total: Node, weighs: bool) -> bool:
    """True for what does not go on as the stream.

    A constant added to a stream that goes on without it (the positions in a decoder's queries),
    and what only weighs an attention; a network that makes queries has a stream of its own.
    """
    apart = addition.branch.last_use > total.index
    if not weighs:
        return apart and addition.shortcut.constant
    return apart or addition.kind != "identity" or _is_logits(addition.shortcut)


def _is_of_heads(total: Node, fed: set[int]) -> bool:
    """True for vectors that nothing with parameters works on any more: two heads' logits."""
    return len(total.shape) == 2 and total.index not in fed


def _is_of_levels(addition: Addition, every: Iterable[Node]) -> bool:
    """True where the branch is a level of a pyramid, upsampled.

    One that goes on by itself, too, or was made of other levels beside the root. A U-Net's is made
    of the root alone, and nothing else reads it: a branch like any other.
    """
    end = addition.branch
    while end.step in ("layout", "scale", "norm") and len(end.parents) == 1:
        end = end.parents[0]
    if end.step != "upsample" or not end.parents:
        return False
    level, start = end.parents[0], addition.root.index
    if any(
        parent.index < start for node in between(addition.root, level) for parent in node.parents
    ):
        return True
    return sum(level in node.parents for node in every) > 1


def _reached(ends: Sequence[Node], stream: bool) -> dict[int, Node]:
    """All that the ends come from; with `stream`, without what only weighs an attention."""
    found = {node.index: node for node in ends}
    waiting = list(ends)
    while waiting:
        node = waiting.pop()
        parents = (*node.parents, *node.given)
        for parent in _values(node) if stream else parents:
            if parent.index not in found:
                found[parent.index] = parent
                waiting.append(parent)
    return found


def _values(node: Node) -> Sequence[Node]:
    """The operands of a node, without those that only weigh the others."""
    parents = (*node.parents, *node.given)
    if node.step != "mix" or len(parents) < 2:
        return parents
    if node.values:
        return node.values
    return [p for p in parents if not _is_weights(p)]


def _is_logits(node: Node) -> bool:
    """True for products of queries and keys, also scaled, masked or with positions added."""
    for _ in range(10):
        if node.step == "mix":
            return True
        if (
            len(node.parents) != 1
            or node.parametered
            or node.step not in ("scale", "layout", "sum")
        ):
            return False
        node = node.parents[0]
    return False


def _is_weights(node: Node) -> bool:
    """True for the softmax of logits, also where heads are mixed after it."""
    for _ in range(10):
        if node.operation == "softmax":
            return True
        if len(node.parents) != 1 or node.step == "sum":
            return False
        node = node.parents[0]
    return False


def _feeding(every: dict[int, Node]) -> set[int]:
    """Those that further parameters work on before the output."""
    found: set[int] = set()
    for index in sorted(every, reverse=True):
        node = every[index]
        if node.parametered or index in found:
            found.update(parent.index for parent in (*node.parents, *node.given))
    return found
