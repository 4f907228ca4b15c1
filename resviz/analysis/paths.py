"""`path_study`: how much gradient arrives over paths of each length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.analysis.batches import how_measured
from resviz.analysis.pixels import at_images, check_differentiable, check_finite
from resviz.analysis.ways import Ways
from resviz.arguments import Progress, caller, public, whole, wholes
from resviz.errors import NotTraceable
from resviz.given import Images, Inputs
from resviz.hooks import Hooks, left_as_found
from resviz.networks.anatomy.additions import Addition
from resviz.networks.anatomy.survey import survey
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import output_of, tensor_or_none
from resviz.networks.surgery.altering import Change, change_operands
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

    def open(self, path: Mapping[str, bool] | None) -> None:
        """The branch or the shortcut of the additions on a path, nothing else; None: all."""
        for name in self.names:
            self.branch[name] = path is None or path.get(name) is True
            self.shortcut[name] = path is None or path.get(name) is False

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
    progress: Progress = None,
) -> pd.DataFrame:
    """The gradient that arrives over paths of each length, and how many such paths there are.

    Veit et al. 2016 (https://arxiv.org/abs/1605.06431, section 4 and Fig. 6): n residual additions
    in a row make 2^n paths from the output to the input; a path's length is how many branches it
    takes, so lengths are binomial. Where an addition is inside a branch, or a sum is of several
    branches, there are fewer: the paths are counted on the network's own graph. For each length,
    paths are drawn at random, all with the same chance: in the backward pass each addition on the
    path sends the gradient through the drawn side alone. The forward pass is the whole network's.
    A projection counts as a shortcut.

    Args:
        net: a network with residual additions.
        images: as :func:`resviz.record` takes them.
        targets: (N,) class indices; None for each image's predicted class.
        loss: as :func:`resviz.record` takes it.
        lengths: which; None for 0 to n, at most 40 of them.
        samples: paths drawn for each length.
        seed: of the draws.
        data: name of the data set, for the figure.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A row per length: ``length``, ``paths`` (how many there are), ``share_of_paths``,
        ``grad_norm`` (L2 norm at the input of the gradient of the summed losses over one such path,
        per image, mean over images; mean over the drawn paths), ``typical`` (their geometric mean),
        ``low`` and ``high`` over them, ``samples``, ``total`` (paths times grad_norm) and ``share``
        of the sum of all totals.
        Totals add norms; gradients of different paths may cancel, so they are no division of the
        network's own gradient. In ``attrs``: ``whole`` (norm of the gradient over all paths at
        once), ``per_branch`` (factor by which ``typical`` changes for one branch more, fitted),
        ``central`` (shortest range of lengths that holds 90 % of the totals; None where `lengths`
        leaves some out), ``mean_length`` (of all paths), ``additions`` (n).

    Raises:
        NonFinite: losses or gradients hold NaN or infinity.
        NotTraceable: an addition through which gradients cannot be gated; streams that meet
            otherwise than in an addition, as in an attention from one to another.
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
    with left_as_found(net):
        seen = survey(net, inputs)
    check_differentiable(inputs)
    _check_any(seen.additions)
    ways = Ways(seen, tensor_or_none(seen.output, output_of(preset_or_none(net, None)).part))
    chosen = _lengths(lengths, len(ways.counts) - 1)
    with left_as_found(net, grad=True) as hooks:
        gates = _Gates(hooks)
        found = [(a, p == "branch", c) for a in seen.additions for p, c in gates.changes(a).items()]
        change_operands(net, hooks, found)
        backward, name = _backward(net, inputs, targets, loss)
        whole_norm = backward()
        drawn = _sample(gates, ways, backward, chosen, samples, seed, progress)
    _check_whole(net, inputs, targets, loss, whole_norm)
    table = _table(chosen, drawn, ways.counts)
    table.attrs.update(how_measured(net, inputs, data, batch_stats=False, loss=name))
    table.attrs |= {"seeds": [seed], "whole": whole_norm, **_summary(table, ways.counts, lengths)}
    table.attrs["additions"] = len(seen.additions)
    return table


def _check_any(additions: Sequence[Addition]) -> None:
    if not additions:
        raise ValueError(
            f"{caller()}: a network without residual additions; one that has some would be right."
        )


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
    output = output_of(preset_or_none(net, None), inputs)
    _, per_image, name = choose(leaves.each(Tensor.clone).run(net), targets, loss, output)
    if per_image is None:
        raise ValueError(f"{caller()}: an output that is no (N, C) logits and no loss; loss=f.")
    check_finite(per_image)
    return partial(_norm, per_image.sum(), leaves), name


def _norm(total: Tensor, leaves: Inputs) -> float:
    """Mean over images of the L2 norm of the input's gradient."""
    gradient = at_images(total, leaves)
    if gradient is None:
        return 0.0
    return float(gradient.flatten(1).double().norm(dim=1).mean())


def _sample(
    gates: _Gates,
    ways: Ways,
    backward: partial[float],
    lengths: Sequence[int],
    samples: int,
    seed: int,
    progress: Progress,
) -> dict[int, list[float]]:
    generator = np.random.default_rng(seed)
    drawn: dict[int, list[float]] = {}
    with bar(len(lengths), "path study", progress) as shown:
        for length in lengths:
            drawn[length] = []
            for path in ways.several(generator, length, samples):
                gates.open(path)
                drawn[length].append(backward())
            shown.update(1)
    gates.open(None)
    return drawn


def _check_whole(
    net: nn.Module,
    inputs: Inputs,
    targets: Tensor | Sequence[int] | None,
    loss: str | Loss | None,
    whole: float,
) -> None:
    """With every gate open the gradient must be the network's own."""
    check_finite(torch.tensor(whole))
    with left_as_found(net, grad=True):
        own = _backward(net, inputs, targets, loss)[0]()
    if not abs(own - whole) <= _SAME * own:
        raise NotTraceable(
            f"{caller()}: with all paths open the gradient is {whole:.4g}, the network's own is "
            f"{own:.4g}; additions whose result is used (y = x + f or x += f) would be right."
        )


def _table(
    lengths: Sequence[int], drawn: dict[int, list[float]], counts: Sequence[int]
) -> pd.DataFrame:
    rows = []
    for length in lengths:
        norms = np.array(drawn[length])
        typical = float(np.exp(np.log(norms).mean())) if (norms > 0).all() else 0.0
        paths = float(counts[length])
        row = {"length": length, "paths": paths, "share_of_paths": counts[length] / sum(counts)}
        row |= {"grad_norm": norms.mean(), "typical": typical}
        row |= {"low": norms.min(), "high": norms.max(), "samples": len(norms)}
        rows.append(row | {"total": paths * norms.mean()})
    table = pd.DataFrame(rows)
    table["share"] = table["total"] / table["total"].sum()
    return table


def _summary(
    table: pd.DataFrame, counts: Sequence[int], asked: Sequence[int] | None
) -> dict[str, object]:
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
        "per_branch": math.exp(slope),
        "central": list(best) if asked is None else None,
        "mean_length": sum(n * count for n, count in enumerate(counts)) / sum(counts),
    }
