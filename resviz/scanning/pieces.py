"""What the processes of a cluster do: read a piece of a data set, run it, hand back its numbers.

A piece is a few batches of images. Its numbers depend on its images alone, so that one that was
lost with a machine is done again, anywhere, and gives the same.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from resviz.arguments import public_as
from resviz.hooks import left_as_found
from resviz.preset import Preset
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.batch import Ints
from resviz.scanning.plan import Plan
from resviz.scanning.runner import Runner, Settings
from resviz.scanning.sources import Loaded, Source

Row = dict[str, Any]
Fetch = Callable[[Any], bytes]  # of what was sent to all processes
_NUMBERS, _ERROR, _LOADED = "numbers", "error", "loaded"


@dataclasses.dataclass(frozen=True, eq=False)
class Order:
    """What is to be done with every piece.

    Attributes:
        plan: of the scan.
        settings: how batches are run.
        preset: of the network.
        caller: the function whose name errors speak in.
    """

    plan: Plan
    settings: Settings
    preset: Preset | None
    caller: str


# ---- there and back
def pack_network(net: nn.Module, pickles: Any) -> bytes:
    """A network as bytes that a machine without its device can read.

    Args:
        net: the network; nothing of it changes.
        pickles: the module that pickles, as ``torch.save`` takes it.
    """
    written = io.BytesIO()
    torch.save(net, written, pickle_module=pickles)
    return written.getvalue()


def unpack_network(packed: bytes, device: torch.device) -> nn.Module:
    """What :func:`pack_network` wrote, on a device."""
    net: nn.Module = torch.load(io.BytesIO(packed), map_location=device, weights_only=False)
    return net


def unpacked(row: Row, plan: Plan) -> Accumulated:
    """The numbers of a piece.

    Raises:
        Exception: what was raised there, with the traceback from there as a note.
    """
    content = pickle.loads(row["content"])
    if row["kind"] == _ERROR:
        raise content
    found = Accumulated(plan)
    found.load(*content)
    return found


def _row(piece: int, kind: str, content: Any) -> Row:
    return {"piece": piece, "kind": kind, "content": pickle.dumps(content, 5)}


def _failed(piece: int, error: Exception) -> Row:
    """An error as a result: raised in a task, a cluster would wrap it and try again."""
    text = "".join(traceback.format_exception(error))
    try:
        carried = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  # an error of the user's that cannot be pickled
        carried = RuntimeError(f"{type(error).__name__}: {error}")
    carried.add_note(f"In a process of the cluster:\n{text}")
    return _row(piece, _ERROR, carried)


# ---- the work
_sources: dict[Any, Source] = {}  # of the last scan: many tasks run in one process


def read(row: Row, source: Any, batch: int, caller: str, fetch: Fetch) -> Row:
    """The images of a piece.

    Args:
        row: ``piece``, its number, and ``images``, their positions.
        source: where the data set was put.
        batch: images at a time.
        caller: as in an `Order`.
        fetch: gets what was put.
    """
    piece = int(row["piece"])
    try:
        return _row(piece, _LOADED, public_as(caller)(_read)(row["images"], source, batch, fetch))
    except Exception as error:  # noqa: BLE001  # goes to the caller as it is
        return _failed(piece, error)


def _read(images: Ints, source: Any, batch: int, fetch: Fetch) -> list[Loaded]:
    if source not in _sources:
        _sources.clear()
        _sources[source] = pickle.loads(fetch(source))
    return list(_sources[source].batches(images, batch, 0, False))


class Network:
    """The network in a process that stays: runs one piece after the other.

    Args:
        net: where the network was put.
        order: where the order was.
        fetch: gets what was put.
    """

    def __init__(self, net: Any, order: Any, fetch: Fetch) -> None:
        self._given = net, order, fetch
        self._loaded: tuple[nn.Module, Order] | None = None

    def __call__(self, row: Row) -> Row:
        """The numbers of a piece, of its images; or the error."""
        piece = int(row["piece"])
        if row["kind"] == _ERROR:
            return row
        try:
            net, order = self._loaded = self._loaded or self._load()
            seen, fitting = public_as(order.caller)(_run)(net, order, pickle.loads(row["content"]))
        except Exception as error:  # noqa: BLE001  # goes to the caller as it is
            return _failed(piece, error)
        settings = dataclasses.replace(order.settings, batch=fitting)
        self._loaded = net, dataclasses.replace(order, settings=settings)
        return _row(piece, _NUMBERS, (seen.state(), seen.skipped))

    def _load(self) -> tuple[nn.Module, Order]:
        net, order, fetch = self._given
        read_order: Order = pickle.loads(fetch(order))
        return unpack_network(fetch(net), read_order.settings.device), read_order


def _run(net: nn.Module, order: Order, batches: list[Loaded]) -> tuple[Accumulated, int]:
    """The numbers, and the size of batches that fits into memory."""
    seen = Accumulated(order.plan)
    with left_as_found(net, grad="gradients" in order.plan.measures) as hooks:
        runner = Runner(net, seen, hooks, order.settings, order.preset)
        for loaded in batches:
            runner.take(loaded)
    return seen, runner.batch
