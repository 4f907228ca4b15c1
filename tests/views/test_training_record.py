"""`plot_training_record` as data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from resviz.training.recorder.record import TrainingRecord
from resviz.views.figures.depth import plot_depth_profile
from resviz.views.figures.training_record import plot_training_record
from resviz.views.static import static_png

LAYERS = ["stem", "layer1.a", "layer1.skip", "layer2.a", "fc"]


def record(steps: list[int], **columns: Any) -> TrainingRecord:
    """Five layers, one of them a projection; the gradient of layer1.a is 0 in the first step."""
    rows = []
    for number, step in enumerate(steps):
        for layer, name in enumerate(LAYERS):
            weight = {"parameter": f"{name}.weight", "layer": name, "weighted": True}
            weight |= {"depth": [1, 2, 2, 3, 4][layer], "projection": name == "layer1.skip"}
            weight |= {"stage": ["stem", "layer1", "layer1", "layer2", "head"][layer]}
            weight |= {"grad_norm": 10.0 ** (layer - number), "weight_norm": 1.0, "step": step}
            weight["shape"] = (4, 3)
            rows += [weight, weight | {"parameter": f"{name}.bias", "weighted": False}]
    parameters = pd.DataFrame(rows)
    parameters.loc[
        (parameters["layer"] == "layer1.a") & (parameters["step"] == steps[0]), "grad_norm"
    ] = 0
    blocks = parameters.loc[parameters["weighted"], ["step", "layer", "depth", "stage"]]
    blocks = blocks.assign(call=0, kind="block", type="Block", rms=2.0, mean=-0.5)
    residuals = pd.DataFrame(
        [
            {"step": step, "addition": f"{name}.add", "depth": depth, "stage": name, "ratio": 0.5}
            | {"cosine": (-1) ** depth * 0.25, "kind": "identity"}
            for step in steps
            for depth, name in ((2, "layer1"), (3, "layer2"))
        ]
    )
    table = pd.DataFrame({"step": steps, "loss": np.nan, "images": 8, "batch_stats": True})
    table = table.assign(scale_divided=False, clipped=False, skipped=False, autocast=None)
    table = table.assign(**columns)
    about = {"network": "toy", "dtype": "float32", "batch_stats": True, "images": 8}
    return TrainingRecord(table, parameters, blocks, residuals, about)


def maps(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def test_rows_are_depths_and_columns_steps(read: Any) -> None:
    figure = plot_training_record(record([0, 10, 20]))
    drawn, zeros = maps(figure)
    np.testing.assert_allclose(
        drawn.z, np.log10([[1, 0.1, 0.01], [np.nan, 1, 0.1], [1000, 100, 10], [1e4, 1e3, 100]])
    )
    assert (drawn.x0, drawn.dx, drawn.y0, drawn.dy) == (0, 10, 0, 1)
    assert list(figure.layout.yaxis.ticktext) == ["1", "2", "3", "4"]
    assert "stem" in drawn.text[0][0] and "depth 4" in drawn.text[3][0]
    assert list(figure.layout.xaxis.range) == [-5, 25]
    assert (drawn.zmin, drawn.zmax) == pytest.approx((-2, 4))
    title = read.title(figure)
    assert title.startswith("Weight gradients, by depth and training step")
    assert "1 projections left out" in title and "BatchNorm on batch statistics" in title
    assert "gradients of the loop's own loss" in title and "before clipping" not in title


def test_exact_zeros_have_a_colour_of_their_own(read: Any) -> None:
    figure = plot_training_record(record([0, 10]))
    drawn, zeros = maps(figure)
    np.testing.assert_array_equal(np.isfinite(zeros.z), [[0, 0], [1, 0], [0, 0], [0, 0]])
    assert zeros.colorscale[0][1] == zeros.colorscale[1][1] == "#D55E00"
    assert read.named(figure, "exactly 0").marker.color == "#D55E00"
    without = record([0, 10])
    without.parameters["grad_norm"] += 1
    assert len(maps(plot_training_record(without))) == 1


def test_a_missing_step_is_a_grey_column(read: Any) -> None:
    figure = plot_training_record(record([10, 20, 40]))
    drawn = maps(figure)[0]
    assert (drawn.x0, drawn.dx) == (10, 10)
    assert np.isnan(drawn.z[:, 2]).all() and np.isfinite(drawn.z[:, 3]).all()
    assert read.named(figure, "no finite value").marker.color == "#c9cdd3"
    assert [shape.fillcolor for shape in figure.layout.shapes] == ["#c9cdd3"]


def test_one_step(read: Any) -> None:
    drawn = maps(plot_training_record(record([7])))[0]
    assert drawn.z.shape == (4, 1) and drawn.x0 == 7


def test_many_steps_are_thinned_and_it_is_said(read: Any) -> None:
    figure = plot_training_record(record(list(range(1300))), "weight_norm")
    assert maps(figure)[0].z.shape == (4, 434) and maps(figure)[0].dx == 3
    assert "434 of 1300 recorded steps drawn" in read.title(figure)


def test_steps_far_apart_have_columns_of_their_own_or_are_counted(read: Any) -> None:
    steps = [0, 1, 2, 3, 4, 5, 6, 10_000, 20_000, 31_000]
    figure = plot_training_record(record(steps), "weight_norm")
    drawn = maps(figure)[0]
    filled = np.flatnonzero(np.isfinite(drawn.z[0]))
    shown = [0, 10_000, 20_000, 31_000]
    np.testing.assert_allclose(filled * drawn.dx, shown, atol=drawn.dx / 2)
    assert [drawn.text[0][n].rsplit("step ")[1] for n in filled] == [str(step) for step in shown]
    assert drawn.z.shape[1] < 1300
    assert "4 of 10 recorded steps drawn" in read.title(figure)


def test_the_loss_stands_above_with_skipped_steps(read: Any) -> None:
    log = record([0, 10, 20], loss=[3.0, np.inf, 1.0], skipped=[False, True, False])
    figure = plot_training_record(log)
    loss, skipped = read.named(figure, "loss"), read.named(figure, "skipped step")
    np.testing.assert_array_equal(loss.y, [3, np.nan, 1])
    assert list(skipped.x) == [10] and loss.yaxis == skipped.yaxis == "y2"
    assert figure.layout.yaxis2.domain[0] > figure.layout.yaxis.domain[1]
    assert "of 3 recorded steps 1 skipped" in read.title(figure)
    assert static_png(figure) != static_png(plot_training_record(record([0, 10, 20])))


def test_clipping_and_scale_are_in_the_title(read: Any) -> None:
    log = record([0, 10], clipped=[True, False], scale_divided=True)
    title = read.title(plot_training_record(log))
    assert "loss, scale divided out, before clipping" in title
    assert "of 2 recorded steps 1 clipped" in title
    log = TrainingRecord(
        log.steps,
        log.parameters.rename(columns={"grad_norm": "grad_norm_used"}),
        log.blocks,
        log.residuals,
        log.provenance,
    )
    assert "before clipping" not in read.title(plot_training_record(log, "grad_norm_used"))


@pytest.mark.parametrize(
    ("y", "rows", "scale"),
    [
        ("rms", 5, "Viridis"),
        ("mean", 5, "Viridis"),
        ("ratio", 2, "Viridis"),
        ("cosine", 2, "RdBu_r"),
    ],
)
def test_other_quantities(y: str, rows: int, scale: str) -> None:
    drawn = maps(plot_training_record(record([0, 10]), y))[0]
    assert drawn.z.shape == (rows, 2)
    import plotly.colors

    expected = plotly.colors.get_colorscale(scale)
    assert [c for _, c in drawn.colorscale] == [c for _, c in expected]
    if y == "cosine":
        assert drawn.zmin == -drawn.zmax == -0.25


def test_stages_are_named_and_parted() -> None:
    figure = plot_training_record(record([0, 10]))
    assert [note.text for note in figure.layout.annotations] == ["stem", "layer1", "layer2", "head"]
    lines = [t for t in figure.data if t.type == "scatter" and t.mode == "lines"]
    assert [t.y[0] for t in lines] == [0.5, 1.5, 2.5]


def test_one_step_as_a_depth_profile() -> None:
    log = record([0, 10])
    figure = plot_depth_profile({"0": log.at(0), "10": log.at(10)}, y="grad_norm")
    lines = [t for t in figure.data if t.mode == "lines+markers"]
    np.testing.assert_allclose(lines[1].y, [0.1, 1, 100, 1000])
    assert plot_depth_profile(log.at(10), y="ratio").data
    with pytest.raises(ValueError, match="step 5 was not recorded; closest: 0, 10"):
        log.at(5)


def test_names_are_escaped(hostile: str) -> None:
    log = record([0, 10])
    tables = [
        table.assign(**{c: hostile for c in ("layer", "stage") if c in table})
        for table in (log.parameters, log.blocks, log.residuals)
    ]
    about = dict(log.provenance) | {"network": hostile, "data": hostile}
    figure = plot_training_record(TrainingRecord(log.steps, *tables, about), title=hostile)
    text = str(figure.to_plotly_json())
    assert "<script" not in text and "<b>bold" not in text and "&lt;script&gt;" in text


def test_errors() -> None:
    log = record([0, 10])
    with pytest.raises(TypeError, match="plot_training_record: a DataFrame; a TrainingRecord"):
        plot_training_record(log.steps)
    with pytest.raises(ValueError, match="no measured column 'gradnorm'; closest: 'grad_norm'"):
        plot_training_record(log, "gradnorm")
    with pytest.raises(ValueError, match="'cosine' has negative values"):
        plot_training_record(log, "cosine", log=True)
    empty = TrainingRecord(log.steps[:0], log.parameters, log.blocks, log.residuals)
    with pytest.raises(ValueError, match="no step was recorded"):
        plot_training_record(empty)
    log.parameters["grad_norm"] = np.nan
    with pytest.raises(ValueError, match="'grad_norm' holds no numbers"):
        plot_training_record(log)
