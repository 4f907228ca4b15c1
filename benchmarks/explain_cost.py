"""What `explain` costs, as a ratio to the plain forward pass, beside torchcam, captum and grad-cam.

    python benchmarks/explain_cost.py                       # everything that takes seconds
    python benchmarks/explain_cost.py --only layer4 memory --rounds 9
    python benchmarks/explain_cost.py --slow                # also what takes minutes

The ways of a case are run in turn, round after round, in one process: what else the machine does
falls on all of them alike. Printed are medians over the rounds, the median of the ratios to the
plain pass of the same round, the bound for resviz, and the largest difference of the maps from the
reference of the case (a part of its maximum; the reference's name stands below the table).

Memory is the peak resident set over that before the call: VmHWM of /proc/self/status, set back by
/proc/self/clear_refs, in a fresh process for every way and round (CUDA: the allocator's own peak).

Random weights: `pip install -e ".[bench]"` is all that is needed.
"""

from __future__ import annotations

import argparse
import copy
import gc
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import captum.attr as captum
import pytorch_grad_cam as pgc
import torch
import torch.nn.functional as F
import torchcam.methods as tcam
import torchvision
import tqdm
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

import resviz as rv

Way = Callable[[nn.Module, Tensor], Any]

FIVE = ["grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam"]
CLASSES = [3 + 50 * i for i in range(10)]


def block_names(net: nn.Module) -> list[str]:
    return [name for name, _ in net.named_modules() if re.fullmatch(r"layer\d\.\d+", name)]


def classes_of(images: Tensor) -> list[int]:
    return CLASSES[: len(images)]


def plain(net: nn.Module, images: Tensor) -> None:
    """The forward pass without gradients."""
    with torch.no_grad():
        net(images)


# ---- Grad-CAM at layer4
def resviz_grad_cam(net: nn.Module, images: Tensor) -> Tensor:
    exp = rv.explain(net, images, classes_of(images), layers=["layer4"], progress=False)
    return exp.maps["grad_cam", "layer4"][:, 0]


def torchcam_grad_cam(net: nn.Module, images: Tensor) -> Tensor:
    with tcam.GradCAM(net, "layer4") as extractor:
        return extractor(classes_of(images), net(images), normalized=False)[0]


def captum_grad_cam(net: nn.Module, images: Tensor) -> Tensor:
    classes = torch.tensor(classes_of(images), device=images.device)
    method = captum.LayerGradCam(net, net.layer4)
    return method.attribute(images, classes, relu_attributions=True)[:, 0].detach()


def grad_cam_of(name: str, net: nn.Module, images: Tensor, classes: list[int]) -> Any:
    targets = [ClassifierOutputTarget(c) for c in classes]
    with getattr(pgc, name)(net, [net.layer4]) as method:
        return kept_map(method, images, targets)


def kept_map(method: Any, images: Tensor, targets: list[Any]) -> Tensor:
    """What a method of grad-cam computes before it scales and resizes it."""
    kept: list[Any] = []
    compute = method.get_cam_image

    def keep(*args: Any, **options: Any) -> Any:
        kept.append(compute(*args, **options))
        return kept[-1]

    method.get_cam_image = keep
    method(images, targets)
    return torch.as_tensor(kept[0]).relu()


def pgc_grad_cam(net: nn.Module, images: Tensor) -> Tensor:
    return grad_cam_of("GradCAM", net, images, classes_of(images))


LAYER4: dict[str, Way] = {
    "resviz": resviz_grad_cam,
    "torchcam": torchcam_grad_cam,
    "captum": captum_grad_cam,
    "grad-cam": pgc_grad_cam,
}


# ---- five methods at 16 blocks
def resviz_blocks(net: nn.Module, images: Tensor) -> Tensor:
    exp = rv.explain(net, images, classes_of(images), methods=FIVE, layers=block_names(net))
    return exp.maps["layer_cam", "layer1.0"][:, 0]


def resviz_blocks_once(net: nn.Module, images: Tensor) -> Tensor:
    exp = rv.explain(net, images, classes_of(images), methods="layer_cam", layers=block_names(net))
    return exp.maps["layer_cam", "layer1.0"][:, 0]


def torchcam_blocks(names: list[str]) -> Way:
    """One forward for all of its methods; each has a backward of its own."""

    def way(net: nn.Module, images: Tensor) -> Tensor:
        with ExitStack() as stack:
            extractors = [
                stack.enter_context(getattr(tcam, name)(net, block_names(net))) for name in names
            ]
            scores = net(images)
            for extractor in extractors:
                maps = extractor(
                    classes_of(images), scores, normalized=False, retain_graph=len(names) > 1
                )
        return maps[0]

    return way


def pgc_blocks(names: list[str]) -> Way:
    """The mean over the blocks is all that it gives."""

    def way(net: nn.Module, images: Tensor) -> None:
        targets = [ClassifierOutputTarget(c) for c in classes_of(images)]
        for name in names:
            layers = [net.get_submodule(block) for block in block_names(net)]
            with getattr(pgc, name)(net, layers) as method:
                method(images, targets)

    return way


def captum_blocks(net: nn.Module, images: Tensor) -> None:
    """Grad-CAM alone, a call for each block."""
    classes = torch.tensor(classes_of(images), device=images.device)
    for block in block_names(net):
        method = captum.LayerGradCam(net, net.get_submodule(block))
        method.attribute(images, classes, relu_attributions=True)


BLOCKS: dict[str, Way] = {
    "resviz, 5 methods": resviz_blocks,
    "resviz, 1 method": resviz_blocks_once,
    "torchcam, its 4 of them": torchcam_blocks(["GradCAM", "GradCAMpp", "XGradCAM", "LayerCAM"]),
    "torchcam, 1 method": torchcam_blocks(["LayerCAM"]),
    "grad-cam, 5 methods, averaged": pgc_blocks(
        ["GradCAM", "GradCAMPlusPlus", "HiResCAM", "XGradCAM", "LayerCAM"]
    ),
    "grad-cam, 1 method, averaged": pgc_blocks(["LayerCAM"]),
}


# ---- ten classes at layer4
def resviz_classes(net: nn.Module, images: Tensor) -> Tensor:
    targets = [CLASSES] * len(images)
    return rv.explain(net, images, targets, layers=["layer4"]).maps["grad_cam", "layer4"][0]


def torchcam_classes(net: nn.Module, images: Tensor) -> Tensor:
    with tcam.GradCAM(net, "layer4") as extractor:
        scores = net(images)
        maps = [extractor(c, scores, normalized=False, retain_graph=True)[0] for c in CLASSES]
    return torch.stack(maps, 1)[0]


def captum_classes(net: nn.Module, images: Tensor) -> Tensor:
    method = captum.LayerGradCam(net, net.layer4)
    maps = [method.attribute(images, c, relu_attributions=True)[:, 0].detach() for c in CLASSES]
    return torch.stack(maps, 1)[0]


def pgc_classes(net: nn.Module, images: Tensor) -> Tensor:
    maps = [grad_cam_of("GradCAM", net, images, [c] * len(images)) for c in CLASSES]
    return torch.stack(maps, 1)[0]


TEN: dict[str, Way] = {
    "resviz": resviz_classes,
    "torchcam": torchcam_classes,
    "captum, 10 calls": captum_classes,
    "grad-cam, 10 calls": pgc_classes,
}


# ---- masks
def resviz_masks(name: str, chunk: int | None = None) -> Way:
    def way(net: nn.Module, images: Tensor) -> Tensor:
        exp = rv.explain(
            net,
            images,
            classes_of(images),
            methods=name,
            layers=["layer4"],
            chunk=chunk,
            progress=False,
        )
        return exp.maps[name, "layer4"][:, 0]

    return way


def torchcam_score_cam(size: int) -> Way:
    def way(net: nn.Module, images: Tensor) -> Tensor:
        with tcam.ScoreCAM(net, "layer4", batch_size=size) as extractor:
            with torch.no_grad():
                net(images)
            return extractor(classes_of(images), normalized=False)[0]

    return way


def pgc_masks(name: str, size: int) -> Way:
    def way(net: nn.Module, images: Tensor) -> Tensor:
        targets = [ClassifierOutputTarget(c) for c in classes_of(images)]
        with getattr(pgc, name)(net, [net.layer4]) as method:
            method.batch_size = size
            return kept_map(method, images, targets)

    return way


def closed_form(net: nn.Module, images: Tensor) -> Tensor:
    """Ablation-CAM in float64 where pooling and one linear layer follow: no forward at all."""
    wide, kept = copy.deepcopy(net).double(), []
    wide.layer4.register_forward_hook(lambda m, args, output: kept.append(output.detach()))
    with torch.no_grad():
        scores = wide(images.double()).gather(
            1, torch.tensor(classes_of(images), device=images.device)[:, None]
        )
    drop = wide.fc.weight[classes_of(images)].detach() * kept[0].mean((2, 3))
    return torch.einsum("nk,nkhw->nhw", drop / scores.abs(), kept[0]).relu()


def algorithm_1(net: nn.Module, images: Tensor) -> Tensor:
    """Score-CAM of one image in float64: upsampled, then brought to 0 .. 1."""
    wide, image, kept = copy.deepcopy(net).double(), images.double(), []
    handle = wide.layer4.register_forward_hook(lambda m, args, output: kept.append(output))
    with torch.no_grad():
        wide(image)
        handle.remove()
        scores = []
        for part in kept[0][0].split(8):
            masks = F.interpolate(part[:, None], image.shape[2:], mode="bilinear")
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            masks = torch.where(high > low, (masks - low) / (high - low), 0.0)
            scores.append(wide(image * masks)[:, CLASSES[0]])
        weights = torch.cat(scores).softmax(0)  # the baseline's score is the same for all
    return torch.einsum("k,khw->hw", weights, kept[0][0])[None].relu()


SCORE: dict[str, Way] = {
    "resviz": resviz_masks("score_cam"),
    "torchcam, batch 32": torchcam_score_cam(32),
    "torchcam, batch 8": torchcam_score_cam(8),
    "grad-cam, batch 8": pgc_masks("ScoreCAM", 8),
}


# ---- running
@dataclass
class Case:
    """Ways that are compared.

    Attributes:
        network: of torchvision. batch: images of 224 x 224.
        bound: what the first way may cost; a number, or words.
        reference: what the maps are held against; None: the first way's.
        slow: ways that run once, with --slow only. rounds: at the most.
    """

    network: str
    batch: int
    ways: dict[str, Way]
    bound: float | str
    reference: Way | None = None
    slow: dict[str, Way] = field(default_factory=dict)
    rounds: int = 1000


CASES = {
    "layer4": [Case("resnet50", 1, LAYER4, 1.08), Case("resnet50", 8, LAYER4, 1.08)],
    "blocks": [
        Case("resnet50", 1, BLOCKS, 2.7, slow={"captum, 16 calls": captum_blocks}),
        Case("resnet50", 8, dict(list(BLOCKS.items())[:4]), 2.7),
    ],
    "classes": [
        Case("resnet50", 1, TEN, 1.3),
        Case("resnet50", 8, dict(list(TEN.items())[:2]), 1.3),
    ],
    "ablation": [
        Case(
            "resnet50",
            1,
            {"resviz": resviz_masks("ablation_cam")},
            8.0,
            closed_form,
            {"grad-cam, batch 32": pgc_masks("AblationCAM", 32)},
        )
    ],
    "score": [Case("resnet18", 1, SCORE, "fastest peer", algorithm_1, rounds=2)],
}
SLOW = {"score": [Case("resnet50", 1, SCORE, "fastest peer", algorithm_1, rounds=1)]}


def network(name: str, device: str) -> nn.Module:
    """Random weights; BatchNorm as after a pass in training, so that nothing is blank."""
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None).to(device)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        net.train()(torch.randn(8, 3, 128, 128, device=device))
        net.fc.weight.add_(0.02)  # evidence for every class: no time goes into why a map is blank
    return net.eval()


def measure(
    case: Case, net: nn.Module, images: Tensor, rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of the plain pass and of each way, in turn, and what each way gave at last."""
    ways = {"plain forward": plain, **case.ways}
    nets = {name: copy.deepcopy(net) for name in ways}  # the peers leave traces
    if case.rounds > 2:
        for name, way in ways.items():
            way(nets[name], images)
    times: dict[str, list[float]] = {name: [] for name in ways}
    maps: dict[str, Any] = {}
    for _ in range(min(rounds, case.rounds)):
        for name, way in ways.items():
            taken, maps[name] = seconds(way, nets[name], images)
            times[name].append(taken)
    return times, maps


def seconds(way: Way, net: nn.Module, images: Tensor) -> tuple[float, Any]:
    gc.collect()
    _synchronise(images)
    start = time.perf_counter()
    result = way(net, images)
    _synchronise(images)
    return time.perf_counter() - start, result


def _synchronise(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize()


def differences(case: Case, net: nn.Module, images: Tensor, maps: dict[str, Any]) -> dict[str, str]:
    """Largest difference of each way's map from the reference's."""
    first = maps[next(iter(case.ways))]
    found = case.reference(copy.deepcopy(net), images) if case.reference else first
    reference = found.double().cpu()
    result = {}
    for name, one in maps.items():
        if isinstance(one, Tensor) and one.shape == reference.shape:
            gap = (one.detach().double().cpu() - reference).abs().max() / reference.abs().max()
            result[name] = f"{float(gap):.0e}"
    return result


def report(title: str, case: Case, arguments: argparse.Namespace) -> None:
    """Lines of the table for one case."""
    net = network(case.network, arguments.device)
    images = torch.randn(case.batch, 3, 224, 224, device=arguments.device)
    times, maps = measure(case, net, images, arguments.rounds)
    if arguments.slow:
        for name, way in case.slow.items():
            taken, maps[name] = seconds(way, copy.deepcopy(net), images)
            times[name] = [taken]
    gaps = differences(case, net, images, maps)
    for place, (name, taken) in enumerate(times.items()):
        ratios = [a / b for a, b in zip(taken, times["plain forward"], strict=False)]
        bound = case.bound if place == 1 else ""
        print(
            f"| {title}, {case.network}, batch {case.batch} | {name} "
            f"| {statistics.median(taken):.3f} | {statistics.median(ratios):.2f} | {bound} "
            f"| {gaps.get(name, '')} |",
            flush=True,
        )


# ---- memory
def peak_of(name: str, device: str) -> float:
    """MiB over what was there before, of one call on 8 images; in this process."""
    net, way = network("resnet50", device), {"plain forward": plain, **LAYER4}[name]
    images = torch.randn(8, 3, 224, 224, device=device)
    way(net, images[:1, :, :64, :64])  # what is set up once
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way(net, images)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is resident now
    before = resident("VmRSS")
    way(net, images)
    return (resident("VmHWM") - before) / 2**10


def resident(what: str) -> int:
    """KiB"""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if what in x)
    return int(line.split()[1])


def report_memory(arguments: argparse.Namespace) -> None:
    """A second table: a fresh process for every number."""
    print("\n| peak memory, resnet50, batch 8 | extra MiB | ratio | bound |\n|---|---|---|---|")
    command = [sys.executable, __file__, "--device", arguments.device, "--peak-of"]
    rounds = min(arguments.rounds, 3)
    peaks: dict[str, list[float]] = {name: [] for name in ("plain forward", *LAYER4)}
    for _ in range(rounds):
        for name, found in peaks.items():
            done = subprocess.run([*command, name], check=True, capture_output=True, text=True)
            found.append(float(done.stdout.split()[-1]))
    base = statistics.median(peaks["plain forward"])
    for name, found in peaks.items():
        middle, bound = statistics.median(found), 1.15 if name == "resviz" else ""
        print(f"| {name} | {middle:.0f} | {middle / base:.2f} | {bound} |")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", choices=[*CASES, "memory"], help="some of the cases")
    parser.add_argument("--slow", action="store_true", help="also what takes minutes")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print Markdown tables."""
    arguments = read_arguments()
    if arguments.peak_of:
        print(peak_of(arguments.peak_of, arguments.device))
        return
    tqdm.tqdm.__init__ = _silent(tqdm.tqdm.__init__)  # type: ignore[method-assign]
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine()
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| case | way | median s | ratio to plain | bound | map differs by |")
    print("|---|---|---|---|---|---|")
    wanted = arguments.only or [*CASES, "memory"]
    for title in [title for title in CASES if title in wanted]:
        more = SLOW.get(title, []) if arguments.slow else []
        for case in [*CASES[title], *more]:
            report(title, case, arguments)
    print(
        "\nReference of the maps: resviz; ablation: the closed form in float64; score: Algorithm 1"
    )
    print("of the paper in float64; blocks: LayerCAM at layer1.0.")
    if "memory" in wanted:
        report_memory(arguments)


def _silent(start: Callable[..., None]) -> Callable[..., None]:
    """Progress bars that show nothing: grad-cam offers no switch."""

    def quiet(self: Any, *args: Any, **options: Any) -> None:
        start(self, *args, **{**options, "disable": True})

    return quiet


if __name__ == "__main__":
    main()
