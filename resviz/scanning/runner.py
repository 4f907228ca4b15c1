"""The pass over one batch, wherever it runs: on the device, out of memory, with broken images."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.errors import NonFinite
from resviz.given import Inputs
from resviz.hooks import Hooks
from resviz.images import to_pictures
from resviz.networks.first_call import check_pass
from resviz.networks.outputs import Output, output_of
from resviz.preset import Preset
from resviz.recording.losses import choose
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.batch import Batch, Ints
from resviz.scanning.measures.faithfulness import Faithfulness
from resviz.scanning.sources import Loaded
from resviz.scanning.watching import Watch

OutOfMemory = torch.OutOfMemoryError


@dataclass(frozen=True)
class Settings:
    """How batches are run.

    Attributes:
        device: where.
        batch: images at a time.
        amp: autocast to this dtype; None: not at all.
        channels_last: memory format of the images.
        strict: stop at an image that cannot be read or gives NaN.
        shape: of an image that the network takes.
    """

    device: torch.device
    batch: int
    amp: torch.dtype | None = None
    channels_last: bool = False
    strict: bool = False
    shape: tuple[int, ...] = ()


class Runner:
    """Runs batches and gives what they left to the measures.

    Args:
        net: the network, inside a frame that puts it back.
        seen: where the numbers go.
        hooks: of that frame.
        settings: how.
        preset: for pictures and the meaning of the output.

    Attributes:
        batch: images at a time; less after a batch did not fit into memory.
    """

    def __init__(
        self,
        net: nn.Module,
        seen: Accumulated,
        hooks: Hooks,
        settings: Settings,
        preset: Preset | None,
    ) -> None:
        plan = seen.plan
        self.batch = settings.batch
        self._net, self._seen, self._settings, self._preset = net, seen, settings, preset
        self._gradients = "gradients" in plan.measures
        self._hooks = hooks
        sums = "residuals" in plan.measures
        self._watch = Watch(net, plan.sites, hooks, plan.top, seen.floors, sums=sums)
        self._checked = False

    def take(self, loaded: Loaded) -> None:
        """One batch as it was read.

        Raises:
            RuntimeError: with ``strict``, an image that could not be read, or of a shape that the
                network does not take.
            NonFinite: with ``strict``, one that gives NaN or infinity.
        """
        for position, reason in loaded.failed:
            if self._settings.strict:
                raise RuntimeError(
                    f"{caller()}: image {position} cannot be read ({reason}); "
                    "on_error='skip' leaves such images out."
                )
            self._seen.skip(position, reason)
        for images, inputs, labels in loaded.groups:
            order = np.argsort(images, kind="stable")
            if (order[1:] < order[:-1]).any():
                images, inputs, labels = images[order], inputs[order], labels[order]
            self._all(images, inputs, labels)

    def _all(self, images: Ints, inputs: Tensor, labels: Ints) -> None:
        """In parts that fit into memory."""
        at = 0
        while at < len(images):
            part = slice(at, at + self.batch)
            try:
                batch = self._taken(images[part], inputs[part], labels[part])
            except OutOfMemory:
                if self.batch == 1 or len(images[part]) == 1:
                    raise
                batch = None
            if batch is None:  # outside of the except: the error holds on to the tensors
                self.batch = max(1, min(self.batch, len(images[part])) // 2)
                if self._settings.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            self._seen.update(batch)
            self._judge(batch, images[part], inputs[part])
            at += len(images[part])

    def _judge(self, batch: Batch, images: Ints, inputs: Tensor) -> None:
        """Faithfulness, of those images of the batch that are in its sample."""
        measure = self._seen.measures.get("faithfulness")
        if not isinstance(measure, Faithfulness):
            return
        for image in np.intersect1d(batch.images, self._seen.plan.sampled).tolist():
            row = int(np.flatnonzero(images == image)[0])
            one = inputs[row : row + 1].to(self._settings.device)
            measure.judge(self._net, image, one, self._preset)

    def _taken(self, images: Ints, inputs: Tensor, labels: Ints) -> Batch:
        """One pass; images of a shape that the network does not take are left out."""
        shape = tuple(inputs.shape[1:])
        try:
            return self._measured(images, inputs, labels)
        except Exception as err:  # what a network raises is anybody's guess
            if shape == self._settings.shape or isinstance(err, OutOfMemory | NonFinite):
                raise
            reason = f"of shape {shape}: {' '.join(f'{type(err).__name__}: {err}'.split())}"
            if self._settings.strict:
                raise RuntimeError(
                    f"{caller()}: the network does not take image {images[0]} ({reason}); images "
                    f"as {self._settings.shape}. on_error='skip' leaves others out."
                ) from err
        for image in images.tolist():
            self._seen.skip(image, reason)
        return _nothing()

    def _measured(self, images: Ints, inputs: Tensor, labels: Ints) -> Batch:
        """One pass; images that give NaN or infinity are left out, the others measured again."""
        batch = self._passed(images, inputs, labels)
        activations, gradients = _broken(batch)
        broken = activations | gradients
        if not broken.any():
            return batch
        bad = images[broken].tolist()
        kinds = ["activations" if each else "gradients" for each in activations[broken]]
        if self._settings.strict:
            raise NonFinite(
                f"{caller()}: {kinds[0]} that are NaN or infinite for image {bad[0]} ({len(bad)} "
                f"of {len(images)} in its batch); finite numbers. on_error='skip' leaves such "
                "images out; rv.record names the layer where it starts."
            )
        for image, kind in zip(bad, kinds, strict=True):
            self._seen.skip(image, f"{kind} that are NaN or infinite")
        if broken.all():
            return _nothing()
        kept = np.flatnonzero(~broken)
        return self._measured(images[kept], inputs[kept], labels[kept])

    def _passed(self, images: Ints, inputs: Tensor, labels: Ints) -> Batch:
        given = inputs.to(self._settings.device, non_blocking=True)
        if self._settings.channels_last and given.ndim == 4:
            given = given.contiguous(memory_format=torch.channels_last)
        if given.data_ptr() == inputs.data_ptr():
            given = given.clone()  # a network may write into it
        if self._gradients and given.is_floating_point():
            given.requires_grad_()
        self._check(given)
        with self._autocast():
            taken = given.clone() if given.requires_grad else given  # a leaf is not written into
            returned = self._watch.run(taken, images, gradients=self._gradients)
            predictions, probabilities = self._said(returned, given)
        sites, additions = self._watch.settled()
        shown = inputs if self._preset is not None and self._preset.mean else None

        def pictures(rows: Ints) -> NDArray[np.uint8]:
            chosen = inputs[torch.from_numpy(rows)]
            return to_pictures(chosen, self._preset).numpy()  # type: ignore[arg-type]

        fits = shown is not None and shown.ndim == 4
        fits = fits and shown.shape[1] == self._preset.channels  # type: ignore[union-attr]
        return Batch(
            images,
            labels,
            predictions.cpu().numpy().astype(np.int64),
            probabilities.double().cpu().numpy(),
            sites,
            additions,
            pictures if fits else None,
        )

    def _check(self, given: Tensor) -> None:
        """The first batch is checked layer by layer, so that errors say what is wrong."""
        if self._checked:
            return
        with torch.no_grad():
            check_pass(self._net, Inputs.of(given.detach()[:1].clone()))
        self._checked = True

    def _autocast(self) -> Any:
        amp, kind = self._settings.amp, self._settings.device.type
        return nullcontext() if amp is None else torch.autocast(kind, amp)

    def _said(self, returned: Any, given: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) predictions and their probabilities; with gradients, the backward too."""
        output = output_of(self._preset, Inputs.of(given))
        logits = output.tensor_or_none(returned)
        n, device = len(given), given.device
        if self._gradients:
            leaves = [given] if given.requires_grad else [*self._net.parameters()]  # of tokens
            _backward(returned, output, [leaf for leaf in leaves if leaf.requires_grad])
        nothing = torch.full((n,), -1, device=device), torch.full((n,), torch.nan, device=device)
        if logits is None or len(logits) != n:
            return nothing
        output = output.seen(logits.detach())
        if output.kind not in ("classes", "logit"):
            return nothing
        sure = output.probabilities(logits.detach())
        if sure is None:
            return nothing
        best = sure.max(1)
        return best.indices, best.values


def _backward(returned: Any, output: Output, leaves: list[Tensor]) -> None:
    """Of the score of what the network says, summed: the hooks see each image's gradient."""
    per_image = choose(returned, None, "logit", output).per_image
    if per_image is None or not per_image.requires_grad:
        raise ValueError(
            f"{caller()}: measure 'gradients', and an output that is no score of anything, or all "
            "parameters of a network of tokens frozen; a network with classes, labels or a value, "
            "and parameters that require gradients, would be right."
        )
    torch.autograd.grad(per_image.sum(), leaves, allow_unused=True)


def _broken(batch: Batch) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(N,) which images give NaN or infinity: in a layer or what the network says; in gradients."""
    found = [np.isfinite(s.mean).all(1) & np.isfinite(s.spread).all(1) for s in batch.sites]
    said = (batch.predictions < 0) | np.isfinite(batch.probabilities)
    finite: NDArray[np.bool_] = np.logical_and.reduce([*found, said])
    steep = [~np.isfinite(s.gradient) for s in batch.sites if s.gradient is not None]
    return ~finite, np.logical_or.reduce([np.zeros_like(finite), *steep])


def _nothing() -> Batch:
    """A batch of which no image is left."""
    none = np.empty(0, np.int64)
    return Batch(none, none, none, np.empty(0), [])
