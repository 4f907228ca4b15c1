"""What a network says about images, best first."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.arguments import caller, public, whole
from resviz.errors import NonFinite
from resviz.hooks import evaluating
from resviz.preset import Preset, check_network, check_preset


@public
def predict(
    net: nn.Module, images: Tensor, top: int = 5, preset: Preset | None = None
) -> pd.DataFrame:
    """The most probable classes of each image, as a table.

    Probabilities are the softmax of the logits, in float32. The network runs in eval mode and is
    left as found.

    Args:
        net: (N, ...) to (N, C) logits.
        images: (N, 3, H, W) as `load_images` gives them.
        top: how many classes per image; all of them where there are fewer.
        preset: for the names of the classes, instead of the network's own. Without one, or where
            it names none, class 3 is called "class 3".

    Returns:
        A row per image and rank: image (position in `images`), rank (from 1), index, label,
        probability.

    Raises:
        TypeError: `net` is no network or `images` no tensor.
        ValueError: another shape or dtype, `top` below 1, or a preset that names another number
            of classes than the network has outputs.
        NonFinite: a logit is NaN or infinite.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        >>> predict(net, torch.zeros(2, 3, 2, 2), top=2).columns.tolist()
        ['image', 'rank', 'index', 'label', 'probability']
    """
    check_network(net)
    _check_images(net, images)
    top = whole("top", top, least=1)
    if preset is not None:
        check_preset(preset)
    with evaluating(net):
        logits = net(images.detach().to(_device_of(net, images), copy=True))
    names = _names(net, _checked(logits, len(images)), preset)
    best = logits.detach().float().softmax(1).cpu().topk(min(top, logits.shape[1]), dim=1)
    rows = [
        (image, rank, index, names[index], probability)
        for image, (indices, values) in enumerate(
            zip(best.indices.tolist(), best.values.tolist(), strict=True)
        )
        for rank, (index, probability) in enumerate(zip(indices, values, strict=True), 1)
    ]
    return pd.DataFrame(rows, columns=["image", "rank", "index", "label", "probability"])


def _check_images(net: nn.Module, images: object) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(
            f"{caller()}: images of type {type(images).__name__}; a tensor. rv.load_images makes "
            "one."
        )
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(
            f"{caller()}: images of shape {tuple(images.shape)}; (N, 3, H, W) with N of at least "
            "1. A single image needs images[None]."
        )
    convolution = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    if convolution is not None and images.ndim != 4:
        raise ValueError(
            f"{caller()}: images of shape {tuple(images.shape)}; (N, C, H, W). "
            "A single image needs images[None]."
        )
    if convolution is not None and not images.is_floating_point():
        raise ValueError(
            f"{caller()}: images of dtype {images.dtype}; floats, normalised. Use rv.load_images."
        )


def _device_of(net: nn.Module, images: Tensor) -> torch.device:
    parameter = next(net.parameters(), None)
    return images.device if parameter is None else parameter.device


def _checked(logits: object, n: int) -> Tensor:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != n:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"{caller()}: the network gives {got}; a tensor of logits (N, C). Wrap a network that "
            "gives something else in one that picks its logits."
        )
    finite = torch.isfinite(logits).all(1)
    if not finite.all():
        broken = (~finite).nonzero().flatten().tolist()
        raise NonFinite(
            f"{caller()}: logits that are NaN or infinite for image {broken[0]} ({len(broken)} of "
            f"{n} images); finite numbers. rv.record names the layer where it starts."
        )
    return logits


def _names(net: nn.Module, logits: Tensor, preset: Preset | None) -> list[str]:
    used = preset or getattr(net, "resviz_preset", None)
    outputs = logits.shape[1]
    if used is None or not used.classes:
        return [f"class {index}" for index in range(outputs)]
    if len(used.classes) != outputs:
        raise ValueError(
            f"{caller()}: preset {used.name!r} names {len(used.classes)} classes and the network "
            f"has {outputs} outputs; the same number. Pass preset=rv.Preset(...) with its names."
        )
    return list(used.classes)
