"""A chart on its way to a matplotlib figure: its axes, its words, its legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resviz.views import style
from resviz.views.charts import strokes
from resviz.views.charts.chart import Axis, Chart
from resviz.views.charts.draft import WIDTH
from resviz.views.charts.marks import ColourBar, Heat, Mark, Note, Rule, Stripe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINT = strokes.POINT
_LETTER = 6.4  # pixels of a small letter, about


def _inches(pixels: float) -> float:
    """At 100 dots per inch, a trace more: matplotlib 3.9 makes 459 dots of 459.99999999999994."""
    return (pixels + 1e-9) / 100


class Canvas:
    """One chart under the pen."""

    def __init__(self, chart: Chart) -> None:
        """An empty canvas of the chart's size."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.chart = chart
        self.width, self.height = chart.width or WIDTH, chart.height
        self.figure = Figure(figsize=(_inches(self.width), _inches(self.height)), dpi=100)
        FigureCanvasAgg(self.figure)
        self.figure.set_facecolor(style.BACKGROUND)
        margin = chart.margin
        self.left, self.bottom = margin.left / self.width, margin.bottom / self.height
        self.across = 1 - (margin.left + margin.right) / self.width
        self.up = 1 - (margin.top + margin.bottom) / self.height
        self.axes: dict[tuple[str, str], Axes] = {}
        self.legend: dict[str, tuple[int, Any]] = {}

    def drawn(self) -> Figure:
        """The whole chart."""
        for each in self.chart.below:
            self._draw_below(each)
        for mark in self.chart.marks:
            self._draw_mark(mark)
        for note in self.chart.notes:
            self._draw_note(note)
        for (x, y), ax in self.axes.items():
            self._dress(ax, x, y)
        self._draw_title()
        self._draw_legend()
        return self.figure

    def _axis(self, name: str) -> Axis:
        return self.chart.axes.get(name, Axis())

    def on(self, x: str, y: str) -> Axes:
        """The matplotlib axes of a pair of axes, made on first use."""
        if (x, y) not in self.axes:
            (left, right), (low, high) = self._axis(x).domain, self._axis(y).domain
            size = ((right - left) * self.across, (high - low) * self.up)
            ax = self.figure.add_axes((*self.place(left, low), *size))
            ax.set_facecolor(style.BACKGROUND)
            if self._axis(x).log:
                ax.set_xscale("log")
            if self._axis(y).log:
                ax.set_yscale("log")
            self.axes[x, y] = ax
        return self.axes[x, y]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Shares of the plotting area as shares of the canvas."""
        return self.left + x * self.across, self.bottom + y * self.up

    # ---- marks
    def _draw_mark(self, mark: Mark | ColourBar) -> None:
        if isinstance(mark, ColourBar):
            self._draw_bar(mark)
            return
        if isinstance(mark, Heat) and mark.bar is not None:
            self._draw_bar(mark.bar)
        handle = strokes.draw(self.on(mark.xaxis, mark.yaxis), mark)
        if handle is not None and mark.name and mark.legend:
            rank = getattr(mark, "rank", None)
            self.legend.setdefault(mark.name, (1000 if rank is None else rank, handle))

    def _draw_bar(self, bar: ColourBar) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        corner = self.place(bar.x, bar.y - bar.length / 2)
        cax = self.figure.add_axes((*corner, bar.thickness / self.width, bar.length * self.up))
        mappable = ScalarMappable(Normalize(bar.low, bar.high), strokes.colour_map(bar.colours))
        made = self.figure.colorbar(mappable, cax=cax)
        if bar.ticks is not None:
            made.set_ticks([value for value, _ in bar.ticks], labels=[w for _, w in bar.ticks])
        cax.tick_params(labelsize=style.SMALL * _POINT, colors=style.INK)
        made.outline.set_linewidth(0.5)
        cax.set_ylabel(bar.title, **_font(style.SMALL, style.INK))

    # ---- around the marks
    def _reference(self, xref: str, yref: str) -> tuple[Axes, Any]:
        """The axes, and the transform of places on them: values, or shares of what they span."""
        from matplotlib.transforms import blended_transform_factory

        names = [xref.partition(" ")[0], yref.partition(" ")[0]]
        if names[0] == "paper":
            names[0] = self._axis(names[1]).anchor or "x"
        ax = self.on(names[0], names[1])
        parts = [
            ax.transData if ref[-1] in "xy0123456789" else ax.transAxes for ref in (xref, yref)
        ]
        return ax, blended_transform_factory(*parts)

    def _draw_below(self, each: Rule | Stripe) -> None:
        from matplotlib.patches import Rectangle

        if isinstance(each, Rule):
            ax, where = self._reference(each.xref, each.yref)
            look = strokes.line_look(each.colour, each.width, each.dash)
            look |= {"scalex": False, "scaley": False, "zorder": 1.5}
            ax.plot(each.x, each.y, transform=where, **look)
            return
        xref = each.xaxis if each.x else f"{each.xaxis} domain"
        ax, where = self._reference(xref, f"{each.yaxis} domain")
        low, high = each.x or (0.0, 1.0)
        look = {"facecolor": each.fill, "zorder": 0, "linewidth": 0}
        ax.add_patch(Rectangle((low, 0), high - low, 1, transform=where, **look))
        if each.text and self._has_room(each):
            font = _font(style.SMALL, style.FAINT) | {"ha": "center", "va": "bottom"}
            middle = (low + high) / 2
            ax.text(middle, 1.0, each.text, transform=where, zorder=1.5, **font)

    def _has_room(self, each: Stripe) -> bool:
        """Whether a stripe is as wide as its name: cut at both ends it would be another word."""
        axis = self._axis(each.xaxis)
        if each.x is None or axis.limits is None or axis.log:
            return True
        low, high = sorted(axis.limits)
        share = (min(each.x[1], high) - max(each.x[0], low)) / (high - low)
        across = self.width * self.across * (axis.domain[1] - axis.domain[0])
        return share * across > _LETTER * len(each.text)

    def _draw_note(self, note: Note) -> None:
        font = _font(note.size, note.colour) | {
            "rotation": 90 if note.upright else 0,
            "ha": note.anchor[0],
            "va": {"middle": "center"}.get(note.anchor[1], note.anchor[1]),
            "fontweight": "bold" if note.bold else "normal",
        }
        if note.xref == note.yref == "paper":
            x, y = self.place(note.x, note.y)
            x, y = x + note.shift[0] / self.width, y + note.shift[1] / self.height
            self.figure.text(x, y, note.text, **font)
            return
        ax, where = self._reference(note.xref, note.yref)
        ways = {"xycoords": where, "textcoords": "offset pixels", "annotation_clip": False}
        ax.annotate(note.text, (note.x, note.y), note.shift, zorder=4, **ways, **font)

    def _draw_title(self) -> None:
        top, x = 1 - 14 / self.height, 16 / self.width
        for line in self.chart.title.splitlines():
            self.figure.text(x, top, line, va="top", **_font(16, style.INK))
            top -= 22 / self.height
        for line in self.chart.lines:
            self.figure.text(x, top, line, va="top", **_font(style.SMALL, style.FAINT))
            top -= 16 / self.height

    def _draw_legend(self) -> None:
        legend = self.chart.legend
        if not self.legend or legend is None:
            return
        ordered = sorted(self.legend.items(), key=lambda each: each[1][0])
        vertical = "lower" if legend.anchor[1] == "bottom" else "upper"
        corner: Any = f"{vertical} {'right' if legend.anchor[0] == 'right' else 'left'}"
        made = self.figure.legend(
            [handle for _, (_, handle) in ordered],
            [name for name, _ in ordered],
            loc=corner,
            frameon=False,
            bbox_to_anchor=self.place(legend.x, legend.y),
            bbox_transform=self.figure.transFigure,
            fontsize=(style.SMALL + 1) * _POINT,
            borderaxespad=0,
            handlelength=2.2,
            ncols=len(ordered) if legend.across else 1,
        )
        for text in made.get_texts():
            text.set_parse_math(False)

    # ---- axes
    def _dress(self, ax: Axes, xname: str, yname: str) -> None:
        """Limits, ticks, titles, grid and frame of one pair of axes."""
        x, y = self._axis(xname), self._axis(yname)
        for axis, limit in ((x, ax.set_xlim), (y, ax.set_ylim)):
            if axis.limits is not None:
                limit(*axis.limits)
        if y.square:
            ax.set_aspect("equal", anchor="NW")
        for axis, drawn in ((x, ax.xaxis), (y, ax.yaxis)):
            _dress_axis(axis, drawn)
        ax.set_axisbelow(True)
        at_foot = (x.anchor or "y" + xname[1:]) == yname
        ax.tick_params(labelsize=style.SMALL * _POINT, colors=style.INK, color=style.FAINT)
        ax.tick_params(axis="x", labelbottom=at_foot, bottom=at_foot)
        if not at_foot:
            ax.set_xlabel("")
        shown = {"left": y.visible, "bottom": at_foot and x.visible}
        for side in ("top", "right", "bottom", "left"):
            ax.spines[side].set_visible(shown.get(side, False))
            ax.spines[side].set_color(style.FAINT)
            ax.spines[side].set_linewidth(0.7)


def _dress_axis(axis: Axis, drawn: Any) -> None:
    from matplotlib.ticker import LogLocator, MultipleLocator

    if not axis.visible:
        drawn.set_visible(False)
        return
    if axis.ticks is not None:
        drawn.set_ticks([value for value, _ in axis.ticks], [words for _, words in axis.ticks])
        drawn.set_ticks([], minor=True)
    elif axis.step is not None and not axis.log:
        drawn.set_major_locator(MultipleLocator(axis.step))
    elif axis.step is not None:
        drawn.set_major_locator(LogLocator(10.0**axis.step))
    if axis.title:
        drawn.set_label_text(axis.title, **_font(style.FONT, style.INK))
    if axis.grid:
        drawn.grid(True, color=style.GRID, linewidth=0.6, zorder=1)


def _font(size: float, colour: str) -> dict[str, Any]:
    return {"fontsize": size * _POINT, "color": strokes.colour_of(colour), "parse_math": False}
