"""`plot_faithfulness`: what happens to a class when the pixels that a map points to go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.checks import (
    CHECKS,
    FEW,
    Check,
    Line,
    has_curve,
    lines_of,
    middle,
    modules,
    places,
    randoms_of,
    rows_of,
)
from resviz.views.figures.quantities import escaped_conditions as conditions
from resviz.views.figures.tiles import room_for, short

_PANEL, _BETWEEN, _UP = 290, 78, 300  # pixels: a panel, the room before the next, its height
_LEFT, _TOP, _FOOT = 68, 132, 60
_SHARES = {"tickvals": [0, 0.25, 0.5, 0.75, 1], "ticktext": ["0", "25", "50", "75", "100 %"]}
_SETTINGS = {
    "steps": "steps",
    "baseline": "removed pixels become",
    "reveal": "pixels are revealed in",
    "draws": "random maps in each mean",
}
_MANY = 8  # lines, beyond which bands would hide each other


def plot_faithfulness(
    table: pd.DataFrame,
    image: int | None = None,
    target: int | str | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """A figure of the checks of :func:`resviz.faithfulness`, side by side; those that were made.

    Deletion and insertion (Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421): the score while
    pixels are removed from the photograph, or revealed in a blank one, those with the largest
    values first. Randomisation (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292): the rank
    correlation of the map with that of the network whose weights are randomised, stage by stage
    from the head down.

    A line is a method at a layer: the mean over the table's rows (images and targets), with a band:
    from the least to the most below 5 rows, one standard error to both sides from 5 on; none for
    more than 8 lines. Grey and dashed, without a band: the mean of random maps of that layer's
    resolution. The legend holds the areas under the curves and the last rank correlation, as the
    table has them.

    Args:
        table: of :func:`resviz.faithfulness`: a row per method, layer, image and target.
        image: only the rows of this image; None: all.
        target: only the rows of this target, as the table has it; None: all.
        title: replaces the first line of the title.

    Raises:
        TypeError: no DataFrame.
        ValueError: an empty table, one without the columns, no such image or target, or curves of
            different lengths in one line.
    """
    rows = rows_of(table, image, target)
    checks = [check for check in CHECKS if has_curve(rows, check.curve)]
    if not checks:
        raise ValueError(
            f"plot_faithfulness: no curves in the table; {', '.join(c.curve for c in CHECKS)}, or "
            "one of them, would be right. See rv.faithfulness(net, images, exp)."
        )
    about = _about(table)
    lines = lines_of(rows, checks)
    banded = len(lines) <= _MANY
    lines += randoms_of(rows, checks)
    words = _title(about, rows, lines, checks, banded=banded)
    if title is not None:
        words[0] = style.escape(title)
    fig = _empty(checks, lines, words)
    for number, check in enumerate(checks):
        drawn = [line for line in lines if check.name in line.curves]
        x = places(check, drawn)
        _add_axes(fig, number, checks, lines, x, _score(about), banded=banded)
        for line in drawn if banded else ():
            if not line.random:
                _add_band(fig, number, check, line, x)
        for line in drawn:
            _add_line(fig, number, check, line, x, about)
    return fig


def _title(
    about: Mapping[str, Any],
    rows: pd.DataFrame,
    lines: Sequence[Line],
    checks: Sequence[Check],
    *,
    banded: bool,
) -> list[str]:
    """Lines of the title, escaped: what was measured, on what, how; what lines and legend are."""
    network = style.escape(about.get("network", "network"))
    weights = [f"weights: {style.escape(about['weights'])}"] if about.get("weights") else []
    words = conditions(about)
    output = [words["output"]] if "output" in words else []
    how = []
    if any(check.random for check in checks):
        how.append(f"score: {style.escape(_score(about))}")
        how += [
            f"{words}: {style.escape(short(str(about[name]), 200))}"
            for name, words in _SETTINGS.items()
            if about.get(name) is not None
        ]
    return [
        "Faithfulness: " + ", ".join(check.name for check in checks),
        " · ".join([network, *weights, _which(rows, "image"), _which(rows, "target"), *output]),
        " · ".join(how),
        f"{_band_words(lines, banded=banded)}; legend: {_legend_words(checks)}",
    ]


def _which(rows: pd.DataFrame, column: str) -> str:
    known = list(dict.fromkeys(rows[column]))
    if len(known) > 1:
        return f"{len(known)} {column}s"
    return style.escape(short(f"{column} {known[0]}", 400))


def _about(table: pd.DataFrame) -> dict[str, Any]:
    return {str(key): value for key, value in table.attrs.get("provenance", {}).items()}


def _score(about: Mapping[str, Any]) -> str:
    score = str(about.get("score", "probability"))
    return f"{score} ({about['units']})" if about.get("units") else score


def _band_words(lines: Sequence[Line], *, banded: bool) -> str:
    counts = {len(curves) for line in lines for curves in line.curves.values()}
    if counts == {1}:
        return "each line: one map"
    shown = " to ".join(str(n) for n in sorted({min(counts), max(counts)}))
    if not banded:
        return f"line: mean of {shown} maps, no bands for more than {_MANY} lines"
    kinds = [
        words
        for words, used in (
            ("least to most", any(1 < n < FEW for n in counts)),
            ("± 1 standard error", max(counts) >= FEW),
        )
        if used
    ]
    limit = f" (from {FEW} maps on)" if len(kinds) == 2 else ""
    return f"line: mean of {shown} maps, band: {', '.join(kinds)}{limit}"


def _legend_words(checks: Sequence[Check]) -> str:
    words = {
        "deletion": "area under deletion",
        "insertion": "area under insertion",
        "randomisation": "mean rank correlation, upper half of the stages",
    }
    return " / ".join(words[check.name] for check in checks)


def _empty(checks: Sequence[Check], lines: Sequence[Line], words: Sequence[str]) -> Figure:
    """A figure without axes, wide enough for its panels, legend and title."""
    across = len(checks) * _PANEL + (len(checks) - 1) * _BETWEEN
    legend = 64 + max(room_for(line.name, style.SMALL + 1) for line in lines)
    title = 48 + max(room_for(line) for line in words)
    high = max(_UP, 20 * len(lines))
    return Figure(
        layout={
            "template": style.template(),
            "width": round(max(_LEFT + across + legend, title)),
            "height": _TOP + high + _FOOT,
            "margin": {
                "l": _LEFT,
                "r": round(max(legend, title - _LEFT - across)),
                "t": _TOP,
                "b": _FOOT,
            },
            "legend": {
                "x": 1 + 14 / across,
                "xanchor": "left",
                "y": 1.0,
                "yanchor": "top",
                "tracegroupgap": 0,
            },
            "title": {"text": style.heading(*words)},
        }
    )


def _add_axes(
    fig: Figure,
    number: int,
    checks: Sequence[Check],
    lines: Sequence[Line],
    x: NDArray[np.float64],
    score: str,
    *,
    banded: bool,
) -> None:
    """The axes of one panel, with its name above; deletion and insertion have one y range."""
    check, count, place = checks[number], len(checks), str(number + 1) if number else ""
    whole = count * _PANEL + (count - 1) * _BETWEEN
    left = number * (_PANEL + _BETWEEN) / whole
    domain = [left, min(left + _PANEL / whole, 1.0)]
    alike = [
        c.name for c in checks if (c.name == "randomisation") == (check.name == "randomisation")
    ]
    curves = [line.curves[name] for line in lines for name in alike if name in line.curves]
    low, high = _range([c for each in curves for c in middle(each)[: 3 if banded else 1]])
    if check.name == "randomisation":
        low, high = min(low, -0.05), max(high, 1.05)
        across = {"range": [x[0] - 0.3, x[-1] + 0.3], "dtick": -(-len(x) // 10)}
    else:
        across = {"range": [-0.02, 1.02], **_SHARES}
    fig.update_layout(
        {
            f"xaxis{place}": {
                "domain": domain,
                "anchor": f"y{place}",
                "title": {"text": check.x},
                **across,
            },
            f"yaxis{place}": {
                "anchor": f"x{place}",
                "title": {"text": style.escape(check.y.format(score=score))},
                "range": [low, high],
            },
        }
    )
    _add_names(fig, check, domain[0])


def _add_names(fig: Figure, check: Check, left: float) -> None:
    """The check's name and which way is better, above its panel."""
    for text, shift, size, colour in (
        (check.name, 26, style.FONT, style.INK),
        (check.better, 8, style.SMALL, style.FAINT),
    ):
        fig.add_annotation(
            text=text,
            xref="paper",
            yref="paper",
            x=left,
            y=1,
            yshift=shift,
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font={"size": size, "color": colour},
        )


def _range(curves: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """From 0, or the least below it, to 1 where that is near, else a little over the largest."""
    values = np.concatenate(curves)
    values = values[np.isfinite(values)]
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    room = 0.04 * (high - low or 1.0)
    top = 1.02 if 0.6 < high <= 1 else high + room
    return (low - room if low < 0 else 0.0), top


def _add_band(fig: Figure, number: int, check: Check, line: Line, x: NDArray[np.float64]) -> None:
    curves = line.curves[check.name]
    if len(curves) < 2:
        return
    place = str(number + 1) if number else ""
    _, low, high = middle(curves)
    kept = np.isfinite(low)
    fig.add_scatter(
        x=np.concatenate([x[kept], x[kept][::-1]]),
        y=np.concatenate([low[kept], high[kept][::-1]]),
        xaxis=f"x{place}",
        yaxis=f"y{place}",
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=style.translucent(line.look["color"], 0.12),
        hoverinfo="skip",
        showlegend=False,
        legendgroup=style.escape(line.name),
    )


def _add_line(
    fig: Figure,
    number: int,
    check: Check,
    line: Line,
    x: NDArray[np.float64],
    about: Mapping[str, Any],
) -> None:
    curves, place = line.curves[check.name], str(number + 1) if number else ""
    name = style.escape(line.name)
    stages = check.name == "randomisation"
    where = f"%{{x}} {check.hover}%{{text}}" if stages else f"%{{x:.0%}} {check.hover}"
    what = "rank correlation" if stages else style.escape(_score(about))
    marked: dict[str, Any] = {}
    if stages:
        marked = {"marker": {"size": 5, "color": line.look["color"]}, "text": modules(about, x)}
    fig.add_scatter(
        x=x,
        y=middle(curves)[0],
        xaxis=f"x{place}",
        yaxis=f"y{place}",
        mode="lines+markers" if stages else "lines",
        name=name,
        legendgroup=name,
        showlegend=check.name == next(iter(line.curves)),
        line=dict(line.look),
        hovertemplate=f"{name}<br>{where}<br>{what} %{{y:.3f}}<extra></extra>",
        **marked,
    )
