"""How a training goes: the learning rate of each step, and where its random numbers come from.

Everything random is drawn from (seed, epoch) or (seed, step) alone, never from a running generator:
what a network does next depends on its numbers and on the step it has reached, so a stopped
training goes on exactly as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4  # He et al. 2015, section 4.2
WARM = 0.25  # of all steps: until there the learning rate rises to its peak


@dataclass(frozen=True)
class Plan:
    """How every network of a comparison is trained.

    Attributes:
        data: name of the data set.
        fingerprint: of its numbers.
        epochs: passes over the training images.
        batch: images per step; what is left over at an epoch's end is not used in it.
        steps: per epoch.
        rate: the peak learning rate.
        augment: training images are shifted and mirrored.
        record_every: epochs between two measurements of gradient norms.
    """

    data: str
    fingerprint: str
    epochs: int
    batch: int
    steps: int
    rate: float
    augment: bool
    record_every: int

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0: one cycle over the whole training.

        L. Smith and N. Topin 2017, https://arxiv.org/abs/1708.07120, as torch's OneCycleLR has it:
        half a cosine from rate / 25 up to `rate`, then half a cosine down to nearly 0. A single
        step has `rate`: torch's is at its end with it, and learns nothing.
        """
        last = self.epochs * self.steps - 1
        if not last:
            return self.rate
        peak = WARM * (last + 1) - 1
        if step <= peak:
            return _cosine(self.rate / 25, self.rate, step / peak if peak > 0 else 1.0)
        return _cosine(self.rate, self.rate / 25e4, (step - peak) / (last - peak))


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


def mixed(seed: int, purpose: int, number: int) -> int:
    """A seed of its own for each purpose and step."""
    return int(np.random.SeedSequence([seed, purpose, number]).generate_state(1, np.uint64)[0])


@contextmanager
def own_random(device: torch.device) -> Iterator[Any]:
    """Yields a function that seeds torch for the next step; the caller's random state comes back.

    For dropout and the like, which draw from torch's global generators.
    """
    cuda = device.type == "cuda"
    index = device.index if device.index is not None else 0
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[index] if cuda else []))

        def reseed(seed: int) -> None:
            torch.default_generator.manual_seed(seed)
            if cuda:
                torch.cuda.default_generators[index].manual_seed(seed)

        yield reseed
