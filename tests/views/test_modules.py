"""The bundles of the views, and node's own tests of the modules that need no DOM."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from resviz.views.widgets.modules import module_source, style_source
from views.sources import BUILT, FRONTEND, ROOT, built_hash, sources_hash

NODE = shutil.which("node")
LIBRARIES = ROOT / "node_modules"
TESTS = sorted((Path(__file__).parents[1] / "frontend").glob("*.test.mjs"))
VIEWS = sorted(file.name for file in BUILT.glob("*.js"))
HTML = ("innerHTML", "outerHTML", "insertAdjacentHTML", ".html(")
needs_node = pytest.mark.skipif(NODE is None, reason="no node")


def test_the_bundles_are_what_the_sources_give() -> None:
    """Without npm, too: the build says what it read and what it wrote."""
    known = json.loads((BUILT / "hashes.json").read_text(encoding="utf-8"))
    assert known == {"sources": sources_hash(), "built": built_hash()}, (
        "the bundles are not those of the sources: npm ci && npm run build"
    )


@needs_node
@pytest.mark.thorough
@pytest.mark.skipif(not LIBRARIES.is_dir(), reason="no node_modules; npm ci")
def test_the_build_gives_the_same_again() -> None:
    command = [str(NODE), "build.mjs", "--check"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    frontend = tmp_path / "frontend"
    shutil.copytree(FRONTEND, frontend)
    assert sources_hash(frontend) == sources_hash()
    shell = frontend / "shell.js"
    shell.write_text(shell.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert sources_hash(frontend) != sources_hash()


def test_every_view_has_a_bundle() -> None:
    ends = [
        file
        for file in FRONTEND.rglob("*.js")
        if "\nexport default " in file.read_text(encoding="utf-8")
    ]
    assert len(ends) == len(VIEWS) >= 5
    with pytest.raises(ValueError, match=r"no gone.js in built; one of these .*gradients.js"):
        module_source("gone.js")


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_one_module_without_network(name: str) -> None:
    text = module_source(name)
    assert text.count("export default ") == 1
    assert not re.search(r"\bimport\b *[({\"'*]|sourceMappingURL", text)
    for forbidden in ("</script", "<!--", "eval("):
        assert forbidden not in text, forbidden
    addresses = text.replace("http://www.w3.org/", "")
    assert "http://" not in addresses and "https://" not in addresses
    # both are in the state of every widget
    assert len(text) + len(style_source(name)) < 180_000


def test_no_view_makes_nodes_of_text() -> None:
    """d3-selection could, in ``.html()``: nobody calls it."""
    for file in FRONTEND.rglob("*.js"):
        written = file.read_text(encoding="utf-8")
        assert not any(word in written for word in HTML), file.name
    for name in ("explanation.js", "explore.js", "feature_maps.js"):  # without d3
        assert not any(word in module_source(name) for word in HTML), name


@needs_node
@pytest.mark.parametrize("name", VIEWS)
def test_every_view_parses(name: str, tmp_path: Path) -> None:
    (tmp_path / "view.mjs").write_text(module_source(name), encoding="utf-8")
    script = f'const m = await import("{(tmp_path / "view.mjs").as_uri()}");'
    script += 'if (typeof m.default.render !== "function") process.exit(3);'
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_style_begins_with_the_shared_sheet() -> None:
    for name in VIEWS:
        style = style_source(name)
        assert style.startswith(".rv-view{--rv-back:")
        assert "url(" not in style and "@import" not in style
        assert (".rv-atlas" in style) == (name == "atlas.js")


@needs_node
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_node(file: Path) -> None:
    done = subprocess.run(
        [str(NODE), "--test", str(file)], capture_output=True, text=True, timeout=120, check=False
    )
    said = done.stdout[-3000:] + done.stderr[-1000:]
    if not LIBRARIES.is_dir() and "Cannot find package 'd3-" in said:
        pytest.skip("no node_modules; npm ci")
    assert done.returncode == 0, said


def test_node_has_tests() -> None:
    assert TESTS and VIEWS
