"""A pass over one batch, reduced to numbers in the moment that each tensor exists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resviz.hooks import Hooks
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.scanning.batch import AdditionBatch, Peaks, SiteBatch
from resviz.scanning.reducing import Reduced, as_maps, norms_of, places_of, reduce
from resviz.scanning.sites import Site
from resviz.scanning.sums import Sums
from resviz.torch_private import unwatched

Floors = Callable[[int], tuple[NDArray[np.float64], NDArray[np.int64]]]


@dataclass(eq=False)
class _Raw:
    """Of one layer, while the pass runs."""

    reduced: Reduced
    peaks: Peaks | None
    gradient: Tensor | None = None


class Watch:
    """Reduces what the layers of a plan compute, pass by pass.

    Args:
        net: the network.
        sites: the layers.
        hooks: live as long as the scan.
        top: how many images per channel may become top images.
        floors: of a layer, by number: value and image of the weakest top image of each channel.
        sums: measure residual additions too.
    """

    def __init__(
        self,
        net: nn.Module,
        sites: Sequence[Site],
        hooks: Hooks,
        top: int,
        floors: Floors,
        *,
        sums: bool = False,
    ) -> None:
        self._net, self._sites, self._top, self._floors = net, sites, top, floors
        self._hooks = hooks
        self._raw: list[_Raw | None] = []
        self._images: NDArray[np.int64] = np.empty(0, np.int64)
        self._calls: dict[str, int] = {}
        self._active, self._gradients = False, False
        self._sums = Sums(net, hooks) if sums else None
        modules = dict(net.named_modules())
        by_layer: dict[str, dict[int, int]] = defaultdict(dict)
        for number, site in enumerate(sites):
            by_layer[site.layer][site.call] = number
        for path, numbers in by_layer.items():
            hooks.forward(modules[path], self._hook(path, numbers))

    def run(self, inputs: Tensor, images: NDArray[np.int64], *, gradients: bool = False) -> Any:
        """The pass; what the network returned. The numbers wait for :meth:`settled`.

        Args:
            inputs: (N, ...).
            images: (N,) their positions in the data set, ascending.
            gradients: watch those as well, in the backward pass to come.
        """
        self._raw, self._images = [None] * len(self._sites), images
        self._calls.clear()
        self._active, self._gradients = True, gradients
        try:
            if self._sums is not None:
                return self._sums.run(inputs)
            return self._net(inputs)
        finally:
            self._active = False

    def settled(self) -> tuple[list[SiteBatch], dict[str, AdditionBatch]]:
        """The numbers of the pass, moved to the host at once."""
        additions = self._sums.settled() if self._sums is not None else {}
        moved = _moved([raw.reduced for raw in self._raw if raw is not None])
        return [self._site(n, raw, moved) for n, raw in enumerate(self._raw)], additions

    def _hook(self, path: str, numbers: dict[int, int]) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, args: Any, output: Any) -> None:
            if not self._active:
                return
            call = self._calls.get(path, 0)
            self._calls[path] = call + 1
            if call in numbers:
                with unwatched():
                    self._reduce(numbers[call], next(tensors_in(output)))

        return hook

    def _reduce(self, number: int, output: Tensor) -> None:
        site = self._sites[number]
        maps, axis, width = as_maps(output, site.axes)
        reduced = reduce(maps, axis, width)
        peaks = None
        if reduced.place is None:
            peaks = self._peaks(number, reduced.high.double().numpy(), width, maps, axis)
        raw = self._raw[number] = _Raw(reduced, peaks)
        if self._gradients and output.requires_grad:

            def seen(gradient: Tensor) -> None:
                raw.gradient = norms_of(gradient.flatten(1))

            self._hooks.gradient(output, seen)

    def _peaks(
        self, number: int, high: NDArray[np.float64], width: int, maps: Tensor, axis: int
    ) -> Peaks:
        """Those that may be among the top images, located while the maps are there."""
        channels, rows, values = self._strongest(number, high)
        return Peaks(channels, rows, values, places_of(maps, axis, rows, channels), width)

    def _strongest(
        self, number: int, high: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """(channels, rows, values): of equal values the image that comes first."""
        floor, image = self._floors(number)
        enters = (high > floor) | ((high == floor) & (self._images[:, None] < image))
        channels = np.flatnonzero(enters.any(0))
        chosen = high[:, channels]
        rows = np.argsort(-chosen, axis=0, kind="stable")[: self._top]
        return channels, rows, np.take_along_axis(chosen, rows, 0)

    def _site(self, number: int, raw: _Raw | None, moved: list[list[Any]]) -> SiteBatch:
        if raw is None:
            raise RuntimeError(
                f"{self._sites[number].key!r} did not run on images "
                f"{self._images[0]} to {self._images[-1]}"
            )
        reduced = raw.reduced
        total, spread, high, low, zeros, *place = moved.pop(0)
        peaks = raw.peaks
        if peaks is None:
            channels, rows, values = self._strongest(number, high)
            places = place[0].astype(np.int64)[rows, channels]
            peaks = Peaks(channels, rows, values, places, reduced.width)
        gradient = None if raw.gradient is None else raw.gradient.double().cpu().numpy()
        mean = total / reduced.positions
        return SiteBatch(reduced.positions, mean, spread, high, low, zeros, peaks, gradient)


def _moved(found: list[Reduced]) -> list[list[NDArray[np.float64]]]:
    """Their tensors as float64 arrays; from a GPU in one transfer."""
    names = ("total", "spread", "high", "low", "zeros", "place")
    tensors = [[getattr(r, n) for n in names if getattr(r, n) is not None] for r in found]
    flat = [tensor for each in tensors for tensor in each]
    if not flat or flat[0].device.type == "cpu":
        return [[tensor.double().numpy() for tensor in each] for each in tensors]
    wide = torch.float32 if flat[0].device.type == "mps" else torch.float64
    whole = torch.cat([tensor.reshape(-1).to(wide) for tensor in flat]).cpu().double()
    parts = iter(torch.split(whole, [tensor.numel() for tensor in flat]))
    return [[next(parts).reshape(tensor.shape).numpy() for tensor in each] for each in tensors]
