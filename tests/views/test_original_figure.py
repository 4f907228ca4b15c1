"""`plot_explanation(original=...)`: maps over the whole photograph."""

from __future__ import annotations

import base64
import io
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

import resviz as rv


@pytest.fixture
def picture(tmp_path: pathlib.Path) -> pathlib.Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


@pytest.fixture
def net() -> nn.Module:
    made = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()
    for parameter in made.parameters():
        nn.init.constant_(parameter, 0.1)
    rv.set_preset(made, rv.Preset("mine", "own", 0, 1, 30, 20, channels=3))
    return made


def shown(image: Any) -> np.ndarray[Any, Any]:
    data = base64.b64decode(image.source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_whole_photograph_with_colours_where_the_network_saw(
    picture: pathlib.Path, net: nn.Module
) -> None:
    exp = rv.explain(net, rv.load_images(picture, net), 0, layers="0")
    figure = rv.plot_explanation(exp, original=picture)
    photograph, overlay = (shown(trace) for trace in figure.data if trace.type == "image")
    times = photograph.shape[0] // 60
    assert photograph.shape == overlay.shape == (60 * times, 120 * times, 3)
    assert (photograph[::times, ::times] == np.asarray(Image.open(picture))).all()
    coloured = (overlay.max(2) != overlay.min(2))[::times, ::times]
    # 60 x 120 to 30 x 60, and 20 x 20 of that: rows 10..50, columns 40..80
    assert coloured[10:50, 40:80].all() and coloured.sum() == 40 * 40
    title = figure.layout.title.text
    assert (
        "over the whole photograph (60 x 120), without colours where it was cropped away" in title
    )
    (values,) = [trace for trace in figure.data if trace.type == "heatmap"]
    assert np.shape(values.z) == (20, 20)
    tile_height, tile_width = figure.layout.meta["tile"]
    assert values.dx == pytest.approx(tile_width / 3 / 20)
    assert values.dy == pytest.approx(tile_height * 2 / 3 / 20)


def test_the_picture_may_be_an_array_and_is_made_smaller(net: nn.Module) -> None:
    pixels = np.zeros((1500, 3000, 3), np.uint8)
    exp = rv.explain(net, rv.load_images(pixels, net), 0, layers="0")
    figure = rv.plot_explanation(exp, original=pixels)
    assert shown(figure.data[0]).shape == (512, 1024, 3)


def test_another_picture_is_refused(picture: pathlib.Path, net: nn.Module) -> None:
    images = rv.load_images(picture, net)
    exp = rv.explain(net, images, 0, layers="0")
    what = r"^plot_explanation: an original of 9 x 9 pixels, and image 0 came from wide.png of 60 x"
    with pytest.raises(ValueError, match=what):
        rv.plot_explanation(exp, original=np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"^plot_explanation: images of which nobody knows"):
        rv.plot_explanation(rv.explain(net, images.clone(), 0, layers="0"), original=picture)
    with pytest.raises(ValueError, match=r"^plot_explanation: .*missing.png' is not readable"):
        rv.plot_explanation(exp, original=picture.with_name("missing.png"))


# ---- views
def test_the_view_offers_the_whole_photograph(picture: pathlib.Path, net: nn.Module) -> None:
    images = rv.load_images([picture, picture], net)
    exp = rv.explain(net, images, 0, layers="0")
    view = rv.explore_explanation(exp, originals=[picture, None])
    payload = view.payload()
    whole, none = payload.meta["originals"]
    assert none is None and whole["size"] == [60, 120]
    # 60 x 120 to 30 x 60, and 20 x 20 of that: rows 10..50, columns 40..80
    assert whole["frame"] == pytest.approx([10 / 60, 40 / 120, 50 / 60, 80 / 120])
    assert (payload.array(whole["pixels"]) == np.asarray(Image.open(picture))).all()
    seen = view.figure()
    view.selection = {**view.selection, "under": "file"}
    figure = view.figure()
    given = rv.plot_explanation(rv.explain(net, images[:1].clone(), 0, layers="0"))
    assert len(figure.data) == len(seen.data) == len(given.data)
    assert "over the whole photograph (60 x 120)" in figure.layout.title.text
    assert "over the whole photograph" not in seen.layout.title.text
    view.selection = {**view.selection, "image": 1}  # of which the photograph is not known
    assert "over the whole photograph" not in view.figure().layout.title.text


def test_the_view_of_a_network_knows_its_images(picture: pathlib.Path, net: nn.Module) -> None:
    images = rv.load_images(picture, net)
    view = rv.explore_explanation(net, images, originals=picture)
    (whole,) = view.payload().meta["originals"]
    assert whole["size"] == [60, 120]
    assert rv.explore_explanation(net, images).payload().meta["originals"] == []


def test_large_photographs_are_sent_smaller(tmp_path: pathlib.Path, net: nn.Module) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (1600, 800)).save(path)
    view = rv.explore_explanation(net, rv.load_images(path, net), originals=path)
    payload = view.payload()
    (whole,) = payload.meta["originals"]
    assert payload.array(whole["pixels"]).shape == (320, 640, 3) and whole["size"] == [800, 1600]


def test_originals_that_are_refused(picture: pathlib.Path, net: nn.Module) -> None:
    images = rv.load_images(picture, net)
    exp = rv.explain(net, images, 0, layers="0")
    with pytest.raises(ValueError, match="^explore_explanation: 2 originals of 1 images; one for"):
        rv.explore_explanation(exp, originals=[picture, picture])
    with pytest.raises(ValueError, match="^explore_explanation: an original of 8 x 9 pixels"):
        rv.explore_explanation(exp, originals=np.zeros((8, 9, 3), np.uint8))
    unknown = rv.explain(net, images.clone(), 0, layers="0")
    with pytest.raises(ValueError, match="^explore_explanation: images of which nobody knows"):
        rv.explore_explanation(unknown, originals=picture)


def test_explore_has_the_files_it_was_given(picture: pathlib.Path, net: nn.Module) -> None:
    view = rv.explore(net, [picture])
    view.page()  # explains
    part = view.view._explanation(view.view._session.current)
    (whole,) = part.payload().meta["originals"]
    assert whole["size"] == [60, 120]
    buffer = io.BytesIO()
    Image.new("RGB", (90, 45)).save(buffer, "PNG")
    fields, _ = view.view.answer("photograph", {"name": "new", "buffers": [buffer.getvalue()]})
    assert view.view._parts._original(fields["image"]).origin.size == (45, 90)
    picture.unlink()
    view.view._parts._whole = (None, None)
    assert view.view._parts._original(0) is None  # the file is there no more
    made = rv.explore(net, rv.load_images(np.zeros((60, 60, 3), np.uint8), net)).view
    assert made._parts._original(0) is None
