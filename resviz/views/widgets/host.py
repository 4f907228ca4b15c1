"""`Host`: the widget that shows a view, whatever it is, and the views within it."""

from __future__ import annotations

import base64
import functools
import os
import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

import anywidget
import ipywidgets
import traitlets

from resviz.arguments import Progress
from resviz.views.export import Page, save, save_html
from resviz.views.figure import Figure
from resviz.views.payload import Payload
from resviz.views.pictures import fitting
from resviz.views.widgets import messages, shown
from resviz.views.widgets.modules import module_source, style_source
from resviz.views.widgets.view import View

_STILL = 99_000  # characters of a picture that may stay in a saved notebook
_STATE = 268_000  # characters of module, styles and picture together

V = TypeVar("V", bound=View)


class Host(anywidget.AnyWidget, Generic[V]):
    """A view in a notebook: what every ``explore_*`` returns.

    It can be shown in a cell, placed in boxes of ipywidgets, and written to a file.

    The browser says that it is ready and gets the data; it asks and gets an answer, or why there is
    none: :mod:`resviz.views.widgets.messages`. Nothing of this is kept in the widget's state.

    The browser is told of the widget when it is shown: until then only its user holds it, and
    :mod:`resviz.views.widgets.shown` says who does from then on. Nothing in a view refers back to
    it, so that it goes with its last holder.

    Attributes:
        view: what is shown.
        selection: what is chosen; changed by the user, and by assigning a dict with the same keys.
        about: one line that names the view.
    """

    _own_layout: ipywidgets.Layout | None = None
    _placed = False  # in another widget, or shown where no cell runs: until it is closed
    _closed = False
    selection = traitlets.Dict().tag(sync=True)
    about = traitlets.Unicode().tag(sync=True)
    # the picture as a data URL: shown where a saved view is restored without a kernel
    still = traitlets.Unicode().tag(sync=True)

    def __new__(cls, view: V) -> Self:
        """A host whose browser loads the module of `view`."""
        return cast(Self, super().__new__(_loading(view.module)))

    def __init__(self, view: V) -> None:
        self.view = view
        super().__init__(about=view.about, selection=view.selection)
        self.on_msg(_weakly(self._received))

    @traitlets.observe("selection", "about")
    def _assigned(self, change: Any) -> None:
        setattr(self.view, change.name, change.new)

    # ---- from when on the browser knows it, and until when
    def open(self) -> None:
        """Tell the browser of this widget, which waits until it is shown; see :attr:`model_id`."""

    @property
    def model_id(self) -> str:
        """What the browser knows this widget by; whoever asks for it has the browser told of it."""
        if self.comm is None or shown.in_a_cell():  # else for a browser that comes back
            self._placed = True
        self._tell()
        return str(super().model_id)

    def _tell(self) -> None:
        if self.comm is None and not self._closed:
            if self._own_layout is not None:
                self._own_layout.open()
            super().open()

    @traitlets.default("layout")
    def _first_layout(self) -> ipywidgets.Layout:
        self._own_layout = ipywidgets.Layout()
        return self._own_layout

    def close(self) -> None:
        """Take the view out of the notebook, for good, and let go of it."""
        self._leave()
        self._closed = True
        self.__dict__["_repr_mimebundle_"] = None  # as ipywidgets does with what was shown

    def release(self) -> None:
        """Take the view out of the browser, where it is shown no more. It can be shown again."""
        if not self._placed:
            self._leave()
            self.__dict__.pop("_repr_mimebundle_", None)
            self._placed = False

    def _leave(self) -> None:
        if self.comm is not None:
            self.view.give_up()
            super().close()
            shown.forget(self)
        if self._own_layout is not None:
            self._own_layout.close()

    # ---- what the view gives
    def payload(self) -> Payload:
        """The view's data, as it is sent to the browser."""
        return self.view.payload()

    def figure(self) -> Figure:
        """The present state as one figure."""
        return self.view.figure()

    def picture(self, kind: str) -> bytes:
        """The present state as "png", "svg" or "pdf", drawn without a browser."""
        return self.view.picture(kind)

    def page(self, lesions: bool = False, progress: Progress = None) -> Page:
        """What :func:`resviz.save_html` needs."""
        return self.view.page(lesions, progress)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the view to a .html, .png, .svg or .pdf file; see :func:`resviz.save`."""
        save(self, path)

    def save_html(
        self, path: str | os.PathLike[str], *, lesions: bool = False, progress: Progress = None
    ) -> None:
        """Write the view to one HTML file; see :func:`resviz.save_html`.

        Args:
            path: of the file.
            lesions: of :func:`resviz.explore`: cut every block, one at a time, for the photograph
                and class that are shown, at first the first photograph and what is predicted of
                it: readers of the page can do so, too. Takes about four passes for each block.
            progress: how far it is; see :func:`resviz.save_html`.
        """
        save_html(self, path, lesions=lesions, progress=progress)

    # ---- messages
    def _received(self, _: Any, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict) or content.get("type") != "within":
            _hear(self.view, content, buffers, Browser(self))
            return
        inner, to = content.get("content"), Browser(self, str(content.get("view")))
        try:
            part = self.view.part(str(content.get("view")), int(content.get("scene") or 0))
        except (ValueError, TypeError) as error:
            if isinstance(inner, dict) and inner.get("type") == "ask":
                to.failed(str(inner.get("id")), str(error))
            return
        _hear(part, inner, buffers, to)

    # ---- in a cell
    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> Any:
        placed = self._placed
        self._tell()
        bundle = super()._repr_mimebundle_(**kwargs)
        self._placed = placed or not shown.hold(self)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        still, text = self.view.still()
        picture = {} if still is None else {"image/png": base64.b64encode(still).decode("ascii")}
        if still is not None:
            beside = len(module_source(self.view.module)) + len(style_source(self.view.module))
            small = fitting(still, min(_STILL, _STATE - beside) * 3 // 4)
            self.still = f"data:image/png;base64,{base64.b64encode(small).decode('ascii')}"
        alt = {"image/png": {"alt": text}} if picture else {}
        return data | picture | {"text/plain": text}, metadata | alt


class Browser:
    """What shows a view: gets its data and its answers, as long as the host is there.

    Args:
        host: sends; it is not kept alive.
        part: the name of the view within the host's, where it is one of those.
    """

    def __init__(self, host: Host[Any], part: str | None = None) -> None:
        self._host, self._part = weakref.ref(host), part

    def data(self, data: Payload) -> None:
        """All that the view shows at first."""
        self._send(messages.Data(type="data", meta=data.meta), [data.buffer])

    def progress(self, request: str, done: int, total: int, text: str = "") -> None:
        """How far the answer to `request` is."""
        self._send(
            messages.Progress(type="progress", id=request, done=done, total=total, text=text)
        )

    def answered(
        self, request: str, fields: Mapping[str, object], buffers: Sequence[bytes]
    ) -> None:
        """The answer to `request`: the fields of its kind beside its id."""
        self._send(cast(messages.Answer, {"type": "answer", **fields, "id": request}), buffers)

    def failed(self, request: str, text: str) -> None:
        """There is no answer to `request`, and why."""
        self._send(messages.Failure(type="error", id=request, text=text))

    def _send(self, content: messages.Told, buffers: Sequence[bytes] | None = None) -> None:
        host = self._host()
        if host is None:
            return
        if self._part is None:
            host.send(content, buffers)
        else:
            told = messages.WithinTold(type="within", view=self._part, content=content)
            host.send(told, buffers)


def _hear(view: View, content: Any, buffers: Any, to: Browser) -> None:
    """What the browser says to a view."""
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "ready":
        to.data(view.data())
    elif kind == "stop":
        view.stop(str(content.get("id")))
    elif kind == "ask":
        view.ask({**content, "buffers": buffers}, to)


@functools.cache
def _loading(module: str) -> type[Host[Any]]:
    """A host whose browser loads this module.

    A class, because anywidget tells style sheets apart by its name: in one notebook those of two
    views would take each other's place.
    """
    loaded = {"_esm": module_source(module), "_css": style_source(module), "__module__": __name__}
    name = f"Host_{Path(module).stem}"
    return cast(
        type[Host[Any]], types.new_class(name, (Host,), exec_body=lambda ns: ns.update(loaded))
    )


def _weakly(method: Callable[..., None]) -> Callable[..., None]:
    """Calls a host's method as long as the host is there, which this does not keep alive."""
    found = weakref.WeakMethod(method)

    def call(*args: Any) -> None:
        alive = found()
        if alive is not None:
            alive(*args)

    return call
