"""L2 norms of parameters and their gradients."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from resviz.compiled.sums import is_direct, one_pass
from resviz.recording.statistics import Number, sums_of_squares, widest
from resviz.torch_private import norms as fused_norms


def norms(tensors: Sequence[Tensor | None], squares: Sequence[float] | None = None) -> list[Number]:
    """Of each, NaN for None and for what is empty; on a GPU one fused call per dtype.

    `squares` are the sums of squares of those that C reads, where they are known already.

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
    for i, total in zip(alone, sums_of_squares(chosen, squares), strict=True):
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
        self._squares: list[float] | None = None
        self._thread: threading.Thread | None = None
        compiled = one_pass() if torch.get_num_threads() > 1 else None
        if compiled is not None and all(map(is_direct, tensors)):
            run = partial(self._run, compiled.squares_later(tensors))
            self._thread = threading.Thread(target=run, name="resviz-norms", daemon=True)
            self._thread.start()

    def _run(self, squares: Callable[[int], list[float]]) -> None:
        self._squares = squares(1)

    def read(self) -> list[Number]:
        """The norms."""
        if self._thread is not None:
            self._thread.join()
        return norms(self._tensors, self._squares)


def _has_norm(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.is_floating_point()
