"""ARCHITECTURE.md and CONTRIBUTING.md are true: floors, paths and names are those of the code."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
PAGES = {name: (ROOT / name).read_text() for name in ("ARCHITECTURE.md", "CONTRIBUTING.md")}
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
TOP = {path.name for path in ROOT.iterdir()}

Floor = tuple[frozenset[str], str]  # modules; "|" where they are apart, ":" where not, "" for one


def floor(line: str) -> Floor:
    modules = frozenset(re.findall(r"[\w.]+", line))
    signs = set(re.findall(r"[|:]", line)) if len(modules) > 1 else set()
    assert len(signs) <= 1, line
    return modules, "".join(signs)


def built(line: str) -> str:
    """A floor of the contract without the rooms that are planned there."""
    rooms = re.split(r" ([|:]) ", line)
    there = [room for room in rooms[::2] if exists(room.strip("()"))]
    return f" {''.join(rooms[1:2])} ".join(there)


def floors_of_the_page() -> list[Floor]:
    section = PAGE.split("## The floors")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`resviz\..+?) \| ", section, re.M)
    return [floor(cell.replace("\\|", "|")) for cell in cells]


def quoted(page: str) -> list[str]:
    """What stands in backticks, without code blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S))


def paths(page: str) -> list[str]:
    """Quoted paths from the root of the project; commands and patterns are none."""
    found = [text for text in quoted(page) if re.fullmatch(r"[\w./-]+", text)]
    return [text for text in found if text.split("/")[0] in TOP and "resviz." not in text]


def test_the_floors_are_those_of_the_import_contract():
    layers = SETTINGS["contracts"][0]["layers"]
    assert SETTINGS["contracts"][0]["type"] == "layers"
    assert floors_of_the_page() == [floor(built(line)) for line in layers]


@pytest.mark.parametrize("page", PAGES)
def test_every_path_exists(page: str):
    named = paths(PAGES[page]) + re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGES[page])
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_in_a_folder_of_the_project_exists(page: str):
    """Also where the top folder is misspelt: anything with a slash and a known ending."""
    named = [text for text in quoted(PAGES[page]) if re.fullmatch(r"[\w./-]+/[\w.-]+\.\w+", text)]
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_name_of_resviz_exists(page: str):
    for text in quoted(PAGES[page]):
        for name in re.findall(r"(?:resviz|(?<!\w)rv)(?:\.\w+)+", text):
            if "/" not in text:
                assert exists(re.sub(r"^rv\b", "resviz", name)), name


def exists(name: str) -> bool:
    """True for a module, or for an attribute of one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def test_the_public_names_in_the_table_of_kinds_exist():
    section = PAGE.split("## Three kinds of code")[1].split("\n## ")[0]
    names = [name for name in quoted(section) if re.fullmatch(r"[A-Za-z_]+", name)]
    assert {"record", "explain", "Recording"} <= set(names)
    assert [name for name in names if not exists(f"resviz.{name}")] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_command_is_a_target(page: str):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", PAGES[page], re.M))
    assert named and {one or other for one, other in named} <= targets
