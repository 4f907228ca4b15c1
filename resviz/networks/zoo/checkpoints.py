"""Weights files: read without running code from them, checked key by key, then copied in."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.torch_private import ORIGINAL, is_of_more_than_weights, with_versions_of

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
PREFIXES = ("module.", f"{ORIGINAL}.")
SHOWN = 3


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a weights file, by key, on the CPU.

    `.safetensors`, or whatever `torch.save` wrote (`.pth`, `.pt`, `.th`, ...), read with
    `weights_only=True`. A dictionary around the weights ("state_dict", "model", "net") is
    opened; entries beside them (epoch, accuracy) are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds code, or holds no weights.
    """
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"{caller()}: no weights file {os.fspath(path)!r}. Check the path.")
    try:
        if file.suffix.lower() == ".safetensors":
            return dict(load_file(file))
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as err:  # damaged bytes can raise anything in the readers
        raise ValueError(_unreadable(file, err)) from err
    return _unwrapped(file, content)


def _unreadable(file: pathlib.Path, err: Exception) -> str:
    if is_of_more_than_weights(err):
        return (
            f"{caller()}: {file.name!r} holds more than weights (Python objects or code), which "
            "resviz does not run; a state_dict, or .safetensors. Save net.state_dict() instead of "
            "the network, where you trust its origin."
        )
    first = (str(err).splitlines() or [type(err).__name__])[0]
    return (
        f"{caller()}: {file.name!r} is damaged or no weights file ({first[:200]}); a state_dict "
        "saved by torch.save, or .safetensors. Fetch or save it again."
    )


def _unwrapped(file: pathlib.Path, content: Any) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{caller()}: {file.name!r} holds a {type(content).__name__}; a dictionary of tensors "
            "(a state_dict). Save net.state_dict()."
        )
    state = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not state:
        names = ", ".join(repr(key) for key in list(content)[:SHOWN]) or "nothing"
        raise ValueError(
            f"{caller()}: {file.name!r} holds no tensors but {names}; a state_dict, bare or under "
            f"one of {', '.join(repr(key) for key in WRAPPERS)}."
        )
    return state


def fill(net: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Copy `state` into `net`, all of it or nothing.

    A prefix that wrappers left ("module.") is taken off, and `num_batches_tracked` may be
    missing. Values are cast to the dtype of the network.

    Args:
        net: any network; changed in place.
        state: as :func:`read_state` gives it.
        name: what to call the weights in the message.

    Raises:
        ValueError: keys are missing, unexpected or of another shape; the first of each are listed.
    """
    own = net.state_dict()
    state = _without_prefix(state, own)
    counters = "num_batches_tracked"
    missing = [key for key in own if key not in state and not key.endswith(counters)]
    unexpected = [key for key in state if key not in own]
    misshapen = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if missing or unexpected or misshapen:
        parts = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
        lines = [_listed(what, keys) for what, keys in parts.items() if keys]
        raise ValueError(
            f"{caller()}: the weights {name!r} do not fit this {type(net).__name__}; the same "
            "keys and shapes.\n  " + "\n  ".join(lines) + "\nNothing was loaded. "
            "A network with another head: pass classes=[...], or the network itself."
        )
    net.load_state_dict(with_versions_of(state, own), strict=False)


def _without_prefix(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    stripped = dict(state)
    for prefix in PREFIXES * 2:
        wrapped = all(key.startswith(prefix) for key in stripped)
        if wrapped and not any(key.startswith(prefix) for key in own):
            stripped = {key.removeprefix(prefix): value for key, value in stripped.items()}
    return stripped


def _listed(what: str, keys: list[str]) -> str:
    more = f", ... ({len(keys)} in all)" if len(keys) > SHOWN else ""
    return f"{what}: {', '.join(keys[:SHOWN])}{more}"
