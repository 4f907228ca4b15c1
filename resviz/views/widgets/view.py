"""`View`: what is shown of records, without the widget: data, answers, pictures."""

from __future__ import annotations

from typing import Any, ClassVar

from resviz.arguments import Progress
from resviz.errors import words_of
from resviz.sessions.work import Asker, Job, Work
from resviz.views.export import Page, cuts_none
from resviz.views.figure import Figure, summary
from resviz.views.payload import Payload
from resviz.views.static import static_png
from resviz.views.widgets.messages import Fields
from resviz.views.widgets.modules import module_source, style_source

Answered = tuple[Fields, list[bytes]]

_CALLERS = (ValueError, TypeError, KeyError, RuntimeError, IndexError)


class View:
    """What is shown of records; :class:`resviz.views.widgets.host.Host` shows it.

    A subclass names its module, ``module = "feature_maps.js"``, and defines :meth:`payload` and
    :meth:`figure`; :meth:`answer` where the browser may ask for more, :meth:`job` where that takes
    long, :meth:`part` where other views stand within it.

    It knows neither widget nor browser: who asks says where the answer goes. So one host can hold
    several views, and a view goes with its last holder.

    Attributes:
        about: one line that names it.
        selection: what is chosen in it.
    """

    module: ClassVar[str] = ""

    def __init__(self, about: str, selection: dict[str, Any]) -> None:
        self.about, self.selection = about, selection
        self._packed: Payload | None = None
        self._works: dict[str, Work] = {}

    # ---- what a subclass defines
    def payload(self) -> Payload:
        """The view's data, as it is sent to the browser."""
        raise NotImplementedError

    def figure(self) -> Figure:
        """The present state as one figure."""
        raise NotImplementedError

    def answer(self, what: str, request: dict[str, Any]) -> Answered:
        """What the browser asks for: fields of the answer, and buffers.

        Raises:
            ValueError: this view answers nothing, or not this.
        """
        raise ValueError(f"{type(self).__name__}: no answer to {what!r}.")

    def job(self, what: str, request: dict[str, Any]) -> Job | None:
        """What makes an answer that takes long; None where :meth:`answer` gives it at once."""
        return None

    def part(self, name: str, scene: int) -> View:
        """A view within this one, of the scene that the browser shows.

        Raises:
            ValueError: there is none, or no more.
        """
        raise ValueError(f"{type(self).__name__}: no part {name!r}.")

    def page_payload(self, lesions: bool, progress: Progress) -> Payload:
        """The data of an exported page, which has no kernel to ask.

        Raises:
            ValueError: `lesions` of a view that cuts no blocks.
        """
        if lesions:
            raise cuts_none(self)
        return self.data()

    # ---- questions
    def ask(self, request: dict[str, Any], to: Asker) -> None:
        """Answer a question, or say why not; of long work each reader's newest of a kind goes on.

        A view that is shown twice has two readers; the first part of a question's id says which.
        """
        number, what = str(request.get("id")), str(request.get("what"))
        try:
            job = self.job(what, request)
            answered = self.answer(what, request) if job is None else None
        except _CALLERS as error:
            to.failed(number, words_of(error))
            return
        if answered is not None:
            to.answered(number, *answered)
        elif job is not None:
            mine = f"{what} {number.rpartition('-')[0]}".strip()
            if mine in self._works:
                self._works[mine].stop()
            self._works = {key: work for key, work in self._works.items() if work.is_alive()}
            self._works[mine] = Work(to, number, job)
            self._works[mine].start()

    def stop(self, request: str) -> None:
        """Give up the work that this question began: nobody wants the answer any more."""
        for work in self._works.values():
            if work.number == request:
                work.stop()

    def give_up(self) -> None:
        """Stop all work: nobody looks at this view any more."""
        for work in self._works.values():
            work.stop()

    # ---- what it gives
    def data(self) -> Payload:
        """Its payload, made once."""
        if self._packed is None:
            self._packed = self.payload()
        return self._packed

    def page(self, lesions: bool = False, progress: Progress = None) -> Page:
        """What :func:`resviz.save_html` needs.

        Args:
            lesions: whether each block is cut for the page, one at a time, for what is shown.
            progress: how far it is.
        """
        payload = self.page_payload(lesions, progress)
        traits = {"selection": dict(self.selection), "about": self.about}
        module, style = module_source(self.module), style_source(self.module)
        return Page(self.about, module, style, payload, traits, self.still()[0])

    def picture(self, kind: str) -> bytes:
        """The present state as "png", "svg" or "pdf", drawn without a browser."""
        return self.figure().picture(kind)

    def still(self) -> tuple[bytes | None, str]:
        """The static picture and a line of text; why there is none, where there is none."""
        try:
            drawn = self.figure()
        except _CALLERS as error:
            return None, f"{type(self).__name__}: {error}"
        return static_png(drawn), summary(drawn)
