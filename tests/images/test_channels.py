"""One channel and many: what `load_images` reads for them, and which bands a picture shows."""

from __future__ import annotations

import pathlib
import struct
import sys
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import resviz as rv
from resviz.errors import UnreadableImage
from resviz.images import to_pictures

RNG = np.random.default_rng(0)


def preset(channels: int, **changes: Any) -> rv.Preset:
    """Pixels as they are, in 0..1."""
    fields = {"mean": 0, "std": 1, "resize": None, "crop": None, "channels": channels}
    return rv.Preset("mine", "own", **{**fields, **changes})


def loaded(source: Any, channels: int, **changes: Any) -> Tensor:
    images = rv.load_images(source, preset=preset(channels, **changes))
    assert images.dtype == torch.float32 and len(images) == 1
    return images[0]


def bands(count: int, dtype: str = "uint8") -> NDArray[Any]:
    most = 1 if dtype.startswith("float") else np.iinfo(dtype).max
    return (RNG.random((6, 8, count)) * most).astype(dtype)


def first(array: NDArray[Any]) -> Tensor:
    """Channels first, in 0..1."""
    most = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    return torch.from_numpy((array / most).astype(np.float32)).permute(2, 0, 1)


# ---- one channel


def test_grey_stays_grey(tmp_path: pathlib.Path) -> None:
    grey = bands(1)
    Image.fromarray(grey[:, :, 0]).save(tmp_path / "a.png")
    tensor = torch.from_numpy(grey).permute(2, 0, 1)
    sources = [tmp_path / "a.png", grey, grey[:, :, 0], grey[None], tensor, tensor[0], tensor[None]]
    for source in [*sources, Image.fromarray(grey[:, :, 0])]:
        assert torch.equal(loaded(source, 1), first(grey))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_grey_of_16_bits_keeps_them(suffix: str, tmp_path: pathlib.Path) -> None:
    grey = bands(1, "uint16")
    Image.fromarray(grey[:, :, 0]).save(tmp_path / f"a.{suffix}")
    for source in (tmp_path / f"a.{suffix}", grey, grey[:, :, 0]):
        assert torch.equal(loaded(source, 1), first(grey))


def test_colours_become_luminance() -> None:
    rgb = bands(3)
    right = torch.from_numpy(rgb @ np.array([0.299, 0.587, 0.114]) / 255).float()[None]
    for source in (rgb, Image.fromarray(rgb), torch.from_numpy(rgb).permute(2, 0, 1)):
        torch.testing.assert_close(loaded(source, 1), right, rtol=0, atol=1 / 255)
    torch.testing.assert_close(loaded(rgb / 255.0, 1), right, rtol=0, atol=1e-6)
    equal = np.repeat(bands(1), 3, axis=2)
    for source in (equal, Image.fromarray(equal), equal.astype(np.uint16) * 257):
        torch.testing.assert_close(loaded(source, 1), first(equal)[:1], rtol=0, atol=1e-7)


def test_transparent_grey_is_laid_on_white() -> None:
    image = Image.merge("LA", [Image.new("L", (2, 1), 100), Image.new("L", (2, 1), 0)])
    assert (loaded(image, 1) == 1).all()


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "HSV", "RGBA"])
def test_other_modes_as_one_channel(mode: str) -> None:
    image = Image.fromarray(bands(3)).convert(mode)
    assert torch.equal(loaded(image, 1), loaded(image.convert("RGB"), 1))


# ---- many bands


@pytest.mark.parametrize("count", [2, 4, 5, 12])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_bands_of_arrays_and_their_files(count: int, dtype: str, tmp_path: pathlib.Path) -> None:
    array = bands(count, dtype)
    np.save(tmp_path / "a.npy", array)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    for source in (array, array[None], tensor, tensor[None], tmp_path / "a.npy", tmp_path):
        assert torch.equal(loaded(source, count), first(array))


def test_a_file_of_a_stack_gives_each(tmp_path: pathlib.Path) -> None:
    stack = np.stack([bands(5), bands(5)])
    np.save(tmp_path / "a.npy", stack)
    images = rv.load_images([tmp_path / "a.npy"], preset=preset(5))
    assert torch.equal(images, torch.stack([first(array) for array in stack]))


def test_arrays_of_a_folder_only_where_it_has_no_pictures(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "a.npy", bands(1))
    Image.fromarray(bands(1)[:, :, 0]).save(tmp_path / "b.png")
    assert len(rv.load_images(tmp_path, preset=preset(1))) == 1
    (tmp_path / "b.png").unlink()
    assert len(rv.load_images(tmp_path, preset=preset(1))) == 1


def test_files_of_objects_and_damaged_arrays_are_refused(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY")
    for name in ("a.npy", "b.npy", "c.npy"):
        with pytest.raises(UnreadableImage, match=f"{name}' is not readable .*numpy.save"):
            loaded(tmp_path / name, 1)


def test_bands_are_resized_each_by_itself() -> None:
    array = bands(5)
    sizes = {"resize": 4, "crop": 3}
    image = loaded(array, 5, **sizes)
    alone = [loaded(array[:, :, band], 1, **sizes) for band in range(5)]
    assert torch.equal(image, torch.cat(alone))
    assert loaded(array / 255.0, 5, **sizes).shape == (5, 3, 3)


def test_four_bands_are_no_transparency() -> None:
    four = bands(4)
    four[..., 3] = 0
    image = Image.fromarray(four)
    assert image.mode == "RGBA"
    assert torch.equal(loaded(image, 4), first(four))
    assert torch.equal(loaded(four, 4, resize=(6, 8)), first(four))
    assert (loaded(four, 3) == 1).all()


def test_mean_and_std_of_each_band() -> None:
    mean, std = (0.1, 0.2, 0.3, 0.4, 0.5), (1.0, 2.0, 3.0, 4.0, 5.0)
    five = rv.Preset("mine", "own", mean, std, resize=None, crop=None)
    array = bands(5)
    image = rv.load_images(array, preset=five)[0]
    right = (first(array) - torch.tensor(mean).view(5, 1, 1)) / torch.tensor(std).view(5, 1, 1)
    torch.testing.assert_close(image, right)


@pytest.mark.parametrize(
    ("source", "count", "what"),
    [
        (bands(3), 5, r"an array of shape \(6, 8, 3\); \(H, W, 5\).*for the 5 of preset 'mine'"),
        (np.moveaxis(bands(5), 2, 0), 5, "Channels come last"),
        (bands(1)[:, :, 0], 4, r"an array of shape \(6, 8, 1\)"),
        (bands(5), 3, r"an array of shape \(6, 8, 5\)"),
        (torch.zeros(6, 8, 5), 5, r"a tensor of shape \(6, 8, 5\); \(5, H, W\).*use permute"),
        (Image.fromarray(bands(3)), 5, r"a picture of 3 bands \(RGB\)"),
        (np.zeros((7, 6, 8), np.uint8), 1, r"\(H, W\), \(H, W, 1\), or a stack of them"),
    ],
)
def test_another_number_of_bands(source: Any, count: int, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        loaded(source, count)


# ---- windows


def test_a_window_says_what_is_black_and_white() -> None:
    values = np.array([[-2000, -1000, -300, 400, 3000]], np.int16)
    right = torch.tensor([[[0, 0, 0.5, 1, 1]]])
    window = {"window": (-1000, 400)}
    for dtype in ("int16", "int32", "float32", "float64"):
        assert torch.equal(loaded(values.astype(dtype), 1, **window), right)
    assert torch.equal(loaded(values, 3, **window), right.expand(3, 1, 5))
    assert torch.equal(loaded(torch.from_numpy(values), 1, **window), right)
    reflectances = np.array([[[0, 5000], [10000, 20000]]], np.uint16)
    image = loaded(reflectances, 2, window=(0, 10000))
    assert image.tolist() == [[[0, 1]], [[0.5, 1]]]
    contrast = np.array([[50, 75, 100, 255]], np.uint8)
    for source in (contrast, Image.fromarray(contrast)):
        assert loaded(source, 1, window=(50, 100)).tolist() == [[[0, 0.5, 1, 1]]]


def test_int16_files(tmp_path: pathlib.Path) -> None:
    values = np.array([[-1000, 400], [-300, 50]], np.int16)
    write_tiff(tmp_path / "ct.tif", values[:, :, None])
    np.save(tmp_path / "ct.npy", values)
    right = torch.tensor([[[0, 1], [0.5, 0.75]]])
    for name in ("ct.tif", "ct.npy"):
        assert torch.equal(loaded(tmp_path / name, 1, window=(-1000, 400)), right)
    with pytest.raises(ValueError, match=r"'.*ct.tif': pixels from -1000 to 400.*window="):
        loaded(tmp_path / "ct.tif", 1)


@pytest.mark.parametrize(
    ("source", "window", "what"),
    [
        (np.zeros((2, 2), np.int16), None, r"pixels of dtype int16; .*window=\(low, high\)"),
        (np.zeros((2, 2), np.uint8), (-1000, 400), "uint8, which cannot hold the window"),
        (np.zeros((2, 2), np.uint16), (-1000, 400), "uint16, which cannot hold the window"),
        (np.full((2, 2), np.nan), (-1000, 400), "pixels that are NaN or infinite"),
        (np.zeros((2, 2), np.complex64), (0, 1), "pixels of dtype complex64"),
    ],
)
def test_pixels_that_do_not_fit_a_window(source: Any, window: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        loaded(source, 1, window=window)


# ---- files that Pillow does not read whole


def write_tiff(
    path: pathlib.Path,
    array: NDArray[Any],
    photometric: int = 1,
    extra_is: int = 0,
    orientation: int = 1,
    bits: int | None = None,
) -> None:
    """A baseline TIFF of one strip, uncompressed, with the bands side by side."""
    height, width, samples = array.shape
    kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    if bits:  # packed; of a width whose rows are whole bytes
        digits = "".join(f"{value:0{bits}b}" for value in array.ravel())
        data = int(digits, 2).to_bytes(len(digits) // 8)
    bits = bits or array.dtype.itemsize * 8
    table, extra = 8 + len(data), []
    tags: list[tuple[int, int, list[int]]] = [
        (256, 3, [width]),
        (257, 3, [height]),
        (258, 3, [bits] * samples),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (273, 4, [8]),
        (274, 3, [orientation]),
        (277, 3, [samples]),
        (278, 3, [height]),
        (279, 4, [len(data)]),
        (284, 3, [1]),
        (339, 3, [kind] * samples),
    ]
    colours = {2: 3, 5: 4}.get(photometric, 1)
    if samples > colours:
        tags.insert(-1, (338, 3, [extra_is] * (samples - colours)))
    end = table + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, form, values in tags:
        packed = struct.pack("<" + {3: "H", 4: "I"}[form] * len(values), *values)
        if len(packed) > 4:
            place = end + sum(map(len, extra))
            extra.append(packed)
            packed = struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, form, len(values)) + packed.ljust(4, b"\0")
    head = struct.pack("<2sHI", b"II", 42, table)
    ends = struct.pack("<I", 0) + b"".join(extra)
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + entries + ends)


def write_deep_png(path: pathlib.Path, array: NDArray[Any]) -> None:
    """16 bits for each of three or four channels, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width, channels = array.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_colours_of_16_bits_in_a_png(tmp_path: pathlib.Path) -> None:
    array = bands(3, "uint16")
    write_deep_png(tmp_path / "a.png", array)
    torch.testing.assert_close(loaded(tmp_path / "a.png", 3), first(array), rtol=0, atol=1 / 255)
    assert loaded(tmp_path / "a.png", 1).shape == (1, 6, 8)
    with pytest.raises(UnreadableImage, match="a.png' is a PNG with colours of 16 bits"):
        loaded(tmp_path / "a.png", 3, window=(0, 10000))
    write_deep_png(tmp_path / "a.png", bands(4, "uint16"))
    with pytest.raises(UnreadableImage, match="of which Pillow reads 8"):
        loaded(tmp_path / "a.png", 4)


def test_pages_of_a_tiff_as_bands(tmp_path: pathlib.Path) -> None:
    array = bands(5, "uint16")
    pages = [Image.fromarray(np.ascontiguousarray(array[:, :, band])) for band in range(5)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert torch.equal(loaded(tmp_path / "a.tif", 5), first(array))
    assert torch.equal(loaded(tmp_path / "a.tif", 1), first(array[:, :, :1]))  # the first page
    with pytest.raises(ValueError, match="a picture of 1 bands|an array of shape"):
        loaded(tmp_path / "a.tif", 4)


MANY = [
    (bands(5), 1),
    (bands(5), 2),  # Pillow gives the first three, and says nothing
    (bands(2), 1),
    (bands(6, "uint16"), 1),
    (bands(5, "float32"), 1),
    (bands(4, "uint16"), 2),
]


@pytest.mark.parametrize(("array", "photometric"), MANY)
def test_bands_of_a_tiff(array: NDArray[Any], photometric: int, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tifffile")
    write_tiff(tmp_path / "a.tif", array, photometric)
    assert torch.equal(loaded(tmp_path / "a.tif", array.shape[2]), first(array))
    if array.shape[2] != 4:
        with pytest.raises(ValueError, match=r"a.tif': an array of shape"):
            loaded(tmp_path / "a.tif", 3)


@pytest.mark.parametrize(("array", "photometric"), MANY)
def test_bands_of_a_tiff_without_its_library(
    array: NDArray[Any], photometric: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    write_tiff(tmp_path / "a.tif", array, photometric)
    what = r"a.tif' is a TIFF with bands or bits that Pillow does not read; tifffile.*resviz\[tiff"
    with pytest.raises(UnreadableImage, match=what):
        loaded(tmp_path / "a.tif", array.shape[2])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colours_of_a_tiff_are_turned_upright(
    orientation: int, tmp_path: pathlib.Path
) -> None:
    pytest.importorskip("tifffile")
    shallow = bands(3)
    for name, array in (("a.tif", shallow), ("b.tif", shallow.astype(np.uint16) * 257)):
        write_tiff(tmp_path / name, array, 2, orientation=orientation)
    right = loaded(tmp_path / "a.tif", 3)  # by Pillow
    assert right.shape == ((3, 8, 6) if orientation > 4 else (3, 6, 8))
    torch.testing.assert_close(loaded(tmp_path / "b.tif", 3), right, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_grey_of_a_tiff_is_turned_upright(
    orientation: int, dtype: type, tmp_path: pathlib.Path
) -> None:
    """Pillow maps such a file into memory, by the width of the picture as it was turned."""
    colours, file = bands(3), tmp_path / "a.tif"
    write_tiff(file, colours[:, :, :1].astype(dtype), orientation=orientation)
    write_tiff(tmp_path / "colours.tif", colours, 2, orientation=orientation)
    right = loaded(tmp_path / "colours.tif", 3)[:1] / (1 if dtype is np.uint8 else 257)
    torch.testing.assert_close(loaded(file, 1), right, rtol=0, atol=1e-6)
    with Image.open(file) as image:
        torch.testing.assert_close(loaded(image, 1), right, rtol=0, atol=1e-6)
        assert torch.equal(loaded(image, 1), loaded(file, 1))  # read by then


def test_12_bits_of_a_tiff(tmp_path: pathlib.Path) -> None:
    values = np.array([[0, 1024], [2048, 4095]], np.uint16)
    right = torch.tensor([[0, 1024], [2048, 4095]]) / 4095
    write_tiff(tmp_path / "a.tif", values[:, :, None], bits=12)
    torch.testing.assert_close(loaded(tmp_path / "a.tif", 1)[0], right)
    torch.testing.assert_close(loaded(tmp_path / "a.tif", 3)[2], right)
    in_window = loaded(tmp_path / "a.tif", 1, window=(0, 2048))[0]
    torch.testing.assert_close(in_window, (right * 4095 / 2048).clip(0, 1))


def test_a_window_is_about_the_numbers_in_a_file_of_few_bits(tmp_path: pathlib.Path) -> None:
    """Pillow stretches them to 8 or 16 bits."""
    for most, kind in ((100, "u1"), (4095, ">u2")):
        pixels = np.array([0, most // 2, most]).astype(kind).tobytes()
        (tmp_path / "a.pgm").write_bytes(f"P5\n3 1\n{most}\n".encode() + pixels)
        right = torch.tensor([[0, most // 2 / most, 1]])
        torch.testing.assert_close(loaded(tmp_path / "a.pgm", 1, window=(0, most))[0], right)
        torch.testing.assert_close(loaded(tmp_path / "a.pgm", 1)[0], right, rtol=0, atol=0.003)
    for bits in (1, 2, 4):
        most = 2**bits - 1
        row = int("".join(f"{v:0{bits}b}" for v in (0, most // 2, most)).ljust(16, "0"), 2)
        head = struct.pack(">IIBBBBB", 3, 1, bits, 0, 0, 0, 0)
        data = zlib.compress(b"\0" + row.to_bytes(2)[: -(-3 * bits // 8)])
        parts = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
        png = [
            struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
            for k, d in parts
        ]
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png))
        right = torch.tensor([[0, most // 2 / most, 1]])
        torch.testing.assert_close(loaded(tmp_path / "a.png", 1, window=(0, most))[0], right)
        torch.testing.assert_close(loaded(tmp_path / "a.png", 1)[0], right, rtol=0, atol=0.003)


def test_deep_cmyk_is_as_of_8_bits(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tifffile")
    shallow = bands(4)
    write_tiff(tmp_path / "a.tif", shallow, 5)
    write_tiff(tmp_path / "b.tif", shallow.astype(np.uint16) * 257, 5)
    ink = first(shallow)
    right = (1 - ink[:3]) * (1 - ink[3:])
    torch.testing.assert_close(loaded(tmp_path / "a.tif", 3), right, rtol=0, atol=1.1 / 255)
    torch.testing.assert_close(loaded(tmp_path / "b.tif", 3), right, rtol=0, atol=2e-5)
    assert torch.equal(loaded(tmp_path / "b.tif", 4), ink)


def test_deep_colours_that_were_multiplied_by_their_opacity(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tifffile")
    whole, opacity = bands(3) / 255, np.linspace(0, 1, 8)[None, :, None].repeat(6, axis=0)
    pixels = np.concatenate([whole * opacity, opacity], axis=2)
    right = torch.from_numpy(whole * opacity + 1 - opacity).permute(2, 0, 1).float()
    for most, dtype in ((255, "uint8"), (65535, "uint16"), (1, "float32")):
        array = (pixels * most).round() if most > 1 else pixels
        write_tiff(tmp_path / "a.tif", array.astype(dtype), 2, extra_is=1)
        image = loaded(tmp_path / "a.tif", 3)
        torch.testing.assert_close(image, right, rtol=0, atol=3 / 255 if most == 255 else 1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_fourth_band_of_no_known_kind_is_no_opacity(dtype: str, tmp_path: pathlib.Path) -> None:
    if dtype != "uint8":
        pytest.importorskip("tifffile")
    array = bands(4, dtype)  # red, green, blue and infrared
    array[..., 3] = 0
    write_tiff(tmp_path / "a.tif", array, 2)
    assert torch.equal(loaded(tmp_path / "a.tif", 3), first(array)[:3])
    if dtype == "uint16":
        half = loaded(tmp_path / "a.tif", 3, window=(0, 32767))
        torch.testing.assert_close(half, (first(array)[:3] * 65535 / 32767).clamp(0, 1))


def test_grey_of_which_0_is_white(tmp_path: pathlib.Path) -> None:
    shallow = bands(1)
    for array in (shallow, shallow.astype(np.uint16) * 257, (shallow / 255).astype(np.float32)):
        write_tiff(tmp_path / "a.tif", array, 0)
        for channels in (1, 3):
            right = (1 - first(array)).expand(channels, -1, -1)
            torch.testing.assert_close(loaded(tmp_path / "a.tif", channels), right)
    write_tiff(tmp_path / "a.tif", shallow.astype(np.uint16), 0)
    raw = loaded(tmp_path / "a.tif", 1, window=(0, 255))  # says itself what is white
    torch.testing.assert_close(raw, first(shallow))


def test_a_damaged_tiff(tmp_path: pathlib.Path) -> None:
    write_tiff(tmp_path / "a.tif", bands(5))
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableImage, match=r"a.tif"):
        loaded(tmp_path / "a.tif", 5)


# ---- networks


def network(channels: int) -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.1)
    return net


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_network_of_any_channels_is_recorded_and_explained(count: int) -> None:
    net = network(count)
    rv.set_preset(net, preset(count, resize=16, crop=12))
    images = rv.load_images(bands(count), net)
    assert images.shape == (1, count, 12, 12)
    exp, rec = rv.explain(net, images, 0, layers="1"), rv.record(net, images)
    shown = {1: [0, 0, 0], 2: [0, 0, 0], 3: [0, 1, 2], 5: [0, 1, 2]}[count]
    right = (images[0, shown] * 255).round().to(torch.uint8).permute(1, 2, 0)
    for pictures in (exp.pictures, rec.pictures):
        assert pictures is not None and torch.equal(pictures[0], right)
    said = {2: [0], 5: [0, 1, 2]}.get(count)
    assert exp.provenance.get("bands") == rec.provenance.get("bands") == said
    figure = rv.plot_explanation(exp)
    assert [trace.name for trace in figure.data][0] == "photograph"
    title = figure.layout.title.text
    assert ("the picture shows band" in title) == (said is not None)
    assert len(rv.list_layers(net)) == 5


@pytest.mark.parametrize("count", [1, 5])
def test_a_network_of_any_channels_is_explored(count: int) -> None:
    net = network(count)
    rv.set_preset(net, preset(count))
    images = torch.rand(1, count, 12, 16)
    assert rv.explore(net, images).selection["image"] == 0
    exp = rv.explain(net, images, 0, layers="1")
    for view in (
        rv.explore_explanation(exp),
        rv.explore_feature_maps(rv.record(net, images, keep="1")),
    ):
        assert view is not None
    checked = rv.faithfulness(net, images, exp, steps=4, progress=False)
    assert len(checked) == 1


def test_display_says_which_bands_a_picture_shows() -> None:
    array = bands(5)
    images = rv.load_images(array, preset=preset(5))
    false = to_pictures(images, preset(5, display=(3, 2, 0)))[0].numpy()
    assert (false == array[:, :, [3, 2, 0]]).all()
    grey = to_pictures(images, preset(5, display=4))[0].numpy()
    assert (grey == array[:, :, [4, 4, 4]]).all()


def test_other_channels_than_the_networks_are_refused() -> None:
    what = r"preset 'mine' is of 3 channels, and the first convolution of this Sequential takes 1"
    net = network(1)
    for refused in (
        lambda: rv.set_preset(net, preset(3)),
        lambda: rv.load_images(bands(3), net, preset=preset(3)),
        lambda: rv.explain(net, torch.zeros(1, 1, 8, 8), preset=preset(3)),
        lambda: rv.record(net, torch.zeros(1, 1, 8, 8), preset=preset(3)),
        lambda: rv.load_model(net, preset=preset(3)),
    ):
        with pytest.raises(ValueError, match=what):
            refused()
    assert not hasattr(net, "resviz_preset")
    with pytest.raises(ValueError, match="is of 1 channel, and the first convolution"):
        rv.set_preset(network(3), preset(1))
    with pytest.raises(ValueError, match="is of 5 channels"):
        rv.set_preset(network(3), preset(5))


def test_channels_that_a_network_makes_itself() -> None:
    class Repeats(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.repeat(1, 3, 1, 1))

    net = Repeats().eval()
    with pytest.raises(ValueError, match="check=False"):
        rv.set_preset(net, preset(1))
    rv.set_preset(net, preset(1), check=False)
    images = rv.load_images(bands(1), net)
    assert rv.record(net, images, preset=rv.preset_of(net)).pictures is not None
    rv.set_preset(nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3)), preset(3))
    rv.set_preset(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), preset(3))


def test_images_of_other_channels_than_the_preset_says_have_no_pictures() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2 * 16, 3)).eval()
    rv.set_preset(net, preset(3))
    with pytest.warns(rv.ResvizWarning, match=r"images of shape \(1, 2, 4, 4\).*3 channel"):
        rec = rv.record(net, torch.zeros(1, 2, 4, 4))
    assert rec.pictures is None
