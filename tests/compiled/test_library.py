"""The compiled pass: that a record says so, and what happens without a compiler."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import resviz as rv
from resviz.compiled import library, sums
from resviz.recording import statistics


@pytest.fixture
def afresh() -> Iterator[None]:
    """As in a process that has not recorded yet; afterwards what was built is there again."""
    library.library()  # what is being built is there before it begins anew
    library.building.cache_clear()
    yield
    library.building.cache_clear()


def recorded() -> rv.Recording:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)).eval()
    images = torch.rand(2, 3, 16, 16)
    net(images)
    return rv.record(net, images, targets=[0, 1])


def as_without(monkeypatch: pytest.MonkeyPatch) -> rv.Recording:
    monkeypatch.setattr(statistics, "one_pass", lambda: None)
    return recorded()


def test_both_ways_give_the_same_tables(monkeypatch: pytest.MonkeyPatch):
    if sums.one_pass() is None:
        pytest.skip("no C compiler")
    fast, slow = recorded(), as_without(monkeypatch)
    assert (fast.provenance["statistics"], slow.provenance["statistics"]) == ("compiled", "eager")
    for name in ("layers", "parameters"):
        one, other = (getattr(rec, name).select_dtypes("number") for rec in (fast, slow))
        torch.testing.assert_close(
            torch.tensor(one.to_numpy(float)), torch.tensor(other.to_numpy(float)), equal_nan=True
        )


@pytest.mark.parametrize("without", ["no compiler", "not wanted", "broken"])
def test_without_it_recording_goes_on(without: str, afresh: None, monkeypatch, tmp_path: Path):
    if without == "no compiler":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif without == "not wanted":
        monkeypatch.setenv("RESVIZ_COMPILE", "0")
    else:
        monkeypatch.setattr(library, "_SOURCES", tmp_path)
    assert sums.one_pass() is None
    assert recorded().provenance["statistics"] == "eager"


def test_nothing_stays_on_the_disk(afresh: None, monkeypatch, tmp_path: Path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert sums.one_pass() is not None or shutil.which("cc") is None
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_takes_its_time_is_waited_for_once(
    afresh: None, monkeypatch, tmp_path: Path
):
    monkeypatch.setattr(library, "_PATIENCE", 0.01)
    go_on = threading.Event()
    built = library._built
    monkeypatch.setattr(library, "_built", lambda: (go_on.wait(60), built())[1])
    assert sums.one_pass() is None and sums.one_pass() is None
    assert recorded().provenance["statistics"] == "eager"
    go_on.set()
    building = library.building()
    if building is None:
        pytest.skip("no C compiler")
    building.join()
    assert recorded().provenance["statistics"] == "compiled"
