"""`channel_contributions`: which channels speak for a class, at every block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from resviz.arguments import caller, public
from resviz.attribution.about import About
from resviz.attribution.channels import Channels
from resviz.attribution.choose import read_layers
from resviz.attribution.layer import Layer, key_of
from resviz.attribution.shared_pass import SharedPass
from resviz.attribution.target import Wanted
from resviz.attribution.targets import Targets
from resviz.given import Images
from resviz.hooks import gradients
from resviz.networks.anatomy.survey import survey
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import output_of
from resviz.preset import Preset
from resviz.provenance import preset_or_none, provenance


@public
def channel_contributions(
    net: nn.Module,
    images: Images,
    targets: Wanted = None,
    layers: str | Layer | Sequence[str | Layer] = "blocks",
    *,
    preset: Preset | None = None,
) -> pd.DataFrame:
    """What each channel of each block adds to the score of a class, to first order.

    The contribution of channel k is sum_p A_kp dy/dA_kp over its positions p: gradient times
    activation, as in HiResCAM (Draelos and Carin 2020, https://arxiv.org/abs/2011.08891), summed
    over the picture in place of over the channels. Where what follows is linear, as pooling and one
    linear layer after the last block of a ResNet, contributions add up to the score less the bias;
    earlier, ReLUs and BatchNorm lie in between, and they say what a small change would do. One
    forward pass, and one backward for each target.

    Args:
        net: as :func:`resviz.explain` takes it; left as found.
        images: likewise.
        targets: likewise; None: each image's predicted class.
        layers: likewise; "blocks": every residual block; without any, the other blocks; else the
            last layer of each stage.
        preset: for class names, instead of the network's own.

    Returns:
        A row per layer, image, target and channel, in this order: ``layer``, ``image``, ``target``
        (name), ``index`` (-1 for what is no single class), ``channel``, ``contribution`` (in units
        of the score, over all positions, those of class tokens too), ``weight`` (mean of the
        gradient over the positions of a map: w_k of Grad-CAM), ``mean`` and ``max`` of the
        activation there. ``attrs`` say how it was measured.

    Raises:
        NotTraceable, RuntimeError, TypeError, ValueError: as :func:`resviz.explain`.

    Example:
        >>> import torch
        >>> from resviz.networks.cifar import cifar_resnet
        >>> net = cifar_resnet(8, seed=0)
        >>> table = channel_contributions(net, torch.ones(1, 3, 32, 32), 3, "layer3")
        >>> score = net.eval()(torch.ones(1, 3, 32, 32))[0, 3] - net.linear.bias[3]
        >>> len(table), bool(abs(table["contribution"].sum() - score.item()) < 1e-4)
        (64, True)
    """
    check_hookable(net)
    inputs, known = check_images(net, images), preset_or_none(net, preset)
    if len(inputs.lengths) > 1:
        raise inputs.uneven()
    subject = About(net, inputs)
    aims = Targets(targets, inputs.count, output_of(known, inputs))
    with gradients(False):
        wanted = _layers(subject, layers)
        given = subject.settle(wanted)
        shared = SharedPass(net, given, aims, wanted, about=subject.layers)
        found = shared.channels()
    aims.warn_of_probabilities(shared.seen.logits, net, inputs)
    table = pd.concat(_tables(found, aims), ignore_index=True)
    about = provenance(net, inputs, known, batch_stats=False) | aims.about(shared.seen.logits)
    table.attrs.update({key: value for key, value in about.items() if key != "classes"})
    return table


def _layers(subject: About, layers: object) -> list[Layer]:
    if layers != "blocks":
        return read_layers(subject.net, subject.inputs, layers, subject.allows)
    steps = survey(subject.net, subject.inputs).steps
    found = [
        (str(path), int(call)) for path, call in zip(steps["layer"], steps["call"], strict=True)
    ]
    if not found:
        raise ValueError(
            f"{caller()}: no blocks or stages in {type(subject.net).__name__}; a network with "
            "layers before its head would be right. Or name layers: rv.list_layers(net)."
        )
    return found


def _tables(found: Mapping[Layer, Channels], aims: Targets) -> Iterator[pd.DataFrame]:
    """A table for each layer, image and target."""
    for layer, channels in found.items():
        numbers = {name: value.double().numpy() for name, value in channels.named().items()}
        for image, indices in enumerate(aims.indices):
            for column, index in enumerate(indices):
                place: dict[str, Any] = {"layer": key_of(layer), "image": image}
                place |= {"target": aims.names[image][column], "index": index}
                place |= {"channel": np.arange(channels.mean.shape[1])}
                for name in ("contribution", "weight"):
                    place[name] = numbers[name][image, column]
                yield pd.DataFrame(place | {n: numbers[n][image] for n in ("mean", "max")})
