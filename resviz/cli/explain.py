"""``resviz explain``: where in a picture the evidence for a class is, as files."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resviz.cli.console import Console, Stop, result, shown_name
from resviz.cli.files import check_pictures, outputs, whole_file
from resviz.cli.found import evidence_lines, prediction_lines
from resviz.cli.inputs import load, with_files

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from resviz.attribution.explanation import Explanation
    from resviz.views.figure import Figure

_RANKS = 5  # rows for each picture in a table of predictions, at least


def run(options: argparse.Namespace, console: Console) -> int:
    """Explain the pictures and write what was asked for."""
    check_pictures(options.images)
    files = outputs(options.out, ".explained.html", options.images, options.force)
    methods = _methods(options.method or ["grad_cam"])
    net, images, pictures = load(options, console)
    from resviz.attribution.explain import explain

    named = options.layer or ["auto"]
    layers: Any = named[0] if len(named) == 1 else named
    count = f"{len(images)} picture" + ("s" if len(images) > 1 else "")
    console.say(f"explaining {count}: {', '.join(methods)}")
    exp = explain(
        net,
        images,
        _targets(options, net, images),
        methods=methods,
        layers=layers,
        progress=console.bars,
    )
    names = [shown_name(picture) for picture in pictures]
    console.found([*prediction_lines(exp, names), *evidence_lines(exp, names)])
    for file in files:
        with whole_file(file, options.force) as part:
            _write(exp, options, net, images, pictures, part)
        result(file)
    return 0


def _methods(names: list[str]) -> list[str]:
    """The methods, which are looked up before a network is loaded."""
    from resviz.arguments import public_as
    from resviz.attribution.methods.asked import read_methods

    try:
        return list(public_as("explain")(read_methods)(names, None))
    except ValueError as err:
        raise Stop(str(err), code=2) from err


def _targets(options: argparse.Namespace, net: nn.Module, images: Tensor) -> Any:
    """For each image: the classes named, or the most probable ones; None: the predicted one."""
    from resviz.networks.predict import predict
    from resviz.preset import preset_of

    if options.target:
        classes = preset_of(net).classes
        return [[_class(text, classes) for text in options.target]] * len(images)
    if options.top and options.top > 1:
        guesses = predict(net, images, top=options.top)
        return [list(rows["index"]) for _, rows in guesses.groupby("image")]
    return None


def _class(text: str, classes: tuple[str, ...]) -> int | str:
    """A class's name; its index where it is a number and no name."""
    return int(text) if text not in classes and text.isascii() and text.isdigit() else text


# ---- files
def _write(
    exp: Explanation,
    options: argparse.Namespace,
    net: nn.Module,
    images: Tensor,
    pictures: list[pathlib.Path],
    part: pathlib.Path,
) -> None:
    ending = part.suffix.lower()
    if ending == ".resviz":
        exp.save(part)
    elif ending == ".csv":
        with_files(_table(exp, options, net, images), pictures).to_csv(part, index=False)
    else:
        from resviz.cli.page import write_figures
        from resviz.views.export import save

        if ending == ".html" and not options.original:
            save(_view(exp, pictures), part)
            return
        names = ", ".join(shown_name(picture) for picture in pictures)
        figures = _figures(exp, pictures, options.original)
        write_figures(figures, f"{names}: explained", part)


def _view(exp: Explanation, files: Sequence[pathlib.Path]) -> object:
    from resviz.views.widgets.explanation import explore_explanation

    return explore_explanation(exp, names=[shown_name(file) for file in files])


def _figures(exp: Explanation, images: list[pathlib.Path], whole: bool) -> list[Figure]:
    """A figure for each picture; methods have scales of their own, their units differ."""
    from resviz.views.figures.explanation import plot_explanation

    scale = "method" if len(exp.methods) > 1 else "shared"
    return [
        plot_explanation(
            exp, number, scale=scale, name=shown_name(image), original=image if whole else None
        )
        for number, image in enumerate(images)
    ]


def _table(
    exp: Explanation, options: argparse.Namespace, net: nn.Module, images: Tensor
) -> pd.DataFrame:
    from resviz.networks.predict import predict

    if options.table == "predictions":
        return predict(net, images, top=max(options.top or 0, _RANKS))
    return exp.to_frame() if options.table == "maps" else exp.evidence
