"""What the values of options may be: endings of files, counts, ports."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

PICTURES = (".html", ".png", ".svg", ".pdf")


def out_file(text: str) -> pathlib.Path:
    """A file that `explain` and `record` write."""
    return _ending_in((*PICTURES, ".csv", ".resviz"), text)


def scan_file(text: str) -> pathlib.Path:
    """A file that `scan` writes."""
    return _ending_in((".csv", ".resviz"), text)


def view_file(text: str) -> pathlib.Path:
    """A page, or a picture of it."""
    return _ending_in(PICTURES, text)


def _ending_in(endings: Sequence[str], text: str) -> pathlib.Path:
    path = pathlib.Path(text)
    if path.suffix.lower() not in endings:
        raise argparse.ArgumentTypeError(f"{text!r}; a name that ends in {', '.join(endings)}")
    return path


def count(text: str) -> int:
    """A whole number from 1 on."""
    return _whole(text, 1, None)


def port(text: str) -> int:
    """A number of a port."""
    return _whole(text, 1, 65535)


def _whole(text: str, low: int, high: int | None) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < low or (high is not None and number > high):
        limits = f"from {low}" + ("" if high is None else f" to {high}")
        raise argparse.ArgumentTypeError(f"{text!r}; a whole number {limits}")
    return number
