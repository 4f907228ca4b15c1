"""``resviz record``: one pass through a network, as files."""

from __future__ import annotations

import argparse
import importlib
import pathlib
from typing import TYPE_CHECKING, Any

from resviz.cli.console import Console, result, shown_name
from resviz.cli.files import check_pictures, outputs, whole_file
from resviz.cli.inputs import load

if TYPE_CHECKING:
    from resviz.recording.recording import Recording
    from resviz.views.figure import Figure


def run(options: argparse.Namespace, console: Console) -> int:
    """Record the pictures and write what was asked for."""
    check_pictures(options.images)
    files = outputs(options.out, ".recorded.html", options.images, options.force)
    net, images = load(options, console)
    from resviz.recording.recorder import record

    console.say(f"recording {len(images)} picture" + ("s" if len(images) > 1 else ""))
    rec = record(
        net,
        images,
        gradients=not options.no_gradients,
        batch_stats=options.batch_stats,
        keep=options.keep or (["blocks"] if options.view == "feature-maps" else []),
    )
    for file in files:
        with whole_file(file, options.force) as part:
            _write(rec, options, console, part)
        result(file)
    return 0


def _write(
    rec: Recording, options: argparse.Namespace, console: Console, part: pathlib.Path
) -> None:
    ending = part.suffix.lower()
    if ending == ".resviz":
        rec.save(part)
    elif ending == ".csv":
        getattr(rec, options.table).to_csv(part, index=False)
    else:
        from resviz.cli.page import write_figures
        from resviz.views.export import save

        if options.view != "overview":
            save(_view(rec, options.view), part)
            return
        names = ", ".join(shown_name(image) for image in options.images)
        write_figures(_figures(rec, options.images[0], console), f"{names}: recorded", part)


def _view(rec: Recording, name: str) -> Any:
    """What the ``explore_*`` function of that name makes of the recording."""
    home, function = {
        "feature-maps": ("feature_maps", "explore_feature_maps"),
        "residuals": ("residuals", "explore_residuals"),
        "gradients": ("gradients", "explore_gradients"),
    }[name]
    module = importlib.import_module(f"resviz.views.widgets.{home}")
    return getattr(module, function)(rec)


def _figures(rec: Recording, first: pathlib.Path, console: Console) -> list[Figure]:
    """Gradients or activations against depth, residual branches, and the kept feature maps."""
    from resviz.views.figures.depth import plot_depth_profile
    from resviz.views.figures.feature_maps import plot_feature_maps
    from resviz.views.figures.residuals import plot_residual_branches

    column = "grad_norm" if rec.loss is not None else "rms"
    figures = [plot_depth_profile(rec, y=column)]
    if len(rec.residuals):
        figures.append(plot_residual_branches(rec))
    if rec.tensors:
        console.say(f"feature maps of {shown_name(first)}")
    for key in rec.keys():  # noqa: SIM118  # a Recording is no mapping
        try:
            figures.append(plot_feature_maps(rec, key))
        except ValueError as err:  # a tensor without positions
            console.note(f"not drawn: {str(err).removeprefix('plot_feature_maps: ')}")
    return figures
