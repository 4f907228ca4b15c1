"""Fixtures for all tests: the test data folder, torchvision's cache, seeds.

- `testdata`: Path of the test data folder (RESVIZ_TESTDATA, else ../shared/testdata beside the
  checkout). Without it a test fails; with RESVIZ_NO_TESTDATA=1 it is skipped and counted.
- `testdata_module`: the folder's load_weights.py (cifar_net, imagenet_net, cifar_images,
  imagenet_images).
- `torch_home`: Path of a torchvision cache with real ImageNet weights for resnet18 and resnet50.
  `use_torch_home` also sets TORCH_HOME to it for the test.
- seeds are set before every test; torch uses two threads, shared among pytest-xdist's workers.
- `chromium`: one browser for all tests of a process.
- `gpu` tests are skipped without CUDA, `browser` tests without Chromium or playwright.

For "the network is left as found" see left_as_found.py.
"""

from __future__ import annotations

import atexit
import gc
import importlib.util
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
THREADS = 2
FAST_CASES = 3
NO_TESTDATA = "no test data folder (RESVIZ_NO_TESTDATA=1)"


def pytest_configure(config: pytest.Config) -> None:
    """Two threads in all: those of the workers, and of the processes that tests start."""
    if config.getoption("numprocesses", None):  # the process that only hands out tests: 5 s of
        return  # torch, for which the workers would wait
    import torch

    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    threads = max(1, THREADS // workers)
    torch.set_num_threads(threads)
    if workers > 1:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    from resviz.compiled.library import library

    library()  # there from the first test on, whatever the machine does beside


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which cases are thorough; skip what this machine cannot run, with the reason."""
    for case in thinned(items):
        case.add_marker(pytest.mark.thorough)
    for item in items:  # with --dist loadgroup: one JupyterLab, and pages once for each file
        lab = "lab" in getattr(item, "fixturenames", ())
        group = "lab" if lab else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
    import torch

    lacking = {}
    if not torch.cuda.is_available():
        lacking["gpu"] = "no CUDA device"
    if shutil.which("chromium") is None or importlib.util.find_spec("playwright") is None:
        lacking["browser"] = "no Chromium or no playwright"
    for item in items:
        for mark, reason in lacking.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


def thinned(items: list[pytest.Item]) -> list[pytest.Item]:
    """What the fast tier leaves out of tests with many cases: all but FAST_CASES, spread evenly.

    A test that says itself which of its cases are thorough (see cases.py) keeps what it says.
    """
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left_out = []
    for cases in tests.values():
        said = any(case.get_closest_marker("thorough") for case in cases)
        if len(cases) > FAST_CASES and not said:
            step = (len(cases) - 1) / (FAST_CASES - 1)
            kept = {round(step * number) for number in range(FAST_CASES)}
            left_out += [case for number, case in enumerate(cases) if number not in kept]
    return left_out


def pytest_collection_finish() -> None:
    """What imports and collection made stays: the garbage collector need not look at it again."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # what C++ counts is freed at the end


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests did not run for want of test data."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(NO_TESTDATA in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.write_line(f"{count} tests skipped: {NO_TESTDATA}", yellow=True)


def testdata_folder() -> Path:
    """Where the test data should be, whether or not it is there."""
    return Path(os.environ.get("RESVIZ_TESTDATA") or CHECKOUT.parent / "shared" / "testdata")


testdata_folder.__test__ = False  # type: ignore[attr-defined]  # a function, not a test


@pytest.fixture(scope="session")
def testdata() -> Path:
    """The test data folder; skips or fails the test where there is none."""
    folder = testdata_folder()
    if (folder / "load_weights.py").is_file():
        return folder
    if os.environ.get("RESVIZ_NO_TESTDATA") == "1":
        pytest.skip(NO_TESTDATA)
    pytest.fail(
        f"no test data in {folder}: set RESVIZ_TESTDATA to its folder, "
        "or RESVIZ_NO_TESTDATA=1 to skip what needs it",
        pytrace=False,
    )


def _import_from(folder: Path, name: str) -> ModuleType:
    """Module `name` of the test data, which is read-only: no __pycache__ is written there."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = keep
    return module


@pytest.fixture(scope="session")
def testdata_module(testdata: Path) -> ModuleType:
    """load_weights.py of the test data."""
    return _import_from(testdata, "load_weights")


@pytest.fixture(scope="session")
def torch_home(
    testdata: Path, testdata_module: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder to use as TORCH_HOME: torchvision finds resnet18 and resnet50 weights there."""
    home = tmp_path_factory.mktemp("torch_home")
    _import_from(testdata, "make_torch_home").main(str(home))
    return home


@pytest.fixture
def use_torch_home(torch_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`torch_home`, with TORCH_HOME set to it during this test."""
    monkeypatch.setenv("TORCH_HOME", str(torch_home))
    return torch_home


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests: Playwright cannot be started twice in one thread."""
    from views.browsing import started_chromium

    with started_chromium() as browser:
        yield browser


@pytest.fixture(autouse=True)
def _seeds() -> None:
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)
    if torch.cuda.is_available():
        torch.manual_seed(0)
    else:  # that one keeps a stack trace for CUDA at every call: 4 ms
        torch.default_generator.manual_seed(0)
