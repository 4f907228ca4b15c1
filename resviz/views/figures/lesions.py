"""`plot_lesions`: what is left when blocks are deleted or exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from resviz.errors import closest
from resviz.views import style
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.curves import about, as_tables
from resviz.views.figures.panels import (
    Bounds,
    Panel,
    depth_axis,
    picked,
    shade_stages,
    shared_bounds,
    strokes,
)
from resviz.views.figures.quantities import shared_conditions
from resviz.views.figures.study import finished, only_tables

_SYMBOLS = {"identity": "circle", "projection": "diamond-open", "padded": "square-open"}
_WHAT = {
    "accuracy": ("accuracy (%)", "Accuracy without one block"),
    "rmse": ("root mean squared error", "Error without one block"),
    "unchanged": ("predictions that stay as they were (%)", "Predictions without one block"),
    "value_change": ("root mean squared change of the values", "Values without one block"),
    "logit_change": ("change of the logits (relative norm)", "Logits without one block"),
    "cam_change": ("change of Grad-CAM (1 − cosine)", "Grad-CAM without one block"),
}
_OUTPUTS = {"values": "values", "none": "features", "unsaid": "output"}  # in place of "logits"
_RANDOM = {
    "several": ("several blocks deleted", "circle", "solid"),
    "reorder": ("pairs exchanged", "x", "dot"),
}


def plot_lesions(
    tables: pd.DataFrame | Mapping[str, pd.DataFrame],
    y: str | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """A figure of what each block is worth: a point per deleted block against its depth.

    As Fig. 3 and 5 of Veit et al. 2016 (https://arxiv.org/abs/1605.06431). Dashed lines are the
    networks as they are; vertical strokes are one standard error either way. Where blocks were also
    deleted several at a time, or exchanged, a second panel shows that: the median over the draws,
    and their range.

    Args:
        tables: of :func:`resviz.lesion_study`; ``{"ResNet-56": table, ...}`` for several networks.
        y: "accuracy", "rmse", "unchanged", "value_change", "logit_change" or "cam_change"; None:
            the first of them that all tables have: without targets "unchanged".
        title: replaces the first line of the title.

    Raises:
        TypeError: no tables.
        ValueError: a table of something else, several under one name, an unknown column, or one
            without numbers.

    Example:
        >>> import torch
        >>> from resviz.analysis.lesions import lesion_study
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = lesion_study(cifar_resnet(8, seed=0), torch.randn(2, 3, 32, 32), [0, 1])
        >>> plot_lesions({"ResNet-8": table}).layout.yaxis.title.text
        'accuracy (%)'
    """
    named = _named(tables)
    y = _column(named, y)
    random = any(table["lesion"].isin(_RANDOM).any() for table in named.values())
    draft = Draft(460, margin=Margin(left=84, top=100, bottom=60))
    limits, (axis, heading) = _limits(named, y), _words(named, y)
    draft.axis("y", limits=limits, title=axis, anchor="x")
    panel = Panel("y", None, False, *limits)
    singles = {name: t[t["lesion"] == "single"] for name, t in named.items()}
    xs = np.concatenate([s["depth"].to_numpy(dtype=float) for s in singles.values()])
    low, high = float(np.nanmin(xs)), float(np.nanmax(xs))
    depth_axis(draft, panel, low, high, "depth of the deleted block")
    shade_stages(draft, [panel], shared_bounds(map(_stages, singles.values())))
    colours = style.colours_of(named)
    for name, table in named.items():
        draft.add(*_singles(name, table, y, colours[name]))
    if random:
        _add_random_panel(draft, named, y, limits)
    common, _ = shared_conditions([about(table) for table in named.values()])
    below = "a plain block hands its input on" if _plain(named) else ""
    return finished(draft, title or heading, _note(y, below), common)


def _named(tables: Any) -> dict[str, pd.DataFrame]:
    named = only_tables("plot_lesions", as_tables(tables, "plot_lesions"))
    for name, table in named.items():
        if not isinstance(table, pd.DataFrame) or "lesion" not in table:
            raise ValueError(
                f"plot_lesions: the table of {name!r} is no lesion study; one of "
                "rv.lesion_study would be right."
            )
    return named


def _column(named: Mapping[str, pd.DataFrame], y: str | None) -> str:
    if y is None:
        has = {c: all(c in t and t[c].notna().any() for t in named.values()) for c in _WHAT}
        return next((column for column in _WHAT if has[column]), "unchanged")
    if y not in _WHAT:
        raise ValueError(f"plot_lesions: column {y!r}; closest: {closest(y, _WHAT)}.")
    for name, table in named.items():
        if y not in table or table[y].isna().all():
            cause = _CAUSES.get(y, "an output that predicts a class")
            raise ValueError(
                f"plot_lesions: {y!r} of {name!r} holds no numbers; a study made with {cause} has "
                "them."
            )
    return y


_CAUSES = {
    "accuracy": "targets",
    "rmse": "targets of values",
    "value_change": "output='values' in the preset",
    "cam_change": "cam=True",
}


def _words(named: Mapping[str, pd.DataFrame], y: str) -> tuple[str, str]:
    """The axis, with units where there are some, and the title."""
    axis, title = _WHAT[y]
    attrs = [table.attrs for table in named.values()]
    units = {str(each.get("units") or "") for each in attrs}
    if y in ("rmse", "value_change") and len(units) == 1 and units != {""}:
        axis += f" ({units.pop()})"
    kinds = {_OUTPUTS.get(str(each.get("output")), "logits") for each in attrs}
    if y == "logit_change" and kinds != {"logits"}:
        what = kinds.pop() if len(kinds) == 1 else "output"
        axis, title = axis.replace("logits", what), title.replace("Logits", what.capitalize())
    return axis, title


def _limits(named: Mapping[str, pd.DataFrame], y: str) -> tuple[float, float]:
    if y in ("accuracy", "unchanged"):
        return 0.0, 103.0
    values = np.concatenate([table[y].to_numpy(dtype=float) for table in named.values()])
    top = float(np.nanmax(values[np.isfinite(values)], initial=0.0)) or 1.0
    return -0.03 * top, 1.08 * top


def _plain(named: Mapping[str, pd.DataFrame]) -> bool:
    return any((table["kind"] == "plain").any() for table in named.values())


def _note(y: str, below: str) -> str:
    words = {
        "logit_change": "norm of the change over norm of the output, mean over images",
        "cam_change": "at the last layer with positions, mean over images",
    }
    return "; ".join(filter(None, [words.get(y, ""), below]))


def _stages(table: pd.DataFrame) -> Bounds:
    spans = [
        (str(stage), float(part["depth"].min()) - 1, float(part["depth"].max()) + 1)
        for stage, part in table.groupby("stage", sort=False)
        if stage
    ]
    middle = [(a[2] + b[1]) / 2 for a, b in zip(spans, spans[1:], strict=False)]
    edges = [spans[0][1], *middle, spans[-1][2]] if spans else []
    return [(s[0], low, high) for s, low, high in zip(spans, edges, edges[1:], strict=False)]


def _singles(name: str, table: pd.DataFrame, y: str, colour: str) -> list[Series]:
    """A point for each deleted block, joined faintly, and the network as it is."""
    single, marks = table[table["lesion"] == "single"], []
    x, values = single["depth"].to_numpy(dtype=float), single[y].to_numpy(dtype=float)
    if y == "accuracy":
        errors = single["standard_error"].to_numpy(dtype=float)
        marks.append(strokes(x, values - errors, values + errors, colour, group=name))
    faint = style.translucent(colour, 0.35)
    marks.append(Series(x=x, y=values, colour=faint, width=1, group=name))
    points = Series(x=x, y=values, colour=colour, size=8, group=name)
    kinds = single["kind"].astype(str).to_numpy()
    for number, kind in enumerate(dict.fromkeys(kinds)):
        blocks = np.array([[str(block)] for block in single["block"]], dtype=object)
        text = f" deleted ({kind})\n{name}, depth %{{x}}\n%{{y:.3g}}"
        look = shared(symbol=_SYMBOLS.get(kind, "circle"), legend=number == 0)
        hover = Hover(text, "%{customdata[0]}", blocks[kinds == kind])
        look |= shared(name=f"{name}, one block deleted", hover=hover)
        marks.append(picked(points, kinds == kind, **look))
    whole = float(table[table["lesion"] == "none"][y].iloc[0])
    look = shared(colour=colour, width=1.5, dash="dash", name=f"{name}, as it is", group=name)
    hover = Hover(f"{name} as it is\n%{{y:.3g}}")
    return [*marks, Series(x=[x.min() - 1, x.max() + 1], y=[whole] * 2, hover=hover, **look)]


def _add_random_panel(
    draft: Draft, named: Mapping[str, pd.DataFrame], y: str, limits: tuple[float, float]
) -> None:
    draft.axis("x", domain=(0, 0.62))
    counts: set[float] = set()
    colours = style.colours_of(named)
    for name, table in named.items():
        for what in _RANDOM:
            part = table[table["lesion"] == what]
            if not part.empty:
                counts.update(part["count"].astype(float))
                draft.add(*_draws(name, part, what, y, colours[name]))
    whole = sorted(counts)
    room = 0.08 * (whole[-1] - whole[0]) + 0.5
    ends, ticks = (whole[0] - room, whole[-1] + room), tuple((c, f"{c:g}") for c in whole)
    place = shared(domain=(0.7, 1), anchor="y2", grid=False)
    draft.axis("x2", title="how many, at random", limits=ends, ticks=ticks, **place)
    draft.axis("y2", anchor="x2", limits=limits)


def _draws(name: str, part: pd.DataFrame, what: str, y: str, colour: str) -> list[Series]:
    """The median over the draws, and their range."""
    words, symbol, dash = _RANDOM[what]
    groups, label = part.groupby("count")[y], f"{name}, {words}"
    x = np.array([float(str(count)) for count in groups.groups])
    place = shared(xaxis="x2", yaxis="y2")
    spread = strokes(x, groups.min(), groups.max(), colour, **place)
    hover = Hover(f"{label}\n%{{x}}: median %{{y:.3g}}")
    look = shared(colour=colour, width=1.5, dash=dash, symbol=symbol, size=7, hover=hover)
    return [spread, Series(x=x, y=groups.median().to_numpy(), name=label, **look, **place)]
