"""`load_images` and `to_pictures`: every kind and mode of source, torchvision's numbers, errors."""

from __future__ import annotations

import io
import pathlib
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import resviz as rv
from resviz.errors import ResvizWarning, UnreadableImage
from resviz.images import to_pictures
from resviz.networks.zoo.pretrained import preset_of_entry

Pixels = NDArray[np.uint8]
AS_IT_IS = rv.Preset("mine", "own", (0, 0, 0), (1, 1, 1), resize=None, crop=None)


def loaded(source: Any, **options: Any) -> Tensor:
    """(3, H, W) in 0..1: no size changed, no mean taken off."""
    images = rv.load_images(source, preset=AS_IT_IS, **options)
    assert images.dtype == torch.float32 and images.ndim == 4 and len(images) == 1
    return images[0]


def as_loaded(rgb: NDArray[Any]) -> Tensor:
    """What pixels (H, W, 3) in 0..255 should become."""
    return torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1) / 255


@pytest.fixture
def rgb() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def grey() -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (6, 8), dtype=np.uint8)


@pytest.fixture
def alpha() -> Pixels:
    values = np.random.default_rng(2).integers(0, 256, (6, 8), dtype=np.uint8)
    values[0], values[1] = 0, 255
    return values


def on_white(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    share = alpha[..., None].astype(np.float64) / 255
    return colour * share + 255 * (1 - share)


# --- sources


def test_every_kind_of_source_gives_the_same(rgb: Pixels, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(rgb).save(file)
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    sources = [
        file,
        str(file),
        tmp_path,
        Image.open(file),
        Image.fromarray(rgb),
        rgb,
        rgb[None],
        np.asfortranarray(rgb),
        tensor,
        tensor[None],
        [rgb],
        (file,),
        (image for image in [rgb]),
        [[rgb]],
    ]
    for source in sources:
        assert torch.equal(loaded(source), as_loaded(rgb)), source


def test_a_list_mixes_kinds_and_keeps_its_order(rgb: Pixels, tmp_path: pathlib.Path) -> None:
    Image.fromarray(rgb[::-1].copy()).save(tmp_path / "b.png")
    Image.fromarray(rgb[:, ::-1].copy()).save(tmp_path / "a.bmp")
    images = rv.load_images([rgb, tmp_path, Image.fromarray(rgb)], preset=AS_IT_IS)
    upright = as_loaded(rgb)
    expected = [upright, upright.flip(2), upright.flip(1), upright]  # a.bmp before b.png
    assert torch.equal(images, torch.stack(expected))


def test_a_folder_is_read_by_name_and_only_its_pictures(
    rgb: Pixels, tmp_path: pathlib.Path
) -> None:
    for index, name in enumerate(["c.PNG", "a.png", "b.tiff", ".hidden.png"]):
        Image.fromarray(np.full_like(rgb, 10 * index)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    images = rv.load_images(tmp_path, preset=AS_IT_IS)
    assert (images[:, 0, 0, 0] * 255).round().tolist() == [10, 20, 0]


@pytest.mark.parametrize("suffix", [".jfif", ".avif", ".jp2"])
def test_a_folder_leaves_no_kind_of_picture_out(
    suffix: str, rgb: Pixels, tmp_path: pathlib.Path
) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    try:
        Image.fromarray(rgb).save(tmp_path / f"b{suffix}", quality=100)
    except (KeyError, ValueError, OSError):  # a Pillow without it
        (tmp_path / f"b{suffix}").unlink(missing_ok=True)
        pytest.skip(f"Pillow writes no {suffix}")
    assert rv.load_images(tmp_path, preset=AS_IT_IS).shape == (2, 3, 6, 8)


def test_stacks_are_taken_apart(rgb: Pixels) -> None:
    stack = np.stack([rgb, 255 - rgb, rgb])
    images = rv.load_images(stack, preset=AS_IT_IS)
    assert torch.equal(images, torch.stack([as_loaded(image) for image in stack]))
    tensor = torch.from_numpy(stack).permute(0, 3, 1, 2)
    assert torch.equal(rv.load_images(tensor, preset=AS_IT_IS), images)


def test_sources_stay_as_they_were(rgb: Pixels) -> None:
    array, tensor = rgb.copy(), torch.rand(3, 6, 8)
    before = tensor.clone()
    image = Image.fromarray(rgb)
    preset = rv.Preset("mine", "own", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), resize=4, crop=4)
    rv.load_images([array, tensor, image], preset=preset)
    rv.load_images([array, tensor, image], preset=AS_IT_IS)
    assert (array == rgb).all() and torch.equal(tensor, before)
    assert (np.asarray(image) == rgb).all()


# --- modes of pictures


def test_grey_becomes_equal_colours(grey: Pixels, tmp_path: pathlib.Path) -> None:
    expected = as_loaded(np.stack([grey] * 3, axis=2))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    sources = [grey, grey[:, :, None], torch.from_numpy(grey), torch.from_numpy(grey)[None]]
    for source in [*sources, Image.fromarray(grey), tmp_path / "grey.png"]:
        assert torch.equal(loaded(source), expected)


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_alpha_is_laid_on_white(
    rgb: Pixels, alpha: Pixels, suffix: str, tmp_path: pathlib.Path
) -> None:
    rgba = np.dstack([rgb, alpha])
    file = tmp_path / f"alpha.{suffix}"
    Image.fromarray(rgba).save(
        file, **({"lossless": True, "exact": True} if suffix == "webp" else {})
    )
    expected = as_loaded(on_white(rgb, alpha))
    tensor = torch.from_numpy(rgba).permute(2, 0, 1)
    for source in (file, rgba, tensor, Image.fromarray(rgba)):
        image = loaded(source)
        torch.testing.assert_close(image, expected, rtol=0, atol=1 / 255)
        assert (image[:, 0] == 1).all()  # transparent: white
        assert torch.equal(image[:, 1], as_loaded(rgb)[:, 1])  # opaque: as it is


def test_grey_with_alpha(grey: Pixels, alpha: Pixels, tmp_path: pathlib.Path) -> None:
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    image.save(tmp_path / "la.png")
    colour = np.stack([grey] * 3, axis=2)
    expected = as_loaded(on_white(colour, alpha))
    for source in (image, tmp_path / "la.png"):
        torch.testing.assert_close(loaded(source), expected, rtol=0, atol=1 / 255)


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_alpha(rgb: Pixels, mode: str) -> None:
    straight = Image.fromarray(np.dstack([rgb, np.full_like(rgb[..., 0], 255)]))
    image = straight.convert(mode) if mode == "RGBa" else straight.convert("LA").convert("La")
    expected = straight.convert("RGB") if mode == "RGBa" else straight.convert("L").convert("RGB")
    assert torch.equal(loaded(image), as_loaded(np.asarray(expected)))


def test_palette_and_its_transparent_colour(tmp_path: pathlib.Path) -> None:
    indices = np.array([[0, 1], [2, 0]], np.uint8)
    image = Image.fromarray(indices).convert("L")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert image.mode == "P"
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "clear.png", transparency=1)
    image.save(tmp_path / "clear.gif", transparency=1)
    red, green, blue, white = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]
    opaque = as_loaded(np.array([[red, green], [blue, red]]))
    clear = as_loaded(np.array([[red, white], [blue, red]]))
    assert torch.equal(loaded(image), opaque)
    assert torch.equal(loaded(tmp_path / "opaque.png"), opaque)
    assert torch.equal(loaded(tmp_path / "clear.png"), clear)
    assert torch.equal(loaded(tmp_path / "clear.gif"), clear)


def test_a_transparent_colour_of_rgb_and_grey_files(tmp_path: pathlib.Path) -> None:
    pixels = np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "rgb.png", transparency=(40, 50, 60))
    expected = as_loaded(np.array([[[10, 20, 30], [255, 255, 255]]]))
    assert torch.equal(loaded(tmp_path / "rgb.png"), expected)
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "grey.png", transparency=40)
    expected = as_loaded(np.array([[[10, 10, 10], [255, 255, 255]]]))
    assert torch.equal(loaded(tmp_path / "grey.png"), expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_any_depth(bits: int, tmp_path: pathlib.Path) -> None:
    most = 2**bits - 1
    values = [0, most // 2, most, most // 3]
    packed = int("".join(f"{value:0{bits}b}" for value in values).ljust(8, "0"), 2)
    row = b"\0" + packed.to_bytes(max(1, bits // 2), "big")
    for clear in set(values):
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)),
            (b"tRNS", struct.pack(">H", clear)),
            (b"IDAT", zlib.compress(row)),
            (b"IEND", b""),
        ]
        parts = [
            struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
            for k, d in chunks
        ]
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
        right = torch.tensor([1.0 if value == clear else value / most for value in values])
        for source in (tmp_path / "a.png", Image.open(tmp_path / "a.png")):
            torch.testing.assert_close(loaded(source), right.expand(3, 1, 4), rtol=0, atol=1e-6)


def test_one_bit_and_bool() -> None:
    pixels = np.array([[True, False], [False, True]])
    expected = torch.from_numpy(pixels).float().expand(3, 2, 2)
    for source in (pixels, torch.from_numpy(pixels), Image.fromarray(pixels)):
        assert torch.equal(loaded(source), expected)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV"])
def test_other_colour_spaces(rgb: Pixels, mode: str, tmp_path: pathlib.Path) -> None:
    image = Image.fromarray(rgb).convert(mode)
    expected = as_loaded(np.asarray(image.convert("RGB")))
    assert torch.equal(loaded(image), expected)
    if mode == "CMYK":
        image.save(tmp_path / "a.tiff")
        assert torch.equal(loaded(tmp_path / "a.tiff"), expected)
        torch.testing.assert_close(expected, as_loaded(rgb), rtol=0, atol=2 / 255)


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_16_bit_files_keep_their_precision(suffix: str, tmp_path: pathlib.Path) -> None:
    values = np.array([[0, 1, 255, 256], [300, 40000, 65534, 65535]], np.uint16)
    file = tmp_path / f"deep.{suffix}"
    if suffix == "pgm":  # Pillow 10.3 reads them and cannot write them
        file.write_bytes(b"P5 4 2 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(file)
    expected = torch.from_numpy(values.astype(np.float64) / 65535).float().expand(3, 2, 4)
    assert torch.equal(loaded(file), expected)
    assert torch.equal(loaded(Image.open(file)), expected)
    assert torch.equal(loaded(values), expected)


def test_integers_of_32_bits_are_taken_for_16_only_where_pillow_has_no_other_name(
    tmp_path: pathlib.Path,
) -> None:
    values = np.array([[0, 100], [40000, 65535]], np.int32)
    image = Image.fromarray(values)
    assert image.mode == "I"
    right = torch.from_numpy(values / 65535).float().expand(3, 2, 2)
    assert torch.equal(loaded(image), right)
    image.save(tmp_path / "wide.tif")
    with pytest.raises(ValueError, match=r"wide.tif': pixels of dtype int32; .*window="):
        loaded(tmp_path / "wide.tif")
    window = rv.Preset("mine", "own", 0, 1, channels=3, window=(0, 65535))
    assert torch.equal(rv.load_images(tmp_path / "wide.tif", preset=window)[0], right)


def test_deep_pixels_as_arrays_and_tensors() -> None:
    values = np.random.default_rng(3).random((5, 4, 3))
    expected = torch.from_numpy(values).permute(2, 0, 1).float()
    torch.testing.assert_close(loaded(values), expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(loaded(expected), expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(loaded(expected.bfloat16()), expected, rtol=0, atol=4e-3)
    torch.testing.assert_close(loaded(values.astype(np.float16)), expected, rtol=0, atol=5e-4)
    deep = (values * 65535).round().astype(np.uint16)
    torch.testing.assert_close(loaded(deep), expected, rtol=0, atol=1e-5)
    opacity = np.full((5, 4, 1), 0.25)
    image = loaded(np.concatenate([values, opacity], axis=2))
    torch.testing.assert_close(image, expected * 0.25 + 0.75, rtol=0, atol=1e-6)
    image = Image.fromarray(values[:, :, 0].astype(np.float32))
    assert image.mode == "F"
    torch.testing.assert_close(loaded(image)[0], expected[0], rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
def test_bytes_in_either_order(dtype: str) -> None:
    values = np.random.default_rng(4).random((5, 4, 3))
    values = values if dtype.startswith("f") else values * 65535
    little, big = (values.astype(f"{order}{dtype}") for order in "<>")
    assert torch.equal(loaded(big), loaded(little))
    window = rv.Preset("mine", "own", 0, 1, channels=3, window=(0, 1))
    images = [rv.load_images(each, preset=window) for each in (big, little)]
    assert torch.equal(*images)


def test_a_tensor_with_a_gradient() -> None:
    values = torch.rand(3, 4, 4, requires_grad=True)
    image = loaded(values)
    assert not image.requires_grad and torch.equal(image, values.detach())


ROTATIONS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", ROTATIONS)
def test_exif_rotation(rgb: Pixels, orientation: int, tmp_path: pathlib.Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rgb).save(tmp_path / "turned.png", exif=exif)
    expected = as_loaded(ROTATIONS[orientation](rgb).copy())
    assert torch.equal(loaded(tmp_path / "turned.png"), expected)
    if orientation in (3, 6, 8):  # what cameras write, into JPEG
        buffer = io.BytesIO()
        flat = np.zeros((16, 32, 3), np.uint8)
        flat[:, 16:] = 255
        Image.fromarray(flat).save(buffer, "JPEG", exif=exif, quality=95)
        with Image.open(buffer) as image:
            turned = loaded(image)
        expected = as_loaded(ROTATIONS[orientation](flat).copy())
        torch.testing.assert_close(turned, expected, rtol=0, atol=0.05)


# --- the numbers of torchvision's own transforms

ENTRIES = [
    torchvision.models.ResNet50_Weights.IMAGENET1K_V1,
    torchvision.models.ResNet50_Weights.IMAGENET1K_V2,
    torchvision.models.ViT_B_16_Weights.IMAGENET1K_V1,
    torchvision.models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,
    torchvision.models.EfficientNet_B0_Weights.IMAGENET1K_V1,
    torchvision.models.Swin_T_Weights.IMAGENET1K_V1,
]


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_photographs_get_torchvisions_bits(entry: Any, testdata: pathlib.Path) -> None:
    preset = preset_of_entry("a network", entry, entry.name)
    files = [testdata / "sample_images_cc0" / f"{name}.png" for name in ("chelsea", "camera")]
    files.append(testdata / "sample_images_cc0" / "rocket.jpg")
    images = rv.load_images(files, preset=preset)
    for image, file in zip(images, files, strict=True):
        assert torch.equal(image, entry.transforms()(Image.open(file).convert("RGB")))
    array = np.asarray(Image.open(files[0]))
    assert torch.equal(rv.load_images(array, preset=preset)[0], images[0])


def test_all_of_torchvisions_transforms_are_met() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    seen = set()
    for name in torchvision.models.list_models(module=torchvision.models):
        for entry in torchvision.models.get_model_weights(name):
            preset = preset_of_entry("a network", entry, "any")
            if preset in seen:
                continue
            seen.add(preset)
            expected = entry.transforms()(image)
            assert torch.equal(rv.load_images(image, preset=preset)[0], expected), entry
    assert len(seen) > 10


def test_floats_and_16_bits_agree_with_8_bits(testdata: pathlib.Path) -> None:
    entry = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
    preset = preset_of_entry("resnet50", entry, entry.name)
    pixels = np.asarray(Image.open(testdata / "sample_images_cc0" / "coffee.png"))
    images = rv.load_images([pixels, pixels.astype(np.uint16) * 257, pixels / 255.0], preset=preset)
    step = 1 / 255 / min(preset.std)  # Pillow rounds to 8 bits after each of two resizing passes
    torch.testing.assert_close(images[1], images[0], rtol=0, atol=1.5 * step)
    torch.testing.assert_close(images[1], images[2], rtol=0, atol=1e-5)


def test_exact_size_and_pictures_smaller_than_the_crop(rgb: Pixels) -> None:
    preset = rv.Preset("mine", "own", (0, 0, 0), (1, 1, 1), resize=(10, 20), crop=None)
    assert rv.load_images(rgb, preset=preset).shape == (1, 3, 10, 20)
    preset = rv.Preset("mine", "own", (0, 0, 0), (1, 1, 1), resize=None, crop=(4, 6))
    assert torch.equal(rv.load_images(rgb, preset=preset)[0], as_loaded(rgb)[:, 1:5, 1:7])
    preset = rv.Preset("mine", "own", (0, 0, 0), (1, 1, 1), resize=None, crop=(10, 12))
    image = rv.load_images(rgb, preset=preset)[0]
    assert torch.equal(image[:, 2:8, 2:10], as_loaded(rgb))
    assert image.count_nonzero() == np.count_nonzero(rgb)  # black around it


def test_bicubic_floats_stay_within_the_pixels_range() -> None:
    edge = np.zeros((16, 16, 3), np.float32)
    edge[:, 8:] = 1
    preset = rv.Preset(
        "mine", "own", (0, 0, 0), (1, 1, 1), resize=40, crop=None, interpolation="bicubic"
    )
    image = rv.load_images(edge, preset=preset)
    assert image.min() == 0 and image.max() == 1


# --- where the images go


def test_the_network_gives_preset_device_and_dtype(rgb: Pixels) -> None:
    net = nn.Conv2d(3, 4, 3).double()
    rv.set_preset(net, AS_IT_IS)
    images = rv.load_images(rgb, net)
    assert images.dtype == torch.float64 and images.device.type == "cpu"
    assert torch.equal(images[0], as_loaded(rgb).double())
    assert rv.load_images(rgb, net.bfloat16()).dtype == torch.bfloat16
    other = rv.Preset("other", "own", (0, 0, 0), (1, 1, 1), resize=4, crop=4)
    assert rv.load_images(rgb, net, preset=other).shape == (1, 3, 4, 4)
    assert rv.load_images(rgb, preset=AS_IT_IS, device="meta").device.type == "meta"
    empty = nn.Identity()
    rv.set_preset(empty, AS_IT_IS)
    assert rv.load_images(rgb, empty).dtype == torch.float32


# --- refusals


def damaged_files(folder: pathlib.Path, rgb: Pixels) -> list[pathlib.Path]:
    good = folder / "whole.png"
    Image.fromarray(np.tile(rgb, (20, 20, 1))).save(good)
    cut, text, empty = folder / "cut.png", folder / "text.jpg", folder / "empty.gif"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    text.write_text("not a picture")
    empty.touch()
    good.unlink()
    return [cut, text, empty, folder / "missing.png"]


def test_an_unreadable_file_is_named(rgb: Pixels, tmp_path: pathlib.Path) -> None:
    for file in damaged_files(tmp_path, rgb):
        with pytest.raises(UnreadableImage) as caught:
            rv.load_images([rgb, file], preset=AS_IT_IS)
        message = str(caught.value)
        assert message.startswith(f"load_images: {str(file)!r} is not readable (")
        assert "; " in message and "on_error='skip'" in message
        assert caught.value.__cause__ is not None


def test_skip_warns_and_loads_the_rest(rgb: Pixels, tmp_path: pathlib.Path) -> None:
    bad = damaged_files(tmp_path, rgb)
    with pytest.warns(ResvizWarning, match=r"^load_images: 4 of 6 pictures left out") as caught:
        images = rv.load_images([rgb, *bad, 255 - rgb], preset=AS_IT_IS, on_error="skip")
    assert torch.equal(images, torch.stack([as_loaded(rgb), as_loaded(255 - rgb)]))
    assert len(caught) == 1 and caught[0].filename == __file__
    for file in bad:
        assert str(file) in str(caught[0].message)


def test_skip_of_all_is_an_error(rgb: Pixels, tmp_path: pathlib.Path) -> None:
    bad = damaged_files(tmp_path, rgb)
    with pytest.raises(UnreadableImage, match="not one readable picture") as caught:
        rv.load_images(bad, preset=AS_IT_IS, on_error="skip")
    assert all(str(file) in str(caught.value) for file in bad)


def test_skip_does_not_hide_other_mistakes(rgb: Pixels) -> None:
    with pytest.raises(ValueError, match="pixels from"):
        rv.load_images([rgb, rgb * 1.0], preset=AS_IT_IS, on_error="skip")


def test_folders_and_lists_without_pictures(tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match=r"^load_images: no picture in folder .*; files that end"):
        rv.load_images(tmp_path, preset=AS_IT_IS)
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match=r"Folders in it: 1; name one, as 'cat'\.$"):
        rv.load_images(tmp_path, preset=AS_IT_IS)
    for source in ([], np.zeros((0, 4, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"^load_images: no sources; "):
            rv.load_images(source, preset=AS_IT_IS)


def test_pictures_of_several_sizes(rgb: Pixels) -> None:
    with pytest.raises(ValueError, match=r"2 sizes, among them \(6, 7\) and \(6, 8\)"):
        rv.load_images([rgb, rgb[:, 1:]], preset=AS_IT_IS)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (np.full((4, 4, 3), 2.0), "pixels from 2 to 2; float64 pixels are in 0..1"),
        (np.full((4, 4, 3), np.nan), "pixels from nan to nan"),
        (np.full((4, 4), 1 + 2**-23, np.float32), "from 1.0000001 to 1.0000001; float32"),
        (np.full((4, 4), 70000, np.int32), "0..65535"),
        (Image.fromarray(np.full((4, 4), 70000, np.int32)), "pixels from 7e\\+04 to 7e\\+04"),
        (np.full((4, 4, 3), 100, np.int32), "pixels of dtype int32; uint8 in 0..255"),
        (torch.full((3, 4, 4), 100, dtype=torch.int32), "pixels of dtype int32; uint8"),
        (np.zeros((4, 4, 3), np.int64), "pixels of dtype int64; uint8"),
        (np.zeros((4, 4, 3), np.complex64), "pixels of dtype complex64"),
        (np.zeros((4, 4, 2), np.uint8), r"an array of shape \(4, 4, 2\)"),
        (np.zeros((3, 4, 5), np.uint8), r"an array of shape \(3, 4, 5\)"),
        (np.zeros(4, np.uint8), r"an array of shape \(4,\)"),
        (np.zeros((2, 1, 4, 4, 3), np.uint8), "an array of shape"),
        (np.zeros((0, 4, 3), np.uint8), "an array of shape"),
        (torch.zeros(6, 4, 3), r"a tensor of shape \(6, 4, 3\).*use permute"),
        (torch.zeros(5), r"an array of shape \(5,\)"),
        (-torch.ones(3, 4, 4), "pixels from -1 to -1"),
    ],
    ids=lambda value: str(getattr(value, "shape", "")),
)
def test_pixels_that_cannot_be_right(source: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what) as caught:
        rv.load_images(source, preset=AS_IT_IS)
    assert str(caught.value).startswith("load_images: ") and "; " in str(caught.value)


def test_arguments_that_cannot_be_right(rgb: Pixels) -> None:
    for source in (3, None, b"abc", {"a": rgb}, [rgb, 3]):
        with pytest.raises(TypeError, match=r"^load_images: a source of type"):
            rv.load_images(source, preset=AS_IT_IS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="of type BytesIO; .*PIL.Image.open reads an open file"):
        rv.load_images(io.BytesIO(b"some\nlines"), preset=AS_IT_IS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^load_images: neither a network nor a preset; "):
        rv.load_images(rgb)
    with pytest.raises(ValueError, match=r"has no preset; .*Pass preset="):
        rv.load_images(rgb, nn.Conv2d(3, 4, 3))
    with pytest.raises(TypeError, match=r"^load_images: a network of type str; an nn.Module"):
        rv.load_images(rgb, "resnet50")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^load_images: a preset of type str"):
        rv.load_images(rgb, preset="resnet50")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"on_error 'ignore'; one of raise, skip"):
        rv.load_images(rgb, preset=AS_IT_IS, on_error="ignore")  # type: ignore[arg-type]


# --- and back


def test_pictures_come_back_bit_by_bit(rgb: Pixels) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preset = rv.Preset("mine", "own", mean, std, resize=None, crop=None)
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    for pixels in (rgb, every):
        pictures = to_pictures(rv.load_images(pixels, preset=preset), preset)
        assert pictures.dtype == torch.uint8 and pictures.is_contiguous()
        assert torch.equal(pictures[0], torch.from_numpy(pixels))


def test_pictures_are_cut_off_at_black_and_white() -> None:
    images = torch.tensor([-9.0, 9.0, 0.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    preset = rv.Preset("mine", "own", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), None, None)
    leaf = images.clone().requires_grad_()
    pictures = to_pictures(leaf, preset)
    assert pictures.shape == (1, 1, 3, 3) and not pictures.requires_grad
    assert pictures[0, 0, :, 0].tolist() == [0, 255, 128]
    assert torch.equal(to_pictures(images.half(), preset), pictures)


def test_pictures_of_something_else() -> None:
    with pytest.raises(TypeError, match=r"^to_pictures: images of type ndarray; a tensor"):
        to_pictures(np.zeros((1, 3, 4, 4)), AS_IT_IS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^to_pictures: images of shape \(3, 4, 4\); \(N, 3"):
        to_pictures(torch.zeros(3, 4, 4), AS_IT_IS)
    with pytest.raises(TypeError, match=r"^to_pictures: a preset of type NoneType"):
        to_pictures(torch.zeros(1, 3, 4, 4), None)  # type: ignore[arg-type]
