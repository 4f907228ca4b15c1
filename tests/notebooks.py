"""Check and execute the notebooks.

    python tests/notebooks.py                      # all of notebooks/
    python tests/notebooks.py notebooks/01_feature_maps.ipynb --keep folder

Each must be committed without outputs, with the kernel python3, cells of at most 15 lines and no
`def` or `class`. Then it is run from top to bottom in a fresh kernel, in its own folder, two
notebooks at a time (`--jobs`), which share the cores. `--keep` saves the executed copies to look
at.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
LINES = 15
SECONDS = 300


def all_notebooks() -> list[Path]:
    """The notebooks of the project, in reading order."""
    return sorted(FOLDER.glob("*.ipynb"))


def problems(path: Path) -> list[str]:
    """What a notebook must not have, one line each."""
    import nbformat  # here and below: its schemas take 2 s to import

    notebook = nbformat.read(path, as_version=4)
    found = []
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append(f"{path.name}: no kernelspec python3; JupyterLab would ask for a kernel first")
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        where = f"{path.name}, cell {number}"
        if cell.outputs or cell.execution_count is not None:
            found.append(f"{where}: has outputs; clear them before committing")
        lines = cell.source.strip().splitlines()
        if len(lines) > LINES:
            found.append(
                f"{where}: {len(lines)} lines; {LINES} at most, the rest belongs in resviz"
            )
        found += [
            f"{where}: defines {name}; it belongs in resviz" for name in _defined(cell.source)
        ]
    return found


def _defined(source: str) -> list[str]:
    """Functions and classes that a cell defines; lines of IPython magic are left out."""
    python = "\n".join(
        "pass" if line.startswith(("%", "!")) else line for line in source.splitlines()
    )
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in ast.walk(ast.parse(python)) if isinstance(node, kinds)]


def execute(path: Path, keep: Path | None = None) -> None:
    """Run every cell in a fresh kernel; an error in a cell is raised here."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    finally:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, keep / path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the executed copies")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (2)")
    options = parser.parse_args()
    paths = options.notebooks or all_notebooks()
    found = [line for path in paths for line in problems(path)]
    if found:
        sys.exit("\n".join(found))
    with tempfile.TemporaryDirectory() as home:
        # a kernel without the user's own start-up files and settings
        os.environ.update(IPYTHONDIR=home, JUPYTER_CONFIG_DIR=home, JUPYTER_RUNTIME_DIR=home)
        threads = max(1, (os.cpu_count() or 1) // options.jobs)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        with ThreadPoolExecutor(options.jobs) as pool:
            try:
                # the last ones take longest: where they begin first, no process waits for one
                list(pool.map(lambda path: _timed(path, options.keep), reversed(paths)))
            finally:
                pool.shutdown(cancel_futures=True)
    print(f"{len(paths)} notebooks executed")


def _timed(path: Path, keep: Path | None) -> None:
    start = time.perf_counter()
    execute(path.resolve(), keep)
    print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
