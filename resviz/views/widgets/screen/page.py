"""What an exported page of `explore` holds: the scene shown, and what a reader would try."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from resviz.arguments import Progress
from resviz.progress import bar
from resviz.sessions.scene import Moment, Scene
from resviz.sessions.session import Session
from resviz.views.payload import Packing, Payload
from resviz.views.widgets.explanation import ExplanationPage
from resviz.views.widgets.screen.places import Place
from resviz.views.widgets.screen.sending import Sending
from resviz.views.widgets.strongest import Strongest

ROOM = 5_300_000  # bytes, compressed, of all data: a page is text, a third larger, and has more
STRONGEST_ROOM = 1_100_000  # of it for the images of a scan, twice if free
_LEVEL = 1  # of the compression that sizes are estimated by

Pack = Callable[[Scene], Payload]
# the explanation of a scene, which is the shown one or not; None where there is none
Pages = Callable[[Scene, bool], ExplanationPage | None]


def page_payload(
    session: Session,
    sending: Sending,
    pages: Pages,
    lesions: bool,
    progress: Progress = None,
    strongest: Strongest | None = None,
) -> Payload:
    """All data of a page: the scene shown, explained, and what else there is room for.

    Args:
        session: computes what is not there yet.
        sending: describes it.
        pages: the explanation of a scene.
        lesions: whether each block is cut, one at a time, for the photograph that is shown.
        progress: how far it is.
        strongest: the images of a scan.
    """
    session.forget_another_network()  # a page is of one network
    session.show(session.explained(session.net, session.current.moment))
    packing = Packing()
    meta: dict[str, Any] = {"header": sending.header(packing)}
    shown = session.current
    meta |= {"scene": sending.scene(packing, shown)}
    meta |= {"explained": sending.explained(packing, shown, pages(shown, True), compact=True)}
    names = [place.name for place in sending.blocks()]
    if names:
        session.show(session.measured(session.net, shown.moment, names, progress))
        meta["without"] = sending.without(packing, session.current)

    def pack(scene: Scene) -> Payload:
        if lesions and names and not scene.moment.off:
            cut = session.measured(session.net, scene.moment, names, progress).without
            scene = dataclasses.replace(scene, without=cut)
        fewer = small(scene)
        return sending.small(fewer, pages(fewer, False))

    wanted = moments_of(session, names, lesions)
    room = ROOM if strongest is None else ROOM - STRONGEST_ROOM
    meta["more"], left = add_scenes(packing, session, wanted, pack, progress, room)
    meta["left"] = len(left)
    payload = packing.payload(meta)
    if strongest is None:
        return payload
    channels = channels_of(meta, sending.places)
    return strongest.on_page(payload, channels, room_left(payload, STRONGEST_ROOM))


def moments_of(session: Session, names: list[str], lesions: bool) -> Iterator[Moment]:
    """What else goes on the page: the other photographs, the classes seen, then blocks cut.

    Args:
        session: what was computed; its scene is on the page already.
        names: of the blocks that can be cut.
        lesions: whether each of them is cut, one at a time, for the photograph that is shown.
    """
    shown = session.current.moment
    for image in range(len(session.images)):
        yield Moment(image)
    if lesions:
        target = shown.target if shown.target is not None else session.predicted(shown.image)
        known = session.current.without
        for name in sorted(names, key=lambda name: _left(known.get(name), target)):
            yield Moment(shown.image, target, (name,))
    yield from session.moments()


def _left(said: Any, target: int) -> float:
    """What is left of a class without a block; those that cannot be cut come last."""
    return float("inf") if said is None else float(said[target])


def add_scenes(
    packing: Packing,
    session: Session,
    moments: Iterator[Moment],
    pack: Pack,
    progress: Progress = None,
    room: int = ROOM,
) -> tuple[list[dict[str, Any]], list[Moment]]:
    """Scenes on the page, as many as there is room for.

    Args:
        packing: has what must be there; the scenes are appended.
        session: computes what is not there yet.
        moments: what is wanted, the most wanted first.
        pack: what the browser gets of a scene.
        progress: as everywhere.
        room: bytes, compressed, of all.

    Returns:
        What describes each scene, and what found no room.
    """
    wanted = [m for m in dict.fromkeys(moments) if m != session.current.moment]
    size, added = _size(packing.payload({}).buffer), list[dict[str, Any]]()
    with bar(len(wanted), "scenes of the page", progress) as shown:
        for moment in wanted:
            payload = pack(session.explained(session.net, moment))
            size += _size(payload.buffer)
            if size > room:
                break
            added.append(payload.meta | {"base": packing.add_bytes(payload.buffer)})
            shown.update(1)
    return added, wanted[len(added) :]


def channels_of(meta: dict[str, Any], places: Sequence[Place]) -> dict[str, list[int]]:
    """The channels that a page shows, by layer: those of its first scene before the others'.

    The deepest layer, at which it opens, comes first.
    """
    found: dict[str, list[int]] = {place.key: [] for place in reversed(places) if place.key}
    for each in [meta, *meta["more"]]:
        for tiles in (each["explained"]["tiles"], each["scene"]["tiles"]):
            for place, told in zip(places, tiles, strict=True):
                if told is not None:
                    found[place.key].extend(told["channels"])
    return found


def room_left(payload: Payload, least: int) -> int:
    """Bytes, compressed, beside what a page has: `least` to twice as many."""
    return max(least, min(ROOM - _size(payload.buffer), 2 * least))


def _size(buffer: bytes) -> int:
    return len(zlib.compress(buffer, _LEVEL))


def small(scene: Scene) -> Scene:
    """A scene whose explanation has Grad-CAM alone: the other methods stay with the shown one.

    With blocks cut it is of the recorded class alone, too.
    """
    exp = scene.exp
    if exp is None:
        return scene
    if scene.moment.off:
        exp = dataclasses.replace(exp, heads=())
    maps = {key: values for key, values in exp.maps.items() if key[0] == "grad_cam"}
    return dataclasses.replace(scene, exp=dataclasses.replace(exp, maps=maps or exp.maps))
