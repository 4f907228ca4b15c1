"""Names for the parts of a network: which modules are blocks, which stage a layer belongs to."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from resviz.torch_private import children_of, modules_of

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_SHRUNK = 0.6  # a new stage is about half as large; attention windows and bias tables are not
_Size = tuple[int, int]  # height and width
_STAGE = re.compile(r"^(layer|stage|denseblock|block)_?\d+$")


def is_leaf(module: nn.Module) -> bool:
    """True for a module without children; what its weight is computed with is none.

    ``nn.MultiheadAttention`` has one in name, which only holds a weight and never runs.
    """
    if next(module.children(), None) is None or isinstance(module, nn.MultiheadAttention):
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
    paths: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    axes: Sequence[str] = (),
    residual: Iterable[str] = (),
) -> list[str]:
    """The stage of each layer, in order of execution.

    ``layer1`` to ``layer4``, ``stage1``, ``denseblock1`` by name where the network has such names,
    with ``stem`` before the first and ``head`` after the last; else the resolution of the output
    ("56x56"), which is how the papers' tables divide a network; else the first part of the path.
    `axes` say which axis of each output is which, where that is known: "NCHW", "NHWC". Where the
    names are those of `residual` blocks, ``block1`` to ``block9``, they are no stages.
    """
    named = [_named_stage(path) for path in paths]
    if _are_stages(set(filter(None, named)), set(residual)):
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


def _are_stages(named: set[str], residual: set[str]) -> bool:
    """Whether what has such names holds blocks: a block may be called so, or be all of a stage."""
    stages = named - residual
    return stages == named != set() or any(inside(b, stage) for b in residual for stage in stages)


def _by_resolution(
    paths: Sequence[str], shapes: Sequence[tuple[int, ...]], axes: Sequence[str]
) -> list[str]:
    sizes = [_size(*each) for each in zip(shapes, axes, strict=True)]
    known = [i for i, size in enumerate(sizes) if size is not None]
    if not known:
        return [path.split(".")[0] for path in paths]
    result, current = [], sizes[known[0]]
    for i, (path, shape, size) in enumerate(zip(paths, shapes, sizes, strict=True)):
        said = "H" in axes[i]  # else it may be a matrix of attention, which grows out of nothing
        current = size if _is_another(size, current, said) else current
        after = path.split(".")[0] if len(shape) == 3 else "head"  # tokens after patches: encoder
        result.append("{}x{}".format(*current) if current and i <= known[-1] else after)
    return result


def _is_another(size: _Size | None, current: _Size | None, grows: bool) -> bool:
    """A stage is about half as large as the one before, or twice where it `grows`."""
    if size is None or current is None:
        return False
    shares = [one / other for one, other in zip(size, current, strict=True)]
    smaller = min(shares) <= _SHRUNK and max(shares) <= 1
    return smaller or (grows and max(shares) >= 1 / _SHRUNK and min(shares) >= 1)


def _size(shape: tuple[int, ...], axes: str) -> _Size | None:
    """Height and width of a map, (N, C, H, W) or (N, H, W, C); None for all else, pooled maps too.

    Where nobody knows the axes, of a square one.
    """
    if len(shape) != 4:
        return None
    if "H" in axes and "W" in axes:
        size = shape[axes.index("H")], shape[axes.index("W")]
        return size if max(size) > 1 else None
    channels_first, channels_last = shape[2] == shape[3] > 1, shape[1] == shape[2] > 1
    return (shape[2], shape[2]) if channels_first or channels_last else None
