"""How a cluster is divided between the network and reading, and a data set into pieces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resviz.scanning.batch import Ints

_EACH = 4  # pieces for each actor, at least: the last ones end at about the same time


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
    def of(cls, machines: Iterable[Mapping[str, float]]) -> Share:
        """An actor for each GPU; without GPUs for each CPU.

        Args:
            machines: what each has, as Ray counts it: ``CPU``, ``GPU``.
        """
        there = list(machines)
        cpus = [machine["CPU"] for machine in there if machine.get("CPU", 0) > 0] or [1.0]
        gpus = int(sum(machine.get("GPU", 0) for machine in there))
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
