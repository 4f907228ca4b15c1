"""What explanations a view begins with: every block, by the methods of one pass."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from resviz.attribution.explain import explain
from resviz.errors import quiet
from resviz.networks.anatomy.additions import Addition
from resviz.networks.anatomy.survey import stage_ends, survey, with_places
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.surgery.blocks import blocks_dropped, drop_blocks

CALLER = "explore_explanation"
_FIRST = ("grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam")


def altered(
    net: Any, off: Sequence[str], images: Any, additions: Sequence[Addition] = ()
) -> AbstractContextManager[None]:
    """The network without the branches of some blocks; put back at the end.

    Where its `additions` are known, no pass is needed to find them.
    """
    if not off:
        return nullcontext()
    if additions:
        return blocks_dropped(net, list(off), list(additions))
    return drop_blocks(net, list(off), images=images)


def explained(
    net: Any, images: Any, targets: Any, preset: Any, table: Any, every_block: bool = False
) -> Any:
    """Every block by the methods of one pass; `table` of layers says which have positions.

    Of tokens, the layer that "auto" finds: after the last block of a vision transformer only the
    class token is read on, and the map there is blank. With `every_block` the blocks, too.
    """
    layers = [] if table is None else layers_with_positions(table)
    with quiet():
        if layers:
            return _at(net, images, targets, preset, layers)
        exp = explain(net, images, targets, preset=preset, channels=True)
        blocks = [] if table is None else table.loc[table["kind"] == "block", "layer"]
        names = list(dict.fromkeys([*map(str, blocks), *exp.layers]))
        if every_block and len(names) > len(exp.layers):
            with suppress(ValueError, RuntimeError):  # blocks without a grid: what "auto" found
                exp = _at(net, images, targets, preset, names)
    check_maps(exp)
    return exp


def _at(net: Any, images: Any, targets: Any, preset: Any, layers: list[str]) -> Any:
    """An explanation at these layers, with what each channel contributes."""
    about = {"methods": list(_FIRST), "layers": layers, "preset": preset, "channels": True}
    return explain(net, images, targets, **about)


def layers_with_positions(table: Any) -> list[str]:
    """Blocks, or the stages' last layers, whose output is (N, C, H, W); none for tokens."""
    spatial = with_places(table)
    tokens = table["shape"].map(lambda s: len(s) == 3)
    if not (spatial | tokens).any():
        raise ValueError(
            f"{CALLER}: the network has no layer with positions (N, C, H, W); a "
            "convolutional network would be right."
        )
    blocks = table["kind"] == "block"
    if (blocks & spatial).any():
        return [str(each) for each in table[blocks & spatial]["layer"].drop_duplicates()]
    if (blocks & tokens).any():
        return []
    return stage_ends(table)


def check_maps(exp: Any) -> None:
    """Raise ValueError for maps without rows and columns."""
    for (method, layer), maps in exp.maps.items():
        kind = {2: "a signal or text", 4: "video"}.get(maps[0].ndim)
        given = exp.inputs_of(layer)
        if given is not None and given.ndim == 4:
            kind = f"inputs {tuple(given.shape)}, one position wide"
        if kind is not None:
            raise ValueError(
                f"{CALLER}: {method} at {layer!r} is a map over {kind}; maps over pictures, "
                "(h, w), would be right. rv.plot_explanation(exp) draws this one."
            )


def explained_first(net: Any, images: Any, preset: Any) -> Any:
    """The predicted classes at every block, by the methods that one pass serves."""
    check_hookable(net)
    inputs = check_images(net, images)
    return explained(net, inputs, None, preset, survey(net, inputs).table)
