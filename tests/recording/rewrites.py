"""torchvision's ResNets written again without in-place operations: every tensor is its own.

A second implementation to compare `record` with. `run` returns every intermediate tensor under the
(path, call) of the module call it is the output of, with its gradient retained, and for each block
its branch, shortcut and sum, and the two copies of its input that branch and shortcut read.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Block:
    branch: Tensor
    shortcut: Tensor
    total: Tensor
    branch_input: Tensor
    shortcut_input: Tensor
    input: Tensor


@dataclass
class Trace:
    values: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    logits: Tensor | None = None

    def keep(self, path: str, tensor: Tensor) -> Tensor:
        call = self.calls.get(path, 0)
        self.calls[path] = call + 1
        kept = self.watch(tensor.clone())
        self.values[path, call] = kept
        return kept

    @staticmethod
    def watch(tensor: Tensor) -> Tensor:
        if tensor.requires_grad:
            tensor.retain_grad()
        return tensor


def perturb(net: nn.Module, seed: int = 0) -> nn.Module:
    """BatchNorm with statistics, scale and shift that are not the identity; eval mode."""
    source = torch.Generator().manual_seed(seed)

    def fill(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=source) * (high - low) + low)

    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                fill(module.running_mean, -0.5, 0.5)
                fill(module.running_var, 0.5, 2.0)
                fill(module.weight, 0.3, 1.2)
                fill(module.bias, -0.3, 0.3)
    return net.eval()


class Rewrite:
    """A ResNet of torchvision, run functionally on a deep copy of its parameters."""

    def __init__(self, net: nn.Module) -> None:
        self.net = copy.deepcopy(net).requires_grad_(True)

    def run(self, images: Tensor) -> Trace:
        self.trace = trace = Trace()
        x = images.clone().requires_grad_(True)
        x = self._relu("relu", self._bn("bn1", self._conv("conv1", x)))
        x = trace.keep("maxpool", F.max_pool2d(x, 3, 2, 1))
        for stage in range(1, 5):
            for name in getattr(self.net, f"layer{stage}")._modules:
                x = self._block(f"layer{stage}.{name}", x)
        x = trace.keep("avgpool", F.adaptive_avg_pool2d(x, 1))
        fc = self.net.fc
        trace.logits = trace.keep("fc", F.linear(x.flatten(1), fc.weight, fc.bias))
        return trace

    def _block(self, path: str, x: Tensor) -> Tensor:
        block = self.net.get_submodule(path)
        trace = self.trace
        to_branch, to_shortcut = trace.watch(x.clone()), trace.watch(x.clone())
        bottleneck = hasattr(block, "conv3")
        out = to_branch
        for n in (1, 2, 3) if bottleneck else (1, 2):
            out = self._bn(f"{path}.bn{n}", self._conv(f"{path}.conv{n}", out))
            if n < (3 if bottleneck else 2):
                out = self._relu(f"{path}.relu", out)
        shortcut = to_shortcut
        if block.downsample is not None:
            shortcut = self._conv(f"{path}.downsample.0", shortcut)
            shortcut = self._bn(f"{path}.downsample.1", shortcut)
        total = trace.watch(out + shortcut)
        trace.blocks[path] = Block(out, shortcut, total, to_branch, to_shortcut, x)
        return trace.keep(path, self._relu(f"{path}.relu", total))

    def _conv(self, path: str, x: Tensor) -> Tensor:
        conv = self.net.get_submodule(path)
        settings = (conv.stride, conv.padding, conv.dilation, conv.groups)
        return self.trace.keep(path, F.conv2d(x, conv.weight, conv.bias, *settings))

    def _bn(self, path: str, x: Tensor) -> Tensor:
        bn = self.net.get_submodule(path)
        state = (bn.running_mean, bn.running_var, bn.weight, bn.bias)
        return self.trace.keep(path, F.batch_norm(x, *state, False, 0.0, bn.eps))

    def _relu(self, path: str, x: Tensor) -> Tensor:
        return self.trace.keep(path, torch.relu(x))
