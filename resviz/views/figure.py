"""`Figure`: a plotly figure that carries its own picture."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
from typing import Any

import plotly.graph_objects as go

from resviz.arguments import caller, public_as
from resviz.views.export import save
from resviz.views.static import drawn, plain, static_png

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
    """

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        figure = json.loads(self.to_json())
        figure["config"] = _CONFIG
        return {
            PLOTLY: figure,
            "image/png": base64.b64encode(static_png(self)).decode("ascii"),
            "text/plain": summary(self),
        }

    def _repr_html_(self) -> None:
        """None: plotly's HTML would load its JavaScript from a server."""

    def _ipython_display_(self) -> None:
        raise NotImplementedError  # IPython then asks for the mime bundle

    def picture(self, kind: str) -> bytes:
        """The figure as "png", "svg" or "pdf", drawn without a browser."""
        return drawn(self, kind)

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


def summary(figure: go.Figure) -> str:
    """One line of text about a figure: its title without the markup."""
    title = figure.layout.title.text or "untitled"
    return "Figure: " + "; ".join(plain(title).splitlines())


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
