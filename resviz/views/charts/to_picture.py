"""The pen that draws a chart with matplotlib: PNG, SVG, PDF, without browser or network."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from resviz.views.charts.canvas import Canvas
from resviz.views.charts.chart import Chart

KINDS = ("png", "svg", "pdf")


def to_picture(chart: Chart, kind: str, scale: float = 1.0) -> bytes:
    r"""The chart as "png", "svg" or "pdf".

    Args:
        chart: what to draw.
        kind: of file.
        scale: of a PNG, picture elements per CSS pixel.

    Example:
        >>> from resviz.views.charts.draft import Draft
        >>> to_picture(Draft(200).chart("nothing"), "png")[:4]
        b'\x89PNG'
    """
    if kind == "pdf":
        return to_pages([chart])
    how: dict[str, Any] = {"dpi": 100 * scale} if kind == "png" else {"metadata": {"Date": None}}
    out = io.BytesIO()
    with _any_letter():
        Canvas(chart).drawn().savefig(out, format=kind, **how)
    return out.getvalue()


def to_pages(charts: Sequence[Chart]) -> bytes:
    """A PDF with a page for each chart."""
    from matplotlib.backends.backend_pdf import PdfPages

    out = io.BytesIO()
    with _any_letter(), PdfPages(out, metadata={"CreationDate": None}) as pages:
        for chart in charts:
            pages.savefig(Canvas(chart).drawn())
    return out.getvalue()


@contextmanager
def _any_letter() -> Iterator[None]:
    """A letter the font lacks is drawn as a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        yield
