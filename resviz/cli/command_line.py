"""The command line of ``resviz``: its commands, their options and what is said of them."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import resviz
from resviz.cli import values


def parser() -> argparse.ArgumentParser:
    """The command line of ``resviz``."""
    top = _Parser(
        prog="resviz",
        description="See what happens inside a residual network.",
        epilog=_TOP_EPILOG,
    )
    top.add_argument("--version", action="version", version=f"resviz {resviz.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_lab(commands)
    _add_explore(commands)
    _add_explain(commands)
    _add_record(commands)
    _add_scan(commands)
    _add_lists(commands)
    return top


_TOP_EPILOG = """\
resviz COMMAND --help tells more about a command.

exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted.
Paths of files written go to stdout, one a line; everything else goes to stderr."""


class _Parser(argparse.ArgumentParser):
    """Options are written out in full; text keeps its lines."""

    def __init__(self, **settings: Any) -> None:
        lines = argparse.RawDescriptionHelpFormatter
        super().__init__(allow_abbrev=False, formatter_class=lines, **settings)


def _command(commands: Any, name: str, line: str, epilog: str = "") -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=line, description=f"{line[0].upper()}{line[1:]}.", epilog=epilog
    )
    quiet = "show no progress, and say nothing of what was found"
    added.add_argument("-q", "--quiet", action="store_true", help=quiet)
    added.add_argument("--debug", action="store_true", help="show where an error came from")
    return added


def _add_lab(commands: Any) -> None:
    lab = _command(commands, "lab", "copy the notebooks and the photographs, open JupyterLab")
    lab.add_argument(
        "folder",
        nargs="?",
        type=pathlib.Path,
        metavar="DIR",
        default=pathlib.Path("resviz-notebooks"),
        help="where to copy them (default: resviz-notebooks); changed files there stay",
    )
    lab.add_argument("--copy-only", action="store_true", help="copy, and start nothing")
    lab.add_argument("--no-browser", action="store_true", help="open no browser")
    lab.add_argument("--port", type=values.port, metavar="N", help="where JupyterLab listens")
    lab.add_argument(
        "--jupyter",
        action="append",
        metavar="OPTION",
        default=[],
        help="hand an option on to JupyterLab, as in --jupyter=--allow-root; may be repeated",
    )


def _add_explore(commands: Any) -> None:
    explore = _command(
        commands,
        "explore",
        "look into a network: blocks, explanation, feature maps and shortcuts on one screen",
        "example: resviz explore cat.png --model resnet50\n"
        "With --out nothing is opened; without it the page is written and opened.",
    )
    _add_network(explore)
    explore.add_argument(
        "--lesions",
        action="store_true",
        help="cut every block of the first picture's network, one at a time, so that readers of "
        "the page can, too: about four passes for each block",
    )
    explore.add_argument("--no-open", action="store_true", help="open no browser")
    explore.add_argument(
        "--out",
        action="append",
        type=values.view_file,
        metavar="FILE",
        help=".html: the interactive page; .png, .svg or .pdf: a picture of it (default: "
        "IMAGE.explored.html in the current folder); may be repeated",
    )
    explore.add_argument("--force", action="store_true", help="write over files that exist")


def _add_explain(commands: Any) -> None:
    explain = _command(
        commands,
        "explain",
        "show where in a picture the evidence for a class is",
        "example: resviz explain cat.png --model resnet50 --method layer_cam --out cat.html",
    )
    _add_network(explain)
    explain.add_argument(
        "--method",
        action="append",
        metavar="NAME",
        help="grad_cam (default), layer_cam, ...: see `resviz methods`; may be repeated",
    )
    explain.add_argument(
        "--layer",
        action="append",
        metavar="PATH",
        help="layer4, layer3.5.relu, auto (default: the last layer with positions) or blocks; "
        "may be repeated",
    )
    which = explain.add_mutually_exclusive_group()
    which.add_argument(
        "--target",
        action="append",
        metavar="CLASS",
        help="name or index of the class to explain (default: the predicted one); may be repeated",
    )
    which.add_argument(
        "--top",
        type=values.count,
        metavar="K",
        help="explain each picture's K most probable classes",
    )
    explain.add_argument(
        "--table",
        choices=("predictions", "evidence", "maps"),
        default="predictions",
        help="what a .csv holds (default: predictions)",
    )
    explain.add_argument(
        "--original",
        action="store_true",
        help="draw the maps over the whole photographs, also where they were cropped",
    )
    _add_out(explain, "IMAGE.explained.html", "the whole explanation, for rv.load_explanation")


def _add_record(commands: Any) -> None:
    record = _command(
        commands,
        "record",
        "record one pass through a network: layers, residual branches, gradients",
        "example: resviz record cat.png --model cifar10-resnet56 --table residuals --out cat.csv",
    )
    _add_network(record)
    record.add_argument(
        "--keep",
        action="append",
        metavar="KEY",
        default=[],
        help="keep a tensor: layer4, blocks, layer1.0.add:branch, ...; may be repeated",
    )
    record.add_argument("--no-gradients", action="store_true", help="run the forward pass alone")
    record.add_argument(
        "--batch-stats",
        action="store_true",
        help="BatchNorm on these pictures' own statistics, as in training",
    )
    record.add_argument(
        "--table",
        choices=("layers", "residuals", "parameters"),
        default="layers",
        help="what a .csv holds (default: layers)",
    )
    record.add_argument(
        "--view",
        choices=("explore", "overview", "feature-maps", "residuals", "gradients"),
        help="what a page or a picture shows: explore, the screen of `resviz explore` (default of"
        " a page, unless --keep, --no-gradients or --batch-stats ask for another recording);"
        " overview, figures one after the other (default otherwise); feature-maps keeps blocks"
        " where --keep says nothing",
    )
    _add_out(record, "IMAGE.recorded.html", "the whole recording, for rv.load_recording")


def _add_scan(commands: Any) -> None:
    scan = _command(
        commands,
        "scan",
        "stream a folder of pictures through a network: what each channel looks for",
        "example: resviz scan photographs --model resnet50 --out photographs.resviz\n"
        "A .resviz that is there already is gone on with.",
    )
    scan.add_argument(
        "pictures",
        nargs="+",
        type=pathlib.Path,
        metavar="FOLDER",
        help="a folder of pictures, or of a folder for each class; or files",
    )
    _add_model(scan)
    scan.add_argument(
        "--measures",
        dest="measure",
        nargs="+",
        metavar="NAME",
        help="channels, top, quantiles, classes, correlation, embedding (these by default), "
        "residuals, gradients, faithfulness; or all",
    )
    scan.add_argument(
        "--layer",
        action="append",
        metavar="PATH",
        help="layer3, layer4.0.relu, blocks (default) or all; may be repeated",
    )
    scan.add_argument("--engine", default="local", metavar="NAME", help="local (default), ray")
    scan.add_argument(
        "--top", type=values.count, default=9, metavar="K", help="images per channel (9)"
    )
    scan.add_argument("--batch-size", type=values.count, metavar="N", help="pictures at a time")
    scan.add_argument(
        "--workers", type=values.count, metavar="N", help="processes that read pictures"
    )
    scan.add_argument("--amp", choices=("bfloat16", "float16"), help="run in half precision")
    scan.add_argument(
        "--on-error",
        choices=("skip", "raise"),
        default="skip",
        help="leave out pictures that cannot be read (default), or stop",
    )
    scan.add_argument(
        "--table",
        choices=("channels", "layers", "classes", "images"),
        default="channels",
        help="what a .csv holds (default: channels)",
    )
    scan.add_argument(
        "--out",
        action="append",
        type=values.scan_file,
        metavar="FILE",
        help=".resviz: the whole scan, for rv.load_scan, written while it runs; .csv: a table "
        "(default: FOLDER.scan.resviz in the current folder); may be repeated",
    )
    scan.add_argument(
        "--force",
        action="store_true",
        help="write over files that exist, a scan once the new one is whole",
    )


def _add_lists(commands: Any) -> None:
    _command(commands, "models", "list the networks that --model takes")
    _command(commands, "methods", "list the methods that --method takes, with their papers")


def _add_network(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "images", nargs="+", type=pathlib.Path, metavar="IMAGE", help="a file that Pillow reads"
    )
    _add_model(command)


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        default="resnet50",
        metavar="NAME",
        help="resnet50 (default), cifar10-resnet56 (needs no download), ...: see `resviz models`",
    )
    command.add_argument(
        "--weights",
        default="default",
        metavar="WEIGHTS",
        help="default, random, torchvision's name (IMAGENET1K_V1) or a file",
    )
    command.add_argument("--seed", type=int, metavar="N", help="of random weights")
    command.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the best)")


def _add_out(command: argparse.ArgumentParser, default: str, whole: str) -> None:
    command.add_argument(
        "--out",
        action="append",
        type=values.out_file,
        metavar="FILE",
        help=".html: an interactive page; .png, .svg or .pdf: a picture; .csv: a table; "
        f".resviz: {whole} (default: {default} in the current folder); may be repeated",
    )
    command.add_argument("--force", action="store_true", help="write over files that exist")
