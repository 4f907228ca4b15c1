"""One ES module out of a view's several: what anywidget and an exported page load."""

from __future__ import annotations

import functools
import posixpath
import re
from pathlib import Path

FRONTEND = Path(__file__).parent / "frontend"
_IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"(\.{1,2}/[\w./-]+)";[ \t]*\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|const|let|class)", re.MULTILINE)
_NAME = re.compile(
    r"^(?:export )?(?:async )?(?:function\*?|const|let|class) ([\w$]+)", re.MULTILINE
)
# what a function is for is read in the files; every widget would carry it
_COMMENT = re.compile(r"^[ \t]*/\*\*.*?\*/[ \t]*\n", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^export default \{ render: [\w$]+ \};\n?", re.MULTILINE)


@functools.cache
def module_source(name: str) -> str:
    """A view's module with all that it imports, as one text.

    Modules come depth first, each once; their imports and ``export`` keywords are dropped, so that
    top-level names must be unique over all of them. A view's file ends in
    ``export default { render: renderMaps };``; of a view within another, that line goes too.

    Args:
        name: a file of the folder ``frontend``: "feature_maps.js", "explore/screen.js".

    Raises:
        ValueError: no such file, a name defined twice, an import in another form, or no entry.

    Example:
        >>> module_source("feature_maps.js").count("export default {")
        1
    """
    return joined(FRONTEND, name)


@functools.cache
def style_source() -> str:
    """The style sheet of all views: style.css, then the others of the folder."""
    files = sorted(FRONTEND.rglob("*.css"), key=lambda file: (file.name != "style.css", file.name))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def joined(folder: Path, name: str) -> str:
    """:func:`module_source` for any folder."""
    texts: dict[str, str] = {}
    _collect(folder, name, texts)
    owners: dict[str, str] = {}
    for file, text in texts.items():
        for found in _NAME.findall(text):
            if owners.setdefault(found, file) != file:
                raise ValueError(
                    f"module_source: {found} is in {owners[found]} and in {file}; one name each."
                )
    entries = _ENTRY.findall(texts[name])
    if len(entries) != 1:
        raise ValueError(
            f"module_source: {name} must end in 'export default {{ render: renderIt }};', once."
        )
    text = "\n".join(_EXPORT.sub("", _ENTRY.sub("", part)) for part in texts.values())
    if re.search(r"^import\b|^export\b", text, re.MULTILINE):
        raise ValueError(
            f'module_source: {name}; imports as import {{ a }} from "./x.js"; and exports in front '
            "of function, const, let or class would be right."
        )
    return f"{text}\n{entries[0].rstrip()}\n"


def _collect(folder: Path, name: str, texts: dict[str, str], above: tuple[str, ...] = ()) -> None:
    if name in above:
        raise ValueError(f"module_source: {' imports '.join((*above, name))}; no circles.")
    if name in texts:
        return
    file = folder / name
    if not file.is_file():
        raise ValueError(f"module_source: no {name} in {folder.name}.")
    text = file.read_text(encoding="utf-8")
    for inner in _IMPORT.findall(text):
        _collect(folder, _resolved(name, inner), texts, (*above, name))
    texts[name] = _COMMENT.sub("", _IMPORT.sub("", text))


def _resolved(importer: str, path: str) -> str:
    """What a file means by "./x.js" or "../x.js", seen from the folder of all."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), path))
