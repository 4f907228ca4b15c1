"""Networks of timm and of Hugging Face's transformers by name: "timm/...", "hf/..."."""

from __future__ import annotations

import importlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from resviz.arguments import caller
from resviz.errors import WeightsUnavailable, closest
from resviz.networks.zoo.checkpoints import fill, read_state
from resviz.preset import Preset
from resviz.preset.foreign import foreign_preset

HUBS = {"timm": "timm", "hf": "transformers"}  # prefix: the library that makes the network


def is_of_hub(name: str) -> bool:
    """True for "timm/..." and "hf/..."."""
    prefix, slash, rest = name.partition("/")
    return prefix in HUBS and bool(slash and rest)


def hub_network(
    name: str,
    weights: str | os.PathLike[str],
    kind: str,
    seed: int | None,
    classes: Sequence[str] | None,
    progress: bool,
) -> tuple[nn.Module, Preset]:
    """A network of another library, with the preset that its own settings amount to.

    Args:
        name: "timm/resnet50.a1_in1k", "hf/microsoft/resnet-50", "hf/" and a folder.
        weights: "default", a tag of timm ("a1_in1k"), "random" or a path.
        kind: of `weights`: "name", "random" or "file".
        seed: for random weights.
        classes: names of the outputs, for random weights and files; the head gets as many.
        progress: show a bar while downloading.

    Raises:
        ImportError: the library is not installed.
        ValueError: no such network or weights, one of another kind, or settings that no preset has.
        WeightsUnavailable: neither on this machine nor to be downloaded now.
    """
    prefix, _, rest = name.partition("/")
    library = _library(prefix, name)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        if prefix == "timm":
            net, processor = _timm(library, name, rest, weights, kind, classes), None
        else:
            with _bars(library, progress):
                net, processor = _transformers(library, name, rest, weights, kind, classes)
    source = "random"
    if kind == "file":
        source = pathlib.Path(weights).name
        fill(net, read_state(weights), source)
    elif kind == "name":
        source = _whose(net, rest)
    preset = foreign_preset(net, processor, source)
    if preset is None:
        raise ValueError(
            f"{caller()}: {name!r} says nothing of its images; pass the network itself."
        )
    return net, preset if classes is None else replace(preset, classes=tuple(classes))


def _library(prefix: str, name: str) -> Any:
    library = HUBS[prefix]
    try:
        return importlib.import_module(library)
    except ImportError as err:
        raise ImportError(
            f"{caller()}: {name!r} is a network of {library}, which is not installed; "
            f"pip install 'resviz[{prefix}]'. Or pass the network itself."
        ) from err


def _whose(net: nn.Module, rest: str) -> str:
    """The tag of timm's weights; of others the name on the hub, or that of their folder."""
    settings = getattr(net, "pretrained_cfg", None)
    tag = settings.get("tag") if isinstance(settings, dict) else None
    return str(tag or (pathlib.Path(rest).name if os.path.isdir(rest) else rest))


def _unavailable(name: str, what: str, err: Exception, instead: str) -> WeightsUnavailable:
    first = (str(err).splitlines() or [""])[0][:200]
    return WeightsUnavailable(
        f"{caller()}: the {what} of {name!r} are not on this machine and could not be downloaded "
        f"({type(err).__name__}: {first}); a network that is here, or a connection. "
        f"Pass fallback='cifar10-resnet56', {instead}."
    )


# ---- timm
def _timm(
    timm: Any,
    name: str,
    rest: str,
    weights: str | os.PathLike[str],
    kind: str,
    classes: Sequence[str] | None,
) -> nn.Module:
    base = rest.partition(".")[0]
    if not timm.is_model(base):
        near = closest(base, timm.list_models())
        raise ValueError(f"{caller()}: no network {base!r} in timm; closest: {near}.")
    wanted = rest
    if kind == "name":
        wanted = _tagged(timm, base, rest, weights)
    options = {} if classes is None else {"num_classes": len(classes)}
    try:
        return timm.create_model(wanted, pretrained=kind == "name", **options)
    except Exception as err:  # whatever its hub, its cache and its sources raise
        if kind != "name":
            raise
        raise _unavailable(name, "weights", err, "weights='random' or a file") from err


def _tagged(timm: Any, base: str, rest: str, weights: str | os.PathLike[str]) -> str:
    """The full name of trained weights that timm knows."""
    known = timm.list_models(f"{base}.*", pretrained=True)
    wanted = rest if weights == "default" else f"{base}.{weights}"
    if not known or (wanted != base and wanted not in known):
        there = ", ".join(repr(each) for each in known) or "none"
        raise ValueError(
            f"{caller()}: no weights {wanted!r} in timm; of {base!r} there are {there}. Or pass "
            "weights='random' or a file."
        )
    return wanted


# ---- transformers
def _transformers(
    transformers: Any,
    name: str,
    rest: str,
    weights: str | os.PathLike[str],
    kind: str,
    classes: Sequence[str] | None,
) -> tuple[nn.Module, Any]:
    """(the network, its image processor; None where it has none)."""
    if kind == "name" and weights != "default":
        raise ValueError(
            f"{caller()}: no weights {str(weights)!r} for {name!r}; 'default', 'random' or a file."
        )
    auto = transformers.AutoModelForImageClassification
    options: dict[str, Any] = {"trust_remote_code": False}
    if classes is not None:
        options["num_labels"] = len(classes)
    try:
        config = transformers.AutoConfig.from_pretrained(rest, **options)
    except Exception as err:  # whatever its hub and its cache raise
        if _is_of_kind(err):
            raise _no_classifier(name, err) from err
        what = "settings, which say what the network is,"
        raise _unavailable(name, what, err, "or 'hf/' and a folder that has them") from err
    try:
        net = auto.from_config(config) if kind != "name" else auto.from_pretrained(rest).float()
    except Exception as err:
        if kind != "name" or _is_of_kind(err):
            raise _no_classifier(name, err) from err
        raise _unavailable(name, "weights", err, "weights='random' or a file") from err
    try:
        return net, transformers.AutoImageProcessor.from_pretrained(rest)
    except (OSError, ValueError, KeyError):
        return net, None


def _is_of_kind(err: Exception) -> bool:
    """True where the files are here, and transformers makes no classifier of images of them.

    What its hub says of files that are nowhere is an OSError, at times a ValueError too.
    """
    return isinstance(err, ValueError) and not isinstance(err, OSError)


def _no_classifier(name: str, err: Exception) -> ValueError:
    first = (str(err).splitlines() or [""])[0][:200]
    return ValueError(
        f"{caller()}: {name!r} does not classify images, or not as transformers knows it "
        f"({type(err).__name__}: {first}); a network that does. Pass any other itself."
    )


@contextmanager
def _bars(transformers: Any, progress: bool) -> Iterator[None]:
    """Without the bars of transformers, where none are asked for."""
    log = transformers.utils.logging
    hidden = not progress and log.is_progress_bar_enabled()
    if hidden:
        log.disable_progress_bar()
    try:
        yield
    finally:
        if hidden:
            log.enable_progress_bar()
