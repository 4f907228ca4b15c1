"""Scores of many variants of one picture, in chunks: what methods without gradients run on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import Progress
from resviz.attribution.targets import Targets
from resviz.given import Images, Inputs
from resviz.hooks import left_as_found, mixes_images
from resviz.progress import bar

_CPU_CHUNK, _GPU_CHUNK = 8, 64
_LAST = torch.channels_last


class Scorer:
    """Scores of variants of one image of a batch, without gradients.

    Args:
        net: the network; left as found by every call.
        inputs: the batch, on its device.
        targets: resolved.
        chunk: variants in one pass; None: 8 on a CPU, where more are slower, 64 on a GPU. One where
            images of a batch reach one another.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.
    """

    def __init__(
        self,
        net: nn.Module,
        inputs: Images,
        targets: Targets,
        chunk: int | None = None,
        progress: Progress = None,
    ) -> None:
        self.net, self.targets = net, targets
        self.inputs = Inputs.of(inputs).copies()
        self.chunk = 1 if mixes_images(net) else chunk or chunk_for(self.inputs)
        # on a CPU convolutions take 0.67 to 0.83 of the time, whatever the weights' format
        self._channels_last = self.inputs.device.type == "cpu"
        self.progress = progress

    def scores(
        self,
        image: int,
        variants: Iterable[Tensor],
        total: int,
        what: str,
        *,
        as_probability: bool = False,
        each: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """(M, T) scores of M variants of an image for its T targets.

        Args:
            image: its number in the batch.
            variants: chunks (m, C, H, W).
            total: M, for the bar.
            what: what the bar says.
            as_probability: targets that have one give their probability.
            each: called with the scores of each chunk as it is done.
        """
        parts = []
        with left_as_found(self.net), bar(total, what, self.progress) as shown:
            for part in variants:
                parts.append(self.read(self._run(image, part), image, as_probability))
                if each is not None:
                    each(parts[-1])
                shown.update(len(part))
        return torch.cat(parts)

    def _run(self, image: int, part: Tensor) -> Any:
        """The output for variants of an image, in the memory format that is fast on this device."""
        if self._channels_last and part.ndim == 4:
            try:
                return self.output(image, part.contiguous(memory_format=_LAST))
            except RuntimeError:  # a .view of what is no longer contiguous
                self._channels_last = False
        return self.output(image, part)

    def output(self, image: int, part: Tensor, net: nn.Module | None = None) -> Any:
        """What the network, or another, returns for variants of an image's picture."""
        return self.inputs.variants(image, part).run(self.net if net is None else net)

    def picture(self, image: int) -> Tensor:
        """(1, ...): an image as the network gets it, of the input that maps are about."""
        return self.inputs.one(image).picture

    def read(self, output: Any, image: int, as_probability: bool = False) -> Tensor:
        """(M, T) from the output for M variants of one image."""
        targets = self.targets
        columns = [targets.of(output, image, column) for column in range(targets.columns)]
        sure = targets.probabilities(output, image) if as_probability else None
        if sure is not None:
            return sure
        return torch.stack(columns, 1)


def as_variant(values: Tensor, picture: Tensor) -> Tensor:
    """Mixed or scaled values as numbers of the picture: whole ones are rounded, in their range.

    Example:
        >>> as_variant(torch.tensor([99.6, 300.0]), torch.tensor([200, 40], dtype=torch.uint8))
        tensor([100, 255], dtype=torch.uint8)
    """
    dtype = picture.dtype
    if not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool):
        limits = torch.iinfo(dtype)
        values = values.round().clamp(limits.min, limits.max)
    return values.to(picture)


def chunk_for(images: Tensor | Inputs) -> int:
    """How many variants run at once where nobody says."""
    return _CPU_CHUNK if images.device.type == "cpu" else _GPU_CHUNK
