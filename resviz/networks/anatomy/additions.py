"""What a residual addition is, and what other sums are.

A sum of two tensors that come from one earlier tensor, the *root*, is a **residual addition**
(He et al. 2015, arXiv 1512.03385, Eq. 1 and 2) where

1. one operand, the *shortcut*, carries **all of the root**: the root itself ("identity"; also in
   another layout, or with other branches added to it already), the root scaled by numbers, learned
   numbers, a norm, a gate or an activation function ("scaled"), the root pooled, subsampled,
   cropped or padded ("padded"), or a linear map of all of it ("projection": one convolution or
   linear layer, or a depthwise convolution and the pointwise one that completes it). Pooling
   projects to fewer positions, before or after such a map as well, as in ResNet-D (He et al. 2018,
   arXiv 1812.01187), and beside a class token that is cut off for it and joined again, as in
   MViTv2 (Li et al. 2021, arXiv 2112.01526);
2. the other, the *branch*, does more on its way from the root: it has parameters, mixes positions
   or channels, or has an activation function; where it is broadcast over the shortcut
   (x + f(mean(x))), it has parameters;
3. the sum **goes on as the stream**: it is no term of attention logits, and no sum of a stream and
   a position after which the stream goes on without the position.

The root may be an activation, an input, or what a stream starts at: learned queries, class tokens.

Sums of another sort have a kind of their own and are not residual:

- "fusion": neither operand is a shortcut (two branches, two streams, two heads; WaveNet's skips,
  projections of what is inside two blocks), or one of them returns from another resolution:
  feature pyramids, HRNet, hourglasses. Beside the root itself that is a branch that was larger
  than both, or a level of a pyramid, upsampled: one that goes on by itself, too, or was made of
  other levels beside the root. The border: a long skip x + up(f(down(x))), around what nothing
  else reads, is "identity", as in a U-Net, and so is the edge from a pyramid's input to its own
  last node, x + f(x + up(y));
- "inner": an operand is a slice of the root (Res2Net's splits), the sum is a term of attention
  logits, a position is added, or the root is taken away from what was computed of it;
- "adapter": a weight beside its low-rank correction (LoRA, Hu et al. 2021, arXiv 2106.09685).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from resviz.arguments import choices
from resviz.networks.anatomy.operations import cost_of

RESIDUAL_KINDS = ("identity", "scaled", "padded", "projection")
OTHER_KINDS = ("fusion", "inner", "adapter")


def included(include: object) -> list[str]:
    """The kinds of sums that `include` asks for beside the residual ones; "all" is all of them.

    Raises:
        TypeError: no string and no list of strings.
        ValueError: no such kind.

    Example:
        >>> included("all"), included(["inner"]), included(())
        (['fusion', 'inner', 'adapter'], ['inner'], [])
    """
    if isinstance(include, tuple | list | set | frozenset) and not include:
        return []
    kinds = choices("include", include, ("all", *OTHER_KINDS), "include")
    return list(OTHER_KINDS) if "all" in kinds else kinds


@dataclass(eq=False, slots=True)
class Node:
    """One tensor at one moment: what made it, from what, at which depth.

    ``parameters`` are those that made it, or tensors derived from parameters alone. ``step`` says
    what was done (:func:`~resviz.networks.anatomy.operations.step_of`). ``constant`` is a tensor
    that no input took part in; ``given`` are the constants among the operands that were data.
    """

    index: int
    operation: str
    owner: str
    parents: tuple[Node, ...]
    parameters: tuple[Tensor, ...]
    weight: int
    depth: int
    shape: tuple[int, ...]
    edge: tuple[Any, int] | None
    step: str = "scale"
    floating: bool = True
    constant: bool = False
    given: tuple[Node, ...] = ()
    values: tuple[Node, ...] = ()  # of an attention: what is weighed
    part: Node | None = None  # of a slice of torch.cat(...): that of its operands which it is
    whole: Node | None = None  # of torch.cat(...) of all pieces of one tensor: that tensor
    last_use: int = 0  # index of the last result that it is an operand of
    fused: bool = False  # a sum that is not residual
    root: Node | None = None  # of a residual addition whose sum it is

    @property
    def parametered(self) -> bool:
        """True where parameters took part in making it."""
        return bool(self.parameters)

    @property
    def numel(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def cost(self) -> int:
        """How much was done to make it: see :func:`~...operations.cost_of`."""
        return cost_of(self.step, self.parametered, self.weight)


@dataclass(eq=False, slots=True)
class Addition:
    """A sum of two tensors with a common root, as it happened.

    Attributes:
        name: torchvision's ("layer1.0.add").
        owner: the module it happened in, or the one around it where that only adds.
        call: of the module it happened in.
        kind: "identity", "scaled", "padded", "projection"; "fusion", "inner", "adapter".
        residual: by the definition above; settled when the pass is over.
        depth: of its sum.
        branch_operand: number of the operand that is F(x).
        branch: that operand.
        shortcut: the other.
        root: the tensor that both come from.
        factor: what the shortcut is multiplied with as it is added; None for what is no one number.
        total: the sum, once it is made.
        block: `owner`, and which of its calls.
        among: how many sums of its family that call of the module made, once the pass is over.
    """

    name: str
    owner: str
    call: int
    kind: str
    residual: bool
    depth: int
    branch_operand: int
    branch: Node
    shortcut: Node
    root: Node
    factor: float | None = 1.0
    total: Node | None = None
    block: tuple[str, int] = ("", 0)
    among: int = 0


def blocks_of(additions: Iterable[Addition]) -> list[tuple[str, int]]:
    """The module calls, by path and number, in which additions happen, in order.

    Those in the network's own forward happen in none.
    """
    return [block for block in dict.fromkeys(a.block for a in additions) if block[0]]
