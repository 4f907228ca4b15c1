"""`View`: what the explorers share: controls above, pictures below, and a still picture of both."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np

from resviz.views.figure import Figure, summary
from resviz.views.pictures import png
from resviz.views.static import static_png

_WIDE = {"description_width": "initial"}
# one white pixel, for a picture that is not there yet
NOTHING = png(np.full((1, 1, 3), 255, dtype=np.uint8))


class View(widgets.VBox):  # type: ignore[misc]
    """A box of controls and pictures.

    Subclasses define :meth:`figure`, the present state as a figure, and :meth:`refresh`.
    ``view.selection`` is what is chosen, as a dict.
    """

    def __init__(self, controls: dict[str, Any], pictures: Sequence[Any]) -> None:
        self._controls = controls
        self._status = widgets.HTML()
        bar = widgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([bar, self._status, *pictures])
        for control in controls.values():
            control.observe(self._changed, "value")
        self._changed()

    @property
    def selection(self) -> dict[str, Any]:
        """What is chosen: the name of each control and its value."""
        return {name: control.value for name, control in self._controls.items()}

    def figure(self) -> Figure:
        """The present state as one figure."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Draw the present state."""
        raise NotImplementedError

    def _changed(self, _: Any = None) -> None:
        self._say("drawing ...")
        try:
            self.refresh()
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            self._say(str(error.args[0] if error.args else error), wrong=True)
            return
        self._say("")

    def _say(self, text: str, wrong: bool = False) -> None:
        """A line under the controls; text of users is escaped."""
        colour = "var(--jp-error-color1, #b00)" if wrong else "inherit"
        self._status.value = (
            f'<span role="status" style="color:{colour}">{html.escape(text)}</span>' if text else ""
        )

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(*args, **kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        try:
            still = self.figure()
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            return data | {"text/plain": f"{type(self).__name__}: {error}"}, metadata
        picture = base64.b64encode(static_png(still)).decode("ascii")
        return data | {"image/png": picture, "text/plain": summary(still)}, metadata


def dropdown(label: str, options: Sequence[Any], value: Any = None, tip: str = "") -> Any:
    """A labelled list to choose from; the first entry unless `value` says another."""
    chosen = value if value is not None else _first(options)
    return widgets.Dropdown(
        options=list(options), value=chosen, description=label, tooltip=tip or label, style=_WIDE
    )


def _first(options: Sequence[Any]) -> Any:
    first = options[0]
    return first[1] if isinstance(first, tuple) else first


def picture() -> Any:
    """A place for a PNG. No tooltip: in ipywidgets 8 an Image with one does not render."""
    return widgets.Image(value=NOTHING, format="png", layout={"max_width": "100%", "width": "auto"})


def images_of(count: int) -> list[tuple[str, int]]:
    """Entries for the images of a batch."""
    return [(f"image {number}", number) for number in range(count)]


def redraw(box: Any, figure: Callable[[], Figure]) -> None:
    """Put a live plotly figure into `box`, in place of the one before."""
    import plotly.graph_objects as go

    before, drawn = box.children, figure()
    box.layout.min_height = f"{drawn.layout.height}px"  # else the box cuts off the title
    box.layout.overflow = "visible"
    box.children = (go.FigureWidget(drawn),)
    for old in before:
        old.close()
