"""What TrainingRecorder costs: recorded training over plain training, as a ratio.

    python benchmarks/training_recorder_cost.py      # CIFAR ResNet-56, batch 128, every 10th step
    python benchmarks/training_recorder_cost.py --rounds 3 --every 10 --device cuda

A round trains `every` steps plain and then `every` steps recorded, one of which is recorded, in one
process, so that what else the machine does falls on both alike; every other round turns the order
round. Printed are medians over the rounds: of the ratio of all steps, of the recorded step's alone,
and of the steps' between, which have no hooks; by the clock, and by the processor time of all
threads, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resviz.networks.cifar import cifar_resnet
from resviz.training.recorder.recorder import TrainingRecorder


class Loop:
    """A plain training loop on random images, timed step by step."""

    def __init__(self, depth: int, batch: int, device: str) -> None:
        made = torch.Generator().manual_seed(0)
        self.net: nn.Module = cifar_resnet(depth, seed=0).to(device).train()
        self.optimizer = torch.optim.SGD(self.net.parameters(), 0.1, momentum=0.9)
        self.images: Tensor = torch.randn(batch, 3, 32, 32, generator=made).to(device)
        self.targets: Tensor = torch.randint(10, (batch,), generator=made).to(device)

    def step(self, recorder: TrainingRecorder | None) -> tuple[float, float]:
        """(seconds by the clock, seconds of processor time)."""
        self._wait()
        start = time.perf_counter(), time.process_time()
        with recorder.step() if recorder is not None else nullcontext() as step:
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.net(self.images), self.targets)
            if step is not None:
                step.loss(loss)
            loss.backward()
            self.optimizer.step()
        self._wait()
        return time.perf_counter() - start[0], time.process_time() - start[1]

    def _wait(self) -> None:
        if self.images.is_cuda:
            torch.cuda.synchronize()


Steps = list[tuple[float, float]]


def rounds(loop: Loop, recorder: TrainingRecorder, every: int, count: int) -> list[Steps]:
    """For each round its plain steps and then its recorded ones, of which the first is recorded."""
    loop.step(None)
    done = []
    for turn in range(count):
        seconds: dict[bool, Steps] = {}
        for recorded in (False, True) if turn % 2 == 0 else (True, False):
            given = recorder if recorded else None
            seconds[recorded] = [loop.step(given) for _ in range(every)]
        done.append(seconds[False] + seconds[True])
        clocks = [sum(s[0] for s in seconds[recorded]) for recorded in (True, False)]
        print(f"round {turn + 1}: {clocks[0] / clocks[1]:.3f}", flush=True)
    return done


def ratios(done: list[Steps], every: int, clock: int) -> dict[str, float]:
    whole, first, between = [], [], []
    for steps in done:
        taken = [step[clock] for step in steps]
        plain, mine = taken[:every], taken[every:]
        usual = statistics.median(plain)
        whole.append(sum(mine) / sum(plain))
        first.append(mine[0] / usual)
        between += [step / usual for step in mine[1:]]
    found = {"all steps": whole, "the recorded step": first, "the steps between": between}
    return {name: statistics.median(values) for name, values in found.items() if values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--depth", type=int, default=56)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    loop = Loop(chosen.depth, chosen.batch, chosen.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.resviz-log"
        with TrainingRecorder(loop.net, path, chosen.every, optimizer=loop.optimizer) as recorder:
            done = rounds(loop, recorder, chosen.every, chosen.rounds)
        size = path.stat().st_size / chosen.rounds / 1024
    where = torch.cuda.get_device_name() if chosen.device == "cuda" else platform.machine()
    print(f"\n{where}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    plain = statistics.median(step[0] for steps in done for step in steps[: chosen.every])
    print(
        f"ResNet-{chosen.depth}, batch {chosen.batch}, every {chosen.every}, {plain:.2f} s a step"
    )
    print("\n| ratio to plain steps | clock | processor time |\n|---|---|---|")
    processor = ratios(done, chosen.every, 1)
    for name, ratio in ratios(done, chosen.every, 0).items():
        print(f"| {name} | {ratio:.3f} | {processor[name]:.3f} |")
    print(f"\nfile, per recorded step: {size:.0f} KiB")


if __name__ == "__main__":
    main()
