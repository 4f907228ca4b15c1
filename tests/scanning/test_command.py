"""``resviz scan``."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import resviz as rv
from resviz.cli import main
from resviz.cli.scan import _lines


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "ship"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for n in range(3):
            pixels = np.random.default_rng(n).integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{n}.png")
    (tmp_path / "set" / "cat" / "1.png").write_bytes(b"no picture")
    return tmp_path


NET = ["--model", "cifar10-resnet20", "--device", "cpu"]


@pytest.mark.thorough
def test_a_folder_becomes_a_scan_and_a_table(folder, capsys):
    assert main(["scan", "set", *NET, "--out", "a.resviz", "--out", "a.csv"]) == 0
    out, err = capsys.readouterr()
    assert out.split() == ["a.resviz", "a.csv"]
    assert "5 images, " in err and "352 channels of 10 layers" in err
    assert "left out: cat/1.png" in err
    scan = rv.load_scan("a.resviz")
    assert scan.classes["images"].sum() == 5 and scan.provenance["complete"]
    assert len(pd.read_csv("a.csv")) == 352
    assert main(["scan", "set", *NET, "--out", "a.resviz"]) == 0  # nothing is left to do
    assert main(["scan", "set", *NET, "--measures", "top", "--out", "a.resviz"]) == 1
    assert "holds a scan with other measures" in capsys.readouterr().err
    forced = ["--measures", "top", "--layer", "layer3.2", "--out", "a.resviz", "--force"]
    assert main(["scan", "set", *NET, *forced]) == 0
    assert rv.load_scan("a.resviz").plan.measures == ("top",)


@pytest.mark.thorough
def test_a_scan_is_written_over_once_the_new_one_is_whole(folder, monkeypatch):
    words = ["scan", "set", *NET, "--measures", "top", "--layer", "layer3.2", "--out", "a.resviz"]
    assert main(words) == 0
    before = (folder / "a.resviz").read_bytes()
    assert main([*words, "--layer", "layr3", "--force"]) == 1
    assert main([*words, "--on-error", "raise", "--force"]) == 1
    with monkeypatch.context() as patched:
        patched.setattr("resviz.scanning.scanning.scan", interrupted)
        assert main([*words, "--force"]) == 130
    assert (folder / "a.resviz").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["a.resviz", "set"]
    assert main([*words, "--top", "1", "--force"]) == 0
    scan = rv.load_scan("a.resviz")
    assert scan.provenance["complete"] and len(scan.images) == 5
    assert (folder / "a.resviz").read_bytes() != before
    assert sorted(path.name for path in folder.iterdir()) == ["a.resviz", "set"]


def interrupted(*args, path, **settings):
    """A scan that ends after its first chunk."""
    path.write_bytes(b"a part")
    raise KeyboardInterrupt


def test_the_bound_of_dead_channels_is_a_share():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU())
    torch.nn.init.constant_(net[0].bias, -9)
    scan = rv.scan(net, torch.rand(2, 3, 8, 8), ["channels"], ["1"], progress=False)
    assert _lines(scan)[1:] == [
        "4 channels that no image activates; 0.78 of images at most activate each (95 %)"
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 1, "no file or folder 'nowhere'"),
        (["set", "set"], 2, "'set' is a folder, and not alone; one folder, or files"),
        (["set", "--out", "a.png"], 2, "'a.png'; a name that ends in .csv, .resviz"),
        (["set", "--out", "no/a.csv"], 1, "no'; make it first"),
        (["set", "--out", "a.resviz", "--out", "b.resviz"], 2, "2 names that end in .resviz; one"),
    ],
)
def test_wrong_command_lines(folder, capsys, words, code, said):
    assert main(["scan", *words, *NET]) == code
    assert said in capsys.readouterr().err


def test_an_engine_that_is_not_there(folder, capsys, monkeypatch):
    assert main(["scan", "set", *NET, "--engine", "spark"]) == 1
    assert "engine 'spark'; one of local, ray" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["scan", "set", *NET, "--engine", "ray"]) == 1
    said = capsys.readouterr().err
    assert "pip install 'resviz[ray]'" in said and "defect" not in said
