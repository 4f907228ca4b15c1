"""The explorers in a real JupyterLab: every view renders, and no other machine is asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
CELLS = [
    "import torch\nimport resviz as rv\n"
    "net = rv.load_model('cifar10-resnet20', device='cpu')\n"
    "images = rv.load_images(torch.rand(2, 3, 32, 32), net)\n"
    "KEPT = ['layer1.0.add:' + part for part in ('branch', 'shortcut', 'sum')]\n"
    "rec = rv.record(net, images, keep=['blocks', *KEPT])",
    "rv.explore_feature_maps(rec)",
    "rv.explore_residuals(rec)",
    "rv.explore_gradients({'ResNet-20': rec})",
    "rv.explore_explanation(net, images)",
    "rv.plot_depth_profile(rec)",
]

pytestmark = pytest.mark.browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """JupyterLab on this machine's loopback, with a home of its own; its address."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (tmp_path / "work").mkdir()
    nbformat.write(notebook, tmp_path / "work" / "views.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = {name: str(tmp_path / name.lower()) for name in ("HOME", "IPYTHONDIR")}
    home |= {f"JUPYTER_{n}_DIR": str(tmp_path / n.lower()) for n in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--IdentityProvider.token=token", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={tmp_path / 'work'}"]
    process = subprocess.Popen(
        command,
        env={**os.environ, **home},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(lambda: urllib.request.urlopen(f"{address}/api?token=token", timeout=2).read())
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait_for(attempt: Any, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            found = attempt()
        except OSError:
            found = None
        if found or time.monotonic() > end:
            assert found, "nothing came in time"
            return found
        time.sleep(0.2)


def _kernel_is_idle(server: str) -> bool:
    with urllib.request.urlopen(f"{server}/api/kernels?token=token") as answer:
        kernels = json.load(answer)
    return bool(kernels) and all(
        k["connections"] and k["execution_state"] == "idle" for k in kernels
    )


def test_every_view_renders(server: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    outside: list[str] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1300, "height": 6000})
        local = (server, "data:", "blob:", "about:")
        page.on("request", lambda r: r.url.startswith(local) or outside.append(r.url))
        page.on("console", lambda m: m.type == "error" and errors.append(m.text))
        page.goto(f"{server}/lab/tree/views.ipynb?token=token&reset")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
        _wait_for(lambda: _kernel_is_idle(server))
        page.wait_for_timeout(500)
        page.click(".lm-MenuBar-item:has-text('Run')")
        page.click("[data-command='runmenu:run-all']")
        page.wait_for_function(
            "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]"
            ".every(p => /\\[\\d+\\]/.test(p.textContent))",
            timeout=120_000,
        )
        page.wait_for_timeout(3000)
        page.screenshot(path=str(tmp_path / "views.png"))
        text = page.inner_text(".jp-NotebookPanel")
        charts = page.locator(".jp-RenderedPlotly").count()
        views = page.locator(".rv-view").count()
        painted = page.locator("canvas.rv-mosaic").count()
        browser.close()
    assert "Traceback" not in text
    assert "javascript error" not in text
    assert not [e for e in errors if "Could not create a view" in e or "TypeError" in e]
    assert views == 4 and painted >= 4  # feature maps; shortcut, branch and sum
    assert charts >= 1  # plotly's own
    assert not [url for url in outside if not url.startswith("ws")]
