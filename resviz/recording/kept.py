"""Which tensors a recording keeps: reading `keep`, and storing clones under their keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.errors import closest, warn
from resviz.given import Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy.structure import has_blocks, may_be_block
from resviz.networks.anatomy.sums import FAMILY_NAMES
from resviz.networks.anatomy.survey import stage_ends, survey
from resviz.recording.statistics import Number, dense, read
from resviz.torch_private import modules_of

PARTS = ("branch", "shortcut", "sum", "grad_branch", "grad_shortcut", "grad_sum")
_MUCH = 2**30
_FEW = 4
# of one image of several: a network made for one batch size, or wrong images; the pass itself tells
_WRONG = (RuntimeError, ValueError, TypeError, LookupError, AssertionError)


class _Output(NamedTuple):
    """A clone of what a layer gave."""

    layer: str
    call: int
    clone: Tensor
    axes: str


@dataclass
class Kept:
    """The request and, as the pass goes on, the clones.

    Args:
        wanted: keys as given: ``"layer4"``, ``"layer1.0.add:branch"``, ``"layer4:grad"``.
        every_block: keep the stem's output and every block's too.
        every_addition: keep branch, shortcut and sum of every residual addition too.

    Attributes:
        found: the clones, by key and call.
        orders: which axis of each is which, by key and call.
        largest: magnitude in each that is kept in another dtype than its own, by key and call.
        stems: the layer before each of what may be the first block, by its path.
    """

    wanted: set[str]
    every_block: bool
    every_addition: bool = False
    dtype: torch.dtype | None = None
    device: torch.device | None = None  # during the pass
    final: torch.device | None = None  # after it
    found: dict[str, dict[int, Tensor]] = field(default_factory=lambda: defaultdict(dict))
    orders: dict[tuple[str, int], str] = field(default_factory=dict)
    largest: dict[tuple[str, int], Number] = field(default_factory=dict)
    stems: dict[str, _Output] = field(default_factory=dict)
    _last: _Output | None = None
    _in_stem: bool = True

    def end_on(self, device: str | torch.device | None, dtype: torch.dtype | None) -> None:
        """Where the clones end up; those for the CPU are moved after the pass, as that waits.

        Raises:
            TypeError, ValueError: `dtype` is none of torch's floating ones.
        """
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            wrong = ValueError if isinstance(dtype, torch.dtype) else TypeError
            raise wrong(
                f"{caller()}: keep_dtype {dtype!r}; a floating dtype of torch, such as "
                "torch.bfloat16, would be right."
            )
        self.final = torch.device(device) if device is not None else None
        self.device = self.final if self.final != torch.device("cpu") else None
        self.dtype = dtype

    def wants(self, key: str) -> bool:
        """True where `key` was asked for."""
        return key in self.wanted

    def wants_part(self, addition: str, part: str) -> bool:
        """True where "branch", "shortcut" or "sum" of that addition was asked for."""
        return self.every_addition or f"{addition}:{part}" in self.wanted

    def store(self, key: str, call: int, tensor: Tensor, axes: str = "") -> None:
        """A clone of `tensor`, in the device and dtype asked for, and which axis is which."""
        self.orders[key, call] = axes
        self.found[key][call] = self._clone(key, call, tensor)

    def _clone(self, key: str, call: int, tensor: Tensor) -> Tensor:
        value = dense(tensor.detach())
        dtype = self.dtype if self.dtype is not None and value.is_floating_point() else value.dtype
        if dtype != value.dtype and value.numel():
            self.largest[key, call] = torch.linalg.vector_norm(value, torch.inf)
        device = self.device if self.device is not None else value.device
        return value.to(device=device, dtype=dtype, copy=True)

    # ---- under "blocks"
    def saw_layer(self, layer: str, call: int, tensor: Tensor, axes: str) -> None:
        """What a layer gave, which is the stem where the first block comes next."""
        if self.every_block and self._in_stem:
            self._last = _Output(layer, call, self._clone(layer, call, tensor), axes)

    def may_enter_block(self, path: str) -> None:
        """What may be the first block starts to run."""
        if self._last is not None:
            self.stems.setdefault(path, self._last)

    def left_block(self, path: str) -> None:
        """A block has run: no layer behind the first one is the stem."""
        if path in self.stems:
            self._in_stem, self._last = False, None

    def settle_blocks(self, blocks: Iterable[str]) -> None:
        """The stem is kept; what looked like a block but is a part of one is not."""
        if not self.every_block:
            return
        first = next((path for path in self.stems if path in {*blocks}), None)
        asked = {*self.wanted, *blocks}
        found = {k: calls for k, calls in self.found.items() if ":" in k or k in asked}
        if first is not None and self.stems[first].layer not in found:
            layer, call, clone, axes = self.stems[first]
            found = {layer: {call: clone}, **found}
            self.orders[layer, call] = axes
        self.found = found
        self.stems.clear()

    def tensors(self) -> dict[str, Tensor]:
        """All kept tensors by key; ``path#call`` where a module ran several times."""
        return {
            name: tensor.to(self.final) if self.final is not None else tensor
            for name, key, call in self._names()
            for tensor in [self.found[key][call]]
        }

    def axes(self) -> dict[str, str]:
        """Which axis of each kept tensor is which, in letters, by the same keys."""
        return {name: self.orders.get((key, call), "") for name, key, call in self._names()}

    def _names(self) -> Iterator[tuple[str, str, int]]:
        """(name, key, call) of each."""
        for key, calls in self.found.items():
            for call in sorted(calls):
                yield key if len(calls) == 1 and call == 0 else f"{key}#{call}", key, call


def announce_size(net: nn.Module, inputs: Inputs, kept: Kept) -> None:
    """Warn before the pass where the kept tensors will take more than a GiB.

    Measured by a pass with one image, and only where there are several.
    """
    if inputs.count < _FEW or not (kept.wanted or kept.every_block or kept.every_addition):
        return
    size = _size_of_one(net, inputs, kept) * inputs.count
    if size > _MUCH:
        warn(
            f"{caller()}: the kept tensors take about {size / 2**30:.1f} GiB; fewer layers, fewer "
            "images or keep_dtype=torch.bfloat16 take less."
        )


def warn_of_range(kept: Kept) -> None:
    """Warn where the dtype asked for has no place for the numbers that are kept."""
    if kept.dtype is None:
        return
    range_ = torch.finfo(kept.dtype)
    keys = [(key, call) for key, call in kept.largest if call in kept.found.get(key, ())]
    for (key, _), largest in zip(keys, read([kept.largest[k] for k in keys]), strict=True):
        too_large = range_.max < largest < torch.inf
        if too_large or 0 < largest < range_.tiny:
            kept_as = "infinity" if too_large else "zeros, or of few digits"
            warn(
                f"{caller()}: {key!r} reaches {largest:.2g}, in {kept.dtype} {kept_as}; "
                "keep_dtype=torch.bfloat16, as small and with float32's range, would be right."
            )
            return


def want_stage_ends(net: nn.Module, inputs: Inputs, kept: Kept) -> None:
    """Under "blocks", of a network without any, keep the ends of its stages, found by one image."""
    if not kept.every_block or has_blocks(net):
        return
    with suppress(*_WRONG):
        kept.wanted.update(stage_ends(survey(net, inputs).table))


def _size_of_one(net: nn.Module, inputs: Inputs, kept: Kept) -> int:
    """Bytes of what is kept of the first image; 0 where it cannot be run by itself."""
    paths = {
        key.partition(":")[0].rpartition(".")[0] if _of_addition(key) else key.partition(":")[0]
        for key in kept.wanted
    }
    total = 0

    def counting(times: int) -> Callable[..., None]:
        def add(_: nn.Module, __: object, output: object) -> None:
            nonlocal total
            if isinstance(output, Tensor):
                width = kept.dtype.itemsize if kept.dtype is not None else output.element_size()
                total += output.numel() * width * times

        return add

    with left_as_found(net) as hooks:
        for path, module in modules_of(net).items():
            # a block's output has the size of its branch, its shortcut and its sum
            each = (kept.every_block + 3 * kept.every_addition) * may_be_block(path, module)
            times = each + (path in paths or path in kept.wanted)
            if times:
                hooks.forward(module, counting(times))
        try:
            inputs.one().copies().run(net)
        except _WRONG:
            return 0
    return total


def _of_addition(key: str) -> bool:
    """True for "layer1.0.add_1:branch": the name of an addition, or a part of it."""
    last = key.partition(":")[0].rpartition(".")[2]
    return last.partition("_")[0] in FAMILY_NAMES


def read_keep(net: nn.Module, keep: str | Iterable[str], gradients: bool) -> Kept:
    """What `keep` asks for: keys, and whether "blocks" and "additions" are among them.

    Raises:
        TypeError: a key that is no string.
        ValueError: no such layer, no such part of an addition, a gradient without gradients.
    """
    keys = [keep] if isinstance(keep, str) else list(keep)
    paths = {path for path in modules_of(net) if path}
    wanted = set()
    for key in keys:
        if not isinstance(key, str):
            raise TypeError(
                f"{caller()}: keep has a {type(key).__name__}; layer names are strings."
            )
        if key in ("blocks", "additions"):
            continue
        path, _, part = key.partition(":")
        _check_key(key, path, part, paths, net, gradients)
        wanted.add(key)
    return Kept(wanted, "blocks" in keys, "additions" in keys)


def _check_key(
    key: str, path: str, part: str, paths: set[str], net: nn.Module, gradients: bool
) -> None:
    if part in PARTS:
        if not _of_addition(path):
            raise ValueError(
                f"{caller()}: {key!r}; {part!r} is a part of an addition: 'layer1.0.add:{part}'."
            )
    elif part not in ("", "grad"):
        raise ValueError(f"{caller()}: {key!r}; after ':' one of grad, {', '.join(PARTS)}.")
    elif path not in paths:
        raise ValueError(
            f"{caller()}: no layer {path!r} in {type(net).__name__}; closest: "
            f"{closest(path, paths)}. See rv.list_layers(net)."
        )
    if part.startswith("grad") and not gradients:
        raise ValueError(
            f"{caller()}: {key!r} with gradients=False; gradients=True would be right."
        )
