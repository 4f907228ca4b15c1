"""`Draft`: a chart under work."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from resviz.views.charts.chart import Axis, Chart, Legend, Margin
from resviz.views.charts.marks import ColourBar, Hover, Mark, Note, Rule, Stripe
from resviz.views.charts.words import wrapped

WIDTH = 900  # pixels that a chart is drawn for which is as wide as there is room
_LETTER = 7.6  # pixels, of the legend
_LONGEST = 48  # letters in a line of the legend
_NAME, _ENTRY = 15, 8  # pixels of a line of a name in the legend, and between two of them
_LINE = 21  # pixels of a line of the title


@dataclass
class Draft:
    """What a chart will hold; see :class:`resviz.views.charts.marks.Chart`."""

    height: float
    width: float | None = None
    margin: Margin = field(default_factory=Margin)
    legend: Legend | None = field(default_factory=Legend)
    axes: dict[str, Axis] = field(default_factory=dict)
    marks: list[Mark | ColourBar] = field(default_factory=list)
    below: list[Rule | Stripe] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    head: float = 0

    def add(self, *drawn: Mark | ColourBar | Rule | Stripe | Note) -> None:
        """Put marks in front of what is there, rules and stripes behind all marks."""
        for each in drawn:
            if isinstance(each, Note):
                self.notes.append(each)
            elif isinstance(each, Rule | Stripe):
                self.below.append(each)
            else:
                self.marks.append(each)

    def axis(self, name: str, **fields: Any) -> None:
        """Make an axis, or change one that is there."""
        self.axes[name] = replace(self.axes.get(name, Axis()), **fields)

    def axis_after(self, letter: str) -> str:
        """The name of a further axis: "y", then "y2"."""
        numbers = [int(name[1:] or 1) for name in self.axes if name[0] == letter]
        return f"{letter}{max(numbers) + 1}" if numbers else letter

    def room_right(self, pixels: float) -> None:
        """Set the margin at the right."""
        self.margin = replace(self.margin, right=pixels)

    def legend_width(self) -> int:
        """Pixels that the longest line of the legend takes, beside its line and marker."""
        named = [mark.name for mark in self.marks if isinstance(mark, Mark) and mark.legend]
        longest = max((len(line) for name in named for line in _broken(name)), default=0)
        return 84 + round(_LETTER * longest)

    def _legend_height(self) -> int:
        """Pixels that a legend beside the plotting area takes from the upper end of it."""
        if self.legend is None or self.legend.x < 1 or self.legend.across:
            return 0
        names = {mark.name for mark in self.marks if isinstance(mark, Mark) and mark.legend}
        lines = [len(_broken(name)) for name in names if name]
        return round(sum(_ENTRY + _NAME * count for count in lines))

    def chart(self, title: str, *lines: str) -> Chart:
        """The chart, under its title and the smaller lines that are not empty.

        What is longer than the chart is wide goes on in a line of its own, for which the chart
        grows, as it does at its foot for a long legend; names in the legend are broken, too.
        """
        room = (self.width or WIDTH) - 32
        first = "\n".join(wrapped(title, room, 16))
        small = tuple(each for line in lines if line for each in wrapped(line, room))
        needed = 12 + _LINE * (first.count("\n") + 1 + len(small)) + self.head
        more = max(0, needed - self.margin.top)
        room = self.height - self.margin.top
        below = max(0, self._legend_height() - room)
        margin = replace(self.margin, top=self.margin.top + more, bottom=self.margin.bottom + below)
        return Chart(
            first,
            small,
            self.height + more + below,
            self.width,
            margin,
            dict(self.axes),
            tuple(_kept(_named(mark)) for mark in self.marks),
            tuple(self.below),
            tuple(self.notes),
            self.legend,
            dict(self.about),
        )


def _kept(mark: Mark | ColourBar) -> Mark | ColourBar:
    """With numbers of its own: the caller's table or record may change afterwards."""
    if not isinstance(mark, Mark):
        return mark
    hover = mark.hover and replace(mark.hover, **_copies(mark.hover))
    return replace(mark, **_copies(mark) | {"hover": hover})


def _copies(drawn: Mark | Hover) -> dict[str, Any]:
    return {name: each.copy() for name, each in vars(drawn).items() if isinstance(each, np.ndarray)}


def _broken(name: str) -> list[str]:
    lines = name.splitlines()
    return [part for line in lines for part in textwrap.wrap(line, _LONGEST) or [line]]


def _named(mark: Mark | ColourBar) -> Mark | ColourBar:
    """With a name that fits into the legend."""
    if isinstance(mark, Mark) and mark.legend and _broken(mark.name) != mark.name.splitlines():
        return replace(mark, name="\n".join(_broken(mark.name)), group=mark.group or mark.name)
    return mark
