"""Maps of a channel over its top images, made again from the pictures that a scan kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import resviz as rv
from left_as_found import left_as_found
from resviz.scanning.maps import top_maps
from scanning.toys import activations, toy

PRESET = rv.Preset("toy", "own", (0.4, 0.5, 0.6), (0.3, 0.2, 0.1), classes=("a", "b", "c"))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Of 8 bits, as photographs are."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (12, 3, 8, 8), generator=generator).double() / 255
    mean, std = (torch.tensor(each).double().view(1, 3, 1, 1) for each in (PRESET.mean, PRESET.std))
    return (pixels - mean) / std


@pytest.fixture(scope="module")
def scan(images: torch.Tensor) -> Any:
    return rv.scan(toy(), TensorDataset(images), preset=PRESET, measures=["top"], top=4)


@pytest.mark.parametrize("layer", ["relu", "layer1.0", "layer1.1"])
def test_they_are_what_the_network_saw(scan: Any, images: torch.Tensor, layer: str) -> None:
    net = toy()
    with left_as_found(net):
        found = top_maps(net, scan, layer, 2, PRESET)
    assert found.images == tuple(scan.top(layer, 2)["image"])
    seen = activations(toy(), layer, images)[list(found.images), 2]
    np.testing.assert_allclose(found.maps, seen, rtol=1e-5, atol=1e-6)
    assert found.off < 1e-6


def test_images_of_another_size_than_the_first_scanned(images: torch.Tensor) -> None:
    wide = images[:6].repeat(1, 1, 2, 3)
    data: Any = [torch.zeros_like(images[0]), *wide]
    scan = rv.scan(toy(), data, preset=PRESET, measures=["top"], top=3, progress=False)
    found = top_maps(toy(), scan, "layer1.0", 2, PRESET)
    seen = activations(toy(), "layer1.0", wide)[np.array(found.images) - 1, 2]
    np.testing.assert_allclose(found.maps, seen, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_made_again_is_named(scan: Any, images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"inputs cannot be made again; a preset w"):
        top_maps(toy(), scan, "relu", 0, None)
    four = rv.Preset("toy", "own", (0.5,) * 4, (0.05,) * 4, channels=4, display=(0, 1, 2))
    with pytest.raises(ValueError, match=r"inputs cannot be made again; a preset w"):
        top_maps(toy(), scan, "relu", 0, four)
    head = rv.scan(toy(), images, preset=PRESET, measures=["top"], layers=["fc"], progress=False)
    with pytest.raises(ValueError, match=r"'fc' has no rows and columns, so no maps"):
        top_maps(toy(), head, "fc", 0, PRESET)
    bare = rv.scan(toy(), images, measures=["top"], progress=False)
    with pytest.raises(ValueError, match=r"no pictures of the top images of channel 0 of 'relu'"):
        top_maps(toy(), bare, "relu", 0, PRESET)
    other = rv.Preset("toy", "own", (0.5,) * 3, (0.05,) * 3)
    assert top_maps(toy(), scan, "relu", 2, other).off > 0.5  # and so the view says
