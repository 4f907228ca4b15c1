"""The channel atlas as data: what its payload says is what the scan says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import resviz as rv
from resviz.views.payload import Payload
from scanning.toys import pictures, toy

PRESET = rv.Preset("toy", "own", (0.5,) * 3, (0.5,) * 3, classes=("cat", "dog", "<b>owl</b>"))


@pytest.fixture(scope="module")
def scan() -> Any:
    return rv.scan(toy(), pictures(), preset=PRESET, top=4, progress=False)


@pytest.fixture(scope="module")
def sent(scan: Any) -> Any:
    return rv.explore_channels(scan).view.data()


def test_numbers_are_those_of_the_scan(scan: Any, sent: Any) -> None:
    layer = sent.meta["layers"][1]
    table = scan.channels[scan.channels["layer"] == layer["key"]]
    for own, name in (("mean", "mean"), ("active", "active_images"), ("median", "median")):
        np.testing.assert_allclose(sent.array(layer["numbers"][own]), table[name], rtol=1e-6)
    top = scan.top(layer["key"], 2)
    for name in ("value", "image", "row", "column"):
        np.testing.assert_allclose(sent.array(layer["top"][name])[:, 2], top[name], rtol=1e-6)
    near = scan.nearest(layer["key"], 2, 3)
    found = sent.array(layer["nearest"]["channel"])[2][:3]
    assert found.tolist() == near["channel"].tolist()
    means = scan.class_means(layer["key"]).loc[2].sort_values(ascending=False)
    names = [sent.meta["classes"][n] for n in sent.array(layer["preferred"]["class"])[2]]
    assert names == means.index.tolist()
    shares = sent.array(layer["histogram"]["shares"])[2] / 65535
    np.testing.assert_allclose(shares, scan.histogram(layer["key"], 2, 24)["share"], atol=1e-5)


def test_places_of_signals_longer_than_sixteen_bits() -> None:
    net = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 1), torch.nn.Flatten()).eval()
    sound = torch.zeros(1, 1, 70_000)
    torch.nn.init.ones_(net[0].weight)
    sound[0, 0, 69_990] = 100
    scan = rv.scan(net, sound, ["channels", "top"], layers=["0"], progress=False)
    payload = rv.explore_channels(scan).view.data()
    top = payload.meta["layers"][0]["top"]
    assert payload.array(top["column"])[0, 0] == 69_990


def test_a_class_has_the_channels_that_stand_out(scan: Any, sent: Any) -> None:
    keys = [layer["key"] for layer in sent.meta["layers"]]
    rows = {name: sent.array(ref)[1] for name, ref in sent.meta["found"].items()}
    table = scan.find("dog")
    table = table[table["effect"] > 0]
    there = rows["layer"] >= 0
    assert [keys[n] for n in rows["layer"][there]] == table["layer"].tolist()
    assert rows["channel"][there].tolist() == table["channel"].tolist()


def test_pictures_are_those_that_the_network_saw(scan: Any, sent: Any) -> None:
    about = sent.meta["pictures"]
    images = sent.array(about["images"]).tolist()
    assert sorted(images) == sorted(scan.measured("top").images().tolist())
    assert about["wanted"] == len(images) and about["side"] == 8
    sheet = Image.open(io.BytesIO(sent.array(about["sheets"][0]).tobytes()))
    seen = np.asarray(sheet, float)[:8, 8:16]  # the second cell
    assert np.abs(seen - scan.picture(images[1])).mean() < 20  # noise, as JPEG


@pytest.mark.thorough
def test_too_many_pictures_are_made_smaller_then_left_out(monkeypatch: Any) -> None:
    from resviz.views.widgets.atlas import pictures as rooms

    net = rv.load_model("cifar10-resnet20", device="cpu")
    images = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    wide = rv.scan(net, images, measures=["top"], layers=["layer1.0"], top=3, progress=False)
    monkeypatch.setattr(rooms, "_TRIED", 6)
    everything = rooms.Kept(wide, 10**6)
    assert (everything.side, len(everything.images)) == (64, everything.wanted)
    smaller = rooms.Kept(wide, 12_000)
    assert smaller.side < 64 and len(smaller.images) == smaller.wanted
    few = rooms.Kept(wide, 3_000)
    assert few.side == 32 and 0 < len(few.images) < few.wanted


@pytest.mark.thorough
def test_what_was_not_measured_is_left_out() -> None:
    bare = rv.scan(toy(), pictures(), measures=["top"], progress=False)
    sent = rv.explore_channels(bare).view.data()
    assert sent.meta["found"] is None and sent.meta["pictures"]["names"] == []
    assert set(sent.meta["layers"][0]) >= {"top", "numbers"}
    assert not {"histogram", "preferred", "nearest"} & set(sent.meta["layers"][0])


def test_images_lie_where_the_scan_lays_them(scan: Any, sent: Any) -> None:
    points, table = sent.meta["points"], scan.layout()
    assert points["layer"] == scan.number(table.attrs["layer"]) and points["method"] == "pca"
    np.testing.assert_allclose(sent.array(points["x"]), table["x"], rtol=1e-6)
    vectors = scan.embedding[2].astype(np.float64)
    centred = vectors - vectors.mean(0)
    first = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    assert abs(np.corrcoef(first, table["x"])[0, 1]) > 0.999
    values = points["values"]
    codes, scale = sent.array(values["codes"]), sent.array(values["scale"])
    read = codes * scale[:, None] + sent.array(values["offset"])[:, None]
    assert np.abs(read.T - vectors).max() <= scale.max() * 0.51


def test_its_picture_is_of_what_is_chosen(scan: Any) -> None:
    view = rv.explore_channels(scan)
    assert view.selection["layer"] == "layer1.1"
    view.selection = {**view.selection, "channel": 3}
    assert "channel 3" in str(view.figure().layout.annotations)
    assert view.view.still()[0] is not None


@pytest.mark.thorough
def test_maps_of_opened_channels_are_on_the_page(scan: Any) -> None:
    view = rv.explore_channels(scan, toy(), preset=PRESET)
    assert view.view.data().meta["maps"] and "opened" not in view.view.data().meta
    fields, buffers = view.view.answer("top_maps", {"layer": "relu", "channel": 1})
    told: Any = fields["maps"]  # type: ignore[typeddict-item]
    assert told["images"] == scan.top("relu", 1)["image"].tolist()
    codes = Payload({}, buffers[0]).array(told["codes"])
    assert codes.shape == (4, 4, 4) and codes.max() == 254
    view.selection = {**view.selection, "layer": "layer1.1", "channel": 3}
    opened = view.page().payload.meta["opened"]
    assert [(one["layer"], one["channel"]) for one in opened] == [("layer1.1", 3), ("relu", 1)]
    plain = rv.explore_channels(scan)
    with pytest.raises(ValueError, match=r"no answer to 'top_maps'"):
        plain.view.answer("top_maps", {"layer": "relu", "channel": 1})


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match=r"^explore_channels: a int; a Scan is right"):
        rv.explore_channels(3)  # type: ignore[arg-type]
    plain = rv.scan(toy(), pictures(), measures=["channels"], progress=False)
    with pytest.raises(ValueError, match=r"^explore_channels: 'top' was not measured"):
        rv.explore_channels(plain)
    with pytest.raises(ValueError, match=r"^explore_channels: layout 'tsne'"):
        rv.explore_channels(plain, layout="tsne")


def test_a_network_that_was_not_scanned_is_refused(scan: Any) -> None:
    with pytest.raises(ValueError, match=r"^explore_channels: a scan of these layers with other w"):
        rv.explore_channels(scan, toy(seed=1))
    with pytest.raises(ValueError, match=r"^explore_channels: pictures from which this network's"):
        rv.explore_channels(scan, toy())
    with pytest.raises(TypeError, match=r"^explore_channels: "):
        rv.explore_channels(scan, "resnet50")  # type: ignore[arg-type]
