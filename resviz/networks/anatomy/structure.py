"""Names for the parts of a network: which modules are blocks, which stage a layer belongs to."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from resviz.torch_private import children_of, modules_of

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_SHRUNK = 0.6  # a new stage is about half as large; attention windows and bias tables are not
_STAGE = re.compile(r"^(layer|stage|denseblock|block)_?\d+$")


def is_leaf(module: nn.Module) -> bool:
    """True for a module without children; what its weight is computed with is none."""
    if next(module.children(), None) is None:
        return True
    return len(children_of(module)) == 1 and is_parametrized(module)


def makes_weights(path: str) -> bool:
    """True below ``parametrizations``, as of weight_norm: what computes weights."""
    return ".parametrizations." in f".{path}."


def owner_of(parameter: str) -> str:
    """The layer that a parameter belongs to, by its name; also where it only makes its weight."""
    before, made, _ = f".{parameter}".partition(".parametrizations.")
    return before[1:] if made else parameter.rpartition(".")[0]


def may_be_block(path: str, module: nn.Module) -> bool:
    """True for a module that computes something of its own out of several children."""
    return bool(path) and not is_leaf(module) and not _only_contains(module)


def has_blocks(net: nn.Module) -> bool:
    """Whether any of its modules may be a block: VGG and AlexNet have none."""
    return any(may_be_block(path, module) for path, module in modules_of(net).items())


def _only_contains(module: nn.Module) -> bool:
    """True for a Sequential and its like, but not for one with a ``forward`` of its own."""
    return any(isinstance(module, c) and type(module).forward is c.forward for c in _CONTAINERS)


def blocks(candidates: Iterable[str], owners: Iterable[str]) -> list[str]:
    """The blocks: owners of a residual addition, and, beside those, the outermost candidates.

    A module that holds an owner deeper inside is a wrapper and no block; neither is a part of
    another block.
    """
    owning = {path for path in owners if path}
    chosen = {
        path
        for path in candidates
        if path not in owning
        and not any(inside(owner, path) for owner in owning)
        and not any(inside(path, owner) for owner in owning)
    }
    outermost = {p for p in chosen if not any(inside(p, other) for other in chosen)}
    return sorted(owning | outermost)


def inside(path: str, outer: str) -> bool:
    """True where `path` lies below `outer`."""
    return path.startswith(f"{outer}.")


def block_of(path: str, block_paths: Container[str]) -> str:
    """The innermost block that `path` is or lies in, "" for none."""
    while path and path not in block_paths:
        path = path.rpartition(".")[0]
    return path


def stages(
    paths: Sequence[str], shapes: Sequence[tuple[int, ...]], axes: Sequence[str] = ()
) -> list[str]:
    """The stage of each layer, in order of execution.

    ``layer1`` to ``layer4``, ``stage1``, ``denseblock1`` by name where the network has such names,
    with ``stem`` before the first and ``head`` after the last; else the resolution of the output
    ("56x56"), which is how the papers' tables divide a network; else the first part of the path.
    `axes` say which axis of each output is which, where that is known: "NCHW", "NHWC".
    """
    named = [_named_stage(path) for path in paths]
    if any(named):
        first = next(i for i, name in enumerate(named) if name)
        last = max(i for i, name in enumerate(named) if name)
        result, current = [], "stem"
        for i, name in enumerate(named):
            current = name or (current if first <= i <= last else "stem" if i < first else "head")
            result.append(current)
        return result
    return _by_resolution(paths, shapes, axes or [""] * len(paths))


def _named_stage(path: str) -> str:
    parts = path.split(".")
    for i, part in enumerate(parts[:-1]):
        if _STAGE.match(part):
            return ".".join(parts[: i + 1])
    return path if _STAGE.match(parts[-1]) else ""


def _by_resolution(
    paths: Sequence[str], shapes: Sequence[tuple[int, ...]], axes: Sequence[str]
) -> list[str]:
    sizes = [_size(*each) for each in zip(shapes, axes, strict=True)]
    if not any(sizes):
        return [path.split(".")[0] for path in paths]
    last = max(i for i, size in enumerate(sizes) if size)
    result, current = [], next(size for size in sizes if size)
    for i, (path, shape, size) in enumerate(zip(paths, shapes, sizes, strict=True)):
        current = size if 0 < size <= _SHRUNK * current else current
        after = path.split(".")[0] if len(shape) == 3 else "head"  # tokens after patches: encoder
        result.append(f"{current}x{current}" if i <= last else after)
    return result


def _size(shape: tuple[int, ...], axes: str) -> int:
    """Height of a square map, (N, C, H, W) or (N, H, W, C); 0 for all else, pooled maps too."""
    if len(shape) != 4:
        return 0
    if "H" in axes and "W" in axes:
        height, width = shape[axes.index("H")], shape[axes.index("W")]
        return height if height == width > 1 else 0
    channels_first, channels_last = shape[2] == shape[3] > 1, shape[1] == shape[2] > 1
    return shape[2] if channels_first or channels_last else 0
