"""To Ray: imported when it is asked for, connected for as long as a scan takes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resviz.arguments import caller

if TYPE_CHECKING:
    from types import ModuleType


def imported() -> ModuleType:
    """Ray, with Ray Data.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as err:
        raise ImportError(
            f"{caller()}: engine 'ray', and Ray Data is not installed; Ray 2.60 or newer would be "
            "right: pip install 'resviz[ray]'. Or engine='local'."
        ) from err
    return ray


@contextmanager
def connected(ray: ModuleType) -> Iterator[None]:
    """With Ray initialised; what was started here is ended here.

    Where the caller has not, ``ray.init()`` finds a cluster (``RAY_ADDRESS``, or one that was
    started on this machine), or makes one of this machine alone.

    Raises:
        RuntimeError: it does neither.
    """
    if ray.is_initialized():
        yield
        return
    try:
        _connect(ray)
        yield
    finally:
        ray.shutdown()


def _connect(ray: ModuleType) -> None:
    try:
        ray.init(logging_level=logging.WARNING, log_to_driver=False, include_dashboard=False)
    except Exception as err:  # what a raylet that does not start raises is an Exception
        raise RuntimeError(
            f"{caller()}: Ray was neither found nor started here ({type(err).__name__}: {err}); a "
            "cluster that runs, named by RAY_ADDRESS or ray.init(address), would be right. Or "
            "engine='local'."
        ) from err


@contextmanager
def in_order(ray: ModuleType) -> Iterator[None]:
    """Ray Data as a scan wants it: silent, results in order, a piece whole."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = None
    log = logging.getLogger("ray.data")
    level = log.level
    with ray.data.DataContext.current(context):
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
