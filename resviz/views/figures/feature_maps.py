"""`plot_feature_maps`: the channels of one layer as one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from resviz.views import style
from resviz.views.channels import Channels, channels_of, choose
from resviz.views.figure import Figure
from resviz.views.figures.quantities import escaped_conditions as conditions
from resviz.views.figures.tiles import title_room
from resviz.views.pictures import Floats, coloured, data_uri, limits

SCALES = ("unit", "layer")
_TILE = 128  # pixels on the screen
_HOVER_CELLS = 60_000  # above this many values the figure holds a picture instead of them
_LABEL = 16


def plot_feature_maps(
    rec: Any,
    layer: str | tuple[str, int],
    image: int = 0,
    *,
    channels: int | Sequence[int] = 16,
    sort: str = "index",
    scale: str = "layer",
    axes: str | None = None,
    frame: int | None = None,
) -> Figure:
    """A figure of the feature maps of one layer, one tile per channel.

    Magnitudes are drawn in viridis, signed values in blue-red centred on 0. Up to 60,000 values the
    hover reads channel, row, column and value; beyond that the channel's mean and maximum.
    Tensors (N, C, L) and (N, T, C), of audio or text, are one heat map, channels downwards. Of
    video, (N, C, T, H, W), one frame is drawn.

    Args:
        rec: a Recording that kept the layer.
        layer: a key of ``rec.keys()``, or (layer, call).
        image: which image of the batch.
        channels: how many, or which ones.
        sort: "index"; "mean" or "max": the largest first.
        scale: "layer": one colour scale over the shown channels; "unit": every channel against its
            own extremes.
        axes: the tensor's axes where they are not what they seem, as "NHWC".
        frame: of video, counted at this layer; None: the middle one.

    Raises:
        TypeError: no Recording.
        ValueError: not kept, no pictures to show, no such image, frame, channel, sort or scale.
    """
    if scale not in SCALES:
        raise ValueError(f"plot_feature_maps: scale={scale!r}; one of {', '.join(SCALES)}.")
    found = channels_of(rec, layer, image, axes=axes, frame=frame)
    shown = choose(found, channels, sort)
    draw = _draw_tiles if found.maps.ndim == 3 else _draw_rows
    fig = draw(found, shown, scale)
    title = _title(rec, found, shown, image, sort, scale)
    fig.update_layout(title={"text": title})
    if fig.layout.width is not None:  # tiles; the bar stays beside them
        more = max(0, round(title_room(title)) - fig.layout.width)
        fig.update_layout(width=fig.layout.width + more, margin={"r": fig.layout.margin.r + more})
    return fig


def _title(rec: Any, found: Channels, shown: Any, image: int, sort: str, scale: str) -> str:
    about = rec.provenance
    order = "in order of number" if sort == "index" else f"largest {sort} first"
    if sort == "index" and list(shown) != sorted(shown):
        order = "as listed"
    how = {
        "layer": "one colour scale over these channels",
        "unit": "each channel on its own colour scale",
    }[scale]
    modes = {n: w for n, w in conditions(about).items() if n in ("output", "batch_stats", "dtype")}
    measured = "".join(f" · {words}" for words in modes.values())
    unsaid = "" if found.said else " (axes by the shape alone)"
    frame = "" if found.frame is None else " · frame {} of {}".format(*found.frame)
    return style.heading(
        f"Feature maps: {style.escape(found.layer)}",
        f"image {image}{frame} · {len(shown)} of {len(found.maps)} channels, {order} · {how}",
        f"{style.escape(about.get('network', 'network'))} · {found.axes}"
        f" {' × '.join(map(str, found.shape))}{unsaid}{measured}",
    )


def _draw_tiles(found: Channels, shown: Any, scale: str) -> Figure:
    maps = found.maps[shown]
    count, height, width = maps.shape
    columns = min(count, max(1, round(math.sqrt(count * 1.6 * height / width))))
    rows = -(-count // columns)
    factor = _TILE / max(height, width)
    gap, label = 4 / factor, _LABEL / factor
    across, down = width + gap, height + label + gap
    fig = Figure(
        layout={
            "template": style.template(),
            "height": round(rows * down * factor) + 120,
            "width": round(columns * across * factor) + 140,
            "margin": {"l": 16, "r": 124, "t": 96, "b": 24},
            "showlegend": False,
            "xaxis": {"visible": False, "range": [-gap, columns * across], "constrain": "domain"},
            "yaxis": {
                "visible": False,
                "range": [rows * down, 0],
                "scaleanchor": "x",
                "constrain": "domain",
                "constraintoward": "top",
            },
        }
    )
    fig.update_layout(width=max(fig.layout.width, 460))
    whole = limits(maps)
    for number, (channel, values) in enumerate(zip(shown, maps, strict=True)):
        left, top = number % columns * across, number // columns * down + label
        _add_tile(
            fig,
            int(channel),
            values,
            left,
            top,
            limits(values) if scale == "unit" else whole,
            whole[2],
            hover=maps.size <= _HOVER_CELLS,
        )
    _add_numbers(fig, [int(c) for c in shown], columns, across, down, label)
    add_colour_bar(fig, *whole, own=scale == "unit")
    return fig


def _add_tile(
    fig: Figure,
    channel: int,
    values: Floats,
    left: float,
    top: float,
    scale: tuple[float, float, str],
    colours: str,
    *,
    hover: bool,
) -> None:
    low, high, _ = scale
    if colours == style.SIGNED and low >= 0:  # a channel without negatives among signed ones
        low = -high
    place = {"x0": left + 0.5, "dx": 1, "y0": top + 0.5, "dy": 1, "name": f"channel {channel}"}
    if not hover:
        note = f"channel {channel}<br>mean {values.mean():.4g}<br>maximum {values.max():.4g}"
        fig.add_image(
            source=data_uri(coloured(values, low, high, colours)),
            hovertemplate=note + "<extra></extra>",
            **place,
        )
        return
    rows, columns = np.indices(values.shape, dtype=np.uint16)
    fig.add_heatmap(
        z=values,
        zmin=low,
        zmax=high,
        colorscale=colours,
        showscale=False,
        customdata=np.stack([rows, columns], axis=-1),
        hovertemplate=f"channel {channel}<br>row %{{customdata[0]}}, column %{{customdata[1]}}"
        "<br>%{z:.4g}<extra></extra>",
        **place,
    )


def _add_numbers(
    fig: Figure, shown: list[int], columns: int, across: float, down: float, label: float
) -> None:
    """The channel's number above its tile."""
    places = [divmod(number, columns) for number in range(len(shown))]
    fig.add_scatter(
        x=[column * across for _, column in places],
        y=[row * down + label * 0.55 for row, _ in places],
        mode="text",
        text=[str(c) for c in shown],
        textposition="middle right",
        hoverinfo="skip",
        textfont={"size": style.SMALL, "color": style.INK},
        showlegend=False,
        cliponaxis=False,
    )


def add_colour_bar(
    fig: Figure,
    low: float,
    high: float,
    colours: str,
    *,
    own: bool = False,
    title: str = "activation",
) -> None:
    """A colour bar at the right, without a trace of its own to see."""
    bar: dict[str, Any] = {
        "thickness": 14,
        "len": 1.0,
        "x": 1.02,
        "xanchor": "left",
        "tickfont": {"size": style.SMALL},
        "title": {"text": title, "side": "right", "font": {"size": style.SMALL}},
    }
    if own:
        ends = ("−largest", "0", "largest") if low < 0 else ("least", "", "largest")
        bar |= {"tickvals": [low, (low + high) / 2, high], "ticktext": list(ends)}
        bar["title"]["text"] = f"{title}, each on its own scale"
    fig.add_scatter(**style.bar_alone(low, high, colours, bar))


def _draw_rows(found: Channels, shown: Any, scale: str) -> Figure:
    maps = found.maps[shown]
    low, high, colours = limits(maps)
    fig = Figure(
        layout={
            "template": style.template(),
            "height": 220 + 16 * min(len(shown), 40),
            "margin": {"l": 84, "r": 124, "t": 96, "b": 56},
            "showlegend": False,
            "xaxis": {
                "title": {"text": found.position},
                "range": [-0.5, maps.shape[1] - 0.5],
                "showgrid": False,
            },
            "yaxis": {
                "title": {"text": "channel"},
                "range": [len(shown) - 0.5, -0.5],
                "showgrid": False,
            },
        }
    )
    every = -(-len(shown) // 24)
    fig.update_yaxes(
        tickvals=list(range(0, len(shown), every)), ticktext=[str(c) for c in shown[::every]]
    )
    z = maps
    if scale == "unit":  # rows of one heat map share its scale: bring each to its own extremes
        ends = [limits(row) for row in maps]
        z = np.stack([(row - a) / (b - a or 1) for row, (a, b, _) in zip(maps, ends, strict=True)])
        if colours == style.SIGNED:
            z = np.stack([row / (np.abs(row).max() or 1) for row in maps])
    span = ((-1 if colours == style.SIGNED else 0), 1) if scale == "unit" else (low, high)
    numbers = np.repeat(np.asarray(shown)[:, None], maps.shape[1], axis=1)
    fig.add_heatmap(
        z=z,
        zmin=span[0],
        zmax=span[1],
        colorscale=colours,
        showscale=False,
        customdata=np.stack([numbers.astype(np.float32), maps], axis=-1),
        hovertemplate=f"channel %{{customdata[0]}}, {found.position} %{{x}}"
        "<br>%{customdata[1]:.4g}<extra></extra>",
    )
    add_colour_bar(fig, low, high, colours, own=scale == "unit")
    return fig
