"""``resviz scan``: a folder of pictures through a network, as one file."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from resviz.cli.console import Console, Stop, result
from resviz.cli.files import outputs, whole_file
from resviz.cli.inputs import load_net

if TYPE_CHECKING:
    from resviz.scanning.scan import Scan

_NAMED = 5  # images that were left out


def run(options: argparse.Namespace, console: Console) -> int:
    """Scan, and write what was asked for."""
    dataset = _dataset(options.pictures)
    files = _files(options)
    kept = next((file for file in files if file.suffix.lower() == ".resviz"), None)
    net = load_net(options, console)
    with _anew(kept, options.force) as path:
        scan = _scanned(net, dataset, path, options, console)
    console.found(_lines(scan))
    for file in files:
        if file is not kept:
            _write(scan, file, options)
        result(file)
    return 0


def _dataset(pictures: list[pathlib.Path]) -> Any:
    """The folder; or the files."""
    missing = [path for path in pictures if not path.exists()]
    if missing:
        raise Stop(f"no file or folder {str(missing[0])!r}.")
    folders = [path for path in pictures if path.is_dir()]
    if folders and len(pictures) > 1:
        raise Stop(f"{str(folders[0])!r} is a folder, and not alone; one folder, or files.", code=2)
    return folders[0] if folders else pictures


def _files(options: argparse.Namespace) -> list[pathlib.Path]:
    """Where to write; a ``.resviz`` that is there is a scan to go on with."""
    out = options.out or [pathlib.Path(f"{options.pictures[0].resolve().name}.scan.resviz")]
    going_on = [file for file in out if file.suffix.lower() == ".resviz"]
    others = [file for file in out if file not in going_on]
    checked = outputs(going_on, "", [], True) if going_on else []
    if len(checked) > 1:
        raise Stop(f"{len(checked)} names that end in .resviz; one.", code=2)
    return [*checked, *(outputs(others, "", [], options.force) if others else [])]


@contextlib.contextmanager
def _anew(kept: pathlib.Path | None, force: bool) -> Iterator[pathlib.Path | None]:
    """The file to go on with; where it is to be written over, another one until that is whole."""
    if kept is None or not force or not kept.exists():
        yield kept
        return
    with whole_file(kept, force) as part:
        part.unlink()  # an empty file is no scan to go on with
        yield part


def _scanned(
    net: Any,
    dataset: Any,
    kept: pathlib.Path | None,
    options: argparse.Namespace,
    console: Console,
) -> Scan:
    from resviz.scanning.scanning import scan

    return scan(
        net,
        dataset,
        measures="all" if options.measure == ["all"] else options.measure,
        layers=options.layer[0] if options.layer in (["all"], ["blocks"]) else options.layer,
        engine=options.engine,
        batch_size=options.batch_size,
        workers=options.workers,
        path=kept,
        amp=options.amp,
        on_error=options.on_error,
        top=options.top,
        progress=console.bars,
    )


def _lines(scan: Scan) -> list[str]:
    """Images, accuracy, dead channels; what was left out."""
    images, left = len(scan.images), scan.skipped
    accuracy = scan.accuracy
    said = f"{images} images" if accuracy != accuracy else f"{images} images, {accuracy:.1%} right"
    lines = [f"{said}, {len(scan.channels)} channels of {len(scan.layers)} layers"]
    if "dead" in scan.channels:
        dead = scan.channels[scan.channels["dead"]]
        share = dead["active_bound"].max()
        bound = f"; {share:.2g} of images at most activate each (95 %)" if len(dead) else ""
        lines.append(f"{len(dead)} channels that no image activates{bound}")
    for row in left.head(_NAMED).to_dict("records"):
        lines.append(f"left out: {row['name'] or row['image']} ({row['reason']})")
    return lines + ([f"and {len(left) - _NAMED} more"] if len(left) > _NAMED else [])


def _write(scan: Scan, file: pathlib.Path, options: argparse.Namespace) -> None:
    with whole_file(file, options.force) as part:
        getattr(scan, options.table).to_csv(part, index=False)
