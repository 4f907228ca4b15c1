"""`plot_training` as data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import resviz as rv
from resviz.views.static import static_png


@pytest.fixture
def log() -> pd.DataFrame:
    return pd.DataFrame(
        {"epoch": [1, 2, 3], "train_error": [50.0, 20.0, 0.0], "test_error": [55.0, 30.0, 12.0]}
    )


def test_lines_are_the_columns(log: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_training({"ResNet-20": log, "plain-20": log / 2})
    names = [t.name for t in figure.data]
    assert names == [
        f"{net}, {what} error" for net in ("ResNet-20", "plain-20") for what in ("training", "test")
    ]
    training, test = (read.named(figure, f"ResNet-20, {w} error") for w in ("training", "test"))
    np.testing.assert_array_equal(training.y, log["train_error"])
    np.testing.assert_array_equal(test.y, log["test_error"])
    np.testing.assert_array_equal(test.x, log["epoch"])
    assert training.line.dash == "dash" and test.line.width > training.line.width
    assert training.line.color == test.line.color != figure.data[2].line.color
    assert figure.layout.yaxis.title.text == "error (%)"


def test_one_table_and_one_column(log: pd.DataFrame) -> None:
    figure = rv.plot_training(log[["epoch", "test_error"]])
    assert [t.name for t in figure.data] == ["network, test error"]


def test_no_error_at_all_is_drawn_on_a_log_axis(log: pd.DataFrame) -> None:
    """A network that learns its training set by heart reaches 0 %; a log axis has no 0."""
    figure = rv.plot_training({"net": log}, log=True)
    assert figure.layout.yaxis.type == "log"
    strips = [t for t in figure.data if t.yaxis == "y2"]
    assert [(list(t.x), list(t.y)) for t in strips] == [([3], [0])]
    left, right = figure.layout.xaxis.range  # one range for the lines and the strip
    assert left < 1 and right > 3
    assert static_png(figure) != static_png(rv.plot_training({"net": log + 1}, log=True))


def test_errors(log: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="plot_training: the table of 'net'.*needed: epoch"):
        rv.plot_training({"net": log.drop(columns="epoch")})
    with pytest.raises(ValueError, match="needed: epoch and one of train_error, test_error"):
        rv.plot_training({"net": log[["epoch"]]})
    with pytest.raises(TypeError, match="plot_training: a list under 'net'"):
        rv.plot_training({"net": [1, 2]})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="plot_training: a int"):
        rv.plot_training(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="plot_training: no tables"):
        rv.plot_training({})
    with pytest.raises(ValueError, match="plot_training: the table of 'net' is empty"):
        rv.plot_training({"net": log.iloc[:0]})


def test_names_are_escaped(log: pd.DataFrame, read: Any, hostile: str) -> None:
    text = read.text(rv.plot_training({hostile: log}, title=hostile))
    assert "<script" not in text and "<b>bold" not in text and "&lt;script&gt;" in text
