"""The public names: they load lazily, all of them exist, and type checkers see the same ones."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import resviz


def run(code: str) -> str:
    """What `code` prints in a fresh interpreter in which warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_alone_loads_nothing_heavy():
    code = "import resviz, sys; print(*(name.partition('.')[0] for name in sys.modules))"
    loaded = set(run(code).split())
    heavy = {"torch", "torchvision", "plotly", "numpy", "pandas", "ipywidgets", "anywidget"}
    assert "resviz" in loaded
    assert not loaded & (heavy | {"captum", "matplotlib", "PIL", "IPython"})


def test_listing_names_loads_nothing_heavy():
    assert run("import resviz, sys; dir(resviz); print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize("name", resviz.__all__)
def test_name_resolves(name: str):
    value = getattr(resviz, name)
    assert value.__name__.rpartition(".")[2] == name
    assert value.__doc__, f"{name} has no docstring"
    assert name in dir(resviz)


@pytest.mark.thorough
def test_networks_is_reached_without_an_import():
    assert (
        run("import resviz as rv; print(rv.networks.cifar.cifar_resnet.__name__)") == "cifar_resnet"
    )


@pytest.mark.thorough
def test_star_import_gives_the_public_names():
    names = run("from resviz import *; print(*sorted(n for n in dir() if n[0] != '_'))").split()
    assert names == sorted(resviz.__all__)


def test_unknown_name_is_an_attribute_error_with_a_suggestion():
    with pytest.raises(AttributeError, match="no attribute 'explian'") as caught:
        resviz.explian  # noqa: B018
    assert caught.value.name == "explian"
    assert caught.value.obj is resviz


STUB = ast.parse(Path(resviz.__file__).with_suffix(".pyi").read_text())
IMPORTS = [node for node in STUB.body if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("node", IMPORTS, ids=lambda node: node.names[0].name)
def test_the_list_names_a_thing_where_it_is_defined(node: ast.ImportFrom):
    (alias,) = node.names
    assert alias.asname == alias.name, "without `as` a type checker takes it for private"
    value = getattr(resviz, alias.name)
    home = f"resviz.{node.module}" if node.module else f"resviz.{alias.name}"
    assert home == getattr(value, "__module__", value.__name__)


def test_there_is_one_list():
    assert sorted(node.names[0].name for node in IMPORTS) == resviz.__all__


def test_version():
    assert metadata.version("resviz") == resviz.__version__


def test_the_package_is_typed():
    assert (Path(resviz.__file__).parent / "py.typed").exists()


def signatures(name: str) -> Iterator[str]:
    """Of a function, and of a class and what it offers."""
    thing = getattr(resviz, name)
    offered = vars(thing).items() if inspect.isclass(thing) else []
    for each in [thing, *(v for k, v in offered if callable(v) and not k.startswith("_"))]:
        with contextlib.suppress(TypeError, ValueError):  # a constant has no signature
            yield str(inspect.signature(each))


@pytest.mark.parametrize("name", resviz.__all__)
def test_a_signature_says_what_it_takes(name: str):
    assert not [text for text in signatures(name) if re.search(r"\bAny\b", text)]
