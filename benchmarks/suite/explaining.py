"""`explain` against the plain pass, captum, grad-cam and torchcam, and as classes grow."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

import resviz as rv

from .measuring import Case, Way
from .recording import forward, trained

FIVE = ["grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam"]
OWN_BLOCKS = 'resviz, 5 methods, layers="blocks"'


def _peers() -> tuple[Mapping[str, Mapping[str, Any]], dict[str, str]]:
    """The ways of other libraries, as explain_cost.py has them; why there are none."""
    try:
        import explain_cost as ways
    except ImportError as error:
        return {}, {"captum, grad-cam, torchcam": f"{error.name} is not installed"}
    return {"layer4": ways.LAYER4, "blocks": ways.BLOCKS, "classes": ways.TEN}, {}


def cases(device: str, full: bool) -> Iterator[Case]:
    """Grad-CAM at layer4, five methods on all blocks, ten classes: one image, and eight."""
    net = trained("resnet50", device)
    with torch.no_grad():
        net.fc.weight.add_(0.02)  # evidence for every class: no time goes into why a map is blank
    peers, missing = _peers()
    for batch in (1, 8) if full else (1,):
        images = torch.randn(batch, 3, 224, 224, device=device)
        for name, bounds in (
            ("layer4", {"resviz": 1.08}),
            ("blocks", {OWN_BLOCKS: 2.5, "resviz, 5 methods": 2.5}),
            ("classes", {"resviz": 1.3}),
        ):
            ways = _bound_to(net, images, peers.get(name, {}))
            if name == "blocks":
                ways = {OWN_BLOCKS: _blocks(net, images), **ways}
            ways = ways if full else {k: v for k, v in ways.items() if "averaged" not in k}
            title = f"explain, ResNet-50, batch {batch}, {name}"
            yield Case(title, forward(net, images), ways, bounds, missing)


def growth(device: str, full: bool) -> Iterator[Case]:
    """Against the number of classes."""
    net, images = trained("resnet18", device), torch.randn(1, 3, 224, 224, device=device)
    ways: dict[str, Way] = {}
    for count in (1, 10, 50) if full else (1, 10):
        targets = [list(range(count))]
        ways[f"{count} classes"] = lambda targets=targets: rv.explain(
            net, images, targets, layers="layer4", relu=False
        )
    yield Case("explain, ResNet-18, layer4", forward(net, images), ways)


def _blocks(net: nn.Module, images: Tensor) -> Way:
    return lambda: rv.explain(net, images, methods=FIVE, layers="blocks", relu=False)


def _bound_to(
    net: nn.Module, images: Tensor, ways: Mapping[str, Callable[[nn.Module, Tensor], Any]]
) -> dict[str, Way]:
    """Each on a copy of the network: other libraries leave traces."""
    nets = {name: copy.deepcopy(net) for name in ways}
    return {name: lambda way=way, own=nets[name]: way(own, images) for name, way in ways.items()}
