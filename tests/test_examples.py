"""Every `>>>` example in the docstrings of resviz/ does what it says, and leaves nothing behind."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
OWNERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """Dotted name and docstring of everything in a module that has an example."""
    inner = name
    if isinstance(node, OWNERS):
        inner = name if isinstance(node, ast.Module) else f"{name}.{node.name}"
        text = ast.get_docstring(node) or ""
        if ">>> " in text:
            yield inner, text
    for child in ast.iter_child_nodes(node):
        yield from docstrings(child, inner)


def examples() -> list[object]:
    """A case per docstring with an example; read from the source, which imports nothing."""
    return [
        pytest.param(module_of(path), name, text, id=name)
        for path in sorted((ROOT / "resviz").rglob("*.py"))
        if ">>> " in (source := path.read_text(encoding="utf-8"))
        for name, text in docstrings(ast.parse(source), module_of(path))
    ]


EXAMPLES = examples()


def global_state() -> tuple[object, ...]:
    variables = {k: v for k, v in os.environ.items() if k[:4] != "KMP_"}  # set by scikit-learn
    torch_state = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    return (*torch_state, os.getcwd(), variables)


@pytest.mark.thorough
@pytest.mark.parametrize(("module", "name", "text"), EXAMPLES)
def test_example(
    module: str, name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("torch._dynamo")  # makes a folder for temporary files, once
    names = dict(vars(importlib.import_module(module)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = global_state()
    example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    told: list[str] = []
    failed, tried = doctest.DocTestRunner().run(example, out=told.append)
    assert failed == 0, "".join(told)
    assert tried or all(doctest.SKIP in one.options for one in example.examples)
    assert global_state() == before
    assert list(tmp_path.iterdir()) == [], "the example leaves files behind"


def test_every_example_is_run() -> None:
    """Also those that stand in no docstring would be found here: none may."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "resviz").rglob("*.py")]
    run = sum(case.values[2].count(">>> ") for case in EXAMPLES)  # type: ignore[attr-defined]
    assert run == sum(source.count(">>> ") for source in sources) > 200
