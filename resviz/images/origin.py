"""Where an image was in its photograph: its size, how it was resized, what was cropped."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resviz.arguments import public
from resviz.torch_private import version


@dataclass(frozen=True)
class Origin:
    """Where one image was in its photograph.

    Attributes:
        name: of the file; "" for pixels that came from elsewhere.
        size: (height, width) of the photograph, upright.
        resized: (height, width) after resizing, before cropping.
        top: the first row of the crop in the resized picture; negative where black was put around.
        left: its first column, likewise.
        crop: (height, width) of the image that the network sees.
    """

    name: str
    size: tuple[int, int]
    resized: tuple[int, int]
    top: int
    left: int
    crop: tuple[int, int]

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """(top, left, bottom, right) of the image, in pixels of the photograph, or beyond it."""
        ends = [
            (edge * full / resized, (edge + crop) * full / resized)
            for edge, full, resized, crop in zip(
                (self.top, self.left), self.size, self.resized, self.crop, strict=True
            )
        ]
        (top, bottom), (left, right) = ends
        return top, left, bottom, right

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(top, left, bottom, right) of what the network sees, in pixels of the photograph."""
        top, left, bottom, right = self.frame
        height, width = map(float, self.size)
        return max(top, 0.0), max(left, 0.0), min(bottom, height), min(right, width)

    @property
    def whole(self) -> bool:
        """True where nothing of the photograph was cropped away."""
        return self.box == (0, 0, *self.size)

    def placed(
        self, values: NDArray[Any], size: tuple[int, int] | None = None
    ) -> NDArray[np.float64]:
        """A map over the image, in the coordinates of the photograph.

        Bilinear between the centres of the map's positions (align_corners=False), in one step from
        the map itself.

        Args:
            values: (..., h, w): a map over the whole image.
            size: (height, width) of the photograph as it is shown; None: its own.

        Returns:
            (..., height, width); NaN where the image does not reach.
        """
        shape = values.shape[-2:]
        rows, columns = (
            _weights(*each)
            for each in zip(
                shape,
                self.crop,
                (self.top, self.left),
                self.resized,
                size or self.size,
                strict=True,
            )
        )
        found: NDArray[np.float64] = rows @ values.astype(np.float64) @ columns.T
        return found

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Origin:
        """What :meth:`to_json` wrote."""
        size, resized, crop = (tuple(fields[key]) for key in ("size", "resized", "crop"))
        return cls(fields["name"], size, resized, fields["top"], fields["left"], crop)


def _weights(positions: int, crop: int, start: int, resized: int, full: int) -> NDArray[np.float64]:
    """(full, positions) of linear interpolation; rows of NaN outside of the crop."""
    seen = (np.arange(full) + 0.5) * resized / full - start  # in pixels of the crop
    place = np.clip(seen * positions / crop - 0.5, 0, positions - 1)
    left = np.minimum(place.astype(int), max(positions - 2, 0))
    weights = np.zeros((full, positions))
    weights[np.arange(full), left] += 1 - (place - left)
    weights[np.arange(full), np.minimum(left + 1, positions - 1)] += place - left
    weights[(seen < 0) | (seen > crop)] = np.nan
    return weights


# ---- which images came from where: told by the tensor itself, as long as nothing wrote to it.
# Not by an attribute: `torch.save` would write it, and a copy would carry it on.
_known: dict[int, tuple[weakref.ref[Tensor], int, tuple[Origin, ...]]] = {}


def remember(images: Tensor, origins: Sequence[Origin]) -> None:
    """Keep where `images` came from, until they are gone."""
    if images.is_inference():  # nobody would see that they are written to
        return
    key = id(images)
    alive = weakref.ref(images, lambda _: _known.pop(key, None))
    _known[key] = alive, version(images), tuple(origins)


@public
def sources_of(images: Tensor) -> tuple[Origin, ...]:
    """Where the images of :func:`load_images` were in their photographs, one after the other.

    Args:
        images: what `load_images` returned, and not what was made of it: a part of it or what was
            written to has no known place any more, and gives an empty tuple.

    Returns:
        An :class:`Origin` per image: `name` of the file, `size`, `resized`, `top`, `left`, `crop`,
        and `box`, what the network sees of the photograph.

    Example:
        >>> from resviz.images import Preset, load_images
        >>> preset = Preset("mine", "own", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), resize=64, crop=64)
        >>> images = load_images(np.zeros((100, 200), np.uint8), preset=preset)
        >>> sources_of(images)[0].box
        (0.0, 50.0, 100.0, 150.0)
        >>> sources_of(images.flip(-1))
        ()
    """
    alive, written, origins = _known.get(id(images), (None, 0, ()))
    if alive is None or alive() is not images or version(images) != written:
        return ()
    return origins


def origins(inputs: Mapping[str, Tensor], main: str) -> dict[str, Any]:
    """What a record holds of where its images were, if anybody knows.

    Args:
        inputs: by name, as they were given.
        main: the one that maps and pictures are about; places of others are "other_sources".
    """
    places = {name: [each.to_json() for each in sources_of(t)] for name, t in inputs.items()}
    found: dict[str, Any] = {name: each for name, each in places.items() if each}
    own = {"sources": found.pop(main)} if main in found else {}
    return own | ({"other_sources": found} if found else {})
