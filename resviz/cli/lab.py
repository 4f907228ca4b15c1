"""``resviz lab``: the notebooks in a folder of one's own, and JupyterLab on it."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata

from resviz.cli.console import Console, Stop, result
from resviz.cli.files import whole_file

FIRST = "notebooks/01_feature_maps.ipynb"
# folder -> files of it that a user needs; the notebooks read ../sample_images
_WANTED = {"notebooks": (".ipynb",), "sample_images": (".png", ".jpg")}
_SHIPPED = ("share", "resviz")


def run(options: argparse.Namespace, console: Console) -> int:
    """Copy, then run JupyterLab there until it ends; its exit code."""
    if not options.copy_only and importlib.util.find_spec("jupyterlab") is None:
        raise Stop(
            f"no JupyterLab in {sys.prefix}; it comes with resviz[lab]."
            f' {sys.executable} -m pip install "resviz[lab]" brings it. Or --copy-only.'
        )
    copy(options.folder, console)
    if options.copy_only:
        return 0
    # a notebook as the argument would make its own folder the root, without the photographs
    command = [sys.executable, "-m", "jupyterlab"]
    command += [f"--ServerApp.root_dir={options.folder.resolve()}"]
    command += [f"--LabApp.default_url=/lab/tree/{FIRST}"]
    command += ["--no-browser"] if options.no_browser else []
    command += [f"--port={options.port}"] if options.port else []
    code = _run([*command, *options.jupyter], options.folder)
    if code == 1 and _is_root() and "--allow-root" not in options.jupyter:
        console.note(
            "JupyterLab does not run as root; --jupyter=--allow-root lets it, in a container."
        )
    return code


# ---- copying
def shipped() -> dict[str, pathlib.Path]:
    """Where each file lies in this installation, by its name, "notebooks/01_feature_maps.ipynb"."""
    root = pathlib.Path(__file__).resolve().parents[2]
    if (root / FIRST).is_file() and (root / "pyproject.toml").is_file():
        candidates = [file for folder in _WANTED for file in (root / folder).iterdir()]
    else:
        candidates = _installed()
    found = {
        f"{file.parent.name}/{file.name}": file
        for file in sorted(candidates)
        if file.suffix in _WANTED[file.parent.name] and file.is_file()
    }
    if FIRST not in found:
        raise Stop(
            "no notebooks in this installation of resviz; those of a wheel or of a checkout."
            " Install resviz again, or clone it and `make lab`."
        )
    return found


def _installed() -> list[pathlib.Path]:
    """Files under share/resviz, wherever the installer put that folder."""
    try:
        listed = metadata.files("resviz") or []
    except metadata.PackageNotFoundError:
        return []
    return [
        pathlib.Path(str(file.locate())).resolve()
        for file in listed
        if file.parts[-4:-2] == _SHIPPED and file.parts[-2] in _WANTED
    ]


def copy(folder: pathlib.Path, console: Console) -> None:
    """Copy what is not there yet; a file that differs is the user's own, and stays."""
    sources = shipped()
    if folder.exists() and not folder.is_dir():
        raise Stop(f"{str(folder)!r} is a file; the name of a folder.")
    kept = []
    for name, source in sources.items():
        target = folder / name
        if target.exists():
            if target.is_dir() or target.read_bytes() != source.read_bytes():
                kept.append(name)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target, force=False) as part:
            shutil.copyfile(source, part)
        result(target)
    if kept:
        console.note(
            f"kept as they are in {str(folder)!r}, though they differ from this version's:"
            f" {', '.join(kept)}. Delete or rename them to get those."
        )


# ---- running
def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _run(command: list[str], folder: pathlib.Path) -> int:
    process = subprocess.Popen(command, cwd=folder)
    try:
        with _passing_signals_on(process):
            code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _passing_signals_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Signals go to `process`, which ends in its own way.

    Ctrl-C on a terminal reaches both; JupyterLab asks whether to stop, and a second interrupt
    would not wait for the answer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _: object) -> None:
        if sys.stdin is None or not sys.stdin.isatty():
            process.send_signal(number)

    def pass_on(number: int, _: object) -> None:
        process.send_signal(number)

    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: pass_on}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = pass_on
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
