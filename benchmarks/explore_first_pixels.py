"""`explore(net, images)` in a real JupyterLab: from the call to its first pixels; size of its page.

    python benchmarks/explore_first_pixels.py            # ResNet-50, one photograph, 5 kernels

Every round opens a notebook with a kernel of its own: the first cell loads the network (random
weights: the number of pixels counts), the photograph and runs the network once; the second calls
`explore`. Measured is the time from the call, by the kernel's clock, to the frame in which feature
maps are painted, by the browser's clock on the same machine; the recording is part of it. Needs
Chromium and playwright; drives the JupyterLab of tests/views/lab.py.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from views.browsing import started_chromium
from views.lab import SAMPLES, started_server, wait_for

SETUP = """import time
import torch, torchvision
import resviz as rv
torch.manual_seed(0)
net = torchvision.models.get_model({network!r}, weights=None).eval()
preset = rv.Preset("resnet", "random", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 256, 224)
images = rv.load_images({photograph!r}, net, preset=preset)
with torch.no_grad():
    print(net(images).shape)"""
CALL = """began = time.time()
view = rv.explore(net, images, preset=preset)
called = time.time() - began
view"""
AFTER = """import os, tempfile
with tempfile.TemporaryDirectory() as folder:
    view.save_html(os.path.join(folder, "page.html"))
    size = os.path.getsize(os.path.join(folder, "page.html"))
print("measured", began, called, size)"""
PAINTED = """() => {
  const look = () => {
    const canvas = document.querySelector(".rv-channels .rv-tile");
    if (canvas?.width > 1 && !window.paintedAt) {
      requestAnimationFrame(() => { window.paintedAt ??= Date.now() / 1000; });
    } else if (!window.paintedAt) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


def once(chromium: Any, server: str, folder: Path, number: int, network: str) -> list[float]:
    """Seconds to the first pixels, seconds of the call alone, bytes of the page."""
    photograph = str(SAMPLES / "chelsea.png")
    cells = [SETUP.format(network=network, photograph=photograph), CALL, AFTER]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "work" / f"explore{number}.ipynb")
    page = chromium.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(f"{server}/lab/tree/explore{number}.ipynb?token=token&reset")
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.content?.widgets")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
    page.evaluate(PAINTED)
    prompts = "() => document.querySelectorAll('.jp-OutputArea-output').length"
    page.wait_for_timeout(2000)
    run = "() => void window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')"
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
    page.evaluate(run)
    page.wait_for_function(f"({prompts})() >= 1", timeout=120_000)
    page.wait_for_timeout(1500)  # the kernel is idle, the page at rest
    page.evaluate(run)
    page.wait_for_function("() => window.paintedAt", timeout=60_000)
    page.wait_for_timeout(3000)
    page.evaluate(run)
    said = "() => document.querySelector('.jp-NotebookPanel').innerText.match(/measured (.*)/)?.[1]"
    words = wait_for(lambda: page.evaluate(said))
    began, called, size = (float(each) for each in words.split())
    painted = float(page.evaluate("window.paintedAt"))
    page.close()
    return [painted - began, called, size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", default="resnet50")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, started_chromium() as chromium:
        folder = Path(home)
        with started_server(folder) as server:
            found = [
                once(chromium, server, folder, number, chosen.network)
                for number in range(chosen.rounds)
            ]
    pixels, called, sizes = zip(*found, strict=True)
    print(
        f"{chosen.network}, one photograph, {chosen.rounds} kernels: first pixels after a median "
        f"of {statistics.median(pixels):.2f} s ({min(pixels):.2f} to {max(pixels):.2f}), of which "
        f"the call itself {statistics.median(called):.2f} s; page {sizes[0] / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
