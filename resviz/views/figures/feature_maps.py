"""`plot_feature_maps`: the channels of one layer as one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from resviz.views import style
from resviz.views.channels import Channels, channels_of, choose
from resviz.views.charts.chart import Margin
from resviz.views.charts.draft import Draft
from resviz.views.charts.marks import ColourBar, Heat, Hover, Mark, Picture, Words, shared
from resviz.views.figure import Figure
from resviz.views.figures.quantities import conditions
from resviz.views.figures.tiles import WIDEST, cells, title_room
from resviz.views.pictures import Floats, coloured, limits

if TYPE_CHECKING:
    from resviz.recording.recording import Recording

Ends = tuple[float, float, str]  # low, high, colour scale

SCALES = ("unit", "layer")
_TILE = 128  # pixels on the screen
_HOVER_CELLS = 60_000  # above this many values the figure holds a picture instead of them
_LABEL = 16


def plot_feature_maps(
    rec: Recording,
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
    draft = (_tiles if found.maps.ndim == 3 else _rows)(found, shown, scale)
    said = _said(rec, found, shown, image, sort, scale)
    if draft.width is not None:  # tiles; the bar stays beside them
        more = max(0, round(title_room(*said)) - draft.width)
        draft.width += more
        draft.room_right(draft.margin.right + more)
    return Figure.of(draft.chart(*said))


def _said(
    rec: Any, found: Channels, shown: Any, image: int, sort: str, scale: str
) -> tuple[str, str, str]:
    """The lines of the title."""
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
    return (
        f"Feature maps: {found.layer}",
        f"image {image}{frame} · {len(shown)} of {len(found.maps)} channels, {order} · {how}"
        + style.not_finite(found.maps[shown], how="magenta"),
        f"{about.get('network', 'network')} · {found.axes}"
        f" {' × '.join(map(str, found.shape))}{unsaid}{measured}",
    )


def _columns(count: int, ideal: float) -> int:
    """So many tiles in a row, about as many as is ideal, that the last row is as full as can be."""
    least = min(count, max(1, math.floor(0.75 * ideal)))
    near = range(least, max(least, min(count, math.ceil(1.3 * ideal))) + 1)
    return min(near, key=lambda columns: (-count % columns, abs(columns - ideal)))


def _tiles(found: Channels, shown: Any, scale: str) -> Draft:
    """A tile for each channel, its number above it."""
    maps = found.maps[shown]
    count, height, width = maps.shape
    columns = _columns(count, math.sqrt(count * 1.6 * height / width))
    rows = -(-count // columns)
    factor = min(_TILE / max(height, width), ((WIDEST - 140) / columns - 4) / width)
    gap, label = 4 / factor, _LABEL / factor
    across, down = width + gap, height + label + gap
    size = (round(rows * down * factor) + 120, max(round(columns * across * factor) + 140, 460))
    draft = Draft(*size, margin=Margin(16, 124, 96, 24), legend=None)
    draft.axis("x", visible=False, limits=(-gap, columns * across))
    draft.axis("y", visible=False, limits=(rows * down, 0), square=True)
    whole, places = limits(maps), [divmod(number, columns) for number in range(count)]
    for (row, column), channel, values in zip(places, shown, maps, strict=True):
        place = shared(x0=column * across + 0.5, y0=row * down + label + 0.5)
        place["name"] = f"channel {channel}"
        ends = _ends(limits(values) if scale == "unit" else whole, whole[2])
        draft.add(*_tile(values, ends, seen=maps.size <= _HOVER_CELLS, **place))
    x = [column * across for _, column in places]
    y = [row * down + label * 0.55 for row, _ in places]
    draft.add(Words(x=x, y=y, texts=[str(int(c)) for c in shown], place="middle right"))
    draft.add(colour_bar(*whole, own=scale == "unit"))
    return draft


def _ends(scale: Ends, colours: str) -> Ends:
    """Of a channel; one without negatives among signed ones is signed, too."""
    low, high, _ = scale
    return (-high if colours == style.SIGNED and low >= 0 else low), high, colours


def _missing(values: Floats, ends: Ends, **place: Any) -> list[Picture]:
    """What is seen where a heat map leaves cells out: magenta, and not the white of a 0."""
    if np.isfinite(values).all():
        return []
    return [Picture(pixels=coloured(values, *ends), **place | {"name": ""})]


def _tile(values: Floats, ends: Ends, *, seen: bool, **place: Any) -> list[Mark]:
    """A heat map, or a picture where its values would be too many for the page."""
    low, high, colours = ends
    if seen:
        hover = cells(values, place["name"])
        heat = Heat(z=values, low=low, high=high, colours=colours, hover=hover, **place)
        return [*_missing(values, ends, **place), heat]
    note = f"{place['name']}\nmean {values.mean():.4g}\nmaximum {values.max():.4g}"
    return [Picture(pixels=coloured(values, low, high, colours), hover=Hover(note), **place)]


def colour_bar(low: float, high: float, colours: str, *, own: bool) -> ColourBar:
    """At the right; in words where each channel is on its own scale."""
    if not own:
        return ColourBar(low, high, colours, title="activation")
    ends = ("−largest", "0", "largest") if low < 0 else ("least", "", "largest")
    ticks = tuple(zip((low, (low + high) / 2, high), ends, strict=True))
    return ColourBar(low, high, colours, title="activation, each on its own scale", ticks=ticks)


def _rows(found: Channels, shown: Any, scale: str) -> Draft:
    """One heat map, channels downwards."""
    maps = found.maps[shown]
    low, high, colours = limits(maps)
    draft = Draft(220 + 16 * min(len(shown), 40), margin=Margin(84, 124), legend=None)
    ends = (-0.5, maps.shape[1] - 0.5)
    draft.axis("x", title=found.position, limits=ends, grid=False)
    every = -(-len(shown) // 24)
    ticks = tuple((row, str(shown[row])) for row in range(0, len(shown), every))
    draft.axis("y", title="channel", limits=(len(shown) - 0.5, -0.5), ticks=ticks, grid=False)
    z = maps
    if scale == "unit":  # rows of one heat map share its scale: bring each to its own extremes
        z = np.stack([_on_its_own(row, colours) for row in maps])
    span = ((-1 if colours == style.SIGNED else 0), 1) if scale == "unit" else (low, high)
    numbers = np.repeat(np.asarray(shown)[:, None], maps.shape[1], axis=1)
    rows = np.stack([numbers.astype(np.float32), maps], axis=-1)
    text = f"channel %{{customdata[0]}}, {found.position} %{{x}}\n%{{customdata[1]:.4g}}"
    look = shared(low=span[0], high=span[1], colours=colours, hover=Hover(text, rows=rows))
    draft.add(*_missing(z, (*span, colours)), Heat(z=z, **look))
    draft.add(colour_bar(low, high, colours, own=scale == "unit"))
    return draft


def _on_its_own(row: Floats, colours: str) -> Floats:
    if colours == style.SIGNED:
        return row / (np.abs(row).max() or 1)
    low, high, _ = limits(row)
    return (row - low) / (high - low or 1)
