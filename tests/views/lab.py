"""A real JupyterLab with one notebook of the views, driven in Chromium."""

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from views.browsing import FRAMES, View, watch

SAMPLES = Path(__file__).parents[2] / "sample_images"
PHOTOGRAPHS = ("chelsea.png", "rocket.jpg")
CELLS = [
    "import resviz as rv\n"
    "net = rv.load_model('cifar10-resnet20', device='cpu')\n"
    f"images = rv.load_images({list(PHOTOGRAPHS)}, net)\n"
    "kept = ['layer1.0.add:' + part for part in ('branch', 'shortcut', 'sum')]\n"
    "rec = rv.record(net, images, keep=['blocks', *kept])\n"
    "exp = rv.explain(net, images, layers='layer3.2')",
    "maps = rv.explore_feature_maps(rec, explanation=exp)\nmaps",
    "anatomy = rv.explore_residuals(rec)\nanatomy",
    "depths = rv.explore_gradients({'ResNet-20': rec})\ndepths",
    "reasons = rv.explore_explanation(net, images)\nreasons",
    "rv.plot_depth_profile(rec)",
    "None  # what Lab.execute fills",
]
VIEWS = ("feature_maps", "residuals", "gradients", "explanation")
SHOWN = "(maps, anatomy, depths, reasons)"
ALL_RUN = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
  .every((prompt) => /\\[\\d+\\]/.test(prompt.textContent))"""
ALL_DRAWN = """() => document.querySelectorAll('.rv-view').length === 4
  && [...document.querySelectorAll('canvas.rv-mosaic')].filter((one) => one.width > 1).length >= 4
  && document.querySelectorAll('.rv-depth-svg g path').length >= 5
  && document.querySelector('.rv-classes button')"""
EXECUTE = """async (code) => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = notebook.widgets.length - 1;
  notebook.activeCell.model.sharedModel.setSource(code);
  await window.jupyterapp.commands.execute('notebook:run-cell');
  const said = notebook.activeCell.model.outputs.toJSON();
  return said.map((one) => one.text ?? (one.traceback ?? []).join('\\n')).join('');
}"""
START = """(code) => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = notebook.widgets.length - 1;
  notebook.activeCell.model.sharedModel.setSource(code);
  void window.jupyterapp.commands.execute('notebook:run-cell');
}"""
CELLS_NOW = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .map((cell) => `${cell.model.id} ${cell.model.type}`)"""


def wait_for(attempt: Callable[[], Any], seconds: float = 60) -> Any:
    """What `attempt` gives as soon as it is true; OSError counts as not yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = attempt()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("nothing came in time")


def write_notebook(path: Path) -> None:
    import nbformat  # its schemas take 2 s to import, in every process

    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)


@contextmanager
def started_server(folder: Path) -> Iterator[str]:
    """JupyterLab on this machine's loopback, at home in `folder`; its address.

    Notebooks lie in folder/work.
    """
    (folder / "work").mkdir()
    for name in PHOTOGRAPHS:
        shutil.copy(SAMPLES / name, folder / "work")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = {name: str(folder / name.lower()) for name in ("HOME", "IPYTHONDIR")}
    home |= {f"JUPYTER_{n}_DIR": str(folder / n.lower()) for n in ("CONFIG", "DATA", "RUNTIME")}
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    news = {"fetchNews": "false", "checkForUpdates": False}
    (quiet / "notification.jupyterlab-settings").write_text(json.dumps(news), encoding="utf-8")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--IdentityProvider.token=token", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={folder / 'work'}", "--expose-app-in-browser"]
    command += [f"--LabApp.user_settings_dir={folder / 'settings'}"]
    process = subprocess.Popen(
        command,
        env={**os.environ, **home},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: urllib.request.urlopen(f"{address}/api?token=token", timeout=2).read())
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


class Lab:
    """The open notebook, every cell run.

    `wrong` holds what it said and asked for that it should not, `asked` what views sent to the
    kernel. A test that leaves the kernel without its variables says so: `forgotten`.
    """

    def __init__(self, chromium: Any, server: str, folder: Path) -> None:
        self.server = server
        self.notebook = folder / "work" / "views.ipynb"
        self.context = chromium.new_context(viewport={"width": 1300, "height": 1000})
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.forgotten = False
        self.page = self._opened()

    def _opened(self) -> Any:
        write_notebook(self.notebook)
        page = self.context.new_page()
        page.set_default_timeout(10_000)
        watch(page, self.wrong, (self.server, "data:", "blob:", "about:"))
        page.on("websocket", self._listen)
        page.goto(f"{self.server}/lab/tree/views.ipynb?token=token&reset")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
        wait_for(self._is_idle)  # the page says so before there is a kernel
        page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.content?.widgets")
        page.wait_for_timeout(300)
        page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(ALL_RUN, timeout=120_000)
        page.wait_for_function(ALL_DRAWN, timeout=30_000)
        page.evaluate(EXECUTE, "starts = [(one, one.selection) for one in " + SHOWN + "]")
        return page

    def _listen(self, socket: Any) -> None:
        local = self.server.replace("http", "ws")
        if not socket.url.startswith(local):
            self.wrong.append(socket.url)
        socket.on("framesent", self._sent)

    def _sent(self, frame: str | bytes) -> None:
        text = frame if isinstance(frame, str) else frame.decode("utf-8", "ignore")
        if '"type":"ask"' in text:
            self.asked.append(text)

    def refresh(self) -> None:
        """As at the start: open again where a test left it without its kernel or a view."""
        if (
            self.forgotten
            or not self.kernels()
            or self.page.locator(".rv-view").count() != len(VIEWS)
        ):
            self.page.close()
            self.page = self._opened()
        else:
            self.execute("for one, start in starts: one.selection = start")
        self.forgotten = False
        self.wrong.clear()

    def kernels(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.server}/api/kernels?token=token") as answer:
            return list(json.load(answer))

    def _is_idle(self) -> bool:
        kernels = self.kernels()
        return bool(kernels) and all(
            k["connections"] and k["execution_state"] == "idle" for k in kernels
        )

    def command(self, name: str, **options: Any) -> None:
        """Run a command of JupyterLab."""
        self.page.evaluate("([n, o]) => window.jupyterapp.commands.execute(n, o)", [name, options])

    def execute(self, code: str) -> str:
        """Run code in the last cell, out of sight of the views; what it printed."""
        return str(self.page.evaluate(EXECUTE, code))

    def start(self, code: str) -> None:
        """Run code in the last cell and do not wait for its end."""
        self.page.evaluate(START, code)

    def cells(self) -> list[str]:
        """Id and type of every cell."""
        return list(self.page.evaluate(CELLS_NOW))

    def view(self, name: str) -> View:
        """A view, scrolled into sight."""
        view = View(self.page, self.page.locator(".rv-view").nth(VIEWS.index(name)))
        view.at.scroll_into_view_if_needed()
        self.page.evaluate(FRAMES)
        return view

    def text(self) -> str:
        return str(self.page.inner_text(".jp-NotebookPanel"))
