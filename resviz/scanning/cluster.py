"""The Ray engine: Ray Data on the user's cluster; images are read in tasks, the network is actors.

A piece of the data set travels through two steps: a task reads it, an actor runs it. What comes
back are its numbers, merged here in the order of the pieces, each once. Ray does again what was on
a machine that died.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from resviz.arguments import Progress, caller
from resviz.preset import Preset
from resviz.progress import bar
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.asking import first_image
from resviz.scanning.batch import Ints
from resviz.scanning.pieces import Network, Order, Row, pack_network, read, unpacked
from resviz.scanning.runner import Settings
from resviz.scanning.sources import Source, Stream

_ROOM = 2**26  # bytes of images in a piece, unless its numbers take more
_EACH = 4  # pieces for each actor, at least: the last ones end at about the same time


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
) -> None:
    """Scan what of `source` is not in `seen` yet; the arguments are those of the local engine.

    `workers`: tasks that read at the same time; 0: as many as there is room for. Where Ray is not
    initialised, it is for the time of the scan, as ``ray.init()`` finds a cluster or makes one.

    Raises:
        ImportError: Ray is not installed.
        TypeError: a stream, or a network or data set that cannot be sent to other processes.
    """
    ray = _ray()
    if isinstance(source, Stream):
        raise TypeError(
            f"{caller()}: engine 'ray' with a stream, which can only be read from its beginning; "
            "a data set with a length would be right, as loader.dataset. Or engine='local'."
        )
    done = seen.done()
    todo = np.setdiff1d(source.positions(), done, assume_unique=True)
    with bar(len(todo) + len(done), "scan", progress, done=len(done)) as shown:
        if not len(todo):
            return
        sent = _Sent.of(ray, net, source)
        with _connected(ray):
            share = Share.of(ray.nodes())
            pieces = cut(todo, settings.batch, _largest(source, seen), chunk, share.actors)
            order = Order(seen.plan, _there(settings, share), preset, caller())
            since = 0
            with closing(_results(ray, sent, order, share, pieces, workers)) as results:
                for part in results:
                    seen.merge(part)
                    count = len(part.done())
                    since += count
                    shown.update(count)
                    if since >= chunk:
                        keep()
                        since = 0


# ---- how much, where
@dataclass(frozen=True)
class Share:
    """How a cluster is divided between the actors and the tasks that read.

    The actors would find room together on half of the smallest machine, and a task that reads on
    the rest: as long as one machine is left, nothing waits for room for ever. An actor asks for a
    little less than its part: Ray Data makes one step of two that ask for the same.

    Attributes:
        actors: how many.
        cpus: of a CPU, for each actor.
        reading: of a CPU, for each task that reads.
        gpus: for each actor.
    """

    actors: int
    cpus: float
    reading: float
    gpus: int

    @classmethod
    def of(cls, nodes: list[dict[str, Any]]) -> Share:
        """Of the machines that are there, as ``ray.nodes()`` lists them.

        An actor for each GPU, without GPUs for each CPU.
        """
        there = [node["Resources"] for node in nodes if node["Alive"]]
        cpus = [node["CPU"] for node in there if node.get("CPU", 0) > 0] or [1.0]
        gpus = int(sum(node.get("GPU", 0) for node in there))
        actors = gpus or max(1, int(sum(cpus)))
        half = min(cpus) / 2
        reading = min(half, 0.5)
        cpu = math.floor(1e4 * min(0.9 * half / actors, 0.8 * reading)) / 1e4
        return cls(actors, max(cpu, 1e-4), reading, 1 if gpus else 0)  # 1e-4: what Ray can count


def cut(todo: Ints, batch: int, largest: float, chunk: int, actors: int) -> list[Ints]:
    """The pieces: whole batches, several for each actor, none larger than it may be.

    Args:
        todo: positions of the images.
        batch: images at a time.
        largest: images in a piece at most.
        chunk: likewise.
        actors: how many there are.
    """
    fair = math.ceil(len(todo) / (_EACH * actors))
    most = max(min(int(largest), chunk), 1)
    size = min(math.ceil(fair / batch) * batch, most)
    size = size // batch * batch or size
    return [todo[at : at + size] for at in range(0, len(todo), size)]


def _largest(source: Source, seen: Accumulated) -> float:
    """Images in a piece at most: moving its numbers should cost no more than moving images."""
    image = first_image(source)[0]
    numbers = sum(array.nbytes for array in Accumulated(seen.plan).state().values())
    return max(_ROOM, numbers) / max(image.nbytes, 1)


def _there(settings: Settings, share: Share) -> Settings:
    return dataclasses.replace(settings, device=torch.device("cuda" if share.gpus else "cpu"))


# ---- Ray
@dataclass(frozen=True, eq=False)
class _Sent:
    """Network and data set, as they travel."""

    net: bytes
    source: bytes

    @classmethod
    def of(cls, ray: Any, net: nn.Module, source: Source) -> _Sent:
        """Pickled, before anything is started."""
        packed = _packed("network", lambda: pack_network(net, ray.cloudpickle))
        return cls(packed, _packed("data set", lambda: ray.cloudpickle.dumps(source)))


def _packed(what: str, pack: Callable[[], bytes]) -> bytes:
    try:
        return pack()
    except Exception as err:  # what __reduce__ raises is anybody's guess
        raise TypeError(
            f"{caller()}: a {what} that cannot be pickled ({type(err).__name__}: {err}), and so "
            "not sent to other processes; one that opens files and the like where they are used "
            "would be right. Or engine='local'."
        ) from err


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as err:
        raise ImportError(
            f"{caller()}: engine 'ray', and Ray Data is not installed; "
            "pip install 'resviz[ray]'. Or engine='local'."
        ) from err
    return ray


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """With Ray initialised; what was started here is ended here."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(logging_level=logging.WARNING, log_to_driver=False)
        yield
    finally:
        ray.shutdown()


@contextmanager
def _context(ray: Any) -> Iterator[None]:
    """Ray Data as a scan wants it: silent, results in order, a piece whole."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = None
    log = logging.getLogger("ray.data")
    level = log.level
    with ray.data.DataContext.current(context):
        log.setLevel(logging.WARNING)
        try:
            yield
        finally:
            log.setLevel(level)


def _results(
    ray: Any, sent: _Sent, order: Order, share: Share, pieces: list[Ints], workers: int
) -> Generator[Accumulated, None, None]:
    """The numbers of each piece, in their order, each once."""
    net, source = ray.put(sent.net), ray.put(sent.source)
    rows: list[Row] = [{"piece": n, "images": piece} for n, piece in enumerate(pieces)]
    with _context(ray):
        loaded = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            functools.partial(
                read, source=source, batch=order.settings.batch, caller=order.caller, fetch=ray.get
            ),
            num_cpus=share.reading,
            compute=ray.data.TaskPoolStrategy(size=workers or None),
        )
        measured = loaded.map(
            Network,
            fn_constructor_args=(net, ray.put(ray.cloudpickle.dumps(order)), ray.get),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(share.actors, len(pieces))),
            num_cpus=share.cpus,
            num_gpus=share.gpus,
        )
        batches = measured.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow")
        with closing(iter(batches)) as found:
            for due, row in enumerate(row for batch in found for row in batch.to_pylist()):
                if row["piece"] != due:
                    raise RuntimeError(
                        f"{caller()}: piece {row['piece']} from the cluster; {due} would be next. "
                        "Run it again: what is in path= stays."
                    )
                yield unpacked(row, order.plan)
