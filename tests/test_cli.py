"""The command line: files, exit codes, what goes to stdout and what to stderr."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import resviz as rv
from cases import thorough
from resviz import cli
from resviz.cli import console as cli_console
from resviz.cli import files as cli_files
from resviz.cli import lab as cli_lab
from resviz.cli import page as cli_page
from resviz.cli.found import prediction_lines
from resviz.networks.zoo import load
from resviz.views.export import Page
from resviz.views.payload import Payload

NET = ["--model", "cifar10-resnet20"]
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with two pictures beside it."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3), dtype=np.uint8)
    for name, values in zip(("cat", "dog"), pixels, strict=True):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def shell(*words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """`resviz` in a process of its own."""
    command = [sys.executable, "-m", "resviz", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **settings)  # type: ignore[call-overload]


def noted(err: str) -> list[str]:
    """What was said of the command itself; lines of what it found have no such head."""
    return [line for line in err.splitlines() if line.startswith("resviz ")]


class Tags(HTMLParser):
    """The elements of a page, with the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, [name for name, _ in attrs]))


# ---- the command itself
def test_help_and_version_load_nothing_heavy():
    code = (
        "import sys; from resviz.cli import main; codes = [main(['--help']), main(['--version']),"
        " main(['explain', '--help']), main(['lab', '--help']), main(['explore', '--help'])];"
        "print(codes, *(name for name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    codes, _, loaded = done.stderr.partition("] ")
    assert codes == "[0, 0, 0, 0, 0"
    heavy = {"torch", "numpy", "pandas", "plotly", "PIL", "matplotlib", "ipywidgets", "anywidget"}
    assert not heavy & {name.partition(".")[0] for name in loaded.split()}
    for word in (
        "lab",
        "explore",
        "explain",
        "record",
        "models",
        "methods",
        f"resviz {rv.__version__}",
    ):
        assert word in done.stdout


def test_a_picture_that_is_not_there_is_told_before_torch_is_loaded(here: Path):
    code = (
        "import sys; from resviz.cli import main; code = main(['explain', 'none.png']);"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "1 False\n"
    assert done.stderr == "resviz explain: no file 'none.png'.\n"


def test_python_m_resviz_is_the_command():
    done = shell("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"resviz {rv.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "required: COMMAND"),
        (["explian"], "invalid choice: 'explian'"),
        (["explain"], "required: IMAGE"),
        (["explain", "a.png", "--out", "a.gif"], "'a.gif'; a name that ends in .html"),
        (["explore"], "required: IMAGE"),
        (["explore", "a.png", "--out", "a.csv"], "'a.csv'; a name that ends in .html"),
        (["explain", "a.png", "--top", "0"], "'0'; a whole number from 1"),
        (["explain", "a.png", "--top", "2", "--target", "cat"], "not allowed with"),
        (["explain", "a.png", "--mod", "x"], "unrecognized arguments: --mod"),
        (["record", "a.png", "--table", "maps"], "invalid choice: 'maps'"),
        (["lab", "--port", "70000"], "'70000'; a whole number from 1 to 65535"),
    ],
)
def test_a_wrong_command_line_is_2(words: list[str], told: str, here: Path, capsys):
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err
    assert names(here) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "resnet5"], "resviz explain: load_model: no network 'resnet5'; closest:"),
        ([*NET, "--weights", "V9"], "resviz explain: load_model: "),
        ([*NET, "--device", "tpu9"], "resviz explain: load_model: device"),
        ([*NET, "--method", "layr_cam"], "resviz explain: no method 'layr_cam'; closest: 'layer"),
    ],
)
def test_a_name_that_nobody_knows_is_2_and_one_line(words: list[str], told: str, here, capsys):
    assert cli.main(["explain", "../cat.png", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(told) and err.count("\n") == 1
    assert names(here) == []


def test_hints_are_for_the_shell(here: Path, capsys):
    cli.main(["explain", "../cat.png", "--method", "no"])
    assert "See `resviz methods`." in capsys.readouterr().err
    cli.main(["explain", "../cat.png", *NET, "--layer", "layer9"])
    err = capsys.readouterr().err
    assert "no layer 'layer9'" in err and "rv." not in err and "resviz record IMAGE" in err


def test_weights_that_cannot_be_had_are_1_and_name_what_works(here: Path, capsys, monkeypatch):
    def offline(*args: object, **settings: object) -> None:
        print("Downloading: somewhere")  # as torch does, on stdout
        raise OSError("no route")

    monkeypatch.setattr("torchvision.models.get_model", offline)
    assert cli.main(["explain", "../cat.png", "--model", "resnet18"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "--model cifar10-resnet56" in err and "load_model(" not in err
    assert names(here) == []


def test_a_damaged_file_of_weights_is_1(here: Path, capsys):
    Path("net.pth").write_bytes(b"nothing")
    assert cli.main(["record", "../cat.png", *NET, "--weights", "net.pth"]) == 1
    assert "net.pth" in capsys.readouterr().err
    assert cli.main(["record", "../cat.png", *NET, "--weights", "absent.pth"]) == 1
    assert "absent.pth" in capsys.readouterr().err
    assert names(here) == ["net.pth"]


def test_unreadable_pictures_are_1(here: Path, capsys):
    Path("bad.png").write_text("no picture")
    assert cli.main(["explain", "../cat.png", "bad.png", *NET]) == 1
    err = capsys.readouterr().err
    assert err.startswith("resviz explain: load_images: ") and "bad.png" in err
    assert "on_error" not in err and err.count("\n") == 1
    assert cli.main(["explain", ".", *NET]) == 1
    assert "is a folder" in capsys.readouterr().err
    assert names(here) == ["bad.png"]


def test_debug_shows_where(here: Path, capsys):
    words = ["explain", "../cat.png", *NET, "--target", "kat"]
    assert cli.main(words) == 1
    assert capsys.readouterr().err == (
        "resviz explain: no class 'kat'; closest: 'cat', 'automobile'.\n"
    )
    assert cli.main([*words, "--debug"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback") and err.endswith("'automobile'.\n")


def test_a_defect_is_told_as_one(here: Path, capsys, monkeypatch):
    monkeypatch.setattr("resviz.cli.lists.run", lambda *_: 1 / 0)
    assert cli.main(["models"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("resviz models: ZeroDivisionError") and "defect" in err


# ---- explain
@pytest.mark.thorough
def test_explain_writes_every_kind_from_one_pass(here: Path, capsys, monkeypatch):
    passes = []
    explain = rv.explain
    monkeypatch.setattr(
        "resviz.attribution.explain.explain",
        lambda *args, **settings: passes.append(1) or explain(*args, **settings),
    )
    outs = ["a.html", "b.PNG", "c.svg", "d.csv", "e.resviz", "f.pdf"]
    words = ["explain", "../cat.png", "../dog.png", *NET, "--method", "layer_cam"]
    words += ["--method", "grad_cam", "--layer", "layer2", "--layer", "layer3"]
    for out in outs:
        words += ["--out", out]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == outs and noted(err) == []
    assert names(here) == outs and len(passes) == 1

    page = Path("a.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and 'src="http' not in page
    with Image.open("b.PNG") as picture:
        assert picture.format == "PNG" and picture.height > picture.width / 2
    assert ElementTree.parse("c.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert b"/Count 2" in Path("f.pdf").read_bytes()  # a page for each picture
    exp = rv.load_explanation("e.resviz")
    assert exp.methods == ["layer_cam", "grad_cam"] and exp.layers == ["layer2", "layer3"]

    net = rv.load_model("cifar10-resnet20")
    images = rv.load_images(["../cat.png", "../dog.png"], net)
    wanted = explain(net, images, methods=["layer_cam", "grad_cam"], layers=["layer2", "layer3"])
    assert exp.equals(wanted)
    table = pd.read_csv("d.csv")
    assert list(table["file"]) == ["../cat.png"] * 5 + ["../dog.png"] * 5
    said = rv.predict(net, images)
    np.testing.assert_allclose(table["probability"], said["probability"], rtol=1e-6)
    assert list(table["label"]) == list(said["label"])


def test_each_picture_of_a_stack_has_a_name_of_its_own(here: Path, capsys):
    stack = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    np.save("a.npy", stack)
    net = rv.load_model("cifar10-resnet20")
    images = rv.load_images([stack, "../cat.png"], net)
    labels = rv.predict(net, images, top=1)["label"]
    named = ["a.npy[0]", "a.npy[1]", "cat.png"]
    for command in ("explain", "record"):
        words = [command, "a.npy", "../cat.png", *NET, "--out", f"{command}.csv"]
        assert cli.main(words) == 0
        lines = capsys.readouterr().err.splitlines()[:3]
        for line, name, label in zip(lines, named, labels, strict=True):
            assert line.startswith(f"{name}: {label} ")
    table = pd.read_csv("explain.csv").drop_duplicates("file")
    assert table["file"].tolist() == [*named[:2], "../cat.png"]
    assert table["label"].tolist() == labels.tolist()
    assert cli.main(["explain", "a.npy", "../cat.png", *NET, "--out", "a.html"]) == 0
    page = Path("a.html").read_text(encoding="utf-8")
    assert all(name in page for name in named)


def test_explain_over_the_whole_photograph(here: Path):
    words = ["explain", "../cat.png", *NET, "--original", "--out", "a.svg", "--out", "a.html"]
    assert cli.main(words) == 0
    for name in ("a.svg", "a.html"):
        assert "over the whole photograph" in (here / name).read_text()


def test_explain_without_out_is_a_page_here(here: Path, capsys):
    assert cli.main(["explain", "../cat.png", *NET]) == 0
    assert capsys.readouterr().out == "cat.explained.html\n"
    assert names(here) == ["cat.explained.html"]


def test_the_files_are_as_other_programs_make_them(here: Path):
    Path("other").touch()
    words = ["explain", "../cat.png", *NET, "--out", "a.resviz", "--out", "a.csv"]
    assert cli.main(words) == 0
    modes = {stat.S_IMODE(Path(name).stat().st_mode) for name in ("other", "a.resviz", "a.csv")}
    assert len(modes) == 1


def test_targets_by_name_and_by_index(here: Path):
    words = ["explain", "../cat.png", "../dog.png", *NET, "--out", "a.resviz"]
    assert cli.main([*words, "--target", "ship", "--target", "3"]) == 0
    assert rv.load_explanation("a.resviz").target_names == [["ship", "cat"]] * 2


def test_a_class_whose_name_is_a_number_is_meant_by_its_name():
    from resviz.cli.explain import _class

    assert _class("7", ("5", "6", "7")) == "7"
    assert _class("1", ("5", "6", "7")) == 1
    assert _class("cat", ()) == "cat"


def test_top_explains_the_most_probable_classes_of_each_picture(here: Path):
    words = ["explain", "../cat.png", "../dog.png", *NET, "--top", "3", "--out", "a.resviz"]
    assert cli.main(words) == 0
    exp = rv.load_explanation("a.resviz")
    assert exp.logits is not None
    assert exp.targets == exp.logits.topk(3).indices.tolist()


@pytest.mark.parametrize(
    ("table", "column"),
    [("predictions", "probability"), ("evidence", "activation_norm"), ("maps", "score")],
)
def test_tables_of_an_explanation(table: str, column: str, here: Path):
    assert cli.main(["explain", "../cat.png", *NET, "--table", table, "--out", "a.csv"]) == 0
    frame = pd.read_csv("a.csv")
    assert frame[column].notna().all() and set(frame["file"]) == {"../cat.png"}


def test_warnings_are_one_line_on_stderr(here: Path, capsys):
    words = ["record", "../cat.png", *NET, "--batch-stats", "--out", "a.csv"]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert out == "a.csv\n" and len(noted(err)) == 1
    assert err.startswith("resviz record: warning: ") and ".py" not in err


# ---- record
@pytest.mark.parametrize("table", ["layers", "residuals", "parameters"])
def test_tables_of_a_recording(table: str, here: Path):
    words = ["record", "../cat.png", "../dog.png", *NET, "--table", table, "--batch-stats"]
    assert cli.main([*words, "--out", "a.csv", "--out", "a.resviz"]) == 0
    rec = rv.load_recording("a.resviz")
    assert rec.provenance["batch_stats"] is True and rec.provenance["images"] == 2
    wanted, frame = getattr(rec, table), pd.read_csv("a.csv")
    assert list(frame) == list(wanted) and len(frame) == len(wanted)
    column = {"layers": "rms", "residuals": "ratio", "parameters": "grad_norm"}[table]
    np.testing.assert_allclose(frame[column], wanted[column])


def test_record_keeps_what_is_asked_for(here: Path, capsys):
    words = ["record", "../cat.png", *NET, "--keep", "blocks", "--keep", "layer1.0.add:branch"]
    assert cli.main([*words, "--no-gradients", "--out", "a.resviz"]) == 0
    rec = rv.load_recording("a.resviz")
    assert rec.loss is None
    assert {"layer1.0", "layer3.2", "layer1.0.add:branch"} <= set(rec.keys())
    assert cli.main(["record", "../cat.png", *NET, "--keep", "layer7", "--out", "b.csv"]) == 1
    assert "no layer 'layer7'" in capsys.readouterr().err
    assert names(here) == ["a.resviz"]


def test_the_page_of_a_recording_shows_depth_residuals_and_maps(here: Path, capsys):
    assert cli.main(["record", "../cat.png", *NET, "--keep", "layer3"]) == 0
    out, err = capsys.readouterr()
    assert out == "cat.recorded.html\n" and noted(err) == []
    page = Path("cat.recorded.html").read_text(encoding="utf-8")
    assert [tag for tag, _ in Tags(page).seen].count("section") == 3
    assert "Feature maps: layer3" in page and "Residual additions" in page
    assert page.count("plotly.js v") == 1 and "<title>cat.png: recorded</title>" in page


def test_a_plain_network_has_no_residuals_to_show_and_a_vector_no_maps(here: Path, capsys):
    *_, (last, _) = rv.load_model("cifar10-plain20").named_modules()
    words = ["record", "../cat.png", "--model", "cifar10-plain20", "--keep", last]
    assert cli.main([*words, "--out", "a.png"]) == 0
    out, err = capsys.readouterr()
    assert out == "a.png\n" and len(noted(err)) == 1
    assert noted(err)[0].startswith("resviz record: not drawn: ")


@pytest.mark.parametrize("view", [thorough("feature-maps"), "residuals", thorough("gradients")])
def test_a_view_of_a_recording_as_a_page(view: str, here: Path, capsys):
    words = ["record", "../cat.png", *NET, "--keep", "layer3", "--view", view, "--out", "a.html"]
    assert cli.main([*words, "--quiet"]) == 0
    assert capsys.readouterr() == ("a.html\n", "")
    assert Path("a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_view_of_feature_maps_keeps_blocks(here: Path):
    words = ["record", "../cat.png", *NET, "--view", "feature-maps", "--out", "a.resviz"]
    assert cli.main(words) == 0
    assert "layer3.2" in rv.load_recording("a.resviz")
    assert cli.main([*words, "--force", "--keep", "layer3"]) == 0
    assert rv.load_recording("a.resviz").keys() == ["layer3"]


def test_a_view_that_has_a_page_is_written_as_that_page(here: Path, monkeypatch, capsys):
    module = "function render() {}\nexport default { render };"
    page = Page("a page of its own", module, "", Payload({}, b""))
    seen = []

    def explore(exp: object, names: list[str]) -> SimpleNamespace:
        assert names == ["../cat.png"] or names == ["cat.png"]
        seen.append(exp)
        return SimpleNamespace(page=lambda lesions, progress: page)

    monkeypatch.setattr("resviz.views.widgets.explanation.explore_explanation", explore)
    assert cli.main(["explain", "../cat.png", *NET, "--out", "a.html", "--out", "a.png"]) == 0
    assert "<title>a page of its own</title>" in Path("a.html").read_text(encoding="utf-8")
    assert isinstance(seen[0], rv.Explanation) and len(seen) == 1
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_of_a_recording_is_that_of_explore(here: Path, capsys):
    assert cli.main(["record", "../cat.png", *NET, "--out", "a.html", "--out", "a.csv"]) == 0
    out, err = capsys.readouterr()
    assert out == "a.html\na.csv\n" and noted(err) == []
    page = Path("a.html").read_text(encoding="utf-8")
    assert "<title>Explore CIFAR-10 ResNet-20" in page or "<title>Explore " in page
    assert "renderExplore" in page and "plotly.js v" not in page
    words = ["record", "../cat.png", *NET, "--no-gradients", "--out", "b.html"]
    assert cli.main(words) == 0  # which that screen cannot show
    assert "plotly.js v" in Path("b.html").read_text(encoding="utf-8")
    assert cli.main([*words, "--view", "explore", "--force"]) == 2
    assert "--view explore with --no-gradients; " in capsys.readouterr().err


@pytest.mark.thorough
def test_an_output_that_explore_cannot_read_has_the_overview(here: Path, capsys, monkeypatch):
    from resviz.errors import UnknownOutput

    def refuse(*_: object, **__: object) -> None:
        raise UnknownOutput("explore: an output of boxes; logits would be right.")

    monkeypatch.setattr("resviz.views.widgets.explore.explore", refuse)
    assert cli.main(["record", "../cat.png", *NET, "--out", "a.html"]) == 0
    told = noted(capsys.readouterr().err)
    assert told == [
        "resviz record: the overview instead of the screen of explore: explore: an output of boxes."
    ]
    assert "plotly.js v" in Path("a.html").read_text(encoding="utf-8")


# ---- explore
@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that a browser was asked to open."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: not opened.append(address))
    return opened


def test_explore_writes_a_page_and_opens_it(here: Path, capsys, browser: list[str]):
    assert cli.main(["explore", "../cat.png", *NET]) == 0
    out, err = capsys.readouterr()
    assert out == "cat.explored.html\n" and noted(err) == []
    assert browser == [(here / "cat.explored.html").as_uri()]
    page = Path("cat.explored.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and 'src="http' not in page
    assert "renderExplore" in page and "cat.png" in page
    lines = err.splitlines()
    assert 3 <= len(lines) <= 6 and lines[0].startswith("cat.png: ")
    assert (
        " adds most: " in err and "gradient of the score" in err and "grad_cam at layer3.2" in err
    )


@pytest.mark.thorough
def test_explore_opens_nothing_where_a_file_is_asked_for(here: Path, capsys, browser: list[str]):
    words = ["explore", "../cat.png", "../dog.png", *NET]
    assert cli.main([*words, "--out", "a.html", "--out", "a.png"]) == 0
    assert cli.main([*words, "--no-open", "--quiet"]) == 0
    assert browser == []
    assert capsys.readouterr().out == "a.html\na.png\ncat.explored.html\n"
    page = Path("a.html").read_text(encoding="utf-8")
    assert "renderExplore" in page
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(words) == 1 and browser == []
    assert "'cat.explored.html' exists; --force writes over it." in capsys.readouterr().err


@pytest.mark.thorough
def test_without_a_browser_the_page_stays(here: Path, capsys, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    assert cli.main(["explore", "../cat.png", *NET, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out == "cat.explored.html\n" and names(here) == ["cat.explored.html"]
    assert err == "resviz explore: no browser found; open 'cat.explored.html' yourself.\n"


def test_explore_says_what_is_wrong(here: Path, capsys, browser: list[str]):
    Path("bad.png").write_text("no picture")
    assert cli.main(["explore", "bad.png", *NET]) == 1
    err = capsys.readouterr().err
    assert err.startswith("resviz explore: ") and "bad.png" in err and err.count("\n") == 1
    assert cli.main(["explore", "none.png", *NET]) == 1
    assert capsys.readouterr().err == "resviz explore: no file 'none.png'.\n"
    assert browser == [] and names(here) == ["bad.png"]


# ---- what was found
def test_what_was_found_is_told_in_plain_lines(here: Path, capsys):
    assert cli.main(["explain", "../cat.png", *NET, "--out", "a.csv", "--out", "a.resviz"]) == 0
    err = capsys.readouterr().err
    best = pd.read_csv("a.csv").iloc[0]
    assert err.startswith(f"cat.png: {best['label']} {best['probability']:.2f}, ")
    exp = rv.load_explanation("a.resviz")
    values = exp.maps["grad_cam", "layer3.2"][0, 0].double().numpy().clip(0)
    held = np.sort(values, axis=None)[::-1].cumsum()
    share = round(100 * (1 + int((held < held[-1] / 2).sum())) / values.size)
    line = f"evidence for {best['label']} (grad_cam at layer3.2): half of it in {share} % of the "
    assert line in err and err.count("\n") == 2

    assert cli.main(["record", "../cat.png", *NET, "--out", "b.resviz"]) == 0
    err = capsys.readouterr().err
    rec = rv.load_recording("b.resviz")
    most = rec.residuals.loc[rec.residuals["ratio"].idxmax()]
    assert f"{most['block']} adds most: its branch is {most['ratio']:.2f} times its shortcut" in err
    ends = rec.parameters[rec.parameters["weighted"]].iloc[[0, -1]]
    for _, row in ends.iterrows():
        assert f"{row['grad_norm']:.2g} at {row['layer']} (depth {row['depth']})" in err
    assert 3 <= err.count("\n") <= 6
    assert cli.main(["record", "../cat.png", *NET, "--force", "-q", "--out", "b.resviz"]) == 0
    assert capsys.readouterr().err == ""


def test_what_was_found_of_several_pictures(here: Path, capsys):
    words = ["explain", *["../cat.png", "../dog.png"] * 4, *NET, "--out", "a.csv"]
    assert cli.main(words) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[5] == "and 3 more pictures" and lines[11] == "and 3 more maps"
    assert lines[1].startswith("dog.png: ") and " in dog.png (grad_cam" in lines[7]


def test_a_small_probability_is_not_told_as_none():
    about = {"output": "labels", "classes": ["cat", "dog", "owl"]}
    record = SimpleNamespace(provenance=about, logits=torch.tensor([[9.0, -5.4, -200]]))
    told = "a.png: cat 1.00, dog < 0.01, owl 0.00 (probability)"
    assert prediction_lines(record, ["a.png"]) == [told]


def test_labels_that_are_equal_by_rounding_are_told_best_first():
    about = {"output": "labels", "classes": ["cat", "dog", "owl", "fox"]}
    record = SimpleNamespace(provenance=about, logits=torch.tensor([[18.0, 40, 30, 20]]))
    told = "a.png: dog 1.00, owl 1.00, fox 1.00 (probability)"
    assert prediction_lines(record, ["a.png"]) == [told]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[4, 0], [0, 0]], "half of it in 25 % of the picture, most at the top left"),
        ([[1, 1], [1, 1.5]], "half of it in 50 % of the picture, most at the bottom right"),
        ([[0, 1, 0]] * 3, "half of it in 22 % of the picture, most at the top"),
        ([[-1, 0]], "none: no value of the map is above 0"),
        ([[float("nan"), 1]], "the map is not finite"),
    ],
)
def test_where_the_evidence_is_by_hand(values: list[list[float]], words: str):
    from resviz.cli.found import _where

    assert _where(np.array(values, dtype=float)) == words


@pytest.mark.thorough
def test_a_plain_network_has_nothing_to_add(here: Path, capsys):
    words = ["record", "../cat.png", "--model", "cifar10-plain20", "--no-gradients"]
    assert cli.main([*words, "--out", "a.csv"]) == 0
    assert capsys.readouterr().err.splitlines()[1:] == [
        "no residual additions: every block hands on what it makes, and nothing else"
    ]


# ---- files
def test_nothing_is_written_over_without_force(here: Path, capsys):
    Path("a.csv").write_text("mine")
    words = ["record", "../cat.png", *NET, "--out", "a.csv"]
    assert cli.main(words) == 1
    assert capsys.readouterr() == ("", "resviz record: 'a.csv' exists; --force writes over it.\n")
    assert Path("a.csv").read_text() == "mine"
    assert cli.main([*words, "--force"]) == 0
    assert Path("a.csv").read_text().startswith("layer,")


def test_a_picture_is_not_written_over_even_with_force(here: Path, capsys):
    before = Path("../cat.png").read_bytes()
    assert cli.main(["explain", "../cat.png", *NET, "--force", "--out", "../cat.png"]) == 1
    assert "is one of the pictures" in capsys.readouterr().err
    assert Path("../cat.png").read_bytes() == before


def test_outputs_that_cannot_be_are_told_at_once(here: Path, capsys):
    Path("folder.csv").mkdir()
    assert cli.main(["record", "../cat.png", *NET, "--out", "no/a.csv"]) == 1
    assert "no folder" in capsys.readouterr().err
    assert cli.main(["record", "../cat.png", *NET, "--out", "folder.csv", "--force"]) == 1
    assert "is a folder" in capsys.readouterr().err


def test_a_file_that_appears_meanwhile_stays(here: Path):
    path = Path("a.csv")
    with pytest.raises(cli_console.Stop, match="exists"), cli_files.whole_file(path, False) as part:
        part.write_text("new")
        path.write_text("theirs")
    assert path.read_text() == "theirs" and names(here) == ["a.csv"]


def test_where_there_are_no_hard_links_files_are_renamed(here: Path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with cli_files.whole_file(Path("a.csv"), False) as part:
        part.write_text("new")
    assert Path("a.csv").read_text() == "new"
    with (
        pytest.raises(cli_console.Stop, match="exists"),
        cli_files.whole_file(Path("a.csv"), False) as part,
    ):
        part.write_text("newer")
    assert Path("a.csv").read_text() == "new" and names(here) == ["a.csv"]


def test_a_link_is_followed(here: Path):
    Path("real.csv").write_text("old")
    Path("link.csv").symlink_to("real.csv")
    with cli_files.whole_file(Path("link.csv"), True) as part:
        part.write_text("new")
    assert Path("link.csv").is_symlink() and Path("real.csv").read_text() == "new"


def half_written(stop: Callable[[], None]) -> Callable[..., None]:
    def write(figures: object, title: str, path: Path) -> None:
        path.write_text("half")
        stop()

    return write


def interrupt() -> None:
    raise KeyboardInterrupt


def full() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (interrupt, 130),
        thorough(lambda: os.kill(os.getpid(), signal.SIGTERM), 143),
        thorough(full, 1),
        (lambda: 1 / 0, 1),
    ],
)
def test_no_part_of_a_file_is_left(stop, code: int, here: Path, monkeypatch, capsys):
    monkeypatch.setattr(cli_page, "write_figures", half_written(stop))
    before = signal.getsignal(signal.SIGTERM)
    words = ["record", "../cat.png", *NET, "--out", "a.csv", "--out", "b.png"]
    assert cli.main(words) == code
    assert capsys.readouterr().out == "a.csv\n"  # which was whole by then
    assert names(here) == ["a.csv"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_interrupt_says_so(here: Path, monkeypatch, capsys):
    monkeypatch.setattr("resviz.recording.recorder.record", lambda *_, **__: interrupt())
    assert cli.main(["record", "../cat.png", *NET]) == 130
    assert capsys.readouterr() == ("", "resviz record: interrupted\n")


# ---- what users wrote, in the page
@pytest.fixture
def evil_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    original = load.load_model

    def loaded(*args, **settings):
        net = original(*args, **settings)
        classes = tuple(f"{EVIL}</script><script>alert({n})</script>" for n in range(10))
        rv.set_preset(net, replace(rv.preset_of(net), classes=classes))
        return net

    monkeypatch.setattr(load, "load_model", loaded)


@pytest.mark.parametrize(
    ("command", "pictures"),
    [("explain", 1), thorough("explain", 2), thorough("record", 1), thorough("record", 2)],
)
def test_markup_in_names_is_no_html(command: str, pictures: int, here, evil_classes, monkeypatch):
    good, bad = ["../cat.png", "../dog.png"][:pictures], [f"{EVIL}.png", "&amp;<b>.png"][:pictures]
    for source, name in zip(good, bad, strict=True):
        shutil.copy(source, name)
    assert cli.main([command, *bad, *NET, "--out", "evil.html"]) == 0
    monkeypatch.undo()
    os.chdir(here)
    assert cli.main([command, *good, *NET, "--out", "good.html"]) == 0
    evil = Path("evil.html").read_text(encoding="utf-8")
    assert Tags(evil).seen == Tags(Path("good.html").read_text(encoding="utf-8")).seen
    assert "<img src=x" not in evil and "<script>alert(" not in evil


@pytest.mark.browser
def test_markup_in_names_is_text_in_a_browser(here: Path, evil_classes, chromium):
    pictures = [f"{EVIL}.png", "&lt;img src=y onerror=alert(2)&gt;.png"]
    for name in pictures:
        shutil.copy("../cat.png", name)
    assert cli.main(["explain", *pictures, *NET, "--out", "a.html"]) == 0
    told: list[str] = []
    with chromium.new_context() as context:
        page = context.new_page()
        page.on("dialog", lambda dialog: (told.append("dialog"), dialog.dismiss()))
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto((here / "a.html").as_uri())
        page.wait_for_selector(".rv-view select option", state="attached")
        shown = page.locator(".rv-view select option").all_text_contents()
        assert page.locator("img").count() == 0
    assert told == []
    for name in pictures:
        assert any(name in text and EVIL in text.replace(name, "") for text in shown)


def test_characters_that_steer_a_terminal_are_spelled_out(capsys):
    console = cli_console.Console("resviz explain")
    console.error("explain: no file 'a\x1b[2Jb\nc'.")
    assert capsys.readouterr().err == "resviz explain: no file 'a\\x1b[2Jb c'.\n"


@pytest.mark.thorough
def test_a_name_that_is_no_unicode(here: Path):
    name, out = os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"\xe9.csv")
    try:
        shutil.copy("../cat.png", name)
    except OSError:
        pytest.skip("this file system takes no such names")
    command = [sys.executable, "-m", "resviz", "explain", name, *NET, "--out", out]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"\xe9.csv\n")
    assert done.stderr.startswith("caf\ufffd.png: ".encode()) and b"resviz " not in done.stderr
    assert "caf\ufffd.png" in Path(out).read_text(encoding="utf-8")
    assert cli.main(["explain", name, *NET]) == 0
    page = Path(os.fsdecode(b"caf\xe9.explained.html")).read_text(encoding="utf-8")
    assert "caf\ufffd.png" in page or "caf\\ufffd.png" in page


# ---- pipes and terminals
@pytest.mark.thorough
@pytest.mark.parametrize("words", ["models", "--help"])
def test_nobody_reads_stdout(words: str):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "resviz", words]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.thorough
def test_stdout_and_stderr_are_closed(here: Path):
    line = f'"{sys.executable}" -m resviz record ../cat.png {" ".join(NET)} --out a.csv >&- 2>&-'
    assert subprocess.run(line, shell=True, timeout=60).returncode == 0
    assert names(here) == ["a.csv"]


def test_progress_is_for_terminals(capsys, monkeypatch):
    assert cli_console.Console("resviz explain").progress is False
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    loud, quiet = cli_console.Console("resviz explain"), cli_console.Console("x", quiet=True)
    assert (loud.progress, loud.bars, quiet.progress, quiet.bars) == (True, None, False, False)
    for console in (loud, quiet):
        console.say("loading resnet50")
    assert capsys.readouterr() == ("", "resviz explain: loading resnet50\n")


# ---- lists
def test_models_and_methods(capsys):
    assert cli.main(["models"]) == 0
    models = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"cifar10-resnet56", "resnet50", "fcn_resnet50"} <= set(models)
    assert cli.main(["methods"]) == 0
    methods = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert methods == list(rv.explanation_methods()["method"])


# ---- lab
FAKE = """
import os, signal, sys, time
assert os.path.isfile("notebooks/01_feature_maps.ipynb"), os.getcwd()
if "--fail" in sys.argv: sys.exit(7)
def leave(number, _):
    print("got", number, flush=True)
    sys.exit(40 + number)
signal.signal(signal.SIGTERM, leave); signal.signal(signal.SIGINT, leave)
print(*sys.argv[1:], flush=True)
time.sleep(60)
"""


@pytest.fixture
def fake_jupyter(tmp_path: Path) -> dict[str, str]:
    """An environment in which JupyterLab only says what it was told."""
    package = tmp_path / "fake" / "jupyterlab"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(FAKE)
    checkout = Path(cli.__file__).parents[2]
    return {**os.environ, "PYTHONPATH": f"{package.parent}{os.pathsep}{checkout}"}


def test_lab_copies_and_keeps_what_was_changed(here: Path, capsys):
    assert cli.main(["lab", "--copy-only"]) == 0
    copied, err = capsys.readouterr()
    first = Path("resviz-notebooks/notebooks/01_feature_maps.ipynb")
    photograph = Path("resviz-notebooks/sample_images/chelsea.png")
    assert err == "" and {str(first), str(photograph)} <= set(copied.splitlines())
    assert all(Path(line).is_file() for line in copied.splitlines())
    assert first.read_bytes() == cli_lab.shipped()["notebooks/01_feature_maps.ipynb"].read_bytes()

    first.write_text("mine")
    photograph.unlink()
    assert cli.main(["lab", "--copy-only"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{photograph}\n" and "notebooks/01_feature_maps.ipynb" in err
    assert err.count("\n") == 1 and first.read_text() == "mine"


def test_lab_in_place_of_a_file(here: Path, capsys):
    Path("a").touch()
    assert cli.main(["lab", "a", "--copy-only"]) == 1
    assert "'a' is a file" in capsys.readouterr().err


def test_notebooks_of_an_installed_package(here: Path, tmp_path: Path, monkeypatch):
    """As a wheel lays them out: share/resviz in the environment, listed in its record."""
    checkout = Path(cli.__file__).parents[2]
    share = tmp_path / "env" / "share" / "resviz"
    listed = []
    for folder in ("notebooks", "sample_images"):
        shutil.copytree(checkout / folder, share / folder)
        for file in (share / folder).iterdir():
            path = importlib.metadata.PackagePath(f"../../../share/resviz/{folder}/{file.name}")
            path.dist = SimpleNamespace(
                locate_file=lambda p: tmp_path / "env/lib/python3/site-packages" / p
            )
            listed.append(path)
    monkeypatch.setattr(cli_lab.metadata, "files", lambda _: listed)
    monkeypatch.setattr(cli_lab, "__file__", str(tmp_path / "env/lib/resviz/cli/lab.py"))
    found = cli_lab.shipped()
    assert found["notebooks/01_feature_maps.ipynb"].parent == share / "notebooks"
    assert set(found) >= {"sample_images/chelsea.png", "sample_images/rocket.jpg"}

    monkeypatch.setattr(cli_lab.metadata, "files", lambda _: None)
    with pytest.raises(cli_console.Stop, match="no notebooks in this installation"):
        cli_lab.shipped()


def test_lab_without_jupyterlab(here: Path, monkeypatch, capsys):
    monkeypatch.setattr(cli_lab.importlib.util, "find_spec", lambda _: None)
    assert cli.main(["lab"]) == 1
    assert "no JupyterLab" in capsys.readouterr().err
    assert names(here) == []


@pytest.mark.parametrize(
    ("root", "code", "options", "told"),
    [
        (True, 1, [], True),
        (True, 1, ["--jupyter=--allow-root"], False),
        (True, 0, [], False),
        (False, 1, [], False),
    ],
)
def test_lab_as_root(here: Path, monkeypatch, capsys, root, code, options, told):
    monkeypatch.setattr(cli_lab, "_is_root", lambda: root)
    monkeypatch.setattr(cli_lab, "_run", lambda *_: code)
    assert cli.main(["lab", *options]) == code
    assert ("--jupyter=--allow-root lets it" in capsys.readouterr().err) == told


def test_lab_hands_on_options_and_exit_code(here: Path, fake_jupyter):
    done = shell("lab", "mine", "--jupyter=--fail", env=fake_jupyter)
    assert done.returncode == 7, done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 55), (signal.SIGINT, 42)])
def test_lab_hands_on_signals(number: signal.Signals, code: int, here: Path, fake_jupyter):
    lab = subprocess.Popen(
        [sys.executable, "-m", "resviz", "lab", "mine", "--no-browser", "--port", "8899"],
        env=fake_jupyter,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert lab.stdout is not None
    try:
        told = next(line for line in lab.stdout if line.startswith("--"))
        assert f"--ServerApp.root_dir={here.resolve() / 'mine'}" in told
        assert "--no-browser --port=8899" in told and "notebooks/01_feature_maps.ipynb" in told
        time.sleep(0.1)
        lab.send_signal(number)
        assert f"got {number.value}" in lab.stdout.read()
        assert lab.wait(timeout=20) == code
    finally:
        lab.kill()
        lab.wait()
        lab.stdout.close()
