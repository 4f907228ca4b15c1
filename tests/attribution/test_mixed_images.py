"""Images of a batch that reach one another: BatchNorm on the batch's own statistics."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from resviz.networks.cifar import cifar_resnet

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
CLASSES = [0, 1, 2, 3]


def network(keeps: bool) -> nn.Module:
    """With BatchNorm that keeps running statistics, or none."""
    torch.manual_seed(1)
    net = cifar_resnet(8, seed=0).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.3)
            if not keeps:
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
    return net


def by_hand(net: nn.Module, layer: str) -> Tensor:
    """Grad-CAM of each image's own score, its negative part too (Selvaraju et al. 2017, Eq. 1)."""
    found: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(lambda m, a, out: found.append(out))
    logits = net(IMAGES)
    handle.remove()
    own = [
        torch.autograd.grad(logits[i, CLASSES[i]], found[0], retain_graph=True)[0][i]
        for i in range(len(IMAGES))
    ]
    return (torch.stack(own).mean((2, 3), keepdim=True) * found[0]).sum(1).detach()


@pytest.mark.parametrize("layer", ["layer1", "layer2"])
def test_the_gradient_is_of_an_images_own_score(layer: str) -> None:
    net = network(keeps=False)
    maps = rv.explain(net, IMAGES, CLASSES, layers=layer, relu=False).maps["grad_cam", layer]
    torch.testing.assert_close(maps[:, 0], by_hand(net, layer), rtol=1e-4, atol=1e-6)


def test_so_it_is_with_batch_stats() -> None:
    net = network(keeps=True)
    exp = rv.explain(net, IMAGES, CLASSES, layers="layer1", relu=False, batch_stats=True)
    expected = by_hand(net.train(), "layer1")
    torch.testing.assert_close(exp.maps["grad_cam", "layer1"][:, 0], expected, rtol=1e-4, atol=1e-6)


def test_variants_of_a_picture_do_not_reach_one_another() -> None:
    net = network(keeps=False)
    several, one = (
        rv.explain(net, IMAGES[:1], 1, methods="occlusion", chunk=chunk, progress=False)
        for chunk in (8, 1)
    )
    key = ("occlusion", "input")
    torch.testing.assert_close(several.maps[key], one.maps[key])
