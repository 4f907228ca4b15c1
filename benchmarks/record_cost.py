"""What `record` costs, as a ratio to the plain pass.

    python benchmarks/record_cost.py     # resnet50, batch 8 at 224; cifar resnet56, batch 128
    python benchmarks/record_cost.py --rounds 3 --device cuda

The ways are run in turn, round after round, in one process: what else the machine does falls on
all of them alike. Printed are medians over the rounds and the ratio of each to its plain pass.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn

import resviz as rv
from resviz.networks.cifar import cifar_resnet


def forward(net: nn.Module, images: Tensor) -> None:
    """The plain forward pass."""
    with torch.no_grad():
        net(images)


def forward_backward(net: nn.Module, images: Tensor) -> None:
    """The plain forward and backward pass: the gradient of every parameter."""
    logits = net(images)
    loss = logits.max(1).values.sum()
    torch.autograd.grad(loss, list(net.parameters()))


WAYS: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "forward": forward,
    "record(gradients=False)": lambda net, images: rv.record(net, images, gradients=False),
    "forward + backward": forward_backward,
    "record(gradients=True)": rv.record,
}
PLAIN = {"record(gradients=False)": "forward", "record(gradients=True)": "forward + backward"}


def measure(net: nn.Module, images: Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, in turn."""
    for way in WAYS.values():
        way(net, images)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            _synchronise(images)
            start = time.perf_counter()
            way(net, images)
            _synchronise(images)
            times[name].append(time.perf_counter() - start)
    return times


def _synchronise(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize()


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine()
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| network | way | median s | ratio to the plain pass |\n|---|---|---|---|")
    cases = {
        "resnet50, 8 x 224": (torchvision.models.resnet50(weights=None), (8, 3, 224, 224)),
        "cifar resnet56, 128 x 32": (cifar_resnet(56, seed=0), (128, 3, 32, 32)),
    }
    for title, (net, shape) in cases.items():
        net = net.eval().to(arguments.device)
        times = measure(net, torch.randn(shape, device=arguments.device), arguments.rounds)
        for name, seconds in times.items():
            plain = PLAIN.get(name, name)
            ratios = [a / b for a, b in zip(seconds, times[plain], strict=True)]
            middle = statistics.median(ratios)
            print(f"| {title} | {name} | {statistics.median(seconds):.3f} | {middle:.2f} |")


if __name__ == "__main__":
    main()
