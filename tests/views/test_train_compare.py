"""`plot_train_compare` as data, and `live_training` without and in a real kernel."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resviz.training.compare.comparison import TrainComparison, train_compare
from resviz.views.figures.train_compare import plot_train_compare
from resviz.views.static import static_png
from resviz.views.widgets.training import live_training

DEEP = "<b>bold</b>"
SMALL: dict[str, Any] = {"subset": 64, "batch": 16, "epochs": 2, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def seen() -> list[TrainComparison]:
    """Every state of a training of two networks, two seeds."""
    found: list[TrainComparison] = []
    options = {"family": "digits", "width": 4}
    variants = {"plain-4": options | {"depth": 4, "shortcut": "none"}, DEEP: options | {"depth": 6}}
    train_compare(variants, seeds=2, on_update=found.append, **SMALL)
    return found


def test_left_panel_shows_median_and_range_of_the_errors(
    seen: list[TrainComparison], read: Any
) -> None:
    figure = plot_train_compare(seen[-1])
    rows = seen[-1].curves.query("variant == 'plain-4'")
    for column, name in (("test_error", "plain-4"), ("train_error", "plain-4, training error")):
        wide = rows.pivot(index="epoch", columns="seed", values=column)
        line = read.named(figure, name)
        np.testing.assert_allclose(line.y, wide.median(axis=1))
        assert list(line.x) == [0, 1, 2] and line.xaxis in (None, "x")
        assert line.line.dash == ("solid" if column == "test_error" else "dash")
    band = read.named(figure, "plain-4, test error, range")
    wide = rows.pivot(index="epoch", columns="seed", values="test_error")
    np.testing.assert_allclose(band.y, [*wide.min(axis=1), *wide.max(axis=1)[::-1]])
    assert [t.name for t in figure.data if t.showlegend is not False] == [
        "plain-4",
        "&lt;b&gt;bold&lt;/b&gt;",
    ]


def test_running_error_begins_after_the_first_epoch(seen: list[TrainComparison], read: Any) -> None:
    figure = plot_train_compare(seen[-1], training="running_error")
    line = read.named(figure, "plain-4, running training error")
    rows = seen[-1].curves.query("variant == 'plain-4' and epoch > 0")
    expected = rows.pivot(index="epoch", columns="seed", values="running_error").median(axis=1)
    np.testing.assert_allclose(line.y, expected)
    assert list(line.x) == [1, 2] and "running training error" in read.title(figure)
    before = plot_train_compare(seen[0], training="running_error")
    assert [t.name for t in before.data if t.xaxis != "x2"] == ["plain-4"]
    assert "plain-4 – / " in read.title(before)


def test_right_panel_shows_gradients_before_and_after(
    seen: list[TrainComparison], read: Any
) -> None:
    figure = plot_train_compare(seen[-1])
    for when, epoch in (("before training", 0), ("latest", 2)):
        line = read.named(figure, f"plain-4, {when}")
        rows = seen[-1].gradients.query(f"variant == 'plain-4' and epoch == {epoch}")
        wide = rows.pivot(index="depth", columns="seed", values="grad_norm")
        np.testing.assert_allclose(line.y, wide.median(axis=1))
        assert line.xaxis == "x2" and line.yaxis == "y2"
        assert (line.line.dash == "dot") == (epoch == 0)
    assert figure.layout.yaxis2.anchor == "x2" and figure.layout.yaxis2.type == "log"
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]
    assert figure.layout.xaxis.title.text == "epoch"


def test_heading_says_what_was_measured(seen: list[TrainComparison], read: Any) -> None:
    title = read.title(plot_train_compare(seen[-1]))
    last = seen[-1].curves.query("variant == 'plain-4' and epoch == 2")
    errors = f"plain-4 {last['train_error'].median():.1f} / {last['test_error'].median():.1f} %"
    for words in (
        *("Error against epoch, gradient norm against depth", errors, "after epoch 2 of 2"),
        *("digits 8×8, 64 of 1437 training images", "momentum 0.9", "batch 16", "peak rate 0.1"),
        *("median and range of 2 seeds", "BatchNorm on batch statistics", "64 images"),
    ):
        assert words in title
    assert "<b>bold" not in read.text(plot_train_compare(seen[-1], title=DEEP))


@pytest.mark.thorough
def test_every_state_of_a_training_can_be_drawn(seen: list[TrainComparison]) -> None:
    assert len(seen) == 12
    for comparison in seen:
        figure = plot_train_compare(comparison)
        low, high = figure.layout.xaxis.range  # of the whole training, so that the axis stays
        assert low < 0 and high > 2
    assert "no epoch trained yet" in str(plot_train_compare(seen[0]).layout.title.text)
    assert static_png(plot_train_compare(seen[0])) != static_png(plot_train_compare(seen[-1]))


def made(errors: list[float], norms: list[float]) -> TrainComparison:
    """One network, one seed, by hand; the same gradients before and after."""
    epochs = range(len(errors))
    curves = pd.DataFrame({"variant": "net", "seed": 0, "epoch": epochs, "train_error": errors})
    curves["test_error"] = curves["running_error"] = curves["train_error"]
    one = pd.DataFrame({"variant": "net", "seed": 0, "depth": range(1, len(norms) + 1)})
    one = one.assign(layer=[f"l{d}" for d in one["depth"]], grad_norm=norms)
    one["parameter"] = one["layer"] + ".weight"
    frames = [one.assign(epoch=epoch) for epoch in (0, len(errors) - 1)]
    about = {"data": "toy", "epochs": len(errors) - 1, "batch": 1, "rate": 1.0, "augment": False}
    about |= {"optimiser": "none", "seeds": [0], "finished": True}
    return TrainComparison(curves, pd.concat(frames, ignore_index=True), {}, about)


@pytest.mark.parametrize("log", [False, True])
def test_exact_zeros(log: bool, read: Any) -> None:
    """An error of 0 and a gradient of 0 stand in strips, each under its own panel."""
    figure = plot_train_compare(made([90.0, 5.0, 0.0], [1.0, 0.0, 0.1]), log=log)
    panel = "y4" if log else "y3"
    assert list(read.named(figure, "net, latest, exactly 0").x) == [2]
    assert read.named(figure, "net, latest, exactly 0").yaxis == panel
    assert read.named(figure, "net, latest, exactly 0").xaxis == "x2"
    assert figure.layout[f"yaxis{panel[1]}"].anchor == "x2"
    assert figure.layout.xaxis2.anchor == panel
    if log:
        assert list(read.named(figure, "net, test error, exactly 0").x) == [2]
        assert read.named(figure, "net, test error, exactly 0").yaxis == "y2"
        assert figure.layout.xaxis.anchor == "y2"
    assert len(static_png(figure)) > 10_000


def test_gradients_that_are_not_finite_are_counted(read: Any) -> None:
    figure = plot_train_compare(made([90.0, 91.0], [1.0, float("nan"), float("inf")]))
    assert "4 values not finite, not drawn" in read.title(figure)


def test_errors(seen: list[TrainComparison]) -> None:
    with pytest.raises(TypeError, match="plot_train_compare: a DataFrame; a TrainComparison"):
        plot_train_compare(seen[0].curves)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="training 'test_error'; one of train_error, running"):
        plot_train_compare(seen[0], training="test_error")
    empty = dataclasses.replace(seen[0], curves=seen[0].curves.iloc[:0])
    with pytest.raises(ValueError, match="plot_train_compare: nothing was measured yet"):
        plot_train_compare(empty)
    with pytest.raises(TypeError, match="live_training: every 'x'"):
        live_training("x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="live_training: every -1"):
        live_training(-1)
    with pytest.raises(ValueError, match="live_training: nothing was measured yet"):
        live_training().figure()


class Handle:
    def __init__(self, shown: list[Any]) -> None:
        self.shown = shown

    def update(self, figure: Any) -> None:
        self.shown.append(figure)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a notebook would show, one after the other in one place."""
    import IPython.display

    figures: list[Any] = []

    def display(figure: Any, display_id: bool) -> Handle:
        assert display_id and not figures
        figures.append(figure)
        return Handle(figures)

    class Shell:
        kernel = "a kernel"

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    monkeypatch.setattr(IPython.display, "display", display)
    return figures


@pytest.mark.thorough
def test_live_figure_is_drawn_again_in_its_place(
    seen: list[TrainComparison], shown: list[Any]
) -> None:
    live = live_training(every=0)
    for comparison in seen:
        live(comparison)
    assert len(shown) == 12
    assert shown[-1].to_json() == plot_train_compare(seen[-1]).to_json()


def test_live_figure_waits_but_shows_the_last_state(
    seen: list[TrainComparison], shown: list[Any]
) -> None:
    live = live_training(every=1e6)
    for comparison in seen[:5]:
        live(comparison)
    assert len(shown) == 1 and live.comparison is seen[4]
    stopped = dict(seen[5].provenance) | {"stopped": True}
    live(dataclasses.replace(seen[5], provenance=stopped))
    assert len(shown) == 2
    live(seen[-1])
    assert len(shown) == 3


def test_outside_of_a_notebook_nothing_is_drawn(
    seen: list[TrainComparison], capsys: pytest.CaptureFixture[str]
) -> None:
    live = live_training(every=0)
    live(seen[-1])
    assert live.figure().data and capsys.readouterr().out == ""


@pytest.mark.slow
def test_live_figure_in_a_real_kernel(tmp_path: Path) -> None:
    """The saved notebook holds one figure, the last one, with its picture."""
    nbclient = pytest.importorskip("nbclient")
    code = f"""
from resviz.training.compare.comparison import train_compare
from resviz.views.widgets.training import live_training
variants = {{"plain-4": {{"family": "digits", "depth": 4, "shortcut": "none"}}}}
comparison = train_compare(variants, on_update=live_training(every=0), **{SMALL!r})
"""
    import nbformat  # its schemas take 2 s to import, in every process

    cells = [nbformat.v4.new_code_cell(code)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(
        notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    figures = [o for o in notebook.cells[0].outputs if o.output_type == "display_data"]
    assert len(figures) == 1
    assert len(figures[0].data["image/png"]) > 10_000
    assert "after epoch 2 of 2" in figures[0].data["text/plain"]
