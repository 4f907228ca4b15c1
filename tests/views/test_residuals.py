"""`plot_residual_branches` as data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import resviz as rv
from resviz.networks.cifar import cifar_resnet
from resviz.views.static import static_png


def traces(figure: Any, name: str, mode: str) -> list[Any]:
    return [t for t in figure.data if t.name == name and t.mode == mode]


def test_the_lines_are_the_table(rec: Any) -> None:
    figure = rv.plot_residual_branches(rec)
    names = {
        "branch F(x)": "branch_rms",
        "shortcut": "shortcut_rms",
        "sum": "sum_rms",
        "branch / shortcut": "ratio",
        "cosine of branch and shortcut": "cosine",
        "cosine of the gradient parts": "grad_cosine",
        "branch's share of the gradient": "grad_branch_share",
    }
    for name, column in names.items():
        (line,) = traces(figure, name, "lines")
        np.testing.assert_array_equal(line.x, rec.residuals["depth"])
        np.testing.assert_array_equal(line.y, rec.residuals[column])
    assert figure.layout.yaxis.type == figure.layout.yaxis2.type == "log"
    assert figure.layout.yaxis3.type == "linear"


def test_the_marker_is_the_kind_of_shortcut(images: Any) -> None:
    nets = {kind: cifar_resnet(8, shortcut=kind, seed=0) for kind in "AB"}
    for option, net in nets.items():
        table = rv.residual_branches(net, images)
        figure = rv.plot_residual_branches(table)
        changed = {"A": "padded", "B": "projection"}[option]
        assert table["kind"].tolist() == ["identity", changed, changed]
        symbols = {"identity": "circle", "padded": "triangle-up-open"}
        symbols["projection"] = "diamond-open"
        parts = {t.marker.symbol: list(t.x) for t in traces(figure, "sum", "markers")}
        depth = table["depth"].tolist()
        assert parts == {"circle": depth[:1], symbols[changed]: depth[1:]}
        keys = {t.name: t.marker.symbol for t in figure.data if t.name.endswith(" shortcut")}
        assert keys["identity shortcut"] == "circle"
        assert keys[f"{changed} shortcut"] == symbols[changed]


def test_title_hover_and_stages(rec: Any, read: Any) -> None:
    figure = rv.plot_residual_branches(rec)
    title = read.title(figure)
    for words in ("toy-net", "loss: ", "BatchNorm on running statistics", "3 images", "float32"):
        assert words in title
    assert "summed over the images" in title
    row = rec.residuals.iloc[0]
    words = " ".join(traces(figure, "sum", "markers")[0].customdata[0])
    assert row["addition"] in words and "identity" in words and f"{row['sum_rms']:.4g}" in words
    assert " × ".join(map(str, row["shape"])) in words
    labels = {s.label.text for s in figure.layout.shapes if s.type == "rect"}
    assert labels == {"layer1", "layer2", "layer3", ""}


def test_exact_zeros_are_in_a_strip(rec: Any) -> None:
    frame = rec.residuals.copy()
    frame.loc[1, ["branch_rms", "ratio"]] = 0.0
    figure = rv.plot_residual_branches(frame)
    strips = [t for t in figure.data if t.mode == "markers" and list(t.y) == [0]]
    assert {t.name for t in strips} == {"branch F(x)", "branch / shortcut"}
    assert all(list(t.x) == [frame["depth"][1]] for t in strips)
    (line,) = traces(figure, "branch F(x)", "lines")
    assert np.isnan(line.y[1])
    assert static_png(figure) != static_png(rv.plot_residual_branches(rec.residuals))


def test_without_gradients_there_are_no_gradient_lines(blind: Any) -> None:
    names = {t.name for t in rv.plot_residual_branches(blind).data}
    assert "cosine of branch and shortcut" in names
    assert not any("gradient" in name for name in names)
    assert "gradients" not in rv.plot_residual_branches(blind).layout.title.text


def test_values_that_are_not_finite_are_counted(rec: Any, read: Any) -> None:
    frame = rec.residuals.copy()
    frame.loc[1, "ratio"] = np.inf
    figure = rv.plot_residual_branches(frame)
    assert "1 value not finite, not drawn" in read.title(figure)
    assert static_png(figure)


def test_panels(rec: Any) -> None:
    for panels in (("size",), ("ratio",), ("cosine",), ("ratio", "cosine")):
        figure = rv.plot_residual_branches(rec, panels=panels)
        axes = [k for k in figure.layout.to_plotly_json() if k.startswith("yaxis")]
        assert len(axes) == len(panels)


def test_errors(rec: Any, images: Any) -> None:
    plain = rv.record(cifar_resnet(8, shortcut="none", seed=0), images, gradients=False)
    with pytest.raises(ValueError, match="plot_residual_branches: no residual additions"):
        rv.plot_residual_branches(plain)
    with pytest.raises(ValueError, match="plot_residual_branches: panels .*known: size"):
        rv.plot_residual_branches(rec, panels=("sizes",))
    with pytest.raises(ValueError, match="plot_residual_branches: no column 'deth'.*'depth'"):
        rv.plot_residual_branches(rec, x="deth")
    with pytest.raises(TypeError, match="plot_residual_branches: a int"):
        rv.plot_residual_branches(3)
    with pytest.raises(ValueError, match="plot_residual_branches: 2 tables; one"):
        rv.plot_residual_branches({"a": rec, "b": rec})
    with pytest.raises(ValueError, match="plot_residual_branches: no column 'addition'"):
        rv.plot_residual_branches(rec.layers[["depth"]])


def test_names_are_escaped(rec: Any, read: Any, hostile: str) -> None:
    frame = rec.residuals.assign(addition=hostile, stage=hostile, kind=hostile)
    frame.attrs["network"] = hostile
    text = read.text(rv.plot_residual_branches(frame))
    assert "<script" not in text and "<b>bold" not in text and "&lt;script&gt;" in text
