"""Small networks for 8x8 digits.

The public place of what :mod:`resviz.networks.zoo.digits` makes.
"""

from resviz.networks.zoo.digits import (
    DigitsResNet,
    digits_resnet,
)

__all__ = [
    "DigitsResNet",
    "digits_resnet",
]
