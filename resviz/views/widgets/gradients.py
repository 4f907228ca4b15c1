"""`explore_gradients`: profiles of several networks along depth."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from resviz.views.figure import Figure
from resviz.views.figures.curves import as_tables, kind_of, table_of
from resviz.views.figures.depth import plot_depth_profile
from resviz.views.figures.quantities import quantity_of
from resviz.views.widgets.view import View, dropdown, redraw

_OFFERED = (
    *("grad_norm", "weight_norm", "grad_rms", "rms", "std", "mean", "zero_fraction"),
    *("ratio", "cosine", "branch_rms", "shortcut_rms", "sum_rms", "grad_branch_share"),
)


class GradientsView(View):
    """The view of :func:`explore_gradients`."""

    def __init__(self, tables: Any) -> None:
        self._tables = as_tables(tables, "explore_gradients")
        names = list(self._tables)
        self._chart = widgets.VBox()
        controls = {
            "quantity": dropdown("quantity", _columns(self._tables)),
            "axis": dropdown("axis", ["as fits", "log", "linear"], tip="of the quantity"),
            "networks": widgets.SelectMultiple(
                options=names,
                value=names,
                rows=min(6, len(names)),
                description="networks",
                tooltip="several: with Shift or Ctrl",
            ),
        }
        super().__init__(controls, [self._chart])

    def figure(self) -> Figure:
        """The profiles of the chosen networks."""
        chosen = self.selection
        shown = {name: self._tables[name] for name in chosen["networks"]}
        if not shown:
            raise ValueError("explore_gradients: no network is chosen; choose at least one.")
        log = {"as fits": None, "log": True, "linear": False}[chosen["axis"]]
        return plot_depth_profile(shown, chosen["quantity"], log=log)

    def refresh(self) -> None:
        """Draw the chart."""
        redraw(self._chart, self.figure)


def _columns(tables: dict[str, list[Any]]) -> list[str]:
    """The quantities that every table has numbers of."""
    found = []
    for name in _OFFERED:
        measured = []
        try:
            for several in tables.values():
                kind = kind_of(several[0], name)
                table = table_of(several[0], kind)
                quantity_of(kind, name, [str(c) for c in table])
                measured.append(bool(table[name].notna().any()))
        except (ValueError, TypeError, KeyError):
            continue
        if all(measured):
            found.append(name)
    if not found:
        raise ValueError(
            f"explore_gradients: the tables share none of {', '.join(_OFFERED)}; tables of "
            "rv.gradient_norms, or recordings, would be right."
        )
    return found


def explore_gradients(tables: Any) -> GradientsView:
    """A widget that compares networks along depth: quantity, axis and networks to choose.

    Args:
        tables: as :func:`resviz.plot_depth_profile` takes them: a table of
            :func:`resviz.gradient_norms`, a Recording, or ``{"ResNet-56": table or tables, ...}``.

    Raises:
        TypeError: something else.
        ValueError: the tables have no quantity in common.
    """
    return GradientsView(tables)
