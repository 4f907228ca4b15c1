"""torchvision's networks by name, with random weights; the largest are narrow.

ViT, Swin and ConvNeXt have the modules, names, layers and heads of torchvision's and about a
quarter of their width; "vit_b_16" takes pictures of 64 pixels. VGG and AlexNet have 64 features in
their linear layers, which hold nine in ten of their parameters. All others are as torchvision
makes them.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torchvision.models import ConvNeXt, SwinTransformer, VisionTransformer, get_model
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

PATCHES = {"vit_b_16": (64, 16), "vit_b_32": (224, 32)}  # side of the pictures, of a patch
SWIN = ([4, 4], 24, [2, 2, 6, 2], [3, 6, 12, 24])  # of a patch, width, layers, heads
V2 = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2}
CONVNEXT = ((24, 48, 3), (48, 96, 3), (96, 192, 9), (192, None, 3))


def made(name: str, num_classes: int = 1000) -> nn.Module:
    """The network, in training mode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision: the default initialisation will change
        if name in PATCHES:
            return VisionTransformer(*PATCHES[name], 12, 12, 192, 768, num_classes=num_classes)
        if name == "swin_t":
            return SwinTransformer(*SWIN, [7, 7], num_classes=num_classes)
        if name == "swin_v2_t":
            return SwinTransformer(*SWIN, [8, 8], num_classes=num_classes, **V2)
        if name == "convnext_tiny":
            blocks = [CNBlockConfig(*widths) for widths in CONVNEXT]
            return ConvNeXt(blocks, num_classes=num_classes)
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
