"""The engine: pieces of a data set out to a cluster, their numbers back, merged in order."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from resviz.arguments import Progress, caller
from resviz.preset import Preset
from resviz.progress import bar
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.asking import first_image
from resviz.scanning.batch import Ints
from resviz.scanning.cluster.connection import connected, imported, in_order
from resviz.scanning.cluster.division import Share, cut
from resviz.scanning.cluster.pieces import (
    Network,
    Order,
    Piece,
    Result,
    pack_network,
    read,
    unpacked,
)
from resviz.scanning.runner import Settings
from resviz.scanning.sources import Source, Stream

if TYPE_CHECKING:
    from types import ModuleType

    from ray.data import Dataset

_ROOM = 2**26  # bytes of images in a piece, unless its numbers take more
_TRIES = 3  # failures in a row of the cluster itself, and no piece between them


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
    """Scan what of `source` is not in `seen` yet: arguments and result as of the local engine.

    `workers`: tasks that read at the same time; 0: as many as there is room for. Where Ray is not
    initialised, it is for the time of the scan, as ``ray.init()`` finds a cluster or makes one.

    Raises:
        ImportError: Ray is not installed.
        RuntimeError: the cluster fails again and again.
        TypeError: a stream, or a network or data set that cannot be sent to other processes.
    """
    ray = imported()
    _refuse_streams(source)
    done = seen.done()
    todo = np.setdiff1d(source.positions(), done, assume_unique=True)
    with bar(len(todo) + len(done), "scan", progress, done=len(done)) as shown:
        if not len(todo):
            return str(settings.device)
        job = _Job.of(ray, net, source, workers)
        with connected(ray):
            share = Share.of(node["Resources"] for node in ray.nodes() if node["Alive"])
            pieces = cut(todo, settings.batch, _largest(source, seen), chunk, share.actors)
            order = Order(seen.plan, _there(settings, share), preset, caller())
            with closing(job.numbers(order, share, pieces)) as parts:
                since = 0
                for part in parts:
                    seen.merge(part)
                    count = len(part.done())
                    shown.update(count)
                    since += count
                    if since >= chunk:
                        keep()
                        since = 0
    return str(order.settings.device)


def _refuse_streams(source: Source) -> None:
    if isinstance(source, Stream):
        raise TypeError(
            f"{caller()}: engine 'ray' with a stream, which can only be read from its beginning; "
            "a data set with a length would be right, as loader.dataset. Or engine='local'."
        )


def _largest(source: Source, seen: Accumulated) -> float:
    """Images in a piece at most: moving its numbers should cost no more than moving images."""
    image = first_image(source)[0]
    numbers = sum(array.nbytes for array in Accumulated(seen.plan).state().values())
    return max(_ROOM, numbers) / max(image.nbytes, 1)


def _there(settings: Settings, share: Share) -> Settings:
    return dataclasses.replace(settings, device=torch.device("cuda" if share.gpus else "cpu"))


@dataclass(frozen=True, eq=False)
class _Job:
    """Network and data set as they travel, and how many tasks read."""

    ray: ModuleType
    net: bytes
    source: bytes
    workers: int

    @classmethod
    def of(cls, ray: ModuleType, net: nn.Module, source: Source, workers: int) -> _Job:
        """Pickled, before anything is started."""
        packed = _packed("network", lambda: pack_network(net, ray.cloudpickle))
        sent = _packed("data set", lambda: ray.cloudpickle.dumps(source))
        return cls(ray, packed, sent, workers)

    def numbers(
        self, order: Order, share: Share, pieces: list[Ints]
    ) -> Generator[Accumulated, None, None]:
        """Of each piece, in their order, each once.

        Ray does again what was lost with a machine. What it cannot (the actor that made a result
        has ended since) is asked for again here.
        """
        came, failed = 0, 0
        while came < len(pieces):
            try:
                with closing(self._run(order, share, pieces[came:])) as found:
                    for row in found:
                        came, failed = came + 1, 0
                        yield unpacked(row, order.plan)
            except self.ray.exceptions.RayError as err:
                failed += 1
                if failed == _TRIES:
                    raise _given_up(err) from err

    def _run(self, order: Order, share: Share, pieces: list[Ints]) -> Generator[Result, None, None]:
        """One run of Ray Data."""
        ray = self.ray
        net, source = ray.put(self.net), ray.put(self.source)
        orders = ray.put(ray.cloudpickle.dumps(order))
        rows: list[Piece] = [{"piece": n, "images": piece} for n, piece in enumerate(pieces)]
        reading = functools.partial(
            read, source=source, batch=order.settings.batch, speaking=order.caller, fetch=ray.get
        )
        with in_order(ray):
            loaded = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                reading,
                num_cpus=share.reading,
                compute=ray.data.TaskPoolStrategy(size=self.workers or None),
            )
            measured = loaded.map(
                Network,
                fn_constructor_args=(net, orders, ray.get),
                compute=ray.data.ActorPoolStrategy(size=min(share.actors, len(pieces))),
                num_cpus=share.cpus,
                num_gpus=share.gpus,
            )
            yield from _whole(measured, len(pieces))


def _whole(measured: Dataset, count: int) -> Generator[Result, None, None]:
    """The rows of a Ray data set, of which none may be missing."""
    due = 0
    batches = measured.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow")
    with closing(iter(batches)) as found:
        for row in (row for batch in found for row in batch.to_pylist()):
            if row["piece"] != due:
                break
            yield row
            due += 1
    if due != count:
        raise RuntimeError(
            f"{caller()}: {due} of {count} pieces in order from the cluster; all of them would be "
            "right. Run it again: what is in path= stays."
        )


def _packed(what: str, pack: Callable[[], bytes]) -> bytes:
    try:
        return pack()
    except Exception as err:  # what __reduce__ raises is anybody's guess
        raise TypeError(
            f"{caller()}: a {what} that cannot be pickled ({type(err).__name__}: {err}), and so "
            "not sent to other processes; one that opens files and the like where they are used "
            "would be right. Or engine='local'."
        ) from err


def _given_up(err: Exception) -> RuntimeError:
    return RuntimeError(
        f"{caller()}: the cluster failed {_TRIES} times in a row ({type(err).__name__}: {err}); "
        "machines that have resviz and its versions, and room for the network, would be right. "
        "Run it again: what is in path= stays."
    )
