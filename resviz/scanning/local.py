"""The local engine: loader processes, one device, a chunk of images after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import nn

from resviz.arguments import Progress
from resviz.hooks import left_as_found
from resviz.preset import Preset
from resviz.progress import bar
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.batch import Ints
from resviz.scanning.runner import Runner, Settings
from resviz.scanning.sources import Loaded, Source, Stream


def run(
    net: nn.Module,
    source: Source,
    seen: Accumulated,
    settings: Settings,
    preset: Preset | None,
    *,
    workers: int,
    chunk: int,
    keep: Callable[[], None],
    progress: Progress,
) -> str:
    """Scan what of `source` is not in `seen` yet; the network is left as found.

    Args:
        net: the network.
        source: of the images.
        seen: where the numbers go.
        settings: how batches are run.
        preset: of the network.
        workers: processes that read.
        chunk: images after which `keep` is called.
        keep: writes what was seen so far.
        progress: as :func:`resviz.progress.bar` takes it.

    Returns:
        The device.
    """
    done = seen.done()
    todo = np.setdiff1d(source.positions(), done, assume_unique=True)
    gradients = "gradients" in seen.plan.measures
    with (
        bar(len(todo) + len(done), "scan", progress, done=len(done)) as shown,
        left_as_found(net, grad=gradients) as hooks,
    ):
        runner = Runner(net, seen, hooks, settings, preset)
        since = 0
        for loaded in _batches(source, todo, done, settings, workers):
            runner.take(loaded)
            count = sum(len(images) for images, *_ in loaded.groups) + len(loaded.failed)
            since += count
            shown.update(count)
            if since >= chunk:
                keep()
                since = 0
    return str(settings.device)


def _batches(
    source: Source, todo: Ints, done: Ints, settings: Settings, workers: int
) -> Iterator[Loaded]:
    pin = settings.device.type == "cuda"
    if not isinstance(source, Stream):
        if len(todo):
            yield from source.batches(todo, settings.batch, workers, pin)
        return
    for loaded in source.batches(todo, settings.batch, workers, pin):
        groups: list[Any] = []
        for images, inputs, labels in loaded.groups:
            new = np.flatnonzero(~np.isin(images, done))
            if len(new) == len(images):
                groups.append((images, inputs, labels))
            elif len(new):
                groups.append((images[new], inputs[new], labels[new]))
        yield Loaded(groups, [each for each in loaded.failed if each[0] not in done])
