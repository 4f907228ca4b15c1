"""`list_layers`: what a network is made of, with depth and stage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.arguments import caller, public
from resviz.given import Images, Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy import structure
from resviz.networks.anatomy.additions import Addition, Node, blocks_of
from resviz.networks.anatomy.axes.axis import Layout, letters
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.anatomy.dataflow import Dataflow, Frame, tensors_in
from resviz.networks.anatomy.walk import Walk
from resviz.networks.inputs import check_hookable, check_images, check_shapes_of
from resviz.networks.outputs import tensor_or_none
from resviz.networks.zoo.cifar import CifarResNet
from resviz.preset import preset_of
from resviz.torch_private import modules_of, unwatched

COLUMNS = (
    "layer",
    "call",
    "type",
    "kind",
    "depth",
    "stage",
    "block",
    "shape",
    "axes",
    "parameters",
)


@public
def list_layers(
    net: nn.Module, images: Images | None = None, *, size: int | None = None
) -> pd.DataFrame:
    """The layers of a network in order of execution, with depth, stage and block.

    Found by running the network once, without gradients; it is left as it was.

    Args:
        net: any network.
        images: what to run it on; one is enough. None: zeros of the size its preset says.
        size: side of those zeros instead of the preset's.

    Returns:
        A row per leaf-module call and per block: ``layer`` (dotted path), ``call``, ``type``,
        ``kind`` ("leaf" or "block"), ``depth`` (1-based count of weighted layers on the longest
        path from the input; projections, and the gates of squeeze-and-excitation, run beside the
        main path and do not add to it),
        ``stage``, ``block``, ``shape`` of the output, ``axes``: which of them is which, as the
        layers say ("NCHW"; "NHWC": channels last; "NLC": tokens; "?" for an axis of which none
        says anything), ``parameters`` (of its own).

    Raises:
        NotTraceable: a scripted or compiled network, in which hooks do not fire.
        TypeError: `net` is no network, or `images` no tensor.
        ValueError: no images, and no preset that says what they would look like; images that the
            first layer cannot take.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> int(list_layers(cifar_resnet(20), torch.zeros(1, 3, 32, 32))["depth"].max())
        20
    """
    check_hookable(net)
    return survey(net, probe(net, images, size, check_shapes_of)).table


def with_places(table: pd.DataFrame) -> pd.Series:
    """Which rows of layers are maps: rows and columns, more than one of each."""
    outputs = zip(table["shape"], table["axes"], strict=True)
    return pd.Series([_is_map(*each) for each in outputs], table.index, dtype=bool)


def _is_map(shape: Sequence[int], axes: str) -> bool:
    if len(shape) != 4:
        return False
    told = sorted(axes) == sorted("NCHW")
    places = [shape[axes.index(each)] for each in "HW"] if told else shape[2:]
    return (told or not axes or "?" in axes) and min(places) > 1


def stage_ends(table: pd.DataFrame) -> list[str]:
    """The last map of each stage: what stands for the blocks where there are none."""
    ends = table[with_places(table)].groupby("stage", sort=False)["layer"].last()
    return [str(each) for each in ends]


@dataclass
class Seen:
    """What else a pass showed of a layer's output.

    Attributes:
        layout: which of its axes is which, None where nothing says so.
        alone: it is a tensor of floating-point numbers, not a tuple with one in it.
        reaches: the network's output was computed from it.
    """

    layout: Layout | None
    alone: bool
    reaches: bool = False


@dataclass(frozen=True)
class Survey:
    """One pass: the table of :func:`list_layers`, the additions, and what the network returned.

    Attributes:
        table: as :func:`list_layers` gives it.
        outputs: for each of its rows.
        additions: the residual additions, in order, and those of the kinds asked for.
        output: of the network, for one image; that part of it, where it is known.
        depth: of that output.
        ends: the nodes of the tensors that the network returns, by the tensor's id.
    """

    table: pd.DataFrame
    outputs: list[Seen]
    additions: list[Addition]
    output: Any
    depth: int
    ends: dict[int, Node]

    @property
    def residual_calls(self) -> list[tuple[str, int]]:
        """The calls of modules in which residual additions happen, in order."""
        return blocks_of(addition for addition in self.additions if addition.residual)

    @property
    def residual_blocks(self) -> list[str]:
        """Paths of those modules."""
        return list(dict.fromkeys(path for path, _ in self.residual_calls))

    @property
    def steps(self) -> pd.DataFrame:
        """Rows of the table: the calls after which the network is read block by block, in order.

        Residual blocks; without any, the blocks that there are; else the last layer of each stage
        that has weights, without the head. Those that the output is computed from.
        """
        known = any(output.reaches for output in self.outputs)
        felt = [output.reaches or not known for output in self.outputs]
        table = self.table[felt]
        weighted = set(table.loc[table["parameters"] > 0, "layer"])
        return steps_in(table, self.residual_blocks, weighted, self.depth)


def steps_in(
    table: pd.DataFrame, residual: Collection[str], weighted: Collection[str], depth: float
) -> pd.DataFrame:
    """:attr:`Survey.steps` of a table of layers.

    Args:
        table: as :func:`list_layers` or a recording has it.
        residual: paths of the residual blocks.
        weighted: paths of layers with parameters of their own.
        depth: of the output.
    """
    own = table[table["layer"].isin(residual)]
    blocks = table[table["kind"] == "block"]
    if len(own) or len(blocks):
        return own if len(own) else blocks
    before = table[(table["stage"] != "head") & (table["depth"] < depth)]
    stages = set(before.loc[before["layer"].isin(weighted), "stage"])
    return before[before["stage"].isin(stages)].drop_duplicates("stage", keep="last")


def survey(
    net: nn.Module,
    inputs: Images,
    include: Collection[str] = (),
    part: str | int | None = None,
) -> Survey:
    """Run the first of the images, without gradients; the network is left as it was.

    Args:
        net: any network.
        inputs: its inputs; one image of them is run.
        include: kinds of sums that are not residual, to be listed too.
        part: which part of what it returns is its output, as `Preset.logits` says.

    Raises:
        TypeError, ValueError: the first layer cannot take the images.
    """
    rows: list[dict[str, Any]] = []
    nodes: list[Node | None] = []
    flow = Dataflow()

    def left(frame: Frame, output: Any) -> None:
        tensor = next(tensors_in(output), None)
        if tensor is not None and (frame.leaf or frame.block):
            row = {"layer": frame.path, "call": frame.call, "type": frame.type}
            row |= {"kind": "leaf" if frame.leaf else "block", "depth": flow.depth_of(output)}
            with unwatched():
                layout, shape = axes.layout_of(tensor), tuple(tensor.shape)
                alone = isinstance(output, Tensor) and output.is_floating_point()
            row |= {"shape": shape, "axes": letters(layout) if layout else ""}
            rows.append(row | {"output": Seen(layout, alone)})
            nodes.append(flow.node_of(output))

    with left_as_found(net) as hooks:
        axes = Axes(net, hooks)
        output = Walk(net, hooks, left=left, axes=axes).run_one(inputs, flow)
    result = tensor_or_none(output, part)
    result = output if result is None else result
    read = _before(flow.node_of(result))
    for row, node in zip(rows, nodes, strict=True):
        row["output"].reaches = node in read
    owners = [addition.owner for addition in flow.residual]
    listed = [a for a in flow.additions if a.residual or a.kind in include]
    table, outputs = _table(rows, modules_of(net), owners)
    return Survey(table, outputs, listed, result, flow.depth_of(result), flow.ends)


def _before(node: Node | None) -> set[Node | None]:
    """A node and all that it was computed from, and whose changes it would feel."""
    found: set[Node | None] = set()
    waiting = [node] if node is not None else []
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += () if one.operation in ("detach", "argmax") else one.parents
    return found


def probe(
    net: nn.Module,
    images: Images | None = None,
    size: int | None = None,
    read: Callable[[nn.Module, object], Inputs] = check_images,
) -> Inputs:
    """What to run a network on, once, to see its structure: `images`, or zeros as its preset says.

    Raises:
        ValueError: no images, and no preset that says what they would look like.
    """
    first = next(net.parameters(), torch.zeros(()))
    if images is not None:
        return read(net, images)
    try:
        preset = preset_of(net)
        (height, width), channels = preset.crop or (224, 224), preset.channels or 3
    except ValueError:
        if not isinstance(net, CifarResNet):
            raise ValueError(
                f"{caller()}: {type(net).__name__} has no preset that says what its images look "
                f"like; images would be right. Pass one: rv.{caller()}(net, images=images)."
            ) from None
        height, width, channels = 32, 32, 3
    height, width = (size, size) if size else (height, width)
    zeros = torch.zeros(1, channels, height, width, device=first.device, dtype=first.dtype)
    return Inputs.of(zeros)


def _table(
    rows: list[dict[str, Any]], modules: dict[str, nn.Module], owners: list[str]
) -> tuple[pd.DataFrame, list[Seen]]:
    paths = structure.blocks([row["layer"] for row in rows if row["kind"] == "block"], owners)
    rows = [row for row in rows if row["kind"] == "leaf" or row["layer"] in set(paths)]
    names, shapes, axes = ([row[name] for row in rows] for name in ("layer", "shape", "axes"))
    stages = structure.stages(names, shapes, axes, owners)
    for row, stage in zip(rows, stages, strict=True):
        module = modules[row["layer"]]
        own = module.parameters(recurse=structure.is_leaf(module))  # what makes a weight, too
        row |= {"stage": stage, "block": structure.block_of(row["layer"], paths)}
        row["parameters"] = sum(p.numel() for p in own)
    outputs = [row.pop("output") for row in rows]
    return pd.DataFrame(rows, columns=list(COLUMNS)), outputs
