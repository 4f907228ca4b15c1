"""`plot_gradient_flow`: gradients and activations against depth, with theory over the points."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resviz.analysis.flow import GradientFlow, growth_words
from resviz.analysis.theory import Theory
from resviz.errors import closest
from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.curves import Curve, curve, stage_bounds
from resviz.views.figures.old_panels import (
    Panel,
    add_curve,
    add_panel,
    depth_axis,
    legend_width,
    shade_stages,
)
from resviz.views.figures.quantities import QUANTITIES, Quantity
from resviz.views.figures.quantities import escaped_conditions as conditions

# what can be drawn: (table of the flow, kind of table, column)
PANELS = {
    "weights": ("weights", "parameters", "grad_norm"),
    "gradients": ("blocks", "layers", "grad_rms"),
    "activations": ("blocks", "layers", "rms"),
    "ratio": ("residuals", "residuals", "ratio"),
    "share": ("residuals", "residuals", "grad_branch_share"),
}
_PANEL, _GAP, _TOP, _FOOT, _LINE, _LEFT = 250, 34, 88, 56, 18, 92
_WIDE = 124  # characters in a line of text below the plot
_MODES = {
    None: "no BatchNorm",
    True: "BatchNorm on batch statistics",
    False: "BatchNorm on running statistics",
}


def plot_gradient_flow(
    flow: GradientFlow,
    panels: Sequence[str] = ("gradients", "weights", "activations"),
    *,
    theory: Mapping[str, Theory] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of gradients and activations against depth, several networks on one axis.

    A line is the median over seeds and the band runs from the smallest to the largest. Running
    statistics are dashed, where both BatchNorm modes were measured. Exact zeros stand in a strip
    below their axis. The lines of text below say by what factor the gradient grows per layer.

    Args:
        flow: of :func:`resviz.gradient_flow`.
        panels: from the top: "gradients" (rms of the activation gradient at block boundaries),
            "weights" (norm of each weight's gradient), "activations" (rms at block boundaries),
            "ratio" (branch over shortcut), "share" (of the gradient, through the branch).
        theory: ``{"plain-56": law}`` with a law of :mod:`resviz.analysis.theory`, drawn in the
            first panel as a line through the middle of that network's points: a law says how fast
            something grows, not how large it is.
        title: replaces the first line of the title.

    Raises:
        TypeError: no flow.
        ValueError: an unknown panel, one without rows, or theory that does not fit.

    Example:
        >>> import torch
        >>> from resviz.analysis.flow import gradient_flow
        >>> flow = gradient_flow({"ResNet-8": {"depth": 8}}, torch.randn(8, 3, 32, 32), seeds=1)
        >>> plot_gradient_flow(flow).layout.title.text.partition("<br>")[0]
        'Gradients and activations against depth'
    """
    _check(flow, panels, theory or {})
    words = [
        part
        for line in growth_words(flow.growth)
        for part in textwrap.wrap(line, _WIDE, subsequent_indent="\u2003")
    ]
    foot = _FOOT + 14 + _LINE * len(words)
    height = _TOP + foot + len(panels) * _PANEL + (len(panels) - 1) * _GAP
    inner = height - _TOP - foot
    margin = {"l": _LEFT, "t": _TOP, "b": foot}
    fig = Figure(layout={"template": style.template(), "height": height, "margin": margin})
    made: list[Panel] = []
    drawn: dict[str, list[Curve]] = {}
    for number, name in enumerate(panels):
        top = 1 - number * (_PANEL + _GAP) / inner
        domain = (max(top - _PANEL / inner, 0.0), top)
        drawn[name] = _curves(flow, name)
        made.append(_add_panel(fig, domain, drawn[name], _quantity(name), inner))
        _fill(fig, made[-1], flow, drawn[name], first=number == 0)
    _add_theory(fig, made[0], drawn[panels[0]], theory or {})
    _finish(fig, made, [c for several in drawn.values() for c in several])
    _write(fig, words)
    fig.update_layout(margin_r=legend_width(fig))
    fig.update_layout(title={"text": _heading(flow, panels, title)})
    return fig


def _check(flow: object, panels: Sequence[str], theory: Mapping[str, Theory]) -> None:
    if not isinstance(flow, GradientFlow):
        raise TypeError(
            f"plot_gradient_flow: a {type(flow).__name__}; a GradientFlow is right. "
            "rv.gradient_flow(...) makes one."
        )
    wrong = [name for name in panels if name not in PANELS]
    if wrong or not panels or isinstance(panels, str):
        raise ValueError(f"plot_gradient_flow: panels {panels!r}; known: {', '.join(PANELS)}.")
    names = list(dict.fromkeys(flow.blocks["variant"]))
    if theory and panels[0] != "gradients":
        raise ValueError(
            f"plot_gradient_flow: theory for the panel {panels[0]!r}; laws are of gradients, with "
            "'gradients' as the first panel."
        )
    for name, law in theory.items():
        if not isinstance(law, Theory):
            raise TypeError(
                f"plot_gradient_flow: theory for {name!r} is a {type(law).__name__}; a law of "
                "resviz.analysis.theory would be right."
            )
        if law.of != "gradient":
            raise ValueError(
                f"plot_gradient_flow: {law.name} is a law of the {law.of}; one of the gradient "
                "would be right: BATCHNORM_EXPLOSION or scaled_shortcuts."
            )
        if name not in names:
            raise ValueError(
                f"plot_gradient_flow: theory for {name!r}, which is not in the flow; closest: "
                f"{closest(name, names)}."
            )


def _quantity(name: str) -> Quantity:
    _, kind, column = PANELS[name]
    return QUANTITIES[kind][column]


def _curves(flow: GradientFlow, name: str) -> list[Curve]:
    table, kind, column = PANELS[name]
    several = flow.growth["step"].nunique() > 1
    curves = []
    for keys, tables in flow.runs(table):
        label = keys["variant"] + (f", step {keys['step']}" if several else "")
        drawn = curve(label, tables, kind, "depth", column, None)
        curves.append(Curve(label, drawn.rows, drawn.values, drawn.aside, keys))
    return curves


def _add_panel(
    fig: Figure,
    domain: tuple[float, float],
    curves: Sequence[Curve],
    quantity: Quantity,
    pixels: float,
) -> Panel:
    values = [each.values.ravel() for each in curves] or [np.array([np.nan])]
    title = style.escape(quantity.axis) + (" (log)" if quantity.magnitude else "")
    return add_panel(
        fig, domain, np.concatenate(values), title=title, log=quantity.magnitude, pixels=pixels
    )


def _fill(
    fig: Figure, panel: Panel, flow: GradientFlow, curves: Sequence[Curve], *, first: bool
) -> None:
    before = len(fig.data)
    modes = flow.growth["batch_stats"].nunique(dropna=True) > 1
    names = list(dict.fromkeys(each.name for each in _curves(flow, "gradients")))
    for each in curves:
        mode = each.about["batch_stats"]
        name = style.escape(each.name) + (f"<br>{_MODES[mode]}" if modes else "")
        dash = "dash" if mode is False and modes else "solid"
        add_curve(fig, panel, each, style.colour(names.index(each.name)), name=name, dash=dash)
    if not first:
        for trace in fig.data[before:]:
            trace.showlegend = False


def _add_theory(
    fig: Figure,
    panel: Panel,
    curves: Sequence[Curve],
    theory: Mapping[str, Theory],
) -> None:
    """A law as a line through the middle one of a network's points."""
    for number, (name, law) in enumerate(theory.items()):
        each = next((c for c in curves if c.about["variant"] == name), None)
        if each is None:
            continue
        depth = each.rows["x"].to_numpy(dtype=float)
        middle = int(np.argsort(depth)[len(depth) // 2])
        place = depth if law.counts == "layers" else np.arange(len(depth), dtype=float)
        values: NDArray[np.float64] = np.median(each.values[middle]) * law(place[middle] - place)
        fig.add_scatter(
            x=depth,
            y=values,
            yaxis=panel.y,
            mode="lines",
            name=f"theory: {style.escape(law.name)}",
            hovertemplate=f"{style.escape(law.source)}<br>%{{y:.3g}}<extra></extra>",
            line={"color": style.INK, "width": 1.5, "dash": ("dot", "dashdot", "dash")[number % 3]},
        )


def _finish(fig: Figure, panels: list[Panel], curves: Sequence[Curve]) -> None:
    if not curves:
        raise ValueError(
            "plot_gradient_flow: no residual additions in these networks; the panels 'gradients', "
            "'weights' or 'activations' would be right."
        )
    xs = np.concatenate([each.rows["x"].to_numpy(dtype=float) for each in curves])
    low, high = float(np.nanmin(xs)), float(np.nanmax(xs))
    depth_axis(fig, panels[-1], low, high, "depth (weighted layers from the input)")
    deepest = max(curves, key=lambda each: float(each.rows["x"].max()))
    shade_stages(fig, panels, stage_bounds(deepest))


def _write(fig: Figure, words: Sequence[str]) -> None:
    fig.add_annotation(
        text="<br>".join(style.escape(line) for line in words),
        xref="paper",
        yref="paper",
        x=0,
        y=0,
        yshift=-_FOOT,
        xanchor="left",
        yanchor="top",
        align="left",
        showarrow=False,
        font={"size": style.SMALL + 1, "color": style.INK},
    )


def _heading(flow: GradientFlow, panels: Sequence[str], title: str | None) -> str:
    about: dict[str, Any] = dict(flow.provenance)
    modes = list(dict.fromkeys(flow.growth["batch_stats"].dropna()))
    if len(modes) == 1:
        about["batch_stats"] = modes[0]
    notes = dict.fromkeys(filter(None, (_quantity(name).note for name in panels)))
    return style.heading(
        style.escape(title) if title else "Gradients and activations against depth",
        "; ".join(notes),
        " · ".join(conditions(about).values()),
    )
