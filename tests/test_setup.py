"""The project's own files agree with each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
DEPENDENCIES = ROOT / "docs" / "dependencies.md"
EXTRAS = ("lab", "dev", "bench", "docs")
CONDA_NAMES = {"pytorch": "torch"}  # conda-forge name -> PyPI name, where they differ


def needed(extra: str | None = None) -> list[Requirement]:
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return [Requirement(line) for line in lines]


def locked() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def pinned_version(pin: Requirement) -> str:
    (clause,) = pin.specifier
    assert clause.operator == "=="
    return clause.version


def installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def conda_packages() -> dict[str, Requirement]:
    """Names and ranges of environment.yml, under their PyPI names; read without a YAML parser."""
    lines = (ROOT / "environment.yml").read_text().split("dependencies:")[1].splitlines()
    specs = [
        match[1] for line in lines if (match := re.fullmatch(r" +- ([\w-]+(?:[<>=].*)?)", line))
    ]
    found = [Requirement(spec) for spec in specs]
    return {CONDA_NAMES.get(item.name, item.name): item for item in found}


def test_lock_has_names_and_versions_only():
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        pattern = r'[A-Za-z0-9._-]+==[A-Za-z0-9.]+( ; (platform_system|sys_platform) [!=]= "\w+")?'
        assert line.startswith("# ") or re.fullmatch(pattern, line), line


def test_lock_has_no_local_builds():
    assert not [str(pin) for pin in locked().values() if "+" in str(pin.specifier)]


@pytest.mark.parametrize(
    "item", needed() + [item for extra in EXTRAS for item in needed(extra)], ids=str
)
def test_lock_satisfies_the_ranges(item: Requirement):
    pin = locked()[canonicalize_name(item.name)]
    assert item.specifier.contains(pinned_version(pin), prereleases=True)


def test_cuda_packages_are_for_linux_only():
    cuda = [pin for name, pin in locked().items() if re.match(r"nvidia-|cuda-|triton", name)]
    assert cuda
    for pin in cuda:
        assert str(pin.marker) == 'platform_system == "Linux"', pin


def test_lock_is_complete():
    """Nothing that a locked package asks for on this machine is missing from the lock."""
    pins = locked()
    here = {name: pin for name, pin in pins.items() if not pin.marker or pin.marker.evaluate()}
    for name, pin in here.items():
        if installed(name) != pinned_version(pin):
            pytest.skip(f"{name} is not that of the lock: this is not the environment of the lock")
    for name in here:
        for line in metadata.requires(name) or []:
            item = Requirement(line)
            if item.marker is None or item.marker.evaluate({"extra": ""}):
                assert canonicalize_name(item.name) in pins, f"{name} asks for {line}"


def test_conda_environment_has_the_same_ranges():
    conda = conda_packages()
    assert {
        name: str(item.specifier) for name, item in conda.items() if name not in {"python", "pip"}
    } == {item.name: str(item.specifier) for item in needed() + needed("lab")}
    assert str(conda["python"].specifier) == PROJECT["requires-python"]


@pytest.mark.parametrize("name", [item.name for item in needed()])
def test_a_page_says_why_each_dependency_is_there(name: str):
    assert re.search(rf"^\| {re.escape(name)} \| \w.+ \|$", DEPENDENCIES.read_text(), re.M)


@pytest.mark.parametrize("name", [item.name for extra in EXTRAS for item in needed(extra)])
def test_a_page_names_each_development_tool(name: str):
    assert re.search(rf"\b{re.escape(name)}\b", DEPENDENCIES.read_text())


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize(
    "target", ["lab", "test", "check", "check-all", "format", "notebooks", "install"]
)
def test_make_target_exists(target: str):
    plan = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert plan.returncode == 0, plan.stderr


def test_readme_commands_are_make_targets():
    named = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"lab", "test", "check"} <= named <= targets


def test_ci_runs_make_check():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o100, "not executable"
    assert "set -euo pipefail" in script.read_text()
    commands = script.read_text().splitlines()
    assert "make check" in commands and "exec make test-browser" in commands


def test_changelog_opens_with_unreleased():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "[Unreleased]"


def test_licence():
    assert PROJECT["license"] == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")


def modules(folder: str) -> set[str]:
    """Dotted names of the modules and packages right under a package."""
    files = (ROOT / folder).glob("*.py")
    packages = (ROOT / folder).glob("*/__init__.py")
    names = {path.stem for path in files} | {path.parent.name for path in packages}
    return {f"{folder.replace('/', '.')}.{name}" for name in names - {"__init__"}}


def test_every_module_stands_on_a_floor():
    layers = SETTINGS["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = set(re.findall(r"[\w.]+", " ".join(layers)))
    assert (modules("resviz") - {"resviz.views"}) | modules("resviz/views") <= floors


def test_every_module_below_the_views_is_kept_from_drawing():
    contract = SETTINGS["tool"]["importlinter"]["contracts"][1]
    assert modules("resviz") - {"resviz.views", "resviz.cli", "resviz.__main__"} == set(
        contract["source_modules"]
    )


def test_the_test_data_is_there(testdata: Path):
    assert (testdata / "expected.json").is_file()


def without_testdata(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The test above, run where there is no test data."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RESVIZ_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", f"{__file__}::test_the_test_data_is_there"],
        cwd=ROOT,
        env={**kept, "RESVIZ_TESTDATA": str(folder), **variables},
        capture_output=True,
        text=True,
    )


@pytest.mark.thorough
def test_without_test_data_a_test_fails(tmp_path: Path):
    done = without_testdata(tmp_path)
    assert done.returncode == 1
    assert f"no test data in {tmp_path}" in done.stdout


@pytest.mark.thorough
def test_without_test_data_a_test_is_skipped_and_counted_when_told(tmp_path: Path):
    done = without_testdata(tmp_path, RESVIZ_NO_TESTDATA="1")
    assert done.returncode == 0, done.stdout
    assert "1 tests skipped: no test data folder" in done.stdout
