"""`record`: one forward pass, and one backward, seen from inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.arguments import caller, public
from resviz.hooks import left_as_found
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import logits_of
from resviz.preset import Preset
from resviz.provenance import displayed, preset_or_none, provenance
from resviz.recording import tables
from resviz.recording.checks import check_batch_stats, check_finite, check_kept
from resviz.recording.kept import Kept, announce_size, read_keep
from resviz.recording.losses import Loss, choose
from resviz.recording.measuring import MeasuredPass
from resviz.recording.recording import Recording
from resviz.recording.seen import Seen
from resviz.torch_private import is_of_reentrant_checkpoint

Inputs = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class _Passed:
    """What the passes gave, and its tables as far as they need the network."""

    seen: Seen
    layers: pd.DataFrame
    parameters: pd.DataFrame
    logits: Tensor
    targets: Tensor | None
    per_image: Tensor | None
    loss: str | None

    def recording(self, pictures: Tensor | None, kept: Kept, about: Mapping[str, Any]) -> Recording:
        """Them as a record, with what was seen and kept, and how it was made."""
        return Recording(
            layers=self.layers,
            residuals=tables.residuals(self.seen, self.layers),
            parameters=self.parameters,
            logits=self.logits,
            targets=self.targets,
            loss=self.per_image,
            pictures=pictures,
            tensors=kept.tensors(),
            axes=kept.axes(),
            provenance=about,
        )


@public
def record(
    net: nn.Module,
    images: Inputs,
    targets: Tensor | Sequence[int] | None = None,
    loss: str | Loss | None = None,
    gradients: bool = True,
    batch_stats: bool = False,
    keep: str | Iterable[str] = (),
    *,
    keep_device: str | torch.device | None = "cpu",
    keep_dtype: torch.dtype | None = None,
    preset: Preset | None = None,
    allow_nonfinite: bool = False,
) -> Recording:
    """One recorded pass: a row per layer call, block, residual addition and parameter.

    One forward pass and, with `gradients`, one backward. Each tensor is measured in the moment it
    exists, before a later in-place operation writes over it. Branch, shortcut and sum are measured
    at the tensors that are added (He et al. 2015, https://arxiv.org/abs/1512.03385, Eq. 1); the
    gradient is divided between branch and shortcut at the tensor both come from.

    The network is run in eval mode and left as it was: modes, hooks, ``requires_grad``, ``.grad``,
    buffers, random state. Statistics are accumulated in float32 or better in any dtype.

    Args:
        net: any ``nn.Module``.
        images: (N, 3, H, W) as the network wants them, or any tensor it takes: (N, C, L) audio,
            (N, T) tokens; a tuple for a network with several inputs.
        targets: (N,) class indices. None: each image's predicted class.
        loss: "logit" (the target's logit; the default without targets), "cross_entropy" (the
            default with targets), or a function (logits, targets) -> (N,).
        gradients: False records the forward pass alone.
        batch_stats: BatchNorm normalises by this batch's own mean and variance, as in training;
            its running statistics are put back. Dropout stays off.
        keep: tensors to keep: layers ("layer4"), "blocks" (stem and all block outputs), "additions"
            (branch, shortcut and sum of every residual addition), parts of one addition
            ("layer1.0.add:branch", ":shortcut", ":sum", ":grad_branch", ":grad_shortcut",
            ":grad_sum"), gradients ("layer4:grad").
        keep_device: where kept tensors end up. "cpu": moved there after the pass; another device,
            or None for the network's own.
        keep_dtype: dtype of kept tensors; None for their own.
        preset: how the images were made, for the pictures in the record; the network's own if None.
        allow_nonfinite: record NaN and infinite activations instead of raising.

    Returns:
        A :class:`Recording`. Activation gradients are of the losses summed over the images,
        parameter gradients of their mean.

    Raises:
        NonFinite: a layer's output holds NaN or infinity (the first such layer is named).
        NotTraceable: a scripted or compiled network, in which hooks do not fire.
        TypeError: arguments of a wrong type; a network that returns no tensor.
        ValueError: no such layer, one that never ran, targets out of range, a wrong image shape.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> rec = record(cifar_resnet(20, seed=0), torch.zeros(2, 3, 32, 32), keep=["layer3"])
        >>> len(rec.residuals), rec["layer3"].shape
        (9, torch.Size([2, 64, 8, 8]))
    """
    check_hookable(net)
    kept = read_keep(net, keep, gradients)
    inputs = check_images(net, images)
    check_batch_stats(net, inputs, batch_stats)
    kept.end_on(keep_device, keep_dtype)
    announce_size(net, inputs, kept)
    known = preset_or_none(net, preset)
    passed = _passes(net, inputs, targets, loss, gradients, batch_stats, kept)
    check_kept(kept, passed.layers, passed.seen)
    if not allow_nonfinite:
        check_finite(passed.layers)
    about = provenance(net, inputs, known, batch_stats=batch_stats, loss=passed.loss)
    return passed.recording(displayed(inputs[0], known), kept, about)


def _passes(
    net: nn.Module,
    inputs: tuple[Tensor, ...],
    targets: Tensor | Sequence[int] | None,
    loss: str | Loss | None,
    gradients: bool,
    batch_stats: bool,
    kept: Kept,
) -> _Passed:
    """The forward pass and, with `gradients`, the backward."""
    with left_as_found(net, grad=gradients, batch_stats=batch_stats, parameters=gradients) as hooks:
        leaves = tuple(_leaf(tensor, gradients) for tensor in inputs)
        measured = MeasuredPass(net, kept, hooks, gradients)
        logits = logits_of(measured.run(tuple(leaf.clone() for leaf in leaves)))
        chosen, per_image, name = _loss(logits, targets, loss, gradients)
        grads = _backward(net, leaves, per_image) if gradients else None
        layers = tables.layers(measured.seen)
        parameters = tables.parameters(net, measured.seen, layers, grads)
        kept.drop_parts_of_blocks(tables.block_paths(measured.seen), measured.stem)
    return _Passed(
        measured.seen,
        layers,
        parameters,
        logits=logits.detach().float().cpu(),
        targets=None if chosen is None else chosen.cpu(),
        per_image=None if per_image is None else per_image.detach().float().cpu(),
        loss=name,
    )


def _leaf(tensor: Tensor, gradients: bool) -> Tensor:
    """A copy of an input: the network may write over it, and it may be differentiated."""
    return tensor.detach().clone().requires_grad_(gradients and tensor.is_floating_point())


def _loss(
    logits: Tensor,
    targets: Tensor | Sequence[int] | None,
    loss: str | Loss | None,
    gradients: bool,
) -> tuple[Tensor | None, Tensor | None, str | None]:
    """Targets, loss per image and its name; without gradients, targets alone."""
    if not gradients and loss is None:
        known = targets is not None or logits.ndim == 2
        return (choose(logits, targets, None)[0] if known else None), None, None
    chosen, per_image, name = choose(logits, targets, loss)
    if per_image is None:
        raise ValueError(
            f"{caller()}: logits of shape {tuple(logits.shape)} and no loss; (N, C) logits, or "
            "loss=a function (logits, targets) -> (N,), would be right. Or gradients=False."
        )
    if gradients and not per_image.requires_grad:
        raise ValueError(
            f"{caller()}: the loss does not depend on the network; a loss computed from the logits "
            "would be right. Look for a .detach() or an argmax in it."
        )
    return chosen, per_image, name


def _backward(
    net: nn.Module, leaves: tuple[Tensor, ...], per_image: Tensor | None
) -> dict[str, Tensor | None]:
    """Gradient of the mean loss for every parameter; the hooks see that of the sum."""
    if per_image is None:
        return {}
    named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    inputs = [p for _, p in named] + [leaf for leaf in leaves if leaf.requires_grad]
    try:
        grads = torch.autograd.grad(per_image.sum(), inputs, allow_unused=True)
    except RuntimeError as err:
        if not is_of_reentrant_checkpoint(err):
            raise
        raise RuntimeError(
            f"{caller()}: a network with checkpointing that is reentrant; use_reentrant=False "
            "would be right. Or record with checkpointing off, or with gradients=False."
        ) from err
    count = len(per_image)
    return {
        name: None if grad is None else grad / count
        for (name, _), grad in zip(named, grads, strict=False)
    }
