"""Random networks for gradient correlation (Balduzzi et al. 2017).

The public place of what :mod:`resviz.networks.zoo.shattering` makes.
"""

from resviz.networks.zoo.shattering import (
    GATES,
    KINDS,
    RandomGate,
    ShatteringBlock,
    ShatteringNetwork,
    shattering_network,
)

__all__ = [
    "GATES",
    "KINDS",
    "RandomGate",
    "ShatteringBlock",
    "ShatteringNetwork",
    "shattering_network",
]
