"""Docstrings as Markdown: links for ``:func:`resviz.x``` and code for ``double ticks``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from griffe import Extension, Object

STUB = Path(__file__).resolve().parents[2] / "resviz" / "__init__.pyi"
_IMPORT = re.compile(r"^from \.([\w.]+) import \(?\s*(\w+) as (\w+)", re.M)
_ROLE = re.compile(r":(?:func|class|mod|meth|attr|data|exc):`~?([\w.]+)`")
_CODE = re.compile(r"``(.+?)``")
_ADDRESS = re.compile(r"(?<![(<\w/])(https?://[^\s)>,]+[^\s)>,.;:])")


def public_names() -> dict[str, str]:
    """Public name to the dotted path where it is defined, in the order of the stub."""
    found = _IMPORT.findall(STUB.read_text(encoding="utf-8"))
    return {name: f"resviz.{module}.{there}" for module, there, name in found}


PATHS = public_names()


class Docstrings(Extension):
    """griffe asks it for each object that it has read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring of the project, for griffe's reader of Google style."""
    lines = []
    for line in text.splitlines():
        if re.fullmatch(r"\s*Example:", line):
            line = line.replace("Example:", "Examples:")
        elif not line.lstrip().startswith((">>>", "...")):
            line = _ROLE.sub(lambda found: _link(found[1]), line)
            line = _CODE.sub(r"`\1`", line)
            line = _ADDRESS.sub(r"<\1>", line)
        lines.append(line)
    return "\n".join(lines)


def _link(name: str) -> str:
    public, _, member = name.removeprefix("resviz.").partition(".")
    if name.startswith("resviz.") and public in PATHS:
        path = PATHS[public] + (f".{member}" if member else "")
        return f"[`rv.{public}{'.' + member if member else ''}`][{path}]"
    bare = name.rpartition(".")[2]
    return f"[`rv.{bare}`][{PATHS[bare]}]" if bare in PATHS else f"`{bare}`"
