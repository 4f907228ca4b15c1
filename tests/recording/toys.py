"""Small networks, each with its residual additions written in another way.

A block has `branch(x)` and `shortcut(x)`, which never write in place, and a `forward` that adds
them as the name of the class says. `Net(block)` puts a stem before it and a head after it. `KINDS`
says what each must be found to be; the blocks of `NOT_RESIDUAL` hold no residual addition.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

WIDTH = 4


def convolutions(out: int = WIDTH, stride: int = 1) -> nn.Sequential:
    first = nn.Conv2d(WIDTH, out, 3, stride, 1, bias=False)
    return nn.Sequential(
        first, nn.BatchNorm2d(out), nn.ReLU(), nn.Conv2d(out, out, 3, 1, 1), nn.BatchNorm2d(out)
    )


class Block(nn.Module):
    """branch + shortcut."""

    out = WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.body = convolutions(self.out, self.out // WIDTH)

    def branch(self, x: Tensor) -> Tensor:
        return self.body(x)

    def shortcut(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


class Swapped(Block):
    def forward(self, x):
        return self.shortcut(x) + self.branch(x)


class InPlace(Block):
    def forward(self, x):
        out = self.branch(x)
        out += self.shortcut(x)
        return out


class InPlaceThenReLU(Block):
    def forward(self, x):
        out = self.branch(x)
        out += self.shortcut(x)
        return torch.relu_(out)


class TorchAdd(Block):
    def forward(self, x):
        return torch.add(self.branch(x), self.shortcut(x))


class TorchAddSwapped(Block):
    def forward(self, x):
        return torch.add(self.shortcut(x), self.branch(x))


class TorchAddKeywords(Block):
    def forward(self, x):
        return torch.add(input=self.branch(x), other=self.shortcut(x))


class TorchAddKeywordsReversed(Block):
    def forward(self, x):
        return torch.add(other=self.branch(x), input=self.shortcut(x))


class TorchAddOther(Block):
    def forward(self, x):
        return torch.add(self.shortcut(x), other=self.branch(x))


class AddUnderscore(Block):
    def forward(self, x):
        return self.branch(x).add_(self.shortcut(x))


class AddMethod(Block):
    def forward(self, x):
        return self.shortcut(x).add(self.branch(x))


class PythonSum(Block):
    def forward(self, x):
        return sum([self.shortcut(x), self.branch(x)])


class FloatFunctional(Block):
    def __init__(self):
        super().__init__()
        self.plus = torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x):
        return self.plus.add(self.branch(x), self.shortcut(x))


class FunctionalReLU(Block):
    def forward(self, x):
        return F.relu(self.branch(x) + self.shortcut(x), inplace=True)


class PreActivation(Block):
    def branch(self, x):
        return self.body(torch.relu(x))


class Bottlenecked(Block):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(WIDTH, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 3, 1, 1), nn.Conv2d(2, WIDTH, 1)
        )


class OneConvolution(Block):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)


class ThroughIdentityModule(Block):
    def __init__(self):
        super().__init__()
        self.skip = nn.Sequential(nn.Identity(), nn.Dropout(0.5))

    def forward(self, x):
        return self.branch(x) + self.skip(x)


class ClonedShortcut(Block):
    def shortcut(self, x):
        return x.clone()


class ReshapedShortcut(Block):
    def shortcut(self, x):
        return x.flatten(1).view(x.shape)


class LayerScale(Block):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((WIDTH, 1, 1), 0.1))

    def branch(self, x):
        return self.gamma * self.body(x)


class ScaledBranch(Block):
    def branch(self, x):
        return 0.2 * self.body(x)


class SqueezeExcite(Block):
    def __init__(self):
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(WIDTH, WIDTH, 1), nn.Sigmoid())

    def branch(self, x):
        out = self.body(x)
        return out * self.gate(out)


class Gated(Block):
    """x + x * gate(x): the branch also reads x without a parameter on the way."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 1), nn.Sigmoid())

    def branch(self, x):
        return x * self.body(x)


class Broadcast(Block):
    """A context vector added everywhere (Cao et al. 2019)."""

    def branch(self, x):
        return self.body(x).mean((2, 3), keepdim=True).expand(x.shape)

    def forward(self, x):
        return x + self.body(x).mean((2, 3), keepdim=True)


class Nested(Block):
    """x + (x + body(x)) as one block inside another: the inner one leaves a free way through."""

    def __init__(self):
        super().__init__()
        self.inner = Block()
        del self.body

    def branch(self, x):
        return self.inner.branch(x) + x

    def forward(self, x):
        return self.inner(x) + self.shortcut(x)


class ScaledShortcut(Block):
    def shortcut(self, x):
        return 0.5 * x


class ReLUShortcut(Block):
    def shortcut(self, x):
        return torch.relu(x)


class Highway(Block):
    """t * F(x) + (1 - t) * x (Srivastava et al. 2015)."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 1), nn.Sigmoid())

    def branch(self, x):
        return self.gate(x) * self.body(x)

    def shortcut(self, x):
        return (1 - self.gate(x)) * x


class Projection(Block):
    out = 2 * WIDTH

    def __init__(self):
        super().__init__()
        self.skip = nn.Sequential(nn.Conv2d(WIDTH, self.out, 1, 2), nn.BatchNorm2d(self.out))

    def shortcut(self, x):
        return self.skip(x)


class PooledProjection(Projection):
    """Average pooling before the projection (ResNet-D)."""

    def __init__(self):
        super().__init__()
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(WIDTH, self.out, 1))


class ProjectionInPlace(Projection):
    def forward(self, x):
        shortcut = self.shortcut(x)
        out = self.branch(x)
        out += shortcut
        return torch.relu_(out)


class Padded(Block):
    out = 2 * WIDTH

    def shortcut(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))


class PooledAndConcatenatedZeros(Block):
    out = 2 * WIDTH

    def shortcut(self, x):
        x = F.avg_pool2d(x, 2)
        return torch.cat([x, torch.zeros_like(x)], 1)


class ConcatenatedNewZeros(Block):
    out = 2 * WIDTH

    def shortcut(self, x):
        x = x[:, :, ::2, ::2]
        return torch.cat([x, x.new_zeros(x.shape)], dim=1)


class WrittenIntoZeros(Block):
    out = 2 * WIDTH

    def shortcut(self, x):
        x = x[:, :, ::2, ::2]
        wide = x.new_zeros(len(x), self.out, *x.shape[2:])
        wide[:, :WIDTH] = x
        return wide


class TimesZero(Block):
    """The padding of some published CIFAR networks: cat of x and x times 0."""

    out = 2 * WIDTH

    def shortcut(self, x):
        x = F.avg_pool2d(x, 1, 2)
        return torch.cat((x, x.mul(0)), 1)


class Checkpointed(Block):
    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


class DataDependent(Block):
    def forward(self, x):
        if float(x.detach().mean()) > 1e6:
            return x
        for _ in range(1 + int(x.shape[0] > 100)):
            out = self.branch(x) + self.shortcut(x)
        return out


class AddModule(nn.Module):
    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other


class AsModule(Block):
    """The addition is a leaf module of its own."""

    def __init__(self):
        super().__init__()
        self.plus = AddModule()

    def forward(self, x):
        return self.plus(self.branch(x), self.shortcut(x))


class SequentialBlock(nn.Sequential):
    """A Sequential that adds its input to what its children give."""

    def __init__(self) -> None:
        super().__init__(*convolutions())

    def branch(self, x):
        return nn.Sequential.forward(self, x)

    def shortcut(self, x):
        return x

    def forward(self, x):
        return x + super().forward(x)


IDENTITY = [
    *(Block, Swapped, InPlace, InPlaceThenReLU, TorchAdd, TorchAddSwapped, TorchAddKeywords),
    *(TorchAddKeywordsReversed, TorchAddOther, AddUnderscore, AddMethod, PythonSum),
    *(FloatFunctional, FunctionalReLU, PreActivation, Bottlenecked, OneConvolution),
    *(ThroughIdentityModule, ClonedShortcut, ReshapedShortcut, LayerScale, ScaledBranch),
    *(SqueezeExcite, Gated, Checkpointed, DataDependent, AsModule, SequentialBlock),
    Broadcast,
]
SCALED = [ScaledShortcut, ReLUShortcut, Highway]
PROJECTION = [Projection, PooledProjection, ProjectionInPlace]
PADDED = [Padded, PooledAndConcatenatedZeros, ConcatenatedNewZeros, WrittenIntoZeros, TimesZero]
KINDS: dict[type[nn.Module], str] = {
    **dict.fromkeys(IDENTITY, "identity"),
    **dict.fromkeys(SCALED, "scaled"),
    **dict.fromkeys(PROJECTION, "projection"),
    **dict.fromkeys(PADDED, "padded"),
}
OF_EACH_KIND = [
    *(Block, InPlaceThenReLU, AddUnderscore, Bottlenecked, Checkpointed, DataDependent, Broadcast),
    *(ScaledShortcut, Highway, Projection, ProjectionInPlace, Padded, WrittenIntoZeros),
]


class Plain(Block):
    def forward(self, x):
        return self.branch(x)


class TwoEqualBranches(Block):
    def __init__(self):
        super().__init__()
        self.other = convolutions()

    def forward(self, x):
        return self.body(x) + self.other(x)


class TwoUnequalDeepBranches(Block):
    """Two branches of two and three convolutions: neither is a shortcut."""

    def __init__(self):
        super().__init__()
        self.other = nn.Sequential(convolutions(), nn.Conv2d(WIDTH, WIDTH, 1))

    def forward(self, x):
        return self.body(x) + self.other(x)


class AddedBias(Block):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(WIDTH, 1, 1))

    def forward(self, x):
        return self.body(x) + self.bias


class AddedMap(Block):
    """A learned map of the size of the activation, as a position embedding is."""

    def __init__(self):
        super().__init__()
        self.map = nn.Parameter(torch.randn(1, WIDTH, 8, 8))

    def forward(self, x):
        return self.body(x) + self.map.expand(x.shape)


class AddedConvolvedMap(AddedMap):
    def forward(self, x):
        return x + self.body(self.map).expand(x.shape)


class AddedNoise(Block):
    def forward(self, x):
        return x + 0.1 * torch.ones_like(x)


class AddedBuffer(Block):
    def __init__(self):
        super().__init__()
        self.register_buffer("map", torch.randn(1, WIDTH, 8, 8))

    def forward(self, x):
        return x + self.map.expand(x.shape)


class Doubled(Block):
    def forward(self, x):
        return x + x


class Concatenated(Block):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(2 * WIDTH, WIDTH, 1)

    def forward(self, x):
        return self.mix(torch.cat([x, self.body(x)], 1))


NOT_RESIDUAL = [
    *(Plain, TwoEqualBranches, TwoUnequalDeepBranches, AddedBias, AddedMap, AddedConvolvedMap),
    *(AddedNoise, AddedBuffer, Doubled, Concatenated),
]


class Net(nn.Module):
    """Stem, one block, head; 8x8 images."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, 1, 1)
        self.block = block
        self.head = nn.Linear(getattr(block, "out", WIDTH), 5)

    def after(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(x).mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.block(torch.relu(self.stem(x))))


def net_of(block: type[nn.Module]) -> Net:
    torch.manual_seed(3)
    net = Net(block())
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()
