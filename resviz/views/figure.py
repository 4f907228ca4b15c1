"""`Figure`: a plotly figure that carries its own picture."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
from typing import Any

import plotly.graph_objects as go

from resviz.arguments import caller, public_as
from resviz.views.charts.chart import Chart
from resviz.views.charts.to_picture import to_picture
from resviz.views.charts.to_plotly import to_plotly
from resviz.views.export import save

PLOTLY = "application/vnd.plotly.v1+json"
# JupyterLab's extension follows the width by itself: window, sidebar, a tab shown again. Plotly's
# own "responsive" makes the plot as high as its container besides, which is as high as the plot:
# both end at the 29 pixels of the cell's prompt.
_CONFIG = {"responsive": False, "displaylogo": False}


class Figure(go.Figure):  # type: ignore[misc]
    """A plotly figure whose notebook output holds plotly JSON, a PNG and a line of text.

    plotly's own output embeds its whole JavaScript or points to a server. This one relies on the
    JupyterLab extension that plotly installs, and on the PNG wherever there is none: in a notebook
    that is reopened without a kernel, on a page that shows notebooks, in a PDF.

    Its picture is drawn from the chart that it was made of, and not from plotly's traces: of a
    figure that was changed afterwards (``update_layout``, ``add_scatter``, another ``data``) there
    is no picture, which is said where one is asked for. The interactive page has every change; the
    arguments of the function that made the figure, as ``title``, change both.

    Attributes:
        chart: what the figure was made of, frozen, in plain words.
    """

    _chart: Chart | None = None

    @classmethod
    def of(cls, chart: Chart) -> Figure:
        """A figure of a chart."""
        made = cls(to_plotly(chart))
        made._chart = chart
        return made

    @property
    def chart(self) -> Chart:
        """What the figure was made of.

        Raises:
            ValueError: no ``plot_*`` function made it.
        """
        if self._chart is None:
            raise ValueError(
                f"{caller()}: a picture of a figure that no plot_* function made; one of plot_* "
                "would be right. rv.save_html keeps every kind."
            )
        return self._chart

    def whole_chart(self) -> Chart:
        """What the figure was made of, where it still shows that.

        Raises:
            ValueError: it was changed since, or no ``plot_*`` function made it.
        """
        if self.to_json() != Figure.of(self.chart).to_json():
            raise ValueError(
                f"{caller()}: a picture of a figure that was changed after it was made; one as "
                "plot_* made it would be right. Give title= and the like to the function that "
                "makes it; .html keeps every change."
            )
        return self.chart

    def __reduce__(self) -> Any:
        return _revived, (super().__reduce__(), self._chart)

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        figure = json.loads(self.to_json())
        figure["config"] = _CONFIG
        shown = {PLOTLY: figure, "text/plain": summary(self)}
        try:
            shown["image/png"] = base64.b64encode(self.picture("png")).decode("ascii")
        except ValueError:
            shown["text/plain"] += " (no picture: it is not as a plot_* function made it)"
        return shown

    def _repr_html_(self) -> None:
        """None: plotly's HTML would load its JavaScript from a server."""

    def _ipython_display_(self) -> None:
        raise NotImplementedError  # IPython then asks for the mime bundle

    def picture(self, kind: str) -> bytes:
        """The figure as "png", "svg" or "pdf", drawn without a browser.

        Raises:
            ValueError: the figure was changed after it was made.
        """
        return to_picture(self.whole_chart(), kind)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figure to a .html, .png, .svg or .pdf file; see :func:`resviz.save`."""
        save(self, path)

    @public_as("write_image")
    def write_image(self, *args: Any, **kwargs: Any) -> None:
        """As plotly does, by Kaleido and a browser; :meth:`save` needs neither.

        Raises:
            ValueError: there is no Kaleido.
        """
        _check_kaleido()
        super().write_image(*args, **kwargs)

    @public_as("to_image")
    def to_image(self, *args: Any, **kwargs: Any) -> bytes:
        """As plotly does, by Kaleido and a browser; :meth:`picture` needs neither.

        Raises:
            ValueError: there is no Kaleido.
        """
        _check_kaleido()
        image: bytes = super().to_image(*args, **kwargs)
        return image

    def show(self, *args: Any, **kwargs: Any) -> None:
        """Display the figure in a notebook; elsewhere, or with arguments, as plotly does."""
        if args or kwargs or not _in_notebook():
            super().show(*args, **kwargs)
            return
        from IPython.display import display

        display(self)  # type: ignore[no-untyped-call]


def _revived(made: Any, chart: Chart | None) -> Figure:
    """What was pickled or copied, with its chart."""
    function, arguments = made[:2]
    figure: Figure = function(*arguments)
    figure._chart = chart
    return figure


def summary(figure: Figure) -> str:
    """One line of text about a figure: its title, line by line."""
    chart = figure._chart
    return "Figure: " + "; ".join([chart.title, *chart.lines] if chart else ["untitled"])


def _check_kaleido() -> None:
    if importlib.util.find_spec("kaleido") is None:
        raise ValueError(
            f"{caller()}: plotly draws pictures with Kaleido and a browser, and there is no "
            "Kaleido; figure.save('a.png') or rv.save(figure, 'a.png') draws .png, .svg and .pdf "
            "without them."
        )


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
