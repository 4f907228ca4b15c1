"""The explorers by their public names: a widget, a picture and a line of text each."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import resviz as rv
from cases import thorough_but

WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = 300_000  # bytes that one view may add to a saved notebook
pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")


@pytest.fixture(
    params=thorough_but(
        ["feature maps", "residuals", "gradients", "explanation", "live explanation", "explore"],
        ["residuals", "live explanation", "explore"],
    )
)
def view(request: Any, makers: dict[str, Any]) -> Any:
    return makers[request.param]()


def test_a_widget_a_picture_and_a_line_of_text(view: Any, read: Any) -> None:
    data, metadata = view._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"]  # nbconvert reads it out
    assert WIDGET in data and "text/html" not in data and data["text/plain"].startswith("Figure: ")
    assert len(np.unique(read.picture(base64.b64decode(data["image/png"])))) > 20


def test_little_is_saved_with_a_notebook(view: Any) -> None:
    view._repr_mimebundle_()  # a picture of it is saved, too
    saved = {k: v for k, v in view.get_state().items() if isinstance(v, str | int | dict | list)}
    assert saved["still"].startswith("data:image/png;base64,") and len(json.dumps(saved)) < STATE


def test_a_page_of_its_own(view: Any, tmp_path: Any) -> None:
    rv.save_html(view, tmp_path / "view.html")
    text = (tmp_path / "view.html").read_text()
    assert "http://" not in text.replace("http://www.w3.org", "") and "rv-view" in text


def test_nothing_kept(rec: Any) -> None:
    with pytest.raises(ValueError, match="explore_feature_maps: no feature maps.*keep='blocks'"):
        rv.explore_feature_maps(dataclasses.replace(rec, tensors={}))


def test_the_network_is_left_as_it_was(net: Any, images: Any, preset: Any) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rv.explore_explanation(net, images, preset=preset)
    assert all(torch.equal(before[n], v) for n, v in net.state_dict().items())
    assert not any(module.training for module in net.modules())


def test_explanation_errors(net: Any, images: Any) -> None:
    with pytest.raises(TypeError, match="explore_explanation: a int"):
        rv.explore_explanation(3)
    with pytest.raises(TypeError, match="explore_explanation: .*no images"):
        rv.explore_explanation(net)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    with pytest.raises(ValueError, match="explore_explanation: .*no layer with positions"):
        rv.explore_explanation(flat, images)
