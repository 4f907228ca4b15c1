"""What the residual branches add to their shortcuts."""

from __future__ import annotations

import pandas as pd
from torch import nn

from resviz.arguments import public
from resviz.errors import UnknownOutput
from resviz.given import Images
from resviz.recording.recorder import record


@public
def residual_branches(
    net: nn.Module, images: Images, gradients: bool | None = None, batch_stats: bool = False
) -> pd.DataFrame:
    """A row per residual addition: how large branch and shortcut are, and how they lie.

    Args:
        net: any network.
        images: as :func:`resviz.record` takes them.
        gradients: also how the gradient divides between the two; False leaves those columns NaN,
            and so does None where no part of what the network returns is known to be its output, as
            of a detector: there is no loss then.
        batch_stats: BatchNorm on this batch's statistics instead of the running ones.

    Returns:
        The ``residuals`` table of :func:`resviz.record`: rms of branch, shortcut and sum, ``ratio``
        (branch over shortcut), ``cosine`` between them, and the gradient's parts. Empty for a
        network without residual additions. ``attrs`` say how it was measured.

    Raises:
        ValueError, TypeError, NonFinite, NotTraceable: as :func:`resviz.record`.

    Example:
        >>> import torch
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = residual_branches(cifar_resnet(20, seed=0), torch.ones(2, 3, 32, 32))
        >>> table["kind"].tolist()[:4]
        ['identity', 'identity', 'identity', 'padded']
    """
    try:
        recording = record(net, images, gradients=gradients is not False, batch_stats=batch_stats)
    except UnknownOutput:
        if gradients:
            raise
        recording = record(net, images, gradients=False, batch_stats=batch_stats)
    table = recording.residuals.copy()
    table.attrs.update(recording.provenance)
    return table
