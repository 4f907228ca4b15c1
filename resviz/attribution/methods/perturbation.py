"""Maps from what happens to the score when something is taken away: no gradients.

Over the pixels a function takes a :class:`Scorer` and the image's number and returns (T, H, W), one
map per target of that image; at a layer it takes the shared pass and returns (N, T, h, w).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from resviz.arguments import caller
from resviz.attribution.layer import Layer
from resviz.attribution.methods.closed import ablated
from resviz.attribution.positions import Reading
from resviz.attribution.scoring import Scorer
from resviz.attribution.shared_pass import SharedPass
from resviz.attribution.weighted_sum import weighted_sum
from resviz.hooks import left_as_found
from resviz.networks.anatomy.resume import Resume
from resviz.progress import bar

_BUDGET = 32 * 2**20  # bytes of activations in one resumed pass


def score_cam(shared: SharedPass, layer: Layer) -> Tensor:
    """sum_k w_k A_k, w = softmax_k(y(X H_k) - y(X_b)): Wang et al. 2020, arXiv 1910.01279, Alg. 1.

    H_k is A_k upsampled (bilinear, align_corners=False) and then brought to 0..1; X_b = 0, the mean
    colour. A channel that is the same everywhere has H_k = 0 and the baseline's score.
    """
    rows, scorer = enumerate(shared.activations(layer)), shared.scorer_of(layer)
    return torch.stack([_score_cam(scorer, image, maps) for image, maps in rows])


def _score_cam(scorer: Scorer, image: int, maps: Tensor) -> Tensor:
    """(T, h, w) from the activations (C, h, w) of one image."""
    picture = scorer.picture(image)
    size = picture.shape[2:]
    varied = (maps.amax((1, 2)) > maps.amin((1, 2))).nonzero().flatten()

    def variants() -> Iterator[Tensor]:
        yield torch.zeros_like(picture)
        for chosen in torch.split(varied, scorer.chunk):
            masks = F.interpolate(maps[chosen, None].to(picture.dtype), size, mode="bilinear")
            low = masks.amin((2, 3), keepdim=True)
            yield picture * ((masks - low) / (masks.amax((2, 3), keepdim=True) - low))

    scores = scorer.scores(image, variants(), len(varied) + 1, "score_cam")
    gain = scores.new_zeros(len(maps), scores.shape[1])
    gain[varied] = scores[1:] - scores[:1]
    weights = gain.softmax(0).T.to(maps.dtype)  # (T, C)
    return weighted_sum(weights, maps.expand(len(weights), *maps.shape))


def ablation_cam(shared: SharedPass, layer: Layer) -> Tensor:
    """sum_k w_k A_k, w_k = (y - y_without_k) / |y|: Desai and Ramaswamy, WACV 2020, Eq. 3.

    The paper divides by y, which turns the map over where y is negative: |y| does not, and y = 0
    leaves the plain drop. The network is run from the layer on only, and not for channels that are
    0 already; where pooling and one linear layer follow, no passes are needed: :func:`ablated`.
    """
    closed = ablated(shared, layer)
    if closed is not None:
        return closed
    reading, rows = shared.seen.readings[layer], enumerate(shared.activations(layer))
    parts = [_ablation_cam(shared.scorer, i, maps, layer, reading) for i, maps in rows]
    return torch.stack(parts)


def _ablation_cam(
    scorer: Scorer, image: int, maps: Tensor, layer: Layer, reading: Reading
) -> Tensor:
    """(T, h, w) from the activations (C, h, w) of one image."""
    resumed = Resume(scorer.net, scorer.inputs.one(image), layer)
    native = resumed.activation
    flat = native.movedim(reading.channel, 0).flatten(1)
    alive = flat.any(1).nonzero().flatten()
    whole = scorer.read(resumed.output, image)  # (1, T)
    drop = whole.new_zeros(len(flat), whole.shape[1])
    size = native.numel() * native.element_size()
    with bar(len(alive), "ablation_cam", scorer.progress) as shown:
        for chosen in torch.split(alive, max(1, min(_BUDGET // size, 256))):
            batch = native.repeat(len(chosen), *[1] * (native.ndim - 1))
            rows = torch.arange(len(chosen), device=chosen.device)
            batch.movedim(reading.channel, 1)[rows, chosen] = 0
            drop[chosen] = whole - scorer.read(resumed.run(batch), image)
            shown.update(len(chosen))
    scale = torch.where(whole == 0, torch.ones_like(whole), whole.abs())
    weights = (drop / scale).T.to(maps.dtype)
    return weighted_sum(weights, maps.expand(len(weights), *maps.shape))


def rise(
    scorer: Scorer,
    image: int,
    *,
    masks: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    seed: int = 0,
) -> Tensor:
    """1 / (p M) sum_i y(X M_i) M_i: Petsiuk et al. 2018, arXiv 1806.07421, Eq. 6 and section 3.2.

    `cells` x `cells` random cells, each kept with probability `keep`, upsampled bilinearly and
    shifted by a random part of a cell. What is masked has the mean colour. y is the target's
    score. At the resolution of the input.
    """
    picture = scorer.picture(image)
    size = int(picture.shape[2]), int(picture.shape[3])
    total = picture.new_zeros(scorer.targets.columns, *size, dtype=torch.float32)
    random = torch.Generator().manual_seed(seed)
    drawn = _random_masks(masks, cells, keep, size, scorer.chunk, random)
    used = torch.empty(0)

    def variants() -> Iterator[Tensor]:
        nonlocal used
        for each in drawn:
            used = each.to(picture.device)
            yield picture * used.to(picture.dtype)

    def add(scores: Tensor) -> None:
        total.add_(torch.einsum("mt,mhw->thw", scores.float(), used[:, 0]))

    scorer.scores(image, variants(), masks, "rise", each=add)
    return total / (keep * masks)


def _random_masks(
    count: int, cells: int, keep: float, size: tuple[int, int], chunk: int, random: torch.Generator
) -> Iterator[Tensor]:
    """Chunks (m, 1, H, W) of `count` masks: see :func:`rise`."""
    (height, width), cell = size, (-(-size[0] // cells), -(-size[1] // cells))
    # all of it at once, on the CPU: the same on every device and for every chunk
    grids = (torch.rand(count, 1, cells, cells, generator=random) < keep).float()
    tops = torch.randint(0, cell[0], (count,), generator=random).tolist()
    lefts = torch.randint(0, cell[1], (count,), generator=random).tolist()
    for start in range(0, count, chunk):
        chosen = slice(start, start + chunk)
        whole = (cells + 1) * cell[0], (cells + 1) * cell[1]
        large = F.interpolate(grids[chosen], whole, mode="bilinear")
        crops = [
            each[:, top : top + height, left : left + width]
            for each, top, left in zip(large, tops[chosen], lefts[chosen], strict=True)
        ]
        yield torch.stack(crops)


def occlusion(
    scorer: Scorer, image: int, *, window: int | None = None, stride: int | None = None
) -> Tensor:
    """Fall of the score behind a patch of the mean colour: Zeiler and Fergus 2013, arXiv 1311.2901.

    A square `window` (a seventh of the shorter side if None) moves by `stride` (half of it); each
    pixel gets the mean over the patches that cover it, through Captum. At the input's resolution.
    """
    from captum.attr import Occlusion

    picture = scorer.picture(image).clone()
    side, step = _window(picture.shape[2:], window, stride)
    channels = picture.shape[1]
    places = [-(-(size - side) // step) + 1 for size in picture.shape[2:]]
    columns, maps = scorer.targets.columns, []
    total = columns * (places[0] * places[1] + 1)
    with left_as_found(scorer.net), bar(total, "occlusion", scorer.progress) as shown:
        for column in range(columns):

            def forward(part: Tensor, column: int = column) -> Tensor:
                shown.update(len(part))
                output = scorer.output(image, part.clone())
                return scorer.targets.of(output, image, column)

            fall = Occlusion(forward).attribute(
                picture,
                sliding_window_shapes=(channels, side, side),
                strides=(channels, step, step),
                baselines=0,
                perturbations_per_eval=scorer.chunk,
            )
            maps.append(fall.mean(1))
    return torch.cat(maps)


def _window(size: Sequence[int], window: int | None, stride: int | None) -> tuple[int, int]:
    """The side of the patch and its step."""
    side = window or max(1, min(size) // 7)
    if side > min(size):
        raise ValueError(
            f"{caller()}: occlusion with a window of {side} on pictures of "
            f"{tuple(size)}; one that fits would be right."
        )
    return side, min(stride or max(1, side // 2), side)
