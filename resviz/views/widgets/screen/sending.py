"""What the browser is sent of a session: its photographs, its scenes, their explanations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from resviz.recording.said import said_by
from resviz.sessions.scene import Moment, Scene
from resviz.sessions.session import Session
from resviz.views.payload import Packing, Payload
from resviz.views.pictures import Pixels
from resviz.views.widgets.explanation import ExplanationPage
from resviz.views.widgets.screen.data import explained_data, scene_data, thumbnail, without_data
from resviz.views.widgets.screen.places import Place, places_of
from resviz.views.widgets.strongest import Strongest


class Sending:
    """Describes what is shown, and knows which scene the browser means by a number.

    Args:
        session: what was computed.
        names: of its photographs.
        strongest: the images of a scan.

    Attributes:
        names: of the photographs, also of those that joined.
        places: where the cursor can stand.
    """

    def __init__(
        self, session: Session, names: Sequence[str], strongest: Strongest | None = None
    ) -> None:
        self.names = list(names)
        self._strongest = strongest
        self.places = places_of(session.current.rec)
        self._session = session
        self._thumbnails = [thumbnail(each, session.preset) for each in session.images]
        self._numbers = itertools.count(1)  # two readers may be answered at once
        self._shown: dict[int, Moment] = {}  # by the number that the browser knows a scene by

    def blocks(self) -> list[Place]:
        """The places that can be cut: those with residual additions."""
        return [place for place in self.places if place.additions]

    def shown(self, number: int) -> Moment | None:
        """What the browser shows under this number."""
        return self._shown.get(number)

    def join(self, name: str, picture: Pixels | None) -> None:
        """One more photograph, small; the session has it already."""
        self._thumbnails.append(picture)
        self.names.append(name)

    def header(self, packing: Packing) -> dict[str, Any]:
        """What all scenes have in common."""
        photographs = zip(self.names, self._thumbnails, strict=False)  # one may be joining
        pictures = [
            {"name": name, "picture": None if picture is None else packing.add(picture)}
            for name, picture in photographs
        ]
        rec = self._session.current.rec
        said = said_by(rec)
        return {
            "scan": None if self._strongest is None else self._strongest.header(),
            "network": str(rec.provenance["network"]),
            "photographs": pictures,
            "classes": [] if said is None else said.names,
            "word": None if said is None else said.word,
            "units": "" if said is None else said.units,
            "blocks": [place.name for place in self.blocks()],
        }

    def scene(self, packing: Packing, scene: Scene) -> dict[str, Any]:
        """A recorded scene, under the next number.

        Raises:
            ValueError: the network has lost blocks that are shown.
        """
        self._check_places(scene)
        number = next(self._numbers)
        self._shown[number] = scene.moment
        told = scene_data(packing, scene, number, self.places)
        return told | {"generation": self._session.generation}

    def _check_places(self, scene: Scene) -> None:
        found = {place.name: place.additions for place in places_of(scene.rec)}
        lost = [p.name for p in self.places if not set(p.additions) <= set(found.get(p.name, ()))]
        if lost and not scene.moment.off:
            raise ValueError(
                f"explore: the network has no additions at {lost[0]!r} any more; the cell that "
                "made this view, run again, shows it as it is."
            )

    def explained(
        self, packing: Packing, scene: Scene, page: ExplanationPage | None, compact: bool = False
    ) -> dict[str, Any]:
        """The maps of a scene, as the `page` of its explanation has them; or why there are none."""
        if page is None:
            return {"why": scene.why, "page": None} | explained_data(packing, scene, self.places)
        page.compact, page.pictured = compact, False  # the scene has the photograph
        told = page.payload()
        sent = explained_data(packing, scene, self.places)
        return sent | {"why": "", "page": told.meta, "base": packing.add_bytes(told.buffer)}

    def without(self, packing: Packing, scene: Scene) -> dict[str, Any]:
        """What the network says without each block."""
        return without_data(packing, self.places, scene.without)

    def small(self, scene: Scene, page: ExplanationPage | None) -> Payload:
        """A scene beside the one that a saved page is about: fewer pictures, one method."""
        packing = Packing()
        told = scene_data(packing, scene, next(self._numbers), self.places, few=True)
        explained: dict[str, Any] = {"why": scene.why, "page": None}
        if page is not None:
            page.compact, page.weight, page.pictured = True, False, False
            payload = page.payload()
            explained |= {"page": payload.meta, "base": packing.add_bytes(payload.buffer)}
        explained |= explained_data(packing, scene, self.places, few=True)
        told_of = {"scene": told, "explained": explained}
        if scene.without:
            told_of["without"] = self.without(packing, scene)
        return packing.payload(told_of)
