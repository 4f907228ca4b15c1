"""``resviz record``: one pass through a network, as files."""

from __future__ import annotations

import argparse
import importlib
import pathlib
from typing import TYPE_CHECKING, Any

from resviz.cli.console import Console, Stop, result, shown_name
from resviz.cli.files import check_pictures, outputs, whole_file
from resviz.cli.found import prediction_lines, recording_lines
from resviz.cli.inputs import load

if TYPE_CHECKING:
    from resviz.recording.recording import Recording
    from resviz.views.figure import Figure


def run(options: argparse.Namespace, console: Console) -> int:
    """Record the pictures and write what was asked for."""
    check_pictures(options.images)
    _check_view(options)
    files = outputs(options.out, ".recorded.html", options.images, options.force)
    net, images, pictures = load(options, console)
    from resviz.recording.recorder import record

    console.say(f"recording {len(images)} picture" + ("s" if len(images) > 1 else ""))
    rec = record(
        net,
        images,
        gradients=not options.no_gradients,
        batch_stats=options.batch_stats,
        keep=options.keep or (["blocks"] if options.view == "feature-maps" else []),
    )
    names = [shown_name(picture) for picture in pictures]
    console.found([*prediction_lines(rec, names), *recording_lines(rec)])
    for file in files:
        with whole_file(file, options.force) as part:
            _write(rec, net, options, names, console, part)
        result(file)
    return 0


def _others(options: argparse.Namespace) -> list[str]:
    """Options that ask for another recording than that of `explore`."""
    asked = {
        "--no-gradients": options.no_gradients,
        "--batch-stats": options.batch_stats,
        "--keep": options.keep,
    }
    return [name for name, value in asked.items() if value]


def _check_view(options: argparse.Namespace) -> None:
    others = _others(options)
    if options.view == "explore" and others:
        raise Stop(
            f"--view explore with {' and '.join(others)}; that screen records blocks and gradients "
            "in eval mode, nothing else. Leave one out, or take --view overview.",
            code=2,
        )


def _write(
    rec: Recording,
    net: Any,
    options: argparse.Namespace,
    names: list[str],
    console: Console,
    part: pathlib.Path,
) -> None:
    ending = part.suffix.lower()
    if ending == ".resviz":
        rec.save(part)
    elif ending == ".csv":
        getattr(rec, options.table).to_csv(part, index=False)
    else:
        from resviz.cli.page import write_figures
        from resviz.views.export import save

        view = _chosen(options, ending)
        shown = None
        if view == "explore":
            shown = _screen(net, options, names, console)
        elif view != "overview":
            shown = _view(rec, view)
        if shown is not None:
            save(shown, part)
            return
        write_figures(_figures(rec, names[0], console), f"{', '.join(names)}: recorded", part)


def _chosen(options: argparse.Namespace, ending: str) -> str:
    """The view asked for; else the one screen for a page, where it shows what was recorded."""
    if options.view is not None:
        return str(options.view)
    return "explore" if ending == ".html" and not _others(options) else "overview"


def _screen(net: Any, options: argparse.Namespace, names: list[str], console: Console) -> Any:
    """What ``rv.explore`` makes of the pictures; None where it can make nothing of the output."""
    from resviz.errors import UnknownOutput
    from resviz.views.widgets.explore import explore

    try:
        return explore(net, list(options.images), names=names)
    except UnknownOutput as err:
        console.note(f"the overview instead of the screen of explore: {str(err).split(';')[0]}.")
        return None


def _view(rec: Recording, name: str) -> Any:
    """What the ``explore_*`` function of that name makes of the recording."""
    home, function = {
        "feature-maps": ("feature_maps", "explore_feature_maps"),
        "residuals": ("residuals", "explore_residuals"),
        "gradients": ("gradients", "explore_gradients"),
    }[name]
    module = importlib.import_module(f"resviz.views.widgets.{home}")
    return getattr(module, function)(rec)


def _figures(rec: Recording, first: str, console: Console) -> list[Figure]:
    """Gradients or activations against depth, residual branches, and the kept feature maps."""
    from resviz.views.figures.depth import plot_depth_profile
    from resviz.views.figures.feature_maps import plot_feature_maps
    from resviz.views.figures.residuals import plot_residual_branches

    column = "grad_norm" if rec.loss is not None else "rms"
    figures = [plot_depth_profile(rec, y=column)]
    if len(rec.residuals):
        figures.append(plot_residual_branches(rec))
    if rec.tensors:
        console.say(f"feature maps of {first}")
    for key in rec.keys():  # noqa: SIM118  # a Recording is no mapping
        try:
            figures.append(plot_feature_maps(rec, key))
        except ValueError as err:  # a tensor without positions
            console.note(f"not drawn: {str(err).removeprefix('plot_feature_maps: ')}")
    return figures
