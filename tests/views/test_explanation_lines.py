"""`plot_explanation` of signals, words and frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import resviz as rv
from resviz.networks.signals import planted_events, signals_resnet
from resviz.views.figures.tiles import cells
from resviz.views.static import static_png


def words_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.EmbeddingBag(30, 8, mode="sum"), nn.Linear(8, 3)).eval()


def test_the_signal_is_drawn_over_its_map() -> None:
    net, made = signals_resnet(8, seed=0), planted_events(2)
    exp = rv.explain(net, made.signals, methods=["grad_cam", "saliency"], layers="layer3.0.bn2")
    figure = rv.plot_explanation(exp, image=1)
    curves = [trace for trace in figure.data if trace.name == "signal"]
    assert len(curves) == 2 and len(curves[0].x) == 256
    # the largest sample stands highest, which is the least y of a sheet
    assert np.argmin(curves[0].y) == int(made.signals[1, 0].argmax())
    hovers = [trace for trace in figure.data if trace.type == "heatmap"]
    assert [np.shape(trace.z) for trace in hovers] == [(1, 64), (1, 256)]
    np.testing.assert_allclose(hovers[0].z[0], exp.maps["grad_cam", "layer3.0.bn2"][1, 0])
    assert static_png(figure)[:4] == b"\x89PNG"


def test_of_many_channels_the_first_eight_are_drawn() -> None:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))
    net = nn.Sequential(nn.Conv1d(11, 4, 3), nn.ReLU(), *head).eval()
    figure = rv.plot_explanation(rv.explain(net, torch.rand(1, 11, 20), methods="saliency"))
    assert sum(trace.name == "signal" for trace in figure.data) == 8
    assert "channels 0 to 7 of 11, each on its own scale" in "\n".join(figure.chart.lines)


def test_words_stand_on_the_colour_of_their_value() -> None:
    ids = torch.randint(0, 30, (1, 40), generator=torch.Generator().manual_seed(0))
    exp = rv.explain(words_net(), ids, 1, methods="occlusion")
    names = [f"w{number}<" for number in ids[0].tolist()]
    for tokens in (names, lambda row: [f"w{number}<" for number in row]):
        figure = rv.plot_explanation(exp, tokens=tokens)
        (texts,) = (trace for trace in figure.select_traces({"type": "scatter", "mode": "text"}))
        assert list(texts.text) == [name.replace("<", "&lt;") for name in names]
        np.testing.assert_allclose(
            np.array(texts.customdata)[:, 1], exp.maps["occlusion", "input"][0, 0], rtol=1e-6
        )
    assert len(set(texts.y)) > 1  # more than a row
    assert "token 0 in place of others" in "\n".join(figure.chart.lines)
    assert static_png(figure)[:4] == b"\x89PNG"


def test_without_words_the_ids_are_shown() -> None:
    exp = rv.explain(words_net(), torch.tensor([[4, 17]]), 1, methods="occlusion")
    figure = rv.plot_explanation(exp)
    (texts,) = (trace for trace in figure.select_traces({"type": "scatter", "mode": "text"}))
    assert list(texts.text) == ["4", "17"]
    with pytest.raises(ValueError, match="plot_explanation: 1 words for 2 tokens; a word for each"):
        rv.plot_explanation(exp, tokens=["one"])


def test_frames_with_their_maps() -> None:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
    net = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1, stride=2), nn.ReLU(), *head).eval()
    clip = torch.rand(1, 1, 9, 12, 16)
    exp = rv.explain(net, clip, methods="hires_cam", layers="1", relu=False)
    figure = rv.plot_explanation(exp)
    pictures = [trace for trace in figure.data if trace.type == "image"]
    assert len(pictures) == 2 * 6
    hovers = [trace for trace in figure.data if trace.type == "heatmap"]
    # the first frame lies at the edge of the map, which repeats there
    np.testing.assert_allclose(hovers[0].z, exp.maps["hires_cam", "1"][0, 0, 0], rtol=1e-5)
    assert np.shape(hovers[0].z) == (6, 8)
    two = rv.plot_explanation(exp, frames=[3, 8])
    assert sum(trace.type == "image" for trace in two.data) == 4
    assert static_png(two)[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match=r"plot_explanation: frames \[9\] of 9; 0 to 8"):
        rv.plot_explanation(exp, frames=[9])


def test_maps_of_different_axes_do_not_share_a_figure() -> None:
    net = signals_resnet(8, seed=0)
    signals = planted_events(1).signals
    wide = rv.explain(
        net, signals, layers="layer3", reshape=lambda out: out[:, :, None], relu=False
    )
    maps = {("saliency", "input"): wide.upsampled("grad_cam", "layer3", (1, 256))[:, :, 0]}
    from dataclasses import replace

    both = replace(wide, maps={**wide.maps, **maps})
    with pytest.raises(ValueError, match="plot_explanation: maps with 1 and 2 axes"):
        rv.plot_explanation(both)


@pytest.mark.parametrize("kind", ["signal", "text", "clip", "column"])
def test_the_widget_refuses_maps_without_rows_and_columns(kind: str) -> None:
    torch.manual_seed(0)
    net: nn.Module = words_net() if kind == "text" else signals_resnet(8, seed=0)
    images = torch.tensor([[4, 17]]) if kind == "text" else planted_events(1).signals
    if kind in ("clip", "column"):
        axes, images = (3, torch.rand(1, 1, 4, 6, 6)) if kind == "clip" else (2, images[..., None])
        convolution, pool = (
            (nn.Conv3d, nn.AdaptiveAvgPool3d) if axes == 3 else (nn.Conv2d, nn.AdaptiveAvgPool2d)
        )
        size = (3,) * (axes - 1) + (3 if kind == "clip" else 1,)
        net = nn.Sequential(convolution(1, 4, size), pool(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    exp = rv.explain(net, images, methods="occlusion")
    with pytest.raises(ValueError, match="explore_explanation: occlusion at 'input' is a map over"):
        rv.explore_explanation(exp)
    assert rv.plot_explanation(exp).data  # the way out


def test_the_pointer_reads_samples_beyond_sixteen_bits() -> None:
    hover = cells(np.zeros((1, 70_000), dtype=np.float32))
    assert hover.rows[0, 69_991].tolist() == [0, 69_991]


def test_what_a_signal_does_not_have() -> None:
    exp = rv.explain(signals_resnet(8, seed=0), planted_events(1).signals, layers="layer3")
    with pytest.raises(
        ValueError, match="plot_explanation: frames= of maps over signals; over vid"
    ):
        rv.plot_explanation(exp, frames=[0])
    with pytest.raises(
        ValueError, match="plot_explanation: tokens= of maps over signals; over tex"
    ):
        rv.plot_explanation(exp, tokens=["a"])
