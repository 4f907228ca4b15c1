"""What the residual branches add to their shortcuts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
from torch import nn

from resviz.arguments import public
from resviz.errors import UnknownOutput
from resviz.given import Images
from resviz.networks.anatomy.additions import included
from resviz.recording.recorder import record


@public
def residual_branches(
    net: nn.Module,
    images: Images,
    gradients: bool | None = None,
    batch_stats: bool = False,
    *,
    include: str | Sequence[str] = (),
) -> pd.DataFrame:
    """A row per residual addition: how large branch and shortcut are, and how they lie.

    Args:
        net: any network.
        images: as :func:`resviz.record` takes them.
        gradients: also how the gradient divides between the two; False leaves those columns NaN,
            and so does None where no part of what the network returns is known to be its output, as
            of a detector: there is no loss then.
        batch_stats: BatchNorm on this batch's statistics instead of the running ones.
        include: kinds of sums that are not residual, to be listed too: "fusion", "inner", "adapter"
            or "all"; the column ``residual`` is False there. Below is what each of them is.

    A sum of two tensors that come from one earlier tensor, the root, is a **residual addition**
    where one operand, the shortcut, carries all of the root: as it is ("identity"), "scaled" by
    numbers, learned numbers, a norm or a gate, "padded" (also pooled, subsampled or cropped), or as
    a linear "projection" of all of it; the other, the branch, has parameters, mixes positions or
    channels, or has an activation; and the sum goes on as the stream. Other sums are "fusion" (two
    branches, streams or heads, or an operand that returns from another resolution: pyramids,
    HRNet, hourglasses), "inner" (of a slice of the root, as in Res2Net; a term of attention logits;
    a position that is added) or "adapter" (a weight beside its low-rank correction: LoRA).

    Returns:
        The ``residuals`` table of :func:`resviz.record`: rms of branch, shortcut and sum, ``ratio``
        (branch over shortcut), ``cosine`` between them, and the gradient's parts; where those are
        NaN, ``grad_reason`` says why. Empty for a network without residual additions. ``attrs``
        say how it was measured.

    Raises:
        ValueError, TypeError, NonFinite, NotTraceable: as :func:`resviz.record`.

    Example:
        >>> import torch
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = residual_branches(cifar_resnet(20, seed=0), torch.ones(2, 3, 32, 32))
        >>> table["kind"].tolist()[:4]
        ['identity', 'identity', 'identity', 'padded']
    """
    again = partial(record, net, images, batch_stats=batch_stats, include=included(include))
    try:
        recording = again(gradients=gradients is not False)
    except UnknownOutput:
        if gradients:
            raise
        recording = again(gradients=False)
    table = recording.residuals.copy()
    table.attrs.update(recording.provenance)
    return table
