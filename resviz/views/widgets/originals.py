"""The photographs that images were cut from, for views that show maps over the whole of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resviz.arguments import public_as
from resviz.attribution.original import origins_of
from resviz.errors import UnreadableImage
from resviz.images.origin import Origin, sources_of
from resviz.views.overlays import Whole, whole_of
from resviz.views.payload import Packing

_MOST = 640  # pixels of the longer side of a photograph that goes to the browser


@dataclass(frozen=True)
class Source:
    """A photograph that is read when it is looked at.

    Attributes:
        origin: where the image was in it.
        picture: a file, a PIL image, an array.
    """

    origin: Origin
    picture: Any

    def whole(self) -> Whole | None:
        """It; None where the file is there no more, or another one."""
        try:
            return whole_of(self.origin, 0, self.picture, "explore", _MOST)
        except (UnreadableImage, ValueError, OSError):
            return None


def wholes_of(exp: Any, images: Any, originals: Any, caller: str) -> list[Whole | None]:
    """The photographs, with the place of each image; none where nobody gave them.

    Args:
        exp: an Explanation, which may know where its images were.
        images: what was explained, which may know it, too.
        originals: the photographs, one for each image, or None in the place of one.
        caller: the public function that speaks in an error.

    Raises:
        TypeError, UnreadableImage: originals that are no pictures.
        ValueError: another number of them, other pictures, or nobody knows where the images were.
    """
    if originals is None:
        return []
    listed = list(originals) if isinstance(originals, list | tuple) else [originals]
    count = len(exp.targets)
    if len(listed) != count:
        raise ValueError(
            f"{caller}: {len(listed)} originals of {count} images; one for each, or None."
        )
    known = public_as(caller)(origins_of)(exp.provenance, count, places_of(images) or None)
    return [
        None if picture is None else whole_of(origin, image, picture, caller, _MOST)
        for image, (origin, picture) in enumerate(zip(known, listed, strict=True))
    ]


def places_of(images: Any) -> list[Origin]:
    """Where images were in their photographs, if they are what :func:`load_images` gave."""
    return list(sources_of(images)) if hasattr(images, "detach") else []


def sources(images: Any, pictures: Any) -> list[Source | None]:
    """What was loaded, photograph by photograph; none where they are not one for each image."""
    listed: Sequence[Any] = pictures if isinstance(pictures, list | tuple) else [pictures]
    places = places_of(images)
    if len(places) != len(listed):
        return []
    return [Source(*each) for each in zip(places, listed, strict=True)]


def packed(packing: Packing, whole: Whole | None) -> dict[str, Any] | None:
    """A photograph, where the image is in it (shares), and how large it is in the file."""
    if whole is None:
        return None
    frame, size = list(whole.frame), list(whole.origin.size)
    return {"pixels": packing.add(whole.pixels), "frame": frame, "size": size}
