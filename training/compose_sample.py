"""Compose sample_images/cat_and_espresso.png: the cat of chelsea.png beside the cup of coffee.png.

    python training/compose_sample.py

Both stay as they are but for cropping and one common scale each; the picture is square, so that a
network's centre crop keeps both objects.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

SAMPLES = Path(__file__).parents[1] / "sample_images"
SIZE = 512
# file, left edge of the strip in its own pixels, width of the strip in the composed picture
STRIPS = (("chelsea.png", 132, 276), ("coffee.png", 180, 236))


def compose() -> Image.Image:
    """The two strips side by side."""
    picture = Image.new("RGB", (SIZE, SIZE))
    across = 0
    for name, left, width in STRIPS:
        photo = Image.open(SAMPLES / name).convert("RGB")
        scale = SIZE / photo.height
        box = (left, 0, left + width / scale, photo.height)
        strip = photo.resize((width, SIZE), Image.Resampling.BICUBIC, box=box)
        picture.paste(strip, (across, 0))
        across += width
    return picture


if __name__ == "__main__":
    compose().save(SAMPLES / "cat_and_espresso.png", optimize=True)
