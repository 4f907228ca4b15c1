"""The maps of a channel over the images that it answers to most, from the pictures of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.hooks import left_as_found
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.preset import Preset
from resviz.scanning.reducing import as_maps
from resviz.scanning.scan import Scan
from resviz.scanning.sites import Site


@dataclass(frozen=True, eq=False)
class TopMaps:
    """Of one channel, the strongest image first.

    Attributes:
        images: positions in the data set.
        maps: (K, h, w), as the network computes them again.
        off: by how much their maxima differ from those of the scan, at most, as a share of the
            largest. Pictures are kept in 8 bits, large ones as JPEG: a few percent.
    """

    images: tuple[int, ...]
    maps: NDArray[np.float32]
    off: float


def top_maps(
    net: nn.Module, scan: Scan, layer: str, channel: int, preset: Preset | None, most: int = 9
) -> TopMaps:
    """The maps of a channel over its top images, from a pass over the pictures of them.

    Of pictures of several sizes those of the first one's.

    Args:
        net: that was scanned; it is left as it was.
        scan: with pictures of its top images.
        layer: of the scan.
        channel: of the layer.
        preset: how pictures become inputs.
        most: images.

    Raises:
        KeyError: no such layer or channel.
        ValueError: no pictures, a preset that does not say what they are, or a layer without maps.
    """
    site, top = scan.plan.sites[scan.number(layer)], scan.top(layer, channel).head(most)
    check_invertible(preset)
    if min(site.positions) < 2:
        raise ValueError(
            f"{caller()}: {site.key!r} has no rows and columns, so no maps; a layer with (N, C, H, "
            "W) has."
        )
    seen = [(int(image), scan.picture(int(image))) for image in top["image"]]
    there = [(image, picture) for image, picture in seen if picture is not None]
    shapes = [picture.shape for _, picture in there]
    there = [each for each, shape in zip(there, shapes, strict=True) if shape == shapes[0]]
    if not there:
        raise ValueError(
            f"{caller()}: no pictures of the top images of channel {channel} of {layer!r}; a scan "
            "with a preset that has mean and std keeps them: rv.scan(..., preset=...)."
        )
    inputs = _inputs(np.stack([picture for _, picture in there]), preset, net)
    maps = _maps(net, site, inputs, channel)
    known = dict(zip(top["image"], top["value"], strict=True))
    before = np.array([known[image] for image, _ in there])
    off = np.abs(maps.max(axis=(1, 2)) - before).max() / max(float(np.abs(before).max()), 1e-12)
    return TopMaps(tuple(image for image, _ in there), maps, float(off))


def check_invertible(preset: Preset | None) -> None:
    """Raise ValueError unless a network's inputs can be made again from its pictures."""
    shown = preset is not None and (
        preset.channels == 1 or (preset.channels == 3 and sorted(preset.display) == [0, 1, 2])
    )
    if preset is None or not preset.mean or not shown:
        raise ValueError(
            f"{caller()}: pictures from which this network's inputs cannot be made again; a preset "
            "with mean and std, and one or three bands, would be right: preset=, as the scan had."
        )


def _inputs(pictures: NDArray[np.uint8], preset: Any, net: nn.Module) -> Tensor:
    """(K, C, H, W) of pictures (K, H, W, 3): what `to_pictures` made them of, to 8 bits."""
    bands = list(preset.display)
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2)[:, : len(bands)].double() / 255
    shown = [bands.index(band) for band in range(preset.channels)]
    mean, std = (
        torch.tensor(each).double().view(1, -1, 1, 1) for each in (preset.mean, preset.std)
    )
    like = next(net.parameters(), torch.zeros(()))
    return ((scaled[:, shown] - mean) / std).to(like.device, like.dtype)


def _maps(net: nn.Module, site: Site, inputs: Tensor, channel: int) -> NDArray[np.float32]:
    found: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        maps, axis, width = as_maps(next(tensors_in(output)), site.axes)
        one = maps[:, channel] if axis == 2 else maps[:, :, channel]
        found.append(one.reshape(len(one), -1, width).clone())

    with left_as_found(net) as hooks:
        hooks.forward(net.get_submodule(site.layer), keep)
        net(inputs)
    return found[site.call].float().cpu().numpy()
