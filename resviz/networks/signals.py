"""A small residual network for signals, and signals whose event one knows the place of.

The public place of what :mod:`resviz.networks.zoo.signals` makes.
"""

from resviz.networks.zoo.signals import (
    EVENTS,
    Planted,
    SignalResNet,
    planted_events,
    signals_resnet,
)

__all__ = [
    "EVENTS",
    "Planted",
    "SignalResNet",
    "planted_events",
    "signals_resnet",
]
