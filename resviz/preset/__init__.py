"""How a network wants its images, and what its outputs are called."""

from resviz.preset.definition import INTERPOLATIONS, OUTPUTS, Preset
from resviz.preset.network import (
    check_channels,
    check_network,
    check_preset,
    check_scale,
    preset_of,
    set_preset,
)

__all__ = [
    "INTERPOLATIONS",
    "OUTPUTS",
    "Preset",
    "check_channels",
    "check_network",
    "check_preset",
    "check_scale",
    "preset_of",
    "set_preset",
]
