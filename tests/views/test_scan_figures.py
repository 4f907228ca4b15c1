"""Figures of a scan, as data and as pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import resviz as rv
from resviz.scanning.scan import Scan
from resviz.views.charts.marks import Picture, Series, Words
from resviz.views.figures.top_images import seen_part
from resviz.views.static import static_png
from scanning.toys import pictures, toy

PRESET = rv.Preset("toy", "own", (0.5,) * 3, (0.5,) * 3, classes=("cat", "dog", "<b>ship</b>"))


@pytest.fixture(scope="module")
def scan() -> Scan:
    net = toy()
    with torch.no_grad():
        net.stem.weight[4], net.stem.bias[4] = 0.0, -1.0
    images, labels = pictures().tensors
    data = TensorDataset(images.clamp(-1, 1), labels)
    return rv.scan(net, data, preset=PRESET, top=4, progress=False)


def test_a_row_per_channel_with_what_it_saw(scan):
    figure = rv.plot_top_images(scan, "relu", [2, 0], images=3)
    drawn = [mark for mark in figure.chart.marks if isinstance(mark, Picture)]
    assert len(drawn) == 6 and all(mark.pixels.shape == (3, 3, 3) for mark in drawn)
    row = scan.top("relu", 2).iloc[0]
    box = tuple(row[["top", "left", "bottom", "right"]])
    expected = seen_part(scan.picture(int(row["image"])), box)
    np.testing.assert_array_equal(drawn[0].pixels, expected)
    assert [note.text for note in figure.chart.notes][0].startswith("channel 2 · most for")
    assert "23 images" in figure.chart.lines[0]


def test_channels_that_are_most_selective_come_first(scan):
    figure = rv.plot_top_images(scan, "layer1.0")
    first = next(note.text for note in figure.chart.notes if note.text.startswith("channel"))
    table = scan.channels[scan.channels["layer"] == "layer1.0"]
    assert first.startswith(f"channel {table.loc[table['selectivity'].idxmax(), 'channel']} ")


def test_points_are_the_channels_in_order(scan):
    figure = rv.plot_channel_statistics(scan, ["relu"], y="max")
    drawn = {mark.name: mark for mark in figure.chart.marks if isinstance(mark, Series)}
    table = scan.channels[scan.channels["layer"] == "relu"]
    points = drawn["channels"]
    assert sorted(points.y) == sorted(table.loc[~table["dead"], "max"])
    assert (np.diff(np.asarray(points.y)[np.argsort(points.x)]) >= 0).all()
    assert list(drawn["dead channels"].y) == [0.0]
    assert drawn["median of the layer"].y[0] == table["max"].median()


def test_zeros_have_a_place_on_a_log_axis(scan):
    figure = rv.plot_channel_statistics(scan, "relu", y="mean", log=True)
    dead = next(mark for mark in figure.chart.marks if mark.name == "dead channels")
    assert figure.chart.axes[dead.yaxis].ticks == ((0, "0"),)


@pytest.mark.thorough
def test_they_have_pictures(scan):
    for figure in (rv.plot_top_images(scan, "relu"), rv.plot_channel_statistics(scan)):
        assert static_png(figure).startswith(b"\x89PNG")
    assert not any(isinstance(mark, Words) for mark in figure.chart.marks)


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (lambda s: rv.plot_top_images(7, "relu"), TypeError, "a int; a Scan is right"),
        (lambda s: rv.plot_top_images(s, "rela"), KeyError, "no layer 'rela' in the scan"),
        (lambda s: rv.plot_top_images(s, "relu", [9]), KeyError, "channel 9 of 'relu'; 0 to 5"),
        (lambda s: rv.plot_top_images(s, "relu", images=0), ValueError, "images 0; 1 or more"),
        (lambda s: rv.plot_channel_statistics(s, y="men"), ValueError, "y 'men'; one of mean"),
        (lambda s: rv.plot_channel_statistics(s, "x"), KeyError, "no layer 'x' in the scan"),
    ],
)
def test_bad_arguments(scan, draw, error, words):
    with pytest.raises(error, match=words):
        draw(scan)


def test_negative_values_have_no_logarithm():
    found = rv.scan(toy(), pictures(), ["channels"], layers=["stem"], progress=False)
    with pytest.raises(ValueError, match="'min' has negative values, which a log axis cannot show"):
        rv.plot_channel_statistics(found, y="min", log=True)


def test_without_pictures_it_says_how_to_have_them():
    plain = rv.scan(toy(), pictures(), progress=False)
    with pytest.raises(ValueError, match="a scan without pictures of these images; a preset"):
        rv.plot_top_images(plain, "relu")
