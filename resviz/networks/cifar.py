"""The CIFAR-10 networks of He et al. 2015 at any depth 6n+2.

The public place of what :mod:`resviz.networks.zoo.cifar` makes.
"""

from resviz.networks.zoo.cifar import (
    ACTIVATIONS,
    INITS,
    SHORTCUTS,
    CifarBlock,
    CifarPreActivationBlock,
    CifarResNet,
    ZeroPadShortcut,
    cifar_resnet,
)

__all__ = [
    "ACTIVATIONS",
    "CifarBlock",
    "CifarPreActivationBlock",
    "CifarResNet",
    "INITS",
    "SHORTCUTS",
    "ZeroPadShortcut",
    "cifar_resnet",
]
