"""What needs a process of its own: the peak of memory, imports, and torchlens.

torchlens puts functions of its own in the place of torch's for the rest of the process: what
comes after it would be measured through them.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time

_PEAK = """
import gc, resource, sys, torch, torchvision, resviz as rv
from pathlib import Path
def resident(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if what in x).split()[1]) / 1024
torch.manual_seed(0)
net = torchvision.models.get_model({network!r}, weights=None).eval()
images = torch.randn({batch}, 3, 224, 224)
def plain(x):
    with torch.no_grad(): net(x)
def both(x): torch.autograd.grad(net(x).max(1).values.sum(), list(net.parameters()))
def record(x): rv.record(net, x, gradients=False)
def record_both(x): rv.record(net, x)
way = {way}
way(images[:1, :, :64, :64])
gc.collect()
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
way(images)
print(resident("VmHWM") - before)
"""
_PAIRS = (("plain", "record"), ("both", "record_both"))
_IMPORTS = ("torch", "resviz", "resviz; resviz.record", "resviz; resviz.explore")


def memory(full: bool, rounds: int) -> list[str]:
    """Peak resident memory over what was there before, in MiB."""
    network, batch = ("resnet152", 8) if full else ("resnet50", 8)
    lines = [f"| peak memory, {network}, batch {batch} | plain MiB | record MiB | ratio | bound |"]
    lines.append("|---|---|---|---|---|")
    for plain, ours in _PAIRS:
        peaks = [
            statistics.median(
                float(_said(_PEAK.format(network=network, batch=batch, way=way)))
                for _ in range(rounds)
            )
            for way in (plain, ours)
        ]
        name = "forward" if plain == "plain" else "forward + backward"
        ratio = peaks[1] / peaks[0]
        lines.append(f"| {name} | {peaks[0]:.0f} | {peaks[1]:.0f} | {ratio:.2f} | 1.15 |")
    return lines


def imports(rounds: int) -> list[str]:
    """Seconds until a name is there, in fresh processes, in turn."""
    taken: dict[str, list[float]] = {what: [] for what in _IMPORTS}
    for _ in range(rounds):
        for what, found in taken.items():
            start = time.perf_counter()
            _said(f"import {what}")
            found.append(time.perf_counter() - start)
    lines = ["| import | median s, interpreter included | fastest |", "|---|---|---|"]
    for what, found in taken.items():
        lines.append(f"| `import {what}` | {statistics.median(found):.2f} | {min(found):.2f} |")
    return lines


_TORCHLENS = """
import sys, time, torch, torchlens, torchvision
torch.manual_seed(0)
net = torchvision.models.resnet50(weights=None).eval()
images = torch.randn({batch}, 3, 224, 224)
def seconds(way):
    start = time.perf_counter()
    with torch.no_grad(): way(images)
    return time.perf_counter() - start
net(images[:1, :, :64, :64])
plain = sorted(seconds(net) for _ in range({rounds}))
traced = sorted(seconds(lambda x: torchlens.trace(net, x)) for _ in range({rounds}))
print(plain[len(plain) // 2], traced[len(traced) // 2], plain[0], traced[0])
"""


def torchlens(rounds: int) -> list[str]:
    """Every output of ResNet-50, forward: the plain passes first, then those of torchlens."""
    if importlib.util.find_spec("torchlens") is None:
        return ["torchlens: not installed."]
    lines = ["| torchlens.trace, ResNet-50, forward | plain s | median s | ratio | fastest |"]
    lines.append("|---|---|---|---|---|")
    for batch in (1, 8):
        said = _said(_TORCHLENS.format(batch=batch, rounds=rounds)).split()
        plain, traced, least, fastest = map(float, said)
        ratios = f"{traced / plain:.2f} | {fastest / least:.2f}"
        lines.append(f"| batch {batch} | {plain:.3f} | {traced:.3f} | {ratios} |")
    return lines


def _said(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()
