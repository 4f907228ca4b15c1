"""What a pass leaves behind, as plain rows whose numbers may still be on the device.

The pass writes them, tables and checks read them; they hold no tensor but scalars, and nothing of
the autograd graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from resviz.recording.statistics import Measured, Number


@dataclass(eq=False, slots=True)
class LayerRow:
    """A call of a leaf module, or of what may be a block.

    Attributes:
        layer: path of the module.
        call: how often it had run before.
        type: class name of the module.
        kind: "leaf" or "block".
        depth: of its output.
        shape: of its output.
        axes: which of them is which, in letters; "" where nothing says so.
        measured: statistics of its output.
        grad_ms: mean square of the gradient there.
    """

    layer: str
    call: int
    type: str
    kind: str
    depth: int
    shape: tuple[int, ...]
    axes: str
    measured: Measured
    grad_ms: Number = math.nan


@dataclass(eq=False, slots=True)
class AdditionRow:
    """A residual addition.

    Attributes:
        addition: its name.
        block: path of the module that adds.
        call: of the module it happened in.
        kind: of its shortcut, or of the sum where it is not residual.
        residual: it is a residual addition.
        depth: of its sum.
        shape: of its operands.
        branch: statistics of the branch.
        shortcut: statistics of the shortcut.
        product: mean of branch times shortcut.
        sum_ms: mean square of the sum.
        grad_sum_ms: mean square of the gradient at the sum.
        split: the gradient's parts at the block's input; empty where they are not known.
        reason: why they are not, asked when the pass is over.
    """

    addition: str
    block: str
    call: int
    kind: str
    residual: bool
    depth: int
    shape: tuple[int, ...]
    branch: Measured
    shortcut: Measured
    product: Number
    sum_ms: Number = math.nan
    grad_sum_ms: Number = math.nan
    split: dict[str, Number] = field(default_factory=dict)
    reason: Callable[[], str] | None = None


# of each layer the mean square; of each addition that at the sum, and the split
Gradients = tuple[list[Number], list[tuple[Number, dict[str, Number]]]]


@dataclass(eq=False)
class Seen:
    """All of a pass.

    Attributes:
        layers: in order of execution.
        additions: in order of execution.
        parameter_depths: depth of each parameter that took part, by its id.
        weights: ids of the parameters that weigh a layer.
        projections: paths of the layers on a projection shortcut.
        gates: paths of the layers that only say how much of a tensor goes on.
    """

    layers: list[LayerRow] = field(default_factory=list)
    additions: list[AdditionRow] = field(default_factory=list)
    parameter_depths: dict[int, int] = field(default_factory=dict)
    weights: set[int] = field(default_factory=set)
    projections: set[str] = field(default_factory=set)
    gates: set[str] = field(default_factory=set)

    def take_gradients(self) -> Gradients:
        """What a backward pass has left in the rows, which have none then."""
        taken = (
            [row.grad_ms for row in self.layers],
            [(row.grad_sum_ms, row.split.copy()) for row in self.additions],
        )
        for layer in self.layers:
            layer.grad_ms = math.nan
        for addition in self.additions:
            addition.grad_sum_ms = math.nan
            addition.split.clear()
        return taken

    def give_gradients(self, taken: Gradients) -> None:
        """Put back what was taken."""
        layers, additions = taken
        for layer, grad_ms in zip(self.layers, layers, strict=True):
            layer.grad_ms = grad_ms
        for addition, (grad_sum_ms, split) in zip(self.additions, additions, strict=True):
            addition.grad_sum_ms = grad_sum_ms
            addition.split.update(split)
