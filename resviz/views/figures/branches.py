"""`plot_branch_study`: size, share and direction of the residual branches against depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from resviz.views import style
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import Hover, Series, shared
from resviz.views.figure import Figure
from resviz.views.figures.curve_marks import curve_marks
from resviz.views.figures.curves import Curve, curve, stage_bounds
from resviz.views.figures.panels import (
    DEPTH,
    Panel,
    add_panel,
    depth_axis,
    reference_line,
    shade_stages,
    shared_bounds,
)
from resviz.views.figures.study import (
    finished,
    legend_names,
    named_title,
    study_draft,
    study_tables,
)

if TYPE_CHECKING:
    from resviz.views.records import Tables


class _Shown(NamedTuple):
    column: str
    axis: str
    log: bool
    line: float | None
    domain: tuple[float, float]


_PANELS = (
    _Shown("ratio", "|F| / |x| (log)", True, None, (0.78, 1.0)),
    _Shown("share", "share of F in\nthe variance (log)", True, None, (0.52, 0.74)),
    _Shown("cosine", "cos(F, x)", False, 0.0, (0.26, 0.48)),
    _Shown("cos_gradient", "cos(F, dL/dx)", False, 0.0, (0.0, 0.22)),
)
_HEIGHT = 860
# the cosines with the gradient have a reason not to be there
_EXPECTED = [shown.column for shown in _PANELS if shown.column != "cos_gradient"]
_NEEDED = ("addition", "position", "depth", "stage", *(shown.column for shown in _PANELS))


def plot_branch_study(tables: Tables, *, title: str | None = None) -> Figure:
    """A figure of the residual branches against depth, of one or several networks.

    Four panels: branch over shortcut |F| / |x|; the branch's share var F / (var F + var x), with
    1 / l as a dashed line, where l counts the additions (De & Smith 2020,
    https://arxiv.org/abs/2002.10444); cosine of branch and shortcut; cosine of the branch and the
    gradient at the block's input, averaged over images (Jastrzebski et al. 2018,
    https://arxiv.org/abs/1710.04773). Stages are shaded where all networks have the same. A line is
    broken where a block changes the shape, so that there is no cosine with the gradient.

    Args:
        tables: a table of :func:`resviz.branch_study`, or ``{"ResNet-56": table or list}``; of
            a list (one network per seed) the median is drawn, and a band from least to most.
        title: replaces the first line of the title.

    Raises:
        TypeError: something else than tables.
        ValueError: tables of something else, empty ones, or lists of different networks.

    Example:
        >>> table = pd.DataFrame({"addition": ["layer1.0.add", "layer1.1.add"], "kind": "identity",
        ...     "position": [1, 2], "depth": [3, 5], "stage": "layer1", "shape": [(1, 2, 4, 4)] * 2,
        ...     "ratio": [1.0, 0.5], "share": [0.5, 0.2], "cosine": 0.0, "cos_gradient": -0.1})
        >>> [axis.title.text for axis in plot_branch_study(table).select_yaxes()][0]
        '|F| / |x| (log)'
    """
    lists = study_tables("plot_branch_study", tables, _NEEDED, "branch_study")
    _check_lists(lists)
    draft = study_draft(_HEIGHT)
    common, names = legend_names(lists)
    colours = style.colours_of(lists)
    panels = []
    for number, shown in enumerate(_PANELS):
        curves = [
            curve(name, several, "residuals", "depth", shown.column, None)
            for name, several in lists.items()
        ]
        panels.append(_add_panel(draft, shown, curves))
        for each in curves:
            look = shared(name=names[each.name], legend=number == 0)
            draft.add(*curve_marks(panels[-1], each, colours[each.name], **look))
        if shown.column == "share":
            draft.add(_law(panels[-1], lists))
    depths = np.concatenate(
        [t["depth"].to_numpy(float) for several in lists.values() for t in several]
    )
    depth_axis(draft, panels[-1], float(depths.min()), float(depths.max()), DEPTH)
    shade_stages(draft, panels, shared_bounds(map(stage_bounds, curves)))
    return finished(
        draft,
        title or named_title("Residual branches against their shortcuts", lists),
        "F: branch, x: shortcut, dL/dx: gradient at the block's input",
        common + style.not_finite(*(t[_EXPECTED] for each in lists.values() for t in each)),
    )


def _check_lists(lists: dict[str, list[pd.DataFrame]]) -> None:
    for name, several in lists.items():
        first = several[0]["addition"].tolist()
        if any(table["addition"].tolist() != first for table in several[1:]):
            raise ValueError(
                f"plot_branch_study: the tables of {name!r} have different additions; a list holds "
                "one network under several seeds. Give other networks a name of their own."
            )


def _add_panel(draft: Draft, shown: _Shown, curves: list[Curve]) -> Panel:
    values = np.concatenate([each.values.ravel() for each in curves])
    if shown.line is not None:
        values = np.append(values, [shown.line, 0.02, -0.02])
    panel = add_panel(draft, shown.domain, values, title=shown.axis, log=shown.log)
    if shown.line is not None:
        reference_line(draft, panel, shown.line)
    return panel


def _law(panel: Panel, lists: dict[str, list[pd.DataFrame]]) -> Series:
    """1 / l of the network with the most additions."""
    longest = max((several[0] for several in lists.values()), key=len)
    return Series(
        x=longest["depth"].to_numpy(float),
        y=1 / longest["position"].to_numpy(float),
        yaxis=panel.y,
        name="1 / l: untrained pre-activation\nnetworks (De & Smith 2020)",
        hover=Hover("1 / l: %{y:.3g}"),
        **shared(colour=style.FAINT, width=1.5, dash="dash"),
    )
