"""What a network says about images, best first."""

from __future__ import annotations

import pandas as pd
from torch import Tensor, nn

from resviz.arguments import caller, public, whole
from resviz.given import Images, Inputs
from resviz.hooks import left_as_found
from resviz.networks.first_call import checked
from resviz.networks.inputs import check_images
from resviz.networks.outputs import HOW_TO_SAY, UNSAID, Output, check_finite, output_of
from resviz.preset import Preset, check_network
from resviz.provenance import preset_or_none


@public
def predict(
    net: nn.Module, images: Images, top: int = 5, preset: Preset | None = None
) -> pd.DataFrame:
    """What the network says of each image, best first, as a table.

    What its numbers mean is for its preset to say (:class:`resviz.Preset`, `output`): probabilities
    are the softmax over classes, the sigmoid of each label, of one logit the sigmoid for its
    positive side and the rest for its negative one, in float32. The network runs in eval mode and
    is left as found.

    Args:
        net: (N, ...) to (N, C) logits, or what its preset says.
        images: (N, 3, H, W) as `load_images` gives them, or as :func:`resviz.record` takes them.
        top: how many classes per image; all of them where there are fewer.
        preset: for the names of the classes, instead of the network's own. Without one, or where
            it names none, class 3 is called "class 3".

    Returns:
        A row per image and rank: image (position in `images`), rank (from 1), index, label,
        probability; of values "value" in its place, of a map "share": of the positions that the
        class is said at.

    Raises:
        TypeError: `net` is no network or `images` no tensor.
        ValueError: another shape or dtype, `top` below 1, a preset that names another number
            of classes than the network has outputs, or an output whose meaning nobody said: one
            number may be a logit or a value.
        NonFinite: a logit is NaN or infinite.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        >>> predict(net, torch.zeros(2, 3, 2, 2), top=2).columns.tolist()
        ['image', 'rank', 'index', 'label', 'probability']
    """
    check_network(net)
    inputs = check_images(net, images)
    top = whole("top", top, least=1)
    preset = preset_or_none(net, preset)
    output = output_of(preset, inputs)
    logits = _checked(logits_for(net, inputs, output), inputs.count)
    output = output.seen(logits)
    output.warn_of_probabilities(logits, lambda: output.with_graph(net, inputs))
    column, values = _said(output, logits)
    _check_names(output, preset, values.shape[1])
    best = output.ranked(logits, values)[:, :top]
    rows = [
        (image, rank, index, output.name(index), value)
        for image, (indices, numbers) in enumerate(
            zip(best.tolist(), values.gather(1, best).tolist(), strict=True)
        )
        for rank, (index, value) in enumerate(zip(indices, numbers, strict=True), 1)
    ]
    table = pd.DataFrame(rows, columns=["image", "rank", "index", "label", column])
    table.attrs.update(output.about())
    return table


def logits_for(net: nn.Module, inputs: Inputs, output: Output) -> Tensor:
    """The output tensor for these inputs: one pass in eval mode, the network left as found.

    Raises:
        UnknownOutput: no part of what the network returns is known to be its output.
    """
    given = inputs.copies()
    with left_as_found(net), checked(net, given):
        returned = given.run(net)
    return output.logits(returned).detach()


def _said(output: Output, logits: Tensor) -> tuple[str, Tensor]:
    """(what the numbers are, (N, T) of them)."""
    if output.kind == UNSAID:
        raise ValueError(
            f"{caller()}: the network gives {tuple(logits.shape)}, and nobody said what that "
            f"means; a preset that says it would be right: {HOW_TO_SAY}."
        )
    if output.kind == "none":
        raise ValueError(
            f"{caller()}: features, as the preset says of the output, predict nothing; a network "
            "with a head would be right."
        )
    return output.numbers(logits)


def _checked(logits: Tensor, n: int) -> Tensor:
    if logits.ndim == 0 or len(logits) != n:
        raise ValueError(
            f"{caller()}: the network gives {tuple(logits.shape)} for {n} images; a row for each."
        )
    return check_finite(logits)


def _check_names(output: Output, used: Preset | None, count: int) -> None:
    if used is None or len(output.names) in (0, count):
        return
    raise ValueError(
        f"{caller()}: preset {used.name!r} names {len(output.names)} classes and the network "
        f"has {count} outputs; the same number. Pass preset=rv.Preset(...) with its names."
    )
