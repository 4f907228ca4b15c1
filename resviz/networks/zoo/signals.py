"""A small residual network for signals, and the signals that it was trained on.

The basic blocks of He et al. 2015, "Deep Residual Learning for Image Recognition",
https://arxiv.org/abs/1512.03385 (Fig. 2), along one axis. Network and data are resviz's own, so
that one knows where in a signal the evidence is.
"""

from __future__ import annotations

import math
import os
import pathlib
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resviz.arguments import caller, public, whole
from resviz.arguments import seed as check_seed
from resviz.errors import WeightsUnavailable
from resviz.networks.zoo.checkpoints import fill, read_state
from resviz.networks.zoo.cifar import seeded
from resviz.preset import Preset

EVENTS = ("burst", "chirp", "pulse", "click train")
LENGTH, LASTS = 256, 40  # samples of a signal, and of its event
WIDTHS = (16, 24, 32)
KERNEL = 5
SIGNALS = re.compile(r"signals-resnet(\d+)")
PACKAGED = pathlib.Path(__file__).parent / "weights"


# ---- the signals
@dataclass(frozen=True)
class Planted:
    """Signals with one event each. Made by :func:`planted_events`.

    Attributes:
        signals: (N, 1, 256) float32: noise, a hump that means nothing, and the event.
        events: (N,) which one: positions in :data:`EVENTS`.
        spans: (N, 2) its first sample, and the one after its last.
    """

    signals: Tensor
    events: Tensor
    spans: Tensor


@public
def planted_events(count: int, seed: int = 0) -> Planted:
    """Signals in which an event of one of four classes is hidden, and where it is.

    A burst keeps its frequency, a chirp's rises, a pulse is one wide wave, a click train has four
    sharp peaks. Each lasts 40 of 256 samples, at random. Somewhere else is a hump, louder than all
    of them, which is the same for every class; noise has a standard deviation of 0.3.

    Args:
        count: signals; the classes take turns.
        seed: of all that is random.

    Raises:
        TypeError, ValueError: no whole number, or one out of range.

    Example:
        >>> made = planted_events(8, seed=1)
        >>> made.signals.shape, made.events.tolist()
        (torch.Size([8, 1, 256]), [0, 1, 2, 3, 0, 1, 2, 3])
    """
    count, seed = whole("count", count, least=1), check_seed(seed)
    random = torch.Generator().manual_seed(seed)
    signals = 0.3 * torch.randn(count, 1, LENGTH, generator=random)
    hump = 2.5 * torch.hann_window(2 * LASTS, periodic=False)
    events, spans = torch.arange(count) % len(EVENTS), torch.empty(count, 2, dtype=torch.long)
    shapes = _shapes()
    for number, event in enumerate(events.tolist()):
        # the two halves of the signal: one holds the event, one the hump
        turn = int(torch.randint(0, 2, (), generator=random))
        start, other = torch.randint(0, LENGTH // 2 - 2 * LASTS, (2,), generator=random).tolist()
        start += int(torch.randint(0, LASTS, (), generator=random))
        start, other = start + turn * LENGTH // 2, other + (1 - turn) * LENGTH // 2
        signals[number, 0, other : other + 2 * LASTS] += hump
        signals[number, 0, start : start + LASTS] += shapes[event]
        spans[number] = torch.tensor([start, start + LASTS])
    return Planted(signals, events, spans)


def _shapes() -> list[Tensor]:
    """One event of each class, (40,)."""
    at = torch.arange(LASTS) / LASTS
    window = torch.hann_window(LASTS, periodic=False)
    clicks = torch.zeros(LASTS)
    clicks[[4, 14, 24, 34]] = 1.5
    return [
        window * torch.sin(2 * math.pi * 8 * at),
        window * torch.sin(2 * math.pi * (2 + 5 * at) * at),
        1.2 * window * torch.sin(2 * math.pi * at),
        clicks,
    ]


# ---- the network
class SignalBlock(nn.Module):
    """relu(F(x) + shortcut(x)), F two convolutions; a projection where sizes change."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        pad = KERNEL // 2
        self.conv1 = nn.Conv1d(channels_in, channels_out, KERNEL, stride, pad, bias=False)
        self.bn1 = nn.BatchNorm1d(channels_out)
        self.conv2 = nn.Conv1d(channels_out, channels_out, KERNEL, 1, pad, bias=False)
        self.bn2 = nn.BatchNorm1d(channels_out)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv1d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm1d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, L) to (N, channels_out, L / stride)."""
        branch = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(branch + self.shortcut(x))


class SignalResNet(nn.Module):
    """A stem, three stages of blocks, the mean over all positions, and a linear head.

    Build it with :func:`signals_resnet`, which checks the arguments and seeds the weights.
    """

    def __init__(self, blocks: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, WIDTHS[0], 7, 1, 3, bias=False)
        self.bn1 = nn.BatchNorm1d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], 1, blocks)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], 2, blocks)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], 2, blocks)
        self.avgpool = nn.AdaptiveAvgPool1d(1)
        self.linear = nn.Linear(WIDTHS[2], classes)
        self.depth = 6 * blocks + 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, L) to (N, classes) logits."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.avgpool(x).flatten(1))


def _stage(channels_in: int, channels_out: int, stride: int, blocks: int) -> nn.Sequential:
    first = SignalBlock(channels_in, channels_out, stride)
    others = (SignalBlock(channels_out, channels_out, 1) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


@public
def signals_resnet(
    depth: int = 8, *, channels: int = 1, classes: int = 4, seed: int | None = None
) -> SignalResNet:
    """A residual network of depth 6n+2 for signals, untrained.

    ``load_model("signals-resnet8")`` is the trained one. Weights are normal with fan-in and gain
    sqrt 2 (He et al. 2015, arXiv 1502.01852); BatchNorm follows each convolution.

    Args:
        depth: weighted layers on the main path: 8, 14, 20, ...
        channels: of the signals.
        classes: outputs of the linear layer.
        seed: of the weights; None draws from the global random state.

    Raises:
        TypeError: no whole number.
        ValueError: another depth, or a number below 1.

    Example:
        >>> signals_resnet(8, seed=0)(torch.zeros(2, 1, 256)).shape
        torch.Size([2, 4])
    """
    depth = whole("depth", depth)
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"{caller()}: depth {depth}; depths are 6n+2: 8, 14, 20, ...")
    channels, classes = whole("channels", channels, least=1), whole("classes", classes, least=1)
    with ExitStack() as stack:
        if seed is not None:
            stack.enter_context(seeded(seed))
        net = SignalResNet((depth - 2) // 6, channels, classes)
        for module in net.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(net.linear.bias)
    return net.eval()


# ---- by name
def signals_network(
    name: str,
    weights: str | os.PathLike[str],
    kind: str,
    seed: int | None,
    classes: Sequence[str] | None,
) -> tuple[SignalResNet, Preset]:
    """A network of the family and its preset, with packaged or random weights or those of a file.

    Args:
        name: "signals-resnet8".
        weights: "default", "random" or a path.
        kind: of `weights`: "name", "random" or "file".
        seed: for random weights; None starts from the global random state, which stays as it was.
        classes: names of the outputs, for a file or random weights.

    Raises:
        WeightsUnavailable: no such network was trained for the package.
        ValueError: a depth that there is not; weights that are unknown, damaged or do not fit.
    """
    names = EVENTS if classes is None else tuple(classes)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        net = signals_resnet(
            int(name.removeprefix("signals-resnet")), classes=len(names), seed=seed
        )
    source = "random"
    if kind != "random":
        file = pathlib.Path(weights) if kind == "file" else _packaged_file(name, weights)
        source = file.name if kind == "file" else "planted events"
        fill(net, read_state(file), source)
    return net, Preset(name, source, (0.0,), (1.0,), resize=None, crop=None, classes=names)


def _packaged_file(name: str, weights: str | os.PathLike[str]) -> pathlib.Path:
    file = PACKAGED / f"{name}.safetensors"
    if weights != "default":
        raise ValueError(
            f"{caller()}: weights {weights!r} for {name!r}; 'default', 'random' or a file."
        )
    if not file.is_file():
        raise WeightsUnavailable(
            f"{caller()}: no trained weights for {name!r} in the package; offline work: "
            "'signals-resnet8'. Or pass weights='random' or a file."
        )
    return file
