"""Weights files: read without running code from them, checked key by key, then copied in."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.serialization import (
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    safe_globals,
)

from resviz import arguments
from resviz.arguments import caller
from resviz.errors import warn
from resviz.torch_private import is_of_more_than_weights, with_versions_of

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
PARALLEL = "module."  # DataParallel's, which says nothing about the network
COUNTERS = "num_batches_tracked"
SHOWN = 3


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a weights file, by key, on the CPU.

    `.safetensors`, or whatever `torch.save` wrote (`.pth`, `.pt`, `.th`, ...), read with
    `weights_only=True`. A dictionary around the weights ("state_dict", "model", "net") is
    opened; entries beside them (epoch, accuracy, also as NumPy numbers) are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds code, or holds no weights.
    """
    file = arguments.path("weights", path)
    if not file.is_file():
        raise FileNotFoundError(f"{caller()}: no weights file {os.fspath(path)!r}. Check the path.")
    try:
        if file.suffix.lower() == ".safetensors":
            return dict(load_file(file))
        with safe_globals(_numbers_of_numpy()):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as err:  # damaged bytes can raise anything in the readers
        raise ValueError(_unreadable(file, err)) from err
    return _unwrapped(file, content)


def _numbers_of_numpy() -> list[Any]:
    """What NumPy's numbers and arrays of them are pickled as: data, and no code to run.

    Those that the user allowed already are left out: torch takes them all off the list afterwards.
    """
    number, array = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OV"}
    allowed: list[Any] = [np.dtype, np.ndarray, number, array, *kinds]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # before NumPy 2, and since
        allowed += [(number, f"{module}.scalar"), (array, f"{module}._reconstruct")]
    there = get_safe_globals()
    return [each for each in allowed if each not in there]


def _unreadable(file: pathlib.Path, err: Exception) -> str:
    if is_of_more_than_weights(err):
        names = _names_of_code(file)
        what = f": {', '.join(names[:SHOWN])}" if names else ""
        way = (
            f" Or, where you trust it: with torch.serialization.safe_globals([{', '.join(names)}])"
            " around this call."
            if 0 < len(names) <= SHOWN
            else ""
        )
        return (
            f"{caller()}: {file.name!r} holds more than weights (Python objects or code{what}), "
            "which resviz does not run; a state_dict, or .safetensors. Save net.state_dict() "
            f"instead of the network, where you trust its origin.{way}"
        )
    first = (str(err).splitlines() or [type(err).__name__])[0]
    return (
        f"{caller()}: {file.name!r} is damaged or no weights file ({first[:200]}); a state_dict "
        "saved by torch.save, or .safetensors. Fetch or save it again."
    )


def _names_of_code(file: pathlib.Path) -> list[str]:
    """The classes and functions that a file asks for."""
    try:
        with safe_globals(_numbers_of_numpy()):
            return sorted(get_unsafe_globals_in_checkpoint(file))
    except (OSError, RuntimeError, ValueError):  # not in torch's own form, or TorchScript
        return []


def _unwrapped(file: pathlib.Path, content: Any) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if isinstance(content, Mapping) and not _tensors(content):
        inside = [value for value in content.values() if isinstance(value, Mapping)]
        holding = [value for value in inside if _tensors(value)]
        content = holding[0] if len(holding) == 1 else content
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{caller()}: {file.name!r} holds a {type(content).__name__}; a dictionary of tensors "
            "(a state_dict). Save net.state_dict()."
        )
    state = _tensors(content)
    if not state:
        names = ", ".join(repr(key) for key in list(content)[:SHOWN]) or "nothing"
        raise ValueError(
            f"{caller()}: {file.name!r} holds no tensors but {names}; a state_dict, bare or under "
            f"one of {', '.join(repr(key) for key in WRAPPERS)}."
        )
    return state


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}


def fill(net: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Copy `state` into `net`, all of it or nothing.

    A prefix that makes the keys fit ("module.", "model.", "net.backbone.") is taken off, with a
    warning that says so, and what lies beside it; `num_batches_tracked` may be missing. Values are
    cast to the dtype of the network.

    Args:
        net: any network; changed in place.
        state: as :func:`read_state` gives it.
        name: what to call the weights in the message.

    Raises:
        ValueError: keys are missing, unexpected or of another shape; the first of each are listed.
            Or they fit under several prefixes, hold whole or complex numbers for weights, or two
            values for one tensor.
    """
    own = net.state_dict()
    prefix, beside = _prefix(state, own, name), []
    if prefix:
        beside = [key for key in state if not key.startswith(prefix)]
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    missing = [key for key in own if key not in state and not key.endswith(COUNTERS)]
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
    _check_floating(net, state, name)
    _check_tied(net, state, name)
    net.load_state_dict(with_versions_of(state, own), strict=False)
    if beside or prefix.replace(PARALLEL, ""):
        left = f"; {_listed('left out', beside)}" if beside else ""
        warn(f"{caller()}: keys of {name!r} begin with {prefix!r}, which was taken off{left}.")


def _check_floating(net: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Raise ValueError for int8 and the like, whose scales lie elsewhere, and complex numbers."""
    floating = [k for k, p in net.named_parameters() if p.is_floating_point() and k in state]
    split = [key for key in floating if state[key].is_complex()]
    if split:
        raise ValueError(
            f"{caller()}: the weights {name!r} hold {state[split[0]].dtype} for {split[0]!r} and "
            f"{len(split) - 1} others; real numbers would be right, as the imaginary part would be "
            "lost. Make the network complex, or save what it is to have."
        )
    whole = [key for key in floating if not state[key].is_floating_point()]
    if whole:
        raise ValueError(
            f"{caller()}: the weights {name!r} hold {state[whole[0]].dtype} for {whole[0]!r} and "
            f"{len(whole) - 1} others; floating point would be right, as weights of whole numbers "
            "mean nothing without their scales. Save them dequantised."
        )


def _check_tied(net: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Raise ValueError for two values of what is one parameter, of which the last would win."""
    first: dict[nn.Parameter, str] = {}
    for key, parameter in net.named_parameters(remove_duplicate=False):
        other = first.setdefault(parameter, key) if key in state else key
        if other == key:
            continue
        values = state[key].to(parameter.dtype), state[other].to(parameter.dtype)
        if not torch.allclose(*values, rtol=0, atol=0, equal_nan=True):
            raise ValueError(
                f"{caller()}: the weights {name!r} hold two values for {other!r} and {key!r}, one "
                f"parameter of this {type(net).__name__}; one value. Nothing was loaded. Untie "
                "them in the network, or save what both are to be."
            )


def _prefix(state: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str) -> str:
    """What stands before each key; "" where the keys fit as they are, or nothing makes them fit."""
    needed = [key for key in own if not key.endswith(COUNTERS)]
    if not needed or all(key in state for key in needed):
        return ""
    before = [key.removesuffix(needed[0]) for key in state if key.endswith(f".{needed[0]}")]
    fitting = [each for each in before if all(each + key in state for key in needed)]
    shaped = [
        each for each in fitting if all(state[each + key].shape == own[key].shape for key in needed)
    ]
    found = shaped or fitting
    if len(found) > 1:
        raise ValueError(
            f"{caller()}: {name!r} holds weights that fit under {len(found)} prefixes: "
            f"{', '.join(map(repr, found[:SHOWN]))}; under one. Save those that are meant by "
            "themselves."
        )
    return found[0] if found else _closest_prefix(state, own)


def _closest_prefix(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """The part of what all keys have in common without which most of them are the network's."""
    parts = os.path.commonprefix(list(state)).split(".")[:-1]
    prefixes = ["".join(f"{part}." for part in parts[:count]) for count in range(len(parts) + 1)]
    return max(prefixes, key=lambda each: sum(key.removeprefix(each) in own for key in state))


def _listed(what: str, keys: list[str]) -> str:
    more = f", ... ({len(keys)} in all)" if len(keys) > SHOWN else ""
    return f"{what}: {', '.join(keys[:SHOWN])}{more}"
