"""What a view loads in the browser: its bundle and its styles, as ``build.mjs`` made them."""

from __future__ import annotations

import functools
from pathlib import Path

BUILT = Path(__file__).parent / "built"


@functools.cache
def module_source(name: str) -> str:
    """A view's ES module with all that it imports; it ends in ``export default ...;``.

    Args:
        name: a bundle of the folder ``built``: "feature_maps.js", "explore.js".

    Raises:
        ValueError: there is no such bundle.

    Example:
        >>> module_source("feature_maps.js").count("export default ")
        1
    """
    file = BUILT / name
    if not file.is_file():
        known = ", ".join(sorted(path.name for path in BUILT.glob("*.js"))) or "none"
        raise ValueError(
            f"module_source: no {name} in {BUILT.name}; one of these would be right: {known}. "
            "'npm run build' makes them from the sources."
        )
    return file.read_text(encoding="utf-8")


@functools.cache
def style_source(name: str) -> str:
    """The style sheet of a view's module: what all share, and its own where it has one."""
    own = (BUILT / name).with_suffix(".css")
    sheets = [BUILT / "style.css", *([own] if own.is_file() else [])]
    return "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
