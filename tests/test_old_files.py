"""Files that resviz 0.1.0 saved before its folders moved still open, with the same numbers.

`old_files/` was written by that version: a record of every kind of a cifar_resnet(8, seed=0), and
in truth.json what the records held then. Never make these files anew to get green.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import resviz as rv

OLD = Path(__file__).parent / "old_files"


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    return json.loads((OLD / "truth.json").read_text())


def test_recording(truth):
    rec = rv.load_recording(OLD / "recording.resviz")
    assert rec.residuals["ratio"].tolist() == truth["residuals_ratio"]
    assert len(rec.layers) == truth["rows"]
    branch = rec["layer3.0.add:branch"].double().sum()
    assert float(branch) == pytest.approx(truth["branch_sum"], rel=1e-12)
    assert rv.plot_residual_branches(rec).data


def test_explanation(truth):
    exp = rv.load_explanation(OLD / "explanation.resviz")
    assert exp.targets == truth["targets"]
    sums = {"/".join(key): float(maps.double().sum()) for key, maps in exp.maps.items()}
    assert sums == pytest.approx(truth["maps"], rel=1e-12)
    assert rv.plot_explanation(exp).data


def test_gradient_flow(truth):
    flow = rv.load_gradient_flow(OLD / "gradient_flow.resviz")
    assert flow.growth["per_layer"].tolist() == truth["growth"]
    assert rv.plot_gradient_flow(flow).data


def test_landscape(truth):
    landscape = rv.load_landscape(OLD / "landscape.resviz")
    assert landscape.table["loss"].tolist() == truth["loss"]


def test_training_record(truth):
    record = rv.load_training_record(OLD / "training.resviz-log")
    assert record.steps["loss"].tolist() == truth["steps"]
