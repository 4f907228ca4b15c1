"""Pictures to tensors and back: how a network wants its images, and how they get there."""

from resviz.images.loading import load_images
from resviz.images.showing import to_pictures
from resviz.preset import Preset, preset_of, set_preset

__all__ = ["Preset", "load_images", "preset_of", "set_preset", "to_pictures"]
