"""Class activation maps in one pass over activations and gradients."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from resviz.compiled.library import library

MAPS = ("grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam")  # as in class_maps.c


class ClassMaps:
    """The functions of `class_maps.c`. Tensors are float32, contiguous, on the CPU, not empty."""

    def __init__(self, built: ctypes.CDLL) -> None:
        self._maps, self._parts = built.class_maps, built.parts_of
        pointer, count, number = ctypes.c_void_p, ctypes.c_longlong, ctypes.c_int
        self._parts.argtypes, self._parts.restype = (count, count), count
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
        parts = self._parts(channels, positions)
        maps = activations.new_zeros(images, parts, len(names), positions)
        squares = activations.new_empty((images, channels, 2), dtype=torch.float64)
        wanted = (ctypes.c_int * len(names))(*map(MAPS.index, names))
        self._maps(
            *(activations.data_ptr(), gradient.data_ptr(), images, channels, positions),
            *(wanted, len(names), maps.data_ptr(), squares.data_ptr(), torch.get_num_threads()),
        )
        return maps[:, 0].transpose(0, 1).reshape(len(names), images, *places), squares


@functools.cache
def class_maps() -> ClassMaps | None:
    """None where there is no compiler."""
    built = library()
    return None if built is None else ClassMaps(built)
