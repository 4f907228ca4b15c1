"""L2 norms of parameters and their gradients."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from resviz.compiled.sums import is_direct
from resviz.recording.statistics import Number, is_compiled, sums_of_squares, widest
from resviz.torch_private import norms as fused_norms


def norms(tensors: Sequence[Tensor | None], threads: int | None = None) -> list[Number]:
    """Of each, NaN for None and for what is empty; on a GPU one fused call per dtype.

    On a CPU on so many threads; None for as many as torch computes on.

    Example:
        >>> norms([torch.tensor([3.0, 4.0]), None])
        [5.0, nan]
    """
    result: list[Number] = [math.nan] * len(tensors)
    alone: list[int] = []
    groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for i, tensor in enumerate(tensors):
        if tensor is None or not tensor.numel() or not _has_norm(tensor):
            continue
        if tensor.is_cpu or not _is_plain(tensor):  # the fused call sums in float32 there
            alone.append(i)
        else:
            groups.setdefault((tensor.device, tensor.dtype), []).append(i)
    chosen = [t for i in alone if (t := tensors[i]) is not None]
    for i, total in zip(alone, sums_of_squares(chosen, threads), strict=True):
        result[i] = total**0.5
    for members in groups.values():
        chosen = [t.detach() for i in members if (t := tensors[i]) is not None]
        for i, norm in zip(members, fused_norms(chosen, widest(chosen[0])), strict=True):
            result[i] = norm
    return result


class NormsBeside:
    """Norms of tensors that nobody writes to, read by a thread while this one makes tables.

    Where nothing is compiled, or torch computes on one thread, all is done when they are asked for.

    Args:
        tensors: of which :meth:`read` gives the norms, as :func:`norms` does.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        self._found: list[Number] = []
        self._thread: threading.Thread | None = None
        if torch.get_num_threads() > 1 and all(map(is_direct, tensors)) and is_compiled():
            self._thread = threading.Thread(target=self._run, name="resviz-norms", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        self._found = norms(self._tensors, threads=1)

    def read(self) -> list[Number]:
        """The norms."""
        if self._thread is not None:
            self._thread.join()
        return self._found or norms(self._tensors)


def _has_norm(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.is_floating_point()
