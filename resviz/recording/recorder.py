"""`record`: one forward pass, and one backward, seen from inside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.arguments import caller, public
from resviz.errors import UnknownOutput
from resviz.given import Images, Inputs, Labels
from resviz.hooks import left_as_found
from resviz.networks.anatomy.additions import included
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import Output, describe, output_of
from resviz.preset import Preset
from resviz.provenance import displayed, preset_or_none, provenance
from resviz.recording import tables
from resviz.recording.checks import (
    check_batch_stats,
    check_finite,
    check_gradients,
    check_kept,
)
from resviz.recording.kept import (
    Kept,
    announce_size,
    read_keep,
    want_stage_ends,
    warn_of_range,
)
from resviz.recording.losses import Chosen, Loss, choose, known_targets
from resviz.recording.measuring import MeasuredPass
from resviz.recording.norms import NormsBeside, norms
from resviz.recording.recording import Recording
from resviz.recording.seen import Seen
from resviz.recording.statistics import Number, how
from resviz.torch_private import is_of_reentrant_checkpoint

Gradients = bool | Literal["activations"]


@dataclass(frozen=True)
class _Passed:
    """What the passes gave, and its tables as far as they need the network."""

    seen: Seen
    layers: pd.DataFrame
    residuals: pd.DataFrame
    parameters: pd.DataFrame
    logits: Tensor | None
    output: Output
    chosen: Chosen

    def recording(self, pictures: Tensor | None, kept: Kept, about: Mapping[str, Any]) -> Recording:
        """Them as a record, with what was seen and kept, and how it was made."""
        per_image = self.chosen.per_image
        return Recording(
            layers=self.layers,
            residuals=self.residuals,
            parameters=self.parameters,
            logits=None if self.logits is None else self.logits.detach().float().cpu(),
            targets=None if self.chosen.targets is None else self.chosen.targets.cpu(),
            loss=None if per_image is None else per_image.detach().float().cpu(),
            pictures=pictures,
            tensors=kept.tensors(),
            axes=kept.axes(),
            provenance={**about, "loss": self.chosen.name or None, **self.output.about()},
        )


@dataclass(frozen=True)
class _Asked:
    """What to differentiate, and what the output means."""

    targets: Any
    loss: str | Loss | None
    gradients: Gradients
    output: Output

    def of(self, returned: Any) -> Chosen:
        """Targets and loss of what the network returned; without gradients the targets alone."""
        if not self.gradients and self.loss is None:
            return known_targets(returned, self.targets, self.output)
        chosen = choose(returned, self.targets, self.loss, self.output)
        if chosen.per_image is None:
            without = " Or gradients=False." if caller() == "record" else ""
            raise UnknownOutput(
                f"{caller()}: an output of shape {describe(returned)} and no loss; (N, C) logits, "
                "a preset that says what the output means, or loss=a function (output, targets) -> "
                f"(N,), would be right.{without}"
            )
        if self.gradients and not chosen.per_image.requires_grad:
            raise ValueError(
                f"{caller()}: the loss does not depend on the network; a loss computed from the "
                "output would be right. Look for a .detach() or an argmax in it."
            )
        return chosen


@public
def record(
    net: nn.Module,
    images: Images,
    targets: Labels = None,
    loss: str | Loss | None = None,
    gradients: Gradients = True,
    batch_stats: bool = False,
    keep: str | Iterable[str] = (),
    *,
    keep_device: str | torch.device | None = "cpu",
    keep_dtype: torch.dtype | None = None,
    preset: Preset | None = None,
    allow_nonfinite: bool = False,
    include: str | Iterable[str] = (),
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
            (N, T) tokens; of several inputs a tuple, by position, or a dictionary, by keyword, as a
            tokenizer gives it; a list of images (C, H, W) for a detector. Tokens have no gradient.
        targets: (N,) class indices; of labels (N, C) zeros and ones, or N lists of indices; of one
            logit (N,) zeros and ones; of values (N,) or (N, K); of a map (N, H, W). None: what the
            network says.
        loss: "logit" (the target's score; the default without targets), "cross_entropy" (of classes
            and maps of them), "bce" (binary cross-entropy of labels, one logit, a map of one
            channel), "mse" (squared error of values), the default with targets; or a function
            (output, targets) -> (N,), called with what the network returns.
        gradients: False records the forward pass alone; "activations" leaves out those of the
            parameters, a third of the time, and of what the images do not reach.
        batch_stats: BatchNorm normalises by this batch's own mean and variance, as in training;
            its running statistics are put back. Dropout stays off.
        keep: tensors to keep: layers ("layer4"), "blocks" (stem and all block outputs; of a network
            without blocks, as VGG, the last layer with positions of each stage), "additions"
            (branch, shortcut and sum of every residual addition), parts of one addition
            ("layer1.0.add:branch", ":shortcut", ":sum", ":grad_branch", ":grad_shortcut",
            ":grad_sum"), gradients ("layer4:grad").
        keep_device: where kept tensors end up. "cpu": moved there after the pass; another device,
            or None for the network's own.
        keep_dtype: floating dtype of kept tensors; None for their own. Warns where it has no place
            for them: small gradients are zeros in float16.
        preset: how the images were made, for the pictures in the record; the network's own if None.
        allow_nonfinite: record NaN and infinite activations instead of raising.
        include: kinds of sums that are not residual, to be recorded too: "fusion", "inner",
            "adapter" or "all" (:mod:`resviz.networks.anatomy.additions` says what is what).

    Returns:
        A :class:`Recording`. Activation gradients are of the losses summed over the images,
        parameter gradients of their mean.

    Raises:
        NonFinite: a layer's output holds NaN or infinity (the first such layer is named).
        NotTraceable: a scripted or compiled network, in which hooks do not fire.
        TypeError: arguments of a wrong type; with gradients, a network of which no part is known to
            be the output, and no loss of your own.
        ValueError: no such layer, one that never ran, targets that do not fit what the output means
            (see :class:`resviz.Preset`), a wrong image shape.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> rec = record(cifar_resnet(20, seed=0), torch.zeros(2, 3, 32, 32), keep=["layer3"])
        >>> len(rec.residuals), rec["layer3"].shape
        (9, torch.Size([2, 64, 8, 8]))
    """
    check_hookable(net)
    kinds = included(include)
    backward = _is_backward(gradients)
    kept = read_keep(net, keep, backward)
    inputs = check_images(net, images)
    check_batch_stats(net, inputs, batch_stats)
    if backward:
        check_gradients(net)
    want_stage_ends(net, inputs, kept)
    kept.end_on(keep_device, keep_dtype)
    announce_size(net, inputs, kept)
    known = preset_or_none(net, preset)
    asked = _Asked(targets, loss, gradients, output_of(known, inputs))
    frame = {"grad": backward, "batch_stats": batch_stats, "parameters": backward}
    with left_as_found(net, **frame) as hooks:
        measured = MeasuredPass(net, kept, hooks, backward, include=kinds)
        passed = _passes(net, inputs, measured, asked)
        kept.settle_blocks(tables.block_paths(passed.seen))
    check_kept(kept, passed.layers, passed.seen)
    warn_of_range(kept)
    if not allow_nonfinite:
        check_finite(passed.layers)
    about = provenance(net, inputs, known, batch_stats=batch_stats, statistics=how(inputs.device))
    return passed.recording(displayed(inputs, known), kept, about)


def _is_backward(gradients: Gradients) -> bool:
    """Whether there is a backward pass."""
    if gradients is True or gradients is False or gradients == "activations":
        return bool(gradients)
    raise ValueError(
        f"{caller()}: gradients={gradients!r}; True, False or 'activations' would be right."
    )


def _passes(net: nn.Module, inputs: Inputs, measured: MeasuredPass, asked: _Asked) -> _Passed:
    """The forward pass and, where gradients are asked for, the backward."""
    leaves = inputs.leaves() if asked.gradients else inputs.copies()
    returned = measured.run(leaves.each(Tensor.clone))
    logits = asked.output.tensor_or_none(returned)
    if logits is not None and logits.shape == (1,) and inputs.count > 1 and asked.loss is None:
        raise ValueError(
            f"{caller()}: a single number for {inputs.count} images; an output for each would be "
            "right. A network that returns its loss has its logits inside."
        )
    chosen = asked.of(returned)
    parameters = list(net.parameters())
    grad_norms = None
    if asked.gradients and chosen.per_image is not None:
        images = [leaf for leaf in leaves if leaf.requires_grad]
        wanted = [p for p in parameters if p.requires_grad]
        if asked.gradients == "activations" and images:
            wanted = []
        elif wanted and not measured.of_images:
            images = []  # no gradient is read there: that of the first convolution is a dear one
        grad_norms = _backward(parameters, wanted, images, chosen.per_image)
    beside = NormsBeside(parameters)
    layers = tables.layers(measured.seen)
    residuals = tables.residuals(measured.seen, layers)
    return _Passed(
        measured.seen,
        layers,
        residuals,
        tables.parameters(net, measured.seen, layers, beside.read, grad_norms),
        logits=None if logits is None else logits.detach(),
        output=asked.output.seen(logits),
        chosen=chosen,
    )


def _backward(
    parameters: Sequence[Tensor],
    wanted: Sequence[Tensor],
    images: Sequence[Tensor],
    per_image: Tensor,
) -> list[Number]:
    """Norm of the mean loss's gradient for every parameter; the hooks see that of the sum.

    NaN for those that are not `wanted`. The backward goes as far as these and the `images`.
    """
    try:
        grads = torch.autograd.grad(per_image.sum(), [*wanted, *images], allow_unused=True)
    except RuntimeError as err:
        if not is_of_reentrant_checkpoint(err):
            raise
        raise RuntimeError(
            f"{caller()}: a network with checkpointing that is reentrant; use_reentrant=False "
            "would be right. Or record with checkpointing off, or with gradients=False."
        ) from err
    found = dict(zip(map(id, wanted), norms(grads[: len(wanted)]), strict=True))
    return [found[id(p)] / len(per_image) if id(p) in found else math.nan for p in parameters]
