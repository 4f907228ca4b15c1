"""Where an image was in its photograph: boxes, maps put back, and when nobody knows."""

from __future__ import annotations

import copy
import gc
import pathlib
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import resviz as rv
from resviz.images import origin as module
from resviz.images.origin import Origin

SIZES = [
    ({"resize": 64, "crop": 48}, (100, 200)),
    ({"resize": 64, "crop": 48}, (201, 97)),
    ({"resize": (40, 60), "crop": (30, 50)}, (77, 33)),
    ({"resize": (40, 60), "crop": None}, (20, 90)),
    ({"resize": None, "crop": (30, 41)}, (50, 60)),
    ({"resize": None, "crop": (60, 41)}, (50, 60)),  # black above and below
    ({"resize": 30, "crop": (50, 71)}, (45, 90)),
    ({"resize": None, "crop": None}, (50, 60)),
]


def preset(**sizes: Any) -> rv.Preset:
    return rv.Preset("mine", "own", (0, 0, 0), (1, 1, 1), **sizes)


def ramps(height: int, width: int) -> np.ndarray[Any, Any]:
    """A picture whose pixels say where they are: red the row, green the column."""
    rows, columns = np.mgrid[:height, :width]
    pixels = [rows / height, columns / width, np.full((height, width), 0.5)]
    return np.stack(pixels, axis=2).astype(np.float32)


@pytest.mark.parametrize(("sizes", "shape"), SIZES)
def test_a_picture_put_back_says_where_it_was(
    sizes: dict[str, Any], shape: tuple[int, int]
) -> None:
    picture = ramps(*shape)
    images = rv.load_images(picture, preset=preset(**sizes))
    (origin,) = rv.sources_of(images)
    assert origin.size == shape and origin.crop == tuple(images.shape[-2:])
    back = origin.placed(images[0].numpy())
    assert back.shape == (3, *shape)
    top, left, bottom, right = origin.box
    rows, columns = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    inside = ((rows >= top) & (rows <= bottom))[:, None] & ((columns >= left) & (columns <= right))
    assert (np.isfinite(back) == inside).all()
    # at the edges interpolation has nothing beyond to read
    step = np.maximum(1, np.divide(shape, origin.resized)) * 2
    safe = inside.copy()
    safe[: int(top + step[0])] = safe[int(np.ceil(bottom - step[0])) :] = False
    safe[:, : int(left + step[1])] = safe[:, int(np.ceil(right - step[1])) :] = False
    assert safe.any()
    right_values = picture.transpose(2, 0, 1)[:2]
    assert np.abs(back[:2] - right_values)[:, safe].max() < 2e-3


def test_boxes_by_hand() -> None:
    images = rv.load_images(np.zeros((100, 200), np.uint8), preset=preset(resize=50, crop=40))
    (origin,) = rv.sources_of(images)
    assert origin == Origin("", (100, 200), (50, 100), 5, 30, (40, 40))
    assert origin.box == origin.frame == (10, 60, 90, 140) and not origin.whole
    assert Origin.from_json(origin.to_json()) == origin
    padded = rv.load_images(np.zeros((10, 20), np.uint8), preset=preset(crop=(16, 10)))
    (origin,) = rv.sources_of(padded)
    assert (origin.top, origin.left) == (-3, 5)
    assert origin.frame == (-3, 5, 13, 15) and origin.box == (0, 5, 10, 15)


def test_without_a_crop_it_is_torchs_interpolation() -> None:
    values = torch.rand(2, 7, 7)
    origin = Origin("", (100, 90), (56, 56), 0, 0, (56, 56))
    right = F.interpolate(values[None], (100, 90), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(torch.from_numpy(origin.placed(values.numpy())).float(), right)
    assert origin.whole


def test_the_crop_agrees_with_interpolation_to_the_crop() -> None:
    """Shown at the resized size, the placed map is the usual one over the crop, NaN around it."""
    values = torch.rand(1, 5, 5)
    origin = Origin("", (300, 200), (60, 40), 14, 4, (32, 32))
    found = torch.from_numpy(origin.placed(values.numpy(), (60, 40))).float()
    right = F.interpolate(values[None], (32, 32), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(found[:, 14:46, 4:36], right)
    assert int(found.isfinite().sum()) == 32 * 32


def test_files_have_names_and_are_upright(tmp_path: pathlib.Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 50)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (80, 50)).save(tmp_path / "b.png")
    np.save(tmp_path / "c.npy", np.zeros((2, 30, 40, 3), np.uint8))
    files = [tmp_path / name for name in ("turned.jpg", "b.png", "c.npy")]
    images = rv.load_images([*files, Image.open(files[1])], preset=preset(resize=(8, 8)))
    origins = rv.sources_of(images)
    assert [origin.name for origin in origins] == ["turned.jpg", "b.png", "c.npy", "c.npy", "b.png"]
    assert [origin.size for origin in origins] == [(80, 50), (50, 80), (30, 40), (30, 40), (50, 80)]


def test_nobody_knows_of_what_was_made_of_images() -> None:
    images = rv.load_images([ramps(20, 30)] * 3, preset=preset(resize=(8, 8)))
    assert len(rv.sources_of(images)) == 3
    others = [images[:1], images.flip(-1), images.clone(), copy.deepcopy(images), images + 0]
    for other in [*others, torch.zeros(3, 3, 8, 8)]:
        assert rv.sources_of(other) == ()
    assert images.to("cpu") is images
    images[0] = images[1]
    assert rv.sources_of(images) == ()
    images = rv.load_images(ramps(20, 30), preset=preset())
    images[:, :, :5].mul_(2)  # through a view
    assert rv.sources_of(images) == ()
    with torch.inference_mode():
        assert rv.sources_of(rv.load_images(ramps(20, 30), preset=preset())) == ()


def test_they_are_forgotten_with_the_images() -> None:
    before = len(module._known)
    images = rv.load_images(ramps(20, 30), preset=preset())
    assert len(module._known) == before + 1
    del images
    gc.collect()
    assert len(module._known) == before


def test_images_can_be_saved_and_loaded_as_before(tmp_path: pathlib.Path) -> None:
    images = rv.load_images(ramps(20, 30), preset=preset())
    torch.save(images, tmp_path / "images.pt")
    assert torch.equal(torch.load(tmp_path / "images.pt", weights_only=True), images)
