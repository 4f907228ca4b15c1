"""A record is told by its class: what merely has its attributes is refused, and says what it is."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch

import resviz as rv
from resviz.analysis.flow import GradientFlow
from resviz.analysis.landscape.convexity import nonconvexity
from resviz.analysis.landscape.surface import LossLandscape
from resviz.training.compare.comparison import TrainComparison
from resviz.training.recorder.record import TrainingRecord


class Like:
    """Every public attribute and method of a record, in an object that is none."""

    def __init__(self, record: object) -> None:
        for name in dir(record):
            if not name.startswith("_"):
                with contextlib.suppress(ValueError):
                    setattr(self, name, getattr(record, name))
        if hasattr(record, "__getitem__"):
            self.record = record

    def __getitem__(self, key: Any) -> Any:
        return self.record[key]


def frame() -> pd.DataFrame:
    return pd.DataFrame({"step": [0], "variant": ["a"], "epoch": [0], "seed": [0], "loss": [1.0]})


@pytest.fixture(scope="module")
def exp(net: Any, images: torch.Tensor, preset: rv.Preset) -> Any:
    with warnings.catch_warnings():  # the toy network's maps may be blank
        warnings.simplefilter("ignore", rv.ResvizWarning)
        return rv.explain(net, images, methods=["grad_cam"], layers=["layer3"], preset=preset)


RECORDING: dict[str, Callable[[Any], Any]] = {
    "plot_depth_profile": lambda like: rv.plot_depth_profile(like, y="rms"),
    "plot_residual_branches": rv.plot_residual_branches,
    "plot_feature_maps": lambda like: rv.plot_feature_maps(like, like.keys()[0]),
    "explore_feature_maps": rv.explore_feature_maps,
    "explore_residuals": rv.explore_residuals,
    "explore_gradients": rv.explore_gradients,
}


@pytest.mark.parametrize("name", RECORDING)
def test_an_object_like_a_recording_is_refused(name: str, rec: Any):
    RECORDING[name](rec)
    with pytest.raises(TypeError, match=f"^{name}: a Like.*[Rr]ecording"):
        RECORDING[name](Like(rec))


@pytest.mark.parametrize("name", ["plot_depth_profile", "plot_residual_branches"])
def test_an_explanation_is_no_recording(name: str, exp: Any):
    assert exp.layers and exp.provenance  # which a recording has too
    with pytest.raises(TypeError, match=f"^{name}: a Explanation under 'network'; a DataFrame"):
        RECORDING[name](exp)


@pytest.mark.parametrize("name", ["plot_explanation", "explore_explanation"])
def test_an_object_like_an_explanation_is_refused(name: str, exp: Any):
    getattr(rv, name)(exp)
    with pytest.raises(TypeError, match=f"^{name}: a Like.*an Explanation"):
        getattr(rv, name)(Like(exp))


def test_an_object_like_an_explanation_is_refused_beside_others(
    exp: Any, rec: Any, net: Any, images: torch.Tensor
):
    with pytest.raises(TypeError, match="^explore_feature_maps: explanation is a Like"):
        rv.explore_feature_maps(rec, explanation=Like(exp))
    with pytest.raises(TypeError, match="^explore_explanation: explanation is a Like"):
        rv.explore_explanation(net, images, explanation=Like(exp))


def test_an_object_with_columns_is_no_table_of_faithfulness(exp: Any):
    table = Like(pd.DataFrame(columns=["method", "layer", "image", "target"]))
    with pytest.raises(TypeError, match="^explore_explanation: faithfulness is a Like"):
        rv.explore_explanation(exp, faithfulness=table)


@pytest.mark.parametrize(
    "record",
    [
        GradientFlow(frame(), frame(), frame(), frame()),
        TrainComparison(frame(), frame(), {}),
        TrainingRecord(frame(), frame(), frame(), frame()),
    ],
    ids=lambda record: type(record).__name__,
)
def test_an_object_like_the_record_of_a_study_is_refused(record: Any):
    with pytest.raises(TypeError, match="^explore_gradients: a Like under 'network'; a DataFrame"):
        rv.explore_gradients(Like(record))


def test_an_object_like_a_training_record_is_refused():
    record = TrainingRecord(frame(), frame(), frame(), frame())
    with pytest.raises(TypeError, match="^plot_training_record: a Like; a TrainingRecord"):
        rv.plot_training_record(Like(record))
    with pytest.raises(ValueError, match="^plot_training_record: no measured column"):
        rv.plot_training_record(record)


@pytest.mark.parametrize("function", [rv.plot_landscape, nonconvexity], ids=lambda f: f.__name__)
def test_an_object_like_a_landscape_is_refused(function: Callable[[Any], Any]):
    points = pd.DataFrame({"alpha": [-1.0, 0.0, 1.0], "beta": 0.0, "loss": 1.0, "error": 0.0})
    landscape = LossLandscape(points, {"points": 3, "dimensions": 1})
    function(landscape)
    with pytest.raises(TypeError, match=f"^{function.__name__}: a Like; a LossLandscape"):
        function(Like(landscape))


@pytest.mark.thorough
def test_figures_of_tables_load_no_torch():
    code = (
        "import sys, pandas as pd\n"
        "from resviz.views.figures.depth import plot_depth_profile\n"
        "from resviz.views.figures.landscape import plot_landscape\n"
        "table = pd.DataFrame({'layer': ['a', 'b'], 'depth': [1, 2], 'rms': [1.0, 2.0]})\n"
        "plot_depth_profile(table.assign(call=0, type='Conv2d', stage=''), y='rms')\n"
        "points = pd.DataFrame({'alpha': [-1.0, 0.0, 1.0], 'beta': 0.0, 'loss': 1.0})\n"
        "plot_landscape(points.assign(error=0.0))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
