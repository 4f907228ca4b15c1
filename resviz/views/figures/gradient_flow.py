"""`plot_gradient_flow`: gradients and activations against depth, with theory over the points."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resviz.analysis.flow import GradientFlow, growth_words
from resviz.analysis.theory import Theory
from resviz.errors import closest
from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Mark, Note, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.curve_marks import curve_marks
from resviz.views.figures.curves import Curve, curve, stage_bounds
from resviz.views.figures.panels import (
    DEPTH,
    Bounds,
    Floats,
    Panel,
    add_panel,
    depth_axis,
    shade_stages,
    shared_bounds,
)
from resviz.views.figures.quantities import QUANTITIES, Quantity, conditions
from resviz.views.figures.study import finished

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
    inner = len(panels) * _PANEL + (len(panels) - 1) * _GAP
    draft = Draft(_TOP + inner + foot, margin=Margin(left=_LEFT, top=_TOP, bottom=foot))
    made: list[Panel] = []
    named: set[str] = set()
    drawn = {name: _curves(flow, name) for name in panels}
    for number, name in enumerate(panels):
        top = 1 - number * (_PANEL + _GAP) / inner
        domain = (max(top - _PANEL / inner, 0.0), top)
        made.append(_add_panel(draft, domain, drawn[name], _quantity(name)))
        draft.add(*_marks(made[-1], flow, drawn[name], named))
    draft.add(*_laws(made[0], drawn[panels[0]], theory or {}))
    _finish(draft, made, [c for several in drawn.values() for c in several])
    shade_stages(draft, made, _stages(list(drawn.values())))
    below = shared(xref="paper", yref="paper", shift=(0, -_FOOT), anchor=("left", "top"))
    draft.add(Note("\n".join(words), 0, 0, size=style.SMALL + 1, **below))
    return finished(draft, title or "Gradients and activations against depth", *_said(flow, panels))


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
    draft: Draft, domain: tuple[float, float], curves: Sequence[Curve], quantity: Quantity
) -> Panel:
    values = np.concatenate([each.values.ravel() for each in curves] or [np.array([np.nan])])
    title = quantity.axis + (" (log)" if quantity.magnitude else "")
    return add_panel(draft, domain, values, title=title, log=quantity.magnitude)


def _marks(
    panel: Panel, flow: GradientFlow, curves: Sequence[Curve], named: set[str]
) -> list[Mark]:
    """A panel's lines; `named`: those that stand in the legend, to which new ones are added."""
    modes = flow.growth["batch_stats"].nunique(dropna=True) > 1
    colours = style.colours_of(each.name for each in _curves(flow, "gradients"))
    marks = []
    for each in curves:
        mode = each.about["batch_stats"]
        name = each.name + (f"\n{_MODES[mode]}" if modes else "")
        look = shared(name=name, dash="dash" if mode is False and modes else "solid")
        known = {"legend": False} if name in named else {}
        marks += curve_marks(panel, each, colours[each.name], **look | known)
        named.add(name)
    return marks


def _laws(panel: Panel, curves: Sequence[Curve], theory: Mapping[str, Theory]) -> list[Series]:
    """Each law as a line through the middle one of a network's points."""
    found = []
    for number, (name, law) in enumerate(theory.items()):
        each = next((c for c in curves if c.about["variant"] == name), None)
        if each is None:
            continue
        depth = each.rows["x"].to_numpy(dtype=float)
        middle = int(np.argsort(depth)[len(depth) // 2])
        place = depth if law.counts == "layers" else np.arange(len(depth), dtype=float)
        values: Floats = np.median(each.values[middle]) * law(place[middle] - place)
        look = shared(width=1.5, dash=("dot", "dashdot", "dash")[number % 3], yaxis=panel.y)
        look["hover"] = Hover(f"{law.source}\n%{{y:.3g}}")
        found.append(Series(x=depth, y=values, name=f"theory: {law.name}", **look))
    return found


def _finish(draft: Draft, panels: list[Panel], curves: Sequence[Curve]) -> None:
    if not curves:
        raise ValueError(
            "plot_gradient_flow: no residual additions in these networks; the panels 'gradients', "
            "'weights' or 'activations' would be right."
        )
    xs = np.concatenate([each.rows["x"].to_numpy(dtype=float) for each in curves])
    depth_axis(draft, panels[-1], float(np.nanmin(xs)), float(np.nanmax(xs)), DEPTH)


def _stages(drawn: Sequence[Sequence[Curve]]) -> Bounds:
    """Where all networks have the same, those of the panel that reaches furthest."""
    each = [shared_bounds(map(stage_bounds, curves)) for curves in drawn if curves]
    return max(each, key=lambda found: found[-1][2] - found[0][1]) if all(each) else ()


def _said(flow: GradientFlow, panels: Sequence[str]) -> tuple[str, str]:
    """What was measured, and how."""
    about: dict[str, Any] = dict(flow.provenance)
    modes = list(dict.fromkeys(flow.growth["batch_stats"].dropna()))
    if len(modes) == 1:
        about["batch_stats"] = modes[0]
    notes = dict.fromkeys(filter(None, (_quantity(name).note for name in panels)))
    return "; ".join(notes), " · ".join(conditions(about).values())
