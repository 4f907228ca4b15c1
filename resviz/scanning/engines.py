"""Where a scan runs: engines by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import nn

from resviz.arguments import Progress
from resviz.preset import Preset
from resviz.scanning import local
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.cluster import engine as cluster
from resviz.scanning.runner import Settings
from resviz.scanning.sources import Source


class Engine(Protocol):
    """Scans what of a source is not in `seen` yet, as :func:`resviz.scanning.local.run` does."""

    def __call__(
        self,
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
        """Scan; call `keep` after each chunk of images. Returns the device that it ran on."""


ENGINES: dict[str, Engine] = {"local": local.run, "ray": cluster.run}
