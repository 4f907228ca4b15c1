"""`plot_landscape` as data, and in its static picture."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from resviz.analysis.landscape.loss import loss_landscape
from resviz.analysis.landscape.surface import LossLandscape
from resviz.views.figures.landscape import plot_landscape
from resviz.views.static import static_png

CONTOURS = "contour lines"


def plane(function: Any = lambda a, b: 1 + 9 * (a**2 + b**2), points: int = 5) -> pd.DataFrame:
    steps = np.linspace(-1, 1, points)
    table = pd.DataFrame(list(itertools.product(steps, steps)), columns=["alpha", "beta"])
    return table.assign(loss=[float(function(a, b)) for a, b in table.to_numpy()], error=50.0)


def heatmaps(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def notes(figure: Any) -> list[str]:
    return [note.text for note in figure.layout.annotations]


@pytest.fixture(scope="module")
def landscape() -> LossLandscape:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 3))
    return loss_landscape(
        net, torch.randn(8, 3, 2, 2), [0, 1, 2, 0, 1, 2, 0, 1], points=5, data="noise", seed=7
    )


def test_colours_are_the_logarithm_on_one_scale() -> None:
    one, other = plane(lambda a, b: 1 + a + a + b + 3), plane(lambda a, b: 100 * (4 + a + b))
    figure = plot_landscape({"one": one, "other": other})
    first, second = heatmaps(figure)
    at = one.set_index(["alpha", "beta"])["loss"]
    assert first.z[4][0] == pytest.approx(np.log10(at[-1.0, 1.0]))  # rows are beta, columns alpha
    assert first.z[0][4] == pytest.approx(np.log10(at[1.0, -1.0]))
    assert at[-1.0, 1.0] != at[1.0, -1.0]
    for trace in (first, second):
        assert (trace.x0, trace.dx, trace.y0, trace.dy) == (-1, 0.5, -1, 0.5)
        assert trace.zmin == pytest.approx(np.log10(one["loss"].min()))
        assert trace.zmax == pytest.approx(np.log10(other["loss"].max()))
        assert trace.zsmooth == "best"
    assert (first.showscale, second.showscale) == (True, False)
    assert "loss 3, error 50 %" in first.text[4][0] and "α -1, β 1" in first.text[4][0]
    linear = heatmaps(plot_landscape({"one": one}, log=False))[0]
    assert linear.z[4][0] == at[-1.0, 1.0] and linear.colorbar.title.text == "loss"


def test_contour_lines_lie_at_the_ticks() -> None:
    """Of a function that is linear in alpha, lines are straight, at places known by hand."""
    figure = plot_landscape({"slope": plane(lambda a, b: 10.0 ** (1.5 * a))})
    bar = heatmaps(figure)[0].colorbar
    assert [float(text) for text in bar.ticktext] == [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    np.testing.assert_allclose(bar.tickvals, np.log10([float(t) for t in bar.ticktext]))
    lines = [trace for trace in figure.data if trace.name == CONTOURS]
    x = np.concatenate([np.asarray(trace.x, dtype=float) for trace in lines])
    found = np.unique(x[np.isfinite(x)].round(9))
    np.testing.assert_allclose(found, np.array(bar.tickvals) / 1.5, atol=1e-6)
    light, dark = lines
    assert np.nanmax(np.asarray(light.x, float)) < 0 <= np.nanmin(np.asarray(dark.x, float))
    assert light.line.color != dark.line.color


def test_squares_of_one_size_and_the_centre() -> None:
    for count, columns in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 2)):
        figure = plot_landscape({str(n): plane() for n in range(count)})
        layout = figure.layout
        across = layout.width - layout.margin.l - layout.margin.r
        down = layout.height - layout.margin.t - layout.margin.b
        assert layout.width <= 1000  # the colour bar is not cut on a small screen
        lefts = set()
        for n in range(count):
            x, y = (layout[f"{axis}axis{n + 1 if n else ''}"] for axis in "xy")
            lefts.add(round(x.domain[0], 6))
            assert (x.domain[1] - x.domain[0]) * across == pytest.approx(300)
            assert (y.domain[1] - y.domain[0]) * down == pytest.approx(300)
            assert tuple(x.range) == tuple(y.range) == (-1, 1)
        assert len(lefts) == columns
        dots = [trace for trace in figure.data if trace.name == "the network"]
        assert len(dots) == 2 * count
        assert {(*trace.x, *trace.y) for trace in dots} == {(0, 0)}


def test_points_that_are_not_there_are_marked_and_counted(read: Any) -> None:
    table = plane()
    table.loc[3, "loss"], table.loc[7, "loss"] = np.nan, np.inf
    figure = plot_landscape({"net": table.drop(index=[10]), "whole": plane()})
    assert "2 points not finite, not drawn" in read.title(figure)
    assert "1 point not measured" in read.title(figure)
    crosses = read.named(figure, "missing")
    assert set(zip(crosses.x, crosses.y, strict=True)) == {(-1, 0.5), (-0.5, 0), (0, -1)}
    holes, whole = heatmaps(figure)
    assert holes.zsmooth is False and whole.zsmooth == "best"
    assert np.isnan(np.asarray(holes.z, dtype=float)).sum() == 3
    assert tuple(figure.layout.xaxis.range) == (-1.25, 1.25)  # whole cells
    assert static_png(figure) != static_png(plot_landscape({"net": plane(), "whole": plane()}))
    complete = read.title(plot_landscape(plane()))
    assert "not finite" not in complete and "not measured" not in complete


def test_an_unfinished_plane_keeps_its_size(landscape: LossLandscape, read: Any) -> None:
    part = landscape.table.iloc[[0, 1, 12]].reset_index(drop=True)
    part.attrs.update(landscape.table.attrs)
    figure = plot_landscape(part)
    (trace,) = heatmaps(figure)
    assert np.isfinite(np.asarray(trace.z, dtype=float)).sum() == 3
    assert np.shape(trace.z) == (5, 5) and "22 points not measured" in read.title(figure)
    assert static_png(figure)[:4] == b"\x89PNG"


def test_a_loss_of_zero_has_a_colour(read: Any) -> None:
    figure = plot_landscape(plane(lambda a, b: a**2 + b**2))
    (trace,) = heatmaps(figure)
    assert trace.z[2][2] == trace.zmin == pytest.approx(np.log10(0.25))
    assert "1 point with a loss of exactly 0" in read.title(figure)
    same = plot_landscape(plane(lambda a, b: 0.0))  # nothing above 0: no logarithms at all
    assert static_png(same)[:4] == b"\x89PNG"


def test_losses_below_zero_have_a_linear_scale() -> None:
    table = plane(lambda a, b: a**2 + b**2 - 1)
    (trace,) = heatmaps(plot_landscape(table))
    assert trace.zmin == -1 and trace.z[2][2] == -1
    assert trace.colorbar.title.text == "loss"
    line = table[table["beta"] == 0]
    assert plot_landscape(line).layout.yaxis.type == "linear"


def test_a_constant_loss() -> None:
    figure = plot_landscape(plane(lambda a, b: 2.3))
    assert list(heatmaps(figure)[0].colorbar.ticktext) == ["2.3"]
    assert static_png(figure)[:4] == b"\x89PNG"


@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0, 1e12, 1e200])
def test_ticks_are_neither_few_nor_many(spread: float) -> None:
    figure = plot_landscape(plane(lambda a, b: (1 + spread) ** ((1 + a) / 2), 11))
    assert 2 <= len(heatmaps(figure)[0].colorbar.tickvals) <= 14


def test_words_say_what_was_measured(landscape: LossLandscape, read: Any) -> None:
    figure = plot_landscape({"toy": landscape})
    title = read.title(figure)
    assert title.startswith("Loss on a plane through the weights")
    for words in (
        "each filter as long as the weights' filter; biases and norm layers fixed",
        "noise",
        "seed 7",
        "8 images",
        "BatchNorm on running statistics",
        "loss: cross_entropy",
    ):
        assert words in title
    name, centre, bends = notes(figure)
    own, last = landscape.centre, landscape.nonconvexity().iloc[-1]
    assert name == "toy"
    assert centre == f"centre: loss {own['loss']:.3g}, error {own['error']:.3g} %"
    assert bends.endswith(f"{100 * last['violations']:.2g} % within 1")
    assert "within 0.5," in bends
    assert "the middle is above the mean of the two ends" in title
    assert notes(plot_landscape(landscape))[0] == "Sequential"
    assert read.title(plot_landscape(landscape, title="Mine <1>")).startswith("Mine &lt;1&gt;")


def test_what_differs_stands_at_each_network(landscape: LossLandscape) -> None:
    other = LossLandscape(landscape.table.copy(), dict(landscape.provenance))
    other.table.attrs["seeds"] = [8]
    figure = plot_landscape({"one": landscape, "other": other})
    assert "seed 7" in notes(figure) and "seed 8" in notes(figure)
    assert "seed" not in figure.layout.title.text


def test_lines(landscape: LossLandscape, read: Any) -> None:
    line = plane()[lambda t: t["beta"] == 0].reset_index(drop=True)
    odd = line.assign(loss=[1.0, np.nan, 0.0, np.inf, 5.0], error=[90.0, 80.0, 5.0, 60.0, 70.0])
    figure = plot_landscape({"odd": odd, "bowl": line})
    assert read.title(figure).startswith("Loss and error on a line through the weights")
    assert "2 points not finite, not drawn" in read.title(figure)
    assert figure.layout.yaxis.type == "log" and figure.layout.yaxis3.type == "linear"
    zero = read.named(figure, "odd, loss, exactly 0")
    assert (list(zero.x), list(zero.y)) == ([0], [0]) and zero.yaxis == "y2"
    curves = [t for t in figure.data if t.mode == "lines+markers"]
    loss, error, bowl_loss, _ = curves
    np.testing.assert_array_equal(loss.y, [1.0, np.nan, np.nan, np.nan, 5.0])
    np.testing.assert_array_equal(error.y, odd["error"])
    np.testing.assert_array_equal(bowl_loss.y, line["loss"])
    np.testing.assert_array_equal(loss.x, line["alpha"])
    assert (loss.line.color, error.showlegend) == (error.line.color, False)
    assert bowl_loss.name.startswith("bowl<br>centre: loss 1, error 50 %<br>pairs not convex: 0 %")
    assert static_png(figure)[:4] == b"\x89PNG"
    linear = plot_landscape(line, log=False)
    assert linear.layout.yaxis.type == "linear"


def test_errors(landscape: LossLandscape) -> None:
    table = landscape.table
    with pytest.raises(TypeError, match="plot_landscape: a int"):
        plot_landscape(3)
    with pytest.raises(TypeError, match="plot_landscape: a list"):
        plot_landscape({"net": [landscape]})
    with pytest.raises(ValueError, match="plot_landscape: no landscapes"):
        plot_landscape({})
    with pytest.raises(ValueError, match="the table of 'net' lacks error;"):
        plot_landscape({"net": table.drop(columns="error")})
    with pytest.raises(ValueError, match="'net' has no finite loss"):
        plot_landscape({"net": table.assign(loss=np.nan)})
    with pytest.raises(ValueError, match="'b' is a line and others are planes"):
        plot_landscape({"a": table, "b": table[table["beta"] == 0]})


@pytest.mark.parametrize("dimensions", [1, 2])
def test_names_are_escaped(dimensions: int, read: Any, hostile: str) -> None:
    table = plane() if dimensions == 2 else plane()[lambda t: t["beta"] == 0]
    table.attrs["data"] = hostile
    table.attrs["weights"] = "{0} {name}"  # braces are words too
    figure = plot_landscape({f"{{x}}{hostile}": table}, title=hostile)
    text = read.text(figure) + str([list(t.text) for t in heatmaps(figure)])
    assert "<script" not in text and "<b>bold" not in text and "&lt;script&gt;" in text
    assert static_png(figure)[:4] == b"\x89PNG"
