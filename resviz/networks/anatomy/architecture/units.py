"""The units of `architecture`: which modules are drawn whole, their kinds, and their labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from resviz.networks.anatomy import structure
from resviz.networks.anatomy.architecture.labels import ATTENTION, chain, size_of
from resviz.networks.anatomy.architecture.passage import Call, Passage, Step, follows


@dataclass(eq=False)
class Unit:
    """A row to be: its call, its layers, and what was found out about it."""

    path: str
    call: Call
    steps: list[Step]
    whole: bool  # a module with several layers or an addition of its own
    kind: str = ""
    parameters: int = 0
    flops: int = 0
    shortcuts: list[tuple[str, str]] = field(default_factory=list)  # (kind, from)

    @property
    def pool(self) -> bool:
        """True where nothing in it has weights."""
        return not any(step.weighted for step in self.steps)

    @property
    def size(self) -> str:
        """Positions of its output."""
        last = [s.function for s in self.steps if s.function not in ATTENTION]
        return size_of(self.call.shape, last[-1] if last else "", self.call.axes)


def units_of(net: nn.Module, passage: Passage) -> list[Unit]:
    """The units of a pass, in order of execution; without parameters, multiply-adds, shortcuts."""
    modules = dict(net.named_modules())
    owners = {addition.owner for addition in passage.flow.residual if addition.owner}
    chosen = _chosen(modules, passage.steps, owners)
    found: dict[Any, Unit] = {}
    numbers: Counter[tuple[str, int, str]] = Counter()
    for step in passage.steps:
        around = next((call for call in step.stack if call.path in chosen), None)
        if around is None and step.function in ATTENTION:
            continue
        inner = step.stack[-1] if step.stack else None
        call = around or (inner if inner is not None and inner.leaf else None)
        path = call.path if call is not None else ""
        if call is None:
            call = _function_call(step, inner, numbers)
            path = call.path
        unit = found.setdefault(call, Unit(path, call, [], False))
        unit.steps.append(step)
    units = [unit for unit in found.values() if not (unit.path in chosen and unit.pool)]
    for unit in units:
        weighted = sum(step.weighted for step in unit.steps)
        unit.whole = unit.path in owners or (unit.path in chosen and weighted > 1)
    _add_kinds(units)
    return units


def _function_call(step: Step, inner: Call | None, numbers: Counter[tuple[str, int, str]]) -> Call:
    """A function in the forward of a container, named as torchvision names it: "conv2d_1"."""
    where, number = (inner.path, inner.call) if inner is not None else ("", 0)
    count = numbers[where, number, step.function]
    numbers[where, number, step.function] += 1
    name = step.function if count == 0 else f"{step.function}_{count}"
    path = f"{where}.{name}" if where else name
    kind = step.function
    return Call(path, number, True, kind, step.flops, step.before, step.shape, step.node.depth)


def _chosen(modules: dict[str, nn.Module], steps: list[Step], owners: set[str]) -> set[str]:
    """Paths of the modules that are drawn whole, outermost first.

    Those that add a shortcut, unless they hold several others that do; else those that compute
    something of their own, unless they hold several others with two or more layers (DenseNet's
    blocks hold its layers), or most of the network.
    """
    layers: Counter[str] = Counter()
    for step in steps:
        for path in {call.path for call in step.stack if step.weighted}:
            layers[path] += 1
    whole = sum(step.weighted for step in steps)
    able = {path for path in layers if structure.may_be_block(path, modules[path])}
    several = {path for path in able if layers[path] > 1}
    chosen: set[str] = set()
    for path in sorted(able | owners, key=lambda path: path.count(".")):
        if any(structure.inside(path, outer) for outer in chosen):
            continue
        inner = {owner for owner in owners if structure.inside(owner, path)}
        if path in owners:
            wrapper = len(inner) > 1
        else:
            parts = {part for part in several if structure.inside(part, path)}
            parts = {p for p in parts if not any(structure.inside(p, other) for other in parts)}
            most = layers[path] > max(4, whole / 2)
            wrapper = bool(inner) or len(parts) > 1 or most
        if not wrapper:
            chosen.add(path)
    return chosen


def _add_kinds(units: list[Unit]) -> None:
    blocks = [place for place, unit in enumerate(units) if unit.whole]
    # without blocks the head is what comes after the last map; in a network of vectors, the end
    flat = next((i for i in range(len(units), 0, -1) if units[i - 1].size), len(units) - 1)
    first, last = (blocks[0], blocks[-1]) if blocks else (0, max(flat - 1, 0))
    for place, unit in enumerate(units):
        kind = "stem" if place < first else "head" if place > last else "layer"
        unit.kind = "block" if unit.whole else "pool" if unit.pool else kind


def label_of(unit: Unit, projections: set[str]) -> str:
    """The words of a unit; a projection shortcut is no part of its branch."""
    steps = [s for s in unit.steps if not (s.stack and s.stack[-1].path in projections)]
    if not unit.whole:
        main = [step for step in steps if step.weighted] or steps or unit.steps
        return chain([(step.alone, True) for step in main])
    gates = [step for step in steps if _in_gate(step, unit)]
    kept = [step for step in steps if step not in gates or step.weighted]
    by_node = {step.node.index: step for step in kept}
    parts: list[tuple[str, bool]] = []
    for number, step in enumerate(kept):
        previous = kept[number - 1] if number else None
        if step in gates and previous in gates:
            continue  # squeeze and excite are one
        text = f"squeeze {step.shape[1]}" if step in gates else step.part
        parts.append((text, previous is None or follows(step, previous, by_node)))
    return chain(parts)


def _in_gate(step: Step, unit: Unit) -> bool:
    """True where a step works on pooled maps that only scale those of the unit."""
    maps = len(unit.call.shape) > 3 and set(unit.call.shape[2:]) != {1}
    return maps and len(step.shape) > 3 and set(step.shape[2:]) == {1}
