"""Static pictures: figures and views as PNG, SVG or PDF, without browser or network."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import plotly.graph_objects as go

from resviz.arguments import caller, public
from resviz.views.charts.chart import Chart
from resviz.views.charts.to_picture import to_pages, to_picture
from resviz.views.figure import Figure


@public
def static_png(figure_or_view: Any, *, scale: float = 1.0) -> bytes:
    r"""A PNG of a figure that `plot_*` made, or of a view in its present state.

    Args:
        figure_or_view: a figure, or a view with a ``figure()`` of its present state.
        scale: picture elements per CSS pixel.

    Raises:
        TypeError: neither a figure nor a view.
        ValueError: a figure that was changed after it was made, or that no `plot_*` made.

    Example:
        >>> import pandas as pd
        >>> from resviz.views.figures.training import plot_training
        >>> png = static_png(plot_training(pd.DataFrame({"epoch": [1], "test_error": [9.0]})))
        >>> png[:4]
        b'\x89PNG'
    """
    return to_picture(_chart_of(figure_or_view), "png", scale)


@public
def static_svg(figure_or_view: Any) -> bytes:
    """The same picture as an SVG drawing; arguments and errors as :func:`static_png`."""
    return to_picture(_chart_of(figure_or_view), "svg")


@public
def static_pdf(*figures_or_views: Any) -> bytes:
    """The same as a PDF, a page for each; arguments and errors as :func:`static_png`."""
    return to_pages([_chart_of(each) for each in figures_or_views])


def framed(png: bytes, kind: str) -> bytes:
    """A picture as "png", "svg" or "pdf": the same picture elements, 100 to the inch."""
    from matplotlib.figure import Figure as Canvas
    from PIL import Image

    if kind == "png":
        return png
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    height, width = pixels.shape[:2]
    canvas, out = Canvas(figsize=(width / 100, height / 100)), io.BytesIO()
    ax = canvas.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.imshow(pixels, interpolation="none", aspect="auto")
    date = {"svg": "Date", "pdf": "CreationDate"}[kind]
    canvas.savefig(out, format=kind, metadata={date: None})
    return out.getvalue()


def _chart_of(figure_or_view: Any) -> Chart:
    figure = figure_or_view.figure() if hasattr(figure_or_view, "figure") else figure_or_view
    if isinstance(figure, Figure):
        return figure.whole_chart()
    if isinstance(figure, go.Figure):
        raise ValueError(
            f"{caller()}: a plotly {type(figure).__name__} that no plot_* function made; one of "
            "plot_*, or a view, would be right. rv.save_html keeps every kind."
        )
    raise TypeError(f"{caller()}: a {type(figure).__name__}; a figure of plot_* or a view.")
