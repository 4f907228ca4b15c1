"""Static pictures: the figures of this package drawn by matplotlib, without browser or network.

:func:`static_png` reads a plotly figure and draws its traces, shapes and notes again. It knows what
`plot_*` uses (lines, markers, filled bands, heat maps, pictures, log axes, subplots, shaded
rectangles, notes, colour bars, legends) and refuses other kinds of traces.
"""

from __future__ import annotations

import base64
import html
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.colors
import plotly.graph_objects as go

from resviz.arguments import caller, public
from resviz.views import style
from resviz.views.charts import canvas as charted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH, HEIGHT = 900, 460
_POINT = 0.72  # matplotlib points per pixel, at 100 dots per inch
_DASHES = {None: "-", "solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_SYMBOLS = {
    None: "o",
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "x": "x",
    "cross": "P",
}
_ACROSS = {"left": 0.0, "center": 0.5, "right": 1.0}
_UP = {"bottom": 0.0, "middle": 0.5, "top": 1.0}


@public
def static_png(figure_or_view: Any, *, scale: float = 1.0) -> bytes:
    r"""A PNG of a plotly figure that `plot_*` made, or of a view in its present state.

    Args:
        figure_or_view: a plotly figure, or a view with a ``figure()`` of its present state.
        scale: picture elements per CSS pixel.

    Raises:
        TypeError: neither a figure nor a view.
        ValueError: the figure holds a kind of trace that is not drawn here.

    Example:
        >>> png = static_png(go.Figure(go.Scatter(x=[1, 2], y=[3, 4])))
        >>> png[:4]
        b'\x89PNG'
    """
    return _saved(figure_or_view, format="png", dpi=100 * scale)


@public
def static_svg(figure_or_view: Any) -> bytes:
    """The same picture as an SVG drawing; arguments and errors as :func:`static_png`."""
    return _saved(figure_or_view, format="svg", metadata={"Date": None})


@public
def static_pdf(*figures_or_views: Any) -> bytes:
    """The same as a PDF, a page for each; arguments and errors as :func:`static_png`."""
    from matplotlib.backends.backend_pdf import PdfPages

    out = io.BytesIO()
    with _any_letter(), PdfPages(out, metadata={"CreationDate": None}) as pages:
        for each in figures_or_views:
            pages.savefig(_canvas(each))
    return out.getvalue()


def drawn(figure: go.Figure, kind: str) -> bytes:
    """The figure as "png", "svg" or "pdf"."""
    pens: dict[str, Callable[[Any], bytes]] = {
        "png": static_png,
        "svg": static_svg,
        "pdf": static_pdf,
    }
    return pens[kind](figure)


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


def _saved(figure_or_view: Any, **how: Any) -> bytes:
    out = io.BytesIO()
    with _any_letter():
        _canvas(figure_or_view).savefig(out, **how)
    return out.getvalue()


def _canvas(figure_or_view: Any) -> Canvas:
    figure = figure_or_view.figure() if hasattr(figure_or_view, "figure") else figure_or_view
    if not isinstance(figure, go.Figure):
        raise TypeError(
            f"{caller()}: a {type(figure).__name__}; a plotly Figure or a view is expected."
        )
    if getattr(figure, "_chart", None) is not None:
        return charted.Canvas(figure.whole_chart()).drawn()
    drawing = _Drawing(figure)
    drawing.draw()
    return drawing.canvas


@contextmanager
def _any_letter() -> Iterator[None]:
    """A letter the font lacks is drawn as a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        yield


def plain(text: str) -> str:
    """Plotly's markup as plain text: ``<br>`` is a new line, other tags go, entities return."""
    return html.unescape(re.sub(r"<[^>]*>", "", text.replace("<br>", "\n")))


def _inches(pixels: float) -> float:
    """At 100 dots per inch, a trace more: matplotlib 3.9 makes 459 dots of 459.99999999999994."""
    return (pixels + 1e-9) / 100


@dataclass
class _Drawing:
    """One plotly figure on its way to a matplotlib canvas."""

    figure: go.Figure
    canvas: Canvas = field(init=False)
    axes: dict[tuple[str, str], Axes] = field(default_factory=dict)
    legend: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Canvas

        self.width = self.figure.layout.width or WIDTH
        self.height = self.figure.layout.height or HEIGHT
        self.canvas = Canvas(figsize=(_inches(self.width), _inches(self.height)), dpi=100)
        FigureCanvasAgg(self.canvas)
        self.canvas.set_facecolor(style.BACKGROUND)
        margin = self.figure.layout.margin
        template = self.figure.layout.template.layout.margin
        sizes = [
            getattr(margin, side) if getattr(margin, side) is not None else getattr(template, side)
            for side in "lrtb"
        ]
        left, right, top, bottom = (80 if size is None else size for size in sizes)
        self.left, self.bottom = left / self.width, bottom / self.height
        self.across = 1 - (left + right) / self.width
        self.up = 1 - (top + bottom) / self.height

    def draw(self) -> None:
        for shape in self.figure.layout.shapes:
            _draw_shape(self, shape)
        for trace in self.figure.data:
            if trace.visible in (None, True):
                _draw_trace(self, trace)
        for note in self.figure.layout.annotations:
            _draw_note(self, note)
        for (x, y), ax in self.axes.items():
            _dress(ax, self.axis(x), self.axis(y), x, y)
        _draw_title(self)
        _draw_legend(self)

    def axis(self, name: str) -> Any:
        """``"x2"`` -> ``layout.xaxis2``."""
        return self.figure.layout[f"{name[0]}axis{name[1:]}"]

    def on(self, x: str | None, y: str | None) -> Axes:
        """The matplotlib axes of a pair of plotly axes, made on first use."""
        key = (x or "x", y or "y")
        if key not in self.axes:
            across = self.axis(key[0]).domain or (0, 1)
            up = self.axis(key[1]).domain or (0, 1)
            ax = self.canvas.add_axes(
                (
                    *self.place(across[0], up[0]),
                    (across[1] - across[0]) * self.across,
                    (up[1] - up[0]) * self.up,
                )
            )
            ax.set_facecolor(style.BACKGROUND)
            if self.axis(key[0]).type == "log":
                ax.set_xscale("log")
            if self.axis(key[1]).type == "log":
                ax.set_yscale("log")
            self.axes[key] = ax
        return self.axes[key]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Paper coordinates (0..1 over the plotting area) as canvas fractions."""
        return self.left + x * self.across, self.bottom + y * self.up


def _numbers(values: Any) -> np.ndarray[Any, Any]:
    try:
        return np.array([np.nan if v is None else v for v in values], dtype=float)
    except (TypeError, ValueError) as error:  # dates, names
        raise ValueError(
            f"{caller()}: a trace with places that are no numbers ({error}); numbers are drawn. "
            "rv.save_html keeps every kind."
        ) from error


def _draw_trace(drawing: _Drawing, trace: Any) -> None:
    kinds = {"scatter": _draw_scatter, "heatmap": _draw_heatmap, "image": _draw_image}
    if trace.type not in kinds:
        raise ValueError(
            f"{caller()}: a trace of type {trace.type!r}; drawn are {', '.join(kinds)}. "
            "rv.save_html keeps every kind."
        )
    kinds[trace.type](drawing, trace, drawing.on(trace.xaxis, trace.yaxis))


def _draw_scatter(drawing: _Drawing, trace: Any, ax: Axes) -> None:
    y = _numbers(trace.y)
    x = np.arange(float(len(y))) if trace.x is None else _numbers(trace.x)
    mode = trace.mode or "lines"
    if trace.marker.showscale:
        _draw_bar(
            drawing,
            trace.marker.colorbar,
            trace.marker.colorscale,
            trace.marker.cmin,
            trace.marker.cmax,
        )
        return  # such traces carry the bar alone
    opacity = 1.0 if trace.opacity is None else trace.opacity
    if opacity == 0 or not len(x):
        return
    if trace.fill == "toself":
        _draw_band(ax, x, y, trace.fillcolor)
        return
    if "text" in mode:
        _draw_texts(ax, x, y, trace)
    handle = ax.plot(
        x,
        y,
        alpha=opacity,
        clip_on="markers" not in mode,
        zorder=3,
        **_line(trace, mode),
        **_marker(trace, mode),
    )[0]
    if trace.name and trace.showlegend is not False and mode != "text":
        drawing.legend.setdefault(plain(trace.name), handle)


def _line(trace: Any, mode: str) -> dict[str, Any]:
    if "lines" not in mode:
        return {"linestyle": ""}
    width = 2 if trace.line.width is None else trace.line.width
    return {
        "color": _colour(trace.line.color),
        "linewidth": width * _POINT,
        "linestyle": _DASHES[trace.line.dash],
    }


def _marker(trace: Any, mode: str) -> dict[str, Any]:
    if "markers" not in mode:
        return {}
    symbol, _, hollow = (trace.marker.symbol or "circle").partition("-open")
    is_open = "-open" in (trace.marker.symbol or "")
    colour = _colour(trace.marker.color or trace.line.color)
    size = trace.marker.size or 6
    return {
        "marker": _SYMBOLS[symbol],
        "markersize": size * _POINT,
        "markeredgecolor": colour,
        "markerfacecolor": style.BACKGROUND if is_open else colour,
        "markeredgewidth": 1.1 if is_open or symbol == "x" else 0.5,
    }


def _colour(code: Any) -> Any:
    """A CSS colour as matplotlib takes it."""
    if isinstance(code, str) and code.startswith("rgb"):
        parts = [float(v) for v in re.findall(r"[\d.]+", code)]
        return tuple(v / 255 for v in parts[:3]) + tuple(parts[3:])
    return code or style.COLOURS[0]


def _draw_band(ax: Axes, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], fill: str) -> None:
    cuts = np.flatnonzero(np.isnan(x) | np.isnan(y))
    for xs, ys in zip(np.split(x, cuts), np.split(y, cuts), strict=True):
        kept = ~(np.isnan(xs) | np.isnan(ys))
        ax.fill(xs[kept], ys[kept], color=_colour(fill), linewidth=0, zorder=2)


def _draw_texts(ax: Axes, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], trace: Any) -> None:
    up, across = (trace.textposition or "middle center").split()
    # plotly's "bottom right" puts the text below and to the right of the point
    va = {"bottom": "top", "top": "bottom", "middle": "center"}[up]
    ha = {"right": "left", "left": "right", "center": "center"}[across]
    for xi, yi, text in zip(x, y, trace.text, strict=True):
        ax.text(
            xi,
            yi,
            plain(str(text)),
            ha=ha,
            va=va,
            color=_colour(trace.textfont.color),
            fontsize=(trace.textfont.size or style.SMALL) * _POINT,
            parse_math=False,
            zorder=4,
        )


def _map(scale: Any) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    stops = [list(stop) for stop in scale] if not isinstance(scale, str) else scale
    rgb = plotly.colors.sample_colorscale(stops, np.linspace(0, 1, 256).tolist(), colortype="tuple")
    return LinearSegmentedColormap.from_list("scale", rgb, 256)


def _draw_heatmap(drawing: _Drawing, trace: Any, ax: Axes) -> None:
    scale, low, high = trace.colorscale, trace.zmin, trace.zmax
    if trace.showscale is not False:
        _draw_bar(drawing, trace.colorbar, scale, low, high)
    if trace.opacity == 0:
        return
    z = np.asarray(trace.z, dtype=float)
    _show(ax, trace, z, cmap=_map(scale), vmin=low, vmax=high)


def _draw_image(drawing: _Drawing, trace: Any, ax: Axes) -> None:
    from PIL import Image

    raw = base64.b64decode(trace.source.partition(",")[2])
    _show(ax, trace, np.asarray(Image.open(io.BytesIO(raw)).convert("RGBA")))


def _show(ax: Axes, trace: Any, pixels: np.ndarray[Any, Any], **colours: Any) -> None:
    x0, dx, y0, dy = (
        default if value is None else value
        for value, default in ((trace.x0, 0), (trace.dx, 1), (trace.y0, 0), (trace.dy, 1))
    )
    rows, columns = pixels.shape[:2]
    extent = (x0 - dx / 2, x0 + dx * (columns - 0.5), y0 + dy * (rows - 0.5), y0 - dy / 2)
    smooth = "bilinear" if trace.type == "heatmap" and trace.zsmooth else "nearest"
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(pixels, extent=extent, interpolation=smooth, aspect="auto", zorder=2, **colours)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])


def _draw_bar(drawing: _Drawing, bar: Any, scale: Any, low: float, high: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    length = 1 if bar.len is None else bar.len
    x = 1.02 if bar.x is None else bar.x
    y = 0.5 if bar.y is None else bar.y
    corner = drawing.place(x, y - length / 2)
    cax = drawing.canvas.add_axes(
        (*corner, (bar.thickness or 14) / drawing.width, length * drawing.up)
    )
    mappable = ScalarMappable(Normalize(low, high), _map(scale))
    made = drawing.canvas.colorbar(mappable, cax=cax)
    if bar.tickvals is not None:
        made.set_ticks(list(bar.tickvals), labels=[plain(str(t)) for t in bar.ticktext])
    cax.tick_params(labelsize=style.SMALL * _POINT, colors=style.INK)
    made.outline.set_linewidth(0.5)
    cax.set_ylabel(
        plain(bar.title.text or ""),
        fontsize=style.SMALL * _POINT,
        color=style.INK,
        parse_math=False,
    )


def _reference(drawing: _Drawing, xref: str | None, yref: str | None) -> tuple[Any, Any, Any]:
    """(axes or None, transform of x, transform of y) of plotly's references."""
    names = [(ref or default).partition(" ")[0] for ref, default in ((xref, "x"), (yref, "y"))]
    if names == ["paper", "paper"]:
        return None, "paper", "paper"
    if names[0] == "paper":
        names[0] = drawing.axis(names[1]).anchor or "x"
    if names[1] == "paper":
        names[1] = drawing.axis(names[0]).anchor or "y"
    ax = drawing.on(*names)
    pixels = [
        ax.transData if ref in (None, "x", "y") or re.fullmatch(r"[xy]\d+", ref) else ax.transAxes
        for ref in (xref, yref)
    ]
    return ax, pixels[0], pixels[1]


def _draw_shape(drawing: _Drawing, shape: Any) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.transforms import blended_transform_factory

    ax, tx, ty = _reference(drawing, shape.xref, shape.yref)
    where = blended_transform_factory(tx, ty)
    if shape.type == "line":
        ax.plot(
            [shape.x0, shape.x1],
            [shape.y0, shape.y1],
            transform=where,
            zorder=1.5,
            color=_colour(shape.line.color),
            linestyle=_DASHES[shape.line.dash],
            linewidth=(shape.line.width or 1) * _POINT,
            scalex=False,
            scaley=False,
        )
        return
    ax.add_patch(
        Rectangle(
            (shape.x0, shape.y0),
            shape.x1 - shape.x0,
            shape.y1 - shape.y0,
            transform=where,
            facecolor=_colour(shape.fillcolor),
            zorder=0,
            linewidth=0,
        )
    )
    if shape.label.text:
        ax.text(
            (shape.x0 + shape.x1) / 2,
            shape.y1 - 0.02,
            plain(shape.label.text),
            transform=where,
            ha="center",
            va="top",
            color=style.FAINT,
            clip_on=True,
            fontsize=(shape.label.font.size or style.SMALL) * _POINT,
            parse_math=False,
            zorder=1.5,
        )


def _draw_note(drawing: _Drawing, note: Any) -> None:
    from matplotlib.transforms import blended_transform_factory

    font = {
        "fontsize": (note.font.size or style.SMALL) * _POINT,
        "parse_math": False,
        "color": _colour(note.font.color or style.INK),
        "rotation": -(note.textangle or 0),
        "ha": "center" if note.xanchor in (None, "auto") else note.xanchor,
        "va": {"middle": "center"}.get(note.yanchor, note.yanchor) or "center",
    }
    ax, tx, ty = _reference(drawing, note.xref, note.yref)
    if ax is None:
        x, y = drawing.place(note.x, note.y)
        x += (note.xshift or 0) / drawing.width
        y += (note.yshift or 0) / drawing.height
        drawing.canvas.text(x, y, plain(note.text), **font)
        return
    ax.annotate(
        plain(note.text),
        (note.x, note.y),
        (note.xshift or 0, note.yshift or 0),
        xycoords=blended_transform_factory(tx, ty),
        textcoords="offset pixels",
        annotation_clip=False,
        zorder=4,
        **font,
    )


def _dress(ax: Axes, x: Any, y: Any, xname: str, yname: str) -> None:
    """Ranges, ticks, titles, grid and frame of one pair of axes."""
    from matplotlib.ticker import MultipleLocator

    for axis, limit in ((x, ax.set_xlim), (y, ax.set_ylim)):
        if axis.range is not None:
            limit(*(10**v if axis.type == "log" else v for v in axis.range))
    if y.scaleanchor:
        ax.set_aspect("equal", anchor="NW")
    for axis, drawn in ((x, ax.xaxis), (y, ax.yaxis)):
        if axis.visible is False:
            drawn.set_visible(False)
            continue
        if axis.tickvals is not None:
            labels = axis.ticktext if axis.ticktext is not None else axis.tickvals
            drawn.set_ticks(list(axis.tickvals), [plain(str(t)) for t in labels])
            drawn.set_ticks([], minor=True)
        elif axis.dtick is not None and axis.type != "log":
            drawn.set_major_locator(MultipleLocator(axis.dtick))
        if axis.title.text:
            drawn.set_label_text(
                plain(axis.title.text),
                fontsize=style.FONT * _POINT,
                color=style.INK,
                parse_math=False,
            )
        if axis.showgrid is not False:
            drawn.grid(True, color=style.GRID, linewidth=0.6, zorder=1)
    ax.set_axisbelow(True)
    at_foot = (x.anchor or "y" + xname[1:]) == yname and x.showticklabels is not False
    ax.tick_params(labelsize=style.SMALL * _POINT, colors=style.INK, color=style.FAINT)
    ax.tick_params(axis="x", labelbottom=at_foot, bottom=at_foot)
    if not at_foot:
        ax.set_xlabel("")
    for side in ("top", "right", "bottom", "left"):
        kept = (side == "left" and y.visible is not False) or (
            side == "bottom" and at_foot and x.visible is not False
        )
        ax.spines[side].set_visible(kept)
        ax.spines[side].set_color(style.FAINT)
        ax.spines[side].set_linewidth(0.7)


def _draw_title(drawing: _Drawing) -> None:
    title = drawing.figure.layout.title.text or ""
    top, x = 1 - 14 / drawing.height, 16 / drawing.width
    for number, line in enumerate(plain(title).splitlines()):
        size = 16 if number == 0 else style.SMALL
        drawing.canvas.text(
            x,
            top,
            line,
            fontsize=size * _POINT,
            va="top",
            parse_math=False,
            color=style.INK if number == 0 else style.FAINT,
        )
        top -= (22 if number == 0 else 16) / drawing.height


def _draw_legend(drawing: _Drawing) -> None:
    legend = drawing.figure.layout.legend
    if not drawing.legend or drawing.figure.layout.showlegend is False:
        return
    x = 1.02 if legend.x is None else legend.x
    y = 1.0 if legend.y is None else legend.y
    vertical = "lower" if legend.yanchor == "bottom" else "upper"
    corner: Any = f"{vertical} {'right' if legend.xanchor == 'right' else 'left'}"
    made = drawing.canvas.legend(
        list(drawing.legend.values()),
        list(drawing.legend),
        loc=corner,
        frameon=False,
        bbox_to_anchor=drawing.place(x, y),
        bbox_transform=drawing.canvas.transFigure,
        fontsize=(style.SMALL + 1) * _POINT,
        borderaxespad=0,
        handlelength=2.2,
        ncols=len(drawing.legend) if legend.orientation == "h" else 1,
    )
    for text in made.get_texts():
        text.set_parse_math(False)
