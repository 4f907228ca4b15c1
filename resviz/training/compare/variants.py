"""The arguments of `train_compare`: what is right, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import nn

from resviz.errors import closest
from resviz.networks.zoo.cifar import cifar_resnet
from resviz.networks.zoo.digits import digits_resnet
from resviz.training.compare.data import TrainingData
from resviz.training.compare.plan import Plan

Variant = nn.Module | Callable[[int], nn.Module] | Mapping[str, Any]
FAMILIES: dict[str, Callable[..., nn.Module]] = {"cifar": cifar_resnet, "digits": digits_resnet}


def check_arguments(
    variants: object, epochs: object, rate: object, record_every: object, augment: object
) -> None:
    """Raise TypeError or ValueError where an argument is of the wrong kind or size."""
    if not isinstance(variants, Mapping):
        raise TypeError(
            f"train_compare: variants are a {type(variants).__name__}; a dict is right: "
            '{"ResNet-56": {"depth": 56}, "plain-56": {"depth": 56, "shortcut": "none"}}.'
        )
    if not variants:
        raise ValueError("train_compare: no variants; at least one is needed.")
    if len({str(name) for name in variants}) < len(variants):
        raise ValueError("train_compare: two variants of the same name; one name each.")
    every = {} if record_every == "epoch" else {"record_every": record_every}
    for name, number in {"epochs": epochs, **every}.items():
        _whole(name, number)
    if augment is not None and not isinstance(augment, bool):
        raise TypeError(f"train_compare: augment {augment!r}; True, False or None.")
    if isinstance(rate, bool) or not isinstance(rate, Real):
        raise TypeError(f"train_compare: rate {rate!r}; a number above 0.")
    if not 0 < float(rate) < float("inf"):
        raise ValueError(f"train_compare: rate {rate!r}; a number above 0.")


def _whole(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise TypeError(f"train_compare: {name} {number!r}; a whole number.")
    if number < 1:
        raise ValueError(f"train_compare: {name} {number}; at least 1.")


def seeds_of(seeds: Any) -> list[int]:
    """How many seeds, or which, as a list."""
    single = isinstance(seeds, Integral) and not isinstance(seeds, bool)
    listed = list(range(int(seeds))) if single else seeds
    right = isinstance(listed, (list, tuple, range)) and all(
        isinstance(s, Integral) and not isinstance(s, bool) for s in listed
    )
    if not right:
        raise TypeError(f"train_compare: seeds {seeds!r}; how many, or a list of whole numbers.")
    if not listed or min(listed) < 0 or len(set(listed)) < len(listed):
        raise ValueError(
            f"train_compare: seeds {seeds!r}; different ones, 0 or more, at least one."
        )
    return [int(seed) for seed in listed]


def device_of(device: str | torch.device | None) -> torch.device:
    """The device to train on, with its index; a GPU if there is one."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=torch.device(device)).device  # with its index
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"train_compare: device {device!r} is not on this machine; 'cpu' is always there."
        ) from error


def plan_of(
    data: TrainingData,
    epochs: int,
    batch: int | None,
    rate: float,
    augment: bool | None,
    record_every: str | int,
) -> Plan:
    """How every network is trained, with what the data set suggests where nothing is said."""
    size = data.batch if batch is None else batch
    _whole("batch", size)
    n = len(data.train_targets)
    if size > n:
        raise ValueError(f"train_compare: batch {size} of {n} training images; 1 to {n}.")
    every = 1 if isinstance(record_every, str) else int(record_every)
    moved = data.augment if augment is None else augment
    if moved and data.train_images.ndim != 4:
        raise ValueError(
            f"train_compare: augment=True for inputs of shape {tuple(data.train_images.shape)};"
            " images (N, C, H, W) can be shifted and mirrored, others need augment=False."
        )
    steps = n // size
    return Plan(
        data.name, data.fingerprint, int(epochs), int(size), steps, float(rate), moved, every
    )


def built(name: str, variant: object, seed: int) -> nn.Module:
    """The network of a variant and seed; one that the user gave is returned as it is."""
    if isinstance(variant, nn.Module):
        return variant
    if isinstance(variant, Mapping):
        options = {"seed": seed, **variant}
        family = options.pop("family", "cifar")
        if family not in FAMILIES:
            raise ValueError(
                f"train_compare: family {family!r} of {name!r}; closest:"
                f" {closest(str(family), FAMILIES)}."
            )
        return FAMILIES[family](**options)
    net: Any = None
    if callable(variant):
        with torch.random.fork_rng(devices=[]):  # one that draws from the global state is seeded
            torch.default_generator.manual_seed(seed)
            net = variant(seed)
    if not isinstance(net, nn.Module):
        what = type(variant if net is None else net).__name__
        raise TypeError(
            f"train_compare: variant {name!r} gives a {what}; a network, a function (seed) ->"
            " network, or a dict of options of cifar_resnet would be right."
        )
    return net
