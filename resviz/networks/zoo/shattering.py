"""Random networks of the shattered gradients paper: plain, residual, residual with BatchNorm.

Source: Balduzzi et al. 2017, "The Shattered Gradients Problem: If resnets are the answer, then what
is the question?", https://arxiv.org/abs/1702.08591.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resviz import arguments
from resviz.arguments import choice, public, whole

KINDS = ("plain", "residual", "residual_bn")
GATES = ("random", "relu")
_CALIBRATION = 512  # inputs whose means and variances BatchNorm keeps


class RandomGate(nn.Module):
    """Passes each unit of each input with probability 1/2, whatever its value.

    The gating assumption of Balduzzi et al. 2017: a rectifier is open for half of the inputs,
    independently of the other units and inputs. The gates belong to the place in the batch and are
    the same in every call, whatever the random state.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) to (N, width)."""
        generator = torch.Generator().manual_seed(self.seed)
        return x * torch.randint(0, 2, x.shape, generator=generator).to(x)


class ShatteringBlock(nn.Module):
    """One layer: gate(W x) in a plain network, x + W gate(norm(x)) in a residual one."""

    def __init__(self, kind: str, width: int, gate: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width) if kind == "residual_bn" else nn.Identity()
        self.linear = nn.Linear(width, width, bias=False)
        self.gate = gate
        self.residual = kind != "plain"

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) to (N, width)."""
        if not self.residual:
            return self.gate(self.linear(x))
        return x + self.linear(self.gate(self.norm(x)))


class ShatteringNetwork(nn.Module):
    """Blocks of one width and a linear output. Build it with :func:`shattering_network`."""

    def __init__(self, depth: int, kind: str, width: int, gates: str, seed: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                ShatteringBlock(kind, width, nn.ReLU() if gates == "relu" else _gate(seed, number))
                for number in range(depth)
            )
        )
        self.head = nn.Linear(width, 1, bias=False)
        self.depth, self.kind, self.gates = depth, kind, gates

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) to (N, 1)."""
        return self.head(self.blocks(x))


def _gate(seed: int, number: int) -> RandomGate:
    return RandomGate(((seed + 1) * 1_000_003 + number) % 2**64)  # what a generator takes


@public
def shattering_network(
    depth: int,
    kind: str = "plain",
    *,
    width: int = 256,
    gates: str = "random",
    seed: int = 0,
) -> ShatteringNetwork:
    """A random network of the shattered gradients paper, as a function from width numbers to one.

    Balduzzi et al. 2017 (https://arxiv.org/abs/1702.08591). Weights are normal with variance
    2 / width (He et al. 2015), those of the output 1 / width; no biases. BatchNorm has the means
    and variances of each unit over 512 standard normal inputs and keeps them: in eval mode they are
    constants, and the gradient at one input does not depend on the others.

    Args:
        depth: blocks, each with one weight matrix and one layer of gates.
        kind: "plain": x -> gate(W x). "residual": x -> x + W gate(x). "residual_bn":
            x -> x + W gate(BatchNorm(x)).
        width: of the input and of every block.
        gates: "random": each unit of each input is passed with probability 1/2, independently, as
            the paper assumes. "relu": rectifiers, whose gates depend on what they get.
        seed: of weights, gates and the inputs behind BatchNorm; the global random state is left as
            it was.

    Returns:
        The network in eval mode: (N, width) to (N, 1).

    Raises:
        TypeError: depth, width or seed is no whole number.
        ValueError: depth or width below 1, a negative seed, an unknown kind or unknown gates.

    Example:
        >>> net = shattering_network(4, "residual", seed=0)
        >>> net(torch.zeros(2, 256)).shape
        torch.Size([2, 1])
    """
    depth, width, seed = whole("depth", depth, 1), whole("width", width, 1), arguments.seed(seed)
    kind, gates = choice("kind", kind, KINDS), choice("gates", gates, GATES)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        net = ShatteringNetwork(depth, kind, width, gates, seed)
    with torch.inference_mode(False), torch.no_grad():
        for block in net.blocks:
            block.linear.weight.normal_(0.0, (2 / width) ** 0.5, generator=generator)  # type: ignore[union-attr, operator]
        net.head.weight.normal_(0.0, width**-0.5, generator=generator)
        if kind == "residual_bn":
            _calibrate(net, torch.randn(_CALIBRATION, width, generator=generator))
    return net.eval()


def _calibrate(net: ShatteringNetwork, inputs: Tensor) -> None:
    """One pass in training mode gives every BatchNorm the statistics of these inputs."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    net(inputs)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
