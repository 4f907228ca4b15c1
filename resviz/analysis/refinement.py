"""Whether the blocks of a stage refine the same features: each block against the stage's end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.analysis.batches import batches_of, how_measured
from resviz.arguments import Progress, caller, public
from resviz.given import Images, Inputs
from resviz.networks.inputs import check_hookable, check_images
from resviz.progress import bar
from resviz.recording.axes import channel_axis, shape_of_all
from resviz.recording.recorder import record
from resviz.recording.statistics import widest

Call = tuple[str, int]
_PARTS = ("h", "end", "hh", "ends", "product", "error", "errors", "shuffled")
_COLUMNS = (
    *("block", "call", "type", "depth", "stage", "position", "blocks", "shape", "cosine"),
    *("relative_error", "mean_error", "error_std", "channel_bias", "end_rms", "correlation"),
    *("shuffled_cosine", "shuffled_correlation", "channels"),
)


@dataclass
class _Sums:
    """Sums per channel of one block's output h and the stage's last output H, and of products."""

    count: int = 0  # of elements in a channel
    per_channel: dict[str, Tensor] = field(default_factory=dict)

    def add(self, output: Tensor, end: Tensor, axis: int, order: Tensor) -> None:
        """One batch of both, channels on `axis`; `order` shuffles the end's channels."""
        h, last = (t.movedim(axis, 0).flatten(1).to(widest(t)) for t in (output, end))
        error = h - last
        found = (
            *(h.sum(1), last.sum(1), h.square().sum(1), last.square().sum(1)),
            *((h * last).sum(1), error.sum(1), error.square().sum(1)),
            (h * last[order.to(last.device)]).sum(1),
        )
        self.count += h.shape[1]
        for name, value in zip(_PARTS, found, strict=True):
            known = self.per_channel.get(name)
            self.per_channel[name] = value.cpu() if known is None else known + value.cpu()


@public
def refinement_study(
    net: nn.Module,
    images: Images,
    batch_stats: bool = False,
    *,
    seed: int = 0,
    batch_size: int = 32,
    data: str | None = None,
    progress: Progress = None,
) -> pd.DataFrame:
    """How near each block's output is to the last output of its stage, channel by channel.

    Greff et al. 2017, "Highway and Residual Networks learn Unrolled Iterative Estimation"
    (https://arxiv.org/abs/1612.07771): within a stage, blocks do not compute new features but
    refine the estimate of the same ones. Their formal claim is that the estimation error has mean
    zero, E[h_l - H] = 0 for every block l of the stage, with H the stage's last output; they report
    for a 50-layer ResNet on ImageNet that the mean error stays near zero and that its standard
    deviation falls towards the stage's end. Their numbers could not be looked up for this; none
    is repeated here.

    A stage here is a run of blocks with one output shape. The claim is about features, so it is
    tested by channel as well: ``correlation`` is that of channel c of the block with channel c of
    the end. Outputs of ReLUs are positive, and alike for that alone: the control is the same with
    the end's channels shuffled, none left in its place. In a plain network the channels of
    successive blocks have no reason to agree, and the correlation should be that of the shuffle.

    Args:
        net: any network with blocks; a plain one for comparison.
        images: as :func:`resviz.record` takes them.
        batch_stats: BatchNorm on each batch's statistics instead of the running ones.
        seed: draws the shuffle.
        batch_size: images in one pass; bounds the memory.
        data: name of the data set, for figures.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A row per block: ``block``, ``call``, ``type``, ``depth``, ``stage``, ``position`` (1 for
        the first of the stage) of ``blocks``, ``shape``, and, over all images,

        - ``cosine`` <h, H> / (|h| |H|) and ``relative_error`` |h - H| / |H|;
        - ``mean_error`` and ``error_std``: mean and standard deviation of h - H over all elements;
          ``channel_bias``: root mean square over the channels of each channel's mean error, in
          which errors of opposite sign do not cancel; all in units of the activation, as is
          ``end_rms``, the root mean square of H;
        - ``correlation``: Pearson's, of each channel with the same channel of H over images and
          positions, averaged over the ``channels`` that vary in both;
        - ``shuffled_cosine``, ``shuffled_correlation``: the same with the channels of H shuffled.

        The last block of a stage is its end: cosine and correlation 1, error 0. ``attrs`` say how
        it was measured.

    Raises:
        NonFinite, NotTraceable: as :func:`resviz.record`.
        TypeError: arguments of a wrong type.
        ValueError: a network without blocks.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = refinement_study(cifar_resnet(14, seed=0), torch.randn(4, 3, 32, 32))
        >>> table.groupby("stage").size().tolist(), float(table["cosine"].iloc[1])
        ([2, 2, 2], 1.0)
    """
    check_hookable(net)
    inputs = check_images(net, images)
    batches, seed = batches_of(inputs, batch_size), arguments.seed(seed)
    about = how_measured(net, inputs, data, batch_stats=batch_stats, seeds=[seed])
    blocks = _blocks(net, inputs.one())
    orders = {row["end"]: _shuffle(row["shape"], seed, row["axes"]) for row in blocks}
    sums = {row["key"]: _Sums() for row in blocks}
    keep = list(dict.fromkeys(row["block"] for row in blocks))
    with bar(inputs.count, "blocks against their stage's end", progress) as shown:
        for batch in batches:
            part = inputs.part(batch)
            rec = record(net, part, None, None, False, batch_stats, keep, keep_device=None)
            for row in blocks:
                end, axis = row["end"], channel_axis(row["shape"], row["axes"])
                sums[row["key"]].add(rec[row["key"]], rec[end], axis, orders[end])
            del rec  # before the next pass: two recordings would take twice the memory
            shown.update(part.count)
    table = _table(blocks, sums, orders, inputs.count)
    table.attrs.update(about, batch_size=batch_size)
    return table


def _table(
    blocks: list[dict[str, Any]],
    sums: dict[Call, _Sums],
    orders: dict[Call, Tensor],
    images: int,
) -> pd.DataFrame:
    rows = []
    for row in blocks:
        measured = _columns(sums[row["key"]], orders[row["end"]], row["key"] == row["end"])
        rows.append(row | {"shape": shape_of_all(row["shape"], row["axes"], images)} | measured)
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _blocks(net: nn.Module, one: Inputs) -> list[dict[str, Any]]:
    """The blocks with their stages: runs of one output shape, whatever they are called."""
    layers = record(net, one, gradients=False).layers
    found = layers[layers["kind"] == "block"].to_dict("records")
    if not found:
        raise ValueError(
            f"{caller()}: no blocks in {type(net).__name__}; a network whose blocks are modules of "
            "their own is right. See rv.list_layers(net)."
        )
    runs: list[list[dict[str, Any]]] = []
    for each in found:
        row = {str(key): each[key] for key in ("call", "type", "depth", "stage", "shape", "axes")}
        row |= {"block": each["layer"], "key": (each["layer"], each["call"])}
        if not runs or runs[-1][0]["shape"] != row["shape"]:
            runs.append([])
        runs[-1].append(row)
    for run in runs:
        for position, row in enumerate(run, 1):
            row |= {"position": position, "blocks": len(run), "end": run[-1]["key"]}
    return [row for run in runs for row in run]


def _shuffle(shape: tuple[int, ...], seed: int, axes: str = "") -> Tensor:
    """An order of the channels that leaves none in its place; of one channel, itself."""
    channels = shape[channel_axis(shape, axes)]
    ring = torch.randperm(channels, generator=torch.Generator().manual_seed(seed))
    order = torch.empty(channels, dtype=torch.int64)
    order[ring] = ring.roll(1)
    return order


def _columns(sums: _Sums, order: Tensor, is_end: bool) -> dict[str, float]:
    part, count = sums.per_channel, sums.count
    whole = {name: float(value.sum()) for name, value in part.items()}
    elements = count * len(order)
    scale = math.sqrt(whole["hh"] * whole["ends"])
    mean_error = whole["error"] / elements
    correlation, channels = _pearson(part, count, "product", torch.arange(len(order)))
    shuffled, _ = _pearson(part, count, "shuffled", order)
    alone = len(order) == 1  # one channel cannot be shuffled
    cosine, other = (
        whole[name] / scale if scale > 0 else math.nan for name in ("product", "shuffled")
    )
    relative = math.sqrt(whole["errors"] / whole["ends"]) if whole["ends"] > 0 else math.nan
    return {
        "cosine": 1.0 if is_end and scale > 0 else cosine,
        "relative_error": relative,
        "mean_error": mean_error,
        "error_std": math.sqrt(max(whole["errors"] / elements - mean_error**2, 0.0)),
        "channel_bias": float((part["error"] / count).square().mean().sqrt()),
        "end_rms": math.sqrt(whole["ends"] / elements),
        "correlation": correlation,
        "shuffled_cosine": math.nan if alone else other,
        "shuffled_correlation": math.nan if alone else shuffled,
        "channels": channels,
    }


def _pearson(part: dict[str, Tensor], count: int, product: str, order: Tensor) -> tuple[float, int]:
    """(mean correlation of the channels that vary in both, how many they are)."""
    mean, end = part["h"] / count, part["end"][order] / count
    spread = part["hh"] / count - mean.square()
    end_spread = part["ends"][order] / count - end.square()
    # what is left of squares that cancel is no variance
    vary = (spread > 1e-10 * part["hh"] / count) & (
        end_spread > 1e-10 * part["ends"][order] / count
    )
    if not bool(vary.any()):
        return math.nan, 0
    covariance = part[product] / count - mean * end
    correlations = covariance[vary] / (spread[vary] * end_spread[vary]).sqrt()
    return float(correlations.mean()), int(vary.sum())
