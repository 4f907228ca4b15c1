"""The rules for notebooks hold, and the check of them bites."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks import all_notebooks, execute, problems


def write(folder: Path, *sources: str, kernel: str | None = "python3") -> Path:
    import nbformat  # here and below: its schemas take 2 s to import, in every process
    from nbformat import v4

    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
    if kernel is not None:
        notebook.metadata.kernelspec = {"name": kernel, "display_name": "Python 3"}
    path = folder / "one.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.mark.thorough  # `make notebooks` asks the same before it runs them
@pytest.mark.parametrize("path", all_notebooks(), ids=lambda path: path.name)
def test_notebook_keeps_the_rules(path: Path):
    assert problems(path) == []


def test_a_good_notebook_has_no_problems(tmp_path):
    assert problems(write(tmp_path, "%matplotlib inline\nx = 1", "defined = [x]\nclassy = x")) == []


@pytest.mark.parametrize(
    "source, problem",
    [
        ("x = 1\n" * 16, "16 lines"),
        ("if True:\n    def f(): pass", "defines f"),
        ("class C: pass", "defines C"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, source, problem):
    (line,) = problems(write(tmp_path, "x = 1", source))
    assert line.startswith("one.ipynb, cell 1: ") and problem in line


def test_outputs_are_refused(tmp_path):
    path = write(tmp_path, "1 + 1")
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].execution_count = 1
    nbformat.write(notebook, path)
    assert problems(path) == ["one.ipynb, cell 0: has outputs; clear them before committing"]


def test_a_missing_kernel_is_refused(tmp_path):
    assert problems(write(tmp_path, "x = 1", kernel=None))[0].startswith("one.ipynb: no kernelspec")


@pytest.mark.thorough
def test_an_error_in_a_cell_is_raised(tmp_path):
    with pytest.raises(Exception, match="ZeroDivisionError"):
        execute(write(tmp_path, "1 / 0"))


@pytest.mark.thorough
def test_the_executed_copy_is_kept_and_the_notebook_is_untouched(tmp_path):
    path = write(tmp_path, "1 + 1")
    execute(path, keep=tmp_path / "kept")
    assert problems(path) == []
    import nbformat

    (cell,) = nbformat.read(tmp_path / "kept" / "one.ipynb", as_version=4).cells
    assert cell.outputs[0]["data"]["text/plain"] == "2"
