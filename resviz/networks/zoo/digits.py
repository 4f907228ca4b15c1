"""Residual and plain networks for 8x8 digits: small enough to be trained while one watches.

One stage of the blocks of He et al. 2015, "Deep Residual Learning for Image Recognition",
https://arxiv.org/abs/1512.03385 (Fig. 2, two 3x3 convolutions), without any subsampling. The
family is resviz's own; the paper has no networks for such small pictures.
"""

from __future__ import annotations

from contextlib import ExitStack

from torch import Tensor, nn

from resviz.arguments import caller, choice, public, whole
from resviz.networks.zoo.cifar import CifarBlock, seeded

SHORTCUTS = ("A", "none")


class DigitsResNet(nn.Module):
    """A 3x3 stem, (depth - 2) / 2 blocks of one width, and a linear head.

    Build it with :func:`digits_resnet`, which checks the arguments and seeds the weights.
    """

    layer1: nn.Sequential

    def __init__(self, depth: int, shortcut: str, width: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        blocks = [
            CifarBlock(width, width, 1, shortcut, True, nn.ReLU) for _ in range((depth - 2) // 2)
        ]
        self.layer1 = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(width, classes)
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, classes) logits."""
        x = self.layer1(self.relu(self.bn1(self.conv1(x))))
        return self.linear(self.avgpool(x).flatten(1))


@public
def digits_resnet(
    depth: int = 28,
    *,
    shortcut: str = "A",
    width: int = 16,
    classes: int = 10,
    seed: int | None = None,
) -> DigitsResNet:
    """A residual or plain network of depth 2n+2 for small pictures, untrained.

    Every layer sees the whole 8x8 map and has `width` channels, so every shortcut is an identity.
    Weights are normal with fan-in and gain sqrt 2 (He et al. 2015, arXiv 1502.01852); BatchNorm
    follows each convolution. A plain and a residual network of one depth and seed have the same
    weights.

    Args:
        depth: weighted layers on the main path: 4, 6, 8, ...
        shortcut: "A" identity; "none" a plain network.
        width: channels of every convolution.
        classes: outputs of the linear layer.
        seed: seeds the weights and leaves the global random state as it was; None draws from it.

    Returns:
        The network in eval mode: (N, 3, H, W) to (N, classes) logits.

    Raises:
        TypeError: a number is no whole number.
        ValueError: depth is odd or below 4, another number is below 1, or an unknown shortcut.

    Example:
        >>> import torch
        >>> net = digits_resnet(10, shortcut="none", seed=0)
        >>> net(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 10])
    """
    depth, width = whole("depth", depth), whole("width", width, least=1)
    classes, shortcut = whole("classes", classes, 1), choice("shortcut", shortcut, SHORTCUTS)
    if depth < 4 or depth % 2:
        raise ValueError(f"{caller()}: depth {depth}; depths are 2n+2: 4, 6, 8, ...")
    with ExitStack() as stack:
        if seed is not None:
            stack.enter_context(seeded(seed))
        net = DigitsResNet(depth, shortcut, width, classes)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(net.linear.bias)
    return net.eval()
