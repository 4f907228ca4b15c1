"""`plot_depth_profile`: one measured quantity against depth, for one or several networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.curve_marks import curve_marks
from resviz.views.figures.curves import (
    Curve,
    as_tables,
    columns_of,
    curve,
    kind_of,
    stage_bounds,
    table_of,
)
from resviz.views.figures.panels import (
    DEPTH,
    Floats,
    Panel,
    add_panel,
    depth_axis,
    shade_stages,
    shared_bounds,
)
from resviz.views.figures.quantities import Quantity, quantity_of, shared_conditions

if TYPE_CHECKING:
    from resviz.views.records import Tables

_HEIGHT, _LEFT = 460, 84


def plot_depth_profile(
    tables: Tables,
    y: str = "grad_norm",
    x: str = "depth",
    *,
    rows: str | Sequence[str] | None = None,
    log: bool | None = None,
    theory: Mapping[str, Callable[[NDArray[np.float64]], ArrayLike]] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of one measured quantity against depth, several networks on one axis.

    With several tables of one network (seeds) the line is their median and the band runs from the
    smallest to the largest. Projections are open markers beside the line. On a log axis exact zeros
    stand in a strip of their own below it. Stages are shaded where all networks have the same, and
    each network keeps its colour through all figures of a session, the first eight of it; lines of
    one colour differ in their dashes. The title says what was measured.

    Args:
        tables: a table of :func:`resviz.gradient_norms`, a part of a Recording (``rec.layers``,
            ``rec.residuals``), a Recording, or ``{"ResNet-56": table or list of tables, ...}``.
        y: the column to draw. From a Recording, "grad_norm" and "weight_norm" are of the weights,
            other names are columns of ``rec.layers``, then of ``rec.residuals``.
        x: the column along the axis.
        rows: of a table of layers: a type ("Conv2d"), several, "leaf" or "block". Default: block
            outputs where there are any.
        log: log or linear axis. Default: log for sizes (norms, rms, ratios), else linear.
        theory: ``{"1/2 per layer": function of depth}``, drawn as dashed lines.
        title: replaces the first line of the title; what was measured stays below it.

    Raises:
        TypeError: `tables` holds something else.
        ValueError: no such column, nothing to draw, or negative values on a log axis.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"layer": ["a", "b"], "parameter": ["a.weight", "b.weight"],
        ...                       "depth": [1, 2], "grad_norm": [0.5, 0.0]})
        >>> figure = plot_depth_profile({"toy": table})
        >>> figure.layout.yaxis2.ticktext     # the strip of the exact zero
        ('0',)
    """
    lists = as_tables(tables, "plot_depth_profile")
    kind, quantity = _measured(lists, x, y)
    curves = [curve(name, several, kind, x, y, rows) for name, several in lists.items()]
    log = quantity.magnitude if log is None else log
    _check(curves, y, log)
    draft = Draft(_HEIGHT, margin=Margin(left=_LEFT))
    panel = _add_panel(draft, curves, quantity.axis, log, y)
    xs = np.concatenate([each.rows["x"].to_numpy() for each in curves])
    depth_axis(draft, panel, float(np.nanmin(xs)), float(np.nanmax(xs)), _x_title(x))
    shade_stages(draft, [panel], shared_bounds(map(stage_bounds, curves)))
    _add_theory(draft, panel, theory or {}, np.unique(xs[np.isfinite(xs)]))
    common, own = shared_conditions([each.about for each in curves])
    colours = style.colours_of(lists)
    dashes = style.dashes_of(colours[each.name] for each in curves)
    for each, extra, dash in zip(curves, own, dashes, strict=True):
        look = shared(name=_legend(each, extra), dash=dash)
        draft.add(*curve_marks(panel, each, colours[each.name], **look))
    draft.room_right(draft.legend_width())
    notes = [quantity.note]
    if kind == "layers":
        frames = {name: table_of(each[0], kind) for name, each in lists.items()}
        notes.append(rows_note(frames, rows))
    heading = title or f"{quantity.title} against {_x_title(x)}"
    said = common + style.not_finite(*(each.values for each in curves))
    return Figure.of(draft.chart(heading, " · ".join(filter(None, notes)), said))


def _measured(lists: Mapping[str, Sequence[Any]], x: str, y: str) -> tuple[str, Quantity]:
    """The kind of table that `y` is in, the same in all, and what `y` measures."""
    tables = [table for several in lists.values() for table in several]
    kinds = dict.fromkeys(kind_of(table, y) for table in tables)
    if len(kinds) > 1:
        raise ValueError(
            f"plot_depth_profile: tables of different kinds ({', '.join(kinds)}), in which {y!r} is"
            " not the same quantity; tables of one kind would be right."
        )
    kind = next(iter(kinds))
    for table in tables:
        for column in (x, y):
            columns = [str(name) for name in table_of(table, kind)]
            quantity = quantity_of(kind, column, columns, columns_of(table, kind))
    return kind, quantity


def _check(curves: Sequence[Curve], y: str, log: bool) -> None:
    for each in curves:
        if np.isnan(each.values).all():
            raise ValueError(
                f"plot_depth_profile: {y!r} of {each.name!r} holds no numbers;"
                " record with gradients=True to have gradients."
            )
        if log and (each.values < 0).any():
            raise ValueError(
                f"plot_depth_profile: {y!r} of {each.name!r} has negative values, which a log axis"
                " cannot show; use log=False."
            )


def _add_panel(draft: Draft, curves: Sequence[Curve], axis: str, log: bool, y: str) -> Panel:
    values = np.concatenate([each.values.ravel() for each in curves])
    limits = (-0.02, 1.02) if y == "zero_fraction" else None
    title = axis + (" (log)" if log else "")
    return add_panel(draft, (0, 1), values, title=title, log=log, limits=limits)


def _x_title(x: str) -> str:
    return {"depth": DEPTH}.get(x, x)


def _legend(each: Curve, extra: str) -> str:
    seeds = f"median and range of {each.seeds} seeds" if each.seeds > 1 else ""
    return "\n".join(filter(None, [each.name, extra, seeds]))


def rows_note(frames: Mapping[str, pd.DataFrame], rows: str | Sequence[str] | None) -> str:
    """Which rows of tables of layers are drawn; nothing where all are, as of a GradientFlow.

    Args:
        frames: by network, its table.
        rows: the chosen ones.
    """
    if rows:
        return "rows: " + (rows if isinstance(rows, str) else ", ".join(rows))
    words = {True: "at the block outputs", False: "at every layer"}
    known = {name: frame["kind"] for name, frame in frames.items() if "kind" in frame}
    blocks = {name: bool((kinds == "block").any()) for name, kinds in known.items()}
    named = {each: ", ".join(n for n, own in blocks.items() if own is each) for each in words}
    found = {words[each]: names for each, names in named.items() if names}
    if len(found) < 2 and len(blocks) == len(frames):
        return "".join(found)
    return "; ".join(f"{where}: {names}" for where, names in found.items())


def _add_theory(draft: Draft, panel: Panel, theory: Mapping[str, Any], xs: Floats) -> None:
    for number, (name, function) in enumerate(theory.items()):
        y = np.broadcast_to(np.asarray(function(xs), dtype=float), xs.shape)
        look = shared(colour=style.FAINT, width=1.5, dash=("dash", "dot", "dashdot")[number % 3])
        hover = Hover("theory: %{y:.4g}")
        draft.add(Series(x=xs, y=y, yaxis=panel.y, name=name, hover=hover, **look))
