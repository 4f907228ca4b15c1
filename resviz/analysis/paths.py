"""`path_study`: how much gradient arrives over paths of each length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.analysis.batches import how_measured
from resviz.arguments import caller, public, whole, wholes
from resviz.errors import NotTraceable
from resviz.given import Images, Inputs
from resviz.hooks import Hooks, left_as_found
from resviz.networks.anatomy.dataflow import Addition
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import output_of
from resviz.networks.surgery.altering import Change, altered
from resviz.progress import bar
from resviz.provenance import preset_or_none
from resviz.recording.losses import Loss, choose

_SAME = 1e-4


class _Gates:
    """Lets the gradient pass at each addition through the branch, the shortcut, or both."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.names: list[str] = []
        self.branch: dict[str, bool] = {}
        self.shortcut: dict[str, bool] = {}

    def changes(self, addition: Addition) -> dict[str, Change]:
        if addition.name in self.branch:
            raise NotTraceable(
                f"{caller()}: the addition {addition.name!r} runs several times, and its calls "
                "cannot be told apart; a module of its own for each would be right."
            )
        self.names.append(addition.name)
        self.branch[addition.name] = self.shortcut[addition.name] = True
        return {
            "branch": partial(self._gate, self.branch, addition.name),
            "shortcut": partial(self._gate, self.shortcut, addition.name),
        }

    def open(self, through_branch: set[str] | None) -> None:
        """Of the named additions the branch alone, of all others the shortcut; None: all open."""
        for name in self.names:
            self.branch[name] = through_branch is None or name in through_branch
            self.shortcut[name] = through_branch is None or name not in through_branch

    def _gate(self, gates: dict[str, bool], name: str, operand: Tensor, in_place: bool) -> Tensor:
        # a tensor of its own: the operand may feed the branch as well
        own = operand.clone() if in_place else operand.view_as(operand)
        self._hooks.gradient(own, lambda g: g if gates[name] else torch.zeros_like(g))
        return own


@public
def path_study(
    net: nn.Module,
    images: Images,
    targets: Tensor | Sequence[int] | None = None,
    loss: str | Loss | None = None,
    *,
    lengths: Sequence[int] | None = None,
    samples: int = 8,
    seed: int = 0,
    data: str | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """The gradient that arrives over paths of each length, and how many such paths there are.

    Veit et al. 2016 (https://arxiv.org/abs/1605.06431, section 4 and Fig. 6): n residual additions
    make 2^n paths from the output to the input; a path's length is how many branches it takes, so
    lengths are binomial. For each length, paths are drawn at random: in the backward pass the drawn
    additions send the gradient through the branch alone, all others through the shortcut alone.
    The forward pass is the whole network's. A projection counts as a shortcut.

    Args:
        net: a network with residual additions.
        images: as :func:`resviz.record` takes them.
        targets: (N,) class indices; None for each image's predicted class.
        loss: as :func:`resviz.record` takes it.
        lengths: which; None for 0 to n, at most 40 of them.
        samples: paths drawn for each length.
        seed: of the draws.
        data: name of the data set, for the figure.
        progress: None shows a bar over what takes more than a second.

    Returns:
        A row per length: ``length``, ``paths`` (how many there are, binomial), ``share_of_paths``,
        ``grad_norm`` (L2 norm at the input of the gradient of the summed losses over one such path,
        per image, mean over images; mean over the drawn paths), ``typical`` (their geometric mean),
        ``low`` and ``high`` over them, ``samples``, ``total`` (paths times grad_norm) and ``share``
        of the sum of all totals.
        Totals add norms; gradients of different paths may cancel, so they are no division of the
        network's own gradient. In ``attrs``: ``whole`` (norm of the gradient over all paths at
        once), ``per_branch`` (factor by which ``typical`` changes for one branch more, fitted),
        ``central`` (shortest range of lengths that holds 90 % of the totals; None where `lengths`
        leaves some out), ``mean_length``, ``additions`` (n).

    Raises:
        NotTraceable: an addition through which gradients cannot be gated.
        ValueError: no residual additions; lengths out of range; and as :func:`resviz.record`.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = path_study(cifar_resnet(8, seed=0), torch.randn(2, 3, 32, 32), samples=2)
        >>> table["paths"].tolist()
        [1.0, 3.0, 3.0, 1.0]
    """
    check_hookable(net)
    inputs = check_images(net, images)
    samples, seed = whole("samples", samples, least=1), arguments.seed(seed)
    with left_as_found(net, grad=True) as hooks:
        gates = _Gates(hooks)
        with altered(net, gates.changes, images=inputs.one()):
            _check_floating(inputs.picture)
            count = _count(gates.names)
            chosen = _lengths(lengths, count)
            backward, name = _backward(net, inputs, targets, loss)
            whole_norm = backward()
            drawn = _sample(gates, backward, chosen, samples, seed, progress)
    _check_whole(net, inputs, targets, loss, whole_norm)
    table = _table(chosen, drawn, count)
    table.attrs.update(how_measured(net, inputs, data, batch_stats=False, loss=name))
    table.attrs |= {"seeds": [seed], "whole": whole_norm, **_summary(table, count, lengths)}
    return table


def _check_floating(images: Tensor) -> None:
    if images.ndim < 2 or not images.is_floating_point():
        raise TypeError(
            f"{caller()}: images of {images.dtype}; floating point, to be differentiated."
        )


def _count(names: Sequence[str]) -> int:
    if not names:
        raise ValueError(
            f"{caller()}: a network without residual additions; one that has some would be right."
        )
    return len(names)


def _lengths(lengths: Any, count: int) -> list[int]:
    if lengths is None:
        step = -(-(count + 1) // 40)
        return list(range(0, count + 1, step))
    return sorted(set(wholes("lengths", lengths, least=0, most=count)))


def _backward(
    net: nn.Module,
    inputs: Inputs,
    targets: Tensor | Sequence[int] | None,
    loss: str | Loss | None,
) -> tuple[partial[float], str]:
    """(the backward pass as a function that may be called again, name of the loss)."""
    leaves = inputs.leaves()
    leaf = leaves[leaves.main]
    output = output_of(preset_or_none(net, None))
    _, per_image, name = choose(leaves.each(Tensor.clone).run(net), targets, loss, output)
    if per_image is None:
        raise ValueError(f"{caller()}: an output that is no (N, C) logits and no loss; loss=f.")
    return partial(_norm, per_image.sum(), leaf), name


def _norm(total: Tensor, leaf: Tensor) -> float:
    """Mean over images of the L2 norm of the input's gradient."""
    gradient: Tensor | None = torch.autograd.grad(
        total, leaf, retain_graph=True, allow_unused=True
    )[0]
    if gradient is None:
        return 0.0
    return float(gradient.flatten(1).double().norm(dim=1).mean())


def _sample(
    gates: _Gates,
    backward: partial[float],
    lengths: Sequence[int],
    samples: int,
    seed: int,
    progress: bool | None,
) -> dict[int, list[float]]:
    generator = np.random.default_rng(seed)
    drawn: dict[int, list[float]] = {}
    count = len(gates.names)
    with bar(len(lengths), "path study", progress) as shown:
        for length in lengths:
            several = min(samples, math.comb(count, length))
            picks = _picks(generator, count, length, several)
            drawn[length] = []
            for pick in picks:
                gates.open({gates.names[i] for i in pick})
                drawn[length].append(backward())
            shown.update(1)
    gates.open(None)
    return drawn


def _picks(
    generator: np.random.Generator, count: int, length: int, several: int
) -> list[tuple[int, ...]]:
    """Different sets of `length` additions."""
    found: dict[tuple[int, ...], None] = {}
    while len(found) < several:
        pick = generator.choice(count, length, replace=False)
        found[tuple(sorted(int(i) for i in pick))] = None
    return list(found)


def _check_whole(
    net: nn.Module,
    inputs: Inputs,
    targets: Tensor | Sequence[int] | None,
    loss: str | Loss | None,
    whole: float,
) -> None:
    """With every gate open the gradient must be the network's own."""
    with left_as_found(net, grad=True):
        own = _backward(net, inputs, targets, loss)[0]()
    if not abs(own - whole) <= _SAME * own:
        raise NotTraceable(
            f"{caller()}: with all paths open the gradient is {whole:.4g}, the network's own is "
            f"{own:.4g}; additions whose result is used (y = x + f or x += f) would be right."
        )


def _table(lengths: Sequence[int], drawn: dict[int, list[float]], count: int) -> pd.DataFrame:
    rows = []
    for length in lengths:
        norms = np.array(drawn[length])
        typical = float(np.exp(np.log(norms).mean())) if (norms > 0).all() else 0.0
        paths = float(math.comb(count, length))
        row = {"length": length, "paths": paths, "share_of_paths": paths / 2.0**count}
        row |= {"grad_norm": norms.mean(), "typical": typical}
        row |= {"low": norms.min(), "high": norms.max(), "samples": len(norms)}
        rows.append(row | {"total": paths * norms.mean()})
    table = pd.DataFrame(rows)
    table["share"] = table["total"] / table["total"].sum()
    return table


def _summary(table: pd.DataFrame, count: int, asked: Sequence[int] | None) -> dict[str, object]:
    """The fitted factor per branch, and the shortest range of lengths with 90 % of the totals."""
    seen = table[table["typical"] > 0]
    weight = np.sqrt(seen["samples"].to_numpy(dtype=float))
    slope = math.nan
    if len(seen) > 1:
        slope = float(np.polyfit(seen["length"], np.log(seen["typical"]), 1, w=weight)[0])
    shares, lengths = table["share"].to_numpy(), table["length"].to_numpy()
    best = (int(lengths[0]), int(lengths[-1]))
    for low in range(len(shares)):
        for high in range(low, len(shares)):
            whole = shares[low : high + 1].sum() >= 0.9
            if whole and lengths[high] - lengths[low] < best[1] - best[0]:
                best = (int(lengths[low]), int(lengths[high]))
    return {
        "additions": count,
        "per_branch": math.exp(slope),
        "central": list(best) if asked is None else None,
        "mean_length": count / 2,
    }
