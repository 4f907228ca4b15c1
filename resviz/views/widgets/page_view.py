"""`PageView`: a view whose pictures and controls live in the browser, fed by one message."""

from __future__ import annotations

import base64
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, cast

import anywidget
import ipywidgets
import traitlets

from resviz.views.export import Page, save, save_html
from resviz.views.figure import Figure, summary
from resviz.views.payload import Payload
from resviz.views.pictures import fitting
from resviz.views.static import static_png
from resviz.views.widgets import shown
from resviz.views.widgets.messages import (
    Answer,
    Data,
    Failure,
    Fields,
    Progress,
    ToBrowser,
    WithinTold,
)
from resviz.views.widgets.modules import module_source, style_source

_CALLERS = (ValueError, TypeError, KeyError, RuntimeError, IndexError)


_STILL = 150_000  # characters of a picture that may stay in a saved notebook
_STATE = 268_000  # characters of module, styles and picture together


class PageView(anywidget.AnyWidget):
    """A view drawn in the browser.

    A subclass names its module, ``module = "feature_maps.js"``, and defines :meth:`payload` and
    :meth:`figure`; :meth:`answer` where the browser may ask for more.

    The browser says that it is ready and gets the data; it asks and gets an answer, or why there is
    none: :mod:`resviz.views.widgets.messages`. Nothing of this is kept in the widget's state.

    The browser is told of the widget when it is shown: until then only its user holds it, and
    :mod:`resviz.views.widgets.shown` says who does from then on. Nothing in a view refers back to
    it, so that it goes with its last holder.

    Attributes:
        selection: what is chosen; changed by the user, and by assigning a dict with the same keys.
        about: one line that names the view.
    """

    module: ClassVar[str] = ""
    _outer: tuple[weakref.ref[PageView], str] | None = None
    _own_layout: ipywidgets.Layout | None = None
    _placed = False  # in another widget, or shown where no cell runs: until it is closed
    _closed = False
    selection = traitlets.Dict().tag(sync=True)
    about = traitlets.Unicode().tag(sync=True)
    # the picture as a data URL: shown where a saved view is restored without a kernel
    still = traitlets.Unicode().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "module" in cls.__dict__:
            cls._esm = module_source(cls.module)
            cls._css = style_source(cls.module)
        super().__init_subclass__(**kwargs)

    def __init__(self, about: str, selection: dict[str, Any]) -> None:
        super().__init__(about=about, selection=selection)
        self._payload: Payload | None = None
        if self._outer is None:  # within another, messages come through that one
            self.on_msg(_weakly(self._received))

    # ---- a view within another
    @classmethod
    def inside(cls, outer: PageView, name: str, *args: Any, **kwargs: Any) -> Self:
        """A view within another: no widget of its own, its messages go through `outer`.

        They arrive there as ``{"type": "within", "view": name, "content": ...}``, both ways.
        """
        view = cls.__new__(cls)
        view._outer = (weakref.ref(outer), name)
        cls.__init__(view, *args, **kwargs)
        return view

    def send(self, content: ToBrowser, buffers: Sequence[Any] | None = None) -> None:
        """Send a message to the browser."""
        if self._outer is None:
            super().send(content, buffers)
            return
        outer, name = self._outer[0](), self._outer[1]
        if outer is not None and content["type"] != "within":  # a part has no parts
            outer.send(WithinTold(type="within", view=name, content=content), buffers)

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
        if self.comm is None and self._outer is None and not self._closed:
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
            self.give_up()
            super().close()
            shown.forget(self)
        if self._own_layout is not None:
            self._own_layout.close()

    def give_up(self) -> None:
        """Stop long work: nobody looks at this view any more."""

    # ---- what a subclass defines
    def payload(self) -> Payload:
        """The view's data, as it is sent to the browser."""
        raise NotImplementedError

    def figure(self) -> Figure:
        """The present state as one figure."""
        raise NotImplementedError

    def answer(self, what: str, request: dict[str, Any]) -> tuple[Fields, list[bytes]]:
        """What the browser asks for: fields of the answer, and buffers.

        Raises:
            ValueError: this view answers nothing, or not this.
        """
        raise ValueError(f"{type(self).__name__}: no answer to {what!r}.")

    def stop(self, request: str) -> None:
        """The user no longer wants the answer to this id. Nothing to do where answers are quick."""

    # ---- what it gets
    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write the view to one HTML file; see :func:`resviz.save_html`."""
        save_html(self, path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the view to a .html, .png, .svg or .pdf file; see :func:`resviz.save`."""
        save(self, path)

    def picture(self, kind: str) -> bytes:
        """The present state as "png", "svg" or "pdf", drawn without a browser."""
        return self.figure().picture(kind)

    def page(self) -> Page:
        """What :func:`resviz.save_html` needs."""
        traits = {"selection": dict(self.selection), "about": self.about}
        module, still = module_source(self.module), self._still()[0]
        return Page(self.about, module, style_source(self.module), self._data(), traits, still)

    def resend(self) -> None:
        """Send the data again, after it changed."""
        self._payload = None
        self._send_data()

    def progress(self, request: str, done: int, total: int, text: str = "") -> None:
        """Tell the browser how far the answer to `request` is."""
        told = Progress(type="progress", id=request, done=done, total=total, text=text)
        self.send(told)

    def answered(
        self, request: str, fields: Mapping[str, object], buffers: Sequence[bytes]
    ) -> None:
        """Send the answer to `request`: the fields of its kind beside its id."""
        self.send(cast(Answer, {"type": "answer", **fields, "id": request}), buffers)

    def failed(self, request: str, text: str) -> None:
        """Tell the browser that there is no answer to `request`, and why."""
        self.send(Failure(type="error", id=request, text=text))

    # ---- messages
    def _data(self) -> Payload:
        if self._payload is None:
            self._payload = self.payload()
        return self._payload

    def _send_data(self) -> None:
        data = self._data()
        self.send(Data(type="data", meta=data.meta), [data.buffer])

    def _received(self, _: Any, content: Any, buffers: Any) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "ready":
            self._send_data()
        elif kind == "stop":
            self.stop(str(content.get("id")))
        elif kind == "ask":
            self._answer({**content, "buffers": buffers})

    def _answer(self, request: dict[str, Any]) -> None:
        number = str(request.get("id"))
        try:
            fields, buffers = self.answer(str(request.get("what")), request)
        except _CALLERS as error:
            self.failed(number, str(error.args[0] if error.args else error))
            return
        self.answered(number, fields, buffers)

    # ---- without a kernel
    def _still(self) -> tuple[bytes | None, str]:
        """The static picture and a line of text; why there is none, where there is none."""
        try:
            drawn = self.figure()
        except _CALLERS as error:
            return None, f"{type(self).__name__}: {error}"
        return static_png(drawn), summary(drawn)

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> Any:
        placed = self._placed
        self._tell()
        bundle = super()._repr_mimebundle_(**kwargs)
        self._placed = placed or not shown.hold(self)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        still, text = self._still()
        picture = {} if still is None else {"image/png": base64.b64encode(still).decode("ascii")}
        if still is not None:
            beside = len(module_source(self.module)) + len(style_source(self.module))
            small = fitting(still, min(_STILL, _STATE - beside) * 3 // 4)
            self.still = f"data:image/png;base64,{base64.b64encode(small).decode('ascii')}"
        alt = {"image/png": {"alt": text}} if picture else {}
        return data | picture | {"text/plain": text}, metadata | alt


def _weakly(method: Callable[..., None]) -> Callable[..., None]:
    """Calls a view's method as long as the view is there, which this does not keep alive."""
    found = weakref.WeakMethod(method)

    def call(*args: Any) -> None:
        alive = found()
        if alive is not None:
            alive(*args)

    return call
