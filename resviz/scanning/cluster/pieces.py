"""What the processes of a cluster do: read a piece of a data set, run it, hand back its numbers.

A piece is a few batches of images. Its numbers depend on its images alone, so that one that was
lost with a machine is done again, anywhere, and gives the same.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TypedDict

import torch
from torch import nn

from resviz.arguments import caller, public_as
from resviz.hooks import left_as_found
from resviz.preset import Preset
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.batch import Ints
from resviz.scanning.plan import Plan
from resviz.scanning.runner import Runner, Settings
from resviz.scanning.sources import Loaded, Source

Fetch = Callable[[object], bytes]  # of what was sent to all processes
_NUMBERS, _ERROR, _LOADED = "numbers", "error", "loaded"


class Piece(TypedDict):
    """Its number, and the positions of its images."""

    piece: int
    images: Ints


class Result(TypedDict):
    """What became of a piece: its images, its numbers or an error, pickled."""

    piece: int
    kind: str
    content: bytes


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
def pack_network(net: nn.Module, pickles: ModuleType) -> bytes:
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
    with _found_there("network"):
        net: nn.Module = torch.load(io.BytesIO(packed), map_location=device, weights_only=False)
    return net


@contextmanager
def _found_there(what: str) -> Iterator[None]:
    """Classes travel by the name of their module, but for those of a notebook."""
    try:
        yield
    except (ImportError, AttributeError) as err:
        raise ImportError(
            f"{caller()}: a {what} whose code is not on the machines of the cluster ({err}); "
            "modules that all of them can import would be right: ray.init(runtime_env="
            "{'working_dir': '.'}) brings those of the current folder."
        ) from err


def unpacked(row: Result, plan: Plan) -> Accumulated:
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


def _row(piece: int, kind: str, content: object) -> Result:
    return {"piece": piece, "kind": kind, "content": pickle.dumps(content, 5)}


def _failed(piece: int, error: Exception) -> Result:
    """An error as a result: raised in a task, a cluster would wrap it and try again."""
    text = "".join(traceback.format_exception(error))
    try:
        carried = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  # an error of the user's that cannot be pickled
        carried = RuntimeError(f"{type(error).__name__}: {error}")
    carried.add_note(f"In a process of the cluster:\n{text}")
    return _row(piece, _ERROR, carried)


# ---- the work
_sources: dict[object, Source] = {}  # of the last scan: many tasks run in one process


def read(row: Piece, source: object, batch: int, speaking: str, fetch: Fetch) -> Result:
    """The images of a piece.

    Args:
        row: the piece.
        source: where the data set was put.
        batch: images at a time.
        speaking: the function whose name errors speak in.
        fetch: gets what was put.
    """
    piece = int(row["piece"])
    try:
        return _row(piece, _LOADED, public_as(speaking)(_read)(row["images"], source, batch, fetch))
    except Exception as error:  # noqa: BLE001  # goes to the caller as it is
        return _failed(piece, error)


def _read(images: Ints, source: object, batch: int, fetch: Fetch) -> list[Loaded]:
    if source not in _sources:
        _sources.clear()
        with _found_there("data set"):
            _sources[source] = pickle.loads(fetch(source))
    return list(_sources[source].batches(images, batch, 0, False))


class Network:
    """The network in a process that stays: runs one piece after the other.

    Args:
        net: where the network was put.
        order: where the order was.
        fetch: gets what was put.
    """

    def __init__(self, net: object, order: object, fetch: Fetch) -> None:
        self._given = net, order, fetch
        self._loaded: tuple[nn.Module, Order] | None = None

    def __call__(self, row: Result) -> Result:
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
        given: Order = pickle.loads(fetch(order))
        device = given.settings.device
        return public_as(given.caller)(unpack_network)(fetch(net), device), given


def _run(net: nn.Module, order: Order, batches: list[Loaded]) -> tuple[Accumulated, int]:
    """The numbers, and the size of batches that fits into memory."""
    seen = Accumulated(order.plan)
    with left_as_found(net, grad="gradients" in order.plan.measures) as hooks:
        runner = Runner(net, seen, hooks, order.settings, order.preset)
        for loaded in batches:
            runner.take(loaded)
    return seen, runner.batch
