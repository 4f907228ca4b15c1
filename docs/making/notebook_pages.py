"""An executed notebook as a page: Markdown, code, and outputs as pictures, tables or text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PRIORITY = ["image/png", "text/html", "text/markdown", "text/plain"]


def notebook_files(path: Path) -> tuple[str, str, list[tuple[str, str | bytes | Path]]]:
    """Title, first sentence, and the files of the page: Markdown first, then its pictures."""
    import nbformat
    from nbconvert.exporters import MarkdownExporter
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_bar(output)]
    how = Config({"NbConvertBase": {"display_data_priority": PRIORITY}})
    text, more = MarkdownExporter(config=how).from_notebook_node(notebook)
    pictures = {f"{path.stem}_{name}": data for name, data in more["outputs"].items()}
    for name in more["outputs"]:
        text = text.replace(f"]({name})", f"]({path.stem}_{name})")
    text = _without_styles(text)
    title = _first(re.findall(r"^# (.+)$", text, re.M), path.stem)
    files: list[tuple[str, Any]] = [(f"notebooks/{path.stem}.md", text)]
    files += [(f"notebooks/{name}", data) for name, data in pictures.items()]
    return title, _about(text), files


def is_bar(output: dict[str, Any]) -> bool:
    """True for a progress bar: it is closed, and its text is of the moment when it was shown."""
    said = "".join(output.get("data", {}).get("text/plain", ""))
    return re.search(r"\d+%\|.*\|", said) is not None


def _without_styles(text: str) -> str:
    """Tables of pandas bring style sheets of their own, which know no dark theme."""
    text = re.sub(r"<style scoped>.*?</style>\n?", "", text, flags=re.S)
    return text.replace('border="1" class="dataframe"', 'class="dataframe"')


def _about(text: str) -> str:
    body = re.sub(r"^#.*$", "", text, flags=re.M).strip()
    sentence = _first(re.findall(r"(?s)^(.+?[.?!])(?=\s+[A-Z`*]|\s*$)", body), "")
    return " ".join(sentence.split())


def _first(found: list[str], default: str) -> str:
    return found[0] if found else default
