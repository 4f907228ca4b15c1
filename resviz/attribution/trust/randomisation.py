"""Does a map change when the weights do? Cascading randomisation of the parameters.

A map that stays the same while the network forgets what it learned shows the picture, not the
network: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", arXiv 1810.03292, section 3.1,
https://arxiv.org/abs/1810.03292.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.attribution.explain import explain
from resviz.attribution.explanation import Explanation, Map
from resviz.attribution.layer import INPUT
from resviz.attribution.methods.registry import METHODS
from resviz.attribution.positions import Reshape
from resviz.attribution.scoring import Scorer
from resviz.errors import NonFinite, ResvizWarning
from resviz.hooks import left_as_found
from resviz.networks.anatomy.structure import owner_of
from resviz.networks.surgery.copies import copied
from resviz.preset import Preset
from resviz.progress import bar
from resviz.torch_private import measure_spectral_norm

STAGES = 6  # the last weighted layer, then the others in at most five parts
Maps = dict[tuple[str, str], Map]
Array = np.ndarray[Any, np.dtype[np.float64]]

# A map whose mean correlation over the upper half of the stages is above this does not change with
# the weights. Measured over the pictures (least to largest) of the trained resnet18 and resnet50 of
# ImageNet (6 photographs each) and the packaged cifar10-resnet20 (12 test images, 2 seeds):
#
#                             resnet18          resnet50          cifar10-resnet20
#   guided_backprop           0.69 to 0.91      0.81 to 0.95      0.70 to 0.92       fails
#   grad_cam, last layer     -0.29 to 0.34     -0.16 to 0.04     -0.35 to 0.41       passes
#   saliency                  0.19 to 0.39      0.18 to 0.45      0.28 to 0.54       passes
#   integrated_gradients      0.22 to 0.54                        0.30 to 0.57       passes
#   layer_cam, last layer     0.08 to 0.26      0.03 to 0.38      0.25 to 0.79       mostly passes
#   guided_grad_cam          -0.06 to 0.60     -0.09 to 0.64     -0.17 to 0.76       mostly passes
#   eigen_cam, last layer     0.38 to 0.73      0.15 to 0.46      0.34 to 0.79       either
#   grad_cam_pp, layer3       0.80 to 0.87                                           fails
#
# After the last stage nothing separates them: guided_backprop on resnet50 is down at 0.09, saliency
# at 0.07. After the first, a coarse map that is right may keep 0.88 by chance. SSIM, which Adebayo
# et al. report too, is above 0.5 for products such as guided_grad_cam, most of which is zero.
LIMIT = 0.6


@dataclass(frozen=True)
class Randomised:
    """What :func:`randomise` measured.

    Attributes:
        curves: (stages, N, T) rank correlations for each method and layer that could be explained
            again.
        stages: the modules whose parameters each stage redrew, in addition to those before.
        notes: why a curve is shorter than asked, in words.
    """

    curves: dict[tuple[str, str], Array]
    stages: list[list[str]]
    notes: list[str]

    def upper(self, key: tuple[str, str]) -> Array:
        """(N, T): the mean over the first half of the stages, see :data:`LIMIT`."""
        half: Array = self.curves[key][: -(-len(self.stages) // 2)].mean(0)
        return half


def randomise(
    scorer: Scorer, again: Callable[[nn.Module], Maps], original: Maps, seed: int
) -> Randomised:
    """Rank correlations between maps and those of ever more randomised copies of the network.

    Stage by stage from the output towards the input, see :func:`stages_of`, the values of every
    parameter tensor are permuted: their distribution stays, so activations keep their size, and
    what was learned is gone. BatchNorm's running statistics stay, a spectral norm is measured anew.
    The network itself is not touched.

    Args:
        scorer: the network, the images and their targets.
        again: maps of a network, as the original ones were made.
        original: (N, T, h, w) by method and layer.
        seed: of the permutations.

    Returns:
        Correlations of absolute values at the map's own resolution: see :func:`rank_correlation`.

    Raises:
        RuntimeError: the network cannot be copied.
    """
    stages = stages_of(scorer)
    net = _copied(scorer.net)
    random = torch.Generator().manual_seed(seed)
    curves: dict[tuple[str, str], list[Any]] = {key: [] for key in original}
    notes: list[str] = []
    done: set[int] = set()
    with bar(len(stages), "randomisation", scorer.progress) as shown:
        for number, paths in enumerate(stages):
            _permute(net, paths, random, done)
            try:
                maps = again(net)
            except NonFinite as err:
                notes.append(f"stage {number + 1} of {len(stages)} of the randomisation: {err}")
                break
            for key, before in original.items():
                curves[key].append(_correlations(before, maps[key]))
            shown.update()
    missing = len(stages) - max((len(c) for c in curves.values()), default=0)
    blank = [np.full((len(v), max(map(len, v))), np.nan) for v in original.values()]
    for key, empty in zip(original, blank, strict=True):
        curves[key] += [empty] * missing
    return Randomised({k: np.stack(c) for k, c in curves.items()}, stages, notes)


def again_as(
    exp: Explanation, scorer: Scorer, preset: Preset | None, reshape: Reshape | None
) -> tuple[Callable[[nn.Module], Maps], Maps]:
    """How to make an explanation's maps with another network, and those that can be made again.

    The same methods, layers, options and ReLU, as the record holds them. Maps of a method that the
    registry does not know, put in by hand, cannot.
    """
    known = {key: maps for key, maps in exp.maps.items() if key[0] in METHODS}
    about = exp.provenance
    layers = list(dict.fromkeys(layer for _, layer in known if layer != INPUT))
    methods = list(dict.fromkeys(method for method, _ in known))
    settings: dict[str, Any] = {
        "methods": methods,
        "layers": layers or "auto",
        "relu": bool(about.get("relu", True)),
        "batch_stats": bool(about.get("batch_stats", False)),
        "options": {n: o for n, o in dict(about.get("options", {})).items() if n in methods},
        "chunk": scorer.chunk,
        "preset": preset,
        "reshape": reshape,
    }

    def again(net: nn.Module) -> Maps:
        with warnings.catch_warnings():
            # that maps of a network without sense are blank is no news to anybody
            warnings.simplefilter("ignore", ResvizWarning)
            made = explain(net, scorer.inputs, scorer.targets.again(), progress=False, **settings)
        return {key: made.maps[key] for key in known}

    return again, dict(known)


# ---- the network
def stages_of(scorer: Scorer) -> list[list[str]]:
    """Paths of the modules with parameters, from the output to the input, in at most six stages.

    The first stage is the last weighted layer (a parameter of two dimensions or more), the others
    are the weighted layers before it in parts of equal number; what follows a weighted layer, as
    BatchNorm does, goes with it, and so does what its weights are computed from. The order is that
    of the last call of each layer; what is never called itself goes with the module it lies in.
    """
    modules = dict(scorer.net.named_modules())
    groups: list[list[str]] = []
    for paths in _in_order(scorer):
        own = (p for path in paths for p in modules[path].parameters(recurse=False))
        if any(p.ndim > 1 for p in own) or not groups:
            groups.append([])
        groups[-1] += paths
    groups.reverse()
    return [groups[0], *_parts(groups[1:], STAGES - 1)] if groups else []


def _parts(groups: Sequence[list[str]], count: int) -> Iterator[list[str]]:
    count = min(count, len(groups))
    for part in range(count):
        chosen = groups[part * len(groups) // count : (part + 1) * len(groups) // count]
        yield [path for group in chosen for path in group]


def _in_order(scorer: Scorer) -> list[list[str]]:
    """Modules that own parameters, by their layer, the layers by their last call."""
    called: dict[str, int] = {}
    net = scorer.net

    def note(path: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            called.pop(path, None)
            called[path] = len(called)

        return hook

    with left_as_found(net) as hooks:
        for path, module in net.named_modules():
            hooks.before_forward(module, note(path))
        scorer.inputs.one().copies().run(net)
    order = {path: number for number, path in enumerate(called)}

    layers: dict[str, list[str]] = {}
    for path, module in net.named_modules():
        if _floating(module):
            layers.setdefault(owner_of(f"{path}."), []).append(path)

    def place(layer: str) -> int:
        path = next((path for path in (layer, *layers[layer]) if path in order), layer)
        while path not in order and path:
            path = path.rpartition(".")[0]
        return order.get(path, -1)

    return [layers[layer] for layer in sorted(layers, key=place)]


def _floating(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters(recurse=False) if p.is_floating_point()]


def _copied(net: nn.Module) -> nn.Module:
    try:
        return copied(net)
    except (RuntimeError, TypeError, NotImplementedError) as err:
        raise RuntimeError(
            f"{caller()}: the network cannot be copied ({err}), and the randomisation check "
            "permutes the weights of a copy; a network that copy.deepcopy takes would be right. "
            "Or leave the check out: checks=['deletion', 'insertion', 'road', 'drop']."
        ) from err


def _permute(net: nn.Module, paths: Sequence[str], random: torch.Generator, done: set[int]) -> None:
    """Permute the values of each parameter once, also of one that several modules share."""
    modules = dict(net.named_modules())
    with torch.no_grad():
        for path in paths:
            for parameter in _floating(modules[path]):
                if id(parameter) in done:
                    continue
                done.add(id(parameter))
                order = torch.randperm(parameter.numel(), generator=random)
                mixed = parameter.flatten()[order.to(parameter.device)]
                parameter.copy_(mixed.view_as(parameter))
            measure_spectral_norm(modules[path], random)


# ---- the comparison
def _correlations(before: Any, after: Any) -> Array:
    """(N, T); NaN in the columns that an image lacks."""
    found = np.full((len(before), max(map(len, before))), np.nan)
    for image, (row, others) in enumerate(zip(before, after, strict=True)):
        for column, (one, other) in enumerate(zip(row, others, strict=True)):
            found[image, column] = rank_correlation(one, other)
    return found


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's correlation of the absolute values of two maps, ties at their mean rank.

    NaN where the first is the same everywhere; 0 where only the second is, as nothing of the first
    is left in it.

    Example:
        >>> rank_correlation(torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.1, 0.2, 0.3]))
        1.0
    """
    from scipy.stats import rankdata

    ranks = [rankdata(each.abs().flatten().double().numpy()) for each in (one, other)]
    first, second = (each - each.mean() for each in ranks)
    if not first.any():
        return float("nan")
    if not second.any():
        return 0.0
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size
