"""Pages of the site that are made from what stands elsewhere; mkdocs calls `on_files`.

- reference: a page for each group of public names of `resviz/__init__.pyi`;
- gallery: what `gallery.py` wrote to build/gallery;
- notebooks: with their outputs, as `make notebooks KEEP=build/notebooks` left them;
- ARCHITECTURE.md, CONTRIBUTING.md, CHANGELOG.md, RESULTS.md and the weights' card, links put right.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from docstrings import PATHS  # noqa: E402
from notebook_pages import notebook_files  # noqa: E402
from reference_groups import APART, GROUPS  # noqa: E402

GALLERY, NOTEBOOKS = ROOT / "build" / "gallery", ROOT / "build" / "notebooks"
ELSEWHERE = {
    "architecture.md": "ARCHITECTURE.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "results.md": "benchmarks/RESULTS.md",
    "networks.md": "resviz/networks/zoo/weights/README.md",
}
PAGES = {source: page for page, source in ELSEWHERE.items()} | {"README.md": "index.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = [*_elsewhere(), *_reference(), *_gallery(), *_notebooks()]
    for name, content in made:
        if isinstance(content, Path):
            file = File.generated(config, name, abs_src_path=str(content))
        else:
            file = File.generated(config, name, content=content)
        files.append(file)
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to files beside `docs/` become links to the pages that are made of them."""
    for source, page in PAGES.items():
        markdown = markdown.replace(f"](../{source})", f"]({page})")
    return markdown


Made = Iterator[tuple[str, str | bytes | Path]]


def _elsewhere() -> Made:
    for page, source in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        yield page, re.sub(r"\]\(([\w.]+\.md)\)", lambda link: f"]({PAGES[link[1]]})", text)


def _reference() -> Made:
    lines = [
        "# Reference\n\nEvery public name, by what it is for. `import resviz as rv` loads none of "
        "them yet: each loads on its first use.\n"
    ]
    for page, (title, about, names) in GROUPS.items():
        links = ", ".join(f"[`rv.{name}`][{PATHS[name]}]" for name in names)
        lines.append(f"## [{title}]({page}.md)\n\n{about}\n\n{links}\n")
        bodies = "\n\n".join(f"::: {PATHS[name]}" for name in names)
        yield f"reference/{page}.md", f"# {title}\n\n{about}\n\n{bodies}\n"
    for page, (title, about, paths) in APART.items():
        links = ", ".join(f"[`{path.removeprefix('resviz.')}`][{path}]" for path in paths)
        lines.append(f"## [{title}]({page}.md)\n\n{about}\n\n{links}\n")
        bodies = "\n\n".join(f"::: {path}" for path in paths)
        yield f"reference/{page}.md", f"# {title}\n\n{about}\n\n{bodies}\n"
    yield "reference/index.md", "\n".join(lines)


def _gallery() -> Made:
    index = GALLERY / "index.json"
    if not index.is_file():
        raise PluginError("no gallery: `make docs` makes it first (docs/making/gallery.py)")
    made = json.loads(index.read_text(encoding="utf-8"))
    head = (ROOT / "docs" / "making" / "gallery_head.md").read_text(encoding="utf-8")
    parts = [head.replace("{setup}", made["setup"])]
    for entry in made["entries"]:
        link = f"[`rv.{entry['name']}`][{PATHS[entry['name']]}]"
        frame = (
            f'<iframe class="rv-live" src="live/{entry["file"]}" loading="lazy" '
            f'title="{entry["title"]}" style="height: {entry["height"]}px"></iframe>'
        )
        alone = f"[alone in the window](live/{entry['file']})"
        parts.append(
            f"## {entry['title']}\n\n{link}. {entry['about']} ({alone})\n\n{frame}\n\n"
            f"```python\n{entry['code']}\n```\n"
        )
        yield f"live/{entry['file']}", GALLERY / entry["file"]
    for shared in GALLERY.glob("*.js"):
        yield f"live/{shared.name}", shared
    yield "gallery.md", "\n".join(parts)


def _notebooks() -> Made:
    executed = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not executed:
        raise PluginError("no executed notebooks: `make docs` runs them first")
    lines = [
        "# Notebooks\n\nThey come with resviz (`resviz lab` opens copies). Here they stand with "
        "what they put out; views are pictures here, and live in the [gallery](../gallery.md).\n"
    ]
    for path in executed:
        title, about, files = notebook_files(path)
        lines.append(f"- [{title}]({path.stem}.md): {about}")
        yield from files
    yield "notebooks/index.md", "\n".join(lines) + "\n"
