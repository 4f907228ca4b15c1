"""The parts of the screen that have answers of their own: an explanation, all channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from resviz.sessions.scene import Moment, Scene
from resviz.sessions.session import Session
from resviz.views.overlays import Whole
from resviz.views.widgets.explanation import ExplanationPage
from resviz.views.widgets.feature_maps import MapsView
from resviz.views.widgets.originals import Source
from resviz.views.widgets.strongest import Strongest
from resviz.views.widgets.view import View


class Parts:
    """Views within another, one of each kind, of the scene that is shown.

    Args:
        session: what was computed.
        photographs: what the images were cut from, where that is there; more may be appended.
        strongest: the images of a scan.
    """

    def __init__(
        self,
        session: Session,
        photographs: Sequence[Source | Whole | None],
        strongest: Strongest | None = None,
    ) -> None:
        self._strongest = strongest
        missing = len(session.images) - len(photographs)
        self.photographs = [*photographs, *[None] * missing]
        self._session = session
        self._whole: tuple[Source | None, Whole | None] = (None, None)  # that was shown last
        self._views: dict[tuple[str, Moment], View] = {}

    def explanation(self, scene: Scene, name: str) -> ExplanationPage:
        """The maps of a scene that is explained; `name`: of its photograph."""
        known = self._views.get(("explanation", scene.moment))
        if isinstance(known, ExplanationPage) and known.explanation is scene.exp:
            return known
        view = self.page_of(scene, name, self._original(scene.moment.image))
        self._keep("explanation", scene.moment, view)
        return view

    def page_of(self, scene: Scene, name: str, original: Whole | None = None) -> ExplanationPage:
        """The same, made for once."""
        moment, session = scene.moment, self._session
        return ExplanationPage(
            scene.exp,
            session.net,
            session.images[moment.image],
            session.preset,
            names=[name],
            without=moment.off,
            originals=[original],
        )

    def maps(self, scene: Scene) -> MapsView:
        """All channels of all places, as :func:`resviz.explore_feature_maps` has them."""
        known = self._views.get(("maps", scene.moment))
        if isinstance(known, MapsView):
            return known
        blocks = {key: t for key, t in scene.rec.tensors.items() if ":" not in key}
        rec = dataclasses.replace(scene.rec, tensors=blocks)
        view = MapsView(rec, None, scene.exp, None, self._strongest)
        self._keep("maps", scene.moment, view)
        return view

    def give_up(self) -> None:
        """Stop their work."""
        for view in self._views.values():
            view.give_up()

    def _keep(self, name: str, moment: Moment, view: View) -> None:
        """One of each name: the work of the one before is of a scene that is shown no more."""
        for key in [key for key in self._views if key[0] == name]:
            self._views.pop(key).give_up()
        self._views[name, moment] = view

    def _original(self, image: int) -> Whole | None:
        """The photograph that an image was cut from, where it is there."""
        source = self.photographs[image]
        if not isinstance(source, Source):
            return source
        if self._whole[0] is not source:
            self._whole = source, source.whole()
        return self._whole[1]
