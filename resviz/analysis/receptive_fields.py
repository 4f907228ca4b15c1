"""How much of the image a position really depends on: effective receptive fields along depth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.analysis.asked import rows_asked
from resviz.analysis.batches import batches_of, how_measured
from resviz.analysis.pixels import at_images, check_differentiable, check_finite
from resviz.arguments import Progress, caller, public, whole
from resviz.given import Images, Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy.receptive import receptive_fields
from resviz.networks.inputs import check_hookable, check_images
from resviz.progress import bar
from resviz.recording.axes import channel_axis, image_axis
from resviz.recording.recorder import record

EDGE = 1 - 0.9545  # of the strongest pixel: two standard deviations of a Gaussian
_COLUMNS = (
    *("layer", "call", "type", "depth", "stage", "position", "shape", "field", "effective"),
    *("pixels", "share"),
)
Call = tuple[str, int]


@public
def receptive_field_study(
    net: nn.Module,
    images: Images,
    layers: str | Iterable[str] = "blocks",
    batch_stats: bool = False,
    *,
    draws: int = 4,
    seed: int = 0,
    batch_size: int = 16,
    data: str | None = None,
    progress: Progress = None,
) -> pd.DataFrame:
    """How large the receptive field of a layer's middle position is, and how much of it counts.

    Luo et al. 2016, "Understanding the Effective Receptive Field in Deep Convolutional Neural
    Networks" (https://arxiv.org/abs/1701.04128): the gradient at the middle position of a layer,
    followed back to the pixels, falls off like a Gaussian; the pixels where it is above 1 - 95.45 %
    of its largest value are the effective field. It grows with the square root of the number of
    convolutions where the theoretical field grows with their number, and shortcuts keep it small.

    The gradient is that of all channels: channels are added up with random signs, and the mean of
    the squares over `draws` of them, over images and the input's channels, is the sum over the
    channels of their squared gradients, in expectation.

    Args:
        net: any network of pictures whose layers have positions, (N, C, H, W) or (N, H, W, C).
        images: as :func:`resviz.record` takes them. Noise is what the paper uses; a trained network
            on photographs is another question.
        layers: "blocks", or paths of modules.
        batch_stats: BatchNorm on each batch's statistics instead of the running ones. The
            statistics then tie all positions together, faintly.
        draws: of random signs, a backward pass each for every layer.
        seed: of the signs.
        batch_size: images in one pass; bounds the memory.
        data: name of the data set, for figures.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A row per layer, in the order in which they ran: ``layer``, ``call``, ``type``, ``depth``,
        ``stage``, ``position`` (1 for the first), ``shape``, ``field``: the theoretical field's
        longer side in pixels, NaN where every position sees the whole image; ``pixels``: how many
        count; ``effective``: their square root, the side of a square as large; ``share``: effective
        over field. The image's edge cuts ``pixels`` off, but not ``field``: where that is larger
        than the image, ``share`` is below 1 whatever the network does. ``attrs`` say how it was
        measured.

    Raises:
        NonFinite, NotTraceable, KeyError: as :func:`resviz.record`.
        TypeError: arguments of a wrong type, images that are no floating point numbers.
        ValueError: images that are not (N, C, H, W); no layer with positions, or one that the
            pixels do not reach; a list of images of different sizes.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> net, noise = cifar_resnet(8, seed=0), torch.randn(2, 3, 32, 32)
        >>> table = receptive_field_study(net, noise)
        >>> table["field"].tolist()
        [3.0, 7.0, 13.0, 25.0]
    """
    check_hookable(net)
    inputs = check_images(net, images)
    draws, seed = whole("draws", draws, least=1), arguments.seed(seed)
    check_differentiable(inputs)
    _check_layout(net, inputs.shape)
    batches = batches_of(inputs, batch_size)
    about = how_measured(net, inputs, data, batch_stats=batch_stats, seeds=[seed])
    rows = _rows(net, inputs.one(), layers)
    squares: dict[Call, Tensor] = {}
    signs = torch.Generator().manual_seed(seed)
    with bar(inputs.count, "receptive fields", progress) as shown:
        for batch in batches:
            part = inputs.part(batch)
            for call, found in _squared(net, part, rows, draws, signs, batch_stats).items():
                squares[call] = squares.get(call, torch.zeros_like(found)) + found
            shown.update(part.count)
    table = _table(rows, squares, receptive_fields(net, inputs.one()))
    table.attrs.update(about, batch_size=batch_size, draws=draws)
    return table


def _check_layout(net: nn.Module, shape: tuple[int, ...]) -> None:
    """Raise ValueError for images whose rows and columns are not the last axes."""
    first = next((m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    channels_last = len(shape) == 4 and shape[1] != first == shape[3]
    if len(shape) != 4 or channels_last:
        raise ValueError(
            f"{caller()}: images of shape {shape}; (N, C, H, W) would be right, which is "
            f"{'images.movedim(-1, 1)' if channels_last else 'images[:, None] of (N, H, W)'}, in a "
            "module around the network that takes it as the network does."
        )


def _rows(net: nn.Module, one: Inputs, layers: str | Iterable[str]) -> dict[Call, dict[str, Any]]:
    """What is known of each layer with positions."""
    keep = layers if isinstance(layers, str) else list(layers)
    rec = record(net, one, gradients=False, keep=keep)
    rows = {
        (row["layer"], row["call"]): row
        for row in rows_asked(rec).values()
        if len(row["shape"]) == 4
    }
    if not rows:
        raise ValueError(
            f"{caller()}: no layer (N, C, H, W) of {type(net).__name__} was asked for; blocks of a "
            "convolutional network, or layers=[paths], would be right. See rv.list_layers(net)."
        )
    return rows


def _squared(
    net: nn.Module,
    part: Inputs,
    rows: dict[Call, dict[str, Any]],
    draws: int,
    signs: torch.Generator,
    batch_stats: bool,
) -> dict[Call, Tensor]:
    """Squared gradient of each layer's middle at the pixels, (H, W), over a batch."""
    with left_as_found(net, grad=True, batch_stats=batch_stats) as hooks:
        leaves, found = part.leaves(), _Outputs(rows)
        for path in {path for path, _ in rows}:
            hooks.forward(net.get_submodule(path), found.at(path))
        leaves.each(Tensor.clone).run(net)
        check_finite(*found.kept.values(), what="outputs of layers")
        outputs = {call: _channels_first(found.kept[call], row) for call, row in rows.items()}
        return {
            call: torch.stack([_back(output, leaves, signs) for _ in range(draws)]).mean(0)
            for call, output in outputs.items()
        }


class _Outputs:
    """The outputs of calls, before a later in-place operation writes over them."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.kept: dict[Call, Tensor] = {}
        self._wanted = set(calls)
        self._counts: dict[str, int] = {}

    def at(self, path: str) -> Any:
        """The hook of a module: what goes on is a copy."""

        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            call = (path, self._counts.get(path, 0))
            self._counts[path] = call[1] + 1
            if call not in self._wanted or not isinstance(output, Tensor):
                return None
            self.kept[call] = output
            return output.clone()

        return hook


def _channels_first(output: Tensor, row: dict[str, Any]) -> Tensor:
    """(N, C, H, W)."""
    axes = row["axes"]
    return output.movedim((image_axis(axes), channel_axis(row["shape"], axes)), (0, 1))


def _back(output: Tensor, leaves: Inputs, signs: torch.Generator) -> Tensor:
    """From the middle position, channels with random signs, to the pixels, (H, W), squared."""
    row, column = (size // 2 for size in output.shape[2:])
    sign = torch.randint(2, (output.shape[1],), generator=signs) * 2 - 1
    start = torch.zeros_like(output)
    start[:, :, row, column] = sign.to(output)
    gradient = at_images(output, leaves, start)
    if gradient is None:
        raise ValueError(
            f"{caller()}: a layer that does not depend on the pixels; one after them would be "
            "right. Look for a .detach() before it."
        )
    check_finite(gradient, what="gradients")
    return gradient.double().square().sum((0, 1)).cpu()


def _table(
    rows: dict[Call, dict[str, Any]], squares: dict[Call, Tensor], fields: dict[Call, Any]
) -> pd.DataFrame:
    made = []
    for position, (call, known) in enumerate(rows.items(), 1):
        field, strength = fields.get(call), squares[call].sqrt()
        pixels = int((strength > EDGE * strength.max()).sum())
        row = {name: known[name] for name in ("layer", "call", "type", "depth", "stage", "shape")}
        row |= {"position": position, "pixels": pixels, "effective": math.sqrt(pixels)}
        row["field"] = math.nan if field is None else float(max(field.size))
        made.append(row | {"share": row["effective"] / row["field"]})
    return pd.DataFrame(made, columns=list(_COLUMNS))
