"""`record`: one forward pass, and one backward, seen from inside."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resviz.hooks import Hooks, left_as_found
from resviz.networks.anatomy.dataflow import Addition, Dataflow, tensors_in
from resviz.networks.anatomy.structure import is_leaf, may_be_block
from resviz.networks.inputs import check_first_call, check_hookable, check_images, logits_of
from resviz.preset import Preset
from resviz.provenance import displayed, preset_or_none, provenance
from resviz.recording import tables
from resviz.recording.checks import (
    check_batch_stats,
    check_finite,
    check_kept,
)
from resviz.recording.kept import Kept, announce_size, read_keep
from resviz.recording.losses import Loss, choose
from resviz.recording.recording import Recording
from resviz.recording.split import GradientSplit
from resviz.recording.statistics import Measured, mean_product, mean_square, measure
from resviz.torch_private import is_of_reentrant_checkpoint, unwatched, version

Inputs = Tensor | tuple[Tensor, ...]


class Pass:
    """What one pass leaves behind: rows whose numbers are still on the device."""

    def __init__(self, net: nn.Module, kept: Kept, hooks: Hooks, gradients: bool) -> None:
        self.rows: list[dict[str, Any]] = []
        self.additions: list[dict[str, Any]] = []
        self.flow = Dataflow(self._before_addition, self._after_addition)
        self._net, self._kept, self._hooks, self._gradients = net, kept, hooks, gradients
        self._calls: Counter[str] = Counter()
        self._running: list[int] = []
        self._measured: dict[int, tuple[weakref.ref[Tensor], int, Measured]] = {}
        self._stem: tuple[str, int] | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._forward = True
        self._watch()

    # ---- hooks
    def _watch(self) -> None:
        for path, module in self._net.named_modules():
            if path == "":
                continue
            self._hooks.before_forward(module, self._entering(path, module))
            self._hooks.forward(module, self._leaving(path, module))

    def _entering(self, path: str, module: nn.Module) -> Any:
        leaf, block = is_leaf(module), may_be_block(path, module)

        def enter(_: nn.Module, args: Any) -> None:
            if not self._forward:
                return
            call = self._calls[path]
            self._calls[path] += 1
            self._running.append(call)
            if not self.rows:
                check_first_call("record", module, args, self._inputs)
            self.flow.enter(path, call, leaf)
            if block and self._kept.every_block and self._stem is None and self.rows:
                last = next((r for r in reversed(self.rows) if r["kind"] == "leaf"), None)
                if last is not None and args and isinstance(args[0], Tensor):
                    self._stem = (last["layer"], last["call"])
                    with unwatched():
                        self._kept.store(last["layer"], last["call"], args[0])

        return enter

    def _leaving(self, path: str, module: nn.Module) -> Any:
        leaf, block = is_leaf(module), may_be_block(path, module)

        def leave(_: nn.Module, args: Any, output: Any) -> None:
            if not self._forward:
                return
            call = self._running.pop()
            self.flow.leave()
            tensor = next(tensors_in(output), None)
            if tensor is None:
                return
            depth = self.flow.depth_of(output)
            with unwatched():
                if leaf or block:
                    row = {"layer": path, "call": call, "type": type(module).__name__}
                    row |= {"kind": "leaf" if leaf else "block", "depth": depth}
                    self._add_row(row, tensor)
                self._keep(path, call, tensor, block)

        return leave

    def _keep(self, path: str, call: int, tensor: Tensor, block: bool) -> None:
        if self._kept.wants(path) or (block and self._kept.every_block):
            self._kept.store(path, call, tensor)
        if self._kept.wants(f"{path}:grad") and tensor.requires_grad:
            self._hooks.gradient(tensor, lambda g: self._kept.store(f"{path}:grad", call, g))

    # ---- rows
    def _measure(self, tensor: Tensor) -> Measured:
        """Statistics of a tensor; the same tensor in the same state is measured once."""
        known = self._measured.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1] == version(tensor):
            return known[2]
        statistics = measure(tensor)
        self._measured[id(tensor)] = (weakref.ref(tensor), version(tensor), statistics)
        return statistics

    def _add_row(self, row: dict[str, Any], tensor: Tensor) -> None:
        row |= {"shape": tuple(tensor.shape), "measured": self._measure(tensor)}
        self.rows.append(row)
        if self._gradients and tensor.requires_grad:
            self._hooks.gradient(tensor, lambda g: row.update(grad_ms=mean_square(g)))

    # ---- additions
    def _before_addition(self, addition: Addition, branch: Tensor, shortcut: Tensor) -> None:
        row: dict[str, Any] = {"addition": addition, "shape": tuple(branch.shape)}
        row["branch"], row["shortcut"] = self._measure(branch), self._measure(shortcut)
        row["product"] = mean_product(branch, shortcut)
        for part, tensor in (("branch", branch), ("shortcut", shortcut)):
            if self._kept.wants_part(addition.name, part):
                self._kept.store(f"{addition.name}:{part}", addition.call, tensor)
        self.additions.append(row)

    def _after_addition(self, addition: Addition, total: Tensor) -> None:
        row, name, call, kept = self.additions[-1], addition.name, addition.call, self._kept
        row["sum_ms"] = mean_square(total)
        if kept.wants_part(name, "sum"):
            kept.store(f"{name}:sum", call, total)
        if not (self._gradients and total.requires_grad):
            return

        def parts(branch: Tensor, shortcut: Tensor) -> None:
            for part, gradient in (("grad_branch", branch), ("grad_shortcut", shortcut)):
                if kept.wants(f"{name}:{part}"):
                    kept.store(f"{name}:{part}", call, gradient)

        split = row["split"] = GradientSplit(addition, self._hooks, parts)

        def at_sum(gradient: Tensor) -> None:
            row["grad_sum_ms"] = mean_square(gradient)
            split.at_sum(gradient)
            if kept.wants(f"{name}:grad_sum"):
                kept.store(f"{name}:grad_sum", call, gradient)

        self._hooks.gradient(total, at_sum)

    @property
    def stem(self) -> str | None:
        """The last layer before the first block, where "blocks" are kept."""
        return self._stem[0] if self._stem is not None else None

    def forward(self, inputs: tuple[Tensor, ...]) -> Any:
        """The forward pass."""
        self._inputs = inputs
        try:
            with self.flow:
                for tensor in inputs:
                    self.flow.source(tensor)
                return self._net(*inputs)
        finally:
            self._forward, self._inputs = False, ()
            self._measured.clear()
            self.flow.end()

    def end(self) -> None:
        """Let go of the autograd graph."""
        for row in self.additions:
            split = row.pop("split", None)
            row["split_values"] = split.values if split is not None else {}


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
    check_hookable("record", net)
    kept = read_keep(net, keep, gradients)
    inputs = check_images("record", net, images)
    check_batch_stats(net, inputs, batch_stats)
    final = torch.device(keep_device) if keep_device is not None else None
    kept.dtype = keep_dtype
    kept.device = final if final != torch.device("cpu") else None
    announce_size(net, inputs, kept)
    with left_as_found(net, grad=gradients, batch_stats=batch_stats, parameters=gradients) as hooks:
        leaves = tuple(_leaf(tensor, gradients) for tensor in inputs)
        seen = Pass(net, kept, hooks, gradients)
        logits = logits_of("record", seen.forward(tuple(leaf.clone() for leaf in leaves)))
        chosen, per_image, loss_name = _loss(logits, targets, loss, gradients)
        if gradients:
            grads = _backward(net, leaves, per_image)
            seen.end()
        layers = tables.layers(seen)
        parameters = tables.parameters(net, seen, layers, grads if gradients else None)
        kept.drop_parts_of_blocks(tables.block_paths(seen), seen.stem)
    check_kept(kept, layers, seen)
    if not allow_nonfinite:
        check_finite(layers)
    known = preset_or_none("record", net, preset)
    return Recording(
        layers=layers,
        residuals=tables.residuals(seen, layers),
        parameters=parameters,
        logits=logits.detach().float().cpu(),
        targets=None if chosen is None else chosen.cpu(),
        loss=per_image.detach().float().cpu() if per_image is not None else None,
        pictures=displayed(inputs[0], known),
        tensors=kept.tensors(final),
        provenance=provenance(net, inputs, known, batch_stats=batch_stats, loss=loss_name),
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
            f"record: logits of shape {tuple(logits.shape)} and no loss; (N, C) logits, or "
            "loss=a function (logits, targets) -> (N,), would be right. Or gradients=False."
        )
    if gradients and not per_image.requires_grad:
        raise ValueError(
            "record: the loss does not depend on the network; a loss computed from the logits "
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
            "record: a network with checkpointing that is reentrant; use_reentrant=False would be "
            "right. Or record with checkpointing off, or with gradients=False."
        ) from err
    count = len(per_image)
    return {
        name: None if grad is None else grad / count
        for (name, _), grad in zip(named, grads, strict=False)
    }
