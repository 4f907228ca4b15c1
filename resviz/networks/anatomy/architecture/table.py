"""`architecture`: a network as the papers draw it, a row per block or layer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
from torch import nn

from resviz import arguments
from resviz.arguments import caller, public, whole
from resviz.given import Images, Inputs
from resviz.networks.anatomy import structure
from resviz.networks.anatomy.architecture.passage import Passage, concatenated, watch
from resviz.networks.anatomy.architecture.units import Unit, label_of, units_of
from resviz.networks.anatomy.survey import probe
from resviz.networks.inputs import check_hookable
from resviz.provenance import preset_or_none, provenance

COLUMNS = (
    *("unit", "call", "type", "kind", "label", "stage", "depth", "shape", "size"),
    *("parameters", "flops", "shortcut", "shortcuts", "shortcut_from"),
)
COUNTED = "multiply-adds of convolutions, matrix products and attention"


@public
def architecture(
    net: nn.Module,
    images: Images | None = None,
    *,
    size: int | None = None,
    name: str | None = None,
) -> pd.DataFrame:
    """A network as the papers draw it: a row per block or layer, with shape, size and shortcuts.

    As Fig. 3 and Table 1 of He et al. 2015 (https://arxiv.org/abs/1512.03385) show VGG-19, plain
    and residual networks. Found by running the network once on one image, without gradients; it is
    left as it was. Nothing depends on names: a block is a module that computes something of its own
    out of several layers, shortcuts are found in the data flow.

    Args:
        net: any network.
        images: what to run it on; one is enough. None: zeros of the size its preset says.
        size: side of those zeros in pixels, instead of the preset's; enough for a network without
            a preset, whose first convolution says how many channels they have.
        name: of the network, for figures; None: its preset's, or its class.

    Returns:
        A row per unit, in order of execution: ``unit`` (dotted path of the module; of a function
        that a container calls by itself, its name), ``call`` (how often it had run before),
        ``type``, ``kind`` ("stem", "block", "layer", "pool", "head"), ``label``
        ("7×7 conv, 64, /2"; parts of a block joined by → in sequence, by | side by side),
        ``stage`` and ``depth`` as in :func:`resviz.list_layers`, ``shape`` of the output, ``size``
        (its positions: "56×56", "197 tokens", "" for one), ``parameters``, ``flops``
        (multiply-adds for one image, as the paper counts: a product and its addition are one;
        biases, norms, activations, pooling, additions and recurrent layers are not counted),
        ``shortcut`` ("", "identity", "projection", "padded", "scaled", "concatenation"; all of
        them joined by " + " where a unit has different ones), ``shortcuts`` (how many: 2 in a ViT
        block; of a concatenation, how many earlier features it joins), ``shortcut_from`` (the unit
        where it begins, "input" for the images; joined by " + " for several, the nearest for a
        concatenation).

        Parameters outside all units, such as a norm's between them, count to the unit before.
        ``attrs`` hold ``parameters`` and ``flops`` of the whole network, and ``not_run``: modules
        whose parameters took no part, such as auxiliary heads, with their number.

    Raises:
        NotTraceable: a scripted or compiled network, in which hooks do not fire.
        TypeError: `net` is no network, or `images` no tensor.
        ValueError: no images, and no preset that says what they would look like; a network in
            which no layer has weights.

    Example:
        >>> import torch
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = architecture(cifar_resnet(20), torch.zeros(1, 3, 32, 32))
        >>> table["label"].tolist()[:2], table["shortcut"].tolist()[3:5]
        (['3×3 conv, 16', '3×3, 16 → 3×3, 16'], ['identity', 'padded'])
    """
    check_hookable(net)
    _check_settings(size, name)
    inputs = _inputs(net, images, size)
    passage = watch(net, inputs)
    units = units_of(net, passage)
    if not any(step.weighted for unit in units for step in unit.steps):
        raise ValueError(
            f"{caller()}: no layer with weights ran in {type(net).__name__}; a network with "
            "convolutions or linear layers would be right."
        )
    _add_shortcuts(units, passage)
    not_run = _add_parameters(units, net, passage)
    _add_flops(units, passage)
    table = pd.DataFrame(_rows(units, passage.flow.projections), columns=list(COLUMNS))
    about = provenance(net, inputs, preset_or_none(net, None))
    del about["classes"]
    about["network"] = name or about["network"]
    about["parameters"] = int(table["parameters"].sum()) + sum(not_run.values())
    about |= {"flops": passage.flops, "counted": COUNTED, "not_run": not_run}
    table.attrs.update(about)
    return table


def _check_settings(size: object, name: object) -> None:
    if size is not None:
        whole("size", size, least=1)
    if name is not None:
        arguments.name("name", name)


def _inputs(net: nn.Module, images: Images | None, size: int | None) -> Inputs:
    first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    if images is not None or size is None or first is None or _has_preset(net):
        return probe(net, images, size)
    return Inputs.of(first.weight.new_zeros(1, first.in_channels, size, size))


def _has_preset(net: nn.Module) -> bool:
    return preset_or_none(net, None) is not None


def _unit_at(units: list[Unit], node: int) -> Unit | None:
    """The unit in which, or after which, a tensor was made; None before the first."""
    started = [unit for unit in units if unit.call.node < node]
    return started[-1] if started else None


def _add_shortcuts(units: list[Unit], passage: Passage) -> None:
    found = []
    for addition in passage.flow.residual:
        end = max(addition.branch.index, addition.shortcut.index)
        found.append((end, addition.kind, addition.root.index))
    for new, earlier in concatenated(passage):
        found += [(new.index, "concatenation", n.index) for n in reversed(earlier)]
    for end, kind, begin in sorted(found, key=lambda each: each[0]):
        unit, origin = _unit_at(units, end), _unit_at(units, begin)
        if unit is not None:
            unit.shortcuts.append((kind, origin.path if origin is not None else "input"))


def _add_parameters(units: list[Unit], net: nn.Module, passage: Passage) -> dict[str, int]:
    """Each parameter to one unit; returns those that took no part, by module."""
    used = {
        id(parameter): unit
        for unit in reversed(units)
        for step in unit.steps
        for parameter in step.node.parameters
    }
    paths: dict[str, Unit] = {unit.path: unit for unit in reversed(units)}
    depths, not_run = passage.flow.parameter_depths, Counter[str]()
    for name, parameter in net.named_parameters():
        owner = name.rpartition(".")[0]
        around = [owner[:end] for end in _ends(owner) if owner[:end] in paths]
        unit = paths[around[0]] if around else used.get(id(parameter))
        if unit is None and owner and owner in passage.entered:
            unit = _unit_at(units, passage.entered[owner].node) or units[0]
        elif unit is None and id(parameter) in depths:
            before = [u for u in units if u.call.depth <= depths[id(parameter)]]
            unit = before[-1] if before and owner else units[0]
        if unit is None:
            not_run[owner.partition(".")[0] or name] += parameter.numel()
        else:
            unit.parameters += parameter.numel()
    return dict(not_run)


def _ends(path: str) -> list[int]:
    return [i for i, letter in enumerate(path) if letter == "."] + [len(path)]


def _add_flops(units: list[Unit], passage: Passage) -> None:
    starts = [0, *(unit.call.flops for unit in units[1:]), passage.flops]
    for unit, start, end in zip(units, starts[:-1], starts[1:], strict=True):
        unit.flops = end - start


def _shortcut_words(unit: Unit) -> dict[str, Any]:
    kinds = [kind for kind, _ in unit.shortcuts]
    joined = set(kinds) == {"concatenation"}
    begins = [begin for _, begin in unit.shortcuts][: 1 if joined else None]
    return {
        "shortcut": " + ".join(dict.fromkeys(kinds) if len(set(kinds)) == 1 else kinds),
        "shortcuts": len(kinds),
        "shortcut_from": " + ".join(begins),
    }


def _rows(units: list[Unit], projections: set[str]) -> list[dict[str, Any]]:
    paths, shapes = [u.path for u in units], [u.call.shape for u in units]
    residual = [u.path for u in units if {k for k, _ in u.shortcuts} - {"concatenation"}]
    stages = structure.stages(paths, shapes, [u.call.axes for u in units], residual)
    return [
        {
            "unit": unit.path,
            "call": unit.call.call,
            "type": unit.call.type,
            "kind": unit.kind,
            "label": label_of(unit, projections),
            "stage": stage,
            "depth": unit.call.depth,
            "shape": unit.call.shape,
            "size": unit.size,
            "parameters": unit.parameters,
            "flops": unit.flops,
        }
        | _shortcut_words(unit)
        for unit, stage in zip(units, stages, strict=True)
    ]
