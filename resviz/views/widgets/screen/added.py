"""A photograph that joins the others: from the bytes of a file to what the network takes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from resviz.images import load_images
from resviz.views.overlays import Whole
from resviz.views.widgets.originals import sources

_CALLER = "explore"


def photograph_of(
    name: str, buffers: Sequence[Any], net: Any, preset: Any
) -> tuple[Any, Whole | None]:
    """(1, 3, H, W) of a file's bytes, and the photograph."""
    from PIL import Image, UnidentifiedImageError

    if not buffers:
        raise ValueError(f"{_CALLER}: no bytes of {name!r} came; choose the file again.")
    try:
        picture = Image.open(io.BytesIO(bytes(buffers[0])))
        picture.load()
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{_CALLER}: {name!r} cannot be read as a picture; a PNG or JPEG file would be right."
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{_CALLER}: {name!r} is not readable ({error}); a picture that Pillow opens."
        ) from error
    images = load_images(picture, net, preset=preset)
    source = next(iter(sources(images, picture)), None)
    return images, None if source is None else source.whole()
