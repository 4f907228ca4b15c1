"""How large the residual branches are against their shortcuts, and how they lie to the gradient."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.analysis.batches import batches_of, how_measured, targets_of
from resviz.arguments import Progress, public
from resviz.errors import UnknownOutput
from resviz.given import Images, Inputs
from resviz.networks.anatomy.additions import included
from resviz.networks.inputs import check_hookable, check_images
from resviz.progress import bar
from resviz.recording.axes import channel_axis, images_first, key_of, shape_of_all
from resviz.recording.losses import Loss
from resviz.recording.recorder import record
from resviz.recording.recording import Recording
from resviz.recording.split import reason_of, split_columns
from resviz.recording.statistics import widest
from resviz.recording.tables import RESIDUAL_COLUMNS

_ADDED = ("position", "stage_position", "branch_var", "shortcut_var", "share", "cos_gradient")
_SIZES = ("branch_rms", "shortcut_rms", "sum_rms", "grad_sum_rms")


@dataclass
class _Sums:
    """What is summed for one addition, over elements, channels and images."""

    elements: int = 0
    axes: str = ""
    totals: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    channels: dict[str, Tensor] = field(default_factory=dict)
    per_channel: int = 0
    cosines: float = 0.0
    directions: int = 0
    reason: str | None = ""  # why the gradient is not divided


@public
def branch_study(
    net: nn.Module,
    images: Images,
    targets: Tensor | Sequence[int] | None = None,
    loss: str | Loss | None = None,
    batch_stats: bool = False,
    *,
    batch_size: int = 32,
    data: str | None = None,
    progress: Progress = None,
    include: str | Sequence[str] = (),
    gradients: bool | None = None,
) -> pd.DataFrame:
    """What each residual branch adds to its shortcut, over as many images as there are.

    - De & Smith 2020 (https://arxiv.org/abs/2002.10444): BatchNorm scales the branch down. In an
      untrained pre-activation network the shortcut's variance grows by one branch per block, and
      the ``share`` var(F) / (var(F) + var(x)) at block l is about 1 / l. The law is of one stage
      without changes of shape: zero-padding halves the shortcut's variance, and a projection
      without BatchNorm multiplies it. A block that ends in a ReLU keeps a larger share.
    - Jastrzebski et al. 2018 (https://arxiv.org/abs/1710.04773): in trained networks |F| / |x|
      falls within a stage and jumps where the next begins; cos(F, dL/dx) is negative in the last
      blocks, where a block moves its input down the loss.

    Sums are added up over the batches and divided at the end, so the result does not depend on the
    batch size, unless `batch_stats` makes the network itself depend on it.

    Args:
        net: any network.
        images: as :func:`resviz.record` takes them.
        targets: (N,) class indices; None for each image's predicted class.
        loss: "logit" (default without targets), "cross_entropy" (default with targets), or a
            function (logits, targets) -> (N,). Jastrzebski et al. use the training loss:
            give `targets`. A logit grows where a loss falls: its cosines have the other sign.
        batch_stats: BatchNorm on each batch's statistics; right for an untrained network.
        batch_size: images in one pass; bounds the memory.
        data: name of the data set, for figures.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.
        include: kinds of sums that are not residual, to be studied too, as :func:`resviz.record`
            takes them.
        gradients: False leaves what is measured of them NaN, and so does None where no part of what
            the network returns is known to be its output, as of a detector.

    Returns:
        A row per residual addition, none for a plain network: the columns of
        ``Recording.residuals``, over all images, and

        - ``position``: l, 1 for the first addition; ``stage_position``: the same within the stage;
        - ``branch_var``, ``shortcut_var``: of each channel over images and positions, as BatchNorm
          computes it, then averaged over the channels; that a channel has another mean than its
          neighbour does not count;
        - ``share``: branch_var / (branch_var + shortcut_var);
        - ``cos_gradient``: cosine of F and dL/dx at the block's input, of each image, averaged over
          the images as in the paper. One cosine over all images together would be that of the few
          with a large loss. NaN where F has another shape than x, or no axis of images (windows).

        ``attrs`` say how it was measured.

    Raises:
        ValueError, TypeError, NonFinite, NotTraceable: as :func:`resviz.record`.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = branch_study(cifar_resnet(8, seed=0), torch.randn(4, 3, 32, 32))
        >>> table[["addition", "position"]].values.tolist()[0]
        ['layer1.0.add', 1]
    """
    check_hookable(net)
    inputs = check_images(net, images)
    batches = batches_of(inputs, batch_size)
    wanted = targets_of(targets, inputs.count, batches)
    about = how_measured(net, inputs, data, batch_stats=batch_stats)
    kinds = included(include)
    said = targets is not None or loss is not None or gradients is not None
    one, gradients = _first(net, inputs.one(), said, gradients is not False, kinds)
    keep = _kept(one.residuals, gradients)
    sums: dict[tuple[str, int], _Sums] = defaultdict(_Sums)
    with bar(inputs.count, "residual branches", progress) as shown:
        for batch, chosen in zip(batches, wanted, strict=True):
            part = inputs.part(batch)
            rec = record(
                net,
                *(part, chosen, loss, gradients, batch_stats, keep),
                keep_device=None,
                include=kinds,
            )
            about["loss"] = rec.provenance["loss"]
            _add_batch(sums, rec, part.count)
            del rec  # before the next pass: two recordings would take twice the memory
            shown.update(part.count)
    table = _table(one.residuals, sums, inputs.count)
    table.attrs.update(about, batch_size=batch_size)
    return table


def _first(
    net: nn.Module, one: Inputs, said: bool, gradients: bool, include: Sequence[str]
) -> tuple[Recording, bool]:
    """One image recorded, and whether there are gradients: not without a loss to be had."""
    try:
        return record(net, one, gradients=not said, include=include), gradients
    except UnknownOutput:
        return record(net, one, gradients=False, include=include), False


def _kept(residuals: pd.DataFrame, gradients: bool) -> list[str]:
    """The tensors to keep: gradients only where the branch has the shape of the block's input."""
    names = dict.fromkeys(residuals["addition"])
    straight = dict.fromkeys(residuals.loc[residuals["kind"].isin(_STRAIGHT), "addition"])
    kept = [f"{name}:{part}" for name in names for part in ("branch", "shortcut")]
    if not gradients:
        return kept
    return kept + [f"{n}:{part}" for n in straight for part in ("grad_branch", "grad_shortcut")]


_STRAIGHT = ("identity", "scaled")


def _add_batch(sums: dict[tuple[str, int], _Sums], rec: Recording, images: int) -> None:
    for row in rec.residuals.to_dict("records"):
        _add(sums[row["addition"], row["call"]], row, rec, images)


def _add(sums: _Sums, row: Mapping[Any, Any], rec: Recording, images: int) -> None:
    """One batch of one addition."""
    count, (name, call) = math.prod(row["shape"]), (row["addition"], row["call"])
    sums.elements += count
    sums.reason = row["grad_reason"]
    for column in _SIZES:
        sums.totals[column] += row[column] ** 2 * count
    sums.totals["product"] += count * _product(row, "cosine", "branch_rms", "shortcut_rms")
    for part in ("grad_branch", "grad_shortcut"):
        sums.totals[f"{part}_ms"] += row[f"{part}_rms"] ** 2 * count
    product = _product(row, "grad_cosine", "grad_branch_rms", "grad_shortcut_rms")
    sums.totals["grad_product"] += product * count
    sums.axes = rec.axes[key_of(rec, (f"{name}:branch", call))]
    for part in ("branch", "shortcut"):
        _add_channels(sums, part, rec, key_of(rec, (f"{name}:{part}", call)))
    if row["kind"] in _STRAIGHT and not math.isnan(row["grad_branch_rms"]):
        gradient = rec[f"{name}:grad_branch", call] + rec[f"{name}:grad_shortcut", call]
        _add_cosines(sums, rec[f"{name}:branch", call], gradient, images)


def _product(row: Mapping[Any, Any], cosine: str, first: str, second: str) -> float:
    """The mean product behind a cosine; a zero vector has none, but its product is 0."""
    size: float = row[first] * row[second]
    return 0.0 if size == 0 else row[cosine] * size


def _add_channels(sums: _Sums, part: str, rec: Recording, key: str) -> None:
    tensor = rec.tensors[key]
    axis = channel_axis(tensor.shape, rec.axes.get(key, ""))
    rows = tensor.movedim(axis, 0).flatten(1).to(widest(tensor))
    found = torch.stack([rows.sum(1), rows.square().sum(1)]).cpu()
    sums.channels[part] = sums.channels[part] + found if part in sums.channels else found
    if part == "branch":
        sums.per_channel += rows.shape[1]


def _add_cosines(sums: _Sums, branch: Tensor, gradient: Tensor, images: int) -> None:
    of_images = [images_first(tensor, sums.axes, images) for tensor in (branch, gradient)]
    rows = [tensor for tensor in of_images if tensor is not None]
    if branch.shape != gradient.shape or len(rows) < 2:
        return
    f, g = (tensor.flatten(1).to(widest(tensor)) for tensor in rows)
    cosines = (f * g).sum(1) / (f.norm(dim=1) * g.norm(dim=1))
    known = cosines[torch.isfinite(cosines)]  # a zero vector has no direction
    sums.cosines += float(known.sum())
    sums.directions += len(known)


def _variance(sums: _Sums, part: str) -> float:
    total, squares = sums.channels[part]
    mean = total / sums.per_channel
    return float((squares / sums.per_channel - mean.square()).clamp(min=0).mean())


def _table(first: pd.DataFrame, sums: dict[tuple[str, int], _Sums], images: int) -> pd.DataFrame:
    rows = []
    for row in first.to_dict("records"):
        found = sums[str(row["addition"]), int(row["call"])]
        known = {str(name): value for name, value in row.items()}
        shape = shape_of_all(row["shape"], found.axes, images)
        rows.append(known | {"shape": shape} | _columns(found))
    columns = [*RESIDUAL_COLUMNS, *_ADDED]
    table = pd.DataFrame(rows, columns=columns)
    table["position"] = range(1, len(table) + 1)
    table["stage_position"] = table.groupby("stage").cumcount() + 1
    return table


def _columns(sums: _Sums) -> dict[str, Any]:
    """Means, ratios and cosines from the sums."""
    mean = {name: total / sums.elements for name, total in sums.totals.items()}
    branch, shortcut = mean["branch_rms"], mean["shortcut_rms"]
    scale = math.sqrt(branch * shortcut)
    found: dict[str, Any] = {name: math.sqrt(mean[name]) for name in _SIZES}
    found["ratio"] = math.sqrt(branch / shortcut) if shortcut > 0 else math.nan
    found["cosine"] = mean["product"] / scale if scale > 0 else math.nan
    found |= split_columns(mean)
    found["grad_reason"] = reason_of(found["grad_branch_share"], sums.reason)
    found["branch_var"], found["shortcut_var"] = (
        _variance(sums, p) for p in ("branch", "shortcut")
    )
    whole = found["branch_var"] + found["shortcut_var"]
    found["share"] = found["branch_var"] / whole if whole > 0 else math.nan
    found["cos_gradient"] = sums.cosines / sums.directions if sums.directions else math.nan
    return found
