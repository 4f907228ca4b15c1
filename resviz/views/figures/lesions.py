"""`plot_lesions`: what is left when blocks are deleted or exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from resviz.errors import closest
from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.curves import about, as_tables
from resviz.views.figures.old_panels import Panel, depth_axis, legend_width, shade_stages
from resviz.views.figures.quantities import escaped_shared as shared_conditions

_HEIGHT, _TOP, _BOTTOM, _LEFT = 460, 100, 60, 84
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
        ValueError: a table of something else, an unknown column, or one without numbers.

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
    margin = {"l": _LEFT, "t": _TOP, "b": _BOTTOM}
    fig = Figure(layout={"template": style.template(), "height": _HEIGHT, "margin": margin})
    limits, (axis, heading) = _limits(named, y), _words(named, y)
    fig.update_layout(yaxis={"range": limits, "title": {"text": axis}, "anchor": "x"})
    panel = Panel("y", None, False, *limits)
    singles = {name: t[t["lesion"] == "single"] for name, t in named.items()}
    xs = np.concatenate([s["depth"].to_numpy(dtype=float) for s in singles.values()])
    depth_axis(fig, panel, float(np.nanmin(xs)), float(np.nanmax(xs)), "depth of the deleted block")
    shade_stages(fig, [panel], _stages(max(singles.values(), key=len)))
    for number, (name, table) in enumerate(named.items()):
        _add_singles(fig, name, table, y, style.colour(number))
    if random:
        _add_random_panel(fig, named, y, limits)
    common, _ = shared_conditions([about(table) for table in named.values()])
    below = "a plain block hands its input on" if _plain(named) else ""
    heading = style.escape(title) if title else heading
    fig.update_layout(margin_r=legend_width(fig))
    fig.update_layout(title={"text": style.heading(heading, _note(y, below), common)})
    return fig


def _named(tables: Any) -> dict[str, pd.DataFrame]:
    lists = as_tables(tables, "plot_lesions")
    named = {name: several[0] for name, several in lists.items()}
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
        axis += f" ({style.escape(units.pop())})"
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


def _stages(table: pd.DataFrame) -> list[tuple[str, float, float]]:
    spans = [
        (str(stage), float(part["depth"].min()) - 1, float(part["depth"].max()) + 1)
        for stage, part in table.groupby("stage", sort=False)
        if stage
    ]
    middle = [(a[2] + b[1]) / 2 for a, b in zip(spans, spans[1:], strict=False)]
    edges = [spans[0][1], *middle, spans[-1][2]] if spans else []
    return [(s[0], low, high) for s, low, high in zip(spans, edges, edges[1:], strict=False)]


def _add_singles(fig: Figure, name: str, table: pd.DataFrame, y: str, colour: str) -> None:
    single, label = table[table["lesion"] == "single"], style.escape(name)
    x, values = single["depth"].to_numpy(dtype=float), single[y].to_numpy(dtype=float)
    if y == "accuracy":
        errors = single["standard_error"].to_numpy(dtype=float)
        strokes = [(a, v) for a, b, e in zip(x, values, errors, strict=True)
                   for v in (b - e, b + e, None)]  # fmt: skip
        fig.add_scatter(
            x=[a for a, _ in strokes],
            y=[v for _, v in strokes],
            mode="lines",
            line={"color": style.translucent(colour, 0.45), "width": 1.5},
            legendgroup=label,
            showlegend=False,
            hoverinfo="skip",
        )
    fig.add_scatter(
        x=x,
        y=values,
        mode="lines",
        legendgroup=label,
        showlegend=False,
        hoverinfo="skip",
        line={"color": style.translucent(colour, 0.35), "width": 1},
    )
    kinds = single["kind"].astype(str).to_numpy()
    for number, kind in enumerate(dict.fromkeys(kinds)):
        chosen = kinds == kind
        fig.add_scatter(
            x=x[chosen],
            y=values[chosen],
            mode="markers",
            name=f"{label}, one block deleted",
            legendgroup=label,
            showlegend=number == 0,
            customdata=[[style.escape(block)] for block in single["block"][chosen]],
            hovertemplate=f"<b>%{{customdata[0]}}</b> deleted ({style.escape(kind)})"
            f"<br>{label}, depth %{{x}}<br>%{{y:.3g}}<extra></extra>",
            marker={"color": colour, "size": 8, "symbol": _SYMBOLS.get(kind, "circle")},
        )
    whole = float(table[table["lesion"] == "none"][y].iloc[0])
    fig.add_scatter(
        x=[x.min() - 1, x.max() + 1],
        y=[whole, whole],
        mode="lines",
        name=f"{label}, as it is",
        legendgroup=label,
        hovertemplate=f"{label} as it is<br>%{{y:.3g}}<extra></extra>",
        line={"color": colour, "width": 1.5, "dash": "dash"},
    )


def _add_random_panel(
    fig: Figure, named: Mapping[str, pd.DataFrame], y: str, limits: tuple[float, float]
) -> None:
    fig.update_layout(
        xaxis={"domain": [0, 0.62]},
        xaxis2={
            "domain": [0.7, 1],
            "anchor": "y2",
            "title": {"text": "how many, at random"},
            "showgrid": False,
        },
        yaxis2={"anchor": "x2", "range": limits},
    )
    counts: list[float] = []
    for number, (name, table) in enumerate(named.items()):
        for what, (words, symbol, dash) in _RANDOM.items():
            part = table[table["lesion"] == what]
            if part.empty:
                continue
            groups = part.groupby("count")[y]
            x = [float(str(count)) for count in groups.groups]
            counts += x
            label = f"{style.escape(name)}, {words}"
            colour = style.colour(number)
            low, high = groups.min().to_numpy(), groups.max().to_numpy()
            strokes = [v for a, b in zip(low, high, strict=True) for v in (a, b, None)]
            fig.add_scatter(
                x=[v for a in x for v in (a, a, a)],
                y=strokes,
                xaxis="x2",
                yaxis="y2",
                mode="lines",
                line={"color": style.translucent(colour, 0.45), "width": 1.5},
                showlegend=False,
                hoverinfo="skip",
            )
            fig.add_scatter(
                x=x,
                y=groups.median(),
                xaxis="x2",
                yaxis="y2",
                mode="lines+markers",
                name=label,
                line={"color": colour, "width": 1.5, "dash": dash},
                marker={"symbol": symbol, "size": 7, "color": colour},
                hovertemplate=f"{label}<br>%{{x}}: median %{{y:.3g}}<extra></extra>",
            )
    whole = sorted(set(counts))
    room = 0.08 * (whole[-1] - whole[0]) + 0.5
    fig.update_layout(
        xaxis2={
            "tickvals": whole,
            "ticktext": [f"{count:g}" for count in whole],
            "range": [whole[0] - room, whole[-1] + room],
        }
    )
