"""`plot_feature_maps` as data: tiles, order, colour limits, axes, words, errors."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import resviz as rv
from resviz.views import style
from resviz.views.charts.marks import Picture
from resviz.views.figures.tiles import title_room
from resviz.views.static import static_png


def tiles(figure: Any) -> dict[int, Any]:
    """The tile of each channel, in the order drawn."""
    return {
        int(t.name.removeprefix("channel ")): t
        for t in figure.data
        if t.type in ("heatmap", "image") and t.name
    }


def kept(rec: Any, name: str, tensor: torch.Tensor) -> Any:
    return dataclasses.replace(rec, tensors={name: tensor})


def test_a_tile_per_channel_with_its_values(rec: Any) -> None:
    figure = rv.plot_feature_maps(rec, "layer3", 1, channels=5)
    found = tiles(figure)
    assert list(found) == [0, 1, 2, 3, 4]
    for channel, tile in found.items():
        np.testing.assert_array_equal(tile.z, rec["layer3"][1, channel].numpy())
        assert f"channel {channel}" in tile.hovertemplate and "%{z" in tile.hovertemplate
        np.testing.assert_array_equal(np.asarray(tile.customdata)[2, 3], [2, 3])
    numbers = next(t for t in figure.data if t.type == "scatter" and t.mode == "text")
    assert list(numbers.text) == ["0", "1", "2", "3", "4"]


def test_tiles_do_not_overlap(rec: Any) -> None:
    corners = {
        (t.x0, t.y0) for t in tiles(rv.plot_feature_maps(rec, "layer3", channels=64)).values()
    }
    assert len(corners) == 64


def test_order(rec: Any, read: Any) -> None:
    maps = rec["layer1"][2].numpy().reshape(16, -1)
    for sort, key in (("mean", maps.mean(1)), ("max", maps.max(1))):
        figure = rv.plot_feature_maps(rec, "layer1", 2, sort=sort)
        assert list(tiles(figure)) == np.argsort(-key, kind="stable").tolist()
        assert f"largest {sort} first" in read.title(figure)
    assert list(tiles(rv.plot_feature_maps(rec, "layer1", sort="index"))) == list(range(16))


def test_chosen_channels(rec: Any, read: Any) -> None:
    figure = rv.plot_feature_maps(rec, "layer1", channels=[7, 2, 5])
    assert list(tiles(figure)) == [7, 2, 5]
    assert "3 of 16 channels, as listed" in read.title(figure)
    means = rec["layer1"][0].mean((1, 2))
    expected = sorted([7, 2, 5], key=lambda c: -means[c])
    assert list(tiles(rv.plot_feature_maps(rec, "layer1", channels=[7, 2, 5], sort="mean"))) == (
        expected
    )


@pytest.mark.parametrize(("count", "across"), [(1, 1), (4, 2), (7, 4), (12, 4), (16, 4), (20, 5)])
def test_rows_are_full(count: int, across: int, rec: Any) -> None:
    big = kept(rec, "many", torch.rand(1, count, 8, 8))
    starts = {
        tile.x[0] if tile.x is not None else tile.x0
        for tile in tiles(rv.plot_feature_maps(big, "many", channels=count)).values()
    }
    assert len(starts) == across


def test_one_colour_scale_or_one_per_channel(rec: Any, read: Any) -> None:
    maps = rec["layer1"][0].numpy()  # after a ReLU: magnitudes
    shared = rv.plot_feature_maps(rec, "layer1")
    found = tiles(shared)
    assert {(t.zmin, t.zmax) for t in found.values()} == {(maps.min(), maps.max())}
    assert "one colour scale over these channels" in read.title(shared)
    bar = next(t for t in shared.data if t.type == "scatter" and t.marker.showscale)
    assert (bar.marker.cmin, bar.marker.cmax) == (maps.min(), maps.max())
    own = rv.plot_feature_maps(rec, "layer1", scale="unit")
    for channel, tile in tiles(own).items():
        if maps[channel].any():
            assert (tile.zmin, tile.zmax) == (maps[channel].min(), maps[channel].max())
    assert "each channel on its own colour scale" in read.title(own)
    bar = next(t for t in own.data if t.type == "scatter" and t.marker.showscale)
    assert bar.marker.colorbar.ticktext == ("least", "", "largest")  # no number fits all


@pytest.mark.thorough
def test_signed_maps_are_diverging_and_centred(rec: Any) -> None:
    maps = rec["layer1.0.add:branch"]
    assert maps.min() < 0
    for scale in ("layer", "unit"):
        for tile in tiles(rv.plot_feature_maps(rec, "layer1.0.add:branch", scale=scale)).values():
            assert tile.zmin == -tile.zmax
            assert (
                tile.colorscale
                == rv.plot_feature_maps(rec, "layer1.0.add:branch").data[0].colorscale
            )
    plain = tiles(rv.plot_feature_maps(rec, "layer1"))[0]
    signed = tiles(rv.plot_feature_maps(rec, "layer1.0.add:branch"))[0]
    assert plain.colorscale != signed.colorscale


def test_many_values_become_pictures(rec: Any, read: Any) -> None:
    big = kept(rec, "big", torch.randn(1, 16, 80, 80))
    figure = rv.plot_feature_maps(big, "big")
    assert {t.type for t in tiles(figure).values()} == {"image"}
    assert "maximum" in tiles(figure)[3].hovertemplate
    assert len(figure.to_json()) < 1_500_000


def test_constant_and_dead_channels(rec: Any) -> None:
    tensor = torch.zeros(1, 3, 4, 4)
    tensor[0, 1] = 2.0
    for scale in ("layer", "unit"):
        for tile in tiles(rv.plot_feature_maps(kept(rec, "t", tensor), "t", scale=scale)).values():
            assert tile.zmin == 0 < tile.zmax
    dead = rv.plot_feature_maps(kept(rec, "t", torch.zeros(1, 3, 4, 4)), "t")
    assert static_png(dead)


def test_values_that_are_not_finite_do_not_stretch_the_scale(rec: Any) -> None:
    tensor = torch.rand(1, 2, 4, 4)
    tensor[0, 0, 0, 0], tensor[0, 1, 0, 0] = float("nan"), float("inf")
    figure = rv.plot_feature_maps(kept(rec, "t", tensor), "t", sort="mean")
    tile = tiles(figure)[0]
    assert tile.zmax <= 1 and np.isnan(tile.z[0, 0])


def test_a_channel_of_nan_is_magenta_and_counted(rec: Any) -> None:
    tensor = torch.randn(1, 2, 4, 4)
    tensor[0, 1] = float("nan")
    for one, axes in ((tensor, "NCHW"), (tensor.flatten(2), "NCL")):
        figure = rv.plot_feature_maps(kept(rec, "t", one), "t", axes=axes)
        assert "16 values not finite, magenta" in figure.chart.lines[0]
        (below,) = (mark for mark in figure.chart.marks if isinstance(mark, Picture))
        missing = (below.pixels == (255, 0, 255)).all(axis=2)
        assert missing.sum() == 16 and missing[-1].all()


class Audio(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 6, 5, padding=2)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).relu().mean(2))


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(5, 8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.project(x).mean(1))


def test_audio_is_rows_of_channels(read: Any) -> None:
    rec = rv.record(Audio(), torch.randn(2, 1, 20), gradients=False, keep=["conv"])
    figure = rv.plot_feature_maps(rec, "conv", 1, channels=4, sort="max")
    (heat,) = [t for t in figure.data if t.type == "heatmap"]
    order = torch.argsort(-rec["conv"][1].max(1).values)[:4]
    np.testing.assert_array_equal(heat.z, rec["conv"][1][order].numpy())
    assert list(figure.layout.yaxis.ticktext) == [str(int(c)) for c in order]
    assert figure.layout.xaxis.title.text == "position" and "NCL 2 × 6 × 20" in read.title(figure)


def test_text_is_rows_of_channels(read: Any) -> None:
    rec = rv.record(Text(), torch.randn(2, 7, 5), gradients=False, keep=["project"])
    figure = rv.plot_feature_maps(rec, "project", channels=8)
    (heat,) = [t for t in figure.data if t.type == "heatmap"]
    np.testing.assert_array_equal(heat.z, rec["project"][0].numpy().T)
    assert figure.layout.xaxis.title.text == "token" and "NLC 2 × 7 × 8" in read.title(figure)
    own = rv.plot_feature_maps(rec, "project", channels=8, scale="unit")
    (heat,) = [t for t in own.data if t.type == "heatmap"]
    assert np.abs(heat.z).max(axis=1) == pytest.approx(1)
    np.testing.assert_array_equal(np.asarray(heat.customdata)[..., 1], rec["project"][0].numpy().T)


def test_channels_last(rec: Any, blind: Any) -> None:
    swin = dataclasses.replace(
        rec,
        tensors={"block": torch.rand(1, 7, 7, 12)},
        layers=pd.DataFrame({"layer": ["block"], "type": ["LayerNorm"]}),
    )
    assert len(tiles(rv.plot_feature_maps(swin, "block"))) == 12
    assert len(tiles(rv.plot_feature_maps(kept(rec, "t", torch.rand(1, 4, 5, 6)), "t"))) == 4
    chosen = rv.plot_feature_maps(kept(rec, "t", torch.rand(1, 4, 5, 6)), "t", axes="NHWC")
    assert len(tiles(chosen)) == 6


def test_a_wide_photograph_is_not_taken_for_channels_last(rec: Any) -> None:
    """64 channels of 64 x 48 positions: the shape of (N, H, W, C), in a network of Conv2d."""
    wide = kept(rec, "layer2", torch.rand(1, 64, 64, 48))
    figure = rv.plot_feature_maps(wide, "layer2", channels=64)
    assert len(tiles(figure)) == 64 and "NCHW" in figure.layout.title.text


def test_title(rec: Any, read: Any) -> None:
    title = read.title(rv.plot_feature_maps(rec, "layer3", 2, channels=4))
    for words in ("layer3", "image 2", "4 of 64 channels", "toy-net", "NCHW 3 × 64 × 8 × 8"):
        assert words in title
    assert "BatchNorm on running statistics" in title and "float32" in title


def test_errors(rec: Any, blind: Any) -> None:
    def refused(message: str) -> Any:
        return pytest.raises(ValueError, match=re.compile(f"^plot_feature_maps: .*{message}"))

    with refused(r"'layer2' was not kept; closest: .*keep=\['layer2'\]"):
        rv.plot_feature_maps(rec, "layer2")
    twice = {f"relu#{call}": rec.tensors["layer1"] for call in (0, 1)}
    with refused(r"'relu' ran 2 times; .*\('relu', 0\)"):
        rv.plot_feature_maps(dataclasses.replace(rec, tensors=twice), "relu")
    with refused("image 3 of 3"):
        rv.plot_feature_maps(rec, "layer1", 3)
    with refused("image -1 of 3"):
        rv.plot_feature_maps(rec, "layer1", -1)
    with refused(r"channels \[16\]; 'layer1' has 0 to 15"):
        rv.plot_feature_maps(rec, "layer1", channels=[1, 16])
    with refused("channels=0"):
        rv.plot_feature_maps(rec, "layer1", channels=0)
    with refused("sort='men'"):
        rv.plot_feature_maps(rec, "layer1", sort="men")
    with refused("scale='own'"):
        rv.plot_feature_maps(rec, "layer1", scale="own")
    with refused("no pictures to show"):
        rv.plot_feature_maps(kept(rec, "fc", torch.rand(3, 10)), "fc")
    with refused("axes='NCWX'"):
        rv.plot_feature_maps(rec, "layer1", axes="NCWX")
    nothing = dataclasses.replace(rec, tensors={})
    with refused("nothing was"):
        rv.plot_feature_maps(nothing, "layer1")


def test_a_module_that_ran_twice_needs_its_call(rec: Any) -> None:
    relu = "layer1.0.relu"
    calls = [key for key in rec.tensors if key.startswith(relu)]
    assert calls == [f"{relu}#0", f"{relu}#1"]
    assert len(tiles(rv.plot_feature_maps(rec, (relu, 1), channels=2))) == 2
    assert len(tiles(rv.plot_feature_maps(rec, f"{relu}#1", channels=2))) == 2


def test_names_are_escaped(rec: Any, read: Any, hostile: str) -> None:
    odd = dataclasses.replace(
        rec, tensors={hostile: rec["layer1"]}, provenance={**rec.provenance, "network": hostile}
    )
    text = read.text(rv.plot_feature_maps(odd, hostile))
    assert "<script" not in text and "<b>bold" not in text and "&lt;script&gt;" in text


def test_the_scale_is_one_of_plotly(rec: Any) -> None:
    assert style.colour_table(style.SIGNED).shape == (256, 3)


def clip_record() -> Any:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
    net = nn.Sequential(nn.Conv3d(1, 4, 3, stride=2, padding=1), nn.ReLU(), *head).eval()
    return rv.record(net, torch.rand(2, 1, 9, 12, 16), keep=["1"])


def test_a_frame_of_video(read: Any) -> None:
    rec = clip_record()
    for frame in (None, 4):
        figure = rv.plot_feature_maps(rec, "1", 1, frame=frame)
        shown = 2 if frame is None else frame
        for channel, tile in tiles(figure).items():
            np.testing.assert_array_equal(tile.z, rec["1"][1, channel, shown].numpy())
        assert f"frame {shown} of 5" in read.title(figure)
        assert "NCDHW" in read.title(figure)


def test_frames_that_there_are_not(rec: Any) -> None:
    with pytest.raises(ValueError, match="plot_feature_maps: frame 5 of 5; counted from 0"):
        rv.plot_feature_maps(clip_record(), "1", frame=5)
    with pytest.raises(ValueError, match="plot_feature_maps: frame=0, and 'layer3' has none"):
        rv.plot_feature_maps(rec, "layer3", frame=0)
    with pytest.raises(ValueError, match="explore_feature_maps: .* of video, rv.plot_feature_maps"):
        rv.explore_feature_maps(clip_record())


def test_the_title_has_room(rec: Any) -> None:
    figure = rv.plot_feature_maps(rec, "layer3", channels=1)
    assert figure.layout.width >= title_room(figure.chart.title, *figure.chart.lines) - 1
