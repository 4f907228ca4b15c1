"""Train the networks that ship with resviz: CIFAR-10, residual and plain, depth 20 and 56.

    python training/cifar10.py --network resnet20 --data ~/data           # torchvision's CIFAR10
    python training/cifar10.py --network plain56 --images train_folder --test test.npz

The optimiser is the paper's (He et al. 2015, section 4.2: SGD, momentum 0.9, weight decay 1e-4,
batch 128, crops padded by 4, flips, peak rate 0.1); the schedule is one cycle over few epochs
instead of 164. All four networks get the same schedule, so that their training errors compare.
Every epoch ends in a checkpoint; the same command continues from it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from resviz.networks.cifar import cifar_resnet

NETWORKS = {
    "resnet20": dict(depth=20, shortcut="A"),
    "plain20": dict(depth=20, shortcut="none"),
    "resnet56": dict(depth=56, shortcut="A"),
    "plain56": dict(depth=56, shortcut="none"),
}
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
BATCH = 128


def images_from_folder(folder: pathlib.Path) -> tuple[Tensor, Tensor]:
    """(N, 3, 32, 32) uint8 and labels from FOLDER/<class name>/*.jpg, cached beside the folder."""
    cache = folder.with_suffix(".npz")
    if not cache.exists():
        from PIL import Image

        files = [
            (p, label)
            for label, name in enumerate(CLASSES)
            for p in sorted((folder / name).iterdir())
        ]
        pixels = np.stack([np.asarray(Image.open(p).convert("RGB")) for p, _ in files])
        np.savez(cache, images=pixels, labels=np.array([label for _, label in files]))
    return images_from_npz(cache)


def images_from_npz(file: pathlib.Path) -> tuple[Tensor, Tensor]:
    data = np.load(file)
    pixels = torch.from_numpy(data["images"]).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.from_numpy(data["labels"].astype(np.int64))


def images_from_torchvision(root: pathlib.Path, train: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import CIFAR10

    data = CIFAR10(str(root), train=train, download=True)
    return torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)


def normalise(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    scaled = (pixels.float() / 255 - mean) / std
    return scaled.contiguous(memory_format=torch.channels_last)


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Each image shifted by up to 4 pixels over zeros and flipped half of the time."""
    n, _, height, width = pixels.shape
    padded = F.pad(pixels, (4, 4, 4, 4))
    dy, dx = (torch.randint(0, 9, (n,), generator=generator) for _ in range(2))
    rows = dy[:, None] + torch.arange(height)
    columns = dx[:, None] + torch.arange(width)
    flip = torch.rand(n, generator=generator) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    image = torch.arange(n)[:, None, None, None]
    channel = torch.arange(3)[None, :, None, None]
    rows, columns, image, channel = (
        t.to(pixels.device)
        for t in (rows[:, None, :, None], columns[:, None, None], image, channel)
    )
    return padded[image, channel, rows, columns]


@torch.no_grad()
def evaluate(net: torch.nn.Module, pixels: Tensor, labels: Tensor) -> tuple[float, float]:
    """(mean cross-entropy, error in percent), eval mode, float32."""
    net.eval()
    logits = torch.cat([net(normalise(chunk)).float() for chunk in pixels.split(250)])
    loss = F.cross_entropy(logits, labels).item()
    return loss, 100 * (logits.argmax(1) != labels).float().mean().item()


def precision_of(device: torch.device) -> torch.dtype:
    """bfloat16, but float32 on a processor that would only imitate it (ten times the time)."""
    imitated = device.type == "cpu" and "AVX512" not in torch.backends.cpu.get_cpu_capability()
    return torch.float32 if imitated else torch.bfloat16


def train_epoch(net, forward, optimiser, schedule, pixels, labels, generator, device):  # type: ignore[no-untyped-def]
    net.train()
    order = torch.randperm(len(labels), generator=generator)
    total_loss = torch.zeros((), device=device)
    wrong = torch.zeros((), device=device)
    seen = 0
    precision = precision_of(device)
    for batch in order.split(BATCH):
        if len(batch) < BATCH:
            continue
        images = normalise(augment(pixels[batch.to(pixels.device)], generator))
        target = labels[batch.to(labels.device)]
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits = forward(images)
        loss = F.cross_entropy(logits.float(), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        total_loss += loss.detach() * len(batch)
        wrong += (logits.argmax(1) != target).sum()
        seen += len(batch)
    return (total_loss / seen).item(), (100 * wrong / seen).item()


def train(arguments: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if arguments.images:
        pixels, labels = images_from_folder(arguments.images)
        test_pixels, test_labels = images_from_npz(arguments.test)
    else:
        pixels, labels = images_from_torchvision(arguments.data, True)
        test_pixels, test_labels = images_from_torchvision(arguments.data, False)
    pixels, labels, test_pixels, test_labels = (
        t.to(device) for t in (pixels, labels, test_pixels, test_labels)
    )
    net = cifar_resnet(**NETWORKS[arguments.network], seed=arguments.seed)
    net = net.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    steps = arguments.epochs * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=0.1, total_steps=steps, pct_start=0.25, cycle_momentum=False
    )
    generator = torch.Generator().manual_seed(arguments.seed)
    folder = arguments.out / arguments.network
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / "checkpoint.pt", []
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"].cpu())
        log = state["log"]
    forward = torch.compile(net) if arguments.compile else net
    for epoch in range(len(log) + 1, arguments.epochs + 1):
        start = time.perf_counter()
        loss, error = train_epoch(
            net, forward, optimiser, schedule, pixels, labels, generator, device
        )
        test_loss, test_error = evaluate(net, test_pixels, test_labels)
        row = dict(epoch=epoch, train_loss=loss, train_error=error)
        row |= dict(test_loss=test_loss, test_error=test_error, seconds=time.perf_counter() - start)
        log.append(row)
        print(arguments.network, json.dumps({k: round(v, 4) for k, v in row.items()}), flush=True)
        state = dict(net=net.state_dict(), optimiser=optimiser.state_dict(), log=log)
        state |= dict(schedule=schedule.state_dict(), generator=generator.get_state())
        torch.save(state, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
    write_result(net, log, folder)


def write_result(net: torch.nn.Module, log: list[dict[str, float]], folder: pathlib.Path) -> None:
    """The log, and float16 weights; BatchNorm variances, which can leave its range, as float32."""
    state = {
        k: v.contiguous()
        if "running_var" in k or not v.is_floating_point()
        else v.half().contiguous()
        for k, v in net.state_dict().items()
    }
    save_file({k: v.cpu() for k, v in state.items()}, folder / "weights.safetensors")
    with open(folder / "log.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, log[0].keys())
        writer.writeheader()
        writer.writerows({k: round(v, 5) for k, v in row.items()} for row in log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument(
        "--images", type=pathlib.Path, help="folder of class folders, instead of --data"
    )
    parser.add_argument("--test", type=pathlib.Path, help="npz of images and labels, with --images")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile: an epoch takes a fifth less on a core with AVX2, the first 100 s more",
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs"))
    train(parser.parse_args())


if __name__ == "__main__":
    main()
