"""Train the network for signals that ships with resviz, in seconds, on data that it makes.

    python training/signals.py --out runs

Adam, one cycle of the learning rate over few epochs, batch 50; a signal is made once and seen in
every epoch. Writes NAME.safetensors (float16, BatchNorm's variances float32) and NAME.csv.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from resviz.networks.signals import Planted, planted_events, signals_resnet

NAME = "signals-resnet8"
BATCH = 50


@torch.no_grad()
def evaluate(net: nn.Module, data: Planted) -> tuple[float, float]:
    """(mean cross-entropy, error in percent), eval mode."""
    net.eval()
    logits = net(data.signals)
    wrong = (logits.argmax(1) != data.events).float().mean()
    return F.cross_entropy(logits, data.events).item(), 100 * wrong.item()


def train_epoch(
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    data: Planted,
    generator: torch.Generator,
) -> tuple[float, float]:
    """(mean cross-entropy, error in percent) over the epoch, train mode."""
    net.train()
    losses, wrong = [], 0
    for batch in torch.randperm(len(data.events), generator=generator).split(BATCH):
        logits = net(data.signals[batch])
        loss = F.cross_entropy(logits, data.events[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        wrong += int((logits.argmax(1) != data.events[batch]).sum())
    return sum(losses) / len(losses), 100 * wrong / len(data.events)


def train(epochs: int = 6, count: int = 2000, seed: int = 0) -> tuple[nn.Module, list[dict]]:
    """The trained network and its log, a row per epoch."""
    data, test = planted_events(count, seed=seed), planted_events(1000, seed=seed + 1)
    net = signals_resnet(8, seed=seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.005)
    steps = epochs * -(-count // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.005, total_steps=steps)
    generator, log = torch.Generator().manual_seed(seed), []
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        loss, error = train_epoch(net, optimiser, schedule, data, generator)
        seconds = time.perf_counter() - start
        test_loss, test_error = evaluate(net, test)
        row = {"epoch": epoch, "train_loss": loss, "train_error": error, "test_loss": test_loss}
        log.append(row | {"test_error": test_error, "seconds": seconds})
        print({key: round(value, 4) for key, value in log[-1].items()}, flush=True)
    return net.eval(), log


def small(name: str, tensor: Tensor) -> Tensor:
    """As it is stored: variances can leave float16's range."""
    whole = "running_var" in name or not tensor.is_floating_point()
    return tensor.contiguous() if whole else tensor.half().contiguous()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs"))
    options = parser.parse_args()
    net, log = train(options.epochs, seed=options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    state = {name: small(name, tensor) for name, tensor in net.state_dict().items()}
    save_file(state, options.out / f"{NAME}.safetensors")
    with open(options.out / f"{NAME}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, log[0].keys())
        writer.writeheader()
        writer.writerows({key: round(value, 5) for key, value in row.items()} for row in log)


if __name__ == "__main__":
    main()
