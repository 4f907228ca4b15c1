"""Landscapes on a plane: what colours stand for, and one panel with its contour lines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.analysis.landscape.bends import grid_of
from resviz.views import style
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import ColourBar, Heat, Hover, Series, shared

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, right, foot, top, as shares of the plotting area
_LINES = ("rgba(255,255,255,0.8)", "rgba(20,20,20,0.65)")  # on dark colours, on light ones


@dataclass(frozen=True)
class Scale:
    """What colours stand for: values (logarithms or losses), and the levels of lines and ticks."""

    log: bool
    low: float
    high: float
    levels: tuple[float, ...]  # losses

    @classmethod
    def of(cls, losses: Floats, log: bool) -> Scale:
        """One scale for all losses."""
        finite = losses[np.isfinite(losses)]
        positive = finite[finite > 0]
        log = log and len(positive) > 0
        shown = positive if log else finite
        low, high = float(shown.min()), float(shown.max())
        levels = _levels(low, high, log)
        if log:
            low, high = math.log10(low), math.log10(high)
        return cls(log, low, max(high, low + 1e-6), tuple(levels))

    def values(self, losses: Floats) -> Floats:
        """What is drawn of losses; NaN where they are not finite."""
        kept = np.where(np.isfinite(losses), losses, np.nan)
        if not self.log:
            return kept
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(kept <= 0, self.low, np.log10(kept))

    def bar(self, x: float) -> ColourBar:
        """The colour bar, with its ticks at the contour lines."""
        values = self.values(np.array(self.levels)).tolist()
        ticks = tuple((v, f"{level:g}") for v, level in zip(values, self.levels, strict=True))
        title = f"loss{' (log)' if self.log else ''}"
        return ColourBar(self.low, self.high, style.MAGNITUDE, x, title=title, ticks=ticks)


def _levels(low: float, high: float, log: bool) -> list[float]:
    """Round numbers from `low` to `high`: 1, 2, 5 of each decade, or even steps."""
    if log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digits in ((1, 2, 5), (1,)):
            found = [d * 10.0**k for k in decades for d in digits if low <= d * 10.0**k <= high]
            if 4 <= len(found) <= 14:
                return found
        if len(found) > 14:
            return found[:: -(-len(found) // 12)]
    span = (high - low) or 1.0
    rough = span / 8
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * d for d in (1, 2, 5, 10) if unit * d >= rough)
    return [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)] or [low]


class Plane:
    """One plane: its grid of losses and its axes."""

    def __init__(self, table: pd.DataFrame, place: str, scale: Scale) -> None:
        self.place, self.scale = place, scale
        self.x, self.y, self.losses, self.errors = _grids(table)
        self.z = scale.values(self.losses)
        self.whole = bool(np.isfinite(self.z).all())

    def draw(self, draft: Draft, name: str, box: Box, bar: ColourBar | None) -> None:
        """The plane in its place: colours, contour lines, and what is marked."""
        self._add_axes(draft, box)
        draft.add(self._colours(name, bar), *self._lines(), *self._marks())

    def _add_axes(self, draft: Draft, box: Box) -> None:
        """Square axes; whole cells at the rim where the plane is drawn in cells."""
        for axis, other, steps, domain, greek in (
            ("x", "y", self.x, box[:2], "α"),
            ("y", "x", self.y, box[2:], "β"),
        ):
            marked = np.linspace(steps[0], steps[-1], 5).tolist()
            rim = 0.0 if self.whole or len(steps) < 2 else (steps[1] - steps[0]) / 2
            ends = (float(steps[0] - rim), float(steps[-1] + rim))
            look = shared(ticks=tuple((end, f"{end:.3g}") for end in marked), grid=False)
            look |= shared(domain=domain, anchor=f"{other}{self.place}")
            draft.axis(f"{axis}{self.place}", limits=ends, title=greek, **look)

    def _on(self) -> dict[str, Any]:
        return shared(xaxis=f"x{self.place}", yaxis=f"y{self.place}")

    def _colours(self, name: str, bar: ColourBar | None) -> Heat:
        """The loss as colours; smooth between the points where all are there."""
        told = [
            [
                f"α {x:.3g}, β {y:.3g}\nloss {loss:.4g}, error {error:.3g} %"
                for x, loss, error in zip(self.x, losses, errors, strict=True)
            ]
            for y, losses, errors in zip(self.y, self.losses, self.errors, strict=True)
        ]
        place = shared(x0=self.x[0], dx=self._step(self.x), y0=self.y[0], dy=self._step(self.y))
        look = shared(low=self.scale.low, high=self.scale.high, colours=style.MAGNITUDE, bar=bar)
        look |= shared(smooth=self.whole, name=name, hover=Hover("\n%{text}", name, texts=told))
        return Heat(z=self.z, **place, **look, **self._on())

    @staticmethod
    def _step(steps: Floats) -> float:
        return float(steps[1] - steps[0]) if len(steps) > 1 else 1.0

    def _lines(self) -> list[Series]:
        """Contour lines, light on dark colours and dark on light ones."""
        from contourpy import contour_generator

        if min(self.z.shape) < 2:
            return []
        made = contour_generator(self.x, self.y, np.ma.masked_invalid(self.z))
        middle, found = (self.scale.low + self.scale.high) / 2, []
        levels = self.scale.values(np.array(self.scale.levels))
        for colour, chosen in zip(
            _LINES, (levels[levels < middle], levels[levels >= middle]), strict=True
        ):
            parts: list[Any] = [line for level in chosen for line in made.lines(float(level))]
            if parts:
                xy = np.concatenate([np.vstack([part, [np.nan, np.nan]]) for part in parts])
                look = shared(colour=colour, width=1.1, name="contour lines", **self._on())
                found.append(Series(x=xy[:, 0], y=xy[:, 1], **look))
        return found

    def _marks(self) -> list[Series]:
        """The network itself as a dot, and a cross for each point that is not there."""
        down, right = np.nonzero(~np.isfinite(self.z))
        marks = []
        if len(down):
            look = shared(symbol="x", size=6, colour=style.FAINT, name="missing", **self._on())
            marks.append(Series(x=self.x[right], y=self.y[down], **look))
        own = shared(x=[0.0], y=[0.0], name="the network", **self._on())
        return [*marks, Series(size=9, **own), Series(size=6, colour="#ffffff", **own)]


def _grids(table: pd.DataFrame) -> tuple[Floats, Floats, Floats, Floats]:
    """(alphas, betas, losses, errors); the grids are (betas, alphas), NaN where a point is missing.

    The whole plane that was asked for, where the table says which: it may be unfinished.
    """
    about = table.attrs
    count, extent = about.get("points"), about.get("extent")
    if isinstance(count, int) and isinstance(extent, int | float):
        steps = np.linspace(-extent, extent, count)
        exact = (table[["alpha", "beta"]].to_numpy(dtype=float) + extent) * (count - 1) / 2 / extent
        places = np.rint(exact).astype(int)
        on_grid = (np.abs(exact - places) < 0.01) & (places >= 0) & (places < count)
        if on_grid.all():
            losses, errors = np.full((2, count, count), np.nan)
            losses[places[:, 1], places[:, 0]] = table["loss"]
            errors[places[:, 1], places[:, 0]] = table["error"]
            return steps, steps, losses, errors
    losses, errors = (grid_of(table, name).T for name in ("loss", "error"))
    x, y = (
        np.linspace(float(table[axis].min()), float(table[axis].max()), n)
        for axis, n in zip(("alpha", "beta"), losses.shape[::-1], strict=True)
    )
    return x, y, losses, errors
