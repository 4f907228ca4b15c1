"""`gradient_flow`: gradients, activations and branches against depth, in several networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from resviz import storage
from resviz.arguments import Progress, caller, public, switch
from resviz.arguments import seeds as seeds_of
from resviz.given import Images
from resviz.hooks import batch_norms
from resviz.networks.anatomy.structure import block_of
from resviz.networks.zoo.cifar import cifar_resnet
from resviz.progress import bar
from resviz.recording.losses import Loss
from resviz.recording.recorder import record
from resviz.recording.recording import Recording
from resviz.storage import Provenance

Variant = nn.Module | Callable[[int], nn.Module] | Mapping[Any, Any]
KEYS = ("variant", "seed", "step", "batch_stats")
_TABLES = ("weights", "blocks", "residuals", "growth")


class Keys(TypedDict):
    """Which run of a study: the variant, the training step where there are several, the mode."""

    variant: str
    step: int | None
    batch_stats: bool | None


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """What :func:`gradient_flow` measured.

    A row says in ``variant``, ``seed``, ``step`` and ``batch_stats`` (None: there is no BatchNorm)
    whose it is.

    Attributes:
        weights: a row per weight, as :func:`resviz.gradient_norms` gives them; gradients of the
            *mean* loss.
        blocks: a row per block boundary (the layer before the first block, then every block):
            ``rms`` and ``std`` of the activation, ``grad_rms`` and ``grad_norm`` of its gradient,
            of the losses *summed* over the images.
        residuals: a row per residual addition, as :func:`resviz.residual_branches` gives them.
        growth: a row per variant, step and mode: ``per_layer``, the factor by which the rms of the
            activation gradient grows from one layer to the one before it (below 1: it shrinks),
            by least squares on its logarithm within stages, median over seeds, with ``low`` and
            ``high`` over the seeds that have one, ``fitted`` of them; ``first_over_last``, the
            whole ratio; ``zeros``, block boundaries whose gradient is exactly 0, and ``nonfinite``,
            where activation or gradient is not finite (both are left out of the fit).
        provenance: loss, images, seeds, data, versions.
    """

    weights: pd.DataFrame
    blocks: pd.DataFrame
    residuals: pd.DataFrame
    growth: pd.DataFrame
    provenance: Provenance = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _TABLES:
            getattr(self, name).attrs.update(self.provenance)

    def runs(self, table: str = "blocks") -> Iterator[tuple[Keys, list[pd.DataFrame]]]:
        """Each variant, step and mode once: its keys, and a table per seed.

        Args:
            table: "weights", "blocks" or "residuals".
        """
        frame: pd.DataFrame = getattr(self, table)
        for keys, part in frame.groupby(
            ["variant", "step", "batch_stats"], sort=False, dropna=False
        ):
            seeds = [one.reset_index(drop=True) for _, one in part.groupby("seed", sort=False)]
            named = _run(keys)
            for one in seeds:
                one.attrs.update(self.provenance, batch_stats=named["batch_stats"])
            yield named, seeds

    @public
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tables to one file; :func:`load_gradient_flow` gives them back."""
        meta = {name: storage.table_to_json(getattr(self, name)) for name in _TABLES}
        storage.write(path, "gradient flow", {}, meta | {"provenance": dict(self.provenance)})

    def __repr__(self) -> str:
        lines = [f"GradientFlow of {self.provenance.get('images')} images"]
        return "\n".join([*lines, *(f"  {line}" for line in growth_words(self.growth))])


@public
def load_gradient_flow(path: str | os.PathLike[str]) -> GradientFlow:
    """A :class:`GradientFlow` from the file that its ``save`` wrote. Runs no code from it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or holds something else.
    """
    _, meta = storage.read(path, "gradient flow")
    try:
        tables = {name: storage.table_from_json(meta[name], "variant") for name in _TABLES}
        return GradientFlow(**tables, provenance=meta["provenance"])
    except (ValueError, *storage.WRONG_CONTENT) as error:
        raise storage.damaged(path) from error


@public
def gradient_flow(
    variants: Mapping[str, Variant],
    images: Images,
    targets: Tensor | Sequence[int] | None = None,
    loss: str | Loss | None = None,
    *,
    seeds: int | Sequence[int] = 3,
    batch_stats: bool | Sequence[bool] = True,
    data: str | None = None,
    progress: Progress = None,
) -> GradientFlow:
    """Gradients, activations and branches against depth, for several networks and seeds.

    A thin layer over :func:`resviz.record`. To compare residual with plain networks, give both the
    same depth, rule and seeds (He et al. 2015, https://arxiv.org/abs/1512.03385, section 4.1 and
    4.2)::

        variants = {"ResNet-56": {"depth": 56}, "plain-56": {"depth": 56, "shortcut": "none"}}
        rv.gradient_flow(variants, images)

    Args:
        variants: by name: options of :func:`resviz.networks.cifar.cifar_resnet`; a function
            (seed) -> network, such as ``lambda seed: rv.plain_twin(net, seed=seed)``; one network,
            which no seed changes; or ``{step: any of these}`` for moments of a training.
        images: as :func:`resviz.record` takes them.
        targets: (N,) class indices; None for each image's predicted class.
        loss: as :func:`resviz.record` takes it.
        seeds: how many (0, 1, 2, ...), or which.
        batch_stats: BatchNorm on this batch's statistics, as in training, or on its running ones;
            ``(True, False)`` for both. In an untrained network running statistics make BatchNorm
            nearly the identity, and the picture is another one.
        data: name of the data set, for the figure.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A :class:`GradientFlow`. Not finite activations are recorded, not refused.

    Raises:
        TypeError: variants that are none of the above.
        ValueError: no variants or seeds, two of one name; and as :func:`resviz.record`.

    Example:
        >>> import torch
        >>> flow = gradient_flow({"plain-20": {"depth": 20, "shortcut": "none"}},
        ...                      torch.randn(8, 3, 32, 32), seeds=1)
        >>> bool(flow.growth["per_layer"].iloc[0] > 1)     # it grows towards the input
        True
    """
    chosen, modes = seeds_of(seeds), _modes(batch_stats)
    runs = list(_runs(variants, chosen))
    if not runs or not modes:
        raise ValueError(f"{caller()}: no variants or no BatchNorm mode; at least one of each.")
    found: dict[str, list[pd.DataFrame]] = {"weights": [], "blocks": [], "residuals": []}
    abouts: list[tuple[str, Provenance]] = []
    with bar(len(runs) * len(modes), "gradient flow", progress) as shown:
        for name, step, seed, build in runs:
            net = _built(name, build, seed)
            for mode in modes if batch_norms(net) else [None]:
                rec = record(net, images, targets, loss, True, bool(mode), allow_nonfinite=True)
                _add(found, rec, dict(zip(KEYS, (name, seed, step, mode), strict=True)))
                abouts.append((name, rec.provenance))
            shown.update(len(modes))
    tables = {name: _joined(frames) for name, frames in found.items()}
    drawn = {seed for _, _, seed, build in runs if not isinstance(build, nn.Module)}
    about = _joined_about(abouts) | {"data": data, "seeds": sorted(drawn, key=chosen.index)}
    return GradientFlow(**tables, growth=_growth(tables["blocks"]), provenance=about)


_OWN = ("network", "weights", "classes", "batch_stats", "changes")  # differ between variants


def _modes(batch_stats: object) -> list[bool]:
    given = list(batch_stats) if isinstance(batch_stats, Iterable) else [batch_stats]
    return list(dict.fromkeys(switch("batch_stats", mode) for mode in given))


def _add(found: dict[str, list[pd.DataFrame]], rec: Recording, keys: Mapping[str, Any]) -> None:
    for table, frame in _measured(rec).items():
        found[table].append(_keyed(frame, keys))


def _joined_about(abouts: Sequence[tuple[str, Provenance]]) -> dict[str, Any]:
    """What is the same for all variants, and what was done to each."""
    first, *others = (about for _, about in abouts)
    same = {
        key: value
        for key, value in first.items()
        if key not in _OWN and all(key in other and other[key] == value for other in others)
    }
    changes = [f"{name} {what}" for name, about in abouts for what in about["changes"]]
    return same | {"changes": list(dict.fromkeys(changes))}


def _runs(variants: object, seeds: list[int]) -> Iterator[tuple[str, Any, int, Any]]:
    """(name, step, seed, what to build the network from); one network has one seed."""
    if not isinstance(variants, Mapping):
        raise TypeError(
            f"{caller()}: variants are a {type(variants).__name__}; a dict is right: "
            '{"ResNet-56": {"depth": 56}}.'
        )
    if len({str(name) for name in variants}) < len(variants):
        raise ValueError(f"{caller()}: two variants of the same name; one name each.")
    for name, variant in variants.items():
        stepped = isinstance(variant, Mapping) and not any(isinstance(k, str) for k in variant)
        for step, build in variant.items() if stepped else [(0, variant)]:
            step = step.item() if hasattr(step, "item") else step  # of NumPy: no JSON takes it
            for seed in seeds[:1] if isinstance(build, nn.Module) else seeds:
                yield str(name), step, seed, build


def _built(name: str, build: Any, seed: int) -> nn.Module:
    if isinstance(build, nn.Module):
        return build
    if isinstance(build, Mapping):
        try:
            return cifar_resnet(**{"seed": seed, **build})
        except TypeError as error:
            reason = str(error).removeprefix(f"{caller()}: ").removesuffix(".")
            raise TypeError(f"{caller()}: variant {name!r}: {reason}.") from error
    net = build
    if callable(build):
        with torch.random.fork_rng(devices=[]):  # one that draws from the global state is seeded
            torch.default_generator.manual_seed(seed)
            net = build(seed)
    if not isinstance(net, nn.Module):
        raise TypeError(
            f"{caller()}: variant {name!r} is a {type(net).__name__}; a network, a function "
            "(seed) -> network, or options of cifar_resnet would be right."
        )
    return net


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """One table; those of plain networks, which have no residual rows, would make objects of it."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled or frames[:1], ignore_index=True)


def _keyed(frame: pd.DataFrame, keys: Mapping[str, Any]) -> pd.DataFrame:
    frame = frame.copy()
    frame.attrs = {}
    for number, (key, value) in enumerate(keys.items()):
        frame.insert(number, key, pd.Series([value] * len(frame), dtype=object))
    return frame.astype({"variant": str, "seed": int})


def _measured(rec: Any) -> dict[str, pd.DataFrame]:
    weights = rec.parameters[rec.parameters["weighted"]].rename(columns={"norm": "weight_norm"})
    columns = ["layer", "parameter", "type", "depth", "stage", "projection", "gate"]
    weights = weights.sort_values("depth", kind="stable")
    return {
        "weights": weights[[*columns, "grad_norm", "weight_norm", "shape"]].reset_index(drop=True),
        "blocks": _boundaries(rec.layers),
        "residuals": rec.residuals.reset_index(drop=True),
    }


def _boundaries(layers: pd.DataFrame) -> pd.DataFrame:
    """The last layer before the first block, and every block; without blocks, weighted layers."""
    blocks = layers[layers["kind"] == "block"]
    columns = ["layer", "call", "type", "depth", "stage", "shape", "rms", "std", "zero_fraction"]
    if len(blocks) < 2:
        chosen = layers[~layers["depth"].duplicated(keep="last")]
    else:
        paths = list(blocks["layer"])
        outside = layers[[not block_of(layer, paths) for layer in layers["layer"]]]
        stem = outside[outside.index < _first_inside(layers, paths)].tail(1)
        chosen = pd.concat([stem, blocks])
    return chosen[[*columns, "grad_rms", "grad_norm"]].reset_index(drop=True)


def _first_inside(layers: pd.DataFrame, paths: list[str]) -> int:
    return next(int(i) for i, layer in zip(layers.index, layers["layer"], strict=True)
                if block_of(layer, paths))  # fmt: skip


def _run(keys: Any) -> Keys:
    """Variant, step and BatchNorm mode, as they were before pandas made NaN of None."""
    variant, step, mode = keys
    return {"variant": variant, "step": step, "batch_stats": None if pd.isna(mode) else bool(mode)}


# ---- growth
def _growth(blocks: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for keys, part in blocks.groupby(["variant", "step", "batch_stats"], sort=False, dropna=False):
        rates, ratios = zip(*(_rate(one) for _, one in part.groupby("seed")), strict=True)
        row: dict[str, Any] = dict(_run(keys))
        found = np.array(rates)[np.isfinite(rates)]  # of a seed whose gradients died there is none
        row |= {"per_layer": _middle(rates), "fitted": len(found)}
        row |= {"low": min(found, default=np.nan), "high": max(found, default=np.nan)}
        row |= {"first_over_last": _middle(ratios), "zeros": int((part["grad_rms"] == 0).sum())}
        row["nonfinite"] = int((~np.isfinite(part[["rms", "grad_rms"]])).any(axis=1).sum())
        rows.append(row | {"seeds": part["seed"].nunique(), "boundaries": len(part)})
    frame = pd.DataFrame(rows)
    return frame.astype({"batch_stats": object})


def _middle(values: Sequence[float]) -> float:
    """The median of those that are finite."""
    known = np.array(values)[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan


def _rate(blocks: pd.DataFrame) -> tuple[float, float]:
    """(factor per layer towards the input within stages, first over last)."""
    depth, rms = (blocks[c].to_numpy(dtype=float) for c in ("depth", "grad_rms"))
    finite = np.isfinite(blocks["rms"].to_numpy(dtype=float)) & np.isfinite(rms) & (rms > 0)
    ratio = rms[0] / rms[-1] if np.isfinite(rms[[0, -1]]).all() and rms[-1] > 0 else np.nan
    stages = blocks["stage"].astype(str).to_numpy()[finite]
    log_rms = np.log(rms[finite])
    slope = _slope(depth[finite], log_rms, stages)
    if np.isnan(slope):  # a block per stage
        slope = _slope(depth[finite], log_rms, np.zeros(len(log_rms)))
    return float(np.exp(-slope)), float(ratio)


def _slope(x: Any, y: Any, groups: Any) -> float:
    """Of y against x by least squares, each group with an offset of its own; NaN for no spread."""
    product = spread = 0.0
    for group in np.unique(groups):
        chosen = groups == group
        dx, dy = x[chosen] - x[chosen].mean(), y[chosen] - y[chosen].mean()
        product, spread = product + float(dx @ dy), spread + float(dx @ dx)
    return product / spread if spread > 0 else np.nan


def growth_words(growth: pd.DataFrame) -> list[str]:
    """A sentence per variant, step and mode: by what factor the gradient grows per layer."""
    steps = growth["step"].nunique() > 1
    return [_words(row, steps) for row in growth.to_dict("records")]


def _words(row: Mapping[Any, Any], steps: bool) -> str:
    mode = {None: "no BatchNorm", True: "batch statistics", False: "running statistics"}
    step = f", step {row['step']}" if steps else ""
    name = f"{row['variant']}{step} ({mode[row['batch_stats']]})"
    if row["zeros"] == row["boundaries"]:
        return f"{name}: the gradient is exactly 0 at every block"
    if np.isnan(row["per_layer"]):
        return f"{name}: no finite gradients to compare"
    words = f"{name}: × {row['per_layer']:#.3g} per layer towards the input"
    if row["seeds"] > 1:
        fitted = row.get("fitted", row["seeds"])
        over = f"{fitted} of {row['seeds']}" if fitted < row["seeds"] else f"{fitted}"
        words += f" ({row['low']:#.3g} to {row['high']:#.3g} over {over} seeds)"
    words += f"; first over last {row['first_over_last']:.2g}"
    if row["nonfinite"]:
        words += f"; not finite at {row['nonfinite']} of {row['boundaries']} block boundaries"
    if row["zeros"]:
        words += f"; exactly 0 at {row['zeros']} of {row['boundaries']} block boundaries"
    return words
