"""Snippets of the pages: what a reader would copy, and the picture that some of them draw.

A picture that follows a snippet, in `docs/pictures/guides/`, is of the figure in its last line:
`python docs/making/pictures.py guides` makes it, tests/test_docs.py draws it again and compares.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

SAMPLES = Path(__file__).resolve().parents[2] / "sample_images"
_SNIPPET = re.compile(
    r"(<!-- not run here: .+? -->\n)?```python[^\n]*\n(.*?)^```"
    r"(?:\n\n!\[[^\]]*\]\(([^)]*pictures/guides/[^)]+)\))?",
    re.M | re.S,
)


class Snippet(NamedTuple):
    """What stands in one fence, and the file of the picture that it draws, if it draws one."""

    code: str
    picture: Path | None


def snippets(path: Path) -> list[Snippet]:
    """Those of a page that run, in order."""
    return [
        Snippet(code, (path.parent / picture).resolve() if picture else None)
        for without, code, picture in _SNIPPET.findall(path.read_text(encoding="utf-8"))
        if not without and "{setup}" not in code
    ]


def furnish(folder: Path) -> None:
    """What snippets find where they run: the sample images, and a folder of class folders."""
    shutil.copytree(SAMPLES, folder / "sample_images")
    for kind, name in (("cat", "chelsea.png"), ("cup", "coffee.png")):
        (folder / "photographs" / kind).mkdir(parents=True)
        shutil.copy(SAMPLES / name, folder / "photographs" / kind)


def run(code: str, where: str, names: dict[str, Any]) -> Any:
    """Runs a snippet among `names`; the value of its last line, where that is an expression."""
    tree = ast.parse(code, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, where, "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), where, "eval"), names)
