"""`plot_depth_profile`: one measured quantity against depth, for one or several networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.curves import (
    Curve,
    as_tables,
    columns_of,
    curve,
    kind_of,
    stage_bounds,
    table_of,
)
from resviz.views.figures.panels import Panel, add_panel, depth_axis, shade_stages
from resviz.views.figures.quantities import Quantity, quantity_of, shared_conditions
from resviz.views.static import plain

_HEIGHT, _TOP, _BOTTOM, _LEFT = 460, 96, 56, 84
_HOVER = (
    "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>shape %{customdata[2]}"
    "<br>%{customdata[3]}<extra></extra>"
)


def plot_depth_profile(
    tables: Any,
    y: str = "grad_norm",
    x: str = "depth",
    *,
    rows: str | Sequence[str] | None = None,
    log: bool | None = None,
    theory: Mapping[str, Callable[[NDArray[np.float64]], Any]] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of one measured quantity against depth, several networks on one axis.

    With several tables of one network (seeds) the line is their median and the band runs from the
    smallest to the largest. Projections are open markers beside the line. On a log axis exact zeros
    stand in a strip of their own below it. Stages are shaded. The title says what was measured.

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
    one = next(iter(lists.values()))[0]
    kind, quantity = _measured(lists, x, y)
    curves = [curve(name, several, kind, x, y, rows) for name, several in lists.items()]
    log = quantity.magnitude if log is None else log
    _check(curves, y, log)
    fig = _empty()
    values = np.concatenate([each.values.ravel() for each in curves])
    pixels = _HEIGHT - _TOP - _BOTTOM
    limits = (-0.02, 1.02) if y == "zero_fraction" else None
    panel = add_panel(
        fig, (0, 1), values, title=_axis(quantity, log), log=log, pixels=pixels, limits=limits
    )
    xs = np.concatenate([each.rows["x"].to_numpy() for each in curves])
    depth_axis(fig, panel, float(np.nanmin(xs)), float(np.nanmax(xs)), _x_title(x))
    whose = _shade(fig, panel, curves)
    _add_theory(fig, panel, theory or {}, np.unique(xs[np.isfinite(xs)]))
    common, own = shared_conditions([each.about for each in curves])
    for number, (each, extra) in enumerate(zip(curves, own, strict=True)):
        add_curve(fig, panel, each, style.colour(number), name=_legend(each, extra))
    fig.update_layout(margin_r=legend_width(fig))
    heading = style.escape(title) if title else f"{quantity.title} against {_x_title(x)}"
    fig.update_layout(
        title={
            "text": style.heading(
                heading,
                " · ".join(filter(None, [quantity.note, _rows_note(kind, one, rows), whose])),
                common + _not_finite(curves),
            )
        }
    )
    return fig


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


def _empty() -> Figure:
    return Figure(
        layout={
            "template": style.template(),
            "height": _HEIGHT,
            "showlegend": True,
            "margin": {"l": _LEFT, "t": _TOP, "b": _BOTTOM},
        }
    )


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


def _axis(quantity: Quantity, log: bool) -> str:
    return f"{style.escape(quantity.axis)}{' (log)' if log else ''}"


def _x_title(x: str) -> str:
    return {"depth": "depth (weighted layers from the input)"}.get(x, style.escape(x))


def _legend(each: Curve, extra: str) -> str:
    seeds = f"<br>median and range of {each.seeds} seeds" if each.seeds > 1 else ""
    return style.escape(each.name) + (f"<br>{extra}" if extra else "") + seeds


def legend_width(fig: Figure) -> int:
    """Pixels that the longest line of the legend takes, beside its line and marker."""
    named = [trace.name or "" for trace in fig.data if trace.showlegend is not False]
    lines = [line for name in named for line in plain(name).splitlines()]
    return min(84 + round(7.6 * max(map(len, lines), default=0)), 430)


def _rows_note(kind: str, table: Any, rows: str | Sequence[str] | None) -> str:
    if kind != "layers":
        return ""
    if rows is not None:
        return "rows: " + style.escape(rows if isinstance(rows, str) else ", ".join(rows))
    frame = table_of(table, kind)
    blocks = "kind" in frame and (frame["kind"] == "block").any()
    return "at the block outputs" if blocks else "at every layer"


def _shade(fig: Figure, panel: Panel, curves: Sequence[Curve]) -> str:
    """Shade stages; where the networks differ in them, the deepest one's, and say whose."""
    bounds = [stage_bounds(each) for each in curves]
    deepest = max(range(len(curves)), key=lambda n: curves[n].rows["x"].max())
    shade_stages(fig, [panel], bounds[deepest])
    differ = any(each and each != bounds[deepest] for each in bounds)
    return f"stages of {style.escape(curves[deepest].name)}" if differ else ""


def _not_finite(curves: Sequence[Curve]) -> str:
    return style.not_finite(sum(int((~np.isfinite(each.values)).sum()) for each in curves))


def _add_theory(
    fig: Figure, panel: Panel, theory: Mapping[str, Any], xs: NDArray[np.float64]
) -> None:
    for number, (name, function) in enumerate(theory.items()):
        fig.add_scatter(
            x=xs,
            y=np.broadcast_to(np.asarray(function(xs), dtype=float), xs.shape),
            yaxis=panel.y,
            mode="lines",
            name=style.escape(name),
            hovertemplate="theory: %{y:.4g}<extra></extra>",
            line={
                "color": style.FAINT,
                "width": 1.5,
                "dash": ("dash", "dot", "dashdot")[number % 3],
            },
        )


def add_curve(
    fig: Figure, panel: Panel, each: Curve, colour: str, *, name: str, dash: str = "solid"
) -> None:
    """Draw one network: band, line, projections beside it, and exact zeros in the strip."""
    with np.errstate(all="ignore"):
        finite = np.where(np.isfinite(each.values), each.values, np.nan)
        seen = np.asarray(~np.isnan(finite).all(axis=1))
        low, middle, high = (_over_seeds(f, finite, seen) for f in (np.min, np.median, np.max))
    order = np.argsort(each.rows["x"].to_numpy(), kind="stable")
    line = np.array([i for i in order if not each.aside[i]], dtype=int)
    xs, hover = each.rows["x"].to_numpy(), _hover(each, low, middle, high)
    if each.seeds > 1:
        _add_band(fig, panel, xs[line], low[line], high[line], colour, name)
    drawn = np.where(middle > 0, middle, np.nan) if panel.log else middle
    mode = "lines+markers" if len(line) <= 130 else "lines"
    fig.add_scatter(
        x=xs[line],
        y=drawn[line],
        yaxis=panel.y,
        mode=mode,
        name=name,
        legendgroup=name,
        customdata=hover[line],
        hovertemplate=_HOVER,
        line={"color": colour, "width": 2, "dash": dash},
        marker={"size": 5, "color": colour},
    )
    if each.aside.any():
        fig.add_scatter(
            x=xs[each.aside],
            y=drawn[each.aside],
            yaxis=panel.y,
            mode="markers",
            name=f"{style.escape(each.name)}, projections",
            legendgroup=name,
            customdata=hover[each.aside],
            hovertemplate=_HOVER,
            marker={"symbol": "diamond-open", "size": 9, "color": colour},
        )
    if panel.zero:
        _add_zeros(fig, panel, each, low == 0, middle == 0, hover, colour, name)


def _over_seeds(
    function: Any, values: NDArray[np.float64], seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    out = np.full(len(values), np.nan)
    out[seen] = [function(row[~np.isnan(row)]) for row in values[seen]]
    return out


def _hover(each: Curve, low: Any, middle: Any, high: Any) -> NDArray[np.object_]:
    """(R, 4) text: layer, network and x, shape, value; escaped."""
    texts = []
    rows: list[Any] = list(each.rows.itertuples())
    for i, row in enumerate(rows):
        value = f"{middle[i]:.4g}"
        if each.seeds > 1:
            value = f"median {value}, from {low[i]:.4g} to {high[i]:.4g} ({each.seeds} seeds)"
        place = f"{style.escape(each.name)}, depth {row.x:g}"
        if row.stage:
            place += f", {style.escape(row.stage)}"
        note = " (projection)" if each.aside[i] else f" ({row.kind})" if row.kind else ""
        texts.append([style.escape(row.layer) + note, place, style.escape(row.shape), value])
    return np.array(texts, dtype=object)


def _add_band(
    fig: Figure, panel: Panel, xs: Any, low: Any, high: Any, colour: str, name: str
) -> None:
    """From the smallest to the largest seed; down to the axis' foot where the smallest is 0."""
    floor = np.where(low > 0, low, panel.low) if panel.log else low
    ceiling = np.where(high > 0, high, np.nan) if panel.log else high
    broken = np.isnan(floor) | np.isnan(ceiling)
    polygons_x: list[float | None] = []
    polygons_y: list[float | None] = []
    for part in np.split(np.arange(len(xs)), np.flatnonzero(broken)):
        part = part[~broken[part]]
        polygons_x += [*xs[part], *xs[part][::-1], None]
        polygons_y += [*floor[part], *ceiling[part][::-1], None]
    fig.add_scatter(
        x=polygons_x,
        y=polygons_y,
        yaxis=panel.y,
        mode="lines",
        fill="toself",
        fillcolor=style.translucent(colour, 0.18),
        line={"width": 0, "color": colour},
        legendgroup=name,
        name=f"{name}, range",
        showlegend=False,
        hoverinfo="skip",
    )


def _add_zeros(
    fig: Figure,
    panel: Panel,
    each: Curve,
    some: Any,
    middle: Any,
    hover: Any,
    colour: str,
    name: str,
) -> None:
    """Markers in the strip: filled where the (median) value is 0, open where some seeds are."""
    for chosen, symbol, what in (
        (middle, "circle", "exactly 0"),
        (some & ~middle, "circle-open", "0 in some seeds"),
    ):
        if chosen.any():
            fig.add_scatter(
                x=each.rows["x"][chosen],
                y=np.zeros(int(chosen.sum())),
                yaxis=panel.zero,
                mode="markers",
                name=f"{name}, {what}",
                legendgroup=name,
                showlegend=False,
                customdata=hover[chosen],
                hovertemplate=_HOVER,
                marker={"symbol": symbol, "size": 6, "color": colour},
            )
