"""`record` against the plain pass and torchvision's extractor, and as networks grow."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

import resviz as rv
from resviz.networks.cifar import cifar_resnet

from .measuring import Case, Way


def trained(name: str, device: str) -> nn.Module:
    """Random weights; BatchNorm as after a pass in training, so that nothing is blank."""
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None).to(device)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        net.train()(torch.randn(8, 3, 128, 128, device=device))
    return net.eval()


def forward(net: nn.Module, images: Tensor) -> Way:
    """The plain forward pass."""

    def way() -> None:
        with torch.no_grad():
            net(images)

    return way


def both(net: nn.Module, images: Tensor) -> Way:
    """The plain forward and backward pass: the gradient of every parameter."""

    def way() -> None:
        loss = net(images).max(1).values.sum()
        torch.autograd.grad(loss, list(net.parameters()))

    return way


def _forward_only(net: nn.Module, images: Tensor) -> Way:
    return lambda: rv.record(net, images, gradients=False)


def _extracted(net: nn.Module, images: Tensor) -> Way:
    names = get_graph_node_names(net)[1]
    extractor = create_feature_extractor(net, names)

    def way() -> None:
        with torch.no_grad():
            extractor(images)

    return way


def cases(device: str, full: bool) -> Iterator[Case]:
    """ResNet-50 at 224, one image and eight, forward alone and with the backward."""
    net = trained("resnet50", device)
    for batch, ahead, back in ((1, 1.6, 1.4), (8, 1.3, 1.15)):
        images = torch.randn(batch, 3, 224, 224, device=device)
        ways = {
            "record(gradients=False)": _forward_only(net, images),
            "torchvision's extractor, all nodes": _extracted(net, images),
        }
        bounds = {"record(gradients=False)": ahead}
        title = f"record, ResNet-50, batch {batch}, forward"
        yield Case(title, forward(net, images), ways, bounds)
        ways = {"record": lambda images=images: rv.record(net, images)}
        title = f"record, ResNet-50, batch {batch}, forward + backward"
        yield Case(title, both(net, images), ways, {"record": back})


def growth(device: str, full: bool) -> Iterator[Case]:
    """The same against depth, batch, image size and number of kept layers."""
    for depth in (20, 56, 110, 302) if full else (20, 56):
        net, images = cifar_resnet(depth, seed=0).eval().to(device), _noise(32, 32, device)
        yield _one(f"depth {depth}, 32 x 32 x 32", net, images)
    net = cifar_resnet(20, seed=0).eval().to(device)
    for batch in (1, 8, 128, 512) if full else (1, 128):
        yield _one(f"batch {batch}, ResNet-20", net, _noise(batch, 32, device))
    net = trained("resnet18", device)
    for side in (64, 128, 224, 448) if full else (64, 224):
        yield _one(f"side {side}, ResNet-18, batch 1", net, _noise(1, side, device))
    images = _noise(1, 224, device)
    ways = {
        f"keep {name}": lambda keep=keep: rv.record(net, images, gradients=False, keep=keep)
        for name, keep in (("nothing", ()), ("blocks", "blocks"), ("additions", "additions"))
    }
    yield Case("kept tensors, ResNet-18, batch 1", forward(net, images), ways)


def _noise(batch: int, side: int, device: str) -> Tensor:
    return torch.randn(batch, 3, side, side, device=device)


def _one(title: str, net: nn.Module, images: Tensor) -> Case:
    return Case(
        title, forward(net, images), {"record(gradients=False)": _forward_only(net, images)}
    )
