"""`plot_depth_profile` as data: lines, strip of zeros, bands, projections, stages, words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import resviz as rv
from resviz.views import style
from resviz.views.static import static_png


def test_the_line_is_the_table(norms: Any, read: Any) -> None:
    table = norms[0]
    figure = rv.plot_depth_profile({"net": table})
    line, beside = read.named(figure, "net"), read.named(figure, "net, projections")
    main = table[~table["projection"]]
    np.testing.assert_array_equal(line.x, main["depth"])
    np.testing.assert_array_equal(line.y, main["grad_norm"])
    assert figure.layout.yaxis.type == "log"
    assert line.mode == "lines+markers"
    projections = table[table["projection"]]
    assert len(projections) == 2
    np.testing.assert_array_equal(beside.x, projections["depth"])
    np.testing.assert_array_equal(beside.y, projections["grad_norm"])
    assert beside.mode == "markers" and beside.marker.symbol.endswith("-open")


@pytest.mark.parametrize("around", [3.1, 6.5e-4, 7e11])
def test_a_short_log_axis_has_numbers(norms: Any, around: float) -> None:
    table = norms[0]
    near = table.assign(grad_norm=around * (1 + 0.05 * np.cos(np.arange(len(table)))))
    axis = rv.plot_depth_profile({"net": near}).layout.yaxis
    assert axis.type == "log" and 2 <= len(axis.tickvals) <= 6
    assert all(axis.range[0] <= np.log10(v) <= axis.range[1] for v in axis.tickvals)
    assert [float(words) for words in axis.ticktext] == pytest.approx(list(axis.tickvals))


def test_all_values_lie_inside_the_axes(norms: Any) -> None:
    figure = rv.plot_depth_profile({"net": norms})
    low, high = (10**v for v in figure.layout.yaxis.range)
    values = np.concatenate([table["grad_norm"] for table in norms])
    assert low < values.min() and values.max() < high
    left, right = figure.layout.xaxis.range
    assert left < 1 and right > 20


def test_exact_zeros_stand_in_a_strip(zeros: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_depth_profile({"toy": zeros})
    line = read.named(figure, "toy")
    np.testing.assert_array_equal(np.isnan(np.asarray(line.y, float)), [False, True, False, True])
    strip = read.named(figure, "toy, exactly 0")
    assert strip.yaxis == "y2" and list(strip.x) == [2, 4] and list(strip.y) == [0, 0]
    assert figure.layout.yaxis2.ticktext == ("0",)
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]
    assert figure.layout.xaxis.anchor == "y2"
    assert figure.layout.yaxis.range[0] > -10  # the zeros do not stretch the axis


def test_no_zeros_no_strip(norms: Any) -> None:
    figure = rv.plot_depth_profile({"net": norms})
    assert "yaxis2" not in figure.layout.to_plotly_json()


def test_another_column_along_the_axis(rec: Any) -> None:
    """Not whole numbers: the values fill the axis, and ticks are not forced to 1, 2, 3."""
    axis = rv.plot_depth_profile(rec, y="grad_rms", x="zero_fraction").layout.xaxis
    blocks = rec.layers[rec.layers["kind"] == "block"]["zero_fraction"]
    span = blocks.max() - blocks.min()
    assert span < axis.range[1] - axis.range[0] < 1.1 * span and axis.dtick is None


def test_all_zeros(zeros: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_depth_profile({"toy": zeros.assign(grad_norm=0.0)})
    assert list(read.named(figure, "toy, exactly 0").x) == [1, 2, 3, 4]
    assert static_png(figure)


def test_a_linear_axis_has_zeros_on_it(zeros: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_depth_profile({"toy": zeros}, log=False)
    assert list(read.named(figure, "toy").y) == [0.5, 0, 2, 0]
    assert figure.layout.yaxis.type == "linear"


def test_nan_is_not_zero(zeros: pd.DataFrame, read: Any) -> None:
    table = zeros.assign(grad_norm=[0.5, np.nan, np.inf, 0.0])
    for log in (True, False):
        figure = rv.plot_depth_profile({"toy": table}, log=log)
        drawn = np.asarray(read.named(figure, "toy").y, float)
        assert np.isnan(drawn[1]) and np.isnan(drawn[2])
        assert "2 values not finite, not drawn" in read.title(figure)
    assert list(read.named(rv.plot_depth_profile({"toy": table}), "toy, exactly 0").x) == [4]


def test_seeds_are_median_and_range(norms: Any, read: Any) -> None:
    figure = rv.plot_depth_profile({"net": norms})
    values = np.stack([t.loc[~t["projection"], "grad_norm"] for t in norms])
    name = "net<br>median and range of 3 seeds"
    np.testing.assert_allclose(read.named(figure, name).y, np.median(values, 0))
    band = read.named(figure, f"{name}, range")
    assert band.fill == "toself"
    drawn = np.asarray(band.y, float)
    drawn = drawn[~np.isnan(drawn)]
    np.testing.assert_allclose(drawn[:20], values.min(0))
    np.testing.assert_allclose(drawn[20:], values.max(0)[::-1])


def test_a_list_is_measured_in_one_way(norms: Any, read: Any) -> None:
    one, other = (table.copy() for table in norms[:2])
    one.attrs, other.attrs = ({**one.attrs, "images": n, "dtype": "float32"} for n in (2, 8))
    title = read.title(rv.plot_depth_profile({"net": [one, other]}))
    assert "2 images" not in title and "float32" in title
    other.attrs["dtype"] = "bfloat16"
    with pytest.raises(ValueError, match="different ways: float32, and bfloat16; a list holds one"):
        rv.plot_depth_profile({"net": [one, other]})


def test_hover_names_the_column_along_the_axis(norms: Any, read: Any) -> None:
    line = read.named(rv.plot_depth_profile({"net": norms[0]}, x="weight_norm"), "net")
    assert line.customdata[0][1].startswith(f"net, weight_norm {line.x[0]:g}")


def test_zero_in_some_seeds(zeros: pd.DataFrame, read: Any) -> None:
    values = ([0.5, 0.0, 2.0, 0.0], [0.5, 1.0, 2.0, 0.0], [0.25, 3.0, 4.0, 1.0])
    tables = [zeros.assign(grad_norm=v) for v in values]
    figure = rv.plot_depth_profile({"toy": tables})
    by_symbol = {t.marker.symbol: list(t.x) for t in figure.data if t.yaxis == "y2"}
    assert by_symbol == {"circle": [4], "circle-open": [2]}
    line = read.named(figure, "toy<br>median and range of 3 seeds")
    np.testing.assert_array_equal(np.asarray(line.y, float), [0.5, 1.0, 2.0, np.nan])
    assert "median 1, from 0 to 3 (3 seeds)" in line.customdata[1]


def test_stages_are_shaded_over_their_depths(norms: Any) -> None:
    table = norms[0]
    figure = rv.plot_depth_profile({"net": table})
    found = {s.label.text: (s.x0, s.x1) for s in figure.layout.shapes}
    main = table[~table["projection"]]
    spans = main[main["stage"] != ""].groupby("stage")["depth"].agg(["min", "max"])
    for stage, row in spans.iterrows():
        assert found[stage] == (row["min"] - 0.5, row["max"] + 0.5)
    assert {"layer1", "layer2", "layer3"} <= set(found)
    assert all(s.yref == "y domain" and (s.y0, s.y1) == (0, 1) for s in figure.layout.shapes)


def test_stages_that_differ_are_not_shaded(zeros: pd.DataFrame) -> None:
    """A band is true for every curve, or there is none."""
    other = zeros.assign(stage=["layer1", "layer2", "layer2", "layer2"])
    assert len(rv.plot_depth_profile({"a": zeros, "b": zeros}).layout.shapes) == 4
    assert not rv.plot_depth_profile({"a": zeros, "b": other}).layout.shapes
    assert not rv.plot_depth_profile({"a": zeros, "b": zeros.drop(columns="stage")}).layout.shapes


def test_a_network_keeps_its_colour(zeros: pd.DataFrame, read: Any) -> None:
    names = [f"network {number} of this test" for number in range(10)]
    figure = rv.plot_depth_profile({name: zeros for name in names[:4]})
    for chosen in (names[2:3], names[3:1:-1], [*names[6:], names[2]]):
        again = rv.plot_depth_profile({name: zeros for name in chosen})
        mine = read.named(again, names[2]).line.color
        assert mine == read.named(figure, names[2]).line.color
        assert len({t.line.color for t in again.data if t.mode == "lines+markers"}) == len(chosen)
    training = pd.DataFrame({"epoch": [1, 2], "train_error": [50.0, 40.0]})
    (line,) = rv.plot_training({names[2]: training}).data
    assert line.line.color == mine


def test_the_strip_is_shaded_and_named_once(zeros: pd.DataFrame) -> None:
    shapes = rv.plot_depth_profile({"toy": zeros}).layout.shapes
    assert [s.label.text for s in shapes] == ["layer1", "", "layer2", ""]
    assert {s.yref for s in shapes} == {"y domain", "y2 domain"}


def test_hover_names_layer_shape_and_value(norms: Any, read: Any) -> None:
    table = norms[0]
    line = read.named(rv.plot_depth_profile({"net": table}), "net")
    row = table.iloc[3]
    words = " ".join(line.customdata[3])
    assert row["layer"] in words and row["stage"] in words and "net" in words
    assert " × ".join(map(str, row["shape"])) in words
    assert f"{row['grad_norm']:.4g}" in words
    for number in range(4):
        assert f"%{{customdata[{number}]}}" in line.hovertemplate


def test_the_title_says_how_it_was_measured(norms: Any, in_training: Any, read: Any) -> None:
    title = read.title(rv.plot_depth_profile({"net": norms[0]}))
    for words in ("loss: ", "BatchNorm on running statistics", "3 images", "float32"):
        assert words in title
    assert "gradient of the mean loss over the images" in title
    assert "BatchNorm on batch statistics" in read.title(rv.plot_depth_profile(in_training))
    mine = read.title(rv.plot_depth_profile({"net": norms[0]}, title="My <own> title"))
    assert mine.startswith("My &lt;own&gt; title") and "BatchNorm on running statistics" in mine


def test_two_batchnorm_modes_are_both_named(norms: Any, in_training: Any, read: Any) -> None:
    figure = rv.plot_depth_profile({"eval": norms[0], "train": in_training})
    assert "BatchNorm" not in read.title(figure)  # not common to both
    assert "3 images" in read.title(figure)
    read.named(figure, "eval<br>BatchNorm on running statistics")
    read.named(figure, "train<br>BatchNorm on batch statistics")


def test_unknown_conditions_are_said(zeros: pd.DataFrame, read: Any) -> None:
    assert "not known" in read.title(rv.plot_depth_profile({"toy": zeros}))


def test_colours_and_legend_tell_networks_apart(norms: Any) -> None:
    figure = rv.plot_depth_profile({"a": norms[0], "b": norms[1], "c": norms[2]})
    lines = [t for t in figure.data if t.mode == "lines+markers"]
    assert len({t.line.color for t in lines}) == 3 and figure.layout.showlegend


def test_theory_lines(zeros: pd.DataFrame, read: Any) -> None:
    laws = {"half per layer": lambda x: 0.5**x, "a <b>constant</b>": lambda x: 0.5}
    figure = rv.plot_depth_profile({"toy": zeros}, theory=laws)
    half = read.named(figure, "half per layer")
    np.testing.assert_allclose(half.y, [0.5, 0.25, 0.125, 0.0625])
    constant = read.named(figure, "a &lt;b&gt;constant&lt;/b&gt;")
    assert list(constant.y) == [0.5] * 4
    assert half.line.dash == "dash" and constant.line.dash == "dot"


def test_columns_of_a_recording(rec: Any, read: Any) -> None:
    figure = rv.plot_depth_profile({"net": rec}, y="rms")
    blocks = rec.layers[rec.layers["kind"] == "block"]
    np.testing.assert_array_equal(read.named(figure, "net").y, blocks["rms"])
    assert "at the block outputs" in read.title(figure)
    convs = rec.layers[rec.layers["type"] == "Conv2d"]
    figure = rv.plot_depth_profile(rec, y="std", rows="Conv2d")
    np.testing.assert_array_equal(read.named(figure, "toy-net").y, convs["std"])
    weighted = rec.parameters[rec.parameters["weighted"]]
    line = read.named(rv.plot_depth_profile({"net": rec}, y="grad_norm"), "net")
    np.testing.assert_array_equal(line.y, weighted["grad_norm"])
    ratio = read.named(rv.plot_depth_profile({"net": rec}, y="ratio"), "net")
    np.testing.assert_array_equal(ratio.y, rec.residuals["ratio"])


def test_signed_columns_are_linear(rec: Any) -> None:
    for y in ("mean", "cosine"):
        assert rv.plot_depth_profile({"net": rec}, y=y).layout.yaxis.type == "linear"
    assert rv.plot_depth_profile({"net": rec}, y="zero_fraction").layout.yaxis.range == (
        -0.02,
        1.02,
    )


def test_errors(zeros: pd.DataFrame, blind: Any, norms: Any, rec: Any) -> None:
    def refused(message: str, error: type = ValueError) -> Any:
        return pytest.raises(error, match=re.compile(rf"^plot_depth_profile: .*{message}", re.S))

    with refused("no column 'grad_nrom'.*'grad_norm'"):
        rv.plot_depth_profile({"toy": zeros}, y="grad_nrom")
    with refused("no column 'grad_nrom'.*'grad_norm'"):
        rv.plot_depth_profile({"net": rec}, y="grad_nrom")
    with refused("no column 'call'"):
        rv.plot_depth_profile({"net": rec}, x="call")
    with refused("no column 'grad_norm'"):
        rv.plot_depth_profile({"toy": zeros, "two": zeros.drop(columns="grad_norm")})
    with refused("no column 'deth'.*'depth'"):
        rv.plot_depth_profile({"toy": zeros}, x="deth")
    with refused("no tables"):
        rv.plot_depth_profile({})
    with refused("no tables"):
        rv.plot_depth_profile({"toy": []})
    with refused("no rows"):
        rv.plot_depth_profile({"toy": zeros.iloc[:0]})
    with refused("no rows"):
        rv.plot_depth_profile({"net": rec}, y="rms", rows="Conv3d")
    with refused("negative values.*log=False"):
        rv.plot_depth_profile({"toy": zeros.assign(grad_norm=[-1.0, 1, 1, 1])})
    with refused("gradients=True"):
        rv.plot_depth_profile({"net": blind}, y="grad_norm")
    with refused("different layers"):
        rv.plot_depth_profile({"two": [zeros, norms[0]]})
    with refused("a int under 'toy'", TypeError):
        rv.plot_depth_profile({"toy": 3})
    with refused("numbers"):
        rv.plot_depth_profile({"toy": zeros}, y="layer")
    with refused("numbers"):
        rv.plot_depth_profile({"toy": zeros}, x="layer")


def test_tables_of_different_kinds_are_not_mixed(norms: Any, rec: Any) -> None:
    """Weight gradients and activation gradients share a column's name, not a meaning."""
    with pytest.raises(ValueError, match="plot_depth_profile: .*different"):
        rv.plot_depth_profile({"weights": norms[0], "activations": rec.layers})


def test_names_are_escaped(zeros: pd.DataFrame, read: Any, hostile: str) -> None:
    table = zeros.assign(layer=hostile, stage=hostile)
    table.attrs["provenance"] = {"loss": hostile, "network": hostile, "dtype": hostile}
    figures = [
        rv.plot_depth_profile({hostile: [table, table]}, theory={hostile: lambda x: x}),
        rv.plot_depth_profile(table, title=hostile),
    ]
    for figure in figures:
        assert "<script" not in read.text(figure) and "<b>bold" not in read.text(figure)
        assert "&lt;script&gt;" in read.text(figure)


def test_the_first_eight_networks_keep_their_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "_NETWORKS", {})
    table = pd.DataFrame(
        {"layer": ["a"], "parameter": ["a.weight"], "depth": [1], "grad_norm": [1.0]}
    )
    first = rv.plot_depth_profile({f"net {k}": table for k in range(8)}).data[0].line.color
    later = {
        t.name: t.line.color
        for t in rv.plot_depth_profile(dict.fromkeys(("9", "net 0"), table)).data
    }
    assert later["net 0"] == first != later["9"]


def test_lines_of_one_colour_differ_in_their_dashes() -> None:
    table = pd.DataFrame(
        {"layer": ["a"], "parameter": ["a.weight"], "depth": [1], "grad_norm": [1.0]}
    )
    drawn = rv.plot_depth_profile({f"net {k}": table for k in range(20)}).data
    assert len({(t.line.color, t.line.dash) for t in drawn}) == 20
    assert {t.line.dash for t in drawn[:8]} == {"solid"}
