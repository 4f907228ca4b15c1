"""No file of resviz but torch_private.py uses what another package keeps for itself.

Read from the source: names with one leading underscore, on anything that is not the class's own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import anywidget
import plotly.graph_objects as go
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "resviz").rglob("*.py"))
ALLOWED = "resviz/torch_private.py"
# names that look private and are documented: IPython's, collections.namedtuple's, anywidget's
PROMISED = {"_repr_mimebundle_", "_fields", "_esm", "_css"}
BY_NAME = {
    "getattr",
    "setattr",
    "hasattr",
    "delattr",
    "attrgetter",
    "__setattr__",
    "__getattribute__",
}


def private(name: str) -> bool:
    dunder = name.startswith("__") and name.endswith("__")
    return name.startswith("_") and not dunder and name != "_" and name not in PROMISED


def foreign_names() -> set[str]:
    """Private names of the objects that resviz handles: a class here may have one like them."""
    leaf = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([leaf], lr=1.0)
    things = (nn.Linear(1, 1), Tensor, (leaf * 2).grad_fn, optimizer, go.Figure, TorchFunctionMode)
    return {
        name for thing in (*things, anywidget.AnyWidget) for name in dir(thing) if private(name)
    }


FOREIGN = foreign_names()


def defined_in(tree: ast.AST) -> set[str]:
    """Private names of the classes of a file: methods, fields, what they assign to self."""
    names: set[str] = set()
    for owner in ast.walk(tree):
        if not isinstance(owner, ast.ClassDef):
            continue
        for node in owner.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names |= {node.name, *assigned(node)}
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if private(name)}


def assigned(method: ast.AST) -> set[str]:
    """What a method assigns to self."""
    return {
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and own(node.value)
    }


def own(value: ast.expr) -> bool:
    """True for ``self``, ``cls`` and ``super()``."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def uses(tree: ast.AST) -> Iterator[tuple[ast.AST, str, bool]]:
    """(where, a private name, whether of self) for each name that is used."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            yield node, node.attr, own(node.value)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            parts = [part for alias in node.names for part in alias.name.split(".")]
            parts += (getattr(node, "module", None) or "").split(".")
            yield from ((node, part, False) for part in parts if private(part))
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            of_self = bool(node.args) and own(node.args[0])
            for given in node.args if name in BY_NAME else ():
                if isinstance(given, ast.Constant) and private(str(given.value)):
                    yield node, str(given.value), of_self


def faults(tree: ast.AST, here: set[str], known: set[str]) -> list[str]:
    """Private names in a file that neither its classes (`here`) nor `known` ones define."""
    of_self, of_others = here | (known - FOREIGN), here - FOREIGN
    return [
        f"line {node.lineno}: {ast.unparse(node).splitlines()[0]}"
        for node, name, mine in uses(tree)
        if name not in (of_self if mine else of_others)
    ]


@pytest.mark.thorough
def test_only_torch_private_uses_what_others_keep_for_themselves():
    trees = {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text()) for file in FILES}
    here = {name: defined_in(tree) for name, tree in trees.items()}
    known = set().union(*here.values())
    found = [
        f"{name}, {fault}"
        for name, tree in trees.items()
        if name != ALLOWED
        for fault in faults(tree, here[name], known)
    ]
    assert found == [], "give it a name in resviz/torch_private.py, and a test"


def faults_of(line: str) -> list[str]:
    tree = ast.parse(f"{OWN_CLASS}\n{line}\n")
    return faults(tree, defined_in(tree), {"_head", "_buffers"})


OWN_CLASS = "class Mine:\n    def __init__(self):\n        self._buffers, self._head = [], 1\n"


@pytest.mark.parametrize(
    "line",
    [
        "tensor._version",
        "torch._C.DisableTorchFunction()",
        "module._buffers",
        "figure._data",
        "from torch.nn.modules.batchnorm import _BatchNorm",
        "from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR",
        "import torch._dynamo",
        "getattr(module, '_compiled_call_impl', None)",
        "hasattr(net, '_modules')",
        "object.__setattr__(net, '_modules', {})",
        "other._unknown",
        "class Net(nn.Module):\n    def f(self): return self._modules",
        "class View(AnyWidget):\n    def f(self): return super()._get_embed_state()",
    ],
    ids=lambda line: line.split("\n")[0],
)
def test_a_private_name_is_found(line: str):
    assert "_modules" in FOREIGN and "_version" in FOREIGN and "_buffers" in FOREIGN
    assert len(faults_of(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "other._head",
        "tensor.__class__",
        "hasattr(value, '_fields')",
        "from __future__ import annotations",
        "class Other(Mine):\n    def f(self): return self._head",
        "class Held:\n    _rows: int = 1\n    def f(self, other): return other._rows",
    ],
    ids=lambda line: line.split("\n")[0],
)
def test_an_own_name_is_not(line: str):
    assert faults_of(line) == []
