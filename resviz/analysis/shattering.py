"""How alike the gradients at different inputs are: shattered gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.analysis.batches import batches_of, how_measured, targets_of
from resviz.analysis.pixels import check_differentiable, check_finite
from resviz.arguments import Progress, caller, choice, choices, public, whole, wholes
from resviz.given import Images, Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy.survey import survey
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import describe, output_of
from resviz.networks.zoo.shattering import GATES, KINDS, ShatteringNetwork, shattering_network
from resviz.progress import bar
from resviz.provenance import preset_or_none
from resviz.recording.checks import check_batch_stats
from resviz.recording.losses import Loss, choose
from resviz.recording.statistics import widest

_RANDOM = {
    "network": "random networks",
    "dtype": "float32",
    "batch_norm": "means and variances over 512 inputs, constant under differentiation",
}
DEPTHS = (1, 2, 4, 8, 16, 32)


@public
def gradient_correlation(
    net: nn.Module,
    images: Images,
    targets: Tensor | Sequence[int] | None = None,
    loss: str | Loss | None = None,
    batch_stats: bool = False,
    *,
    seed: int = 0,
    batch_size: int = 32,
    data: str | None = None,
    progress: Progress = None,
) -> pd.DataFrame:
    """How alike the input gradients of one network are, for random pairs of images.

    Balduzzi et al. 2017, "The Shattered Gradients Problem", https://arxiv.org/abs/1702.08591. For a
    pair of images a, b with gradients g = dL/dx of their own losses, the correlation is
    <g_a, g_b> / (|g_a| |g_b|): the cosine, without the mean subtracted, as gradients of a random
    network have mean zero. No image is in two pairs, so the pairs are independent.
    :func:`shattering_study` measures the paper's random networks.

    Args:
        net: any network.
        images: as :func:`resviz.record` takes them, at least two; they need not be of one batch.
        targets: (N,) class indices; None for each image's predicted class.
        loss: "logit" (default without targets), "cross_entropy" (default with targets), or a
            function (logits, targets) -> (N,).
        batch_stats: BatchNorm on the statistics of each batch. A loss then depends on the other
            images of its batch, and the gradient at an image is of all losses of the batch.
        seed: draws the pairs.
        batch_size: images in one pass, rounded to whole pairs; bounds the memory.
        data: name of the data set, for figures.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A row per pair: ``network``, ``depth`` (weighted layers of the network; NaN where it is a
        single module), ``seed``, ``pair``, ``first`` and ``second`` (positions in `images`),
        ``correlation`` (NaN where a gradient is zero). ``attrs`` say how it was measured.

    Raises:
        NonFinite: logits or gradients hold NaN or infinity.
        NotTraceable: a scripted or compiled network.
        TypeError: arguments of a wrong type; inputs that have no gradient.
        ValueError: fewer than two images, targets that do not fit them, or a list of images of
            different sizes.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = gradient_correlation(cifar_resnet(8, seed=0), torch.randn(4, 3, 32, 32))
        >>> len(table), int(table["depth"].iloc[0])
        (2, 8)
    """
    check_hookable(net)
    inputs = check_images(net, images)
    if inputs.listed:
        check_differentiable(inputs)
    seed = arguments.seed(seed)
    batches_of(inputs, batch_size)  # as many images in each input, and a size that can be right
    order = _pairs(inputs.count, seed)
    everyone = next(targets_of(targets, inputs.count, [slice(None)]))
    about = how_measured(net, inputs, data, batch_stats=batch_stats)
    depth, values = survey(net, inputs).table["depth"].max(), list[float]()
    with bar(len(order) // 2, "gradients at pairs of inputs", progress) as shown:
        for here, wanted in _batches(inputs, everyone, order, batch_size):
            check_batch_stats(net, here, batch_stats)
            found, about["loss"] = _correlations(net, here, wanted, loss, batch_stats)
            values += found
            shown.update(len(found))
    table = _pair_table(order, values, {"network": about["network"], "depth": depth, "seed": seed})
    table.attrs.update(about, seeds=[seed], batch_size=batch_size)
    return table


@public
def shattering_study(
    depths: Iterable[int] = DEPTHS,
    kinds: str | Iterable[str] = KINDS,
    *,
    gates: str = "random",
    width: int = 256,
    inputs: int = 64,
    seeds: Iterable[int] = range(8),
    progress: Progress = None,
) -> pd.DataFrame:
    """How the correlation of gradients falls with depth in random networks, as in the paper.

    Balduzzi et al. 2017, https://arxiv.org/abs/1702.08591. For each kind, depth and seed one
    :func:`resviz.networks.shattering.shattering_network` is drawn and its output differentiated
    with respect to `inputs` standard normal inputs; the correlation is the mean cosine of their
    gradients over inputs / 2 pairs that have no input in common. BatchNorm's means and variances
    are constants in this, as in the paper's derivation.

    The laws hold under the gating assumption, which ``gates="random"`` takes at its word: a gate is
    open for half of the inputs, independently. Layer l then multiplies the gradient's variance and
    the covariance of two gradients by

    - plain: 1 and 1/2, so the correlation is 2^-L;
    - residual: 2 and 3/2, so (3/4)^L;
    - residual with BatchNorm, where the variance grows by one per block: 1 + 1/l and 1 + 1/(2l), so
      prod (2l + 1) / (2l + 2), which goes to 2 / sqrt(pi L) = 1.13 / sqrt(L).

    Rectifiers (``gates="relu"``) see inputs that become more alike with depth: without BatchNorm
    the correlation falls more slowly than the law, and with BatchNorm faster.

    Args:
        depths: numbers of layers.
        kinds: of "plain", "residual", "residual_bn"; one or several.
        gates: "random" or "relu"; stored and printed with the result.
        width: of all layers.
        inputs: how many, at least 2.
        seeds: a network and its inputs for each.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A row per kind, depth and seed: ``kind``, ``gates``, ``depth``, ``seed``, ``pairs``,
        ``correlation`` (mean over the pairs), ``correlation_std`` (over the pairs), ``theory`` (the
        law under random gates, whatever the gates are). ``attrs`` say how it was measured.

    Raises:
        TypeError: numbers that are no whole numbers.
        ValueError: unknown kinds or gates, no depths or seeds, fewer than 2 inputs.

    Example:
        >>> table = shattering_study([2], ["plain"], seeds=[0])
        >>> float(table["theory"].iloc[0]), bool(abs(table["correlation"].iloc[0] - 0.25) < 0.08)
        (0.25, True)
    """
    kinds = choices("kind", kinds, KINDS)
    depths, seeds = wholes("depths", depths, least=1), wholes("seeds", seeds, least=0)
    gates, width = choice("gates", gates, GATES), whole("width", width, least=1)
    inputs = whole("inputs", inputs, least=2)
    rows = []
    with bar(len(kinds) * len(depths) * len(seeds), "random networks", progress) as shown:
        for kind, depth, seed in itertools.product(kinds, depths, seeds):
            net = shattering_network(depth, kind, width=width, gates=gates, seed=seed)
            rows.append(_row(net, inputs, seed))
            shown.update(1)
    table = pd.DataFrame(rows)
    table.attrs.update(_RANDOM, width=width, inputs=inputs, gates=gates, seeds=seeds)
    return table


def law(kind: str, depth: int) -> float:
    """The correlation under random gates; see :func:`shattering_study`.

    Example:
        >>> [law(kind, 2) for kind in ("plain", "residual", "residual_bn")]
        [0.25, 0.5625, 0.625]
    """
    if kind == "residual_bn":
        return math.prod((2 * block + 1) / (2 * block + 2) for block in range(1, depth + 1))
    return (0.5 if kind == "plain" else 0.75) ** depth


def _pairs(count: int, seed: int) -> Tensor:
    """An order of the images in which 0 and 1, 2 and 3, ... are pairs; an odd one is left out."""
    if count < 2:
        raise ValueError(f"{caller()}: one image; two or more are right, as pairs are compared.")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[: count // 2 * 2]


def _batches(
    inputs: Inputs, targets: Tensor | None, order: Tensor, batch_size: int
) -> Iterator[tuple[Inputs, Tensor | None]]:
    """Whole pairs of images, with their targets."""
    for batch in batches_of(Inputs.of(order[::2]), max(1, batch_size // 2)):
        chosen = order[2 * batch.start : 2 * batch.stop].to(inputs.device)
        wanted = None if targets is None else targets[chosen.to(targets.device)]
        yield inputs.part(chosen), wanted


def _pair_table(order: Tensor, values: list[float], same: Mapping[str, object]) -> pd.DataFrame:
    table = pd.DataFrame(dict(same), range(len(values)))
    table["pair"] = range(len(values))
    table["first"], table["second"] = order[::2].tolist(), order[1::2].tolist()
    table["correlation"] = values
    return table


def _row(net: ShatteringNetwork, inputs: int, seed: int) -> dict[str, object]:
    """One random network at its own inputs, which come from the seed too."""
    width = net.head.in_features
    own = (2**40 + seed) % 2**64  # not the stream of the weights
    generator = torch.Generator().manual_seed(own)
    x = torch.randn(inputs // 2 * 2, width, generator=generator)
    found = torch.tensor(_correlations(net, Inputs.of(x), None, "logit", False)[0])
    spread = found.std(correction=1) if len(found) > 1 else torch.tensor(math.nan)
    return {
        "kind": net.kind,
        "gates": net.gates,
        "depth": net.depth,
        "seed": seed,
        "pairs": len(found),
        "correlation": float(found.nanmean()),
        "correlation_std": float(spread),
        "theory": law(net.kind, net.depth),
    }


def _correlations(
    net: nn.Module,
    inputs: Inputs,
    targets: Tensor | None,
    loss: str | Loss | None,
    batch_stats: bool,
) -> tuple[list[float], str]:
    """(cosines of the gradients at inputs 0 and 1, 2 and 3, ..., name of the loss)."""
    with left_as_found(net, grad=True, batch_stats=batch_stats):
        leaves = inputs.leaves()
        floating = [
            leaf
            for number, leaf in enumerate(leaves)
            if leaf.requires_grad and (inputs.listed or inputs.is_of_images(number))
        ]
        if not floating or any(leaf.is_complex() for leaf in floating):
            raise TypeError(
                f"{caller()}: images of {inputs[0].dtype}, at which nothing can be differentiated; "
                "floating point numbers are right."
            )
        returned = leaves.each(Tensor.clone).run(net)
        output = output_of(preset_or_none(net, None), inputs)
        _, per_image, loss_name = choose(returned, targets, loss, output)
        if per_image is None:
            raise ValueError(
                f"{caller()}: an output of shape {describe(returned)} and no loss; (N, C) logits, "
                "or loss=a function (output, targets) -> (N,), is right."
            )
        found = torch.autograd.grad(per_image.sum(), floating, allow_unused=True)
        grads = tuple(  # a mask that is only compared has none
            torch.zeros_like(leaf) if gradient is None else gradient
            for gradient, leaf in zip(found, floating, strict=True)
        )
    if inputs.listed:
        grads = (torch.stack(grads),)
    rows = torch.cat([g.detach().to(widest(g)).flatten(1) for g in grads], dim=1)
    check_finite(rows, per_image)
    rows = rows / rows.norm(dim=1, keepdim=True)  # a zero gradient has no direction: NaN
    return (rows[::2] * rows[1::2]).sum(1).tolist(), loss_name
