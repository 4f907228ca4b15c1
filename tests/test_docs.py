"""The pages of the site: every snippet runs, in its page's order; every name has its place."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pictures import difference
from resviz.views import style
from resviz.views.static import static_png

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]


def _making(name: str) -> Any:
    """A module of docs/making."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "making" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = _making("snippets")
WITH_CODE = [path for path in PAGES if pages.snippets(path)]


def no_network(*_: object, **__: object) -> None:
    raise urllib.error.URLError("no network")


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::resviz.ResvizWarning", "ignore:.*IProgress")
@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_snippets_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)  # the fallbacks run
    monkeypatch.setattr(style, "_NETWORKS", {})  # colours as the first figures of a session
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "snippet"}
    for number, (code, picture) in enumerate(pages.snippets(path), 1):
        last = pages.run(code, f"{path.name}, snippet {number}", names)
        if picture is not None:
            drawn = Image.open(io.BytesIO(static_png(last)))
            found = difference(drawn, Image.open(picture))
            assert found < 0.02, f"{found:.3f} of {picture.name} changed; look, then: make pictures"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_snippets_are_python(path: Path) -> None:
    for code, _ in pages.snippets(path):
        ast.parse(code)


def test_every_picture_of_a_guide_stands_under_its_snippet() -> None:
    shown = [picture for path in PAGES for _, picture in pages.snippets(path) if picture]
    assert sorted(shown) == sorted((DOCS / "pictures" / "guides").glob("*.png"))


def test_every_public_name_has_one_place_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "making")
    import reference_groups

    stub = (ROOT / "resviz" / "__init__.pyi").read_text(encoding="utf-8")
    public = re.findall(r"^from \.[\w.]+ import \(?\s*(\w+) as", stub, re.M)
    shown = [name for _, _, names in reference_groups.GROUPS.values() for name in names]
    assert sorted(shown) == sorted(public)
    sys.modules.pop("reference_groups")


def test_the_gallery_has_every_figure_and_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "making")
    import gallery

    stub = (ROOT / "resviz" / "__init__.pyi").read_text(encoding="utf-8")
    public = set(re.findall(r" as ((?:plot|explore)\w*)", stub))
    assert {name for name, *_ in gallery.ENTRIES} == public
    sys.modules.pop("gallery")


def test_a_progress_bar_is_not_on_the_page_of_a_notebook(tmp_path: Path) -> None:
    """What a saved notebook keeps of it is the moment when it was shown: as if it had stopped."""
    import nbformat

    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}}
    bar = view | {"text/plain": "training:  15%|#4        | 4/27 [00:01<00:07,  3.20it/s]"}
    shown = {"text/plain": "a share of 15%"}
    cell = nbformat.v4.new_code_cell("1")
    cell.outputs = [nbformat.v4.new_output("display_data", data) for data in (bar, shown)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# One"), cell])
    nbformat.write(notebook, tmp_path / "one.ipynb")
    title, _, files = _making("notebook_pages").notebook_files(tmp_path / "one.ipynb")
    text = files[0][1]
    assert title == "One" and "a share of 15%" in text and "4/27" not in text
