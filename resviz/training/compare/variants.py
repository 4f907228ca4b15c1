"""The arguments of `train_compare`: what is right, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from resviz.arguments import caller, number, switch, whole
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
            f"{caller()}: variants are a {type(variants).__name__}; a dict is right: "
            '{"ResNet-56": {"depth": 56}, "plain-56": {"depth": 56, "shortcut": "none"}}.'
        )
    if not variants:
        raise ValueError(f"{caller()}: no variants; at least one is needed.")
    if len({str(name) for name in variants}) < len(variants):
        raise ValueError(f"{caller()}: two variants of the same name; one name each.")
    whole("epochs", epochs, least=1)
    if record_every != "epoch":
        whole("record_every", record_every, least=1)
    if augment is not None:
        switch("augment", augment)
    number("rate", rate, above=0)


def device_of(device: str | torch.device | None) -> torch.device:
    """The device to train on, with its index; a GPU if there is one."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=torch.device(device)).device  # with its index
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"{caller()}: device {device!r} is not on this machine; 'cpu' is always there."
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
    size = whole("batch", data.batch if batch is None else batch, least=1)
    n = len(data.train_targets)
    if size > n:
        raise ValueError(f"{caller()}: batch {size} of {n} training images; 1 to {n}.")
    every = 1 if isinstance(record_every, str) else int(record_every)
    moved = data.augment if augment is None else augment
    if moved and data.train_images.ndim != 4:
        raise ValueError(
            f"{caller()}: augment=True for inputs of shape {tuple(data.train_images.shape)};"
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
                f"{caller()}: family {family!r} of {name!r}; closest:"
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
            f"{caller()}: variant {name!r} gives a {what}; a network, a function (seed) ->"
            " network, or a dict of options of cifar_resnet would be right."
        )
    return net
