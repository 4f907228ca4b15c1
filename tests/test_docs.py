"""The pages of the site: every snippet runs, in its page's order; every name has its place."""

from __future__ import annotations

import ast
import re
import shutil
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
SNIPPET = re.compile(r"(<!-- not run here: .+? -->\n)?```python[^\n]*\n(.*?)^```", re.M | re.S)


def snippets(path: Path) -> list[str]:
    """What a reader would copy, without what says that it does not run here."""
    found = SNIPPET.findall(path.read_text(encoding="utf-8"))
    return [code for without, code in found if not without and "{setup}" not in code]


WITH_CODE = [path for path in PAGES if snippets(path)]


def no_network(*_: object, **__: object) -> None:
    raise urllib.error.URLError("no network")


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::resviz.ResvizWarning", "ignore:.*IProgress")
@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_snippets_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "sample_images", tmp_path / "sample_images")
    for kind, name in (("cat", "chelsea.png"), ("cup", "coffee.png")):
        (tmp_path / "photographs" / kind).mkdir(parents=True)
        shutil.copy(ROOT / "sample_images" / name, tmp_path / "photographs" / kind)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)  # the fallbacks run
    names: dict[str, Any] = {"__name__": "snippet"}
    for number, code in enumerate(snippets(path), 1):
        exec(compile(code, f"{path.name}, snippet {number}", "exec"), names)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_snippets_are_python(path: Path) -> None:
    for code in snippets(path):
        ast.parse(code)


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
