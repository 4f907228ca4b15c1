"""Static pictures and mime bundles: what a reader sees where no JavaScript runs."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import resviz as rv
from resviz.views.charts.canvas import Canvas
from resviz.views.figure import Figure
from resviz.views.static import static_png

PLOTLY = "application/vnd.plotly.v1+json"


@pytest.mark.thorough
def test_pictures_of_every_figure(rec: Any, exp: Any, norms: Any, read: Any) -> None:
    log = pd.DataFrame({"epoch": [1, 2], "train_error": [50.0, 40.0], "test_error": [60.0, 55.0]})
    figures = [
        rv.plot_depth_profile({"net": norms}),
        rv.plot_residual_branches(rec),
        rv.plot_feature_maps(rec, "layer1"),
        rv.plot_explanation(exp, targets=[0]),
        rv.plot_training({"net": log}),
    ]
    for figure in figures:
        picture = read.picture(static_png(figure))
        assert picture.shape == (figure.layout.height, figure.layout.width or 900, 3)
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
        assert (picture[-1] == 255).all()  # nothing runs over the foot


def test_scale(zeros: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_depth_profile({"toy": zeros})
    one, two = (read.picture(static_png(figure, scale=s)).shape for s in (1, 2))
    assert (two[0], two[1]) == (2 * one[0], 2 * one[1])


def test_the_strip_of_zeros_is_drawn(zeros: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_depth_profile({"toy": zeros})
    picture = read.picture(static_png(figure))
    without = tuple(mark for mark in figure.chart.marks if mark.yaxis != "y2")
    without_zeros = Figure.of(replace(figure.chart, marks=without))
    differ = (picture != read.picture(static_png(without_zeros))).any(axis=2)
    rows = np.flatnonzero(differ.any(axis=1))
    assert len(rows) and rows.min() > 0.7 * len(picture)  # markers near the foot
    columns = np.flatnonzero(differ.any(axis=0))
    assert np.sum(np.diff(columns) > 5) == 1  # two of them


def test_depths_are_whole_numbers(zeros: pd.DataFrame, norms: Any) -> None:
    for figure in (rv.plot_depth_profile({"a": zeros}), rv.plot_depth_profile({"a": norms})):
        step = figure.layout.xaxis.dtick
        assert step == int(step) >= 1 and 20 / step <= 20
        drawing = Canvas(figure.chart)
        drawing.drawn()
        ticks = drawing.axes["x", "y"].get_xticks()
        assert all(float(tick).is_integer() for tick in ticks) and len(ticks) > 3


def test_a_changed_figure_never_shows_the_old_picture(zeros: pd.DataFrame) -> None:
    """Its page has the change; of a picture it is said why there is none."""
    changes = [
        lambda figure: figure.update_layout(title="mine"),
        lambda figure: figure.add_scatter(x=[1, 2], y=[1, 2]),
        lambda figure: figure.data[0].update(y=[1, 1, 1, 1]),
        lambda figure: setattr(figure, "data", figure.data[:1]),
    ]
    for change in changes:
        figure = rv.plot_depth_profile({"toy": zeros})
        assert set(figure._repr_mimebundle_()) == {PLOTLY, "image/png", "text/plain"}
        change(figure)
        with pytest.raises(ValueError, match="^static_png: .*changed after it was made.*title="):
            static_png(figure)
        bundle = figure._repr_mimebundle_()
        assert set(bundle) == {PLOTLY, "text/plain"}
        assert "no picture" in bundle["text/plain"]


def test_a_copied_figure_has_its_picture(zeros: pd.DataFrame) -> None:
    figure = rv.plot_depth_profile({"toy": zeros})
    for copied in (copy.deepcopy(figure), pickle.loads(pickle.dumps(figure))):
        assert isinstance(copied, Figure) and static_png(copied) == static_png(figure)


def test_mime_bundle(norms: Any, read: Any) -> None:
    figure = rv.plot_depth_profile({"a": norms, "b": norms[0]})
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {PLOTLY, "image/png", "text/plain"}
    assert len(json.dumps(bundle)) < 300_000
    assert read.picture(base64.b64decode(bundle["image/png"])).shape[0] == figure.layout.height
    text = bundle["text/plain"]
    assert text.startswith("Figure: Weight gradients against depth") and "<" not in text
    assert figure._repr_html_() is None
    parsed = go.Figure({k: bundle[PLOTLY][k] for k in ("data", "layout")})
    assert len(parsed.data) == len(figure.data)


def test_hostile_and_foreign_names_are_drawn(zeros: pd.DataFrame, hostile: str) -> None:
    """A name may hold markup, mathematics, or letters that the font lacks; no warning is raised."""
    for name in (hostile, "$x^$", "猫", "a % b"):
        assert static_png(rv.plot_depth_profile({name: zeros}, title=name))


def test_errors() -> None:
    with pytest.raises(TypeError, match="static_png: a int"):
        static_png(3)
    with pytest.raises(ValueError, match=r"static_png: a plotly Figure that no plot_\* function"):
        static_png(go.Figure(go.Bar(x=[1], y=[2])))


def test_every_plot_is_shown_the_same_way() -> None:
    """What a notebook gets is made in one place."""
    plots = [name for name in rv.__all__ if name.startswith("plot_")]
    assert len(plots) >= 17
    for name in plots:
        plot = getattr(rv, name)
        assert plot.__annotations__["return"] == "Figure", name
        assert vars(sys.modules[plot.__module__])["Figure"] is Figure, name


def test_the_notebook_alone_follows_the_width() -> None:
    config = Figure()._repr_mimebundle_()[PLOTLY]["config"]
    assert config == {"responsive": False, "displaylogo": False}
