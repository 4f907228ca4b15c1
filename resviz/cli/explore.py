"""``resviz explore``: the screen of ``rv.explore`` as a page, opened in the browser."""

from __future__ import annotations

import argparse
import pathlib
import webbrowser

from resviz.cli.console import Console, result, shown_name
from resviz.cli.files import check_pictures, outputs, whole_file
from resviz.cli.found import evidence_lines, prediction_lines, recording_lines
from resviz.cli.inputs import each_picture, load_net


def run(options: argparse.Namespace, console: Console) -> int:
    """Write the page, and open it where no file was asked for."""
    check_pictures(options.images)
    files = outputs(options.out, ".explored.html", options.images, options.force)
    net = load_net(options, console)
    from resviz.views.export import save, save_html
    from resviz.views.widgets.explore import explore

    names = [shown_name(image) for image in each_picture(options.images)]
    console.say(f"recording and explaining {names[0]}")
    view = explore(net, list(options.images), names=names)
    for file in files:
        with whole_file(file, options.force) as part:
            if file.suffix.lower() == ".html":
                save_html(view, part, lesions=options.lesions, progress=console.bars)
            else:
                save(view, part)
        result(file)
    scene = view.view.scene
    found = [] if scene.exp is None else evidence_lines(scene.exp, names[:1], last=True)
    console.found([*prediction_lines(scene.rec, names[:1]), *found, *recording_lines(scene.rec)])
    if options.out is None and not options.no_open:
        _open(files[0], console)
    return 0


def _open(file: pathlib.Path, console: Console) -> None:
    """Show the page; a machine without a browser keeps the file."""
    try:
        opened = webbrowser.open(file.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        console.note(f"no browser found; open {str(file)!r} yourself.")
