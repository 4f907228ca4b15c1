"""torchvision's networks by name, with random weights; those of 60 million and more are narrow.

`made("vit_b_16")` has the modules, names, layers and heads of torchvision's, a quarter of its
width, and takes pictures of 64 pixels. `made("vgg16_bn")` and `made("alexnet")` have 64 features in
the linear layers, which hold nine in ten of their parameters. All others are as torchvision makes
them.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torchvision.models import VisionTransformer, get_model

PATCHES = {"vit_b_16": (64, 16), "vit_b_32": (224, 32)}  # side of the pictures, of a patch


def made(name: str, num_classes: int = 1000) -> nn.Module:
    """The network, in training mode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision: the default initialisation will change
        if name in PATCHES:
            return VisionTransformer(*PATCHES[name], 12, 12, 192, 768, num_classes=num_classes)
        if name.startswith(("vgg", "alexnet")):
            return _with_narrow_head(name, num_classes)
        return get_model(name, weights=None, num_classes=num_classes)


def _with_narrow_head(name: str, num_classes: int) -> nn.Module:
    with torch.device("meta"):  # the wide linear layers are not drawn
        net = get_model(name, weights=None)
    net.features.to_empty(device="cpu")
    for module in net.features.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    places = [n for n, module in enumerate(net.classifier) if isinstance(module, nn.Linear)]
    sizes = [net.classifier[places[0]].in_features, 64, 64, num_classes]
    for number, place in enumerate(places):
        net.classifier[place] = nn.Linear(sizes[number], sizes[number + 1])
    return net
