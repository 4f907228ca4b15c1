"""`live_training`: curves that grow in the notebook while networks train."""

from __future__ import annotations

import time
from typing import Any

from resviz.training.compare.comparison import TrainComparison
from resviz.views.figure import Figure
from resviz.views.figures.train_compare import plot_train_compare


class LiveTraining:
    """What :func:`live_training` returns: call it with a comparison and the figure is redrawn.

    Attributes:
        comparison: the last one it was given, None before.
    """

    def __init__(self, every: float, log: bool) -> None:
        self.comparison: TrainComparison | None = None
        self._every, self._log = every, log
        self._handle: Any = None
        self._drawn = float("-inf")

    def figure(self) -> Figure:
        """The last comparison as a figure.

        Raises:
            ValueError: nothing was measured yet.
        """
        if self.comparison is None:
            raise ValueError(
                "live_training: nothing was measured yet; pass it to rv.train_compare as on_update."
            )
        return plot_train_compare(self.comparison, log=self._log)

    def __call__(self, comparison: TrainComparison) -> None:
        """Redraw, at most every so many seconds while training; its last state always."""
        self.comparison = comparison
        waited = time.monotonic() - self._drawn >= self._every
        if waited or comparison.finished or comparison.stopped:
            self._draw()

    def _draw(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        if not hasattr(get_ipython(), "kernel"):
            return  # not in a notebook: there is no place that could be drawn again
        if self._handle is None:
            self._handle = display(self.figure(), display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(self.figure())
        self._drawn = time.monotonic()


def live_training(every: float = 1.0, *, log: bool = False) -> LiveTraining:
    """A figure that grows below the notebook cell while :func:`resviz.train_compare` runs.

    One figure of :func:`resviz.plot_train_compare`, drawn again in its place. The saved notebook
    keeps the last one, as a picture too. Outside of a notebook nothing is drawn.

    Args:
        every: seconds between two drawings, which each take a fraction of one.
        log: a logarithmic error axis.

    Raises:
        TypeError: `every` is no number.
        ValueError: it is below 0.

    Example:
        >>> live = live_training()
        >>> # rv.train_compare(variants, on_update=live)
        >>> live.comparison is None
        True
    """
    if isinstance(every, bool) or not isinstance(every, (int, float)):
        raise TypeError(f"live_training: every {every!r}; a number of seconds.")
    if not every >= 0:
        raise ValueError(f"live_training: every {every!r}; 0 or more seconds.")
    return LiveTraining(float(every), log)
