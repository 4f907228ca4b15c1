"""Maps from what happens to the score when something is taken away: no gradients.

Over the pixels a function takes a :class:`Scorer` and the image's number and returns (T, H, W), one
map per target of that image; at a layer it takes the shared pass and returns (N, T, h, w). Of
signals and tokens positions are (L,), of video (t, H, W); a token is taken away by putting another
in its place: see :func:`resviz.attribution.subject.token_of`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from resviz.arguments import caller
from resviz.attribution.layer import Layer
from resviz.attribution.methods.closed import ablated
from resviz.attribution.places import axes_of, is_tokens, resized, size_of
from resviz.attribution.positions import Reading
from resviz.attribution.scoring import Scorer, as_variant
from resviz.attribution.shared_pass import SharedPass
from resviz.attribution.subject import blank_of
from resviz.attribution.weighted_sum import weighted_sum
from resviz.hooks import left_as_found
from resviz.networks.anatomy.resume import Resume
from resviz.networks.outputs import in_full, widened
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
    size, wide = size_of(picture), widened(picture).dtype
    flat = maps.flatten(1)
    varied = (flat.amax(1) > flat.amin(1)).nonzero().flatten()

    def variants() -> Iterator[Tensor]:
        yield torch.zeros_like(picture)
        for chosen in torch.split(varied, scorer.chunk):
            masks = resized(maps[chosen, None].to(wide), size)
            over = axes_of(masks)
            low = masks.amin(over, keepdim=True)
            masks = (masks - low) / (masks.amax(over, keepdim=True) - low)
            if picture.ndim == 2:  # a table, or a waveform without channels
                masks = masks[:, 0]
            yield as_variant(picture * masks, picture)

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
    where = _channels(shared.seen.readings[layer], shared.seen.outputs[layer])
    rows = enumerate(shared.activations(layer))
    return torch.stack([_ablation_cam(shared.scorer, i, maps, layer, where) for i, maps in rows])


def _channels(reading: Reading, output: Tensor) -> Tensor:
    """(C, m): where the values of each channel stand in the flattened output for one image.

    Those that the maps leave out, as of class tokens, belong to their channel, unless a reading of
    the caller's own makes other channels of the output's.
    """
    numbers = torch.arange(output.numel(), dtype=torch.float64).view(output.shape)
    whole = numbers[:1].movedim(reading.channel, 0).flatten(1).long().to(output.device)
    if reading.own is None:
        return whole
    shown = reading.own(numbers)[0].flatten(1).long().to(output.device)
    channel = shown // math.prod(output.shape[reading.channel + 1 :]) % len(whole)
    first = channel[:, 0]
    same = bool((channel == channel[:, :1]).all()) and len(set(first.tolist())) == len(first)
    return whole[first] if same else shown


def _ablation_cam(scorer: Scorer, image: int, maps: Tensor, layer: Layer, where: Tensor) -> Tensor:
    """(T, h, w) from the activations (C, h, w) of one image; `where`: see :func:`_channels`."""
    resumed = Resume(scorer.net, scorer.inputs.one(image), layer)
    native = resumed.activation
    alive = native.flatten()[where].any(1).nonzero().flatten()
    whole = scorer.read(resumed.output, image)  # (1, T)
    drop = whole.new_zeros(len(where), whole.shape[1])
    size = native.numel() * native.element_size()
    with bar(len(alive), "ablation_cam", scorer.progress) as shown:
        for chosen in torch.split(alive, max(1, min(_BUDGET // size, 256))):
            batch = native.flatten(1).repeat(len(chosen), 1).scatter_(1, where[chosen], 0)
            batch = batch.view(-1, *native.shape[1:])
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
    baseline: float | None = None,
) -> Tensor:
    """1 / (p M) sum_i y(X M_i) M_i: Petsiuk et al. 2018, arXiv 1806.07421, Eq. 6 and section 3.2.

    `cells` x `cells` random cells, each kept with probability `keep`, upsampled bilinearly and
    shifted by a random part of a cell. What is masked has the mean colour, or `baseline`; a token
    is another where its mask is below 1/2. y is the target's score. At the resolution of the input.
    """
    picture = scorer.picture(image)
    size, blank = size_of(picture), blank_of(scorer, image, baseline)
    total = picture.new_zeros(scorer.targets.columns, *size, dtype=torch.float32)
    random = torch.Generator().manual_seed(seed)
    drawn = _random_masks(masks, cells, keep, size, scorer.chunk, random)
    used = torch.empty(0)

    def variants() -> Iterator[Tensor]:
        nonlocal used
        for each in drawn:
            used = each.to(picture.device)
            if is_tokens(picture):
                used = (used >= 0.5).float()
            yield _behind(picture, used, blank)

    def add(scores: Tensor) -> None:
        with in_full(scores):
            total.add_(torch.einsum("mt,m...->t...", scores.float(), used[:, 0]))

    scorer.scores(image, variants(), masks, "rise", each=add)
    return total / (keep * masks)


def _behind(picture: Tensor, masks: Tensor, blank: Tensor) -> Tensor:
    """(m, ...) of the picture (1, ...) where masks (m, 1, *positions) are 1, blank where 0."""
    if picture.ndim == 2:  # tokens, or a table: no channels
        masks = masks[:, 0]
    if is_tokens(picture):
        return torch.where(masks > 0, picture, blank)
    masks = masks.to(widened(picture).dtype)
    return as_variant(picture * masks + blank * (1 - masks), picture)


def _random_masks(
    count: int,
    cells: int,
    keep: float,
    size: Sequence[int],
    chunk: int,
    random: torch.Generator,
) -> Iterator[Tensor]:
    """Chunks (m, 1, H, W) of `count` masks: see :func:`rise`."""
    cell = [-(-side // cells) for side in size]
    # all of it at once, on the CPU: the same on every device and for every chunk
    shape = (count, 1, *[cells] * len(size))
    grids = (torch.rand(shape, generator=random, dtype=torch.float32) < keep).float()
    shifts = [torch.randint(0, side, (count,), generator=random).tolist() for side in cell]
    starts = list(zip(*shifts, strict=True))
    for first in range(0, count, chunk):
        chosen = slice(first, first + chunk)
        large = resized(grids[chosen], [(cells + 1) * side for side in cell])
        crops = [
            each[(slice(None), *map(slice, at, map(sum, zip(at, size, strict=True))))]
            for each, at in zip(large, starts[chosen], strict=True)
        ]
        yield torch.stack(crops)


def occlusion(
    scorer: Scorer,
    image: int,
    *,
    window: int | None = None,
    stride: int | None = None,
    baseline: float | None = None,
) -> Tensor:
    """Fall of the score behind a patch of the mean colour: Zeiler and Fergus 2013, arXiv 1311.2901.

    A square `window` (a seventh of the shorter side if None) moves by `stride` (half of it); each
    pixel gets the mean over the patches that cover it, through Captum. At the input's resolution.
    A signal loses a seventh of its length at a time, in strides of a quarter of that: equal values
    then reach over a quarter of a window, where with half of it they would reach past an event as
    long as the window. A clip loses a seventh of its frames, too; tokens are replaced one by one.
    Behind it is `baseline`: 0, the mean colour, if None; of tokens that id, or the embedding's
    padding, or id 0.
    """
    from captum.attr import Occlusion

    picture = scorer.picture(image).clone()
    blank = blank_of(scorer, image, baseline)
    sides, steps = _window(picture, window, stride)
    channels = tuple(picture.shape[1:2]) if picture.ndim > 2 else ()
    places = [
        -(-(size - side) // step) + 1
        for size, side, step in zip(size_of(picture), sides, steps, strict=True)
    ]
    columns, maps = scorer.targets.columns, []
    total = columns * (math.prod(places) + 1)
    with left_as_found(scorer.net), bar(total, "occlusion", scorer.progress) as shown:
        for column in range(columns):

            def forward(part: Tensor, column: int = column) -> Tensor:
                shown.update(len(part))
                output = scorer.output(image, part.clone())
                return scorer.targets.of(output, image, column)

            fall = Occlusion(forward).attribute(
                picture,
                sliding_window_shapes=(*channels, *sides),
                strides=(*channels, *steps),
                baselines=blank,
                perturbations_per_eval=scorer.chunk,
            )
            maps.append(fall.mean(1) if channels else fall)
    return torch.cat(maps)


def _window(picture: Tensor, window: int | None, stride: int | None) -> tuple[list[int], list[int]]:
    """The sides of the patch and its steps; where an axis has one position, they are 1."""
    size = size_of(picture)
    wide = [side for side in size if side > 1] or [1]
    if window is not None and window > min(wide[-2:]):
        raise ValueError(
            f"{caller()}: occlusion with a window of {window} on inputs of "
            f"{tuple(size)}; one that fits would be right."
        )
    one = 1 if picture.ndim == 2 else max(1, min(wide[-2:]) // 7)
    sides = [min(window or one, side) for side in size]
    if len(size) == 3:  # frames
        sides[0] = min(window or max(1, size[0] // 7), size[0])
    share = 4 if len(wide) == 1 else 2
    return sides, [min(stride or max(1, side // share), side) for side in sides]
