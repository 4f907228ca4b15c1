"""A notebook that was run, saved and closed still shows the pictures, without a kernel."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.thorough

CELLS = [
    "import torch\nimport resviz as rv\n"
    "net = rv.load_model('cifar10-resnet20', device='cpu')\n"
    "images = rv.load_images(torch.rand(2, 3, 32, 32), net)\n"
    "rec = rv.record(net, images, keep='blocks')",
    "rv.explore_feature_maps(rec)",
    "rv.explore_residuals(rec)",
    "rv.explore_gradients({'ResNet-20': rec})",
    "rv.explore_explanation(net, images)",
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook, executed and saved with its widget state as JupyterLab saves it."""
    import nbformat  # here and below: its schemas take 2 s to import, in every process
    from nbclient import NotebookClient
    from nbformat import v4

    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in CELLS])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=True)
    client.execute()
    path = tmp_path_factory.mktemp("saved") / "views.ipynb"
    nbformat.write(notebook, path)
    return path


def bundles(path: Path) -> list[dict]:
    import nbformat

    cells = nbformat.read(path, as_version=4).cells[1:]
    return [output["data"] for cell in cells for output in cell.outputs if "data" in output]


def test_every_view_has_a_picture_and_words(saved: Path):
    found = bundles(saved)
    assert len(found) == 4
    for data in found:
        pixels = np.asarray(Image.open(BytesIO(base64.b64decode(data["image/png"]))))
        assert len(np.unique(pixels)) > 20
        assert data["text/plain"].startswith("Figure: ")


def test_the_notebook_grows_little(saved: Path):
    """At most 300 kB of widget state for one view, the module's text included."""
    import nbformat

    widgets = nbformat.read(saved, as_version=4).metadata["widgets"]
    states = next(iter(widgets.values()))["state"].values()
    views = [s["state"] for s in states if "_esm" in s["state"]]
    assert len(views) == 4
    assert max(len(json.dumps(state)) for state in views) < 300_000
    for state in views:  # what is shown where such a view is restored without a kernel
        assert state["still"].startswith("data:image/png;base64,")


def test_a_page_of_nbconvert_shows_the_pictures(saved: Path):
    """Of a notebook without widget state; with it, nbconvert prefers widgets and a network."""
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(saved, as_version=4)
    del notebook.metadata["widgets"]
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert page.count("data:image/png;base64,") >= 4


@pytest.mark.browser
def test_the_documented_command_makes_a_page_with_pictures(saved: Path, chromium: Any):
    """nbconvert prefers widgets, which need a network, unless it clears the widget state."""
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html"]
    command += ["--ClearMetadataPreprocessor.enabled=True", str(saved)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    context = chromium.new_context()
    context.route(lambda url: not url.startswith(("file:", "data:")), lambda route: route.abort())
    page = context.new_page()
    page.goto(saved.with_suffix(".html").as_uri())
    page.wait_for_selector(".jp-OutputArea img >> nth=3")
    widths = page.locator(".jp-OutputArea img").evaluate_all("all => all.map(i => i.naturalWidth)")
    text = page.inner_text("body")
    context.close()
    assert len(widths) == 4 and min(widths) > 200
    assert "explore_explanation(net, images)" in text
