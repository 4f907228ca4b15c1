"""The CIFAR-10 networks of the residual papers: depth 6n+2, with and without shortcuts.

Sources: He et al. 2015, "Deep Residual Learning for Image Recognition",
https://arxiv.org/abs/1512.03385, section 4.2 (the family, 20 to 1202 layers) and section 3.3
(shortcuts A, B, C); He et al. 2016, "Identity Mappings in Deep Residual Networks",
https://arxiv.org/abs/1603.05027 (pre-activation).

Module names are those of the published implementations (``conv1``, ``bn1``, ``layer1.0.conv1``,
``layer1.0.shortcut``, ``linear``), so their weights load as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resviz import arguments
from resviz.arguments import caller, choice, public, whole

SHORTCUTS = ("A", "B", "C", "none")
T = TypeVar("T")
WIDTHS = (16, 32, 64)
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "identity": nn.Identity,
}
INITS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "he": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
    "xavier": nn.init.xavier_normal_,
    "orthogonal": nn.init.orthogonal_,
    "torch": None,
}


class ZeroPadShortcut(nn.Module):
    """Option A: take every second position, pad the missing channels with zeros (section 3.3)."""

    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + extra_channels, H / stride, W / stride)."""
        before = self.extra_channels // 2
        subsampled = x[:, :, :: self.stride, :: self.stride]
        return F.pad(subsampled, (0, 0, 0, 0, before, self.extra_channels - before))

    def extra_repr(self) -> str:
        """The two numbers, for `print`."""
        return f"extra_channels={self.extra_channels}, stride={self.stride}"


def _shortcut(
    kind: str, channels_in: int, channels_out: int, stride: int, norm: bool
) -> nn.Module | None:
    if kind == "none":
        return None
    same_shape = stride == 1 and channels_in == channels_out
    if kind != "C" and same_shape:
        return nn.Identity()
    if kind == "A":
        return ZeroPadShortcut(channels_out - channels_in, stride)
    projection = nn.Conv2d(channels_in, channels_out, 1, stride, bias=not norm)
    return nn.Sequential(projection, *([nn.BatchNorm2d(channels_out)] if norm else []))


class CifarBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: relu(F(x) + shortcut(x)), or without the shortcut."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        stride: int,
        shortcut: str,
        norm: bool,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=not norm)
        self.bn1 = nn.BatchNorm2d(channels_out) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=not norm)
        self.bn2 = nn.BatchNorm2d(channels_out) if norm else nn.Identity()
        self.relu = activation()
        self.shortcut = _shortcut(shortcut, channels_in, channels_out, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H / stride, W / stride)."""
        branch = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.shortcut is None:
            return self.relu(branch)
        return self.relu(branch + self.shortcut(x))


class CifarPreActivationBlock(nn.Module):
    """The block of He et al. 2016: norm and activation before each convolution, none at the end."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        stride: int,
        shortcut: str,
        norm: bool,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in) if norm else nn.Identity()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=not norm)
        self.bn2 = nn.BatchNorm2d(channels_out) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=not norm)
        self.relu = activation()
        self.shortcut = _shortcut(shortcut, channels_in, channels_out, stride, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H / stride, W / stride)."""
        branch = self.conv2(self.relu(self.bn2(self.conv1(self.relu(self.bn1(x))))))
        return branch if self.shortcut is None else branch + self.shortcut(x)


class CifarResNet(nn.Module):
    """A 3x3 stem, three stages of (depth - 2) / 6 blocks, and a linear head.

    Build it with :func:`cifar_resnet`, which checks the arguments and seeds the weights.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential

    def __init__(
        self,
        depth: int,
        shortcut: str,
        norm: bool,
        preactivation: bool,
        activation: Callable[[], nn.Module],
        classes: int,
    ) -> None:
        super().__init__()
        block = CifarPreActivationBlock if preactivation else CifarBlock
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=not norm)
        channels = WIDTHS[-1] if preactivation else WIDTHS[0]
        self.bn1 = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.relu = activation()
        channels = WIDTHS[0]
        for stage, width in enumerate(WIDTHS, 1):
            blocks = []
            for index in range((depth - 2) // 6):
                stride = 2 if stage > 1 and index == 0 else 1
                blocks.append(block(channels, width, stride, shortcut, norm, activation))
                channels = width
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(WIDTHS[-1], classes)
        self.depth, self.preactivation = depth, preactivation

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, classes) logits."""
        x = self.conv1(x)
        if not self.preactivation:
            x = self.relu(self.bn1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        if self.preactivation:  # the last sum has no norm and activation of its own
            x = self.relu(self.bn1(x))
        return self.linear(self.avgpool(x).flatten(1))


@public
def cifar_resnet(
    depth: int = 56,
    *,
    shortcut: str = "A",
    norm: bool = True,
    preactivation: bool = False,
    activation: str | Callable[[], nn.Module] = "relu",
    init: str | Callable[[Tensor], Tensor | None] = "he",
    classes: int = 10,
    seed: int | None = None,
) -> CifarResNet:
    """A CIFAR residual or plain network of any depth 6n+2, untrained.

    He et al. 2015 (arXiv 1512.03385), section 4.2: 3x3 stem of 16 channels, three stages of
    16/32/64 channels on 32x32, 16x16 and 8x8 maps, global average pooling, one linear layer.

    Args:
        depth: weighted layers on the main path, 6n+2: 8, 14, 20, ..., 56, 110, ..., 1202.
        shortcut: "A" identity, subsampled and zero-padded where the shape changes; "B" a 1x1
            projection where the shape changes; "C" projections everywhere; "none" a plain network.
        norm: BatchNorm after every convolution (before, with `preactivation`). Without it the
            convolutions have biases.
        preactivation: the block order of He et al. 2016 (arXiv 1603.05027, Fig. 4e).
        activation: "relu", "sigmoid", "tanh", "gelu", "silu", "elu", "identity", or a function
            that returns a module.
        init: "he" (normal, fan-in, gain sqrt 2), "xavier" (normal), "orthogonal", "torch"
            (PyTorch's default), or a function that fills a weight in place. Biases start at zero
            but with "torch".
        classes: outputs of the linear layer.
        seed: seeds the weights and leaves the global random state as it was; None draws from it.

    Returns:
        The network in eval mode: (N, 3, H, W) to (N, classes) logits.

    Raises:
        TypeError: depth, classes or seed is no whole number.
        ValueError: depth is not 6n+2, there are no classes, or an option is unknown.

    Example:
        >>> net = cifar_resnet(20, shortcut="none", seed=0)
        >>> net(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """
    depth, classes = whole("depth", depth), whole("classes", classes, least=1)
    if depth < 8 or (depth - 2) % 6:
        nearest = max(8, 6 * round((depth - 2) / 6) + 2)
        raise ValueError(f"{caller()}: depth {depth}; depths are 6n+2. The nearest is {nearest}.")
    shortcut = choice("shortcut", shortcut, SHORTCUTS)
    make_activation = _chosen("activation", activation, ACTIVATIONS)
    fill = _chosen("init", init, INITS)
    with ExitStack() as stack:
        if seed is not None:
            stack.enter_context(seeded(seed))
        net = CifarResNet(depth, shortcut, norm, preactivation, make_activation, classes)
        if fill is not None:
            _initialise(net, fill)
    return net.eval()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Weights drawn inside come from the seed; the global random state stays as it was.

    On the CPU alone: the random state of other devices is not involved.
    """
    seed = arguments.seed(seed, least=None)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def _chosen(what: str, value: str | T, table: Mapping[str, T]) -> T:
    if not isinstance(value, str):
        return value
    return table[choice(what, value, table, "or a function")]


@torch.no_grad()
def _initialise(net: nn.Module, fill: Callable[[Tensor], Tensor | None]) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fill(module.weight)
            if module.bias is not None:
                module.bias.zero_()
