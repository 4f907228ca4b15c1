"""What greets somebody from outside: CI, templates, hooks before a commit, the citation."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import resviz

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
YAML_FILES = sorted(
    {path for glob in ("*.y*ml", "*.cff", ".github/**/*.y*ml") for path in ROOT.glob(glob)}
)


def parsed(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def locked(name: str) -> str:
    found = re.search(rf"^{name}==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert found, name
    return found[1]


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_yaml_can_be_read(path: Path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_every_file_is_looked_at():
    names = {path.relative_to(ROOT).as_posix() for path in YAML_FILES}
    assert {"environment.yml", "CITATION.cff", ".pre-commit-config.yaml"} <= names
    assert ".github/workflows/ci.yml" in names


# ---- before a commit
def test_the_hooks_run_the_locked_ruff():
    hooks = [hook for repo in parsed(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [hook["entry"].split()[:2] for hook in hooks] == [["ruff", "format"], ["ruff", "check"]]
    for hook in hooks:
        assert hook["additional_dependencies"] == [f"ruff=={locked('ruff')}"]


# ---- CI
def test_ci_runs_what_the_project_runs():
    job = parsed(".github/workflows/ci.yml")["jobs"]["check"]
    assert job["steps"][-1]["run"] == ".ci/run"
    assert job["env"]["RESVIZ_NO_TESTDATA"] == "1"
    assert job["timeout-minutes"] <= 60


def test_ci_runs_every_python_that_is_promised():
    said = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    matrix = parsed(".github/workflows/ci.yml")["jobs"]["check"]["strategy"]["matrix"]
    assert matrix["python"] == said
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert matrix["include"] == [{"python": oldest, "versions": "oldest"}]


def test_ci_may_read_and_nothing_else():
    assert parsed(".github/workflows/ci.yml")["permissions"] == {"contents": "read"}


def oldest() -> list[Requirement]:
    done = subprocess.run([sys.executable, ROOT / ".ci" / "oldest"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [Requirement(line) for line in done.stdout.splitlines()]


def test_the_oldest_versions_are_the_lower_bounds():
    pins = {pin.name: pin for pin in oldest()}
    for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]:
        asked = Requirement(line)
        (clause,) = pins[asked.name].specifier
        assert clause.operator == "==" and asked.specifier.contains(clause.version), line
        (low,) = [each for each in asked.specifier if each.operator == ">="]
        assert Version(low.version) == Version(clause.version), line


def test_make_installs_the_list_it_is_given(tmp_path: Path):
    pins = tmp_path / "oldest.txt"
    pins.write_text("")
    plan = subprocess.run(
        ["make", "--dry-run", "--always-make", "--no-print-directory", "install", f"LOCK={pins}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert plan.returncode == 0, plan.stderr
    assert f"pip install -r {pins}" in plan.stdout
    assert "requirements.lock" not in plan.stdout


# ---- templates
@pytest.mark.parametrize("name", ["bug", "idea"])
def test_a_form_asks_for_something(name: str):
    form = parsed(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert form["name"] and form["description"]
    ids = [item["id"] for item in form["body"]]
    assert len(ids) == len(set(ids))
    assert all(item["attributes"]["label"] for item in form["body"])
    assert any(item.get("validations", {}).get("required") for item in form["body"])


def test_the_command_for_versions_prints_them():
    form = parsed(".github/ISSUE_TEMPLATE/bug.yml")
    (field,) = [item for item in form["body"] if item["id"] == "versions"]
    (code,) = re.findall(r'python -c "(.+)"', field["attributes"]["description"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"resviz={resviz.__version__}" in done.stdout and "torch=" in done.stdout


# ---- citation
def test_the_citation_is_of_this_version():
    cited = parsed("CITATION.cff")
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == resviz.__version__
    assert cited["license"] == PROJECT["license"]
    assert cited["authors"] == PROJECT["authors"]
    assert cited["keywords"] == PROJECT["keywords"]
    assert {"message", "title"} <= set(cited)
