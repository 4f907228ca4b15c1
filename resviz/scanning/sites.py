"""Which layers a scan measures, and what is known of each: its channels and receptive field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn

from resviz.arguments import caller
from resviz.errors import closest
from resviz.given import Inputs
from resviz.networks.anatomy.receptive import Field, receptive_fields
from resviz.networks.anatomy.survey import Survey, survey

LAYOUTS = ("NC", "NCL", "NLC", "NCHW", "NHWC", "NCDHW")


@dataclass(frozen=True)
class Site:
    """A layer's output that is measured.

    Attributes:
        key: "layer1.0"; "relu#1" where the module runs several times and this is its second call.
        layer: path of the module.
        call: which of its calls.
        type: class of the module.
        kind: "leaf" or "block".
        depth: weighted layers before it.
        stage: as :func:`resviz.list_layers` has it.
        axes: one of `LAYOUTS`.
        channels: how many.
        positions: (height, width) on the images that the scan began with; 1 for an axis that the
            layer does not have.
        field: the receptive fields of its positions; None where each sees the whole image.
    """

    key: str
    layer: str
    call: int
    type: str
    kind: str
    depth: int
    stage: str
    axes: str
    channels: int
    positions: tuple[int, int]
    field: Field | None = None

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Site:
        """What :meth:`to_json` wrote."""
        known = fields | {"positions": tuple(fields["positions"])}
        if fields["field"] is not None:
            known["field"] = Field(**{k: tuple(v) for k, v in fields["field"].items()})
        return cls(**known)


def choose_sites(
    net: nn.Module, inputs: Inputs, layers: str | Iterable[str] | None
) -> tuple[list[Site], Survey]:
    """The layers to measure, found in a pass over the first image, and that pass.

    Args:
        net: the network.
        inputs: images as it wants them.
        layers: None or "blocks": the stem and every block, of a network without blocks the last
            layer of each stage; "all": every layer with channels; or paths.

    Raises:
        TypeError: `layers` is something else.
        ValueError: no such layer, one without channels, or none at all.
    """
    seen = survey(net, inputs)
    table = seen.table
    alone = np.array([output.alone for output in seen.outputs], dtype=bool)
    fits = table[table["axes"].isin(LAYOUTS) & alone]
    if layers is None or layers == "blocks":
        fits = fits.loc[fits.index.isin(_of_blocks(seen))]
    elif layers != "all":
        fits = fits[fits["layer"].isin(_named(layers, seen, set(fits["layer"])))]
    if not len(fits):
        raise ValueError(
            f"{caller()}: no layer of {type(net).__name__} whose channels are known; a network "
            "with convolutions or linear layers would be right. See rv.list_layers(net)."
        )
    fields = receptive_fields(net, inputs)
    rows: list[dict[Any, Any]] = fits.to_dict("records")
    return [_site(row, fields) for row in rows], seen


def _of_blocks(seen: Survey) -> list[int]:
    """Rows of the stem and of every block; without blocks the last layer of each stage."""
    steps = list(seen.steps.index)
    if not steps or seen.table.loc[steps[0], "kind"] != "block":
        return steps
    first = str(seen.table.loc[steps[0], "layer"])
    inside = seen.table["layer"].astype(str).str.startswith(f"{first}.")
    begin = inside.idxmax() if inside.any() else steps[0]
    before = seen.table.index[seen.table.index < begin]
    return [*before[-1:], *steps]


def _named(layers: str | Iterable[str], seen: Survey, fitting: set[str]) -> list[str]:
    names = [layers] if isinstance(layers, str) or not isinstance(layers, Iterable) else [*layers]
    if not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"{caller()}: layers {layers!r}; None, 'blocks', 'all', or a list of paths. See "
            "rv.list_layers(net)."
        )
    known = set(seen.table["layer"])
    for name in names:
        if name not in fitting:
            what = "no layer" if name not in known else "no channels to tell apart in"
            raise ValueError(
                f"{caller()}: {what} {name!r}; closest: {closest(name, sorted(fitting))}. See "
                "rv.list_layers(net)."
            )
    return names


def _site(row: dict[Any, Any], fields: dict[tuple[str, int], Field]) -> Site:
    layer, call, axes, shape = str(row["layer"]), int(row["call"]), row["axes"], row["shape"]
    sizes: dict[str, int] = dict(zip(axes, shape, strict=True))
    height = sizes.get("D", 1) * sizes.get("H", 1)
    positions = (int(height), int(sizes.get("W", sizes.get("L", 1))))
    field = fields.get((layer, call))
    return Site(
        key=f"{layer}#{call}" if call else layer,
        layer=layer,
        call=call,
        type=str(row["type"]),
        kind=str(row["kind"]),
        depth=int(row["depth"]),
        stage=str(row["stage"]),
        axes=axes,
        channels=int(sizes["C"]),
        positions=positions,
        field=field if field is not None and field.positions == positions else None,
    )
