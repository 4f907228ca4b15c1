"""`explore_residuals`: what each block adds to its shortcut."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets

from resviz.views.figure import Figure
from resviz.views.figures.curves import as_table, table_of
from resviz.views.figures.feature_maps import plot_feature_maps
from resviz.views.figures.residuals import plot_residual_branches
from resviz.views.static import static_png
from resviz.views.widgets.view import NOTHING, View, dropdown, images_of, picture, redraw

_PANELS = {
    "all": ("size", "ratio", "cosine"),
    "sizes": ("size",),
    "branch / shortcut": ("ratio",),
    "cosines and gradient": ("cosine",),
}
_FACTS = (
    *("kind", "branch_rms", "shortcut_rms", "sum_rms", "ratio", "cosine"),
    *("grad_branch_rms", "grad_shortcut_rms", "grad_branch_share"),
)
_PARTS = ("shortcut", "branch", "sum")


class ResidualsView(View):
    """The view of :func:`explore_residuals`."""

    def __init__(self, rec: Any) -> None:
        table = as_table(rec, "explore_residuals")
        self._rec = table
        self._frame = table_of(table, "residuals")
        if self._frame.empty:
            raise ValueError("explore_residuals: no residual additions; a plain network has none.")
        self._chart, self._facts = widgets.VBox(), widgets.HTML()
        self._maps = {part: picture() for part in _PARTS}
        controls = {
            "panel": dropdown("show", list(_PANELS)),
            "addition": dropdown("addition", self._frame["addition"].tolist()),
        }
        if hasattr(table, "logits"):
            controls["image"] = dropdown("photograph", images_of(len(table.logits)))
        below = widgets.HBox(list(self._maps.values()), layout={"flex_flow": "row wrap"})
        super().__init__(controls, [self._chart, self._facts, below])

    def figure(self) -> Figure:
        """The chosen panels along depth."""
        return plot_residual_branches(self._rec, panels=_PANELS[self.selection["panel"]])

    def refresh(self) -> None:
        """Draw the chart, the numbers and, where they were kept, the three tensors."""
        redraw(self._chart, self.figure)
        name = self.selection["addition"]
        row = self._frame[self._frame["addition"] == name].iloc[0]
        cells = "".join(
            f"<tr><td>{fact}</td><td>{html.escape(_number(row[fact]))}</td></tr>" for fact in _FACTS
        )
        hint = "" if self._kept(name) else f"keep=['{name}:branch', ...] also shows its channels."
        self._facts.value = f"<b>{html.escape(name)}</b><table>{cells}</table>{html.escape(hint)}"
        for part, place in self._maps.items():
            key = f"{name}:{part}"
            known = key in self._kept(name)
            place.value = self._channels(key) if known else NOTHING
            place.layout.display = None if known else "none"

    def _kept(self, name: str) -> list[str]:
        keys = list(self._rec.tensors) if hasattr(self._rec, "tensors") else []
        return [f"{name}:{part}" for part in _PARTS if f"{name}:{part}" in keys]

    def _channels(self, key: str) -> bytes:
        image = self.selection["image"]
        return static_png(plot_feature_maps(self._rec, key, image, channels=9))


def _number(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def explore_residuals(rec: Any) -> ResidualsView:
    """A widget on the residual additions of a network: sizes, cosines, gradient, channels.

    Args:
        rec: a Recording, or a table of :func:`resviz.residual_branches`. Where branch, shortcut or
            sum of an addition were kept, their channels are shown side by side.

    Raises:
        TypeError: something else than a table or a recording.
        ValueError: several networks, or no residual additions.
    """
    return ResidualsView(rec)
