"""Class activation maps in one pass over activations and gradients."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from resviz.compiled.library import library

_ROOM = 2**23  # numbers of the maps of parts, 32 MB: as many images at once as fit
MAPS = ("grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam")  # as in class_maps.c


class ClassMaps:
    """The functions of `class_maps.c`. Tensors are float32, contiguous, on the CPU, not empty."""

    def __init__(self, built: ctypes.CDLL) -> None:
        self._maps, self._room = built.class_maps, built.room_of
        pointer, count, number = ctypes.c_void_p, ctypes.c_longlong, ctypes.c_int
        self._room.argtypes, self._room.restype = (count, count), count
        sizes = (count, count, count)
        self._maps.argtypes = (pointer, pointer, *sizes, pointer, number, pointer, pointer, number)
        self._maps.restype = None

    def __call__(
        self, names: Sequence[str], activations: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Maps (K, N, *positions) of K names, and (N, C, 2) sums of squares of both tensors.

        Args:
            names: of `MAPS`.
            activations: (N, C, *positions).
            gradient: of that shape.
        """
        images, channels, *places = activations.shape
        positions = activations[0, 0].numel()
        numbers = self._room(channels, positions) * len(names)  # of one image
        squares = activations.new_empty((images, channels, 2), dtype=torch.float64)
        each = max(1, _ROOM // numbers)
        parts = (torch.split(tensor, each) for tensor in (activations, gradient, squares))
        found = [self._some(names, numbers, *some) for some in zip(*parts, strict=True)]
        maps = found[0] if len(found) == 1 else torch.cat(found, 1)
        return maps.reshape(len(names), images, *places), squares

    def _some(
        self,
        names: Sequence[str],
        numbers: int,
        activations: Tensor,
        gradient: Tensor,
        squares: Tensor,
    ) -> Tensor:
        """(K, N, positions); fills the squares."""
        images, channels = activations.shape[:2]
        positions = activations[0, 0].numel()
        room = activations.new_zeros(images, numbers)
        wanted = (ctypes.c_int * len(names))(*map(MAPS.index, names))
        self._maps(
            *(activations.data_ptr(), gradient.data_ptr(), images, channels, positions),
            *(wanted, len(names), room.data_ptr(), squares.data_ptr(), torch.get_num_threads()),
        )
        first = room[:, : len(names) * positions].view(images, len(names), positions)
        return first.transpose(0, 1)


def class_maps() -> ClassMaps | None:
    """None where there is no compiler, or while it works: no explanation is to wait for it."""
    built = library(wait=False)
    return None if built is None else _functions(built)


_functions = functools.cache(ClassMaps)
