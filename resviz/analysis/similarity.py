"""How alike the representations of blocks are, in one network or between two: linear CKA."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resviz.analysis.asked import rows_asked
from resviz.analysis.batches import batches_of, how_measured
from resviz.arguments import Progress, caller, public
from resviz.given import Images, Inputs
from resviz.networks.inputs import check_hookable, check_images
from resviz.progress import bar
from resviz.recording.axes import images_first
from resviz.recording.recorder import record
from resviz.recording.recording import Recording

_LEAST = 4  # images in a batch, for an estimate without bias
_SLICE = 2**16  # features at a time, in float64
_ROUNDING = 16  # steps of the dtype, by which equal images may differ
_CANCELLED = 1e-12  # of a gram's mean square: what is left of sums that cancel
_SIDE = ("layer", "position", "depth", "stage")
_COLUMNS = (*_SIDE, *(f"other_{name}" for name in _SIDE), "cka")


@public
def similarity_study(
    net: nn.Module,
    images: Images,
    other: nn.Module | None = None,
    layers: str | Iterable[str] = "blocks",
    other_layers: str | Iterable[str] | None = None,
    batch_stats: bool = False,
    *,
    other_images: Images | None = None,
    batch_size: int = 64,
    data: str | None = None,
    progress: Progress = None,
) -> pd.DataFrame:
    """How alike the blocks of a network, or of two, represent the same images: linear CKA.

    Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited"
    (https://arxiv.org/abs/1905.00414): with K = X X' and L = Y Y' of the centred activations of the
    same n images at two layers, CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), which is 1 for
    activations that are equal up to a rotation and a factor. Measured as Nguyen et al. 2021
    (https://arxiv.org/abs/2010.15327, Eq. 2 to 4): the estimate of HSIC without bias (Song et al.
    2012), which leaves the diagonals of K and L out, averaged over batches before it is divided. It
    does not rise because there are few images and many features, and independent representations
    give about 0, below it as often as above.

    Args:
        net: any network.
        images: as :func:`resviz.record` takes them; 4 at least, some hundred for a smooth picture.
        other: another network, for the same images; None: `net` against itself.
        layers: of `net`: "blocks", or paths of modules.
        other_layers: of `other`; None: as `layers`, where that is "blocks", else the same paths.
        batch_stats: BatchNorm on each batch's statistics instead of the running ones.
        other_images: the same images as `other` wants them, where the two differ in that.
        batch_size: images in one pass, at least 4; more give a smoother estimate.
        data: name of the data set, for figures.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A row per pair of layers, in the order in which they ran: ``layer``, ``position`` (1 for the
        first), ``depth``, ``stage``; ``other_layer``, ``other_position``, ``other_depth``,
        ``other_stage``; ``cka``: NaN where a layer has the same output for all images, or for all
        but one. ``attrs`` say how it was measured; what was done to `other` stands in ``changes``
        as "other: ...".

    Raises:
        NonFinite, NotTraceable: as :func:`resviz.record`.
        KeyError: no such layer.
        TypeError: arguments of a wrong type.
        ValueError: fewer than 4 images, a batch size below that, another number of other images, a
            network without blocks, or a layer whose output has no axis of images.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = similarity_study(cifar_resnet(8, seed=0), torch.randn(16, 3, 32, 32))
        >>> table["layer"].nunique(), round(float(table["cka"].iloc[0]), 6)
        (4, 1.0)
    """
    layers = layers if isinstance(layers, str) else list(layers)  # asked for twice
    sides = [_Side(net, check_images(net, images), layers)]
    if other is not None:
        more = images if other_images is None else other_images
        wanted = layers if other_layers is None else other_layers
        sides.append(_Side(other, check_images(other, more), wanted))
    elif other_layers is not None:
        sides.append(_Side(net, sides[0].inputs, other_layers))
    batches = _batches(sides, batch_size)
    about = how_measured(net, sides[0].inputs, data, batch_stats=batch_stats)
    sums: NDArray[np.float64] | float = 0.0
    sizes: NDArray[np.float64] | float = 0.0
    with bar(sides[0].inputs.count, "similarity of blocks", progress) as shown:
        for batch in batches:
            grams = torch.cat([side.grams(batch, batch_stats) for side in sides])
            sums = sums + unbiased_hsic(grams).numpy()
            sizes = sizes + grams.square().mean((1, 2)).numpy()
            shown.update(len(grams[0]))
    table = _table(sides, np.asarray(sums), np.asarray(sizes))
    table.attrs.update(about, batch_size=max(_length(batch) for batch in batches))
    if other is not None:
        of_other = how_measured(other, sides[1].inputs, data)
        table.attrs["other"] = of_other["network"]
        table.attrs["changes"] = [*about["changes"], *(f"other: {c}" for c in of_other["changes"])]
    return table


class _Side:
    """A network, its images, and the layers that are compared."""

    def __init__(self, net: nn.Module, inputs: Inputs, layers: str | Iterable[str]) -> None:
        check_hookable(net)
        self.net, self.inputs = net, inputs
        self.keep = layers if isinstance(layers, str) else list(layers)
        first = record(net, inputs.one(), gradients=False, keep=self.keep)
        self.rows = rows_asked(first)
        self.keys = list(self.rows)
        if not self.keys:
            raise ValueError(
                f"{caller()}: {type(net).__name__} has no blocks; layers=[paths of modules] would "
                "be right. See rv.list_layers(net)."
            )

    def grams(self, batch: slice, batch_stats: bool) -> Tensor:
        """X X' of each layer, (layers, n, n), in float64."""
        part = self.inputs.part(batch)
        rec = record(self.net, part, None, None, False, batch_stats, self.keep, keep_device=None)
        return torch.stack([_gram(_features(rec, key, part.count)).cpu() for key in self.keys])

    def side(self, prefix: str) -> list[dict[str, Any]]:
        """The columns of each layer."""
        return [
            {
                f"{prefix}layer": key,
                f"{prefix}position": place,
                **{f"{prefix}{name}": row[name] for name in ("depth", "stage")},
            }
            for place, (key, row) in enumerate(self.rows.items(), 1)
        ]


def _features(rec: Recording, key: str, images: int) -> Tensor:
    """(N, features) of a kept tensor."""
    rows = images_first(rec.tensors[key], rec.axes[key], images)
    if rows is None:
        raise ValueError(
            f"{caller()}: {key!r} has an output of shape {tuple(rec.tensors[key].shape)} for "
            f"{images} images, in which no axis is theirs; layers with a row for each image would "
            "be right. See rv.list_layers(net)."
        )
    return rows.flatten(1)


def _gram(features: Tensor) -> Tensor:
    """Of the centred features; 0 where they differ by what rounding makes of equal ones.

    Centred, because the estimate would cancel a large common mean, and lose the digits beside it.
    A slice of the features at a time: all of them in float64 would take much memory.
    """
    total = torch.zeros(len(features), len(features), dtype=torch.float64, device=features.device)
    size = 0.0
    for part in torch.split(features, _SLICE, 1):
        wide = part.double()
        size += float(wide.square().sum())
        wide = wide - wide.mean(0)
        total += wide @ wide.T
    fine = torch.float64 if features.dtype == torch.float64 else torch.float32
    least = (_ROUNDING * torch.finfo(fine).eps) ** 2 * size
    return total if float(total.trace()) > least else torch.zeros_like(total)


def unbiased_hsic(grams: Tensor) -> Tensor:
    """HSIC of all pairs of kernels, (m, n, n) to (m, m), estimated without bias.

    Song et al. 2012, "Feature Selection via Dependence Maximization", Eq. 4; Nguyen et al. 2021,
    Eq. 3. With the diagonals set to 0: (tr KL + 1'K1 1'L1 / ((n-1)(n-2)) - 2/(n-2) 1'KL1) /
    (n(n-3)).

    Example:
        >>> x = torch.randn(5, 3, dtype=torch.float64)
        >>> bool(unbiased_hsic((x @ x.T)[None]) > 0)
        True
    """
    n = grams.shape[-1]
    kernels = grams * (1 - torch.eye(n, dtype=grams.dtype))
    flat, rows = kernels.flatten(1), kernels.sum(2)
    sums = rows.sum(1)
    apart = torch.outer(sums, sums) / ((n - 1) * (n - 2))
    return (flat @ flat.T + apart - rows @ rows.T * (2 / (n - 2))) / (n * (n - 3))


def _batches(sides: list[_Side], batch_size: int) -> list[slice]:
    counts = [side.inputs.count for side in sides]
    if len(set(counts)) > 1:
        raise ValueError(
            f"{caller()}: {counts[0]} images and {counts[1]} other images; the same images, as "
            "each network wants them, would be right."
        )
    batches = batches_of(sides[0].inputs, batch_size)
    least = min(map(_length, batches))
    if least < _LEAST:
        raise ValueError(
            f"{caller()}: a batch of {least}; at least {_LEAST} images in each are needed for an "
            "estimate without bias. Give more images, or a larger batch_size."
        )
    return batches


def _length(batch: slice) -> int:
    return int(batch.stop - batch.start)


def _table(
    sides: list[_Side], sums: NDArray[np.float64], sizes: NDArray[np.float64]
) -> pd.DataFrame:
    own = np.diagonal(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt(np.where(own > _CANCELLED * sizes, own, np.nan))
        cka = sums / np.outer(scale, scale)
    count = len(sides[0].keys)
    second = sides[-1]
    start = count if len(sides) > 1 else 0
    others = second.side("other_")
    rows = [
        {**one, **another, "cka": float(cka[i, start + j])}
        for i, one in enumerate(sides[0].side(""))
        for j, another in enumerate(others)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))
