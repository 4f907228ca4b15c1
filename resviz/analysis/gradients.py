"""Gradient norms against depth."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from torch import Tensor, nn

from resviz.arguments import public
from resviz.given import Images
from resviz.recording.losses import Loss
from resviz.recording.recorder import record


@public
def gradient_norms(
    net: nn.Module,
    images: Images,
    targets: Tensor | Sequence[int] | None = None,
    loss: str | Loss | None = None,
    batch_stats: bool = False,
) -> pd.DataFrame:
    """Gradient norm of each weighted layer, with its depth and stage.

    Args:
        net: any network.
        images: as :func:`resviz.record` takes them.
        targets: (N,) class indices; None for each image's predicted class.
        loss: "logit" (default without targets), "cross_entropy" (default with targets), or a
            function (logits, targets) -> (N,).
        batch_stats: BatchNorm on this batch's statistics, as in training, instead of the running
            ones. It changes the gradients of an untrained network altogether.

    Returns:
        A row per weight of a convolution, linear or attention layer, in order of depth: ``layer``,
        ``parameter``, ``type``, ``depth``, ``stage``, ``projection`` (on a shortcut),
        ``gate`` (a layer of squeeze-and-excitation: its output only scales the main path),
        ``grad_norm`` (L2 norm of the gradient of the mean loss over the images), ``weight_norm``,
        ``shape``. ``attrs`` of the table say how it was measured.

    Raises:
        ValueError, TypeError, NonFinite, NotTraceable: as :func:`resviz.record`.

    Example:
        >>> import torch
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = gradient_norms(cifar_resnet(20, seed=0), torch.ones(2, 3, 32, 32))
        >>> len(table), table["layer"].iloc[-1]
        (20, 'linear')
    """
    recording = record(net, images, targets, loss, batch_stats=batch_stats)
    weighted = recording.parameters[recording.parameters["weighted"]]
    table = weighted.rename(columns={"norm": "weight_norm"}).sort_values("depth", kind="stable")
    columns = ["layer", "parameter", "type", "depth", "stage", "projection", "gate"]
    table = table[[*columns, "grad_norm", "weight_norm", "shape"]].reset_index(drop=True)
    table.attrs.update(recording.provenance)
    return table
