"""writing.py: files that are whole or not there, under the name that was meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resviz import storage
from resviz.writing import destination, whole_file


def test_home_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert destination("~/a.png") == tmp_path / "a.png"
    (tmp_path / "real.png").write_text("before")
    (tmp_path / "link.png").symlink_to("real.png")
    with whole_file(destination(tmp_path / "link.png")) as part:
        part.write_text("after")
    assert (tmp_path / "link.png").is_symlink() and (tmp_path / "real.png").read_text() == "after"


def test_a_record_knows_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    storage.write("~/a.resviz", "thing", {}, {"n": 1})
    assert (tmp_path / "a.resviz").is_file()
    assert storage.read(Path("~/a.resviz"), "thing")[1] == {"n": 1}


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(FileNotFoundError, match="no folder '.*nowhere'; make it first"):
        destination(tmp_path / "nowhere" / "a.png")
    with pytest.raises(IsADirectoryError, match=r"folder\.png' is a folder; the name of a file"):
        destination(tmp_path / "folder.png", (".png",))
    with pytest.raises(FileNotFoundError, match="no home folder for '~nobody-here/a'"):
        destination("~nobody-here/a")
    for path in (3, None, b"a.png"):
        with pytest.raises(TypeError, match="path is a "):
            destination(path)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    with pytest.raises(error), whole_file(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_a_long_name_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250 + ".png")
    with whole_file(path) as part:
        part.write_text("whole")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_who_may_read_a_file_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.resviz"
    for mode in (0o600, 0o400):
        storage.write(file, "thing", {}, {})
        file.chmod(mode)
        storage.write(file, "thing", {}, {"n": 1}, durable=True)
        assert file.stat().st_mode & 0o777 == mode and storage.read(file, "thing")[1] == {"n": 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names there")
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.resviz"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="is a pipe or a device.*name of a file would"):
        storage.write(pipe, "thing", {}, {})
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]
