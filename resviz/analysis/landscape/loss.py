"""`loss_landscape`: the loss along random directions through a network's weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resviz import arguments
from resviz.analysis.landscape.directions import (
    DIRECTIONS,
    Direction,
    cosine,
    displaced,
    random_direction,
)
from resviz.analysis.landscape.resumed import Kept, Point, fingerprint
from resviz.analysis.landscape.surface import LossLandscape
from resviz.arguments import Progress, caller, choice, number, public, switch, whole
from resviz.errors import NonFinite, warn
from resviz.given import Images, Inputs
from resviz.hooks import batch_norms, left_as_found
from resviz.networks.first_call import checked
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import WORDS, Output, missed, output_of, widened
from resviz.preset import Preset
from resviz.progress import bar
from resviz.provenance import preset_or_none, provenance

_FEW = 8  # images whose batch statistics are noise


@public
def loss_landscape(
    net: nn.Module,
    images: Images,
    targets: Tensor | Sequence[int],
    *,
    points: int = 11,
    extent: float = 1.0,
    dimensions: int = 2,
    directions: str = "filter",
    batch_stats: bool = False,
    seed: int = 0,
    batch: int = 128,
    path: str | os.PathLike[str] | None = None,
    preset: Preset | None = None,
    data: str | None = None,
    progress: Progress = None,
) -> LossLandscape:
    """The loss and the error of a network on a plane, or a line, through its weights.

    f(alpha, beta) = L(w + alpha d + beta e), with random Gaussian directions d and e, each of whose
    filters is scaled to the norm of the weights' filter (Li et al. 2018, "Visualizing the Loss
    Landscape of Neural Nets", https://arxiv.org/abs/1712.09913, section 4). Without that, networks
    with large weights look flat, as a step of 1 is small to them. A filter is what makes one output
    channel: a slice along the weight's first axis. Biases and norm layers stay as they are.

    The network's own weights are never written; it is left as found, also after an interrupt.

    Args:
        net: gives logits (N, C).
        images: as the network takes them; the whole landscape is of these.
        targets: (N,) class indices: the labels.
        points: along each direction; odd, so that the network itself is the middle one.
        extent: alpha and beta run from -extent to extent.
        dimensions: 2 for a plane, 1 for a line. A line is the plane's, of the same seed, at beta 0.
        directions: "filter" as above; "layer": scaled layer by layer; "none": as drawn.
        batch_stats: BatchNorm on the statistics of each batch instead of the running ones. The
            paper's landscapes are of the running ones.
        seed: of the directions.
        batch: how many images run at once.
        path: a file that keeps every finished point. The same call again goes on where it stopped,
            and gives the same bits. It is the file of :meth:`LossLandscape.save`.
        preset: for the names of network and weights, instead of the network's own.
        data: name of the data set, for the figure.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A :class:`LossLandscape`: its ``table`` has a row per point, alpha, beta, loss (mean
        cross-entropy over the images), error (percent). The middle point is the network's own loss.

    Raises:
        TypeError: arguments of a wrong type, or a network that gives no logits.
        ValueError: values out of range, inputs for several numbers of images, no weights to move,
            or a `path` with a landscape of other arguments; the message says which.
        NonFinite: the network's own loss is NaN or infinite. Farther points may be.
        NotTraceable: a scripted or compiled network.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        >>> landscape = loss_landscape(net, torch.ones(4, 3, 2, 2), [0, 1, 2, 0], points=3)
        >>> landscape.table.columns.tolist(), len(landscape.table)
        (['alpha', 'beta', 'loss', 'error'], 9)
    """
    plan = _Plan.checked(points, extent, dimensions, directions, batch_stats, seed, batch)
    check_hookable(net)
    inputs = check_images(net, images)
    if len(inputs.lengths) > 1:  # parts of them, of `batch` images, would be of other lengths
        raise inputs.uneven()
    _check_output(output_of(preset_or_none(net, None)))
    labels = _check_targets(targets, inputs)
    _check_batch_stats(net, len(labels), plan)
    generator = torch.Generator().manual_seed(plan.seed)
    with torch.inference_mode(False), torch.no_grad():
        ways = [random_direction(net, plan.directions, generator) for _ in range(plan.dimensions)]
        kept = Kept(path, _about(net, inputs, labels, plan, ways, preset) | {"data": data})
    _fill(kept, net, inputs, labels, plan, ways, progress)
    return kept.landscape()


def _fill(
    kept: Kept,
    net: nn.Module,
    inputs: Inputs,
    labels: Tensor,
    plan: _Plan,
    ways: list[Direction],
    progress: Progress,
) -> None:
    """Measure every point that an earlier call did not."""
    grid = plan.grid()
    wanted = [point for point in grid if point not in kept.points]
    done = len(grid) - len(wanted)
    with displaced(net, ways) as move, bar(len(grid), _WHAT, progress, done=done) as shown:
        for point in wanted:
            move(point[: plan.dimensions])
            kept.add(point, _measure(net, inputs, labels, plan, first=point == (0.0, 0.0)))
            shown.update(1)


def _about(
    net: nn.Module,
    inputs: Inputs,
    labels: Tensor,
    plan: _Plan,
    ways: list[Direction],
    preset: Preset | None,
) -> dict[str, Any]:
    """How it is measured, with the marks by which a later call knows the same landscape."""
    about = provenance(
        net,
        inputs,
        preset_or_none(net, preset),
        loss="cross_entropy",
        **vars(plan),
        seeds=[plan.seed],
        cosine=cosine(*ways) if plan.dimensions == 2 else None,
        fingerprint=fingerprint(net, inputs, labels),
    )
    del about["classes"]
    return about


_WHAT = "loss landscape"


@dataclass(frozen=True)
class _Plan:
    """What was asked for; see :func:`loss_landscape`."""

    points: int
    extent: float
    dimensions: int
    directions: str
    batch_stats: bool
    seed: int
    batch: int

    @classmethod
    def checked(
        cls,
        points: object,
        extent: object,
        dimensions: object,
        directions: object,
        batch_stats: object,
        seed: object,
        batch: object,
    ) -> _Plan:
        """TypeError or ValueError where something cannot be right."""
        plan = cls(
            whole("points", points, least=3),
            number("extent", extent, above=0),
            whole("dimensions", dimensions, 1, 2),
            choice("directions", directions, DIRECTIONS),
            switch("batch_stats", batch_stats),
            arguments.seed(seed),
            whole("batch", batch, least=1),
        )
        if plan.points % 2 == 0:
            raise ValueError(
                f"{caller()}: points {plan.points}; an odd number, so that the network itself "
                f"is one of them. Try {plan.points + 1}."
            )
        return plan

    def grid(self) -> list[Point]:
        """Every (alpha, beta), the middle one first: what is wrong shows at the first pass."""
        half = self.points // 2
        steps = [self.extent * n / half for n in range(-half, half + 1)]
        whole = [(a, b) for a in steps for b in (steps if self.dimensions == 2 else [0.0])]
        return sorted(whole, key=lambda point: point != (0.0, 0.0))


def _check_targets(targets: Any, inputs: Inputs) -> Tensor:
    try:
        labels = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError) as err:
        raise TypeError(
            f"{caller()}: targets are a {type(targets).__name__}; class indices, one per "
            "image, are right."
        ) from err
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{caller()}: targets are {labels.dtype}; class indices are integers.")
    count = inputs.count
    if labels.shape != (count,):
        raise ValueError(
            f"{caller()}: targets of shape {tuple(labels.shape)} for {count} images; one class "
            "index per image would be right."
        )
    return labels.to(inputs.device, torch.int64)


def _check_batch_stats(net: nn.Module, images: int, plan: _Plan) -> None:
    if not plan.batch_stats:
        return
    last = images % plan.batch or min(images, plan.batch)
    if not batch_norms(net):
        message = "batch_stats=True in a network without BatchNorm changes nothing."
    elif last < _FEW:
        message = f"batch statistics of {last} images; {_FEW} or more would be right."
    else:
        return
    warn(f"{caller()}: {message}")


def _measure(
    net: nn.Module, inputs: Inputs, labels: Tensor, plan: _Plan, *, first: bool
) -> tuple[float, float]:
    """(mean loss, error in percent) where the weights now are."""
    losses, wrong, output = [], [], output_of(preset_or_none(net, None))
    # a frame for each point: one that writes to its buffers starts every point from its own
    with left_as_found(net, batch_stats=plan.batch_stats):
        for start in range(0, len(labels), plan.batch):
            parts = inputs.part(slice(start, start + plan.batch)).copies()
            truth = labels[start : start + plan.batch]
            with checked(net, parts, said=first and not start):
                returned = parts.run(net)
            logits = widened(output.logits(returned))
            if first:
                _check_logits(logits, truth, output)
            losses.append(F.cross_entropy(logits, truth, reduction="none"))
            wrong.append(missed(logits, truth))
        loss, error = (torch.cat(each).cpu().double().mean().item() for each in (losses, wrong))
    if first and not torch.isfinite(torch.tensor(loss)):
        raise NonFinite(
            f"{caller()}: the network's own loss is {loss}; a finite one would be right. "
            "See rv.record(net, images), which names the layer."
        )
    return loss, 100 * error


def _check_output(output: Output) -> None:
    if output.said and output.kind != "classes":
        raise ValueError(
            f"{caller()}: {WORDS[output.kind]}, as the preset says of the output; classes, whose "
            "cross-entropy is drawn, would be right."
        )


def _check_logits(logits: Tensor, truth: Tensor, output: Output) -> None:
    output.seen(logits)
    if logits.ndim != 2 or len(logits) != len(truth):
        raise ValueError(
            f"{caller()}: outputs of shape {tuple(logits.shape)} for {len(truth)} images; "
            "logits (N, C) would be right."
        )
    outside = truth[(truth < 0) | (truth >= logits.shape[1])]
    if len(outside):
        raise ValueError(
            f"{caller()}: target {int(outside[0])} with {logits.shape[1]} classes; 0 to "
            f"{logits.shape[1] - 1} would be right."
        )
