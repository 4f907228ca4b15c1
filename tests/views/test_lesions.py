"""The figures of lesion and path studies, as data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from resviz.analysis.lesions import lesion_study
from resviz.analysis.paths import path_study
from resviz.networks.cifar import cifar_resnet
from resviz.views.figures.lesions import plot_lesions
from resviz.views.figures.paths import plot_paths

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TARGETS = [0, 1, 2, 3]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    residual, plain = cifar_resnet(14, seed=0), cifar_resnet(14, shortcut="none", seed=0)
    return {
        "ResNet <14>": lesion_study(residual, IMAGES, TARGETS, several=[2, 3], reorder=[1], cam=2),
        "plain-14": lesion_study(plain, IMAGES, TARGETS, data="noise"),
    }


def test_a_point_per_block(tables):
    fig = plot_lesions(tables)
    for name, label in (("ResNet <14>", "ResNet &lt;14&gt;"), ("plain-14", "plain-14")):
        marks = [t for t in fig.data if t.name == f"{label}, one block deleted"]
        single = tables[name][tables[name]["lesion"] == "single"]
        drawn = sorted((x, y) for t in marks for x, y in zip(t.x, t.y, strict=True))
        assert drawn == list(zip(single["depth"], single["accuracy"], strict=True))
        (whole,) = [t for t in fig.data if t.name == f"{label}, as it is"]
        assert whole.y[0] == tables[name]["accuracy"].iloc[0]
    symbols = {t.marker.symbol for t in fig.data if "one block deleted" in (t.name or "")}
    assert symbols == {"circle", "square-open"}


def test_one_table_for_each_name(tables):
    with pytest.raises(ValueError, match="plot_lesions: 2 tables under 'a'; one table for each"):
        plot_lesions({"a": [*tables.values()]})


def test_the_random_panel_shows_medians(tables):
    fig = plot_lesions(tables)
    (line,) = [t for t in fig.data if t.name == "ResNet &lt;14&gt;, several blocks deleted"]
    several = tables["ResNet <14>"].query("lesion == 'several'").groupby("count")["accuracy"]
    assert list(line.x) == [2, 3] and list(line.y) == several.median().tolist()
    alone = plot_lesions(tables["plain-14"])
    assert "xaxis2" in fig.layout and "xaxis2" not in alone.layout


def test_other_columns_and_words(tables):
    fig = plot_lesions(tables["ResNet <14>"], "cam_change", title="<b>")
    assert fig.layout.title.text.startswith("&lt;b&gt;")
    assert "4 images" in fig.layout.title.text and "running statistics" in fig.layout.title.text
    with pytest.raises(ValueError, match="'cam_change' of 'plain-14' holds no numbers"):
        plot_lesions({"plain-14": tables["plain-14"]}, "cam_change")
    with pytest.raises(ValueError, match="column 'accurcy'; closest: 'accuracy'"):
        plot_lesions(tables, "accurcy")
    with pytest.raises(ValueError, match="no lesion study"):
        plot_lesions(pd.DataFrame({"a": [1]}))
    with pytest.raises(TypeError, match="plot_lesions: a int"):
        plot_lesions(5)


def test_paths():
    table = path_study(cifar_resnet(14, seed=0), IMAGES, samples=3, data="noise <1>")
    fig = plot_paths(table)
    by_name = {t.name: t for t in fig.data if t.name}
    assert np.allclose(by_name["typical path (geometric mean)"].y, table["typical"])
    assert by_name["all paths at once"].y[0] == table.attrs["whole"]
    assert np.allclose(by_name["number of paths × mean gradient"].y, table["share"])
    title = fig.layout.title.text
    assert "noise &lt;1&gt;" in title and f"× {table.attrs['per_branch']:.2f} for each" in title
    assert "1 seed" in title or "seed 0" in title
    assert fig._repr_mimebundle_()["image/png"]
    zero = table.copy()
    zero.loc[zero.index[2], "low"] = 0.0  # a dead path among those drawn
    (stroke,) = (t for t in plot_paths(zero).data if t.name == "smallest to largest drawn path")
    assert stroke.y[7] == zero["high"].iloc[2]
    assert np.log10(stroke.y[6]) == pytest.approx(plot_paths(zero).layout.yaxis.range[0])
    with pytest.raises(ValueError, match="no path study"):
        plot_paths(pd.DataFrame({"length": [1]}))


def test_a_picture_without_a_kernel(tables):
    assert plot_lesions(tables)._repr_mimebundle_()["image/png"]
