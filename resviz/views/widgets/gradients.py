"""`explore_gradients`: profiles along depth of networks, BatchNorm modes and training steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from resviz.analysis.theory import Theory
from resviz.arguments import public
from resviz.errors import closest
from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.depth import plot_depth_profile, rows_note
from resviz.views.figures.quantities import Quantity, shared_conditions
from resviz.views.payload import Packing, Payload
from resviz.views.widgets.gradient_curves import Floats, Places, curve_of, over_seeds
from resviz.views.widgets.gradient_laws import laws_of
from resviz.views.widgets.gradient_runs import (
    CALLER,
    KINDS,
    Run,
    has_numbers,
    quantities_of,
    read_runs,
)
from resviz.views.widgets.host import Host
from resviz.views.widgets.view import View

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from resviz.views.records import Tables

_MODES = {None: "", True: "batch statistics", False: "running statistics"}
_UNIT = (-0.02, 1.02)


class DepthView(View):
    """The view of :func:`explore_gradients`.

    ``selection`` holds ``quantity`` ("parameters.grad_norm": table and column), ``axis`` ("auto",
    "log", "linear"), ``step``, ``hidden`` (names of lines), ``theory`` (name of a law, "factor" or
    ""), ``through`` (the network that it is drawn through), ``factor``, ``depth`` (the cursor).
    """

    module = "gradients.js"

    def __init__(
        self,
        runs: Sequence[Run],
        quantity: str | None,
        theory: Mapping[str, Any],
        rows: str | Sequence[str] | None,
        words: Sequence[str],
        step_word: str,
    ) -> None:
        self._runs, self._theory, self._rows = list(runs), dict(theory), rows
        self._words, self._step_word = list(words), step_word
        self._measured = quantities_of(self._runs)
        self._curves = {
            (number, kind): curve_of(run, kind, rows)
            for number, run in enumerate(self._runs)
            for kind in KINDS
            if kind in run.tables and any(q.startswith(kind) for q in self._measured)
        }
        chosen = _chosen(quantity, self._measured)
        networks = list(dict.fromkeys(run.network for run in self._runs))
        super().__init__(
            about="Depth profiles: " + ", ".join(networks),
            selection={
                "quantity": chosen,
                "axis": "auto",
                "step": max(run.step for run in self._runs),
                "hidden": [],
                "theory": "",
                "through": networks[0],
                "factor": 1.0,
                "depth": None,
            },
        )

    def figure(self) -> Figure:
        """The chosen quantity at the chosen step, as :func:`resviz.plot_depth_profile` draws it.

        Raises:
            ValueError: every line is hidden, or a log axis is chosen for negative values.
        """
        chosen = self.selection
        kind, _, column = chosen["quantity"].partition(".")
        shown = {}
        for run in self._at(chosen["step"]):
            name = _line_name(run, self._runs)
            if has_numbers(run, kind, column) and name not in chosen["hidden"]:
                words = name + self._other_step(run)
                style.share_colour(words, name)
                shown[words] = run.tables[kind]
        if not shown:
            raise ValueError(f"{CALLER}: every line is hidden; choose at least one.")
        log = self._measured[chosen["quantity"]].magnitude
        if chosen["axis"] != "auto":
            log = chosen["axis"] == "log"
        steps = {run.step for run in self._runs}
        fig = plot_depth_profile(
            shown, column, log=log, rows=self._rows if kind == "layers" else None
        )
        if len(steps) > 1:
            title = f"{fig.chart.title}, {self._step_word} {chosen['step']}"
            return Figure.of(replace(fig.chart, title=title))
        return fig

    def _other_step(self, run: Run) -> str:
        """The step of a line that is of another one than the chosen, as the browser has it."""
        steps = {
            one.step for one in self._runs if (one.network, one.mode) == (run.network, run.mode)
        }
        moves = run.step != self.selection["step"] and (run.dated or len(steps) > 1)
        return f", {self._step_word} {run.step}" if moves else ""

    def _at(self, step: int) -> Iterator[Run]:
        """Of each network and mode the last run up to `step`, or else its first."""
        for _, group in itertools.groupby(
            sorted(self._runs, key=_order_of(self._runs)), key=lambda run: (run.network, run.mode)
        ):
            runs = sorted(group, key=lambda run: run.step)
            yield next((run for run in reversed(runs) if run.step <= step), runs[0])

    # ---- data
    def payload(self) -> Payload:
        """Every number once, as float64; the rest, names and places, as JSON."""
        packing, places = Packing(), Places()
        numbers: list[Floats] = []
        series = self._series(places, numbers)
        flat = np.concatenate(numbers) if numbers else np.zeros(0)
        networks = list(dict.fromkeys(run.network for run in self._runs))
        common, own = _conditions(self._runs, networks)
        meta = {
            "quantities": [
                _described(name, q, self._runs, self._rows) for name, q in self._measured.items()
            ],
            "networks": [
                {"name": name, "note": note, "colour": number}
                for (name, number), note in zip(
                    style.colour_numbers_of(networks).items(), own, strict=True
                )
            ],
            "steps": sorted({run.step for run in self._runs}),
            "stepWord": self._step_word,
            "conditions": common,
            "words": self._words,
            "places": places.described(packing),
            # float64, because gradients underflow float32 and would look like exact zeros
            "numbers": packing.add(np.ascontiguousarray(flat, "<f8").view("<i4")),
            "series": series,
            "theory": list(laws_of(self._theory, self._runs, self._curves, list(self._measured))),
        }
        return packing.payload(meta)

    def _series(self, places: Places, numbers: list[Floats]) -> list[dict[str, Any]]:
        found, at = [], 0
        networks = list(dict.fromkeys(run.network for run in self._runs))
        modes = len({run.mode for run in self._runs} - {None}) > 1
        for (number, kind), drawn in self._curves.items():
            run = self._runs[number]
            for name in self._measured:
                table, _, column = name.partition(".")
                if table != kind or not has_numbers(run, kind, column):
                    continue
                values = over_seeds(run, kind, column, self._rows)
                numbers += values
                found.append(
                    {
                        "name": _line_name(run, self._runs),
                        "quantity": name,
                        "network": networks.index(run.network),
                        "dash": "dash" if modes and run.mode is False else "solid",
                        "step": run.step,
                        "dated": run.dated,
                        "places": places.index(drawn),
                        "seeds": drawn.seeds,
                        "at": at,
                    }
                )
                at += sum(map(len, values))
        return found


@public
def explore_gradients(
    tables: Tables,
    quantity: str | None = None,
    *,
    rows: str | Sequence[str] | None = None,
    theory: Mapping[str, Theory | Callable[[Floats], ArrayLike]] | None = None,
) -> Host[DepthView]:
    """A view that compares networks along depth; every interaction runs in the browser.

    Quantity, log or linear axis, training step, BatchNorm modes and lines of theory are chosen in
    the view. With several seeds a line is their median and the band runs from the smallest to the
    largest. On a log axis exact zeros stand in a strip below it.

    Args:
        tables: as :func:`resviz.plot_depth_profile` takes them: a table of
            :func:`resviz.gradient_norms`, a Recording, or ``{"ResNet-56": table or tables, ...}``;
            ``{"ResNet-56": {step: table or tables}}`` for moments of a training; or a GradientFlow,
            a TrainingRecord, a TrainComparison, a dict of TrainingRecords. Tables of one network
            under both BatchNorm modes become two lines.
        quantity: what is shown first: "grad_norm", or with its table, "layers.grad_norm".
        rows: of tables of layers: a type ("Conv2d"), several, "leaf" or "block". Default: block
            outputs where there are any.
        theory: lines to choose from, beside those that come with a quantity. A law of
            :mod:`resviz.analysis.theory` is drawn through the middle one of a network's points; a
            function of depth is drawn as it is.

    Raises:
        TypeError: something else.
        ValueError: nothing to show, an unknown quantity, or a law without values.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"layer": ["a", "b"], "parameter": ["a.weight", "b.weight"],
        ...                       "depth": [1, 2], "grad_norm": [0.5, 0.0]})
        >>> explore_gradients({"toy": table}).selection["quantity"]
        'parameters.grad_norm'
    """
    runs, words, step_word = read_runs(tables)
    for name, law in (theory or {}).items():
        if not callable(law):
            raise TypeError(
                f"{CALLER}: theory {name!r} is a {type(law).__name__}; a law of "
                "resviz.analysis.theory or a function of depth would be right."
            )
    return Host(DepthView(runs, quantity, theory or {}, rows, words, step_word))


# ---- quantities
def _column(name: str) -> str:
    return name.partition(".")[2]


def _chosen(quantity: str | None, measured: Mapping[str, Quantity]) -> str:
    if quantity is None:
        return next(iter(measured))
    hits = [name for name in measured if quantity in (name, _column(name))]
    if not hits:
        known = [*measured, *map(_column, measured)]
        raise ValueError(
            f"{CALLER}: no numbers of {quantity!r} in the tables; closest: "
            f"{closest(quantity, known)}."
        )
    return hits[0]


def _described(
    name: str, quantity: Quantity, runs: Sequence[Run], rows: str | Sequence[str] | None
) -> dict[str, Any]:
    kind, _, column = name.partition(".")
    notes = [quantity.note]
    if kind == "layers":
        frames = {r.network: r.tables[kind][0] for r in runs if has_numbers(r, kind, column)}
        notes.append(rows_note(frames, rows))
    return {
        "name": name,
        "column": column,
        "group": KINDS[kind],
        "title": quantity.title,
        "axis": quantity.axis,
        "note": " · ".join(filter(None, notes)),
        "log": quantity.magnitude,
        "limits": list(_UNIT) if column == "zero_fraction" else None,
    }


# ---- lines
def _order_of(runs: Sequence[Run]) -> Callable[[Run], tuple[int, int]]:
    networks = list(dict.fromkeys(run.network for run in runs))
    modes = list(dict.fromkeys(run.mode for run in runs))
    return lambda run: (networks.index(run.network), modes.index(run.mode))


def _line_name(run: Run, runs: Sequence[Run]) -> str:
    """The network, and its BatchNorm mode where it was measured in both."""
    modes = {each.mode for each in runs if each.network == run.network}
    return (
        run.network if len(modes) == 1 else f"{run.network}, {_MODES[run.mode] or 'mode unknown'}"
    )


def _conditions(runs: Sequence[Run], networks: Sequence[str]) -> tuple[str, list[str]]:
    """How all were measured, and what is particular to each network; as plain text."""
    abouts = [dict(next(run.about for run in runs if run.network == name)) for name in networks]
    if any(len({run.mode for run in runs if run.network == name}) > 1 for name in networks):
        for each in abouts:  # the lines' names say it
            each.pop("batch_stats", None)
    common, own = shared_conditions(abouts)
    return common, own
