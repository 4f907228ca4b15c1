"""Torchvision's networks for classification and segmentation: weights, transforms, class names."""

from __future__ import annotations

import os
import pathlib
import pickle
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import replace
from http.client import HTTPException
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.errors import WeightsUnavailable, closest, warn
from resviz.networks.zoo.checkpoints import fill, read_state
from resviz.networks.zoo.packaged import packaged_files
from resviz.preset import Preset
from resviz.torch_private import is_of_incomplete_download

WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
DAMAGE = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, AttributeError)


def torchvision_names() -> list[str]:
    """The names of torchvision's classification networks, and of those for segmentation.

    Example:
        >>> {"resnet50", "fcn_resnet50"} <= set(torchvision_names())
        True
    """
    models = torchvision.models
    return [*models.list_models(module=models), *_segmentation_names()]


def _segmentation_names() -> list[str]:
    return list(torchvision.models.list_models(module=torchvision.models.segmentation))


def pretrained_network(
    name: str, weights: object, progress: bool = True
) -> tuple[nn.Module, Preset]:
    """A network with torchvision's own weights, which it downloads once and then reads from disk.

    Args:
        name: one of :func:`torchvision_names`.
        weights: "default", a name ("IMAGENET1K_V1") or a member of torchvision's enum.
        progress: show a bar while downloading.

    Raises:
        WeightsUnavailable: not in the cache, and the download failed.
        ValueError: unknown weights, or a damaged file in the cache.
    """
    entry = _entry(name, weights)
    file = _cached_file(entry)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            net = torchvision.models.get_model(name, weights=entry, progress=progress)
    except (OSError, HTTPException) as err:
        raise WeightsUnavailable(_not_to_be_had(name, entry, err)) from err
    except DAMAGE as err:
        if is_of_incomplete_download(err):
            raise WeightsUnavailable(_not_to_be_had(name, entry, err)) from err
        if not file.is_file():
            raise
        first = (str(err).splitlines() or [type(err).__name__])[0]
        raise ValueError(
            f"{caller()}: the cached weights {str(file)!r} are damaged or not those of {name!r} "
            f"({first[:120]}); a complete download. Delete the file and load again."
        ) from err
    return net, preset_of_entry(name, entry, entry.name)


def _entry(name: str, weights: object) -> Any:
    """The member of torchvision's enum for these weights."""
    options = torchvision.models.get_model_weights(name)
    if isinstance(weights, options):
        return weights
    short = str(weights).removeprefix(f"{options.__name__}.")
    if short.lower() == "default":
        return options["DEFAULT"]
    if short not in options.__members__:
        names = [member.name for member in options]
        raise ValueError(
            f"{caller()}: no weights {str(weights)!r} for {name!r}; 'default', 'random', a file, "
            f"or one of {', '.join(names)}. Closest: {closest(short, names, n=1)}."
        )
    return options[short]


def _cached_file(entry: Any) -> pathlib.Path:
    base = os.path.basename(urllib.parse.urlparse(entry.url).path)
    return pathlib.Path(torch.hub.get_dir()) / "checkpoints" / base


def _not_to_be_had(name: str, entry: Any, err: Exception) -> str:
    what = "arrived incomplete" if is_of_incomplete_download(err) else "could not be downloaded"
    offline = [f"load_model({file.stem!r})" for file in packaged_files()]
    offline += [
        f"load_model({other!r}, {member.name!r})"
        for other in torchvision_names()
        for member in torchvision.models.get_model_weights(other)
        if _cached_file(member).is_file()
    ]
    return (
        f"{caller()}: the weights {entry.name} of {name!r} are not cached and {what} "
        f"({type(err).__name__}: {err}); offline work: {', '.join([*offline, 'random weights'])}. "
        "Pass fallback='cifar10-resnet56', weights='random' or weights=file."
    )


def preset_of_entry(name: str, entry: Any, weights: str) -> Preset:
    """The preset that torchvision's transforms and class names of `entry` amount to."""
    want = entry.transforms()
    crop = (list(want.crop_size) * 2)[:2] if hasattr(want, "crop_size") else None
    return Preset(
        name,
        weights,
        mean=tuple(want.mean),
        std=tuple(want.std),
        resize=want.resize_size[0] if len(want.resize_size) == 1 else tuple(want.resize_size),
        crop=None if crop is None else (crop[0], crop[1]),
        interpolation=want.interpolation.value,
        antialias=bool(want.antialias),
        classes=tuple(entry.meta.get("categories") or ()),
    )


def torchvision_network(
    name: str,
    weights: str | os.PathLike[str],
    kind: str,
    seed: int | None,
    classes: Sequence[str] | None,
) -> tuple[nn.Module, Preset]:
    """An architecture of torchvision with random weights or those of a file, without network.

    A file that still has the name under which torchvision offers it gets the preset that belongs
    to it; any other, and random weights, that of torchvision's first weights. GoogLeNet and
    Inception v3 scale their input a second time with torchvision's weights alone: of other files a
    warning says so.

    Args:
        name: one of :func:`torchvision_names`.
        weights: "random" or a path.
        kind: of `weights`: "random" or "file".
        seed: for random weights; None starts from the global random state, which stays as it was.
        classes: names of the outputs; the head gets as many.

    Raises:
        ValueError: the file is damaged or does not fit.
    """
    source = pathlib.Path(weights).name if kind == "file" else "random"
    state = _renamed(name, read_state(weights)) if kind == "file" else {}
    entries = list(torchvision.models.get_model_weights(name))
    known = next((entry for entry in entries if _cached_file(entry).name == source), None)
    options: dict[str, Any] = {} if classes is None else {"num_classes": len(classes)}
    if name in WITH_AUXILIARY_HEADS:  # heads for training only, where the file has them
        options["aux_logits"] = any("aux" in key.lower() for key in state)
        options["init_weights"] = True
        options["transform_input"] = known is not None
    if name in _segmentation_names():
        options["weights_backbone"] = None
        options["aux_loss"] = any("aux" in key.lower() for key in state) or None
    if name.startswith("vit_"):
        entries = [entry for entry in entries if entry.transforms().crop_size == [224]]
        options["image_size"] = known.meta["min_size"][0] if known else 224
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        net = torchvision.models.get_model(name, weights=None, **options)
    if state:
        fill(net, state, source)
        if name in WITH_AUXILIARY_HEADS and known is None:
            _warn_of_scaling(name, source)
    preset = preset_of_entry(name, known or entries[0], source)
    return net, preset if classes is None else replace(preset, classes=tuple(classes))


def _warn_of_scaling(name: str, source: str) -> None:
    warn(
        f"{caller()}: whether {name!r} scales its input itself is not in {source!r}; here it does "
        "not. For weights fine-tuned from torchvision's, which do: net.transform_input = True."
    )


def _renamed(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The old keys of torchvision's DenseNet files ("norm.1.weight") as the network has them."""
    if not name.startswith("densenet"):
        return state
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
    return {old.sub(r"\1\2", key): value for key, value in state.items()}
