"""The figures of the studies, as data: gradient correlation, branches, responses, refinement."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from resviz.analysis.branches import branch_study
from resviz.analysis.refinement import refinement_study
from resviz.analysis.responses import response_std
from resviz.analysis.shattering import gradient_correlation, shattering_study
from resviz.networks.cifar import cifar_resnet
from resviz.views.figures.branches import plot_branch_study
from resviz.views.figures.receptive_fields import plot_receptive_fields
from resviz.views.figures.refinement import plot_refinement
from resviz.views.figures.responses import plot_response_std
from resviz.views.figures.shattering import plot_gradient_correlation
from resviz.views.static import static_png

IMAGES = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(7))
FIELDS = pd.DataFrame(
    {
        "layer": ["a"],
        "position": [1],
        "stage": "s",
        "field": [3.0],
        "effective": [2.0],
        "share": [0.7],
    }
)
PLOTS = {
    "plot_branch_study": plot_branch_study,
    "plot_response_std": plot_response_std,
    "plot_refinement": plot_refinement,
    "plot_gradient_correlation": plot_gradient_correlation,
}


@pytest.fixture(scope="module")
def tables() -> dict[str, list[pd.DataFrame]]:
    """Two seeds of each study, by the figure that draws it."""
    nets = [cifar_resnet(20, seed=seed) for seed in (0, 1)]
    quiet: dict[str, Any] = {"progress": False, "data": "noise"}
    return {
        "plot_branch_study": [branch_study(net, IMAGES, **quiet) for net in nets],
        "plot_response_std": [response_std(net, IMAGES, **quiet) for net in nets],
        "plot_refinement": [refinement_study(net, IMAGES, **quiet) for net in nets],
        "plot_gradient_correlation": [gradient_correlation(net, IMAGES, **quiet) for net in nets],
    }


@pytest.fixture(scope="module")
def random_networks() -> pd.DataFrame:
    return shattering_study([1, 2, 8], width=64, inputs=16, seeds=[0, 1], progress=False)


def on(figure: Any, axis: str, mode: str = "lines", filled: bool = False) -> list[Any]:
    return [
        trace
        for trace in figure.data
        if (trace.yaxis or "y") == axis
        and mode in trace.mode
        and (trace.fill == "toself") == filled
    ]


# ---- all four
@pytest.mark.parametrize("name", PLOTS)
def test_it_says_how_it_was_measured_and_has_a_picture(
    name: str, tables: dict[str, Any], read: Any
) -> None:
    figure = PLOTS[name]({"ResNet-20": tables[name][0]})
    title = read.title(figure)
    assert "noise" in title and "8 images" in title and "running statistics" in title
    picture = read.picture(static_png(figure))
    assert picture.shape[:2] == (figure.layout.height, 900)
    assert (picture != 255).any(axis=2).mean() > 0.01


@pytest.mark.parametrize("name", PLOTS)
def test_names_are_escaped(name: str, tables: dict[str, Any], read: Any, hostile: str) -> None:
    table = tables[name][0].copy()
    for column in ("stage", "block", "layer", "response", "addition", "type", "kind"):
        if column in table and name != "plot_branch_study":
            table[column] = hostile
    table.attrs["data"] = hostile
    text = read.text(PLOTS[name]({hostile: table}, title=hostile))
    assert "<script" not in text and "<b>bold" not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize("name", PLOTS)
def test_it_refuses_what_is_no_study(name: str, tables: dict[str, Any]) -> None:
    table, plot = tables[name][0], PLOTS[name]
    with pytest.raises(TypeError, match=f"{name}: a str under 'a'"):
        plot({"a": "table"})
    with pytest.raises(TypeError, match=f"{name}: a int"):
        plot(3)
    with pytest.raises(ValueError, match=f"{name}: the table of 'a' has no .*; a table of rv"):
        plot({"a": pd.DataFrame({"x": [1.0]})})
    with pytest.raises(ValueError, match=f"{name}: the table of 'a' is empty"):
        plot({"a": table.iloc[:0]})
    with pytest.raises(ValueError, match=f"{name}: no tables"):
        plot({})


def test_a_list_holds_one_network(tables: dict[str, Any]) -> None:
    for name in ("plot_branch_study", "plot_response_std"):
        one = tables[name][0]
        with pytest.raises(ValueError, match=f"{name}: the tables of 'a' have different"):
            PLOTS[name]({"a": [one, one.iloc[:-1]]})
    with pytest.raises(ValueError, match="plot_refinement: 2 tables under 'a'"):
        plot_refinement({"a": tables["plot_refinement"]})
    with pytest.raises(ValueError, match="plot_receptive_fields: 2 tables under 'a'"):
        plot_receptive_fields({"a": [FIELDS, FIELDS]})


# ---- branches
def test_branches(tables: dict[str, Any]) -> None:
    several = tables["plot_branch_study"]
    figure = plot_branch_study({"ResNet-20": several[0], "seeds": several})
    for axis, column in (("y", "ratio"), ("y2", "share"), ("y3", "cosine"), ("y4", "cos_gradient")):
        lines = [t for t in on(figure, axis) if t.line.dash in (None, "solid")]
        np.testing.assert_allclose(lines[0].y, several[0][column], err_msg=column)
        np.testing.assert_allclose(lines[0].x, several[0]["depth"])
        both = np.column_stack([table[column] for table in several])
        np.testing.assert_allclose(lines[1].y, np.median(both, axis=1), err_msg=column)
        assert len(on(figure, axis, filled=True)) == 1
        assert lines[0].line.color != lines[1].line.color
    (law,) = (t for t in on(figure, "y2") if t.line.dash == "dash")
    np.testing.assert_allclose(law.y, 1 / np.arange(1, 10))
    np.testing.assert_allclose(law.x, several[0]["depth"])
    named = [t.name for t in figure.data if t.showlegend is not False]
    assert len(named) == 3 and "median and range of 2 networks" in named[1]
    assert {shape.label.text for shape in figure.layout.shapes} >= {"layer1", "layer2", "layer3"}
    assert [figure.layout[f"yaxis{n}"].type for n in ("", 2, 3, 4)] == ["log", "log"] + [
        "linear"
    ] * 2


def test_a_branch_of_exactly_zero_has_its_strip(tables: dict[str, Any]) -> None:
    table = tables["plot_branch_study"][0].copy()
    table.loc[2, ["ratio", "share"]] = 0.0
    figure = plot_branch_study(table)
    strips = [t for t in figure.data if "exactly 0" in (t.name or "")]
    assert [list(t.x) for t in strips] == [[table["depth"][2]]] * 2


# ---- responses
def test_responses_in_order_and_sorted(tables: dict[str, Any]) -> None:
    one, two = tables["plot_response_std"]
    figure = plot_response_std({"a": one, "b": two, "both": [one, two]})
    for name, column in (("a", one["std"]), ("b", two["std"])):
        order, size = (t for t in figure.data if t.name.startswith(f"{name}<br>"))
        np.testing.assert_allclose(order.y, column)
        np.testing.assert_allclose(size.y, np.sort(column)[::-1])
        assert f"median {column.median():.3g}, mean {column.mean():.3g}" in order.name
        assert [row[0] for row in size.customdata] == list(
            one["layer"]
            if name == ""
            else (one if name == "a" else two).sort_values("rank")["layer"]
        )
    stacked = np.column_stack([one["std"], two["std"]])
    order, size = (t for t in figure.data if t.name.startswith("both<br>") and t.fill != "toself")
    np.testing.assert_allclose(order.y, np.median(stacked, axis=1))
    np.testing.assert_allclose(size.y, np.median(np.sort(stacked, axis=0)[::-1], axis=1))
    assert len([t for t in figure.data if t.fill == "toself"]) == 2
    assert plot_response_std(one, log=False).layout.yaxis.type == "linear"


def test_layers_without_a_number_are_last_and_said(tables: dict[str, Any], read: Any) -> None:
    table = tables["plot_response_std"][0].copy()
    table.loc[2, "std"] = np.nan
    figure = plot_response_std(table, log=False)
    size = next(t for t in figure.data if t.yaxis == "y2")
    known = table.dropna(subset="std").sort_values("std", ascending=False)
    np.testing.assert_allclose(size.y, [*known["std"], np.nan])
    assert [row[0] for row in size.customdata][:-1] == known["layer"].tolist()
    assert "1 value not finite" in read.title(figure)


def test_dead_and_nearly_dead_layers_are_seen(tables: dict[str, Any], read: Any) -> None:
    table = tables["plot_response_std"][0].copy()
    table.loc[3, "std"], table.loc[5, "std"] = 0.0, 1e-9
    figure = plot_response_std(table)
    low = 10 ** figure.layout.yaxis.range[0]
    assert 1e-4 < low < 1
    foot = [t for t in figure.data if t.marker.symbol == "triangle-down"]
    assert [list(t.x) for t in foot] == [[6], [len(table) - 1]]
    assert all(t.customdata[0][2] == "1e-09" for t in foot)  # the value, not where it stands
    assert "1 below" in read.title(figure)
    strips = [t for t in figure.data if t.yaxis in ("y2", "y4") and t.mode == "markers"]
    assert [list(t.x) for t in strips] == [[4], [len(table)]]


# ---- refinement
def test_refinement(tables: dict[str, Any], read: Any) -> None:
    table = tables["plot_refinement"][0]
    figure = plot_refinement(table)
    ends = (table["position"] == table["blocks"]).to_numpy()
    for axis, column, control in (
        ("y", "correlation", "shuffled_correlation"),
        ("y2", "cosine", "shuffled_cosine"),
    ):
        line, shuffled = (t for t in on(figure, axis) if t.x[0] is not None)
        for trace, name in ((line, column), (shuffled, control)):
            assert np.isnan(np.array(trace.x, float)).sum() == 3  # a gap after each stage
            np.testing.assert_allclose([v for v in trace.y if not np.isnan(v)], table[name])
        assert shuffled.line.dash == "dot" and line.line.dash == "solid"
        inner, outer = (t for t in on(figure, axis, "markers") if t.x[0] is not None)
        assert inner.marker.symbol == "circle" and outer.marker.symbol == "circle-open"
        np.testing.assert_allclose(outer.y, 1.0)
        np.testing.assert_array_equal(outer.x, np.flatnonzero(ends) + 1)
    for axis, column in (("y3", "mean_error"), ("y4", "error_std")):
        (points,) = on(figure, axis, "markers")
        right = (table[column] / table["end_rms"])[~ends]
        np.testing.assert_allclose(points.y, right)
    assert "shuffled with seed 0" in read.title(figure)
    assert figure.layout.yaxis4.type == "log"
    assert {shape.label.text for shape in figure.layout.shapes} >= {"layer1", "layer2", "layer3"}


# ---- gradient correlation
def test_random_networks_with_their_laws(random_networks: pd.DataFrame, read: Any) -> None:
    figure = plot_gradient_correlation(random_networks)
    grouped = random_networks.groupby(["kind", "depth"])["correlation"]
    names = {"plain": "plain", "residual": "residual", "residual_bn": "residual with BatchNorm"}
    laws = {
        "2^-L": lambda depth: 0.5**depth,
        "(3/4)^L": lambda depth: 0.75**depth,
        "∏ (2l+1)/(2l+2), about 1.13/√L": lambda depth: np.cumprod(
            (2 * depth + 1) / (2 * depth + 2)
        ),
    }
    for (kind, name), (words, law) in zip(names.items(), laws.items(), strict=True):
        line, theory = read.named(figure, name), read.named(figure, words)
        np.testing.assert_allclose(line.y, grouped.mean()[kind])
        np.testing.assert_allclose(theory.y, law(np.arange(1, 9)))
        assert theory.line.dash == "dash" and theory.line.color == line.line.color
        band = read.named(figure, f"{name}, range")
        low, high = grouped.min()[kind], grouped.max()[kind]
        np.testing.assert_allclose(band.y, [*low, *high[::-1]])
    assert figure.layout.xaxis.type == "log" and list(figure.layout.xaxis.tickvals) == [1, 2, 8]
    for words in ("random gates", "width 64", "16 normal inputs", "2 seeds"):
        assert words in read.title(figure)
    assert "1/L" not in read.text(figure)


def test_rectifiers_are_named_and_a_log_axis_counts_what_it_cannot_show(
    random_networks: pd.DataFrame, read: Any
) -> None:
    table = random_networks.copy()
    table["gates"] = "relu"
    table.loc[(table["kind"] == "plain") & (table["depth"] == 8), "correlation"] = -0.01
    figure = plot_gradient_correlation(table, log=True)
    assert "gates of rectifiers" in read.title(figure)
    assert "1 mean of 0 or less, not drawn" in read.title(figure)
    assert np.isnan(read.named(figure, "plain").y[-1])
    bare = plot_gradient_correlation(table, theory=False)
    assert not any(trace.line.dash == "dash" for trace in bare.data)


def test_pairs_of_images(tables: dict[str, Any], read: Any) -> None:
    one, two = tables["plot_gradient_correlation"]
    mean, error = one["correlation"].mean(), one["correlation"].sem()
    figure = plot_gradient_correlation({"a": one})
    assert list(read.named(figure, "a").x) == [20]
    np.testing.assert_allclose(read.named(figure, "a").y, [mean])
    np.testing.assert_allclose(read.named(figure, "a, range").y, [mean - error, mean + error])
    assert "one standard error of the pairs" in read.title(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot_gradient_correlation({"a": [one, two]})
    means = [one["correlation"].mean(), two["correlation"].mean()]
    np.testing.assert_allclose(read.named(figure, "a").y, [np.mean(means)])
    np.testing.assert_allclose(sorted(read.named(figure, "a, range").y), sorted(means))


@pytest.mark.parametrize("plot", PLOTS.values())
def test_a_table_that_does_not_say_how_it_was_measured(
    plot: Callable[..., Any], tables: dict[str, Any], read: Any
) -> None:
    table = tables[plot.__name__][0].copy()
    table.attrs.clear()
    assert "how it was measured is not known" in read.title(plot(table))
