"""Copies of networks that run by themselves, also where a ``forward`` was replaced."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from torch import Tensor, nn

from resviz.torch_private import hooks_of, modules_of

_TORCHS = frozenset(vars(nn.Module()))  # names; a forward of its own is none


def copied(net: nn.Module) -> nn.Module:
    """A deep copy, whose forwards, hooks and functions run the copy.

    ``copy.deepcopy`` takes functions as they are: in its copy of a network after
    ``forward = net.forward; net.forward = lambda x: forward(x / 255)`` the original would run.
    Weights that hooks of old-style ``weight_norm`` and pruning compute anew are copied as they are.

    Raises:
        Exception: whatever ``copy.deepcopy`` raises.

    Example:
        >>> import torch
        >>> net = nn.Linear(1, 1)
        >>> forward = net.forward
        >>> net.forward = lambda x: forward(x) + 1
        >>> twin = copied(net)
        >>> _ = nn.init.zeros_(twin.weight), nn.init.zeros_(twin.bias)
        >>> twin(torch.ones(1, 1)).item()
        1.0
    """
    held = (each for module in modules_of(net).values() for each in vars(module).values())
    computed = [each for each in held if isinstance(each, Tensor) and not each.is_leaf]
    made: dict[int, Any] = {id(each): each.detach().clone() for each in computed}
    twin = copy.deepcopy(net, made)
    for module in modules_of(twin).values():
        own = {name: each for name, each in vars(module).items() if name not in _TORCHS}
        _rebind([own, *hooks_of(module)], made, set())
        vars(module).update(own)
    return twin


def lasting(net: Any) -> Any:
    """The network; of one inside ``drop_blocks`` or ``scale_branches`` a copy.

    A view outlives that block, after which the network is another one.
    """
    return copied(net) if getattr(net, "resviz_changes", ()) else net


def _rebind(held: Any, made: dict[int, Any], seen: set[int]) -> None:
    """Put functions about copies in place of others, in dictionaries and lists and those inside."""
    if not isinstance(held, dict | list) or id(held) in seen:
        return
    seen.add(id(held))
    for key, each in list(held.items() if isinstance(held, dict) else enumerate(held)):
        _rebind(each, made, seen)
        about = _about_copies(each, made)
        if about is not each:
            held[key] = about


def _about_copies(value: Any, made: dict[int, Any]) -> Any:
    """A function with copies in place of the originals in it; `made`: copies by the id of those."""
    if not _reaches(value, made, set()):
        return value
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, partial):
        args = [_about_copies(each, made) for each in value.args]
        named = {name: _about_copies(each, made) for name, each in value.keywords.items()}
        return partial(_about_copies(value.func, made), *args, **named)
    if isinstance(value, MethodType):
        return MethodType(value.__func__, made[id(value.__self__)])
    return _function(value, made)


def _function(function: FunctionType, made: dict[int, Any]) -> FunctionType:
    changed = {name: _about_copies(each, made) for name, each in _globals_in(function).items()}
    cells = tuple(CellType() for _ in function.__closure__ or ()) or None
    known = {**function.__globals__, **changed} if changed else function.__globals__
    twin = FunctionType(function.__code__, known, function.__name__, None, cells)
    made[id(function)] = twin  # which may hold itself
    for cell, each in zip(cells or (), _contents(function), strict=False):
        cell.cell_contents = _about_copies(each, made)
    defaults, named = function.__defaults__ or (), function.__kwdefaults__ or {}
    twin.__defaults__ = tuple(_about_copies(each, made) for each in defaults) or None
    twin.__kwdefaults__ = {name: _about_copies(each, made) for name, each in named.items()}
    vars(twin).update({name: _about_copies(each, made) for name, each in vars(function).items()})
    return twin


def _reaches(value: Any, made: dict[int, Any], seen: set[int]) -> bool:
    """Whether something that was copied is called or read in a function."""
    if id(value) in made:
        return True
    if id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, MethodType):
        return id(value.__self__) in made
    if isinstance(value, partial):
        held: list[Any] = [value.func, *value.args, *value.keywords.values()]
    elif isinstance(value, FunctionType):
        held = [*_contents(value), *(value.__defaults__ or ()), *vars(value).values()]
        held += [*(value.__kwdefaults__ or {}).values(), *_globals_in(value).values()]
    else:
        return False
    return any(_reaches(each, made, seen) for each in held)


def _contents(function: FunctionType) -> list[Any]:
    """What is in the cells of a closure; None for an empty one."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            found.append(None)
    return found


def _globals_in(function: FunctionType) -> dict[str, Any]:
    """The global names that a function reads, but functions of other files."""
    known = function.__globals__
    found = {name: known[name] for name in _names(function.__code__) if name in known}
    return {
        name: each
        for name, each in found.items()
        if not isinstance(each, FunctionType) or each.__globals__ is known
    }


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)
