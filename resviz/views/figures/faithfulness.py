"""`plot_faithfulness`: what happens to a class when the pixels that a map points to go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.charts.chart import Legend, Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Area, Hover, Note, Series, shared
from resviz.views.charts.words import short
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
    targets_in,
)
from resviz.views.figures.panels import Floats
from resviz.views.figures.quantities import conditions
from resviz.views.figures.tiles import title_room

_PANEL, _BETWEEN, _UP = 250, 78, 300  # pixels: a panel, the room before the next, its height
_LEFT, _RIGHT, _HEAD, _FOOT, _LINE = 68, 24, 48, 64, 20
_SHARES = ((0, "0"), (0.25, "25"), (0.5, "50"), (0.75, "75"), (1, "100 %"))
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
        words[0] = title
    draft = _draft(checks, lines, words)
    for number, check in enumerate(checks):
        drawn = [line for line in lines if check.name in line.curves]
        x, place = places(check, drawn), str(number + 1) if number else ""
        _add_axes(draft, number, checks, lines, x, _score(about), banded=banded)
        on = shared(xaxis=f"x{place}", yaxis=f"y{place}")
        draft.add(*(a for line in drawn for a in _band(check, line, x, banded=banded, **on)))
        draft.add(*(_curve(check, line, x, about, **on) for line in drawn))
    return Figure.of(draft.chart(*words))


def _title(
    about: Mapping[str, Any],
    rows: pd.DataFrame,
    lines: Sequence[Line],
    checks: Sequence[Check],
    *,
    banded: bool,
) -> list[str]:
    """Lines of the title: what was measured, on what, how; what lines and legend are."""
    network = str(about.get("network", "network"))
    weights = [f"weights: {about['weights']}"] if about.get("weights") else []
    words = conditions(about)
    output = [words["output"]] if "output" in words else []
    how = []
    if any(check.random for check in checks):
        how.append(f"score: {_score(about)}")
        how += [
            f"{words}: {short(str(about[name]), 200)}"
            for name, words in _SETTINGS.items()
            if about.get(name) is not None
        ]
    return [
        "Faithfulness: " + ", ".join(check.name for check in checks),
        " · ".join(
            [network, *weights, _which(rows, "image"), _which(rows, *targets_in(rows)), *output]
        ),
        " · ".join(how),
        f"{_band_words(lines, banded=banded)}; legend: {_legend_words(checks)}",
    ]


def _which(rows: pd.DataFrame, column: str, *more: str) -> str:
    known = rows[[column, *more]].drop_duplicates()
    if len(known) > 1:
        return f"{len(known)} {column}s"
    return short(f"{column} {known[column].iloc[0]}", 400)


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


def _draft(checks: Sequence[Check], lines: Sequence[Line], words: Sequence[str]) -> Draft:
    """A chart without axes, wide enough for its panels and its title; the legend below."""
    across = len(checks) * _PANEL + (len(checks) - 1) * _BETWEEN
    wide = round(max(_LEFT + across + _RIGHT, title_room(*words)))
    foot = _FOOT + _LINE * len(lines) + 12
    margin = Margin(_LEFT, wide - _LEFT - across, _HEAD, foot)
    legend = Legend(0, -_FOOT / _UP, gap=0)
    return Draft(_HEAD + _UP + foot, wide, margin, legend, head=_HEAD)


def _add_axes(
    draft: Draft,
    number: int,
    checks: Sequence[Check],
    lines: Sequence[Line],
    x: Floats,
    score: str,
    *,
    banded: bool,
) -> None:
    """The axes of one panel, with its name above; deletion and insertion have one y range."""
    check, count, place = checks[number], len(checks), str(number + 1) if number else ""
    whole = count * _PANEL + (count - 1) * _BETWEEN
    left = number * (_PANEL + _BETWEEN) / whole
    stages = check.name == "randomisation"
    alike = [c.name for c in checks if (c.name == "randomisation") == stages]
    curves = [line.curves[name] for line in lines for name in alike if name in line.curves]
    low, high = _range([c for each in curves for c in middle(each)[: 3 if banded else 1]])
    across = shared(limits=(-0.02, 1.02), ticks=_SHARES)
    if stages:
        low, high = min(low, -0.05), max(high, 1.05)
        across = shared(limits=(x[0] - 0.3, x[-1] + 0.3), step=-(-len(x) // 10))
    domain = (left, min(left + _PANEL / whole, 1.0))
    draft.axis(f"x{place}", domain=domain, anchor=f"y{place}", title=check.x, **across)
    y_title = check.y.format(score=score)
    draft.axis(f"y{place}", anchor=f"x{place}", title=y_title, limits=(low, high))
    above = shared(xref="paper", yref="paper", anchor=("left", "bottom"))
    draft.add(Note(check.name, left, 1, shift=(0, 26), size=style.FONT, **above))
    draft.add(Note(check.better, left, 1, shift=(0, 8), colour=style.FAINT, **above))


def _range(curves: Sequence[Floats]) -> tuple[float, float]:
    """From 0, or the least below it, to 1 where that is near, else a little over the largest."""
    values = np.concatenate(curves)
    values = values[np.isfinite(values)]
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    room = 0.04 * (high - low or 1.0)
    top = 1.02 if 0.6 < high <= 1 else high + room
    return (low - room if low < 0 else 0.0), top


def _band(check: Check, line: Line, x: Floats, *, banded: bool, **on: Any) -> list[Area]:
    curves = line.curves[check.name]
    if line.random or not banded or len(curves) < 2:
        return []
    _, low, high = middle(curves)
    kept = np.isfinite(low)
    xs = np.concatenate([x[kept], x[kept][::-1]])
    ys = np.concatenate([low[kept], high[kept][::-1]])
    fill = style.translucent(line.look["colour"], 0.12)
    return [Area(x=xs, y=ys, fill=fill, group=line.name, **on)]


def _curve(check: Check, line: Line, x: Floats, about: Mapping[str, Any], **on: Any) -> Series:
    stages = check.name == "randomisation"
    where = f"%{{x}} {check.hover}%{{text}}" if stages else f"%{{x:.0%}} {check.hover}"
    what = "rank correlation" if stages else _score(about)
    told = modules(about, x) if stages else None
    hover = Hover(f"{line.name}\n{where}\n{what} %{{y:.3f}}", texts=told)
    first = check.name == next(iter(line.curves))
    look = shared(name=line.name, group=line.name, legend=first, size=5 if stages else 0)
    return Series(x=x, y=middle(line.curves[check.name])[0], hover=hover, **look, **line.look, **on)
