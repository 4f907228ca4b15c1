"""Write the messages of resviz/views/widgets/messages.py as TypeScript: `make messages`.

tests/views/test_messages.py compares; `npm run types` checks what the JavaScript sends.
"""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from resviz.views.widgets import messages

FILE = Path(messages.__file__).parent / "frontend" / "message_types.d.ts"
HEAD = "// Written from resviz/views/widgets/messages.py by `make messages`; change it there.\n\n"
HEAD += "/** What JSON holds; each view says what is in it. */\n"
HEAD += "export type Meta = Record<string, ReturnType<typeof JSON.parse>>;\n"
NAMES = {int: "number", float: "number", str: "string", bool: "boolean", type(None): "null"}
UNIONS = ("FromBrowser", "ToBrowser")


def typescript() -> str:
    """All messages, as the file should be."""
    named = [each for each in vars(messages).values() if is_typeddict(each)]
    unions = [f"export type {name} = {written(getattr(messages, name))};\n" for name in UNIONS]
    return "\n".join([HEAD, *map(interface, named), *unions])


def interface(message: Any) -> str:
    own = message.__dict__.get("__doc__") or ""
    words = re.sub(":[a-z]+:", "", own)
    doc = "" if not own or own.startswith("dict(") else f"/** {words} */\n"
    lines = "".join(map(field, *fields(message)))
    return f"{doc}export interface {message.__name__} {{\n{lines}}}\n"


def fields(message: Any) -> tuple[list[str], list[Any]]:
    found = get_type_hints(message, include_extras=True)
    return list(found), list(found.values())


def field(name: str, kind: Any) -> str:
    if get_origin(kind) is NotRequired:
        return f"  {name}?: {written(get_args(kind)[0])};\n"
    return f"  {name}: {written(kind)};\n"


def written(kind: Any) -> str:
    """A type of Python in TypeScript."""
    if kind in NAMES:
        return NAMES[kind]
    if kind == messages.Meta:
        return "Meta"
    if is_typeddict(kind):
        return str(kind.__name__)
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return " | ".join(f'"{each}"' for each in inner)
    if get_origin(kind) is list:
        return f"{written(inner[0])}[]"
    if isinstance(kind, types.UnionType) or get_origin(kind) is not None:
        return " | ".join(map(written, inner))
    raise TypeError(f"{kind} has no name in TypeScript")


if __name__ == "__main__":
    FILE.write_text(typescript(), encoding="utf-8")
