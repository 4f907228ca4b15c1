"""Networks by name, ready to look into: torchvision's, the packaged ones, or a user's own."""

from __future__ import annotations

import enum
import os
import pathlib
from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import nn

from resviz import arguments
from resviz.arguments import caller, public, switch
from resviz.errors import WeightsUnavailable, closest, warn
from resviz.networks.zoo.checkpoints import fill, read_state
from resviz.networks.zoo.hubs import hub_network, is_of_hub
from resviz.networks.zoo.packaged import NAME, cifar_network, packaged_networks, parsed
from resviz.networks.zoo.pretrained import (
    pretrained_network,
    torchvision_names,
    torchvision_network,
)
from resviz.networks.zoo.signals import SIGNALS, signals_network
from resviz.preset import Preset, check_channels, check_preset, set_preset

__all__ = ["load_model", "packaged_networks"]
FILE_SUFFIXES = (".pth", ".pt", ".th", ".t7", ".bin", ".ckpt", ".safetensors")


@public
def load_model(
    network: str | nn.Module,
    weights: str | os.PathLike[str] = "default",
    *,
    device: str | torch.device | None = None,
    fallback: str | None = None,
    progress: bool = True,
    seed: int | None = None,
    classes: Sequence[str] | None = None,
    preset: Preset | None = None,
) -> nn.Module:
    """A network in eval mode on the best device, which knows how it wants its images.

    Args:
        network: any torchvision network for classification ("resnet50") or segmentation
            ("fcn_resnet50"); a packaged one
            ("cifar10-resnet20", see :func:`packaged_networks`); any depth of that family with
            `weights` "random" or a file ("cifar10-resnet110", "cifar10-plain32",
            "cifar10-resnet56-B"; the letter is the shortcut); "signals-resnet8", the packaged one
            for signals, see :func:`resviz.networks.signals.planted_events`; one of timm
            ("timm/resnet50.a1_in1k") or of Hugging Face's transformers ("hf/microsoft/resnet-50",
            "hf/" and a folder), where that library is installed; or a network of your own, which is
            itself moved and returned.
        weights: "default" (torchvision's best; for your own network: those it has), "random",
            torchvision's name ("IMAGENET1K_V1"), or a file (`.pth` and the like, read without
            running code from it, or `.safetensors`).
        device: "cuda", "mps", "cpu", "cuda:1"; None takes the first of cuda, mps, cpu there is.
        fallback: the network to take, with a warning and its own preset, where the weights cannot
            be had now. For names alone, as is seed.
        progress: show a bar while downloading.
        seed: for weights="random". None starts from the global random state as it is, so that two
            calls in a row give the same weights. Either way that state stays as it was.
        classes: names of the outputs, for a file or random weights: the head gets as many. Of your
            own network, and of a preset that has none: their names alone.
        preset: replaces the one of the weights. A file of your own named "resnet50" is otherwise
            taken to want what torchvision's first weights want.

    Returns:
        The network; `rv.preset_of(net)` says how it wants its images and whose weights it has.

    Raises:
        WeightsUnavailable: not cached, and not to be downloaded now; names what works offline.
        FileNotFoundError: no such weights file.
        ImportError: a network of timm or transformers, which is not installed.
        ValueError: unknown network, weights or device; a file that is damaged, holds code, or does
            not fit (the first missing, unexpected and misshapen keys are listed). Or classes that
            no preset keeps, or one has by other names; seed or fallback for your own network.
        TypeError: `network` is neither a name nor a network, or an option is of another type.

    Example:
        >>> net = load_model("cifar10-resnet20", weights="random", seed=0, device="cpu")
        >>> net(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """
    where = _device(device)
    seed = _check_options(fallback, progress, seed, classes, preset)
    preset = _named(preset, classes)
    if isinstance(network, nn.Module):
        _check_own(network, fallback, seed, classes, preset)
        net, own_preset = _own(network, weights, None if preset is not None else classes)
    else:
        _check_name(network)
        try:
            net, own_preset = _by_name(network, weights, progress, seed, classes)
        except WeightsUnavailable as err:
            if fallback is None:
                raise
            net, own_preset = _instead(err, fallback, progress)
            preset = None
    if preset is not None:
        set_preset(net, preset)
    elif own_preset is not None:
        set_preset(net, own_preset, check=False)
    return net.to(where).eval()


def _instead(
    err: WeightsUnavailable, fallback: str, progress: bool
) -> tuple[nn.Module, Preset | None]:
    """The fallback, with a warning that says why."""
    reason = str(err).removeprefix(f"{caller()}: ").split("; ")[0]
    warn(f"{caller()}: {reason}; using the fallback {fallback!r} instead.")
    return _by_name(fallback, "default", progress, None, None)


def _check_options(
    fallback: str | None, progress: object, seed: object, classes: object, preset: Preset | None
) -> int | None:
    """The seed as torch takes it: no NumPy integer."""
    if fallback is not None:
        _check_name(fallback, "fallback ")
    switch("progress", progress)
    if classes is not None and not _are_names(classes):
        raise TypeError(f"{caller()}: classes {classes!r}; a sequence of names, one per output.")
    if preset is not None:
        check_preset(preset)
    return None if seed is None else arguments.seed(seed, least=None)


def _named(preset: Preset | None, classes: Sequence[str] | None) -> Preset | None:
    """The preset that was passed, with the names that were passed beside it."""
    if preset is None or classes is None:
        return preset
    if preset.classes and preset.classes != tuple(classes):
        raise ValueError(
            f"{caller()}: classes {_first(classes)} and a preset with {_first(preset.classes)}; "
            "the same in both, or in one of them. Leave classes out."
        )
    return replace(preset, classes=tuple(classes))


def _first(classes: Sequence[str]) -> str:
    names = [repr(name) for name in classes]
    return ", ".join(names[:3]) + (f", ... ({len(names)} in all)" if len(names) > 3 else "")


def _are_names(classes: object) -> bool:
    if not isinstance(classes, Collection) or isinstance(classes, str):
        return False
    return len(classes) > 0 and all(isinstance(name, str) for name in classes)


def _device(device: str | torch.device | None) -> torch.device:
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    if device is None:
        return torch.device(there[0])
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as err:
        raise ValueError(f"{caller()}: device {device!r}; one of {', '.join(there)}.") from err
    absent = wanted.type in ("cuda", "mps") and wanted.type not in there
    if absent or (wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count()):
        raise ValueError(
            f"{caller()}: device {str(wanted)!r} is not on this machine; {', '.join(there)}. "
            "Leave it out to take the best there is."
        )
    return wanted


def _check_name(name: object, role: str = "") -> None:
    if not isinstance(name, str):
        raise TypeError(
            f"{caller()}: a {role or 'network '}of type {type(name).__name__}; a name"
            + ("." if role else " or an nn.Module.")
        )
    if is_of_hub(name):
        return
    if NAME.fullmatch(name):
        parsed(name, role)
        return
    if SIGNALS.fullmatch(name):
        return
    names = torchvision_names()
    if name not in names:
        options = [
            *names,
            *(f"cifar10-{kind}{n}" for kind in ("resnet", "plain") for n in (20, 56)),
            "signals-resnet8",
        ]
        raise ValueError(
            f"{caller()}: no {role}network {name!r}; closest: {closest(name, options)}. A network "
            "of another kind can be passed itself, as an nn.Module."
        )


def _by_name(
    name: str,
    weights: str | os.PathLike[str],
    progress: bool,
    seed: int | None,
    classes: Sequence[str] | None,
) -> tuple[nn.Module, Preset]:
    kind = _kind_of(weights)
    if kind == "name" and classes is not None:
        raise ValueError(
            f"{caller()}: classes with weights {str(weights)!r}, which have their own; classes "
            "with a file or with weights='random'. Leave classes out."
        )
    if is_of_hub(name):
        return hub_network(name, weights, kind, seed, classes, progress)
    if NAME.fullmatch(name):
        return cifar_network(name, weights, kind, seed, classes)
    if SIGNALS.fullmatch(name):
        return signals_network(name, weights, kind, seed, classes)
    if kind == "name":
        return pretrained_network(name, weights, progress)
    return torchvision_network(name, weights, kind, seed, classes)


def _kind_of(weights: object) -> str:
    """What `weights` is: "random", "file", or "name" (also for "default")."""
    if weights == "random":
        return "random"
    if isinstance(weights, os.PathLike):
        return "file"
    if isinstance(weights, enum.Enum):
        return "name"
    if not isinstance(weights, str):
        raise TypeError(
            f"{caller()}: weights of type {type(weights).__name__}; 'default', 'random', "
            "torchvision's name, or the path of a file."
        )
    path_like = os.sep in weights or weights.lower().endswith(FILE_SUFFIXES)
    return "file" if path_like or os.path.isfile(weights) else "name"


def _check_own(
    net: nn.Module,
    fallback: str | None,
    seed: int | None,
    classes: Sequence[str] | None,
    preset: Preset | None,
) -> None:
    """Raise ValueError for what a network that is there cannot follow."""
    for what, value in {"fallback": fallback, "seed": seed}.items():
        if value is not None:
            raise ValueError(
                f"{caller()}: {what} {value!r} for a network of your own; {what} with the name of "
                "one. Leave it out."
            )
    if preset is not None:
        check_channels(net, preset)
    elif classes is not None and getattr(net, "resviz_preset", None) is None:
        raise ValueError(
            f"{caller()}: classes {_first(classes)} for this {type(net).__name__}, which has no "
            "preset; one to keep them. Pass preset=rv.Preset(..., classes=[...])."
        )


def _own(
    net: nn.Module, weights: str | os.PathLike[str], classes: Sequence[str] | None
) -> tuple[nn.Module, Preset | None]:
    kind = _kind_of(weights)
    if kind == "random" or (kind == "name" and weights != "default"):
        raise ValueError(
            f"{caller()}: weights {weights!r} for a network of your own; 'default' (those it has) "
            "or a file. Initialise it before you pass it."
        )
    preset = getattr(net, "resviz_preset", None)
    if preset is not None and classes is not None:
        preset = replace(preset, classes=tuple(classes))
    if kind == "file":
        file = pathlib.Path(weights)
        fill(net, read_state(file), file.name)
        preset = replace(preset, weights=file.name) if preset is not None else None
    return net, preset
